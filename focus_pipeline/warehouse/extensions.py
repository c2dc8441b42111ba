"""The extensions of DuckDB that a DuckLake needs, from their wheels: nothing is downloaded."""

from importlib import metadata
from pathlib import Path

import duckdb

from focus_pipeline.sql import literal
from focus_pipeline.warehouse.faults import WarehouseUnusable

_WHEELS = {
    "ducklake": "duckdb-extension-ducklake",
    "sqlite_scanner": "duckdb-extension-sqlite-scanner",
    "postgres_scanner": "duckdb-extension-postgres-scanner",
}


class ExtensionMissing(WarehouseUnusable):
    """The wheel of an extension is not installed, or belongs to another version of DuckDB."""


def load_extension(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Loads an extension that DuckDB has signed. Raises ExtensionMissing."""
    try:
        files = metadata.files(_WHEELS[name]) or []
        version = metadata.version(_WHEELS[name])
    except metadata.PackageNotFoundError:
        files, version = [], None
    found = [Path(str(file.locate())) for file in files if file.name == f"{name}.duckdb_extension"]
    if not found or version != duckdb.__version__:
        has = f"{version} is installed" if version else "it is not installed"
        raise ExtensionMissing(
            f"a DuckLake needs {_WHEELS[name]} {duckdb.__version__}, and {has}: install focus-pipeline[lake]"
        )
    connection.execute(f"LOAD {literal(str(found[0]))}")
