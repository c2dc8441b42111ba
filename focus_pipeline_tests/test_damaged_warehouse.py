"""A warehouse that is damaged, another program's, or out of reach: what is said of it, and how it is made anew."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from focus_pipeline.months import months_back
from focus_pipeline.pipeline.rebuild import Reading, rebuild_warehouse
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse.duckdb_file import write_ahead_log
from focus_pipeline.warehouse.faults import WarehouseDamaged, WarehouseLocked
from focus_pipeline.warehouse.warehouse import warehouse_of
from focus_pipeline_tests.conftest import CONNECTION
from focus_pipeline_tests.month_files import MONTH, charges_of, write_csv
from focus_pipeline_tests.warehouses import file_of, publish, warehouse_at

READINGS = {CONNECTION: Reading(month_rule=True, focus_version=None)}
REMEDY = "Nothing is lost: .*`focus-pipeline warehouse rebuild`"
COMMIT_AND_DIE = """
import os, signal, sys
import duckdb

# As a client does that opens the file itself, for writing.
warehouse = duckdb.connect(sys.argv[1])
warehouse.execute("CREATE SCHEMA IF NOT EXISTS marts")
warehouse.execute("CREATE TABLE marts.mine AS SELECT range AS i FROM range(100000)")
os.kill(os.getpid(), signal.SIGKILL)
"""
CREATE = """
import sys, time
from pathlib import Path
from focus_pipeline_tests.warehouses import warehouse_at

warehouse = warehouse_at(Path(sys.argv[1]))
while time.time() < float(sys.argv[2]):
    pass
try:
    with warehouse.reading() if sys.argv[3] == "read" else warehouse.writing() as connection:
        print(len(connection.execute("DESCRIBE focus.cost_and_usage").fetchall()) > 50)
except FileNotFoundError as error:
    print(sys.argv[3] == "read")
"""
ON_READ_ONLY = """
import sys
from pathlib import Path
from focus_pipeline.machine import MachineFault
from focus_pipeline_tests.warehouses import warehouse_at

warehouse = warehouse_at(Path(sys.argv[1]))
if warehouse.exists():
    with warehouse.reading() as connection:
        print(connection.execute("SELECT count(*) FROM focus.cost_and_usage").fetchone())
try:
    with warehouse.writing():
        print("opened")
except MachineFault as error:
    print(error)
"""
KEPT_OPEN = """
import sys
import duckdb

with duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "read") as warehouse:
    print("open", flush=True)
    for line in sys.stdin:
        print(warehouse.execute("SELECT * FROM marts.mine").fetchall(), flush=True)
"""
MOUNTED_READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
AS_NOBODY = """
import os, sys
from pathlib import Path
from focus_pipeline.machine import MachineFault
from focus_pipeline_tests.warehouses import warehouse_at

os.setgid(65534)
os.setuid(65534)
warehouse = warehouse_at(Path(sys.argv[1]))
try:
    with warehouse.reading() if sys.argv[2] == "read" else warehouse.writing():
        print("opened")
except MachineFault as error:
    print(error)
