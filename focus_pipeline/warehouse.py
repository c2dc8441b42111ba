"""The DuckDB warehouse: opening it, its tables, and replacing one month of one connection.

The file is open for writing only while a month is published, for DuckDB lets no other process in meanwhile.
"""

import fcntl
import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import duckdb

from focus_pipeline.files import alone_in, make_folder
from focus_pipeline.focus.canonical import CANONICAL, LINEAGE
from focus_pipeline.focus.specification import columns, columns_of, versions
from focus_pipeline.machine import MachineFault, machine_fault, machine_faults
from focus_pipeline.records.staged import StagedMonth
from focus_pipeline.sql import Sandbox, open_duckdb, path_literal, quoted, transaction

VERSION_VIEWS = {version: f"cost_and_usage_v{version.replace('.', '_')}" for version in versions()}
"""FOCUS version -> name of the view in schema focus that shows the table with the columns of that version."""


_VERDICT_COLUMNS = """{
    connection: 'VARCHAR', month: 'VARCHAR', token: 'VARCHAR',
    rules: 'STRUCT(rule VARCHAR, "column" VARCHAR, "check" VARCHAR, level VARCHAR, severity VARCHAR, verdict VARCHAR,
            violations BIGINT, "rows" BIGINT, gap VARCHAR, examples JSON)[]'
}"""


# DuckDB fails within itself, too, where a file is no database.
_WITHIN_DUCKDB = (duckdb.InternalException, duckdb.FatalException)


class WarehouseUnusable(Exception):
    """The warehouse cannot be read or written now. The message says why, and what to do."""


class WarehouseLocked(WarehouseUnusable):
    """Another process has the warehouse open."""


class WarehouseDamaged(WarehouseUnusable):
    """The file is no warehouse that can be read: damaged, another program's, or of a newer DuckDB."""


class NotReconciled(Exception):
    """The table would not hold what was staged. Nothing was changed."""


# How DuckDB words what is wrong with its file or its write-ahead log.
_DAMAGE = re.compile(
    r"Corrupt (database|WAL) file|Failure while replaying WAL|newer version of DuckDB|not a valid DuckDB database"
)
_FOREIGN = re.compile(r"not a valid DuckDB database|is an existing extension|Is a directory")


@dataclass(frozen=True)
class Published:
    """A month as it was replaced. Costs by BillingCurrency ("" where a row has none), exact."""

    connection: str
    month: str
    token: str
    rows_before: int
    rows_after: int
    billed_cost_before: dict[str, Decimal]
    billed_cost_after: dict[str, Decimal]


class Account(NamedTuple):
    """Of a provider, and the connections that deliver it. provider, sub_account: "" where the rows have none."""

    provider: str
    billing_account: str
    sub_account: str
    connections: list[str]


@dataclass(frozen=True)
class DeliveredTwice:
    """Accounts that more than one connection delivers of a month: how many, and the first of them."""

    count: int
    first: list[Account]


@contextmanager
def open_warehouse(
    path: Path, *, read_only: bool = False, sandbox: Sandbox | None = None
) -> Iterator[duckdb.DuckDBPyConnection]:
    """The warehouse, with its tables, in UTC; closed in any case when the block ends.

    sandbox: what it may touch besides its own file; without it, the folder that it is in.

    Raises WarehouseLocked, naming the process that has it open; WarehouseDamaged; MachineFault where it cannot be
    reached; FileNotFoundError when read_only and there is none.
    """
    with machine_faults(f"the warehouse {path} cannot be reached"):
        there = path.exists()
    if read_only and not there:
        raise FileNotFoundError(f"there is no warehouse {path} yet; it comes with the first published month")
    sandbox = sandbox or Sandbox((path.parent,))
    with _named_faults(path):
        if not there:
            with machine_faults(f"the warehouse {path} cannot be made"):
                _create(path, sandbox)
        with ExitStack() as stack:
            try:
                connection = stack.enter_context(open_duckdb(sandbox, path, read_only=read_only))
            except (duckdb.InterruptException, duckdb.ConnectionException):
                raise
            except duckdb.Error as error:
                raise _cannot_be_opened(path, error) from None
            if not read_only:
                _create_tables(connection)
            yield connection


def is_open_elsewhere(path: Path) -> bool:
    """Whether another process has the file open as a database, be it only to read. Raises OSError."""
    if not path.is_file():
        return False
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # of the kind that DuckDB takes
        except (BlockingIOError, PermissionError):
            return True
    return False


