"""A folder of this machine as an object store: keys are paths relative to it, with slashes.

Symbolic links are followed to places inside the folder, and nowhere else: what they lead to is as much the provider's
choice as the bytes of a file are. The folder itself may be a link, for that is the choice of whoever wrote the url.
"""

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from focus_pipeline.connections.delivery import Ignored, StoredObject
from focus_pipeline.connections.store_errors import AccessDenied, NotFound, StoreError
from focus_pipeline.connections.stores import CHUNK_BYTES, Level, removed, replaced

_LEAVES = "a link that leaves the connection's folder is not followed; put what it leads to into the folder"
_LEADS_NOWHERE = "a link that leads back to itself; remove it"
_TO_A_FOLDER = "a link to a folder is not followed here; put the files themselves into the folder"
_NO_FILE = "neither a file nor a folder, but a pipe, a socket or a device; remove it"
# What is not there (any more): a folder has no file of a name that is too long for it, either.
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LocalStore:
    """root: the folder. It may appear later; until then listing it raises NotFound."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.address = f"file://{root}"

    def list(self, prefix: str) -> Iterator[StoredObject | Ignored]:
        self._require_root()
        folder = prefix[: prefix.rfind("/") + 1]
        waiting = [(folder, False)] if self._holds(folder) else []
        while waiting:
            folder, linked = waiting.pop()
            if linked:
                # Whoever lists a link by its own name has chosen it. Among others, one that leads up has no end.
                yield Ignored(folder, _TO_A_FOLDER)
                continue
            folders = []
            for key, found in self._entries(folder):
                if not key.startswith(prefix):
                    continue
                if isinstance(found, os.DirEntry):
                    folders.append((key, found.is_symlink()))
                else:
                    yield found
            waiting += reversed(folders)

    def list_level(self, prefix: str) -> Level:
        self._require_root()
        found = list(self._entries(prefix)) if self._holds(prefix) else []
        return Level(
            tuple(key for key, item in found if isinstance(item, os.DirEntry)),
            tuple(item for _, item in found if isinstance(item, StoredObject)),
            tuple(item for _, item in found if isinstance(item, Ignored)),
        )

    def download(self, item: StoredObject, path: Path) -> None:
        source = self.root / item.key
        try:
            opened = self._opened(item.key)
        except OSError as error:
            if error.errno in _GONE:
                raise removed(str(source)) from None
            if error.errno == errno.ELOOP:
                raise replaced(str(source)) from None
            raise _refused(error, source) from None
        with open(opened, "rb") as file, path.open("wb") as target:
            before = os.fstat(opened)
            shutil.copyfileobj(file, target, CHUNK_BYTES)
            after = os.fstat(opened)
        if item.etag != _version(before) or item.etag != _version(after):
            raise replaced(str(source))

    def _opened(self, key: str) -> int:
        """A descriptor of the file. What stood at its place when it was looked up is opened, and no link since then."""
        real_root = os.path.realpath(self.root)
        real = os.path.realpath(os.path.join(real_root, key))
        if not _is_within(real, real_root):
            raise removed(str(self.root / key))
        *folders, name = os.path.relpath(real, real_root).split(os.sep)
        place = os.open(real_root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for folder in folders:
                inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=place)
                os.close(place)
                place = inner
            # A pipe without a writer would be waited for.
            opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=place)
        finally:
            os.close(place)
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            os.close(opened)
            raise removed(str(self.root / key))
        return opened

    def _entries(self, folder: str) -> Iterator[tuple[str, StoredObject | Ignored | os.DirEntry]]:
        """What is directly in a folder, by key: files as objects, folders as they are, and what cannot be either."""
        try:
            entries = sorted(os.scandir(self.root / folder), key=lambda entry: entry.name)
        except OSError as error:
            if error.errno not in _GONE:
                raise _refused(error, self.root / folder) from None
            return
        for entry in entries:
            key = folder + entry.name
            try:
                found = self._entry(key, entry)
            except OSError as error:
                if error.errno == errno.ELOOP:
                    yield key, Ignored(key, _LEADS_NOWHERE)
                elif error.errno not in _GONE:
                    raise _refused(error, Path(entry.path)) from None
                continue
            yield (f"{key}/" if isinstance(found, os.DirEntry) else key), found

    def _entry(self, key: str, entry: os.DirEntry) -> StoredObject | Ignored | os.DirEntry:
        if entry.is_symlink() and not self._is_inside(entry.path):
            return Ignored(key, _LEAVES)
        found = entry.stat()
        if stat.S_ISDIR(found.st_mode):
            return entry
        if not stat.S_ISREG(found.st_mode):
            return Ignored(key, _NO_FILE)
        return StoredObject(key=key, etag=_version(found), size=found.st_size, last_modified=_moment(found))

    def _holds(self, prefix: str) -> bool:
        """Whether a prefix can be that of something in the folder."""
        # A bucket may have such keys; a folder has no file of that name, and the path would lead elsewhere.
        if prefix.startswith("/") or ".." in prefix.split("/") or "\0" in prefix:
            return False
        return self._is_inside(self.root / prefix)

    def _is_inside(self, path: str | Path) -> bool:
        return _is_within(os.path.realpath(path), os.path.realpath(self.root))

    def _require_root(self) -> None:
        if not self.root.is_dir():
            raise NotFound(f"there is no folder {self.root}; check the connection's url")


def _is_within(real: str, real_root: str) -> bool:
    return os.path.commonpath([real, real_root]) == real_root


def _refused(error: OSError, path: Path) -> StoreError:
    # An error of an open directory names the last part of the path only.
    if isinstance(error, PermissionError):
        return AccessDenied(f"Access Denied: cannot read {path}: give this user read access")
    return StoreError(f"cannot read {path}: {error.strerror}")


def _version(found: os.stat_result) -> str:
    # A local file has no ETag; its inode, size and time of change change whenever it is replaced or rewritten.
    version = f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"
    return hashlib.sha256(version.encode()).hexdigest()[:16]


def _moment(found: os.stat_result) -> datetime:
    # A file system keeps times that no calendar has; whoever sets one must not stop the listing.
    with suppress(OverflowError):
        return _EPOCH + timedelta(microseconds=found.st_mtime_ns // 1000)
    return _EPOCH
