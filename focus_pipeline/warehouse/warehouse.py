"""What every warehouse can do, and which one a URL means."""

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

import duckdb

from focus_pipeline.records.staged import StagedMonth
from focus_pipeline.storage import DataDir


class Warehouse(Protocol):
    """Where the unified table is. SQL over a connection to it names its tables `focus.…` and `marts.…`."""

    @property
    def place(self) -> str:
        """For people: the file, or the catalogue and the folder of its files."""
        ...

    @property
    def opening(self) -> str:
        """Lines of Python that open it to read, as `connection`."""
        ...

    def exists(self) -> bool:
        """Whether anything was ever published into it. Raises MachineFault where it cannot be reached."""
        ...

    def reading(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """A read-only connection in UTC, closed when the block ends. It holds up no publication.

        Raises FileNotFoundError where there is no warehouse yet, WarehouseUnusable, and MachineFault.
        """
        ...

    def writing(self) -> AbstractContextManager[duckdb.DuckDBPyConnection]:
        """A connection for writing, with all tables in place. One process writes at a time; the next one waits a while.

        Readers see a transaction only after its commit. Raises WarehouseUnusable, and MachineFault.
        """
        ...

    def add_rows(self, connection: duckdb.DuckDBPyConnection, staged: StagedMonth) -> None:
        """Adds the rows of a staged month to focus.cost_and_usage, within a transaction of writing()."""
        ...

    def tidy(self) -> list[str]:
        """Removes what no reader can see any more. Returns a sentence for each thing removed."""
        ...


def warehouse_of(data_dir: DataDir) -> Warehouse:
    """The warehouse that the settings name.

    Raises ValueError for a URL of no known kind.
    """
    # Each kind is imported where it is used: the other one's extensions need not be installed.
    if data_dir.warehouse_url.startswith("ducklake:"):
        from focus_pipeline.warehouse.ducklake import DuckLake

        return DuckLake(data_dir.warehouse_url, data_dir.lake_files, data_dir.sandbox)
    from focus_pipeline.warehouse.duckdb_file import DuckDBFile

    # What a link leads to is replaced, and not the link.
    path = Path(data_dir.warehouse_url.removeprefix("duckdb:"))
    return DuckDBFile(Path(os.path.realpath(path)) if os.path.islink(path) else path, data_dir.sandbox)
