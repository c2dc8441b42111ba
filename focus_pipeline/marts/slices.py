"""Computes the months of marts: which are due, and puts a month in the place of what the mart had of it."""

import hashlib
import logging
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import groupby

import duckdb

from focus_pipeline.machine import machine_faults
from focus_pipeline.marts.functions import calls_functions, functions
from focus_pipeline.marts.mart import MONTH, Mart, MartCheck, parameters_of
from focus_pipeline.months import months_back
from focus_pipeline.sql import literal, only_row, quoted, transaction
from focus_pipeline.warehouse.warehouse import Warehouse

logger = logging.getLogger(__name__)

SHOWN_ROWS = 10


class MartBroken(Exception):
    """A mart's SQL cannot be run, or gives something else than its YAML says. The message says which and what."""


@dataclass(frozen=True)
class Slice:
    """A month of a mart. loaded: fingerprint of the loads that it is made of."""

    mart: str
    month: str
    loaded: str


@dataclass(frozen=True)
class CheckedMart:
    """What came of a check. count: rows or groups that break it. examples: some of them, as text by column."""

    name: str
    severity: str
    count: int
    said: str
    examples: tuple[dict[str, str | None], ...] = ()

    @property
    def passed(self) -> bool:
        return not self.count


@dataclass(frozen=True)
class ComputedSlice:
    """A month of a mart as it was computed, or why it was not.

    columns: name -> DuckDB type. preview: its first rows, as text. failed: then the mart stays as it was.
    """

    mart: str
    month: str
    rows: int = 0
    seconds: float = 0.0
    columns: Mapping[str, str] = field(default_factory=dict)
    preview: tuple[dict[str, str | None], ...] = ()
    checks: tuple[CheckedMart, ...] = ()
    failed: Exception | None = None


def due_slices(connection: duckdb.DuckDBPyConnection, marts: Sequence[Mart]) -> list[Slice]:
    """The months of marts that are not made of what the table shows now, or by another definition.

    connection: of warehouse.reading() or writing(). Raises duckdb.Error.
    """
    loaded = _loaded(connection)
    return [
        Slice(mart.name, month, fingerprint)
        for mart in marts
        for known in [_computed(connection, mart.name)]
        for month in loaded
        for fingerprint in [_fingerprint(mart, month, loaded)]
        if known.get(month) != (mart.definition, fingerprint)
    ]


def computed_months(connection: duckdb.DuckDBPyConnection) -> dict[str, set[str]]:
    """Mart -> the months that its table has. Raises duckdb.Error."""
    found: dict[str, set[str]] = {}
    for mart, month in connection.execute("SELECT Mart, Month FROM focus.mart_months").fetchall():
        found.setdefault(mart, set()).add(month)
    return found


def compute_slices(
    warehouse: Warehouse, marts: Sequence[Mart], months: Collection[str] | None, memory_limit: str | None = None
) -> list[ComputedSlice]:
    """Computes these months of the marts; without months, what is due. What it gives is in the order of the marts.

    A mart whose definition has changed is computed of all months: its rows never come of two definitions. All months of
    a mart are replaced in one transaction, and a mart that cannot be computed stays as it was and stops no other.
    Raises WarehouseUnusable, FileNotFoundError where nothing was published yet, and MachineFault.
    """
    try:
        with warehouse.reading() as connection:
            if not _asked(connection, marts, months) and not any(_gone(connection, mart) for mart in marts):
                return []
    except duckdb.CatalogException:  # of an earlier version, which writing brings up to date
        pass
    computed: list[ComputedSlice] = []
    with warehouse.writing() as connection, machine_faults("computing marts", memory_limit):
        asked = _asked(connection, marts, months)
        by_name = {mart.name: mart for mart in marts}
        for mart in marts:
            _forget_gone(connection, mart)
        for name, slices in groupby(asked, key=lambda one: one.mart):
            computed += _replaced(connection, by_name[name], list(slices))
    return computed


def _asked(connection: duckdb.DuckDBPyConnection, marts: Sequence[Mart], months: Collection[str] | None) -> list[Slice]:
    due = due_slices(connection, marts)
    if months is None:
        return due
    loaded = _loaded(connection)
    asked = []
    for mart in marts:
        definitions = {definition for definition, _ in _computed(connection, mart.name).values()}
        changed = bool(definitions - {mart.definition})
        asked += [
            Slice(mart.name, month, _fingerprint(mart, month, loaded)) for month in loaded if changed or month in months
        ]
    return asked


