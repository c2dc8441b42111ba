"""What can be wrong with a warehouse, in words that say what to do."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from focus_pipeline.machine import MachineFault, machine_fault

# DuckDB fails within itself, too, where a file is no database.
_WITHIN_DUCKDB = (duckdb.InternalException, duckdb.FatalException)

# How DuckDB words what is wrong with its file or its write-ahead log.
_DAMAGE = re.compile(
    r"Corrupt (database|WAL) file|Failure while replaying WAL|newer version of DuckDB|not a valid DuckDB database"
)
_FOREIGN = re.compile(r"not a valid DuckDB database|is an existing extension|Is a directory")


class WarehouseUnusable(Exception):
    """The warehouse cannot be read or written now. The message says why, and what to do."""


class WarehouseLocked(WarehouseUnusable):
    """Another process is writing to the warehouse, or has it open for writing."""


class WarehouseDamaged(WarehouseUnusable):
    """The file is no warehouse that can be read: damaged, another program's, or of a newer DuckDB."""


class NotReconciled(Exception):
    """The table would not hold what was staged. Nothing was changed."""


@contextmanager
def named_faults(path: Path, opened: Path | None = None) -> Iterator[None]:
    """What is wrong with a warehouse file itself, or with where it is, whenever DuckDB comes upon it.

    opened: the copy of it that DuckDB works with.
    """
    try:
        yield
    except duckdb.Error as error:
        if _DAMAGE.search(str(error)) or f'bytes from file "{opened or path}"' in str(error):
            raise WarehouseDamaged(damaged(path, error)) from None
        if not isinstance(error, _WITHIN_DUCKDB) and (said := machine_fault(error)) is not None:
            raise MachineFault(f"the warehouse {path}: {said}") from error
        raise


def cannot_be_opened(path: Path, error: duckdb.Error) -> Exception:
    """The exception for an error of DuckDB as it opens a warehouse file."""
    if "Could not set lock on file" in str(error):
        return WarehouseLocked(_who_holds(path, str(error)))
    if not isinstance(error, _WITHIN_DUCKDB) and (said := machine_fault(error)) is not None:
        return MachineFault(f"the warehouse {path} cannot be opened: {said}")
    return WarehouseDamaged(damaged(path, error))


def damaged(path: Path, error: duckdb.Error) -> str:
    """What is wrong with a warehouse file, and what to do."""
    text = re.sub(r"\.[^/]*\.next-[^/]*/", "", str(error))  # what is wrong with its copy is wrong with it
    if "newer version of DuckDB" in text:
        what = f"was written by a newer DuckDB than {duckdb.__version__}, which is installed"
    elif _FOREIGN.search(text):
        what = "is empty, or the file of another program: DuckDB does not know it"
    else:
        what = f"is damaged ({text.splitlines()[0].removeprefix('IO Error: ')[:200]})"
    return (
        f"the warehouse {path} {what}. Nothing is lost: all that is published is also in staged/ and landing/. "
        "`focus-pipeline warehouse rebuild` puts the file aside and makes the warehouse anew from them"
    )


def _who_holds(path: Path, message: str) -> str:
    process = re.search(r"held in (.+?) \(PID (\d+)\)", message)
    holder = f"the process {process[2]} ({process[1]})" if process else "another process"
    return (
        f"{path} is open for writing in {holder}, whose changes would be lost. Close it there, or end that process, "
        "and run this again; open it read-only to look at it, which holds nothing up"
    )