"""


@pytest.fixture
def loaded(folder: Path, load_month: Callable) -> DataDir:
    """A month that was published, with its verdict, and whose latest delivery is rejected; and another one."""
    other = folder.parent / months_back(MONTH, 1)[0]
    other.mkdir()
    write_csv(other / "a.csv", charges_of(other.name, 5, BilledCost="2.5"))
    write_csv(folder / "a.csv", charges_of(MONTH, 50, BilledCost="1.50"))
    for loading in (other, folder):
        load_month(loading)
        publish(loading.name, DataDir(folder.parents[1] / "data"))
    write_csv(folder / "a.csv", charges_of(MONTH, 50, BilledCost="$5"))
    month = load_month(folder)
    publish(MONTH, month.data_dir)
    assert not month.verdict.accepted
    return month.data_dir


def content(path: Path, *, read_only: bool = True) -> dict[str, object]:
    """Everything that the warehouse shows, but when it was published."""
    opened = warehouse_at(path)
    with opened.reading() if read_only else opened.writing() as warehouse:
        return {
            table: warehouse.execute(f"SELECT * FROM focus.{table} ORDER BY ALL").fetchall()
            for table in ("cost_and_usage", "data_sources", "data_source_months", "conformance", "rejected_files")
        } | {"loads": warehouse.execute("SELECT Connection, Month, Token, RowsAfter FROM focus.loads").fetchall()}


def foreign(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE bills (id)")
    database.close()


def folder_in_its_place(path: Path) -> None:
    path.unlink()
    path.mkdir()


def changed_in_its_header(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[12] ^= 0xFF
    path.write_bytes(content)


def with_a_damaged_log(path: Path) -> None:
    subprocess.run([sys.executable, "-c", COMMIT_AND_DIE, str(path)], check=False)
    log = write_ahead_log(path)
    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 0xFF
    log.write_bytes(content)


DAMAGES = {
    "empty": (lambda path: path.write_bytes(b""), "is empty, or"),
    "of zeros": (lambda path: path.write_bytes(bytes(path.stat().st_size)), "is empty, or the file of another program"),
    "text": (lambda path: path.write_text("month,cost\n" * 10_000), "the file of another program"),
    "of SQLite": (foreign, "the file of another program"),
    "a folder": (folder_in_its_place, "the file of another program"),
    "cut within its header": (lambda path: os.truncate(path, 100), "is damaged"),
    "cut in half": (lambda path: os.truncate(path, path.stat().st_size // 2), "is damaged"),
    "changed in its header": (changed_in_its_header, "is damaged"),
    "changed in its log": (with_a_damaged_log, "is damaged"),
}


@pytest.mark.slow
def test_what_is_wrong_with_the_file_is_a_sentence_and_the_command_brings_all_of_it_back(loaded: DataDir) -> None:
    before, path = content(file_of(loaded)), file_of(loaded)
    good = path.read_bytes()
    for name, (damage, said) in DAMAGES.items():
        damage(path)
        for read_only in (True, False):
            with pytest.raises(WarehouseDamaged, match=f"{path} .*{said}.*{REMEDY}") as raised:
                content(path, read_only=read_only)
            assert "open in" not in str(raised.value), name
        rebuilt = rebuild_warehouse(loaded, READINGS)
        assert content(path) | {"loads": before["loads"]} == before, name
        assert (rebuilt.lacking, rebuilt.staged_again) == ([], []), name
        assert not write_ahead_log(path).exists()
        shutil.rmtree(rebuilt.aside) if rebuilt.aside.is_dir() else rebuilt.aside.unlink()
        path.write_bytes(good)


@pytest.mark.slow
def test_of_a_file_with_changed_bytes_either_all_is_read_or_that_it_is_damaged_is_said(loaded: DataDir) -> None:
    before, good = content(file_of(loaded)), file_of(loaded).read_bytes()
    chance = random.Random(9)
    outcomes = set()
    for _ in range(60):
        changed = bytearray(good)
        for _ in range(chance.choice([1, 64, 4096])):
            changed[chance.randrange(len(changed))] ^= chance.randrange(1, 256)
        file_of(loaded).write_bytes(changed)
        try:
            assert content(file_of(loaded)) == before
            outcomes.add("read")
        except WarehouseDamaged:
            outcomes.add("damaged")
    assert "damaged" in outcomes


def test_a_newer_duckdb_s_file_is_named_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DuckDB's words, as its own source has them: a file that it would say them of takes a newer DuckDB to write."""

    def refused(*_: object, **__: object) -> None:
        raise duckdb.IOException(
            "IO Error: Trying to read a database file with version number 99, but we can only read versions between 64 "
            "and 68.\nThe database file was created with a newer version of DuckDB."
        )

    (tmp_path / "warehouse.duckdb").write_bytes(b"x")
    monkeypatch.setattr(duckdb, "connect", refused)
    with pytest.raises(WarehouseDamaged, match=f"was written by a newer DuckDB than {duckdb.__version__}.*{REMEDY}"):
        with warehouse_at(tmp_path / "warehouse.duckdb").reading():
            pass