def write_ahead_log(path: Path) -> Path:
    """Beside the warehouse: what was committed and is not in its file yet. There is none while nobody has it open."""
    return path.with_name(f"{path.name}.wal")


def published_identity(connection: duckdb.DuckDBPyConnection, name: str, month: str) -> str | None:
    """StagedMonth.identity of what the table shows of a month, None where nothing was published."""
    row = connection.execute(
        "SELECT StagedIdentity FROM focus.loads WHERE Connection = $name AND Month = $month "
        "ORDER BY PublishedAt DESC, rowid DESC LIMIT 1",
        {"name": name, "month": month},
    ).fetchone()
    return row and row[0]


def replace_month(connection: duckdb.DuckDBPyConnection, staged: StagedMonth) -> Published:
    """Replaces the month of the staged delivery's connection, in one transaction: readers see the old or the new.

    Raises NotReconciled, changing nothing, when the table would hold other rows or costs than the staged file.
    """
    key = {"name": staged.connection, "month": staged.month}
    of_month = "WHERE x_Connection = $name AND x_Month = $month"
    names = ", ".join(map(quoted, CANONICAL))
    paths = ", ".join(map(path_literal, staged.paths))
    nothing = "(SELECT * FROM focus.cost_and_usage WHERE false)"
    rows = f"read_parquet([{paths}], hive_partitioning = false)" if paths else nothing
    staged_names = names.replace(quoted("x_Token"), "$token")
    with transaction(connection):
        before = _totals(connection, f"focus.cost_and_usage {of_month}", key)
        connection.execute(f"DELETE FROM focus.cost_and_usage {of_month}", key)
        connection.execute(
            f"INSERT INTO focus.cost_and_usage ({names}) SELECT {staged_names} FROM {rows}", {"token": staged.token}
        )
        after = _totals(connection, f"focus.cost_and_usage {of_month}", key)
        expected = {
            t.currency or "": (t.rows, Decimal(t.billed_cost), Decimal(t.effective_cost)) for t in staged.totals
        }
        if after != expected:
            raise NotReconciled(
                f"{staged.connection} {staged.month}: the table would hold {after}, staged is {expected}; "
                "nothing was published. Materialise cost_and_usage of this month again"
            )
        connection.execute("DELETE FROM focus.data_source_months WHERE Connection = $name AND Month = $month", key)
        connection.execute(
            f"""
            INSERT INTO focus.data_source_months
            SELECT
                x_Connection, x_Month, SubAccountId, max(SubAccountName), BillingCurrency,
                count(*), coalesce(sum(BilledCost), 0), coalesce(sum(EffectiveCost), 0)
            FROM {rows}
            GROUP BY x_Connection, x_Month, SubAccountId, BillingCurrency
            """
        )
        published = Published(
            connection=staged.connection,
            month=staged.month,
            token=staged.token,
            rows_before=sum(rows for rows, _, _ in before.values()),
            rows_after=sum(rows for rows, _, _ in after.values()),
            billed_cost_before={currency: billed for currency, (_, billed, _) in before.items()},
            billed_cost_after={currency: billed for currency, (_, billed, _) in after.items()},
        )
        _record_load(connection, published, staged)
    return published


def delivered_twice(connection: duckdb.DuckDBPyConnection, month: str, shown: int) -> DeliveredTwice:
    """What several connections deliver of a month, and so is in it twice."""
    rows = connection.execute(
        """
        WITH accounts AS (
            SELECT
                coalesce(ServiceProviderName, '') AS provider,
                BillingAccountId,
                coalesce(SubAccountId, '') AS sub_account,
                list_sort(list(DISTINCT x_Connection)) AS connections
            FROM focus.cost_and_usage
            WHERE x_Month = $month
            GROUP BY ALL
            HAVING min(x_Connection) <> max(x_Connection)
        )
        SELECT (SELECT count(*) FROM accounts), accounts.* FROM accounts ORDER BY ALL LIMIT $shown
        """,
        {"month": month, "shown": shown},
    ).fetchall()
    return DeliveredTwice(rows[0][0] if rows else 0, [Account(*row[1:]) for row in rows])


