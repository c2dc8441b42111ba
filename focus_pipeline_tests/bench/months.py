"""A million rows of 60 columns: validation and load beside bare DuckDB, Pandera, the official validator and dlt."""

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.table import Table

from focus_pipeline_tests.bench.large_month import COLUMNS

REPEATS = 3
ROWS = int(os.environ.get("BENCH_ROWS", "1000000"))
MANY_ROWS = int(os.environ.get("BENCH_MANY_ROWS", "10000000"))

# Environments of their own, for neither goes together with this project's: see docs/figures.md.
OFFICIAL = Path(os.environ.get("FOCUS_VALIDATOR", ".bench/focus-validator/bin/focus-validator"))
DLT = Path(os.environ.get("DLT_PYTHON", ".bench/dlt/bin/python"))

DLT_LOAD = """
import sys, time, dlt
from dlt.sources.filesystem import filesystem, read_csv_duckdb, read_parquet
folder, name = sys.argv[1:]
arrow = {"use_pyarrow": True}
reader = read_parquet(**arrow) if name.endswith(".parquet") else read_csv_duckdb(**arrow)
rows = filesystem(bucket_url=f"file://{folder}", file_glob=name) | reader
start = time.perf_counter()
pipeline = dlt.pipeline("bench", pipelines_dir=sys.argv[1] + "/dlt", dataset_name="bench",
                        destination=dlt.destinations.duckdb(sys.argv[1] + "/dlt.duckdb"))
pipeline.run(rows.with_name("charges"), write_disposition="replace")
print(time.perf_counter() - start)
"""


class Figures:
    """Seconds and memory of measured processes, beside each other in one table."""

    def __init__(self, title: str, baseline: str) -> None:
        self.baseline = baseline
        self.seconds: dict[str, float] = {}
        self.table = Table(title=title, title_justify="left")
        for name in ("", "seconds", "min", "max", f"÷ {baseline}", "peak MB"):
            self.table.add_column(name, justify="left" if name == "" else "right")

    def measure(self, name: str, command: Sequence[str], repeats: int = REPEATS, limit: str | None = None) -> None:
        """Runs a command that prints its seconds last; where it prints none, the process's own time counts."""
        environment = os.environ | ({"FOCUS_MEMORY_LIMIT": limit} if limit else {})
        runs = [measured(command, environment) for _ in range(repeats)]
        seconds = [run[0] for run in runs]
        self.seconds[name] = statistics.median(seconds)
        ratio = self.seconds[name] / self.seconds[self.baseline]
        megabytes = max(run[1] for run in runs)
        shown = (self.seconds[name], min(seconds), max(seconds), ratio)
        self.table.add_row(name, *(f"{value:.2f}" for value in shown), f"{megabytes:,.0f}")

    def skip(self, name: str, why: str) -> None:
        self.table.add_row(name, f"skipped: {why}")


def measured(command: Sequence[str], environment: Mapping[str, str] | None = None) -> tuple[float, float]:
    """Seconds that a command printed last, or that it ran, and its peak memory in MB. Raises CalledProcessError."""
    with tempfile.TemporaryFile("w+") as output:
        start, peak = time.perf_counter(), 0.0
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.DEVNULL, env=environment)
        while process.poll() is None:
            peak = max(peak, _peak_megabytes(process.pid))
            time.sleep(0.02)
        elapsed = time.perf_counter() - start
        output.seek(0)
        last = (output.read().strip().splitlines() or [""])[-1]
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, last)
    with suppress(ValueError):  # someone else's command prints something else
        elapsed = float(last)
    return elapsed, peak


