"""Finds the months of marts that are due, computes them, and replaces what the marts had of them."""

import hashlib
import logging
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import chain

import duckdb

from focus_pipeline.machine import machine_faults
from focus_pipeline.marts.exchange_rates import rates_of
from focus_pipeline.marts.functions import calls_functions, functions
from focus_pipeline.marts.mart import MONTH, Figure, Mart, MartCheck, in_order, parameters_of
from focus_pipeline.marts.pictures import drawables
from focus_pipeline.months import months_back
from focus_pipeline.pictures.picture import Drawable, Picture
from focus_pipeline.sql import literal, only_row, quoted, transaction
from focus_pipeline.warehouse.warehouse import Warehouse

logger = logging.getLogger(__name__)

SHOWN_ROWS = 10

# Of a longer run, the newest months have pictures.
PICTURED_MONTHS = 12


class MartBroken(Exception):
    """A mart's SQL fails, or returns something else than its YAML promises. The message names mart and fault."""


@dataclass(frozen=True)
class Slice:
    """A month of a mart. loaded: fingerprint of the loads that it is made from."""

    mart: str
    month: str
    loaded: str


@dataclass(frozen=True)
class CheckedMart:
    """The result of a check. count: rows or groups that break it. examples: some of them, as text by column."""

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
    """A month of a mart as it was computed, or why it could not be.

    columns: name -> DuckDB type. preview: its first rows, as text. figures: name, with the currency if there is one for
    each -> number. pictures: what is to be drawn of it. failed: why; the mart then stays as it was.
    """

    mart: str
    month: str
    rows: int = 0
    seconds: float = 0.0
    columns: Mapping[str, str] = field(default_factory=dict)
    preview: tuple[dict[str, str | None], ...] = ()
    checks: tuple[CheckedMart, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    pictures: tuple[Drawable, ...] = ()
    failed: Exception | None = None


def due_slices(connection: duckdb.DuckDBPyConnection, marts: Sequence[Mart]) -> list[Slice]:
    """The months of marts that were made from something else than the table shows now, or by another definition.

    connection: of warehouse.reading() or writing(). Raises duckdb.Error.
    """
    return _asked(_known(connection), marts, None)


def computed_months(connection: duckdb.DuckDBPyConnection) -> dict[str, set[str]]:
    """Mart -> the months that its table has. Raises duckdb.Error."""
    return {mart: set(months) for mart, months in _known(connection).computed.items()}


def compute_slices(
    warehouse: Warehouse, marts: Sequence[Mart], months: Collection[str] | None, memory_limit: str | None = None
) -> list[ComputedSlice]:
    """Computes these months of the marts, or all that is due if `months` is None.

    Each mart comes after those that it reads. If a mart's definition has changed, all of its months are computed, so
    that its rows never mix two definitions. All months of a mart are replaced in one transaction. A mart that fails
    stays as it was and stops no other.

    Raises WarehouseUnusable, FileNotFoundError if nothing was published yet, and MachineFault.
    """
    try:
        with warehouse.reading() as connection:
            known = _known(connection)
            if not _asked(known, marts, months) and not any(known.gone(mart) for mart in marts):
                return []
    except duckdb.CatalogException:  # of an earlier version, which writing brings up to date
        pass
    computed: list[ComputedSlice] = []
    with warehouse.writing() as connection, machine_faults("computing marts", memory_limit):
        for mart in in_order(marts):
            known = _known(connection)  # with the marts before, which this one may read
            for month in known.gone(mart):
                _forget(connection, mart, month)
            if slices := _asked(known, [mart], months):
                computed += _replaced(connection, mart, slices)
    return computed


@dataclass(frozen=True)
class _Known:
    """What a warehouse has.

    loaded: month -> fingerprint of what the table shows of it. computed: mart -> month -> the definition and the
    fingerprint that its rows were made from. rates: see rates_of().
    """

    loaded: Mapping[str, str]
    computed: Mapping[str, Mapping[str, tuple[str, str]]]
    rates: Mapping[tuple[str, str], str]

    def of(self, mart: Mart) -> Mapping[str, tuple[str, str]]:
        return self.computed.get(mart.name, {})

    def gone(self, mart: Mart) -> list[str]:
        """Months that the mart has and the table no longer shows."""
        return sorted(self.of(mart).keys() - self.loaded.keys())


def _known(connection: duckdb.DuckDBPyConnection) -> _Known:
    loaded = connection.execute(
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
    computed: dict[str, dict[str, tuple[str, str]]] = {}
    for mart, month, *made_of in connection.execute(
        "SELECT Mart, Month, Definition, Loaded FROM focus.mart_months"
    ).fetchall():
        computed.setdefault(mart, {})[month] = tuple(made_of)
    return _Known(dict(loaded), computed, rates_of(connection))


def _asked(known: _Known, marts: Sequence[Mart], months: Collection[str] | None) -> list[Slice]:
    asked = []
    for mart in marts:
        definition, computed = mart.definition, known.of(mart)
        has_changed = any(former != definition for former, _ in computed.values())
        for month in known.loaded:
            fingerprint = _fingerprint(mart, month, known)
            is_due = computed.get(month) != (definition, fingerprint)
            if is_due if months is None else has_changed or month in months:
                asked.append(Slice(mart.name, month, fingerprint))
    return asked


def _fingerprint(mart: Mart, month: str, known: _Known) -> str:
    """Of what a month of a mart is made from: the loads and the marts that it reads, and the rates that convert it."""
    months = months_back(month, mart.months_back)
    read = [f"{one}={known.loaded[one]}" for one in months if one in known.loaded]
    for name in mart.reads:
        of_mart = known.computed.get(name, {})
        read += [f"{name}/{one}={'/'.join(of_mart[one])}" for one in months if one in of_mart]
    if mart.convert_to:
        read.append(known.rates.get((month, mart.convert_to), "no rates"))
    return hashlib.sha256(",".join(read).encode()).hexdigest()[:20]


def _forget(connection: duckdb.DuckDBPyConnection, mart: Mart, month: str) -> None:
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
    # After all months are there, which pictures of several show; and outside of the transaction, which a fault ends.
    has_currency = "BillingCurrency" in computed[0].columns

    @cache
    def values(picture: Picture, month: str) -> tuple[Drawable, ...]:
        return tuple(drawables(connection, picture, mart.name, month, has_currency=has_currency))

    def pictured(one: ComputedSlice) -> ComputedSlice:
        # A picture of several months is the same on each of them.
        found = [values(picture, one.month if picture.months == 1 else month) for picture in mart.pictures]
        return replace(one, pictures=tuple(chain.from_iterable(found)))

    return [*computed[:-PICTURED_MONTHS], *map(pictured, computed[-PICTURED_MONTHS:])]


def _replace(connection: duckdb.DuckDBPyConnection, mart: Mart, one: Slice) -> ComputedSlice:
    begun = time.perf_counter()
    first_month = months_back(one.month, mart.months_back)[0]
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE slice AS {mart.sql.rstrip().rstrip(';')}",
        parameters_of(mart, one.month, first_month),
    )
    columns = _columns(connection, "temp.slice")
    _check_columns(connection, mart, one.month, columns)
    if mart.converted:
        _convert(connection, mart, list(columns))
        columns = _columns(connection, "temp.slice")
    if _columns_of_table(connection, mart) != columns:
        connection.execute(f"DROP TABLE IF EXISTS {mart.table}")
        connection.execute(f"CREATE TABLE {mart.table} AS FROM temp.slice LIMIT 0")
        # This drops its other months: they are due again.
        connection.execute("DELETE FROM focus.mart_months WHERE Mart = $mart", {"mart": mart.name})
    key = {"month": one.month}
    connection.execute(f"DELETE FROM {mart.table} WHERE {quoted(MONTH)} = $month", key)
    connection.execute(f"INSERT INTO {mart.table} FROM temp.slice")
    _note(connection, mart, one)
    (rows,) = only_row(connection.execute("SELECT count(*) FROM temp.slice"))
    checks = [_grain(connection, mart)]
    if mart.covers:
        checks.append(_covers(connection, mart, one.month))
    if mart.converted:
        checks.append(_rates(connection, mart))
    checks += [_own_check(connection, mart, check, one.month) for check in mart.checks]
    preview = _records(connection, f"FROM temp.slice LIMIT {SHOWN_ROWS}")
    figures = {name: value for figure in mart.figures for name, value in _figures(connection, figure, one.month)}
    return ComputedSlice(
        mart.name, one.month, rows, time.perf_counter() - begun, columns, tuple(preview), tuple(checks), figures
    )


def _convert(connection: duckdb.DuckDBPyConnection, mart: Mart, columns: Sequence[str]) -> None:
    """Puts the converted amounts beside the original ones."""
    selected = []
    for name in columns:
        selected.append(f"slice.{quoted(name)}")
        if name in mart.converted:
            # A rate has fewer digits than a DOUBLE.
            product = f"CAST(CAST(slice.{quoted(name)} AS DOUBLE) * CAST(Rate AS DOUBLE) AS DECIMAL(38, 6))"
            selected.append(
                f"CASE WHEN BillingCurrency = $to THEN round(slice.{quoted(name)}, 6) ELSE {product} END "
                f"AS {quoted(mart.converted[name])}"
            )
    connection.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE slice AS
        SELECT {", ".join(selected)}
        FROM temp.slice AS slice
        LEFT JOIN (FROM focus.exchange_rates WHERE ToCurrency = $to) AS rates
            ON slice.BillingCurrency = rates.FromCurrency AND slice.{quoted(MONTH)} = rates.Month
        """,
        {"to": mart.convert_to},
    )


def _comment(connection: duckdb.DuckDBPyConnection, mart: Mart) -> None:
    """Comments the mart and its columns, for readers in any SQL client. Writes only comments that differ."""
    of_table = "database_name = current_database() AND schema_name = 'marts' AND table_name = $name"
    name = {"name": mart.name}
    (known,) = only_row(connection.execute(f"SELECT comment FROM duckdb_tables() WHERE {of_table}", name))
    if known != mart.description:
        connection.execute(f"COMMENT ON TABLE {mart.table} IS {literal(mart.description)}")
    rows = connection.execute(f"SELECT column_name, comment FROM duckdb_columns() WHERE {of_table}", name).fetchall()
    for column, said in rows:
        if (meaning := mart.meanings.get(column)) is not None and said != meaning:
            connection.execute(f"COMMENT ON COLUMN {mart.table}.{quoted(column)} IS {literal(meaning)}")


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    return {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE {table}").fetchall()}


def _columns_of_table(connection: duckdb.DuckDBPyConnection, mart: Mart) -> dict[str, str]:
    """Empty for a mart that has no table yet."""
    exists = connection.execute(
        "SELECT 1 FROM duckdb_tables() "
        "WHERE database_name = current_database() AND schema_name = 'marts' AND table_name = $name",
        {"name": mart.name},
    ).fetchone()
    return _columns(connection, mart.table) if exists else {}


def _check_columns(connection: duckdb.DuckDBPyConnection, mart: Mart, month: str, columns: Mapping[str, str]) -> None:
    """Raises MartBroken for a slice that lacks a column of the YAML, or has rows of another month."""
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


def _rates(connection: duckdb.DuckDBPyConnection, mart: Mart) -> CheckedMart:
    amounts = " AND ".join(f"{quoted(name)} IS NULL" for name in mart.converted.values())
    original = " OR ".join(f"{quoted(name)} <> 0" for name in mart.converted)
    lacking = f"""
        SELECT {quoted(MONTH)} AS Month, BillingCurrency AS "From", {literal(mart.convert_to or "")} AS "To",
            count(*) AS "Rows"
        FROM temp.slice
        WHERE ({original}) AND {amounts}
        GROUP BY ALL
        ORDER BY BillingCurrency
    """
    count, examples = _broken(connection, lacking)
    said = f"every amount is converted to {mart.convert_to}"
    if count:
        currencies = ", ".join(str(example["From"]) for example in examples)
        said = f"no rate to {mart.convert_to} for {currencies} in this month; add it to the file of exchange rates"
    return CheckedMart("rates", "WARN", count, said, examples)


def _figures(connection: duckdb.DuckDBPyConnection, figure: Figure, month: str) -> Iterator[tuple[str, float]]:
    try:
        rows = connection.execute(figure.sql, _taken(connection, figure.sql, month)).fetchall()
        for *currency, value in rows:
            if value is not None:
                yield " ".join([figure.name, *map(str, currency)]), float(value)
    except (duckdb.Error, ValueError, TypeError) as error:
        said = str(error).partition("\n")[0]
        raise MartBroken(f"its figure {figure.name} cannot be worked out: {said}") from error


def _taken(connection: duckdb.DuckDBPyConnection, sql: str, month: str) -> dict[str, str] | None:
    """What a SELECT takes that may name $month."""
    (statement,) = connection.extract_statements(sql)
    return {"month": month} if statement.named_parameters else None


def _own_check(connection: duckdb.DuckDBPyConnection, mart: Mart, check: MartCheck, month: str) -> CheckedMart:
    sql = check.sql.rstrip().rstrip(";")
    try:
        count, examples = _broken(connection, sql, _taken(connection, sql, month))
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
