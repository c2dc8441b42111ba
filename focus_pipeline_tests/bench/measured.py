"""What `make bench` measures, each in a process of its own, so that its memory is its own: prints the seconds it took.

python -m focus_pipeline_tests.bench.measured <what> <file> <folder for what it leaves behind>
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import duckdb

from focus_pipeline.focus.rules import ROW, pandera_checks, predicates
from focus_pipeline.focus.rules import rules as all_rules
from focus_pipeline.pipeline.judge import judge
from focus_pipeline.pipeline.stage import StagedMonth, stage
from focus_pipeline.records.landed import LandedDelivery, LandedFile
from focus_pipeline.records.verdicts import verdict_path
from focus_pipeline.settings import load_settings
from focus_pipeline.sql import literal
from focus_pipeline.storage import DataDir
from focus_pipeline.validate import validate
from focus_pipeline_tests.bench.large_month import write_csv, write_parquet
from focus_pipeline_tests.warehouses import file_of, publish

CONNECTION, MONTH, TOKEN = "bench", "2025-03", "token"


def bare_copy(file: Path, folder: Path) -> float:
    """DuckDB's CREATE TABLE AS SELECT * FROM the file."""
    (folder / "bare.duckdb").unlink(missing_ok=True)
    start = time.perf_counter()
    with duckdb.connect(folder / "bare.duckdb") as connection:
        connection.execute(f"CREATE TABLE charges AS SELECT * FROM {literal(str(file))}")
    return time.perf_counter() - start


def rules(file: Path, folder: Path) -> float:
    """Every rule over the month that `whole_path` left staged."""
    data_dir = _data_dir(folder)
    staged = _staged(file, data_dir)
    verdict_path(CONNECTION, MONTH, TOKEN, data_dir).unlink(missing_ok=True)
    load_rules(data_dir.rules_cache)
    start = time.perf_counter()
    judge(staged, data_dir, month_rule=False)
    return time.perf_counter() - start


def whole_path(file: Path, folder: Path) -> float:
    """From the landed file to published rows: normalise, check, publish."""
    data_dir = _data_dir(folder)
    file_of(data_dir).unlink(missing_ok=True)
    load_rules(data_dir.rules_cache)
    for leftover in data_dir.staged(CONNECTION, MONTH).glob("*"):
        leftover.unlink()
    start = time.perf_counter()
    staged = _staged(file, data_dir)
    judge(staged, data_dir, month_rule=False)
    publish(MONTH, data_dir)
    return time.perf_counter() - start


def write_month(file: Path, folder: Path) -> float:
    """Makes `<rows>.parquet`, `<rows>-broken.parquet` or `<rows>.csv.gz`; here, for it takes memory of its own."""
    start = time.perf_counter()
    rows = int(file.name.partition(".")[0].removesuffix("-broken"))
    if file.suffix == ".gz":
        write_csv(file, rows)
    else:
        write_parquet(file, rows, broken="-broken" in file.name)
    return time.perf_counter() - start


def validation(file: Path, folder: Path) -> float:
    """`focus-pipeline validate`, without Python's start."""
    data_dir = _data_dir(folder)
    load_rules(data_dir.rules_cache)
    start = time.perf_counter()
    validate([file], data_dir.rules_cache, memory_limit=data_dir.memory_limit)
    return time.perf_counter() - start


def pandera_validate(file: Path, folder: Path) -> float:
    """The same checks of rows by Pandera's own validate(), over the month that `whole_path` left staged."""
    import ibis
    import pandera.ibis as pa

    staged = _staged(file, _data_dir(folder))
    (accepted,) = staged.accepted_files
    checks: dict[str, list[pa.Check]] = {}
    for key, check in pandera_checks().items():
        rule = all_rules()[key]
        if rule.kind == ROW and set(rule.needs) <= set(accepted.layout.recognised):
            checks.setdefault(rule.column, []).append(check)
    schema = pa.DataFrameSchema(
        {column: pa.Column(checks=of_column, nullable=True) for column, of_column in checks.items()}
    )
    month = ibis.duckdb.connect().read_parquet(list(staged.paths))
    start = time.perf_counter()
    try:
        schema.validate(month, lazy=True)
    except pa.errors.SchemaErrors as error:
        print(f"{len(error.schema_errors)} checks failed", file=sys.stderr)
    return time.perf_counter() - start


def load_rules(cache: Path) -> None:
    """What a process does once, before its first month."""
    predicates(cache)
    all_rules()


def _data_dir(folder: Path) -> DataDir:
    return DataDir(folder / "data", cache=folder / "cache", memory_limit=load_settings().memory_limit)


def _staged(file: Path, data_dir: DataDir) -> StagedMonth:
    landed = LandedFile(file.name, "", file.stat().st_size, file)
    delivery = LandedDelivery(CONNECTION, MONTH, TOKEN, "2025-04-01T00:00:00", (landed,), 0, 0)
    return stage(delivery, data_dir, month_rule=False)


MEASURED: dict[str, Callable[[Path, Path], float]] = {
    "write_month": write_month,
    "bare_copy": bare_copy,
    "rules": rules,
    "whole_path": whole_path,
    "validation": validation,
    "pandera_validate": pandera_validate,
}

if __name__ == "__main__":
    what, measured_file, left_behind = sys.argv[1:]
    print(MEASURED[what](Path(measured_file), Path(left_behind)))
