"""Brings a delivery's bytes into landing, unchanged. Objects that are already there are not read again.

What a person has fetched again stands beside what was fetched first, under the delivery's token with a number behind
it: `3f2a…-2`. Every step takes that for a delivery of its own.
"""

import filecmp
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from focus_pipeline.connections.delivery import Connection, Delivery, StoredObject
from focus_pipeline.files import alone_in, make_folder, remove_abandoned, sha256
from focus_pipeline.machine import machine_faults
from focus_pipeline.pipeline.data_dir import DataDir
from focus_pipeline.records import (
    Accepted,
    Current,
    Delivered,
    DeliveredFile,
    Order,
    read_record,
    write_record,
)
from focus_pipeline.visible import visible

logger = logging.getLogger(__name__)

_PARALLEL_DOWNLOADS = 8
_LOGGED_FILES = 50


@dataclass(frozen=True)
class LandedFile:
    """key, etag, size: as the provider listed it. path: where its bytes are.

    sha256: of them as they were fetched, in hex; "" of what an earlier version of this project has fetched.
    """

    key: str
    etag: str
    size: int
    path: Path
    sha256: str = ""

    @property
    def fault(self) -> str:
        """Why these bytes are not those that were fetched; "" where they are."""
        if not self.path.exists():
            return "it is gone"
        if (size := self.path.stat().st_size) != self.size:
            return f"it has {size:,} bytes, and {self.size:,} were fetched"
        if self.sha256 and sha256(self.path) != self.sha256:
            return "its content is not what was fetched"
        return ""


@dataclass(frozen=True)
class LandedDelivery:
    """listed_at: when the provider showed this delivery, UTC. order: of that look among those at the month; a delivery
    of a later one is never replaced by one of an earlier one, whatever the clock says.

    focus_version: what the provider declared it to be, None where it declared nothing.
    facts: what was worth showing when it was fetched, see Connection.download. declared: see Delivery.
    """

    connection: str
    month: str
    token: str
    listed_at: str
    files: tuple[LandedFile, ...]
    downloaded: int
    reused: int
    focus_version: str | None = None
    facts: dict[str, str | int] = field(default_factory=dict)
    declared: bool = False
    order: int = 0

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


def shown_token(token: str) -> str:
    """The token that the provider's delivery has, of that of a landed one, which may have been fetched again.

    >>> shown_token("3f2a-2"), shown_token("3f2a")
    ('3f2a', '3f2a')
    """
    return token.partition("-")[0]


def land(
    connection: Connection, delivery: Delivery, data_dir: DataDir, *, again: Collection[str] = ()
) -> LandedDelivery:
    """Makes the delivery the month's current one. Does nothing but that where its bytes are already kept.

    again: keys of objects to fetch all the same, for the provider can have changed what no listing shows.
    What was landed of a later listing meanwhile stays the current one.

    Raises ObjectChanged when the provider replaces an object meanwhile: look again, and land what it shows then.
    Raises StoreError when an object cannot be read, IncompleteDownload when its size is not the listed one, and
    MachineFault where disk or permissions are wanting.
    """
    listed_at = datetime.now(UTC).isoformat()
    folder = data_dir.landed(connection.name, delivery.month)
    downloaded = reused = 0
    with machine_faults(f"fetching {connection.name} {delivery.month}"):
        order = _next_order(connection.name, delivery.month, data_dir)
        number = _last_number(folder, delivery.token)
        target = folder / _numbered(delivery.token, number or 1)
        is_kept = number > 0 and _is_whole(target)
        if again or not is_kept:
            anew = folder / _numbered(delivery.token, number + 1)
            downloaded, reused = _collect(connection, delivery, folder, anew, again)
            if is_kept and _same_files(target, anew):
                shutil.rmtree(anew)
            else:
                target = anew
        _make_current(folder, Current(token=target.name, listed_at=listed_at, order=order))
        return replace(
            _landed(folder, target.name), listed_at=listed_at, order=order, downloaded=downloaded, reused=reused
        )


def _next_order(connection: str, month: str, data_dir: DataDir) -> int:
    """The number of a look at the month: higher than that of every earlier one, by whichever process."""
    folder = data_dir.landed(connection, month)
    with alone_in(folder):
        last = read_record(folder / "order.json", Order)
        current = read_record(folder / "current.json", Current)
        accepted = read_record(data_dir.staged(connection, month) / "accepted.json", Accepted)
        known = (last.last if last else 0, *(record.order for record in (current, accepted) if record))
        write_record(folder / "order.json", Order(last=max(known) + 1))
    return max(known) + 1


def current_delivery(connection: str, month: str, data_dir: DataDir) -> LandedDelivery | None:
    """The delivery that the month consists of now, None when nothing was ever landed."""
    folder = data_dir.landed(connection, month)
    current = read_record(folder / "current.json", Current)
    landed = current and _landed(folder, current.token)
    return landed and replace(landed, listed_at=current.listed_at, order=current.order)


def landed_delivery(connection: str, month: str, token: str, data_dir: DataDir) -> LandedDelivery | None:
    """A delivery whose bytes are kept, whether or not it is the current one; None where they are not."""
    return _landed(data_dir.landed(connection, month), token)


