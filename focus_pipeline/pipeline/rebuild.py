"""Makes the warehouse anew from staged/, and what is missing there from landing/."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from focus_pipeline.files import alone_in, make_folder
from focus_pipeline.pipeline.judge import judge
from focus_pipeline.pipeline.publish import publish_month
from focus_pipeline.pipeline.stage import stage
from focus_pipeline.records.accepted import accepted_delivery
from focus_pipeline.records.landed import current_token, landed_deliveries, months_by_connection
from focus_pipeline.records.staged import StagedMonth, staged_month
from focus_pipeline.records.verdicts import verdict_path
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse import (
    WarehouseLocked,
    is_open_elsewhere,
    open_warehouse,
    record_verdict,
    write_ahead_log,
)


@dataclass(frozen=True)
class Reading:
    """How a connection has its files read, as stage() and judge() take it."""

    month_rule: bool
    focus_version: str | None


@dataclass
class Rebuilt:
    """aside: where the former file is now, None where there was none. months, rows: (connection, month) -> rows.

    staged_again: what was made from landing/. lacking: what could not be, and why.
    """

    aside: Path | None = None
    rows: dict[tuple[str, str], int] = field(default_factory=dict)
    staged_again: list[str] = field(default_factory=list)
    lacking: list[str] = field(default_factory=list)


def rebuild_warehouse(
    data_dir: DataDir, readings: Mapping[str, Reading], watch: Callable[[str], None] = lambda _: None
) -> Rebuilt:
    """Publishes every accepted month of every connection into a new warehouse, which then takes the old one's place.

    readings: of the connections that are defined. watch: is told what is being done.
    Until all is done the old file stays where it is. Raises WarehouseLocked while another process has it open.
    """
    _refuse_if_open(data_dir.warehouse)
    rebuilt = Rebuilt()
    make_folder(data_dir.root)
    with tempfile.TemporaryDirectory(dir=data_dir.root, prefix=f".{data_dir.warehouse.name}.") as folder:
        new = Path(folder) / data_dir.warehouse.name
        with open_warehouse(new, sandbox=data_dir.sandbox) as warehouse:
            for name, month in months_by_connection(data_dir):
                watch(f"{name} {month}")
                _restore(name, month, data_dir, readings.get(name), rebuilt)
                _record_latest_verdict(warehouse, name, month, data_dir)
            _publish_all(warehouse, data_dir, rebuilt)
        with alone_in(data_dir.root):
            _refuse_if_open(data_dir.warehouse)
            rebuilt.aside = _put_aside(data_dir.warehouse)
            new.rename(data_dir.warehouse)
    # What runs have accepted meanwhile; of the rest there is nothing to do.
    with open_warehouse(data_dir.warehouse, sandbox=data_dir.sandbox) as warehouse:
        _publish_all(warehouse, data_dir, rebuilt)
    return rebuilt


def _publish_all(warehouse: duckdb.DuckDBPyConnection, data_dir: DataDir, rebuilt: Rebuilt) -> None:
    for month in sorted({month for _, month in months_by_connection(data_dir)}):
        for name, staged in publish_month(month, data_dir, warehouse).shown.items():
            rebuilt.rows[name, month] = staged.rows


def _restore(name: str, month: str, data_dir: DataDir, reading: Reading | None, rebuilt: Rebuilt) -> None:
    """Stages and judges what is missing in staged/: the latest delivery, and the last one that was accepted."""
    deliveries = landed_deliveries(name, month, data_dir)
    if _accepted_is_staged(name, month, data_dir):
        deliveries = [
            delivery for delivery in deliveries[:1] if not verdict_path(name, month, delivery.token, data_dir).exists()
        ]
    elif not deliveries:
        rebuilt.lacking.append(f"{name} {month}: its rows are neither in staged/ nor in landing/")
    if not deliveries:
        return
    if reading is None:
        rebuilt.lacking.append(
            f"{name} {month}: it has to be read from landing/ again, and defs/ has no connection {name} that says how"
        )
        return
    rebuilt.staged_again.append(f"{name} {month}")
    for delivery in deliveries:
        staged = stage(delivery, data_dir, month_rule=reading.month_rule, focus_version=reading.focus_version)
        if judge(staged, data_dir, month_rule=reading.month_rule).accepted:
            return


def _accepted_is_staged(name: str, month: str, data_dir: DataDir) -> bool:
    accepted = accepted_delivery(name, month, data_dir)
    staged = accepted and staged_month(name, month, accepted.token, data_dir)
    return bool(staged) and staged.identity == accepted.identity and staged.is_intact


def _record_latest_verdict(warehouse: duckdb.DuckDBPyConnection, name: str, month: str, data_dir: DataDir) -> None:
    staged = _latest_judged(name, month, data_dir)
    if staged is not None:
        record_verdict(warehouse, staged, verdict_path(name, month, staged.token, data_dir))


def _latest_judged(name: str, month: str, data_dir: DataDir) -> StagedMonth | None:
    accepted = accepted_delivery(name, month, data_dir)
    tokens = [current_token(name, month, data_dir), accepted and accepted.token]
    staged = (staged_month(name, month, token, data_dir) for token in tokens if token)
    return next((one for one in staged if one and verdict_path(name, month, one.token, data_dir).exists()), None)


def _refuse_if_open(path: Path) -> None:
    if is_open_elsewhere(path):
        raise WarehouseLocked(
            f"{path} is open in another process. End the runs that publish, and close it where it is looked at (`lsof "
            f"{path}` names the processes); then run this again"
        )


def _put_aside(path: Path) -> Path | None:
    """Renames the warehouse and its write-ahead log; where they are now."""
    if not path.exists():
        write_ahead_log(path).unlink(missing_ok=True)
        return None
    aside = path.with_name(f"{path.stem}-until-{datetime.now(UTC):%Y%m%dT%H%M%SZ}{path.suffix}")
    if (log := write_ahead_log(path)).exists():
        log.rename(write_ahead_log(aside))
    return path.rename(aside)
