"""The way of a month through the steps that a run of Dagster takes, and what the warehouse shows of it then."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import duckdb

from focus_pipeline.connections.delivery import Connection, Delivery
from focus_pipeline.focus.canonical import CANONICAL
from focus_pipeline.pipeline.judge import judge
from focus_pipeline.pipeline.land import land
from focus_pipeline.pipeline.publish import publish_months
from focus_pipeline.pipeline.stage import StagedMonth, stage
from focus_pipeline.records.verdicts import Verdict
from focus_pipeline.sql import quoted
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse.faults import WarehouseLocked
from focus_pipeline.warehouse.warehouse import warehouse_of

STEPS = ("land", "stage", "judge", "publish")

# Somebody else has it open for a moment: a step of Dagster is tried again, too.
_PATIENCE_SECONDS = 60.0


def take(
    connection: Connection,
    month: str,
    data_dir: DataDir,
    *,
    delivery: Delivery | None = None,
    before: Callable[[str], None] = lambda step: None,
) -> tuple[StagedMonth, Verdict]:
    """Takes a month from its discovery to the unified table. before: is called with each of STEPS as it begins.

    delivery: what was discovered earlier.
    """
    before("land")
    landed = land(connection, delivery or connection.discover([month]).deliveries[month], data_dir)
    before("stage")
    staged = stage(landed, data_dir, month_rule=connection.month_rule)
    before("judge")
    # The deliveries of an attack shrink and grow at will: none is to be held back for that.
    verdict = judge(staged, data_dir, month_rule=connection.month_rule, accept_loss=True)
    before("publish")
    publish(month, data_dir)
    return staged, verdict


def publish(month: str, data_dir: DataDir) -> None:
    """Publishes a month. Raises WarehouseLocked when others are at it for a minute, and what holds up the month."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            published = publish_months([month], data_dir, warehouse_of(data_dir))[month]
        except WarehouseLocked:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            for error in published.failed.values():
                raise error
            return


@dataclass(frozen=True)
class Shown:
    """What the unified table holds of a month. content: of every column of every row but the token."""

    rows: int
    cost: str
    content: str | None
    tokens: tuple[str, ...]


NOTHING = Shown(0, "0.000000000000000000", None, ())


def shown(warehouse: duckdb.DuckDBPyConnection, connection: str, month: str) -> Shown:
    columns = ", ".join(f"CAST({quoted(name)} AS VARCHAR)" for name in CANONICAL if name != "x_Token")
    rows, cost, content, tokens = warehouse.execute(
        f"""
        SELECT
            count(*), CAST(CAST(coalesce(sum(BilledCost), 0) AS DECIMAL(38, 18)) AS VARCHAR),
            CAST(sum(hash({columns})) AS VARCHAR), coalesce(list_sort(list(DISTINCT x_Token)), [])
        FROM focus.cost_and_usage
        WHERE x_Connection = $connection AND x_Month = $month
        """,
        {"connection": connection, "month": month},
    ).fetchone()
    return Shown(rows, cost, content, tuple(tokens))


def shown_after(connection: str, month: str, data_dir: DataDir) -> Shown:
    """What a reader sees who comes now; of a warehouse that is not there, nothing."""
    try:
        with warehouse_of(data_dir).reading() as warehouse:
            return shown(warehouse, connection, month)
    except FileNotFoundError:
        return NOTHING
