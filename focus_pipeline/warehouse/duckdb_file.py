"""A warehouse in a DuckDB file, which readers and publishing share without ever meeting.

Publishing works on a copy beside the file and renames it into place: a reader has the file as it was when it opened it,
for as long as it likes, and the next one finds the new file. No reader ever waits.
"""

import fcntl
import glob
import logging
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from focus_pipeline.files import alone_with, make_folder
from focus_pipeline.machine import MachineFault, machine_faults
from focus_pipeline.records.staged import StagedMonth
from focus_pipeline.sql import Sandbox, literal, open_duckdb, path_literal, quoted
from focus_pipeline.warehouse.faults import WarehouseLocked, cannot_be_opened, named_faults
from focus_pipeline.warehouse.schema import bring_up_to_date, inserted

logger = logging.getLogger(__name__)

STORAGE_VERSION = "v1.4.0"
"""The storage version of new files. Inserting a month takes a quarter less CPU than with DuckDB's default, its oldest
one. DuckDB 1.4 and newer read it."""

_WAITS_SECONDS = 10.0
# From this size on, the log says how long the copy took.
_LARGE_BYTES = 4 * 1024**3


@dataclass(frozen=True)
class DuckDBFile:
    """See Warehouse. path: of the file. sandbox: what a connection may touch besides it."""

    path: Path
    sandbox: Sandbox

    @property
    def place(self) -> str:
        return str(self.path)

    @property
    def opening(self) -> str:
        return f"import duckdb\n\nconnection = duckdb.connect({str(self.path)!r}, read_only=True)"

    def exists(self) -> bool:
        with machine_faults(f"the warehouse {self.path} cannot be reached"):
            return self.path.exists()

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        if not self.exists():
            raise FileNotFoundError(f"there is no warehouse {self.path} yet; it comes with the first published month")
        with named_faults(self.path), _opened(self.path, self.sandbox, self.path, read_only=True) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with ExitStack() as stack:
            with machine_faults(f"the warehouse {self.path} cannot be written"):
                make_folder(self.path.parent)
                stack.enter_context(self._alone())
                former = _stamp(self.path)
                copy = stack.enter_context(self._copy())
            with named_faults(self.path, copy), _opened(copy, self.sandbox, self.path) as connection:
                bring_up_to_date(connection)
                yield connection
            # DuckDB writes its log into the file as it closes it.
            if write_ahead_log(copy).exists():
                raise MachineFault(f"the warehouse {self.path} could not be written whole; free space, run it again")
            with machine_faults(f"the warehouse {self.path} cannot be written"):
                # Catches a change where locks do not work, as on some network file systems.
                if _stamp(self.path) != former:
                    raise WarehouseLocked(f"{self.path} was changed by another process meanwhile; run this again")
                _to_disk(copy)
                # DuckDB cannot open a file that has another file's log beside it.
                if former and write_ahead_log(self.path).exists():
                    write_ahead_log(self.path).rename(self._log_aside(former))
                copy.replace(self.path)
                _to_disk(self.path.parent)
                self._put_log_back()

    def add_rows(self, connection: duckdb.DuckDBPyConnection, staged: StagedMonth) -> None:
        if staged.paths:
            names, values = inserted()
            files = ", ".join(map(path_literal, staged.paths))
            connection.execute(
                f"INSERT INTO focus.cost_and_usage ({', '.join(map(quoted, names))}) "
                f"SELECT {', '.join(values)} FROM read_parquet([{files}], hive_partitioning = false)",
                {"token": staged.token},
            )

    def tidy(self) -> list[str]:
        return []

    def replace_with(self, other: Path, aside: Path) -> bool:
        """Puts another file in this one's place and moves this one `aside`, with its write-ahead log, damaged or not.
        Returns False where there was no file.

        Raises WarehouseLocked where another process has it open for writing.
        """
        log = write_ahead_log(self.path)
        with self._alone():
            there = self.path.exists()
            if there:
                with self._kept_from_writers():
                    if log.exists():
                        log.rename(write_ahead_log(aside))
                    try:
                        os.link(self.path, aside)  # a reader finds one of the two at any moment
                    except OSError:
                        self.path.rename(aside)
                    other.replace(self.path)
            else:
                log.unlink(missing_ok=True)
                other.replace(self.path)
        return there

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Only one process at a time is in this block. Raises WarehouseLocked after some seconds of waiting."""
        with ExitStack() as stack:
            try:
                stack.enter_context(alone_with(self.path.with_name(f".{self.path.name}.lock"), _WAITS_SECONDS))
            except TimeoutError as taken:
                raise WarehouseLocked(
                    f"{self.path}: the process {taken} has been publishing for {_WAITS_SECONDS:.0f} seconds; run this "
                    "again once it has ended"
                ) from None
            # Left by a killed process: only one process at a time is here.
            for left in self.path.parent.glob(f"{glob.escape(self._prefix)}*"):
                shutil.rmtree(left, ignore_errors=True)
            self._put_log_back()
            yield

    @property
    def _prefix(self) -> str:
        return f".{self.path.name}.next-"

    def _log_aside(self, of: str) -> Path:
        """Where a log is kept while the copy that already includes it replaces its file."""
        return self.path.with_name(f".{self.path.name}.log-of-{of}")

    def _put_log_back(self) -> None:
        """Puts a log back if its file was not replaced, because the process was killed in between; removes it if the
        new file includes it.
        """
        present = self._log_aside(_stamp(self.path))
        for log in self.path.parent.glob(f"{glob.escape(self._log_aside('').name)}*"):
            if log == present:
                log.rename(write_ahead_log(self.path))
            else:
                log.unlink()

    @contextmanager
    def _copy(self) -> Iterator[Path]:
        """A copy of the file, or an empty one where there is none, in a folder of its own."""
        with tempfile.TemporaryDirectory(dir=self.path.parent, prefix=self._prefix) as folder:
            copy = Path(folder) / self.path.name
            if not self.path.exists():
                # The log of a deleted warehouse, which DuckDB would apply to the new one.
                write_ahead_log(self.path).unlink(missing_ok=True)
                _create(copy)
                yield copy
                return
            if self.path.is_dir():
                # Opening it raises the same error as any file that is no warehouse.
                with _opened(self.path, self.sandbox, self.path, read_only=True):
                    pass
            with self._kept_from_writers() as descriptor:
                began = time.monotonic()
                _copy_content(descriptor, copy)
                # Left by a killed process; DuckDB applies it to the copy.
                with suppress(FileNotFoundError):
                    shutil.copyfile(write_ahead_log(self.path), write_ahead_log(copy))
                if (size := copy.stat().st_size) > _LARGE_BYTES:
                    logger.warning(
                        "%s has %.1f GB, and copying it took %.0f seconds of this publication; a DuckLake copies "
                        "nothing (`focus-pipeline warehouse move`)",
                        self.path,
                        size / 1024**3,
                        time.monotonic() - began,
                    )
                yield copy

    @contextmanager
    def _kept_from_writers(self) -> Iterator[int]:
        """A descriptor of the file, under a lock that lets others read it and keeps them from writing.

        Raises WarehouseLocked where another process has it open for writing. Closing any other descriptor of the file
        in this process would let go of the lock, which is of the kind that DuckDB takes.
        """
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                # DuckDB names the process as it fails to open the file.
                with _opened(self.path, self.sandbox, self.path, read_only=True):
                    pass
                raise WarehouseLocked(
                    f"{self.path} was open for writing elsewhere a moment ago; run this again"
                ) from None
            yield descriptor
        finally:
            os.close(descriptor)


def write_ahead_log(path: Path) -> Path:
    """Beside a DuckDB file: what was committed and is not in the file yet. There is none while nobody has it open."""
    return path.with_name(f"{path.name}.wal")


@contextmanager
def _opened(
    path: Path, sandbox: Sandbox, named: Path, *, read_only: bool = False
) -> Iterator[duckdb.DuckDBPyConnection]:
    """named: what messages call it."""
    with ExitStack() as stack:
        try:
            connection = stack.enter_context(open_duckdb(sandbox, path, read_only=read_only))
        except (duckdb.InterruptException, duckdb.ConnectionException):
            raise
        except duckdb.Error as error:
            raise cannot_be_opened(named, error) from None
        yield connection


def _create(path: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"ATTACH {literal(str(path))} AS new (STORAGE_VERSION '{STORAGE_VERSION}')")
        connection.execute("DETACH new")


def _stamp(path: Path) -> str:
    """Changes with a file; "" where there is none."""
    with suppress(FileNotFoundError):
        found = path.stat()
        return f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}"
    return ""


def _copy_content(descriptor: int, target: Path) -> None:
    """Copies a file with its owner and mode. Shares its blocks where the file system can."""
    original = os.fstat(descriptor)
    size, copied = original.st_size, 0
    with target.open("wb") as copy:
        with suppress(PermissionError):  # another user's file, in a folder that is shared
            os.fchown(copy.fileno(), original.st_uid, original.st_gid)
        os.fchmod(copy.fileno(), stat.S_IMODE(original.st_mode))
        with suppress(OSError):
            while copied < size:
                more = os.copy_file_range(descriptor, copy.fileno(), size - copied, copied, copied)
                if not more:
                    break
                copied += more
        if copied < size:  # a file system that cannot, or two of them
            os.lseek(descriptor, 0, os.SEEK_SET)
            copy.seek(0)
            with os.fdopen(descriptor, "rb", closefd=False) as source:
                shutil.copyfileobj(source, copy, 16 * 1024 * 1024)


def _to_disk(path: Path) -> None:
    """Makes a file's content, or a folder's renames, survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
