"""Writes the deliveries of the demo's connections as their providers deliver them: folders, file names, manifests.

What is in a month's files depends on the connection and the month alone, so they are the same bytes on every run.
"""

import filecmp
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import duckdb

from focus_pipeline.demo.provider_layouts import (
    aws_data_folder,
    aws_manifest,
    aws_manifest_key,
    azure_manifest,
    azure_run_folder,
    oci_report_key,
)
from focus_pipeline.files import make_folder
from focus_pipeline.months import MONTH_PATTERN, month_bounds
from focus_pipeline.sql import literal

AWS_EXPORT, AZURE_EXPORT, AZURE_DIRECTORY = "focus-daily", "focus-daily", "focus-costs"


def _aws_files(month: str) -> dict[str, str]:
    folder = aws_data_folder(AWS_EXPORT, month)
    return {
        f"{folder}{AWS_EXPORT}-00001.snappy.parquet": "aws_main WHERE day(ChargePeriodStart) <= 15",
        f"{folder}{AWS_EXPORT}-00002.snappy.parquet": "aws_main WHERE day(ChargePeriodStart) > 15",
    }


def _azure_files(month: str) -> dict[str, str]:
    return {f"{_azure_folder(month)}part_0_0001.csv.gz": "azure_main"}


def _oracle_files(month: str) -> dict[str, str]:
    day = "ChargePeriodStart[9:10]"
    return {
        oci_report_key(month, 11, 7): f"oracle_main WHERE {day} <= '10'",
        oci_report_key(month, 21, 14): f"oracle_main WHERE {day} > '10' AND {day} <= '20'",
        oci_report_key(month, 28, 21): f"oracle_main WHERE {day} > '20'",
    }


def _folder_files(files: dict[str, str]) -> Callable[[str], dict[str, str]]:
    return lambda month: {f"{month}/{name}": source for name, source in files.items()}


# Connection -> month -> path below the connection's folder -> the rows of that file, of the tables that its SQL makes.
FILES: dict[str, Callable[[str], dict[str, str]]] = {
    "aws_main": _aws_files,
    "azure_main": _azure_files,
    "colo_costs": _folder_files(
        {
            "expenses.csv": "colo_costs WHERE ProviderName <> 'Internal'",
            "additional.csv.gz": "colo_costs WHERE ProviderName = 'Internal'",
        }
    ),
    "google_main": _folder_files(
        {
            "focus-000000000000.parquet": "google_main WHERE ServiceName <> 'Kubernetes Engine'",
            "focus-000000000001.parquet": "google_main WHERE ServiceName = 'Kubernetes Engine'",
        }
    ),
    "oracle_main": _oracle_files,
    "saas_tools": _folder_files({"saas-tools.csv.gz": "saas_tools"}),
}

# Only in the last month but one.
LATE_CONNECTION, LATE_FILE, LATE_ROWS = "colo_costs", "late-invoice.csv", "late_invoice"

_CSV = "FORMAT csv, HEADER, TIMESTAMPFORMAT '%Y-%m-%dT%H:%M:%SZ'"
_COPY_OPTIONS = {
    ".csv": _CSV,
    ".gz": f"{_CSV}, COMPRESSION gzip",
    ".parquet": "FORMAT parquet, COMPRESSION snappy",
}


@dataclass(frozen=True)
class DemoDelivery:
    """What was written of one connection and month. rows: in all its files."""

    connection: str
    month: str
    files: tuple[Path, ...]
    rows: int


def write_deliveries(root: Path, months: Sequence[str], *, with_late_invoice: bool = True) -> list[DemoDelivery]:
    """Writes every connection's deliveries of `months` (`YYYY-MM`, oldest first) below `root`, and lists them.

    with_late_invoice: the invoice that restates the last month but one has arrived; once there, it stays.

    A file that has these bytes already is not touched: whoever watches the folder sees no change. Half a year shows
    how the costs grow. Raises ValueError when the months are fewer than two, not in order, or not spelled like that.
    """
    if len(months) < 2 or list(months) != sorted(set(months)) or not all(map(MONTH_PATTERN.fullmatch, months)):
        raise ValueError(f"months are {list(months)}; give at least two, oldest first, such as 2025-03")
    make_folder(root)
    deliveries = []
    # One thread: with more of them, the order of rows and the size of row groups would depend on the machine.
    with (
        duckdb.connect(config={"threads": 1}) as connection,
        tempfile.TemporaryDirectory(dir=root, prefix=".partial-") as scratch,
    ):
        for month in months:
            connection.execute(f"SET VARIABLE month = {literal(month)}")
            connection.execute(_sql("shared"))
            for name, files_of in FILES.items():
                connection.execute(_sql(name))
                files = files_of(month)
                if name == LATE_CONNECTION:
                    late = root / name / month / LATE_FILE
                    if month == months[-2] and (with_late_invoice or late.exists()):
                        files |= {f"{month}/{LATE_FILE}": LATE_ROWS}
                    elif month != months[-2]:
                        # There since a former run, when this month was the last but one.
                        late.unlink(missing_ok=True)
                rows = {file: _write(connection, root / name / file, source, scratch) for file, source in files.items()}
                _write_manifest(connection, root / name, name, month, rows)
                paths = tuple(root / name / file for file in files)
                deliveries.append(DemoDelivery(name, month, paths, sum(rows.values())))
    return deliveries


def _write_manifest(
    connection: duckdb.DuckDBPyConnection, root: Path, name: str, month: str, rows: dict[str, int]
) -> None:
    """What AWS and Azure write when all files of a delivery are there; the others write nothing."""
    if name == "aws_main":
        columns = [column for column, *_ in connection.execute("DESCRIBE aws_main").fetchall()]
        files = [f"s3://acme-corp-focus/exports/{file}" for file in rows]
        key, content = aws_manifest_key(AWS_EXPORT, month), aws_manifest(AWS_EXPORT, f"of-{month}", columns, files)
    elif name == "azure_main":
        blobs = {file: ((root / file).stat().st_size, count) for file, count in rows.items()}
        key = f"{_azure_folder(month)}manifest.json"
        content = azure_manifest(
            AZURE_EXPORT, "1.0r2", _azure_run(month), f"{month}-28T05:00:00.0000000Z", month_bounds(month), blobs
        )
    else:
        return
    text = json.dumps(content, indent=1)
    if not (root / key).exists() or (root / key).read_text("utf-8") != text:
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_text(text, "utf-8")


def _azure_folder(month: str) -> str:
    time = f"{month.replace('-', '')}280500"
    return azure_run_folder(AZURE_DIRECTORY, AZURE_EXPORT, month, _azure_run(month), time)


def _azure_run(month: str) -> str:
    return f"94a015c6-0000-4000-8000-000000{month.replace('-', '')}"


def _write(connection: duckdb.DuckDBPyConnection, path: Path, source: str, scratch: str) -> int:
    """Writes the rows of `source` in order of time, and gives their number."""
    written = Path(scratch, path.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = f"FROM {source} ORDER BY ChargePeriodStart, rowid"
    copy = f"COPY ({rows}) TO {literal(str(written))} ({_COPY_OPTIONS[path.suffix]})"
    (count,) = connection.execute(copy).fetchone()
    if not path.exists() or not filecmp.cmp(written, path, shallow=False):
        written.replace(path)
    return count


def _sql(name: str) -> str:
    return resources.files(__package__).joinpath(f"{name}.sql").read_text("utf-8")