def record_verdict(connection: duckdb.DuckDBPyConnection, staged: StagedMonth, verdict: Path) -> None:
    """Puts the verdict on a delivery, from its JSON file, and its rejected files in the place of the month's former."""
    key = {"name": staged.connection, "month": staged.month}
    with transaction(connection):
        connection.execute("DELETE FROM focus.conformance WHERE Connection = $name AND Month = $month", key)
        connection.execute(
            f"""
            INSERT INTO focus.conformance
            SELECT
                connection, month, token, judged.rule, judged."column", judged."check", judged.level, judged.severity,
                judged.verdict, judged.violations, judged."rows", judged.gap, judged.examples
            FROM (
                SELECT connection, month, token, unnest(rules) AS judged
                FROM read_json({path_literal(verdict)}, columns = {_VERDICT_COLUMNS})
            )
            """
        )
        connection.execute("DELETE FROM focus.rejected_files WHERE Connection = $name AND Month = $month", key)
        for file in staged.rejected_files:
            connection.execute(
                """
                INSERT INTO focus.rejected_files
                VALUES ($name, $month, $token, $file, $bytes, $rule, $reason, $examples)
                """,
                {
                    "name": staged.connection,
                    "month": staged.month,
                    "token": staged.token,
                    "file": file.key,
                    "bytes": file.size,
                    "rule": file.rejection.rule,
                    "reason": file.rejection.reason,
                    "examples": json.dumps(file.rejection.examples),
                },
            )


def _create(path: Path, sandbox: Sandbox) -> None:
    """Makes the warehouse beside its place, so that nobody finds half of one."""
    make_folder(path.parent)
    with alone_in(path.parent):
        if path.exists():
            return
        # That of a warehouse that was deleted: DuckDB would apply it to the new one.
        write_ahead_log(path).unlink(missing_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            new = Path(folder) / path.name
            with open_duckdb(sandbox, new) as connection:
                _create_tables(connection)
            new.rename(path)


@contextmanager
def _named_faults(path: Path) -> Iterator[None]:
    """What is wrong with the file itself, or with where it is, whenever DuckDB comes upon it."""
    try:
        yield
    except duckdb.Error as error:
        if _DAMAGE.search(str(error)) or f'bytes from file "{path}"' in str(error):
            raise WarehouseDamaged(_damaged(path, error)) from None
        if not isinstance(error, _WITHIN_DUCKDB) and (said := machine_fault(error)) is not None:
            raise MachineFault(f"the warehouse {path}: {said}") from error
        raise


def _cannot_be_opened(path: Path, error: duckdb.Error) -> Exception:
    if "Could not set lock on file" in str(error):
        return WarehouseLocked(_who_holds(path, str(error)))
    if not isinstance(error, _WITHIN_DUCKDB) and (said := machine_fault(error)) is not None:
        return MachineFault(f"the warehouse {path} cannot be opened: {said}")
    return WarehouseDamaged(_damaged(path, error))


def _damaged(path: Path, error: duckdb.Error) -> str:
    text = str(error)
    if "newer version of DuckDB" in text:
        what = f"was written by a newer DuckDB than {duckdb.__version__}, which is installed"
    elif _FOREIGN.search(text):
        what = "is empty, or the file of another program: DuckDB does not know it"
    else:
        what = f"is damaged ({text.splitlines()[0].removeprefix('IO Error: ')[:200]})"
    return (
        f"the warehouse {path} {what}. Nothing is lost: all that is published is also in staged/ and landing/. "
        "`focus-pipeline warehouse rebuild` puts the file aside and makes the warehouse anew from them"
    )


def _create_tables(connection: duckdb.DuckDBPyConnection) -> None:
    columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in CANONICAL.items())
    connection.execute(resources.files("focus_pipeline").joinpath("warehouse.sql").read_text("utf-8"))
    connection.execute(f"CREATE TABLE IF NOT EXISTS focus.cost_and_usage ({columns})")
    there = {row[0] for row in connection.execute("DESCRIBE focus.cost_and_usage").fetchall()}
    for name, kind in CANONICAL.items():
        if name not in there:  # a newer FOCUS version was added to the data since the table was made
            connection.execute(f"ALTER TABLE focus.cost_and_usage ADD COLUMN {quoted(name)} {kind}")
    for version, view in VERSION_VIEWS.items():
        connection.execute(f"CREATE OR REPLACE VIEW focus.{view} AS {_as_of_version(version)}")


def _as_of_version(version: str) -> str:
    """The SELECT of a version's columns; one that a later version renamed has the values of its successor, too."""
    successors = {column.filled_from: name for name, column in columns().items() if column.filled_from}
    selected = [
        f"coalesce({quoted(name)}, {quoted(successors[name])}) AS {quoted(name)}"
        if name in successors
        else quoted(name)
        for name in columns_of(version)
    ]
    return f"SELECT {', '.join([*selected, *map(quoted, LINEAGE)])} FROM focus.cost_and_usage"


