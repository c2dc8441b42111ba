"""Writes the deliveries of the demo's connections into month folders: `<root>/<connection>/<YYYY-MM>/<file>`.

What is in a month's files depends on the connection and the month alone, so they are the same bytes on every run.
"""

import filecmp
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import duckdb

from focus_pipeline.focus.canonical import literal
from focus_pipeline.months import MONTH_PATTERN

# File name -> the rows that it holds, of the tables that the connection's SQL makes.
FILES = {
    "aws_main": {
        "focus-00001.snappy.parquet": "aws_main WHERE day(ChargePeriodStart) <= 15",
        "focus-00002.snappy.parquet": "aws_main WHERE day(ChargePeriodStart) > 15",
    },
    "azure_main": {"part_0_0001.csv.gz": "azure_main"},
    "colo_costs": {
        "expenses.csv": "colo_costs WHERE Provider <> 'Internal'",
        "additional.csv.gz": "colo_costs WHERE Provider = 'Internal'",
    },
    "saas_tools": {"saas-tools.csv.gz": "saas_tools"},
}

# Only in the last month but one. It will be rejected: one of its rows is of the month before.
LATE_CONNECTION, LATE_FILE, LATE_ROWS = "colo_costs", "late-invoice.csv", "late_invoice"

_CSV = "FORMAT csv, HEADER, TIMESTAMPFORMAT '%Y-%m-%dT%H:%M:%SZ'"
_COPY_OPTIONS = {
    ".csv": _CSV,
    ".gz": f"{_CSV}, COMPRESSION gzip",
    ".parquet": "FORMAT parquet, COMPRESSION snappy",
}


@dataclass(frozen=True)
class DemoDelivery:
    """What was written of one connection and month. rows: in all its files, a file that will be rejected included."""

    connection: str
    month: str
    files: tuple[Path, ...]
    rows: int


def write_deliveries(root: Path, months: Sequence[str]) -> list[DemoDelivery]:
    """Writes every connection's deliveries of `months` (`YYYY-MM`, oldest first) below `root`, and lists them.

    A file that has these bytes already is not touched: whoever watches the folder sees no change. Half a year shows
    how the costs grow. Raises ValueError when the months are fewer than two, not in order, or not spelled like that.
    """
    if len(months) < 2 or list(months) != sorted(set(months)) or not all(map(MONTH_PATTERN.fullmatch, months)):
        raise ValueError(f"months are {list(months)}; give at least two, oldest first, such as 2025-03")
    root.mkdir(parents=True, exist_ok=True)
    deliveries = []
    # One thread: with more of them, the order of rows and the size of row groups would depend on the machine.
    with (
        duckdb.connect(config={"threads": 1}) as connection,
        tempfile.TemporaryDirectory(dir=root, prefix=".partial-") as scratch,
    ):
        for month in months:
            connection.execute(f"SET VARIABLE month = {literal(month)}")
            connection.execute(_sql("shared"))
            for name, files in FILES.items():
                connection.execute(_sql(name))
                folder = root / name / month
                folder.mkdir(parents=True, exist_ok=True)
                if name == LATE_CONNECTION:
                    if month == months[-2]:
                        files = files | {LATE_FILE: LATE_ROWS}
                    else:
                        # There since a former run, when this month was the last but one.
                        (folder / LATE_FILE).unlink(missing_ok=True)
                rows = sum(_write(connection, folder / file, source, scratch) for file, source in files.items())
                deliveries.append(DemoDelivery(name, month, tuple(folder / file for file in files), rows))
    return deliveries


def _write(connection: duckdb.DuckDBPyConnection, path: Path, source: str, scratch: str) -> int:
    """Writes the rows of `source` in order of time, and gives their number."""
    written = Path(scratch, path.name)
    rows = f"FROM {source} ORDER BY ChargePeriodStart, rowid"
    copy = f"COPY ({rows}) TO {literal(str(written))} ({_COPY_OPTIONS[path.suffix]})"
    (count,) = connection.execute(copy).fetchone()
    if not path.exists() or not filecmp.cmp(written, path, shallow=False):
        written.replace(path)
    return count


def _sql(name: str) -> str:
    return resources.files(__package__).joinpath(f"{name}.sql").read_text("utf-8")
