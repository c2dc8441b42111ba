"""Warehouses as tests have them: the DuckDB file of a data directory, or one at a path, and DuckLakes."""

from pathlib import Path

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