@pytest.mark.parametrize(
    "lost", ["parquet", *(pytest.param(lost, marks=pytest.mark.slow) for lost in ("staged", "verdicts", "warehouse"))]
)
def test_what_is_missing_in_staged_is_made_again_from_landing(loaded: DataDir, lost: str) -> None:
    before = content(file_of(loaded))
    if lost == "staged":
        shutil.rmtree(loaded.root / "staged")
    patterns = {"parquet": "staged/**/*.parquet", "verdicts": "staged/**/*.verdict.json", "warehouse": "warehouse.*"}
    for path in loaded.root.glob(patterns.get(lost, "none")):
        path.unlink()
    rebuilt = rebuild_warehouse(loaded, READINGS)
    assert content(file_of(loaded)) | {"loads": before["loads"]} == before
    assert bool(rebuilt.staged_again) == (lost != "warehouse")
    assert sum(rebuilt.rows.values()) == 55


@pytest.mark.slow
def test_a_month_that_cannot_be_brought_back_is_named_and_harms_no_other(loaded: DataDir) -> None:
    shutil.rmtree(loaded.root / "staged" / CONNECTION / MONTH)
    rebuilt = rebuild_warehouse(loaded, {})
    assert rebuilt.lacking == [
        f"{CONNECTION} {MONTH}: it has to be read from landing/ again, and defs/ has no connection {CONNECTION} that "
        "says how"
    ]
    assert sum(rebuilt.rows.values()) == 5


def test_the_log_of_the_former_warehouse_is_put_aside_with_it(tmp_path: Path) -> None:
    """What was committed and is not in its file yet is of that file alone."""
    data_dir = DataDir(tmp_path)
    with warehouse_of(data_dir).writing():
        pass
    subprocess.run([sys.executable, "-c", COMMIT_AND_DIE, str(file_of(data_dir))], check=False)
    assert write_ahead_log(file_of(data_dir)).exists()
    aside = rebuild_warehouse(data_dir, {}).aside
    mine = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'mine'"
    for path, there in {file_of(data_dir): 0, aside: 1}.items():
        with warehouse_at(path).reading() as warehouse:
            assert warehouse.execute(mine).fetchone() == (there,)


