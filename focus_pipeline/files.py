"""Files that are written whole or not at all, for this user alone, and folders that one process works in at a time."""

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# A moment passes before what is made is locked.
_LOCKED_WITHIN_SECONDS = 60


def keep_files_private() -> None:
    """What this process writes from now on is for this user alone, whatever the umask of the shell."""
    os.umask(0o077)


def make_folder(path: Path) -> None:
    """Makes the folder, and what is missing above it, for this user alone."""
    for folder in (*reversed(path.parents), path):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """No other process is in such a block for this folder until it ends: what is read, compared, then written."""
    make_folder(folder)
    with owned(folder):
        yield


def remove_abandoned(*folders: Path) -> None:
    """Removes what processes that were killed have left in these folders: hidden files, and anything in scratch/.

    What a process is at work with is locked; see owned().
    """
    for folder in folders:
        for path in folder.glob("*" if folder.name == "scratch" else ".*"):
            with suppress(OSError):
                if path.is_symlink() or time.time() - path.lstat().st_mtime < _LOCKED_WITHIN_SECONDS:
                    continue
                with owned(path, wait=False):
                    if path.is_dir():
                        shutil.rmtree(path, ignore_errors=True)
                    else:
                        path.unlink()


@contextmanager
def owned(path: Path, *, wait: bool = True) -> Iterator[None]:
    """A file or folder is this process's until the block ends, or the process does.

    Raises BlockingIOError where it is another one's, and this does not wait.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)


@contextmanager
def alone_with(lock: Path, seconds: float) -> Iterator[None]:
    """No other process is in such a block for this lock file, which is made where there is none.

    Raises TimeoutError, with the number of the process that is, where this has waited for so many seconds.
    """
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        until = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise TimeoutError(os.pread(descriptor, 20, 0).decode() or "another one") from None
                time.sleep(0.05)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def temporary_folder(folder: Path, prefix: str) -> Iterator[Path]:
    """A folder for this process alone; gone when the block ends, or found by remove_abandoned() if that never comes."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=prefix, ignore_cleanup_errors=True) as name, owned(Path(name)):
        yield Path(name)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; what is written there takes its place when the block ends well."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        with owned(temporary):
            yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Of a file's bytes, in hex."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
