"""Renames and removes what is kept of a connection: in landing/, in staged/ and in the warehouse.

Every step can be done again: what was cut off is completed by the next attempt.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from focus_pipeline.connections.delivery import Connection
from focus_pipeline.files import make_folder
from focus_pipeline.json_records import read_record, write_record
from focus_pipeline.machine import machine_faults
from focus_pipeline.pipeline.month import judge_month
from focus_pipeline.records.accepted import accepted_delivery
from focus_pipeline.records.landed import Delivered, current_delivery, landed_delivery
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse.connections import remove_from_tables, rename_in_tables, rows_of_connections
from focus_pipeline.warehouse.warehouse import warehouse_of


@dataclass(frozen=True)
class Held:
    """What is kept of a connection. rows: month -> rows in the table. landed, staged: months of which there are files.

    named: whether any table of the warehouse names it.
    """

    rows: dict[str, int]
    landed: list[str]
    staged: list[str]
    named: bool

    @property
    def anything(self) -> bool:
        return bool(self.named or self.landed or self.staged)


def held_of(name: str, data_dir: DataDir) -> Held:
    """What is kept of a connection. Raises WarehouseUnusable while the warehouse cannot be read."""
    rows: dict[str, dict[str, int]] = {}
    warehouse = warehouse_of(data_dir)
    if warehouse.exists():
        with warehouse.reading() as connection:
            rows = rows_of_connections(connection)
    return Held(
        rows.get(name, {}),
        _months(data_dir.root / "landing" / name),
        _months(data_dir.root / "staged" / name),
        name in rows,
    )


def rename_connection(
    old: str, connection: Connection, data_dir: DataDir, watch: Callable[[str], None] = lambda _: None
) -> list[str]:
    """Makes what is kept of `old` another connection's. Nothing is downloaded; months are staged again from landing/.

    connection: the other one. watch: is called with what is being done. A month that the other one has accepted itself
    stays as that one has it; the landed files of `old` are kept beside it.
    Returns the months that cannot be staged again because their files are no longer in landing/; their rows are
    renamed.
    Raises WarehouseUnusable and MachineFault; nothing is lost then, and the next attempt goes on.
    """
    new, warehouse = connection.name, warehouse_of(data_dir)
    if warehouse.exists():
        with warehouse.writing():
            pass  # found to be in use before anything is moved
    lacking = []
    months = {*_months(data_dir.root / "landing" / old), *_months(data_dir.root / "staged" / old)}
    with machine_faults(f"renaming {old}"):
        for month in sorted(months):
            watch(f"{new} {month}")
            _move_landed(data_dir.landed(old, month), data_dir.landed(new, month), new)
            accepted = accepted_delivery(old, month, data_dir)
            if not _stage_again(connection, month, accepted.token if accepted else None, data_dir):
                lacking.append(month)
        remove_folder(data_dir.root / "staged" / old)
        remove_folder(data_dir.root / "landing" / old)
        if warehouse.exists():
            with warehouse.writing() as tables:
                rename_in_tables(tables, old, new)
    return lacking


def remove_connection(name: str, data_dir: DataDir, *, keep_files: bool) -> None:
    """Takes a connection out of the warehouse and staged/, and out of landing/ unless `keep_files`.

    Raises WarehouseUnusable and MachineFault; the next attempt goes on.
    """
    with machine_faults(f"removing {name}"):
        warehouse = warehouse_of(data_dir)
        if warehouse.exists():
            with warehouse.writing() as connection:
                # Before its rows: a publication in between would bring them back.
                remove_folder(data_dir.root / "staged" / name)
                remove_from_tables(connection, name)
        remove_folder(data_dir.root / "staged" / name)
        if not keep_files:
            remove_folder(data_dir.root / "landing" / name)


def _stage_again(connection: Connection, month: str, accepted: str | None, data_dir: DataDir) -> bool:
    """Stages the delivery that was accepted, then the current one; False where the accepted one is not kept."""
    new = connection.name
    if accepted_delivery(new, month, data_dir) is None and accepted is not None:
        delivery = landed_delivery(new, month, accepted, data_dir)
        if delivery is None:
            return False
        judge_month(connection, delivery, data_dir)
    current = current_delivery(new, month, data_dir)
    if current is not None and current.token != accepted:
        judge_month(connection, current, data_dir)
    return True


def _move_landed(old: Path, new: Path, name: str) -> None:
    """Moves the deliveries that the other folder does not have, and which of them is the current one."""
    if not old.is_dir():
        return
    make_folder(new)
    for folder in sorted(path for path in old.iterdir() if path.is_dir() and not path.name.startswith(".")):
        target = new / folder.name
        if not (target / "delivery.json").exists() and (folder / "delivery.json").exists():
            folder.rename(target)
        written = read_record(target / "delivery.json", Delivered)
        if written is not None and written.connection != name:
            fetched = (target / "delivery.json").stat()
            write_record(target / "delivery.json", written.model_copy(update={"connection": name}))
            os.utime(target / "delivery.json", ns=(fetched.st_atime_ns, fetched.st_mtime_ns))
    for record in ("current.json", "order.json"):
        if (old / record).exists() and not (new / record).exists():
            (old / record).rename(new / record)


def remove_folder(folder: Path) -> None:
    """Removes a folder and everything in it, where there is one."""
    if folder.exists():
        shutil.rmtree(folder)


def _months(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("[!.]*") if path.is_dir())