def _loaded(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Month -> fingerprint of what the table shows of it, in order."""
    rows = connection.execute(
        """
        SELECT
            Month,
            md5(string_agg(concat_ws('/', Connection, Token, StagedIdentity, LoadNumber), ',' ORDER BY Connection))
        FROM focus.month_states
        LEFT JOIN (
            SELECT Connection, Month, max(LoadNumber) AS LoadNumber FROM focus.loads GROUP BY Connection, Month
        ) USING (Connection, Month)
        WHERE Token IS NOT NULL
        GROUP BY Month
        ORDER BY Month
        """
    ).fetchall()
    return dict(rows)


def _fingerprint(mart: Mart, month: str, loaded: Mapping[str, str]) -> str:
    read = [one for one in months_back(month, mart.months_back) if one in loaded]
    return hashlib.sha256(",".join(f"{one}={loaded[one]}" for one in read).encode()).hexdigest()[:20]


def _computed(connection: duckdb.DuckDBPyConnection, mart: str) -> dict[str, tuple[str, str]]:
    """Month -> the definition and the loads that the mart's rows of it come of."""
    rows = connection.execute(
        "SELECT Month, Definition, Loaded FROM focus.mart_months WHERE Mart = $mart", {"mart": mart}
    ).fetchall()
    return {month: (definition, loaded) for month, definition, loaded in rows}


def _gone(connection: duckdb.DuckDBPyConnection, mart: Mart) -> list[str]:
    """Months that the mart has, and the table no more."""
    return sorted(_computed(connection, mart.name).keys() - _loaded(connection).keys())


def _forget_gone(connection: duckdb.DuckDBPyConnection, mart: Mart) -> None:
    for month in _gone(connection, mart):
        with transaction(connection):
            connection.execute(f"DELETE FROM {mart.table} WHERE {quoted(MONTH)} = $month", {"month": month})
            _note(connection, mart, Slice(mart.name, month, ""), computed=False)
        logger.info("%s: nothing is published of %s any more", mart.name, month)


def _replaced(connection: duckdb.DuckDBPyConnection, mart: Mart, slices: Sequence[Slice]) -> list[ComputedSlice]:
    computed, month = [], slices[0].month
    given = functions(connection, mart.ai_rules) if calls_functions(mart.sql) else nullcontext()
    try:
        with given, transaction(connection):
            for one in slices:
                month = one.month
                computed.append(_replace(connection, mart, one))
            _comment(connection, mart)
    except (duckdb.OutOfMemoryException, duckdb.IOException):
        raise
    except (duckdb.Error, MartBroken) as error:
        said = str(error).partition("\n\n")[0].strip()
        broken = MartBroken(f"the mart {mart.name} cannot be computed of {month}: {said}")
        return [ComputedSlice(mart.name, one.month, failed=broken) for one in slices]
    finally:
        connection.execute("DROP TABLE IF EXISTS temp.slice")
    return computed


def _replace(connection: duckdb.DuckDBPyConnection, mart: Mart, one: Slice) -> ComputedSlice:
    begun = time.perf_counter()
    first_month = months_back(one.month, mart.months_back)[0]
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE slice AS {mart.sql.rstrip().rstrip(';')}",
        parameters_of(mart, one.month, first_month),
    )
    columns = _columns(connection, "temp.slice")
    _check_columns(connection, mart, one.month, columns)
    if _columns_of_table(connection, mart) != columns:
        connection.execute(f"DROP TABLE IF EXISTS {mart.table}")
        connection.execute(f"CREATE TABLE {mart.table} AS FROM temp.slice LIMIT 0")
        # Of whatever other months it had nothing is left: they are due again.
        connection.execute("DELETE FROM focus.mart_months WHERE Mart = $mart", {"mart": mart.name})
    key = {"month": one.month}
    connection.execute(f"DELETE FROM {mart.table} WHERE {quoted(MONTH)} = $month", key)
    connection.execute(f"INSERT INTO {mart.table} FROM temp.slice")
    _note(connection, mart, one)
    (rows,) = only_row(connection.execute("SELECT count(*) FROM temp.slice"))
    checks = [_grain(connection, mart)]
    if mart.covers:
        checks.append(_covers(connection, mart, one.month))
    checks += [_own_check(connection, mart, check, one.month) for check in mart.checks]
    preview = _records(connection, f"FROM temp.slice LIMIT {SHOWN_ROWS}")
    return ComputedSlice(
        mart.name, one.month, rows, time.perf_counter() - begun, columns, tuple(preview), tuple(checks)
    )


