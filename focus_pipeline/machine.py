"""What this machine lacks where a step ends: memory, disk space, permissions, file handles. No delivered file is at
fault then, and none is rejected for it.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb


class MachineFault(Exception):
    """A step ended for want of something on this machine. The message says of what, and what to do."""


_OF_THE_MACHINE = (
    duckdb.OutOfMemoryException,
    duckdb.InterruptException,
    duckdb.PermissionException,
    duckdb.ConnectionException,
    duckdb.TransactionException,
    duckdb.HTTPException,
    duckdb.FatalException,
    duckdb.InternalException,
)
_OF_OUR_SQL = (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException, duckdb.SyntaxException)

_REMEDIES = {
    errno.ENOSPC: "the disk is full: free space, then run it again",
    errno.EDQUOT: "the disk quota is used up: free space or raise it, then run it again",
    errno.EFBIG: "a file grows beyond what this process may write: raise the limit (ulimit -f), then run it again",
    errno.EROFS: "the file system is read-only: mount it writable, or set FOCUS_DATA_DIR to a folder that is",
    errno.EACCES: "this user may not read or write there: run it as the owner of the folder, or change the owner",
    errno.EPERM: "this user may not read or write there: run it as the owner of the folder, or change the owner",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n), then run it again",
    errno.ENFILE: "too many files are open on this machine: close some, then run it again",
    errno.EIO: "the disk cannot be read or written: check it, then run it again",
    errno.ENOMEM: "the machine is out of memory: free some, then run it again",
}


def can_be_of_a_file(error: duckdb.Error) -> bool:
    """Whether DuckDB may have failed for what it was given to read, rather than for this machine or our own SQL."""
    return not isinstance(error, (*_OF_THE_MACHINE, *_OF_OUR_SQL)) and _system_error(error) is None


def machine_fault(error: BaseException, memory_limit: str | None = None) -> str | None:
    """What this machine lacks, and what to do; None where the error tells of something else.

    memory_limit: that of the settings, to name it.
    """
    if isinstance(error, duckdb.OutOfMemoryException):
        if "max_temp_directory_size" in str(error):
            return "the disk of the data directory has no room left for what does not fit into memory: free space"
        remedy = (
            f"FOCUS_MEMORY_LIMIT is {memory_limit}; raise it"
            if memory_limit
            else "let fewer runs go at once (max_concurrent_runs in dagster.yaml), or give the machine more memory"
        )
        return f"DuckDB ran out of memory: {remedy}, then run it again"
    if isinstance(error, MemoryError):
        return f"the process ran out of memory; {_REMEDIES[errno.ENOMEM].partition(': ')[2]}"
    if isinstance(error, duckdb.InterruptException):
        return "it was interrupted; run it again"
    number = error.errno if isinstance(error, OSError) else _system_error(error)
    if number in _REMEDIES:
        place = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
        return f"{place}{_REMEDIES[number]}"
    if isinstance(error, OSError) and number:
        return f"{error.filename or 'a file'}: {error.strerror}"
    if isinstance(error, _OF_THE_MACHINE):
        return f"DuckDB failed: {str(error).splitlines()[0][:300]}"
    return None


@contextmanager
def machine_faults(what: str, memory_limit: str | None = None) -> Iterator[None]:
    """Raises MachineFault, which begins with `what` was being done, where the block ends for want of something here."""
    try:
        yield
    except (duckdb.Error, OSError, MemoryError) as error:
        if (said := machine_fault(error, memory_limit)) is None:
            raise
        raise MachineFault(f"{what}: {said}") from error


def _system_error(error: BaseException) -> int | None:
    """The number of the system's error that DuckDB passes on, as text behind its own."""
    if not isinstance(error, duckdb.IOException | duckdb.TransactionException | duckdb.FatalException):
        return None
    text = str(error)
    return next((number for number in errno.errorcode if os.strerror(number) in text), None)
