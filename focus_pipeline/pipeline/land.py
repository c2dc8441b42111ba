"""Brings a delivery's bytes into landing, unchanged. Objects that are already there are not read again.

What a person has fetched again stands beside what was fetched first, under the delivery's token with a number behind
it: `3f2a…-2`. Every step takes that for a delivery of its own.
"""

import filecmp
import logging
import os
import re
import shutil
from collections.abc import Collection, Container, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from focus_pipeline.connections.delivery import Connection, Delivery, StoredObject
from focus_pipeline.files import make_folder, remove_abandoned, sha256, temporary_folder
from focus_pipeline.json_records import write_record
from focus_pipeline.machine import machine_faults
from focus_pipeline.records.landed import (
    Current,
    Delivered,
    DeliveredFile,
    LandedDelivery,
    LandedFile,
    current_delivery,
    landed_at,
    landed_in,
    last_number,
    make_current,
    next_order,
)
from focus_pipeline.storage import DataDir
from focus_pipeline.visible import visible

logger = logging.getLogger(__name__)

_PARALLEL_DOWNLOADS = 8
_LOGGED_FILES = 50


def land(
    connection: Connection, delivery: Delivery, data_dir: DataDir, *, again: Collection[str] = ()
) -> LandedDelivery:
    """Makes the delivery the month's current one. Does nothing but that where its bytes are already kept.

    again: keys of objects to fetch all the same, for the provider can have changed what no listing shows.
    If a later look at the month has landed another delivery in the meantime, that one stays current and is returned.

    Raises ObjectChanged when the provider replaces an object meanwhile: look again, and land what it shows then.
    Raises StoreError when an object cannot be read, IncompleteDownload when its size is not the listed one, and
    MachineFault where disk or permissions are wanting.
    """
    listed_at = datetime.now(UTC).isoformat()
    folder = data_dir.landed(connection.name, delivery.month)
    downloaded = reused = 0
    with machine_faults(f"fetching {connection.name} {delivery.month}"):
        number = last_number(folder, delivery.token)
        target = folder / _numbered(delivery.token, number or 1)
        current = current_delivery(connection.name, delivery.month, data_dir)
        is_current = current is not None and current.token == target.name
        is_kept = number > 0 and _is_whole(current if is_current else landed_at(folder, target.name))
        if current is not None and is_current and is_kept and not again:
            return current
        order = next_order(connection.name, delivery.month, data_dir)
        if again or not is_kept:
            anew = folder / _numbered(delivery.token, number + 1)
            downloaded, reused = _collect(connection, delivery, folder, anew, again)
            if is_kept and _same_files(target, anew):
                shutil.rmtree(anew)
            else:
                target = anew
        if not make_current(folder, Current(token=target.name, listed_at=listed_at, order=order)) and (
            later := current_delivery(connection.name, delivery.month, data_dir)
        ):
            return later
        landed = _landed_whole(folder, target.name)
        return replace(landed, listed_at=listed_at, order=order, downloaded=downloaded, reused=reused)


class LandingDamaged(Exception):
    """The bytes of a landed file are not those that were fetched."""


def verify(landed: LandedDelivery, read: Container[str]) -> None:
    """Raises LandingDamaged where a file of the delivery is not what was fetched, by its size and, for those that are
    read, by their keys, by its SHA-256.
    """
    for file in landed.files:
        if fault := file.fault if file.key in read else file.fault_of_size:
            raise LandingDamaged(
                f"{landed.connection} {landed.month}: {file.path} is damaged: {fault}. `focus-pipeline fetch-again "
                f"{landed.connection} {landed.month}` fetches the month anew"
            )


class IncompleteDownload(Exception):
    """Fewer or more bytes arrived than were listed."""


def _is_whole(landed: LandedDelivery | None) -> bool:
    """Whether all files of a delivery are there, by their sizes."""
    return landed is not None and not any(file.fault_of_size for file in landed.files)


def _landed_whole(folder: Path, token: str) -> LandedDelivery:
    """The delivery that was written there a moment ago."""
    landed = landed_at(folder, token)
    if landed is None:
        raise LandingDamaged(f"{folder / token} was removed as it was written; run it again")
    return landed


def _numbered(token: str, number: int) -> str:
    return token if number == 1 else f"{token}-{number}"


def _same_files(one: Path, other: Path) -> bool:
    """Whether two folders of one delivery hold the same bytes."""
    left, right = (_landed_whole(folder.parent, folder.name).files for folder in (one, other))
    pairs = [(before.path, after.path) for before, after in zip(left, right, strict=True)]
    return all(filecmp.cmp(before, after, shallow=False) for before, after in pairs)


def _collect(
    connection: Connection, delivery: Delivery, folder: Path, target: Path, again: Collection[str]
) -> tuple[int, int]:
    make_folder(folder)
    kept = {(file.key, file.etag, file.size): file for file in _files_kept(folder) if file.key not in again}
    remove_abandoned(folder)
    with temporary_folder(folder, ".partial-") as partial:
        entries: list[tuple[StoredObject, Path, str]] = []
        missing: list[tuple[StoredObject, Path]] = []
        for number, item in enumerate(sorted(delivery.objects), 1):
            path = partial / _file_name(number, item.key)
            held = kept.get((item.key, item.etag, item.size)) if item.size is not None else None
            if held is not None and not held.fault:
                os.link(held.path, path)
                entries.append((item, path, held.sha256))
            else:
                missing.append((item, path))
                entries.append((item, path, ""))
        with ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as pool:
            # list() raises the first failure; the others end with the pool.
            facts = list(pool.map(lambda job: _download(connection, *job), missing))
        _log_arrival(missing)
        write_record(
            partial / "delivery.json",
            Delivered(
                connection=connection.name,
                month=delivery.month,
                token=target.name,
                focus_version=delivery.focus_version,
                declared=delivery.declared,
                facts={name: value for shown in facts for name, value in shown.items()},
                files=tuple(
                    DeliveredFile(
                        key=item.key,
                        etag=item.etag,
                        size=path.stat().st_size,
                        file=path.name,
                        sha256=digest or sha256(path),
                    )
                    for item, path, digest in entries
                ),
            ),
        )
        try:
            partial.rename(target)
        except OSError:
            # Another run was faster with the same token, which is the same content.
            if not (target / "delivery.json").exists():
                raise
    return len(missing), len(entries) - len(missing)


def _download(connection: Connection, item: StoredObject, path: Path) -> Mapping[str, str | int]:
    facts = connection.download(item, path) or {}
    arrived = path.stat().st_size
    if item.size is not None and arrived != item.size:
        raise IncompleteDownload(f"{item.key}: {arrived} of {item.size} bytes arrived; run it again")
    return facts


def _log_arrival(arrived: list[tuple[StoredObject, Path]]) -> None:
    sizes = {item.key: path.stat().st_size for item, path in arrived}
    if len(sizes) > _LOGGED_FILES:
        logger.info("%s files, %s bytes", f"{len(sizes):,}", f"{sum(sizes.values()):,}")
        return
    for key, size in sizes.items():
        logger.info("%s: %s bytes", visible(key), f"{size:,}")


def _files_kept(folder: Path) -> Iterator[LandedFile]:
    """Of all deliveries, those that were fetched last at the end: of an object that was fetched again they count."""
    for landed in landed_in(folder):
        yield from landed.files


def _file_name(number: int, key: str) -> str:
    # Keys hold characters that file systems do not; the number keeps two keys of one basename apart.
    name = re.sub(r"[^A-Za-z0-9._-]", "_", key.rsplit("/", 1)[-1])[-80:]
    return f"{number:05d}-{name}"
