"""What `make bench` measures, each in a process of its own, so that its memory is its own: prints the seconds it took.

python -m focus_pipeline_tests.bench.measured <what> <file> <folder for what it leaves behind>
"""

import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb

from focus_pipeline.files import sha256
from focus_pipeline.focus.rules import ROW, pandera_checks, predicates
from focus_pipeline.focus.rules import rules as all_rules
from focus_pipeline.pipeline.judge import judge
from focus_pipeline.pipeline.publish import publish_months
from focus_pipeline.pipeline.stage import StagedMonth, stage
from focus_pipeline.records.landed import LandedDelivery, LandedFile
from focus_pipeline.records.verdicts import verdict_path
from focus_pipeline.settings import load_settings
from focus_pipeline.sql import literal
from focus_pipeline.storage import DataDir
from focus_pipeline.validate import validate
from focus_pipeline.warehouse.warehouse import warehouse_of
from focus_pipeline_tests.bench.large_month import write_csv, write_parquet

CONNECTION, MONTH, TOKEN = "bench", "2025-03", "token"
MANY_FILES = 90


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


def whole_path(file: Path, folder: Path, *, lake: bool = False) -> float:
    """From the landed file to published rows: normalise, check, publish."""
    data_dir = _empty_data_dir(folder, lake)
    start = time.perf_counter()
    judge(_staged(file, data_dir), data_dir, month_rule=False)
    _publish(data_dir)
    return time.perf_counter() - start


def whole_path_lake(file: Path, folder: Path) -> float:
    """The same into a DuckLake whose catalogue is in SQLite."""
    return whole_path(file, folder, lake=True)


def publish(file: Path, folder: Path, *, lake: bool = False) -> float:
    """Publishing alone, of a month that is staged and judged, in the place of the same rows."""
    data_dir = _empty_data_dir(folder, lake)
    for token in ("former", TOKEN):
        judge(_staged(file, data_dir, token), data_dir, month_rule=False)
        start = time.perf_counter()
        _publish(data_dir)
    return time.perf_counter() - start


def publish_lake(file: Path, folder: Path) -> float:
    """The same into a DuckLake whose catalogue is in SQLite."""
    return publish(file, folder, lake=True)


def one_of_many(file: Path, folder: Path, *, lake: bool = False) -> float:
    """The whole path of a month of 90 files, once more after one of them has changed."""
    data_dir = _empty_data_dir(folder, lake)
    files = [folder / "files" / f"{number:02d}.parquet" for number in range(MANY_FILES)]
    files[0].parent.mkdir(exist_ok=True)
    with duckdb.connect() as connection:
        source = literal(str(file))
        (rows,) = connection.execute(f"SELECT count(*) // {MANY_FILES} FROM {source}").fetchone()
        for number, path in enumerate(files):
            written = f"SELECT * FROM {source} LIMIT {rows} OFFSET {rows * number}"
            connection.execute(f"COPY ({written}) TO {literal(str(path))} (FORMAT parquet)")
        judge(_staged_files(files, data_dir, "former"), data_dir, month_rule=False)
        _publish(data_dir)
        connection.execute(f"COPY (FROM {source} LIMIT {rows // 2}) TO {literal(str(files[7]))} (FORMAT parquet)")
    start = time.perf_counter()
    judge(_staged_files(files, data_dir, TOKEN), data_dir, month_rule=False)
    _publish(data_dir)
    return time.perf_counter() - start


def one_of_many_lake(file: Path, folder: Path) -> float:
    """The same into a DuckLake whose catalogue is in SQLite."""
    return one_of_many(file, folder, lake=True)


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


def _empty_data_dir(folder: Path, lake: bool) -> DataDir:
    """Nothing is staged or published in it, and the rules are loaded."""
    data_dir = _data_dir(folder)
    shutil.rmtree(data_dir.root, ignore_errors=True)
    load_rules(data_dir.rules_cache)
    return replace(data_dir, warehouse=f"ducklake:sqlite:{data_dir.root / 'lake.sqlite'}") if lake else data_dir


def _staged(file: Path, data_dir: DataDir, token: str = TOKEN) -> StagedMonth:
    return _staged_files([file], data_dir, token)


def _staged_files(files: list[Path], data_dir: DataDir, token: str) -> StagedMonth:
    """As they are landed: each with its hash. They are where they are, beside the data directory."""
    landed = tuple(LandedFile(file.name, "", file.stat().st_size, file, sha256=sha256(file)) for file in files)
    delivery = LandedDelivery(CONNECTION, MONTH, token, "2025-04-01T00:00:00", landed, 0, 0)
    return stage(delivery, replace(data_dir, links=tuple(files)), month_rule=False)


def _publish(data_dir: DataDir) -> None:
    published = publish_months([MONTH], data_dir, warehouse_of(data_dir))[MONTH]
    if published.failed or not published.replaced:
        raise RuntimeError(f"nothing was published: {published}")


MEASURED: dict[str, Callable[[Path, Path], float]] = {
    "write_month": write_month,
    "bare_copy": bare_copy,
    "rules": rules,
    "whole_path": whole_path,
    "whole_path_lake": whole_path_lake,
    "publish": publish,
    "publish_lake": publish_lake,
    "one_of_many": one_of_many,
    "one_of_many_lake": one_of_many_lake,
    "validation": validation,
    "pandera_validate": pandera_validate,
}

if __name__ == "__main__":
    what, measured_file, left_behind = sys.argv[1:]
    print(MEASURED[what](Path(measured_file), Path(left_behind)))
