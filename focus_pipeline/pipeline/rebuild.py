"""Makes the warehouse anew from staged/, and what is missing there from landing/."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from focus_pipeline.connections.delivery import Connection
from focus_pipeline.files import make_folder, temporary_folder
from focus_pipeline.pipeline.month import judge_month
from focus_pipeline.pipeline.publish import publish_months
from focus_pipeline.records.accepted import accepted_delivery
from focus_pipeline.records.landed import landed_deliveries, months_by_connection
from focus_pipeline.records.staged import staged_month
from focus_pipeline.records.verdicts import verdict_path
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse.connections import rows_of_connections
from focus_pipeline.warehouse.duckdb_file import DuckDBFile
from focus_pipeline.warehouse.months import forget_states
from focus_pipeline.warehouse.warehouse import Warehouse, warehouse_of


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
    data_dir: DataDir, connections: Mapping[str, Connection], watch: Callable[[str], None] = lambda _: None
) -> Rebuilt:
    """Publishes every accepted month of every connection into a new warehouse, which then takes the old one's place.

    connections: those that are defined, by name. watch: is told what is being done.
    A DuckDB file stays where it is until all is done. Of a DuckLake the months are replaced one by one, and its
    history stays. Raises WarehouseLocked while another process has the file open for writing.
    """
    rebuilt = Rebuilt()
    make_folder(data_dir.root)
    warehouse = warehouse_of(data_dir)
    for name, month in months_by_connection(data_dir):
        watch(f"{name} {month}")
        _restore(name, month, data_dir, connections.get(name), rebuilt)
    if isinstance(warehouse, DuckDBFile):
        with temporary_folder(warehouse.path.parent, f".{warehouse.path.name}.rebuilt-") as folder:
            new = DuckDBFile(folder / warehouse.path.name, data_dir.sandbox)
            _publish_all(new, data_dir, watch)
            aside = warehouse.path.with_name(
                f"{warehouse.path.stem}-until-{datetime.now(UTC):%Y%m%dT%H%M%SZ}{warehouse.path.suffix}"
            )
            rebuilt.aside = aside if warehouse.replace_with(new.path, aside) else None
    else:
        with warehouse.writing() as connection:
            forget_states(connection)
    # What runs have accepted meanwhile; of the rest there is nothing to do.
    _publish_all(warehouse, data_dir, watch)
    with warehouse.reading() as connection:
        for name, months in rows_of_connections(connection).items():
            rebuilt.rows |= {(name, month): rows for month, rows in months.items()}
    return rebuilt


def _publish_all(warehouse: Warehouse, data_dir: DataDir, watch: Callable[[str], None]) -> None:
    months = sorted({month for _, month in months_by_connection(data_dir)})
    watch(f"{len(months)} months")
    for month in publish_months(months, data_dir, warehouse).values():
        for error in month.failed.values():
            raise error


def _restore(name: str, month: str, data_dir: DataDir, connection: Connection | None, rebuilt: Rebuilt) -> None:
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
    if connection is None:
        rebuilt.lacking.append(
            f"{name} {month}: it has to be read from landing/ again, and defs/ has no connection {name} that says how"
        )
        return
    rebuilt.staged_again.append(f"{name} {month}")
    for delivery in deliveries:
        if judge_month(connection, delivery, data_dir).verdict.accepted:
            return


def _accepted_is_staged(name: str, month: str, data_dir: DataDir) -> bool:
    accepted = accepted_delivery(name, month, data_dir)
    if accepted is None:
        return False
    staged = staged_month(name, month, accepted.token, data_dir)
    return staged is not None and staged.identity == accepted.identity and staged.is_intact
