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
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from focus_pipeline.connections.delivery import Connection, Delivery, StoredObject
from focus_pipeline.machine import machine_faults
from focus_pipeline.pipeline.data_dir import DataDir, alone_in, make_folder, read_json, remove_abandoned, write_json
from focus_pipeline.visible import visible

logger = logging.getLogger(__name__)

_PARALLEL_DOWNLOADS = 8
_LOGGED_FILES = 50


@dataclass(frozen=True)
class LandedFile:
    """key, etag, size: as the provider listed it. path: where its bytes are."""

    key: str
    etag: str
    size: int
    path: Path


@dataclass(frozen=True)
class LandedDelivery:
    """listed_at: when the provider showed this delivery, UTC; a later one is never replaced by an earlier one.

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
        fetched = _times_fetched(folder, delivery.token)
        target = folder / _numbered(delivery.token, fetched or 1)
        if again and fetched:
            anew = folder / _numbered(delivery.token, fetched + 1)
            downloaded, reused = _collect(connection, delivery, folder, anew, again)
            if _same_files(target, anew):
                shutil.rmtree(anew)
            else:
                target = anew
        elif not fetched:
            downloaded, reused = _collect(connection, delivery, folder, target, again)
        _make_current(folder, target.name, listed_at)
        return _landed(connection.name, delivery.month, target, listed_at, downloaded, reused)


def current_delivery(connection: str, month: str, data_dir: DataDir) -> LandedDelivery | None:
    """The delivery that the month consists of now, None when nothing was ever landed."""
    folder = data_dir.landed(connection, month)
    current = read_json(folder / "current.json")
    if current is None:
        return None
    return _landed(connection, month, folder / current["token"], current["listed_at"], 0, 0)


def landed_delivery(connection: str, month: str, token: str, data_dir: DataDir) -> LandedDelivery | None:
    """A delivery whose bytes are kept, whether or not it is the current one; None where they are not."""
    folder = data_dir.landed(connection, month) / token
    if (written := read_json(folder / "delivery.json")) is None or written["token"] != token:
        return None
    fetched = datetime.fromtimestamp((folder / "delivery.json").stat().st_mtime, UTC)
    return _landed(connection, month, folder, fetched.isoformat(), 0, 0)


def landed_deliveries(connection: str, month: str, data_dir: DataDir) -> list[LandedDelivery]:
    """Every delivery of the month whose bytes are kept, the current one first, then the others from the latest on."""
    current = current_delivery(connection, month, data_dir)
    folders = [path.parent for path in data_dir.landed(connection, month).glob("[!.]*/delivery.json")]
    fetched = {folder: (folder / "delivery.json").stat().st_mtime for folder in folders}
    others = [
        _landed(connection, month, folder, datetime.fromtimestamp(at, UTC).isoformat(), 0, 0)
        for folder, at in sorted(fetched.items(), key=lambda item: item[1], reverse=True)
        if current is None or folder.name != current.token
    ]
    return [current, *others] if current else others


def current_token(connection: str, month: str, data_dir: DataDir) -> str | None:
    current = read_json(data_dir.landed(connection, month) / "current.json")
    return current and current["token"]


def _make_current(folder: Path, token: str, listed_at: str) -> None:
    # A run that began earlier and took longer must not put its older listing in front of a newer one.
    with alone_in(folder):
        former = read_json(folder / "current.json")
        if former is None or former["listed_at"] <= listed_at:
            write_json(folder / "current.json", {"token": token, "listed_at": listed_at})


class IncompleteDownload(Exception):
    """Fewer or more bytes arrived than were listed."""


def _times_fetched(folder: Path, token: str) -> int:
    """How many times a delivery was fetched whole; 0 where it never was."""
    names = {path.parent.name for path in folder.glob(f"{token}*/delivery.json")}
    numbers = [int(name.removeprefix(f"{token}-")) for name in names if name != token]
    return max([*numbers, *([1] if token in names else [])], default=0)


def _numbered(token: str, number: int) -> str:
    return token if number == 1 else f"{token}-{number}"


def _same_files(one: Path, other: Path) -> bool:
    """Whether two folders of one delivery hold the same bytes."""
    pairs = [(left.path, right.path) for left, right in zip(_files(one), _files(other), strict=True)]
    return all(filecmp.cmp(left, right, shallow=False) for left, right in pairs)


def _collect(
    connection: Connection, delivery: Delivery, folder: Path, target: Path, again: Collection[str]
) -> tuple[int, int]:
    make_folder(folder)
    kept = {(file.key, file.etag, file.size): file.path for file in _files_kept(folder) if file.key not in again}
    remove_abandoned(folder)
    partial = Path(tempfile.mkdtemp(dir=folder, prefix=".partial-"))
    try:
        entries = []
        missing: list[tuple[StoredObject, Path]] = []
        for number, item in enumerate(sorted(delivery.objects), 1):
            path = partial / _file_name(number, item.key)
            if (held := kept.get((item.key, item.etag, item.size))) is not None:
                os.link(held, path)
            else:
                missing.append((item, path))
            entries.append({"key": item.key, "etag": item.etag, "size": item.size, "file": path.name})
        with ThreadPoolExecutor(_PARALLEL_DOWNLOADS) as pool:
            # list() raises the first failure; the others end with the pool.
            facts = list(pool.map(lambda job: _download(connection, *job), missing))
        _log_arrival(missing)
        for entry in entries:
            entry["size"] = (partial / entry["file"]).stat().st_size
        write_json(
            partial / "delivery.json",
            {
                "connection": connection.name,
                "month": delivery.month,
                "token": target.name,
                "focus_version": delivery.focus_version,
                "declared": delivery.declared,
                "facts": {name: value for shown in facts for name, value in shown.items()},
                "files": entries,
            },
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
    for manifest in sorted(folder.glob("[!.]*/delivery.json"), key=lambda path: path.stat().st_mtime_ns):
        yield from _files(manifest.parent)


def _files(target: Path) -> tuple[LandedFile, ...]:
    return tuple(
        LandedFile(entry["key"], entry["etag"], entry["size"], target / entry["file"])
        for entry in read_json(target / "delivery.json")["files"]
    )


def _landed(connection: str, month: str, target: Path, listed_at: str, downloaded: int, reused: int) -> LandedDelivery:
    written = read_json(target / "delivery.json")
    return LandedDelivery(
        connection,
        month,
        target.name,
        listed_at,
        _files(target),
        downloaded,
        reused,
        written.get("focus_version"),
        written.get("facts", {}),
        written.get("declared", False),
    )


def _file_name(number: int, key: str) -> str:
    # Keys hold characters that file systems do not; the number keeps two keys of one basename apart.
    name = re.sub(r"[^A-Za-z0-9._-]", "_", key.rsplit("/", 1)[-1])[-80:]
    return f"{number:05d}-{name}"
