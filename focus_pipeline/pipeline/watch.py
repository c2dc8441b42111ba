"""Lets whoever waits for a long step see how far it is."""

from collections.abc import Callable

import duckdb

Watch = Callable[[str, duckdb.DuckDBPyConnection], None]
"""Called before each long query with what it does and the connection that runs it, whose query_progress() tells how far
it is."""


def unwatched(what: str, connection: duckdb.DuckDBPyConnection) -> None:
    """For those who do not wait."""
