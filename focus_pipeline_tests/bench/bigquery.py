"""Months of BigQuery of two sizes, read page by page: the memory that the reading process takes."""

import os
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from focus_pipeline.connections.gcp_bigquery_export import GcpBigQueryExport
from focus_pipeline_tests.bench.months import measured
from focus_pipeline_tests.fakes.bigquery import PROJECT, bigquery_server
from focus_pipeline_tests.fakes.clean_months import MONTH, clean_rows
from focus_pipeline_tests.fakes.gcp_export import GcpExport

ROWS = int(os.environ.get("BENCH_BIGQUERY_ROWS", "90000"))
DATASET = "bench"


def main() -> None:
    table = Table(title="BigQuery, page by page", title_justify="left")
    for name in ("rows", "seconds", "peak MB"):
        table.add_column(name, justify="right")
    with bigquery_server() as server:
        export = GcpExport(server, DATASET)
        charges = clean_rows("gcp_1_2")
        export.create(charges)
        rows = len(charges)
        for wanted in (ROWS // 4, ROWS):
            while rows < wanted:
                server.execute(f"INSERT INTO `{export.name}` SELECT * FROM `{export.name}`")
                rows *= 2
            command = [sys.executable, "-m", "focus_pipeline_tests.bench.bigquery", export.table, server.endpoint_url]
            seconds, megabytes = measured(command)
            table.add_row(f"{rows:,}", f"{seconds:.1f}", f"{megabytes:,.0f}")
    Console().print(table)


def read(name: str, endpoint_url: str) -> None:
    """Reads the month, in a process of its own."""
    connection = GcpBigQueryExport("bench", PROJECT, DATASET, name, endpoint_url=endpoint_url)
    [item] = connection.discover().deliveries[MONTH].objects
    with tempfile.TemporaryDirectory() as folder:
        connection.download(item, Path(folder, "month.parquet"))


if __name__ == "__main__":
    read(*sys.argv[1:])
