"""The tables and views of a warehouse. The first write after an upgrade brings an older warehouse up to date."""

import hashlib
import tomllib
from functools import cache
from importlib import resources

import duckdb

from focus_pipeline.focus.canonical import CANONICAL, LINEAGE, TOKEN
from focus_pipeline.focus.specification import columns, columns_of, versions
from focus_pipeline.sql import literal, quoted, transaction

VERSION_VIEWS = {version: f"cost_and_usage_v{version.replace('.', '_')}" for version in versions()}
"""FOCUS version -> name of the view in schema focus that shows the table with the columns of that version."""

# Version -> the statements that bring the version before to it. A new warehouse runs through all of them.
_MIGRATIONS: dict[int, tuple[str, ...]] = {
    # Before, the clock ordered loads, and they alone said what was published.
    1: (
        "ALTER TABLE focus.loads ADD COLUMN IF NOT EXISTS LoadNumber BIGINT",
        """
        UPDATE focus.loads SET LoadNumber = numbered.number
        FROM (
            SELECT rowid AS id, row_number() OVER (ORDER BY PublishedAt, rowid) AS number FROM focus.loads
        ) AS numbered
        WHERE loads.rowid = numbered.id AND LoadNumber IS NULL
        """,
        """
        INSERT INTO focus.month_states
        SELECT Connection, Month, arg_max(Token, LoadNumber), arg_max(StagedIdentity, LoadNumber), NULL, NULL
        FROM focus.loads
        WHERE NOT EXISTS (FROM focus.month_states AS known
                          WHERE known.Connection = loads.Connection AND known.Month = loads.Month)
        GROUP BY Connection, Month
        """,
    ),
}


def bring_up_to_date(connection: duckdb.DuckDBPyConnection) -> bool:
    """Creates or changes what is out of date, in one transaction. Returns False, after one query, when nothing is.

    Raises duckdb.Error.
    """
    former = _version(connection)
    if former == (max(_MIGRATIONS), _mark()):
        return False
    with transaction(connection):
        _execute_all(connection, _read("tables.sql"))
        _create_rows(connection)
        for number, statements in _MIGRATIONS.items():
            for statement in statements if number > former[0] else ():
                connection.execute(statement)
        _execute_all(connection, _read("views.sql"))
        for version, view in VERSION_VIEWS.items():
            connection.execute(f"CREATE OR REPLACE VIEW focus.{view} AS {_as_of_version(version)}")
        connection.execute("CREATE TABLE IF NOT EXISTS focus.schema_version (Version INTEGER, Mark VARCHAR)")
        _comment(connection)
        connection.execute("DELETE FROM focus.schema_version")
        connection.execute("INSERT INTO focus.schema_version VALUES (?, ?)", [max(_MIGRATIONS), _mark()])
    return True


def inserted() -> tuple[list[str], list[str]]:
    """Columns of focus.cost_and_usage, and the SQL of their values in a staged row; $token is the delivery's."""
    return list(CANONICAL), ["$token" if name == TOKEN else quoted(name) for name in CANONICAL]


def _version(connection: duckdb.DuckDBPyConnection) -> tuple[int, str]:
    try:
        return connection.execute("SELECT Version, Mark FROM focus.schema_version").fetchone() or (0, "")
    except duckdb.CatalogException:
        return 0, ""


@cache
def _mark() -> str:
    """Changes with all that the tables and views are made of."""
    content = [_read("tables.sql"), _read("views.sql"), repr(CANONICAL), repr(_MIGRATIONS), repr(_comments())]
    return hashlib.sha256("\0".join([*content, *map(_as_of_version, versions())]).encode()).hexdigest()[:20]


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _execute_all(connection: duckdb.DuckDBPyConnection, script: str) -> None:
    for statement in connection.extract_statements(script):
        connection.execute(statement)


def _create_rows(connection: duckdb.DuckDBPyConnection) -> None:
    listed = ", ".join(f"{quoted(name)} {kind}" for name, kind in CANONICAL.items())
    connection.execute(f"CREATE TABLE IF NOT EXISTS focus.cost_and_usage ({listed})")
    there = {row[0] for row in connection.execute("DESCRIBE focus.cost_and_usage").fetchall()}
    for name, kind in CANONICAL.items():
        if name not in there:  # a newer FOCUS version was added to the data since the table was made
            connection.execute(f"ALTER TABLE focus.cost_and_usage ADD COLUMN {quoted(name)} {kind}")


@cache
def _comments() -> dict[str, dict]:
    """Table or view -> comment, and columns: name -> comment. What [columns] says holds for every table."""
    of_tables = tomllib.loads(_read("comments.toml"))
    usual = of_tables.pop("columns")
    of_focus = {name: column.description for name, column in columns().items() if column.description}
    for version, view in VERSION_VIEWS.items():
        of_tables[view] = {"comment": f"The rows of cost_and_usage with the columns of FOCUS {version}.", "columns": {}}
    return {
        name: said | {"columns": (of_focus if name == "cost_and_usage" else usual) | said["columns"]}
        for name, said in of_tables.items()
    }


def _comment(connection: duckdb.DuckDBPyConnection) -> None:
    """What everything in schema focus means, for whoever looks at it in a client."""
    there = connection.execute(
        """
        SELECT table_name, column_name, table_name IN (FROM (SELECT view_name FROM duckdb_views()))
        FROM duckdb_columns() WHERE database_name = current_database() AND schema_name = 'focus'
        """
    ).fetchall()
    for table, is_view in sorted({(table, is_view) for table, _, is_view in there}):
        if said := _comments().get(table):
            kind = "VIEW" if is_view else "TABLE"
            connection.execute(f"COMMENT ON {kind} focus.{quoted(table)} IS {literal(said['comment'])}")
    # DuckLake knows no comments on columns of views.
    for table, column in ((table, column) for table, column, is_view in there if not is_view):
        if said := _comments().get(table, {}).get("columns", {}).get(column):
            connection.execute(f"COMMENT ON COLUMN focus.{quoted(table)}.{quoted(column)} IS {literal(said)}")


def _as_of_version(version: str) -> str:
    """The SELECT of a version's columns; one that a later version renamed has the values of its successor, too."""
    successors = {column.filled_from: name for name, column in columns().items() if column.filled_from}
    selected = [
        f"coalesce({quoted(name)}, {quoted(successors[name])}) AS {quoted(name)}"
        if name in successors
        else quoted(name)
        for name in columns_of(version)
    ]
    return f"SELECT {', '.join([*selected, *map(quoted, LINEAGE)])} FROM focus.cost_and_usage"