def _totals(
    connection: duckdb.DuckDBPyConnection, table: str, parameters: dict[str, str]
) -> dict[str, tuple[int, Decimal, Decimal]]:
    rows = connection.execute(
        "SELECT coalesce(BillingCurrency, ''), count(*), coalesce(sum(BilledCost), 0), coalesce(sum(EffectiveCost), 0) "
        f"FROM {table} GROUP BY 1 ORDER BY 1",
        parameters,
    ).fetchall()
    return {currency: (count, billed, effective) for currency, count, billed, effective in rows}


def _record_load(connection: duckdb.DuckDBPyConnection, published: Published, staged: StagedMonth) -> None:
    connection.execute(
        """
        INSERT INTO focus.loads VALUES (
            $name, $month, $token, $identity, $at, $files, $rows_before, $rows_after,
            map(CAST($before_currencies AS VARCHAR[]), CAST($before_costs AS DECIMAL(38, 18)[])),
            map(CAST($after_currencies AS VARCHAR[]), CAST($after_costs AS DECIMAL(38, 18)[]))
        )
        """,
        {
            "name": published.connection,
            "month": published.month,
            "token": published.token,
            "identity": staged.identity,
            "at": datetime.now(UTC).replace(tzinfo=None),
            "files": len(staged.accepted_files),
            "rows_before": published.rows_before,
            "rows_after": published.rows_after,
            "before_currencies": list(published.billed_cost_before),
            "before_costs": list(map(str, published.billed_cost_before.values())),
            "after_currencies": list(published.billed_cost_after),
            "after_costs": list(map(str, published.billed_cost_after.values())),
        },
    )


def _who_holds(path: Path, message: str) -> str:
    process = re.search(r"held in (.+?) \(PID (\d+)\)", message)
    holder = f"the process {process[2]} ({process[1]})" if process else "another process"
    return (
        f"{path} is open in {holder}, and DuckDB lets one writing process in at a time. Close it there, or end that "
        "process, and run this again; read the table with a connection that is opened read-only and closed after use"
    )


# Table -> its column that names the connection.
_NAMED_BY = {
    "cost_and_usage": "x_Connection",
    "data_source_months": "Connection",
    "loads": "Connection",
    "conformance": "Connection",
    "rejected_files": "Connection",
}


def rows_of_connections(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, int]]:
    """Connection -> month -> rows that the table shows, of all that the warehouse names, be it with no row."""
    found: dict[str, dict[str, int]] = {}
    for table in ("loads", "conformance", "rejected_files"):
        for (name,) in connection.execute(f"SELECT DISTINCT Connection FROM focus.{table}").fetchall():
            found.setdefault(name, {})
    counted = connection.execute(
        'SELECT Connection, Month, CAST(sum("Rows") AS BIGINT) FROM focus.data_source_months GROUP BY ALL ORDER BY ALL'
    )
    for name, month, rows in counted.fetchall():
        found.setdefault(name, {})[month] = rows
    return found


def rename_in_tables(connection: duckdb.DuckDBPyConnection, old: str, new: str) -> None:
    """Everything of one connection is another's from now on, in one transaction.

    Of a month that the other one has published itself, its own rows stay, and those of the former go.
    """
    with transaction(connection):
        # Verdicts tell of the latest delivery, published or not.
        published, judged = (
            connection.execute(
                f"SELECT list(DISTINCT Month) FROM focus.{table} WHERE Connection = ?", [new]
            ).fetchone()[0]
            for table in ("loads", "conformance")
        )
        for table, column in _NAMED_BY.items():
            month = "x_Month" if table == "cost_and_usage" else "Month"
            kept = judged if table in ("conformance", "rejected_files") else published
            connection.execute(
                f"DELETE FROM focus.{table} WHERE {column} = $old AND list_contains(CAST($kept AS VARCHAR[]), {month})",
                {"old": old, "kept": kept or []},
            )
            connection.execute(
                f"UPDATE focus.{table} SET {column} = $new WHERE {column} = $old", {"old": old, "new": new}
            )


def remove_from_tables(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Takes everything of a connection out, in one transaction."""
    with transaction(connection):
        for table, column in _NAMED_BY.items():
            connection.execute(f"DELETE FROM focus.{table} WHERE {column} = $name", {"name": name})
