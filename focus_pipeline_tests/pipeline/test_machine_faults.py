"""Where this machine lacks something, the step ends with that sentence; no file is rejected and nothing is recorded."""

import errno
import os
import resource
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline.machine import MachineFault, can_be_of_a_file, machine_fault
from focus_pipeline.pipeline.judge import judge
from focus_pipeline.pipeline.land import LandingDamaged, land
from focus_pipeline.pipeline.stage import stage
from focus_pipeline.records.accepted import accepted_delivery
from focus_pipeline.records.landed import LandedDelivery, record_shown
from focus_pipeline.records.staged import staged_month
from focus_pipeline.records.verdicts import verdict_on
from focus_pipeline.sql import Sandbox, open_duckdb
from focus_pipeline.storage import DataDir
from focus_pipeline_tests.month_files import MONTH, as_csv, focus_row, write_csv, write_parquet

NAME = "colo_costs"


@pytest.fixture
def data_dir(tmp_path: Path, compiled_rules: Path) -> DataDir:
    return DataDir(tmp_path / "data", cache=compiled_rules)


@pytest.fixture
def landed(folder: Path, data_dir: DataDir) -> Callable[[], LandedDelivery]:
    """Lands what is in the month's folder."""
    connection = MonthFolders(NAME, folder.parent.as_uri())
    return lambda: land(connection, connection.discover([MONTH]).deliveries[MONTH], data_dir)


@contextmanager
def limited(what: int, amount: int) -> Iterator[None]:
    """A limit of the operating system on this process."""
    soft, hard = resource.getrlimit(what)
    resource.setrlimit(what, (amount, hard))
    try:
        yield
    finally:
        resource.setrlimit(what, (soft, hard))


def lowest_free_descriptor() -> int:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor


def assert_nothing_is_recorded(delivery: LandedDelivery, data_dir: DataDir) -> None:
    assert staged_month(NAME, MONTH, delivery.token, data_dir) is None
    assert verdict_on(NAME, MONTH, delivery.token, data_dir) is None
    assert accepted_delivery(NAME, MONTH, data_dir) is None
    assert list(data_dir.staged(NAME, MONTH).glob("*")) == []


def assert_loads(delivery: LandedDelivery, data_dir: DataDir, rows: int) -> None:
    staged = stage(delivery, data_dir, month_rule=True)
    assert (staged.rows, staged.rejected_files) == (rows, [])
    assert judge(staged, data_dir, month_rule=True).accepted


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_month_that_takes_more_memory_than_there_is_ends_so_and_loads_with_more(
    folder: Path, data_dir: DataDir, landed: Callable[[], LandedDelivery], kind: str
) -> None:
    write = write_csv if kind == "csv" else write_parquet
    rows = [focus_row(ResourceId=f"cab-{number}", Tags='{"note": "' + "x" * 400 + '"}') for number in range(60_000)]
    write(folder / f"large.{kind}", rows)
    write(folder / f"small.{kind}", rows[:120])
    delivery = landed()
    said = (
        rf"^staging {NAME} {MONTH}: DuckDB ran out of memory: FOCUS_MEMORY_LIMIT is 10MB; raise it, then run it again"
    )
    with pytest.raises(MachineFault, match=said):
        stage(delivery, replace(data_dir, memory_limit="10MB"), month_rule=True)
    assert_nothing_is_recorded(delivery, data_dir)
    assert_loads(delivery, replace(data_dir, memory_limit="1GB"), 60_120)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("what", "amount", "said"),
    [
        (resource.RLIMIT_FSIZE, 4096, r"a file grows beyond what this process may write"),
        (resource.RLIMIT_NOFILE, 1, r"too many files are open"),
        (resource.RLIMIT_NOFILE, 0, r"too many files are open"),
    ],
    ids=["size of files", "open files", "not one file more"],
)
def test_a_limit_of_the_system_ends_the_step_by_name(
    folder: Path,
    data_dir: DataDir,
    landed: Callable[[], LandedDelivery],
    kind: str,
    what: int,
    amount: int,
    said: str,
) -> None:
    rows = [focus_row(ResourceId=f"cab-{number}") for number in range(2000)]
    (write_csv if kind == "csv" else write_parquet)(folder / f"bill.{kind}", rows)
    delivery = landed()
    stage(delivery, data_dir, month_rule=True)  # imports what takes files to import
    shutil.rmtree(data_dir.staged(NAME, MONTH))
    if what == resource.RLIMIT_NOFILE:
        amount += lowest_free_descriptor()  # the limit is on their numbers, and numbers between them may be free
    with limited(what, amount), pytest.raises(MachineFault, match=rf"^staging {NAME} {MONTH}: .*{said}.*run it again"):
        stage(delivery, data_dir, month_rule=True)
    assert_nothing_is_recorded(delivery, data_dir)
    assert_loads(delivery, data_dir, 2000)


def test_a_landed_file_that_is_gone_ends_the_step_and_rejects_nothing(
    folder: Path, data_dir: DataDir, landed: Callable[[], LandedDelivery]
) -> None:
    write_csv(folder / "bill.csv", [focus_row()])
    delivery = landed()
    content = delivery.files[0].path.read_bytes()
    delivery.files[0].path.unlink()
    with pytest.raises(LandingDamaged, match=rf"{delivery.files[0].path} is damaged: it is gone"):
        stage(delivery, data_dir, month_rule=True)
    assert_nothing_is_recorded(delivery, data_dir)
    delivery.files[0].path.write_bytes(content)
    assert_loads(delivery, data_dir, 1)


