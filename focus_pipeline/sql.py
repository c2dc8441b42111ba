"""SQL as this project writes it: identifiers, literals, paths that DuckDB takes literally, and where it runs."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

Watch = Callable[[str, duckdb.DuckDBPyConnection], None]
"""Called before each long query, with what it does and the connection that runs it; query_progress() of that connection
tells how far the query is."""


def unwatched(what: str, connection: duckdb.DuckDBPyConnection) -> None:
    """A Watch that shows nothing."""


@dataclass(frozen=True)
class Sandbox:
    """What a DuckDB connection may touch while it reads what others delivered.

    directories: it reads and writes files below these, and nowhere else; what a link there leads to has to be below
    them, too. links: such that may lead elsewhere. scratch: where it puts what does not fit into
    memory; without it, DuckDB's own choice. memory_limit: such as "1GB"; without it, DuckDB's own, which is 80 % of the
    machine.
    """

    directories: tuple[Path, ...]
    scratch: Path | None = None
    memory_limit: str | None = None
    links: tuple[Path, ...] = ()

    @property
    def config(self) -> dict[str, str | bool | int | float | list[str]]:
        """What a connection is opened with: it installs and loads no extension by itself."""
        config: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
        }
        if self.scratch is not None:
            config["temp_directory"] = str(self.scratch)
        if self.memory_limit is not None:
            config["memory_limit"] = self.memory_limit
        return config


@contextmanager
def open_duckdb(
    sandbox: Sandbox, database: Path | None = None, *, read_only: bool = False
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection in UTC to a database file, or to one in memory; closed in any case when the block ends.

    It installs and loads no extension, reaches no file outside of the sandbox and no network, and no statement can
    change that. Raises duckdb.Error.
    """
    name = ":memory:" if database is None else str(database)
    connection = duckdb.connect(name, read_only=read_only, config=sandbox.config)
    try:
        restrict(connection, sandbox)
        yield connection
    finally:
        connection.close()


def restrict(connection: duckdb.DuckDBPyConnection, sandbox: Sandbox, *directories: Path) -> None:
    """Keeps a connection within the sandbox, and these directories, from now on, and puts it in UTC."""
    connection.execute("SET TimeZone = 'UTC'")
    # For query_progress(), which tells nothing otherwise; DuckDB itself prints none of it.
    connection.execute("SET enable_progress_bar = true")
    connection.execute("SET enable_progress_bar_print = false")
    connection.execute("SET progress_bar_time = 0")
    connection.execute(f"SET allowed_directories = [{_listed((*sandbox.directories, *directories))}]")
    connection.execute(f"SET allowed_paths = [{_listed(sandbox.links)}]")
    # In this order: once the configuration is locked, nothing more can be set.
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def only_row(result: duckdb.DuckDBPyConnection) -> tuple:
    """The row of a query that has one in any case, such as a sum."""
    row = result.fetchone()
    if row is None:
        raise LookupError("the query gave no row")
    return row


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All of the block or nothing of it, whatever ends it."""
    connection.execute("BEGIN")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # DuckDB has rolled back by itself where the disk or the memory was wanting; that is not what there is to say.
        with suppress(duckdb.Error):
            connection.execute("ROLLBACK")
        raise


def _listed(paths: Iterable[Path]) -> str:
    # Also as path_literal() spells them: what is looked for is held against the list before what is found.
    return ", ".join(literal(spelled) for path in paths for spelled in dict.fromkeys((str(path), _pattern(path))))


def quoted(identifier: str) -> str:
    """An SQL identifier, whatever is in the name but a NUL, which DuckDB's parser does not take."""
    return '"' + identifier.replace('"', '""') + '"'


def unused(name: str, columns: Iterable[str]) -> str:
    """The name, with a number where one of the columns has it, as an SQL identifier."""
    taken = {column.lower() for column in columns}
    return next(quoted(free) for free in (name, *(f"{name}{n}" for n in range(len(taken)))) if free not in taken)


def literal(value: str) -> str:
    """An SQL string literal, for places where DuckDB takes no parameter."""
    return "'" + value.replace("'", "''") + "'"


def path_literal(path: Path) -> str:
    r"""A file to read, as an SQL string literal. DuckDB's readers take a path as a pattern: here it means itself alone.

    Raises ValueError for a path with a backslash, which no pattern of DuckDB can name.

    >>> path_literal(Path("/bills/march[1].csv"))
    "'/bills/march[[]1].csv'"
    """
    if "\\" in str(path):
        raise ValueError(f"DuckDB cannot read {str(path)!r}, for its path holds a backslash; move or rename it")
    return literal(_pattern(path))


def _pattern(path: Path) -> str:
    """The pattern of DuckDB that the path alone fits."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in str(path))