def _comment(connection: duckdb.DuckDBPyConnection, mart: Mart) -> None:
    """What the mart and its columns mean, for whoever looks at the table in a client. Changes nothing that is there."""
    of_table = "database_name = current_database() AND schema_name = 'marts' AND table_name = $name"
    name = {"name": mart.name}
    (known,) = only_row(connection.execute(f"SELECT comment FROM duckdb_tables() WHERE {of_table}", name))
    if known != mart.description:
        connection.execute(f"COMMENT ON TABLE {mart.table} IS {literal(mart.description)}")
    rows = connection.execute(f"SELECT column_name, comment FROM duckdb_columns() WHERE {of_table}", name).fetchall()
    for column, said in rows:
        if column in mart.columns and said != mart.columns[column]:
            connection.execute(f"COMMENT ON COLUMN {mart.table}.{quoted(column)} IS {literal(mart.columns[column])}")


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    return {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE {table}").fetchall()}


def _columns_of_table(connection: duckdb.DuckDBPyConnection, mart: Mart) -> dict[str, str]:
    """None of a mart that has no table yet."""
    exists = connection.execute(
        "SELECT 1 FROM duckdb_tables() "
        "WHERE database_name = current_database() AND schema_name = 'marts' AND table_name = $name",
        {"name": mart.name},
    ).fetchone()
    return _columns(connection, mart.table) if exists else {}


def _check_columns(connection: duckdb.DuckDBPyConnection, mart: Mart, month: str, columns: Mapping[str, str]) -> None:
    """Raises MartBroken for a slice that does not have the columns of the YAML, or rows of other months."""
    asked = [MONTH, *mart.grain, *mart.columns, *(("BilledCost", "EffectiveCost", "BillingCurrency") * mart.covers)]
    if lacking := [name for name in asked if name not in columns]:
        raise MartBroken(f"its SQL gives no column {lacking[0]}; it gives {', '.join(columns)}")
    (others,) = only_row(
        connection.execute(
            f"SELECT count(*) FROM temp.slice WHERE {quoted(MONTH)} IS DISTINCT FROM $month", {"month": month}
        )
    )
    if others:
        raise MartBroken(f"its SQL gives {others:,} rows of another month than $month in the column {MONTH}")


def _note(connection: duckdb.DuckDBPyConnection, mart: Mart, one: Slice, *, computed: bool = True) -> None:
    key = {"mart": mart.name, "month": one.month}
    connection.execute("DELETE FROM focus.mart_months WHERE Mart = $mart AND Month = $month", key)
    if computed:
        connection.execute(
            "INSERT INTO focus.mart_months VALUES ($mart, $month, $definition, $loaded)",
            key | {"definition": mart.definition, "loaded": one.loaded},
        )


def _grain(connection: duckdb.DuckDBPyConnection, mart: Mart) -> CheckedMart:
    grain = ", ".join(map(quoted, mart.grain))
    repeated = f'SELECT {grain}, count(*) AS "Rows" FROM temp.slice GROUP BY {grain} HAVING count(*) > 1'
    count, examples = _broken(connection, repeated)
    said = f"{', '.join(mart.grain)} tell the rows apart"
    if count:
        said = f"{count:,} combinations of {', '.join(mart.grain)} have more than one row; the mart's grain is another"
    return CheckedMart("grain", "ERROR", count, said, examples)


def _covers(connection: duckdb.DuckDBPyConnection, mart: Mart, month: str) -> CheckedMart:
    different = """
        SELECT BillingCurrency, mart.BilledCost, "table".BilledCost AS BilledCostOfTable, mart.EffectiveCost,
            "table".EffectiveCost AS EffectiveCostOfTable
        FROM (
            SELECT coalesce(BillingCurrency, '') AS BillingCurrency, sum(BilledCost) AS BilledCost,
                sum(EffectiveCost) AS EffectiveCost
            FROM temp.slice GROUP BY 1
        ) AS mart
        FULL JOIN (
            SELECT coalesce(BillingCurrency, '') AS BillingCurrency, sum(BilledCost) AS BilledCost,
                sum(EffectiveCost) AS EffectiveCost
            FROM focus.data_source_months WHERE Month = $month GROUP BY 1
        ) AS "table" USING (BillingCurrency)
        WHERE mart.BilledCost IS DISTINCT FROM "table".BilledCost
            OR mart.EffectiveCost IS DISTINCT FROM "table".EffectiveCost
    """
    count, examples = _broken(connection, different, {"month": month})
    said = "its BilledCost and EffectiveCost add up to the table's"
    if count:
        said = f"its costs do not add up to the table's in {count:,} currencies; rows are left out or counted twice"
    return CheckedMart("covers", "ERROR", count, said, examples)


def _own_check(connection: duckdb.DuckDBPyConnection, mart: Mart, check: MartCheck, month: str) -> CheckedMart:
    sql = check.sql.rstrip().rstrip(";")
    try:
        (statement,) = connection.extract_statements(sql)
        taken = {"month": month} if statement.named_parameters else None
        count, examples = _broken(connection, sql, taken)
    except duckdb.Error as error:
        raise MartBroken(f"its check {check.name} cannot be run: {str(error).partition(chr(10))[0]}") from error
    said = check.description if not count else f"{check.description}: {count:,} rows break it"
    return CheckedMart(check.name, check.severity, count, said, examples)


def _broken(
    connection: duckdb.DuckDBPyConnection, sql: str, taken: Mapping[str, str] | None = None
) -> tuple[int, tuple[dict[str, str | None], ...]]:
    (count,) = only_row(connection.execute(f"SELECT count(*) FROM ({sql})", taken))
    return count, tuple(_records(connection, f"FROM ({sql}) LIMIT {SHOWN_ROWS}", taken)) if count else ()


def _records(
    connection: duckdb.DuckDBPyConnection, rows: str, taken: Mapping[str, str] | None = None
) -> list[dict[str, str | None]]:
    """Rows as text, by column."""
    found = connection.execute(f"SELECT CAST(COLUMNS(*) AS VARCHAR) {rows}", taken)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
