"""36 months of 5 connections with 20,000 rows each: every mart of all months, and what one changed month costs; then
all that is drawn after it: pictures, status grid and report."""

import os
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from focus_pipeline.components import metadata
from focus_pipeline.components.connection_tree import ConnectionTree
from focus_pipeline.components.mart import marts
from focus_pipeline.focus.canonical import CANONICAL
from focus_pipeline.marts.mart import Mart
from focus_pipeline.marts.slices import ComputedSlice, compute_slices
from focus_pipeline.month_report.writing import write_month
from focus_pipeline.months import months_back
from focus_pipeline.pipeline.provider_costs import provider_costs
from focus_pipeline.pipeline.status import statuses_now
from focus_pipeline.settings import PROJECT_ROOT
from focus_pipeline.sql import quoted
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse.warehouse import Warehouse
from focus_pipeline_tests.bench.large_month import COLUMNS, charges
from focus_pipeline_tests.warehouses import warehouse_at

MONTHS = months_back("2026-10", int(os.environ.get("BENCH_MONTHS", "36")) - 1)
CONNECTIONS = [f"connection_{number}" for number in range(5)]
ROWS = int(os.environ.get("BENCH_MART_ROWS", "20000"))


def main() -> None:
    title = f"Marts over {len(MONTHS)} x {len(CONNECTIONS)} x {ROWS:,} rows"
    table = Table("", "seconds", "slices", title=title, title_justify="left")
    shipped = marts(ConnectionTree.for_project(PROJECT_ROOT / "focus_pipeline"))
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        warehouse = warehouse_at(Path(name) / "warehouse.duckdb")
        fill(warehouse, Path(name))
        for what, change in {
            "all months": None,
            "one changed month": MONTHS[-1],
            "one changed month, an older one": MONTHS[5],
        }.items():
            if change:
                load_again(warehouse, change)
            begun = time.perf_counter()
            computed = compute_slices(warehouse, shipped, None)
            seconds = time.perf_counter() - begun
            if what == "one changed month":
                drawn = drawn_after(computed, shipped, DataDir(Path(name)), warehouse)
            failed = [str(one.failed) for one in computed if one.failed]
            if failed:
                raise RuntimeError(failed[0])
            table.add_row(what, f"{seconds:.2f}", str(len(computed)))
        for what, (seconds, count) in drawn.items():
            table.add_row(f"after it: {what}", f"{seconds:.2f}", str(count))
    Console().print(table)


def drawn_after(
    computed: list[ComputedSlice], shipped: list[Mart], data_dir: DataDir, warehouse: Warehouse
) -> dict[str, tuple[float, int]]:
    """What -> seconds, and how many."""
    begun = time.perf_counter()
    pictures = sum(len(one.pictures) for one in computed)
    for one in computed:
        metadata.pictures(one.pictures)
    with warehouse.reading() as connection:
        table = provider_costs(connection)
    metadata.pictures(table)
    drawn = time.perf_counter()
    statuses = statuses_now(CONNECTIONS, data_dir)
    metadata.of_statuses(statuses)
    grid = time.perf_counter()
    write_month(MONTHS[-1], shipped, CONNECTIONS, data_dir, statuses)
    report = time.perf_counter()
    return {
        "pictures of marts and of the table": (drawn - begun, pictures + len(table)),
        "the status grid": (grid - drawn, len(statuses)),
        "the report": (report - grid, 1),
        "all of it": (report - begun, 1),
    }


def fill(warehouse: Warehouse, folder: Path) -> None:
    """Puts the same month into each month of each connection."""
    month = folder / "month.parquet"
    with charges(ROWS, False) as connection:
        connection.execute(f"COPY charges TO '{month}' (FORMAT parquet)")
    there = [name for name in COLUMNS if name in CANONICAL]
    with warehouse.writing() as connection:
        for one in MONTHS:
            for name in CONNECTIONS:
                connection.execute(
                    f"INSERT INTO focus.cost_and_usage ({', '.join(map(quoted, there))}, x_Connection, x_Month) "
                    f"SELECT {', '.join(map(quoted, there))}, '{name}', '{one}' FROM read_parquet('{month}')"
                )
        connection.execute(
            "INSERT INTO focus.data_source_months SELECT x_Connection, x_Month, SubAccountId, max(SubAccountName), "
            "BillingCurrency, count(*), sum(BilledCost), sum(EffectiveCost) FROM focus.cost_and_usage GROUP BY ALL"
        )
        connection.execute(
            "INSERT INTO focus.month_states SELECT DISTINCT Connection, Month, 'token', 'staged', 'token', 'staged' "
            "FROM focus.data_source_months"
        )

        connection.execute(
            """
            INSERT INTO focus.loads
            SELECT Connection, Month, 'token', 'staged', now()::TIMESTAMP, 1, 0, sum("Rows"),
                MAP {}, MAP {BillingCurrency: sum(BilledCost)}, row_number() OVER ()
            FROM focus.data_source_months
            GROUP BY Connection, Month, BillingCurrency
            """
        )


def load_again(warehouse: Warehouse, month: str) -> None:
    with warehouse.writing() as connection:
        connection.execute(
            "UPDATE focus.month_states SET StagedIdentity = StagedIdentity || '+' "
            "WHERE Month = $month AND Connection = $name",
            {"month": month, "name": CONNECTIONS[0]},
        )
