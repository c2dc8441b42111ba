"""A folder of this machine as an object store: keys are paths relative to it, with slashes."""

import hashlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from focus_pipeline.connections.delivery import StoredObject
from focus_pipeline.connections.stores import AccessDenied, Level, NotFound, StoreError, removed, replaced


class LocalStore:
    """root: the folder. It may appear later; until then listing it raises NotFound."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.address = f"file://{root}"

    def list(self, prefix: str) -> Iterator[StoredObject]:
        self._require_root()
        folder = prefix.rpartition("/")[0]
        if not _is_below_root(prefix):
            return
        for parent, _, names in os.walk(self.root / folder, onerror=_unless_gone):
            paths = (Path(parent, name) for name in sorted(names))
            for item in _stored_objects((path.relative_to(self.root).as_posix(), path) for path in paths):
                if item.key.startswith(prefix):
                    yield item

    def list_level(self, prefix: str) -> Level:
        self._require_root()
        if not _is_below_root(prefix):
            return Level((), ())
        try:
            entries = sorted(os.scandir(self.root / prefix), key=lambda entry: entry.name)
        except OSError as error:
            _unless_gone(error)
            return Level((), ())
        files = (entry for entry in entries if not entry.is_dir())
        return Level(
            tuple(f"{prefix}{entry.name}/" for entry in entries if entry.is_dir()),
            tuple(_stored_objects((prefix + entry.name, Path(entry.path)) for entry in files)),
        )

    def download(self, item: StoredObject, path: Path) -> None:
        source = self.root / item.key
        try:
            shutil.copyfile(source, path)
            now = list(_stored_objects([(item.key, source)]))
        except FileNotFoundError:
            raise removed(str(source)) from None
        except PermissionError as error:
            raise _refused(error) from None
        if not now:
            raise removed(str(source))
        if now[0].etag != item.etag:
            raise replaced(str(source))

    def _require_root(self) -> None:
        if not self.root.is_dir():
            raise NotFound(f"there is no folder {self.root}; check the connection's url")


def _is_below_root(prefix: str) -> bool:
    # A bucket may have such keys; a folder has no file of that name, and the path would lead elsewhere.
    return not prefix.startswith("/") and ".." not in prefix.split("/")


def _unless_gone(error: OSError) -> None:
    """What is removed while it is being listed is not there; anything else that cannot be read is an error."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise _refused(error) from None


def _refused(error: OSError) -> StoreError:
    if isinstance(error, PermissionError):
        return AccessDenied(f"Access Denied: cannot read {error.filename}: give this user read access")
    return StoreError(f"cannot read {error.filename}: {error.strerror}")


def _stored_objects(files: Iterable[tuple[str, Path]]) -> Iterator[StoredObject]:
    """The files with their keys as objects; pipes and the like, and what is gone meanwhile, are left out."""
    for key, path in files:
        try:
            found = path.stat()
        except OSError as error:
            _unless_gone(error)
            continue
        if stat.S_ISREG(found.st_mode):
            # A local file has no ETag; its inode, size and time of change change whenever it is replaced or rewritten.
            version = f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"
            yield StoredObject(
                key=key,
                etag=hashlib.sha256(version.encode()).hexdigest()[:16],
                size=found.st_size,
                last_modified=datetime.fromtimestamp(found.st_mtime, UTC),
            )
