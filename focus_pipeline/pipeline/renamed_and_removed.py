"""Renames and removes what is kept of a connection: in landing/, in staged/ and in the warehouse.

Every step can be done again: what was cut off is completed by the next attempt.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from focus_pipeline.files import make_folder
from focus_pipeline.json_records import read_record, write_record
from focus_pipeline.machine import machine_faults
from focus_pipeline.pipeline.judge import judge
from focus_pipeline.pipeline.rebuild import Reading
from focus_pipeline.pipeline.stage import stage
from focus_pipeline.records.accepted import accepted_delivery
from focus_pipeline.records.landed import Delivered, LandedDelivery, current_delivery, landed_delivery
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
    old: str, new: str, data_dir: DataDir, reading: Reading, watch: Callable[[str], None] = lambda _: None
) -> list[str]:
    """Makes what is kept of one connection another's. Nothing is downloaded; months are staged again from landing/.

    reading: of the new one. watch: is told what is being done. A month that the new one has accepted itself stays as
    the new one has it; the former's landed files are kept beside.
    Returns the months that cannot be staged again, for their files are no longer in landing/: their rows are renamed.
    Raises WarehouseUnusable and MachineFault; nothing is lost then, and the next attempt goes on.
    """
    warehouse = warehouse_of(data_dir)
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
            if not _stage_again(new, month, accepted.token if accepted else None, data_dir, reading):
                lacking.append(month)
        remove_folder(data_dir.root / "staged" / old)
        remove_folder(data_dir.root / "landing" / old)
        if warehouse.exists():
            with warehouse.writing() as connection:
                rename_in_tables(connection, old, new)
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


def _stage_again(new: str, month: str, accepted: str | None, data_dir: DataDir, reading: Reading) -> bool:
    """Stages the delivery that was accepted, then the current one; False where the accepted one is not kept."""
    if accepted_delivery(new, month, data_dir) is None and accepted is not None:
        delivery = landed_delivery(new, month, accepted, data_dir)
        if delivery is None:
            return False
        _judge_again(delivery, data_dir, reading)
    current = current_delivery(new, month, data_dir)
    if current is not None and current.token != accepted:
        _judge_again(current, data_dir, reading)
    return True


def _judge_again(delivery: LandedDelivery, data_dir: DataDir, reading: Reading) -> None:
    staged = stage(delivery, data_dir, month_rule=reading.month_rule, focus_version=reading.focus_version)
    judge(staged, data_dir, month_rule=reading.month_rule)


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
