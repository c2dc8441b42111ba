"""A warehouse in a DuckLake: Parquet files, and a catalogue of them in SQLite or Postgres.

A month is published by registering its staged Parquet files, under fresh links that nothing else owns: no row is
copied, and readers and publishing never meet.
"""

import logging
import os
import re
import shutil
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import duckdb

from focus_pipeline.files import alone_with, make_folder
from focus_pipeline.machine import MachineFault, machine_fault, machine_faults
from focus_pipeline.records.staged import StagedMonth
from focus_pipeline.sql import Sandbox, literal, restrict
from focus_pipeline.warehouse.extensions import load_extension
from focus_pipeline.warehouse.faults import WarehouseLocked, WarehouseUnusable
from focus_pipeline.warehouse.schema import bring_up_to_date

logger = logging.getLogger(__name__)

_SCANNERS = {"sqlite": "sqlite_scanner", "postgres": "postgres_scanner"}
_URL = re.compile(r"ducklake:(?:(sqlite|postgres):)?(.+)", re.DOTALL)
# Errors that another process's work on the catalogue causes, and errors of the catalogue itself.
_TAKEN = re.compile(
    r"database is locked|Could not set lock|Transaction conflict|lock timeout|could not serialize|concurrent update"
)
_CATALOGUE = re.compile(r"DuckLake|[Uu]nable to connect|connection to server|not a database|is malformed")
_WAITS_SECONDS = 60.0
# Any number; every publishing process takes the same one.
_ADVISORY_LOCK = 4_607_182_418
# A small table, such as focus.loads, keeps up to so many new rows in the catalogue before they become a file.
_INLINED_ROWS = 5_000
_KEPT_SNAPSHOTS = "30 days"
_KEPT_FILES = "1 day"