def landed_deliveries(connection: str, month: str, data_dir: DataDir) -> list[LandedDelivery]:
    """Every delivery of the month whose bytes are kept, the current one first, then the others from the latest on."""
    current = current_delivery(connection, month, data_dir)
    others = [
        landed
        for landed in _landed_in(data_dir.landed(connection, month))
        if current is None or landed.token != current.token
    ]
    return [current, *reversed(others)] if current else others[::-1]


def current_token(connection: str, month: str, data_dir: DataDir) -> str | None:
    current = read_record(data_dir.landed(connection, month) / "current.json", Current)
    return current and current.token


def _make_current(folder: Path, current: Current) -> None:
    # A run that began earlier and took longer must not put its older listing in front of a newer one.
    with alone_in(folder):
        former = read_record(folder / "current.json", Current)
        if former is None or former.order <= current.order:
            write_record(folder / "current.json", current)


class LandingDamaged(Exception):
    """The bytes of a landed file are not those that were fetched."""


def verify(landed: LandedDelivery) -> None:
    """Raises LandingDamaged where a file of the delivery is not what was fetched, by its size and its SHA-256."""
    for file in landed.files:
        if fault := file.fault:
            raise LandingDamaged(
                f"{landed.connection} {landed.month}: {file.path} is damaged: {fault}. `focus-pipeline fetch-again "
                f"{landed.connection} {landed.month}` fetches the month anew"
            )


class IncompleteDownload(Exception):
    """Fewer or more bytes arrived than were listed."""


def _last_number(folder: Path, token: str) -> int:
    """How often a delivery was fetched, by the folders that there are; 0 where it never was."""
    names = {path.name for path in folder.glob(f"{token}*")}
    numbers = [int(suffix) for name in names if (suffix := name.removeprefix(f"{token}-")).isdecimal()]
    return max([*numbers, *([1] if token in names else [])], default=0)


def _is_whole(target: Path) -> bool:
    """Whether a folder holds a delivery with all of its files, by their sizes."""
    landed = _landed(target.parent, target.name)
    return landed is not None and all(
        file.path.exists() and file.path.stat().st_size == file.size for file in landed.files
    )


def _numbered(token: str, number: int) -> str:
    return token if number == 1 else f"{token}-{number}"


def _same_files(one: Path, other: Path) -> bool:
    """Whether two folders of one delivery hold the same bytes."""
    left, right = (_landed(folder.parent, folder.name).files for folder in (one, other))
    pairs = [(before.path, after.path) for before, after in zip(left, right, strict=True)]
    return all(filecmp.cmp(before, after, shallow=False) for before, after in pairs)


def _collect(
    connection: Connection, delivery: Delivery, folder: Path, target: Path, again: Collection[str]
) -> tuple[int, int]:
    make_folder(folder)
    kept = {(file.key, file.etag, file.size): file for file in _files_kept(folder) if file.key not in again}
    remove_abandoned(folder)
    partial = Path(tempfile.mkdtemp(dir=folder, prefix=".partial-"))
    try:
        entries = []
        missing: list[tuple[StoredObject, Path]] = []
        for number, item in enumerate(sorted(delivery.objects), 1):
            path = partial / _file_name(number, item.key)
            held = kept.get((item.key, item.etag, item.size))
            if held is not None and not held.fault:
                os.link(held.path, path)
            else:
                missing.append((item, path))
            entries.append((item, path))
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
                        sha256=sha256(path),
                    )
                    for item, path in entries
                ),
            ),
        )
        try:
            partial.rename(target)
        except OSError:
            # Another run was faster with the same token, which is the same content.
            if not (target / "delivery.json").exists():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
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
    for landed in _landed_in(folder):
        yield from landed.files


def _landed_in(folder: Path) -> list[LandedDelivery]:
    """The deliveries that a month's folder holds, in the order in which they were fetched."""
    manifests = sorted(folder.glob("[!.]*/delivery.json"), key=lambda path: path.stat().st_mtime_ns)
    found = [_landed(folder, manifest.parent.name) for manifest in manifests]
    return [landed for landed in found if landed is not None]


def _landed(folder: Path, token: str) -> LandedDelivery | None:
    """A delivery of a month's folder, None where its record is not there, or cannot be read."""
    record = read_record(folder / token / "delivery.json", Delivered)
    if record is None or record.token != token:
        return None
    fetched = datetime.fromtimestamp((folder / token / "delivery.json").stat().st_mtime, UTC)
    return LandedDelivery(
        record.connection,
        record.month,
        token,
        fetched.isoformat(),
        tuple(LandedFile(f.key, f.etag, f.size, folder / token / f.file, f.sha256) for f in record.files),
        0,
        0,
        record.focus_version,
        record.facts,
        record.declared,
    )


def _file_name(number: int, key: str) -> str:
    # Keys hold characters that file systems do not; the number keeps two keys of one basename apart.
    name = re.sub(r"[^A-Za-z0-9._-]", "_", key.rsplit("/", 1)[-1])[-80:]
    return f"{number:05d}-{name}"