@contextmanager
def opened_elsewhere(path: Path, *, read_only: bool) -> Iterator[subprocess.Popen]:
    """A process that has the file open, as a client has it. For each line that it is sent it prints marts.mine."""
    with subprocess.Popen(
        [sys.executable, "-c", KEPT_OPEN, str(path), "read" if read_only else "write"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "open\n"
        yield process
        process.stdin.close()


def with_a_table_of_one_s_own(data_dir: DataDir) -> None:
    with warehouse_of(data_dir).writing() as warehouse:
        warehouse.execute("CREATE TABLE marts.mine (i INTEGER)")
        warehouse.execute("INSERT INTO marts.mine VALUES (1)")


def test_a_warehouse_that_is_open_for_writing_is_not_rebuilt_and_who_has_it_open_is_named(tmp_path: Path) -> None:
    data_dir = DataDir(tmp_path)
    with_a_table_of_one_s_own(data_dir)
    with opened_elsewhere(file_of(data_dir), read_only=False) as client:
        with pytest.raises(WarehouseLocked, match=rf"is open for writing in the process {client.pid} .*Close it"):
            rebuild_warehouse(data_dir, {})
    rebuilt = rebuild_warehouse(data_dir, {})
    with duckdb.connect(str(rebuilt.aside), read_only=True) as former:
        assert former.execute("SELECT * FROM marts.mine").fetchall() == [(1,)]


def test_a_reader_holds_up_no_rebuilding_and_keeps_what_it_has_opened(tmp_path: Path) -> None:
    data_dir = DataDir(tmp_path)
    with_a_table_of_one_s_own(data_dir)
    with opened_elsewhere(file_of(data_dir), read_only=True) as reader:
        assert rebuild_warehouse(data_dir, {}).aside is not None
        print("again", file=reader.stdin, flush=True)
        assert reader.stdout.readline() == "[(1,)]\n"
    with warehouse_of(data_dir).reading() as warehouse:
        mine = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'mine'"
        assert warehouse.execute(mine).fetchone() == (0,)


def test_words_with_lock_in_them_are_not_taken_for_a_lock(tmp_path: Path) -> None:
    path = tmp_path / "clock-block" / "warehouse.duckdb"
    path.parent.mkdir()
    path.write_bytes(b"no database, and longer than a header" * 1000)
    for opened in (warehouse_at(path).reading(), warehouse_at(path).writing()):
        with pytest.raises(WarehouseDamaged), opened:
            pass


@pytest.mark.slow
def test_processes_that_create_it_at_once_get_a_whole_one_or_wait(tmp_path: Path) -> None:
    for number in range(5):
        path = tmp_path / str(number) / "warehouse.duckdb"
        path.parent.mkdir()
        at = str(time.time() + 2)
        processes = [
            subprocess.Popen([sys.executable, "-c", CREATE, str(path), at, how], stdout=subprocess.PIPE, text=True)
            for how in ("write", "write", "write", "read")
        ]
        assert [process.communicate()[0] for process in processes] == ["True\n"] * 4
        assert sorted(entry.name for entry in path.parent.iterdir()) == [".warehouse.duckdb.lock", "warehouse.duckdb"]


def test_the_log_of_a_deleted_warehouse_is_not_applied_to_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    with warehouse_at(path).writing():
        pass
    died = subprocess.run([sys.executable, "-c", COMMIT_AND_DIE, str(path)], check=False)
    assert died.returncode == -signal.SIGKILL
    assert write_ahead_log(path).exists()
    path.unlink()
    with warehouse_at(path).writing() as warehouse:
        assert warehouse.execute("SELECT count(*) FROM duckdb_tables() WHERE schema_name = 'marts'").fetchone() == (0,)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can act as another user")
@pytest.mark.parametrize(
    ("folder_mode", "existing", "how"),
    [
        (0o755, True, "write"),
        (0o755, True, "read"),
        (0o755, False, "write"),
        (0o700, True, "write"),
        (0o700, True, "read"),
    ],
)
def test_a_data_directory_of_another_user_is_named_with_what_to_do(
    tmp_path: Path, folder_mode: int, existing: bool, how: str
) -> None:
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)  # pytest's own are closed to others
    path = tmp_path / "data" / "warehouse.duckdb"
    path.parent.mkdir()
    if existing:
        with warehouse_at(path).writing():
            pass
        path.chmod(0o600)
    path.parent.chmod(folder_mode)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, str(path), how],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert str(path) in done.stdout
    assert "run it as the owner of the folder" in done.stdout


@pytest.mark.parametrize("existing", [True, False])
def test_a_read_only_data_directory_can_be_read_and_is_named_where_it_would_be_written(
    tmp_path: Path, existing: bool
) -> None:
    in_a_mount = ("unshare", "--mount", "sh", "-c", MOUNTED_READ_ONLY, str(tmp_path))
    if (
        not shutil.which("unshare")
        or subprocess.run([*in_a_mount, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no file system can be mounted here")
    path = tmp_path / "warehouse.duckdb"
    if existing:
        with warehouse_at(path).writing():
            pass
    done = subprocess.run(
        [*in_a_mount, sys.executable, "-c", ON_READ_ONLY, str(path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("(0,)\n") == existing
    assert f"the warehouse {path} cannot be" in done.stdout
    assert "the file system is read-only: mount it writable, or set FOCUS_DATA_DIR" in done.stdout