@dataclass(frozen=True)
class DuckLake:
    """See Warehouse. url: `ducklake:sqlite:PATH`, `ducklake:postgres:host=… dbname=…`, or `ducklake:PATH` for a
    catalogue in a DuckDB file, which one process at a time can use. files: the folder of the Parquet files.
    """

    url: str
    files: Path
    sandbox: Sandbox

    def __post_init__(self) -> None:
        if _URL.fullmatch(self.url) is None:
            raise ValueError(
                f"FOCUS_WAREHOUSE is {self.url!r}; a DuckLake is ducklake:sqlite:PATH or "
                "ducklake:postgres:host=… dbname=…"
            )

    @property
    def place(self) -> str:
        return f"{_without_password(self.url)}, its files in {self.files}"

    @property
    def opening(self) -> str:
        return (
            "import duckdb\n\nconnection = duckdb.connect()\n"
            f"connection.execute({f'ATTACH {literal(_without_password(self.url))} AS lake (READ_ONLY)'!r})\n"
            'connection.execute("USE lake")'
        )

    def exists(self) -> bool:
        # A catalogue without tables was left by a process that was killed while it made them.
        with suppress(FileNotFoundError), self.reading():
            return True
        return False

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        if (path := self._catalogue_file) is not None:
            with machine_faults(f"the warehouse {self.place} cannot be reached"):
                if not path.exists():
                    raise self._absent()
        with self._attached(read_only=True) as connection:
            if not _has_tables(connection):
                raise self._absent()
            yield connection

    @contextmanager
    def writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with machine_faults(f"the warehouse {self.place} cannot be written"):
            make_folder(self.files)
        with self._alone_by_file(), self._alone_in_postgres(), self._attached() as connection:
            if bring_up_to_date(connection):
                # Otherwise the catalogue would hold deleted rows, and their file would stay in the table for ever.
                connection.execute(
                    "CALL ducklake_set_option('lake', 'data_inlining_row_limit', 0, "
                    "schema => 'focus', table_name => 'cost_and_usage')"
                )
            yield connection

    def add_rows(self, connection: duckdb.DuckDBPyConnection, staged: StagedMonth) -> None:
        # DuckLake reads columns that the file lacks from the folder's name. A name is never used twice: DuckLake owns
        # a file that has left the table, and deletes it by its name.
        folder = self.files / "months" / _hive("x_Connection", staged.connection) / _hive("x_Month", staged.month)
        folder = folder / _hive("x_Token", staged.token)
        make_folder(folder)
        connection.execute(
            "CALL lake.set_commit_message('focus_pipeline', $said)",
            {"said": f"publish {staged.connection} {staged.month} {staged.token}"},
        )
        for path in staged.paths:
            link = folder / f"{uuid.uuid4().hex}.parquet"
            try:
                os.link(path, link)
            except OSError:  # another file system
                shutil.copyfile(path, link)
            connection.execute(
                "CALL ducklake_add_data_files('lake', 'cost_and_usage', $path, schema => 'focus', "
                "ignore_extra_columns => true, allow_missing => true, hive_partitioning => true)",
                {"path": str(link)},
            )

    def tidy(self) -> list[str]:
        """Forgets what the table was more than 30 days ago, and removes files that are in no snapshot."""
        with self.writing() as connection:
            expired = connection.execute(
                f"CALL ducklake_expire_snapshots('lake', older_than => now() - INTERVAL '{_KEPT_SNAPSHOTS}')"
            ).fetchall()
            removed = connection.execute(
                f"CALL ducklake_cleanup_old_files('lake', older_than => now() - INTERVAL '{_KEPT_FILES}')"
            ).fetchall()
            orphaned = connection.execute(
                f"CALL ducklake_delete_orphaned_files('lake', older_than => now() - INTERVAL '{_KEPT_FILES}')"
            ).fetchall()
        said = [f"{len(expired):,} snapshots older than {_KEPT_SNAPSHOTS} are forgotten"] if expired else []
        return said + [f"{path} is removed from the lake" for path, *_ in (*removed, *orphaned)]

    @property
    def _catalogue(self) -> tuple[str, str]:
        """sqlite, postgres or duckdb, and where it is."""
        found = _URL.fullmatch(self.url)
        assert found is not None  # __post_init__ has seen to it
        return found[1] or "duckdb", found[2]

    @property
    def _catalogue_file(self) -> Path | None:
        kind, rest = self._catalogue
        return None if kind == "postgres" else Path(rest)

    @contextmanager
    def _attached(self, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        kind, _ = self._catalogue
        with self._named_faults(), duckdb.connect(config=self.sandbox.config) as connection:
            for extension in ("ducklake", *([_SCANNERS[kind]] if kind in _SCANNERS else [])):
                load_extension(connection, extension)
            mode = ", READ_ONLY" if read_only else f", DATA_INLINING_ROW_LIMIT {_INLINED_ROWS}"
            if not read_only and (path := self._catalogue_file) is not None:
                make_folder(path.parent)
                if kind == "sqlite" and not path.exists():
                    _create_sqlite(path)
            # Attached first: after restrict(), the connection reaches no other file and no host.
            connection.execute(f"ATTACH {literal(self.url)} AS lake (DATA_PATH {literal(f'{self.files}/')}{mode})")
            connection.execute("USE lake")
            catalogue = [self._catalogue_file] if self._catalogue_file is not None else []
            restrict(connection, self.sandbox, self.files, *(path.parent for path in catalogue))
            yield connection

    def _absent(self) -> FileNotFoundError:
        return FileNotFoundError(f"there is no warehouse {self.place} yet; it comes with the first published month")

    @contextmanager
    def _named_faults(self) -> Iterator[None]:
        # Only the text of DuckLake's errors tells them apart, and it may hold a password.
        try:
            yield
        except duckdb.Error as error:
            text = str(error)
            if "Existing DuckLake" in text:
                raise self._absent() from None
            if _TAKEN.search(text):
                raise WarehouseLocked(f"{self.place} is being written by another process; run this again") from None
            if "does not match existing data path" in text:
                raise WarehouseUnusable(
                    f"the warehouse {self.place}: its catalogue names another folder of files "
                    f"({text.splitlines()[0].rpartition('catalog ')[2]}). Set FOCUS_LAKE_FILES to that one"
                ) from None
            if _CATALOGUE.search(text):
                refused = re.search(r"connection to server.*", text)
                said = refused[0] if refused else text.splitlines()[0]
                raise WarehouseUnusable(
                    f"the catalogue of the warehouse {self.place} cannot be used: {_without_password(said)[:300]}"
                ) from None
            if isinstance(error, duckdb.IOException) and (fault := machine_fault(error)) is not None:
                raise MachineFault(f"the warehouse {self.place}: {fault}") from error
            raise

    @contextmanager
    def _alone_by_file(self) -> Iterator[None]:
        """Only one process at a time is in this block, where the catalogue is a file. Waits for a minute at most."""
        if (path := self._catalogue_file) is None:
            yield
            return
        make_folder(path.parent)
        with ExitStack() as stack:
            try:
                stack.enter_context(alone_with(path.with_name(f".{path.name}.lock"), _WAITS_SECONDS))
            except TimeoutError as taken:
                raise WarehouseLocked(f"the process {taken} is publishing to {self.place}; run this again") from None
            yield

    @contextmanager
    def _alone_in_postgres(self) -> Iterator[None]:
        """Only one process at a time, on any machine, is in this block, where the catalogue is in Postgres."""
        kind, where = self._catalogue
        if kind != "postgres":
            yield
            return
        # A separate connection, opened before the catalogue exists; its transaction holds the lock until the end.
        with self._named_faults(), duckdb.connect(config=self.sandbox.config) as holder:
            load_extension(holder, _SCANNERS[kind])
            holder.execute(f"ATTACH {literal(where)} AS guard (TYPE postgres)")
            holder.execute("BEGIN")
            for statement in (
                f"SELECT set_config('lock_timeout', '{_WAITS_SECONDS:.0f}s', true)",
                f"SELECT CAST(pg_advisory_xact_lock({_ADVISORY_LOCK}) AS text)",
            ):
                holder.execute("SELECT * FROM postgres_query('guard', $statement)", {"statement": statement}).fetchall()
            yield


def _create_sqlite(path: Path) -> None:
    """Makes an empty database in WAL mode, in which readers and the writer do not block each other."""
    with closing(sqlite3.connect(path)) as catalogue:
        catalogue.execute("PRAGMA journal_mode = WAL")


def _has_tables(connection: duckdb.DuckDBPyConnection) -> bool:
    found = connection.execute(
        "SELECT 1 FROM duckdb_tables() WHERE database_name = 'lake' AND schema_name = 'focus' "
        "AND table_name = 'month_states'"
    ).fetchone()
    return found is not None


def _hive(column: str, value: str) -> str:
    return f"{column}={quote(value, safe='')}"


def _without_password(url: str) -> str:
    return re.sub(r"password=(?:'[^']*'|\S*)", "password=…", url)
