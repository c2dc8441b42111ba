"""A folder of this machine as an object store: keys are paths relative to it, with slashes."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from focus_pipeline.connections.delivery import StoredObject
from focus_pipeline.connections.stores import AccessDenied, Level, NotFound, ObjectChanged


class LocalStore:
    """root: the folder. It may appear later; until then listing it raises NotFound."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.address = f"file://{root}"

    def list(self, prefix: str) -> Iterator[StoredObject]:
        self._require_root()
        for folder, _, names in os.walk(self.root / prefix.rpartition("/")[0], onerror=_refused):
            for name in sorted(names):
                path = Path(folder, name)
                if (key := path.relative_to(self.root).as_posix()).startswith(prefix):
                    yield _stored_object(key, path)

    def list_level(self, prefix: str) -> Level:
        self._require_root()
        try:
            entries = sorted(os.scandir(self.root / prefix), key=lambda entry: entry.name)
        except FileNotFoundError:
            return Level((), ())
        except PermissionError as error:
            _refused(error)
        return Level(
            tuple(f"{prefix}{entry.name}/" for entry in entries if entry.is_dir()),
            tuple(_stored_object(prefix + entry.name, Path(entry.path)) for entry in entries if entry.is_file()),
        )

    def download(self, item: StoredObject, path: Path) -> None:
        source = self.root / item.key
        try:
            shutil.copyfile(source, path)
            unchanged = _stored_object(item.key, source).etag == item.etag
        except FileNotFoundError:
            raise ObjectChanged(f"{source} was there when the folder was listed and is gone now") from None
        except PermissionError as error:
            _refused(error)
        if not unchanged:
            raise ObjectChanged(f"{source} changed while it was being read")

    def _require_root(self) -> None:
        if not self.root.is_dir():
            raise NotFound(f"there is no folder {self.root}; check the connection's url")


def _refused(error: OSError) -> None:
    raise AccessDenied(f"cannot read {error.filename}: {error.strerror}; give this user read access") from error


def _stored_object(key: str, path: Path) -> StoredObject:
    stat = path.stat()
    # A local file has no ETag; its inode, size and modification time change whenever it is replaced or rewritten.
    version = f"{stat.st_ino}-{stat.st_size}-{stat.st_mtime_ns}"
    return StoredObject(
        key=key,
        etag=hashlib.sha256(version.encode()).hexdigest()[:16],
        size=stat.st_size,
        last_modified=datetime.fromtimestamp(stat.st_mtime, UTC),
    )