def _peak_megabytes(process_id: int) -> float:
    """The most memory that a running process had so far. getrusage() would count that of the process it began as."""
    try:
        status = Path(f"/proc/{process_id}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def main() -> None:
    console = Console(width=130)
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        for file in (f"{ROWS}.parquet", f"{ROWS}.csv.gz"):
            measured(ours("write_month", folder / file, folder))
            console.print(loads(folder, file).table)
        console.print(validations(folder).table)
        if MANY_ROWS:
            console.print(many_rows(folder).table)


def ours(what: str, file: Path, folder: Path) -> list[str]:
    return [sys.executable, "-m", "focus_pipeline_tests.bench.measured", what, str(file), str(folder)]


def loads(folder: Path, file: str) -> Figures:
    figures = Figures(f"From the landed file to published rows, {file}, {len(COLUMNS)} columns", "bare CREATE TABLE")
    figures.measure("bare CREATE TABLE", ours("bare_copy", folder / file, folder))
    paths = {"into the DuckDB file": "", "into DuckLake with SQLite": "_lake"}
    for into, kind in paths.items():
        figures.measure(f"landed file to published rows, {into}", ours(f"whole_path{kind}", folder / file, folder))
    if file.endswith(".parquet"):
        for into, kind in paths.items():
            figures.measure(f"one changed file of 90, {into}", ours(f"one_of_many{kind}", folder / file, folder))
        for into, kind in paths.items():
            figures.measure(f"publishing alone, {into}", ours(f"publish{kind}", folder / file, folder))
    if DLT.exists():
        command = [str(DLT), "-c", DLT_LOAD, str(folder), file]
        figures.measure("dlt, filesystem to DuckDB, no checks", command, repeats=1)
    else:
        figures.skip("dlt, filesystem to DuckDB", f"there is no {DLT}, see docs/figures.md")
    return figures


def validations(folder: Path) -> Figures:
    file, broken = folder / f"{ROWS}.parquet", folder / f"{ROWS}-broken.parquet"
    measured(ours("write_month", broken, folder))
    figures = Figures(f"Validation, {ROWS:,} rows, Parquet", "bare CREATE TABLE")
    figures.measure("bare CREATE TABLE", ours("bare_copy", file, folder))
    measured(ours("whole_path", file, folder))  # leaves the month staged
    figures.measure("all rules over the staged month", ours("rules", file, folder))
    figures.measure("Pandera's validate(), rules about rows", ours("pandera_validate", file, folder), repeats=1)
    measured(ours("whole_path", broken, folder))
    figures.measure("all rules, every row breaks some", ours("rules", broken, folder))
    figures.measure("Pandera's validate(), every row breaks some", ours("pandera_validate", broken, folder), repeats=1)
    figures.measure("focus-pipeline validate", ours("validation", file, folder))
    if OFFICIAL.exists():
        # It looks for its currency codes below the working directory.
        where = next((OFFICIAL.parent.parent / "lib").glob("python3*/site-packages"))
        arguments = f"--data-file {file} --validate-version 1.2.0.1 --block-download --applicability-criteria ALL"
        command = ["sh", "-c", f"cd {where} && exec {OFFICIAL.resolve()} {arguments}"]
        figures.measure("official focus-validator 2.2.1", command, repeats=1)
    else:
        figures.skip("official focus-validator", f"there is no {OFFICIAL}, see docs/figures.md")
    return figures


def many_rows(folder: Path) -> Figures:
    """Without a limit, and with one of DuckDB's memory, as in a container."""
    file = folder / f"{MANY_ROWS}.parquet"
    measured(ours("write_month", file, folder))
    figures = Figures(f"{MANY_ROWS:,} rows, Parquet", "bare CREATE TABLE")
    figures.measure("bare CREATE TABLE", ours("bare_copy", file, folder), repeats=1)
    for limit in (None, "700MB"):
        said = f", FOCUS_MEMORY_LIMIT={limit}" if limit else ""
        for name, what in {
            "landed file to published rows": "whole_path",
            "all rules over the staged month": "rules",
            "focus-pipeline validate": "validation",
        }.items():
            figures.measure(name + said, ours(what, file, folder), repeats=1, limit=limit)
    return figures


if __name__ == "__main__":
    main()