def test_a_download_that_the_disk_does_not_hold_ends_so(
    folder: Path, data_dir: DataDir, landed: Callable[[], LandedDelivery]
) -> None:
    (folder / "bill.csv").write_bytes(as_csv([focus_row()] * 1000))
    data_dir.landed(NAME, MONTH).mkdir(parents=True)
    with limited(resource.RLIMIT_FSIZE, 4096), pytest.raises(MachineFault, match=f"^fetching {NAME} {MONTH}: .*a file"):
        landed()
    assert [path.name for path in data_dir.landed(NAME, MONTH).iterdir()] == ["order.json"]
    assert_loads(landed(), data_dir, 1000)


def test_judging_that_runs_out_of_memory_records_no_verdict(
    folder: Path, data_dir: DataDir, landed: Callable[[], LandedDelivery]
) -> None:
    write_csv(folder / "bill.csv", [focus_row(ResourceId=f"cab-{n}", ResourceName="x" * 500) for n in range(20_000)])
    delivery = landed()
    staged = stage(delivery, data_dir, month_rule=True)
    with pytest.raises(MachineFault, match=f"judging {NAME} {MONTH}: DuckDB ran out of memory"):
        judge(staged, replace(data_dir, memory_limit="1MB"), month_rule=True)
    assert verdict_on(NAME, MONTH, delivery.token, data_dir) is None
    assert judge(staged, data_dir, month_rule=True).accepted


def test_a_damaged_size_that_asks_for_all_of_the_memory_is_the_file_s_fault(
    folder: Path, data_dir: DataDir, landed: Callable[[], LandedDelivery]
) -> None:
    """One such file must not keep the others of its month from being loaded, whatever memory there is."""
    path = folder / "damaged.parquet"
    write_parquet(path, [focus_row(ResourceId=f"cab-{n}") for n in range(50)], compression="none")
    write_parquet(folder / "good.parquet", [focus_row()])
    content = path.read_bytes()
    # A page header says its size as Thrift does, seven bits a byte: right after the magic bytes, field 1 is the type,
    # fields 2 and 3 are the sizes.
    assert content[4:7] == bytes([0x15, content[5], 0x15])
    end = 7
    while content[end] & 0x80:
        end += 1
    path.write_bytes(content[:7] + bytes([0xFE, 0xFF, 0xFF, 0xFF, 0x0F]) + content[end + 1 :])
    staged = stage(landed(), replace(data_dir, memory_limit="200MB"), month_rule=True)
    assert [(file.key, file.rejection.rule) for file in staged.rejected_files] == [
        (f"{MONTH}/damaged.parquet", "files_readable")
    ]
    assert staged.rows == 1


def failing(statement: str, sandbox: Sandbox) -> duckdb.Error:
    with open_duckdb(sandbox) as connection, pytest.raises(duckdb.Error) as raised:
        connection.execute(statement).fetchall()
    return raised.value


@pytest.mark.parametrize(
    ("statement", "of_a_file"),
    [
        ("SELECT * FROM read_csv('{data}/broken.csv', auto_detect = false, columns = {{a: 'INTEGER'}})", True),
        ("SELECT * FROM read_parquet('{data}/broken.csv')", True),
        ("SELECT CAST('x' AS INTEGER)", True),
        ("SELECT * FROM read_csv('/etc/hostname')", False),
        ("COPY (SELECT 1) TO '{data}/no folder/x.csv'", False),
        ("SELECT no_column", False),
        ("SELEC", False),
        ("SELECT * FROM no_table", False),
        ("CREATE TABLE t AS SELECT hash(range) FROM range(1_000_000_000)", False),
    ],
)
def test_what_can_be_a_file_s_fault_is_told_from_what_cannot(tmp_path: Path, statement: str, of_a_file: bool) -> None:
    (tmp_path / "broken.csv").write_text("a\nx\n")
    error = failing(statement.format(data=tmp_path), Sandbox((tmp_path,), tmp_path / "no scratch" / "x", "100MB"))
    assert can_be_of_a_file(error) is of_a_file


def test_an_interrupt_is_nobody_s_fault(tmp_path: Path) -> None:
    with open_duckdb(Sandbox((tmp_path,))) as connection:
        timer = threading.Timer(0.2, connection.interrupt)
        timer.start()
        with pytest.raises(duckdb.InterruptException) as raised:
            connection.execute("SELECT count(*) FROM range(10_000_000) a, range(1_000_000) b").fetchall()
    assert not can_be_of_a_file(raised.value)
    assert machine_fault(raised.value) == "it was interrupted; run it again"


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "the disk is full: free space, then run it again"),
        (errno.EROFS, "the file system is read-only"),
        (errno.EACCES, "this user may not read or write there"),
        (errno.EIO, "the disk cannot be read or written"),
    ],
)
def test_an_error_of_the_system_has_its_sentence_whoever_passes_it_on(number: int, said: str) -> None:
    from_python = OSError(number, os.strerror(number), "/data/landing")
    from_duckdb = duckdb.IOException(f'IO Error: Could not write file "/data/x.parquet": {os.strerror(number)}')
    assert machine_fault(from_python).startswith(f"/data/landing: {said}")
    assert machine_fault(from_duckdb).startswith(said)
    assert not can_be_of_a_file(from_duckdb)


def test_what_is_shown_cannot_be_recorded_where_permissions_are_wanting(data_dir: DataDir) -> None:
    data_dir.root.mkdir(exist_ok=True)
    (data_dir.root / "landing").write_text("a file in the place of the folder")
    with pytest.raises(MachineFault, match=f"^recording what {NAME} shows: "):
        record_shown(NAME, ["2025-03"], data_dir)
