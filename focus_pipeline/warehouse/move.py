"""Copies a warehouse into another one, and proves them equal."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import duckdb

from focus_pipeline.focus.canonical import CANONICAL
from focus_pipeline.sql import literal, only_row, quoted, transaction
from focus_pipeline.warehouse.faults import WarehouseUnusable
from focus_pipeline.warehouse.warehouse import Warehouse

_TABLES = (
    "loads",
    "load_services",
    "conformance",
    "rejected_files",
    "data_source_months",
    "month_states",
    "exchange_rates",
)
_ALL = ("cost_and_usage", *_TABLES)


class NotEqual(WarehouseUnusable):
    """The copy differs from the source. It was rolled back."""


def move_warehouse(source: Warehouse, target: Warehouse, folder: Path, watch: Callable[[str], None]) -> dict[str, int]:
    """Copies all tables of schema focus from one warehouse into another that is empty; the source stays as it is.

    folder: below the data directory, for one table at a time as Parquet. watch: called with each table. Returns the
    rows of each table. Raises FileNotFoundError where there is no source, WarehouseUnusable where the target has
    months already or the copy would differ, and MachineFault.
    """
    if target.exists():
        with target.reading() as connection:
            if any(_counts(connection).values()):
                raise WarehouseUnusable(f"{target.place} holds something already; choose another place, or remove it")
    with source.reading() as before:
        with target.writing() as after, transaction(after):
            for table in _ALL:
                watch(f"focus.{table}")
                path = folder / f"{table}.parquet"
                names = _columns(before, table)
                before.execute(f"COPY (SELECT {names} FROM focus.{table}) TO {literal(str(path))} (FORMAT parquet)")
                after.execute(
                    f"INSERT INTO focus.{table} ({names}) SELECT {names} FROM read_parquet({literal(str(path))})"
                )
                path.unlink()
            counts, totals = _counts(before), _totals(before)
            compared: list[tuple[str, dict, dict]] = [
                ("rows", counts, _counts(after)),
                ("values", totals, _totals(after)),
            ]
            for what, one, other in compared:
                if one != other:
                    different = [str(key) for key in one | other if one.get(key) != other.get(key)]
                    raise NotEqual(
                        f"{target.place} would hold other {what} than {source.place}, the first of {different[0]}; "
                        "nothing was moved. Please report it"
                    )
    return counts


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> str:
    if table == "cost_and_usage":
        return ", ".join(map(quoted, CANONICAL))
    return ", ".join(quoted(row[0]) for row in connection.execute(f"DESCRIBE focus.{table}").fetchall())


def _counts(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    return {table: only_row(connection.execute(f"SELECT count(*) FROM focus.{table}"))[0] for table in _ALL}


def _totals(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, ...], tuple[int, Decimal, Decimal, int]]:
    """By connection, month, token and currency: rows, exact costs, and the sum of hashes over all values of a row."""
    values = ", ".join(f"CAST({quoted(name)} AS VARCHAR)" for name in CANONICAL)
    rows = connection.execute(
        f"""
        SELECT
            x_Connection, x_Month, coalesce(x_Token, ''), coalesce(BillingCurrency, ''),
            count(*), coalesce(sum(BilledCost), 0), coalesce(sum(EffectiveCost), 0), sum(hash({values}))
        FROM focus.cost_and_usage
        GROUP BY 1, 2, 3, 4
        """
    ).fetchall()
    return {row[:4]: row[4:] for row in rows}
