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
from contextlib import contextmanager, nullcontext
from pathlib import Path

import duckdb
import pytest

from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline.months import months_back
from focus_pipeline.pipeline.rebuild import rebuild_warehouse
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse import duckdb_file
from focus_pipeline.warehouse.duckdb_file import write_ahead_log
from focus_pipeline.warehouse.faults import WarehouseDamaged, WarehouseLocked
from focus_pipeline.warehouse.warehouse import warehouse_of
from focus_pipeline_tests.conftest import CONNECTION
from focus_pipeline_tests.month_files import MONTH, charges_of, write_csv
from focus_pipeline_tests.warehouses import file_of, publish, warehouse_at

CONNECTIONS = {CONNECTION: MonthFolders(CONNECTION, "file:///nothing-is-fetched")}
REMEDY = "Nothing is lost: .*`focus-pipeline warehouse rebuild`"
# A user's process that is killed before what it has committed is in the file; and one that has the file open.
COMMIT_AND_DIE = """
import duckdb, os, signal, sys

connection = duckdb.connect(sys.argv[1])
connection.execute("CREATE SCHEMA IF NOT EXISTS marts")
connection.execute("CREATE TABLE marts.mine AS SELECT range AS i FROM range(100000)")
os.kill(os.getpid(), signal.SIGKILL)
"""
HOLD = """
import duckdb, sys

kept = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "read")
print("open", flush=True)
input()
"""
OPEN = """
import sys, time
from pathlib import Path
from focus_pipeline.machine import MachineFault
from focus_pipeline_tests.warehouses import warehouse_at

def opened(path, how):
    warehouse = warehouse_at(Path(path))
    return warehouse.reading() if how == "read" else warehouse.writing()
"""
CREATE = (
    OPEN
    + """
while time.time() < float(sys.argv[2]):
    pass
try:
    with opened(sys.argv[1], sys.argv[3]) as warehouse:
        print(len(warehouse.execute("DESCRIBE focus.cost_and_usage").fetchall()) > 50)
except FileNotFoundError:
    print(sys.argv[3] == "read")
"""
)
ON_READ_ONLY = (
    OPEN
    + """
if Path(sys.argv[1]).exists():
    with opened(sys.argv[1], "read") as warehouse:
        print(warehouse.execute("SELECT count(*) FROM focus.cost_and_usage").fetchone())
try:
    with opened(sys.argv[1], "write"):
        print("opened")
except MachineFault as error:
    print(error)
"""
)
MOUNTED_READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
AS_NOBODY = (
    "import os, sys\n"
    + OPEN
    + """
os.setgid(65534)
os.setuid(65534)
try:
    with opened(sys.argv[1], sys.argv[2]):
        print("opened")
except MachineFault as error:
    print(error)
"""
)


@pytest.fixture
def loaded(folder: Path, load_month: Callable) -> DataDir:
    """A month that was published, with its verdict, and whose latest delivery is rejected; and another one."""
    other = folder.parent / months_back(MONTH, 1)[0]
    other.mkdir()
    write_csv(other / "a.csv", charges_of(other.name, 5, BilledCost="2.5"))
    write_csv(folder / "a.csv", charges_of(MONTH, 50, BilledCost="1.50"))
    for loading in (other, folder):
        publish(loading.name, load_month(loading).data_dir)
    write_csv(folder / "a.csv", charges_of(MONTH, 50, BilledCost="$5"))
    month = load_month(folder)
    publish(MONTH, month.data_dir)
    assert not month.verdict.accepted
    return month.data_dir


def content(path: Path, *, read_only: bool = True) -> dict[str, object]:
    """Everything that the warehouse shows, but when it was published."""
    warehouse = warehouse_at(path)
    with warehouse.reading() if read_only else warehouse.writing() as warehouse:
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
    commit_and_die(path)
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
        rebuilt = rebuild_warehouse(loaded, CONNECTIONS)
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
    rebuilt = rebuild_warehouse(loaded, CONNECTIONS)
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
    path = file_of(data_dir)
    commit_and_die(path)
    aside = rebuild_warehouse(data_dir, {}).aside
    assert not write_ahead_log(path).exists()
    for opened, there in {path: 0, aside: 1}.items():
        with warehouse_at(opened).writing() as warehouse:
            assert warehouse.execute(MINE).fetchone() == (there,)


# Other processes that have it open


MINE = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'mine'"


def commit_and_die(path: Path) -> None:
    died = subprocess.run([sys.executable, "-c", COMMIT_AND_DIE, str(path)], check=False)
    assert died.returncode == -signal.SIGKILL
    assert write_ahead_log(path).exists()


@contextmanager
def held(path: Path, how: str) -> Iterator[int]:
    """Another process has the file open to read or to write; its PID."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "open\n"
    yield holder.pid
    holder.communicate("\n")


def test_a_process_that_has_it_open_for_writing_is_named_and_nothing_is_changed_meanwhile(tmp_path: Path) -> None:
    """Its changes would be lost."""
    path = tmp_path / "warehouse.duckdb"
    with warehouse_at(path).writing():
        pass
    with held(path, "write") as pid:
        before = path.read_bytes()
        for change in (lambda: rebuild_warehouse(DataDir(tmp_path), {}), warehouse_at(path).writing().__enter__):
            with pytest.raises(WarehouseLocked, match=rf"{path} is open for writing in the process {pid} \(.*python"):
                change()
        assert path.read_bytes() == before
    with warehouse_at(path).writing() as warehouse:
        warehouse.execute("CREATE TABLE marts.later (i INTEGER)")


def test_a_process_that_only_reads_it_holds_up_no_rebuilding(tmp_path: Path) -> None:
    data_dir = DataDir(tmp_path)
    with warehouse_of(data_dir).writing() as warehouse:
        warehouse.execute("CREATE TABLE marts.mine (i INTEGER)")
    with held(file_of(data_dir), "read"):
        rebuilt = rebuild_warehouse(data_dir, {})
    with duckdb.connect(str(rebuilt.aside), read_only=True) as former:
        assert former.execute("SELECT * FROM marts.mine").fetchall() == []
    with warehouse_of(data_dir).reading() as warehouse:
        assert warehouse.execute(MINE).fetchone() == (0,)


def test_nobody_can_open_it_for_writing_while_it_is_published(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    with warehouse_at(path).writing():
        pass
    with warehouse_at(path).writing():
        tried = subprocess.run([sys.executable, "-c", HOLD, str(path), "write"], capture_output=True, check=False)
        assert b"Could not set lock on file" in tried.stderr
        assert subprocess.run([sys.executable, "-c", HOLD, str(path), "read"], input=b"\n", check=False).returncode == 0


def test_a_file_that_was_changed_although_it_is_locked_is_not_replaced(tmp_path: Path) -> None:
    """As on a network file system that knows no locks."""
    path = tmp_path / "warehouse.duckdb"
    for _ in range(2):
        with pytest.raises(WarehouseLocked, match=f"{path} was changed by another process meanwhile"):
            with warehouse_at(path).writing():
                path.write_bytes(b"of another process")
        assert path.read_bytes() == b"of another process"
        path.unlink()
        with warehouse_at(path).writing():
            pass


@pytest.mark.parametrize("is_read", [False, True])
def test_what_a_killed_process_has_committed_is_published_along_and_keeps_no_reader_out(
    tmp_path: Path, is_read: bool
) -> None:
    """It is in a log beside the file, that of another file than the one that takes its place."""
    path = tmp_path / "warehouse.duckdb"
    with warehouse_at(path).writing():
        pass
    commit_and_die(path)
    with held(path, "read") if is_read else nullcontext():
        with warehouse_at(path).writing() as warehouse:
            assert warehouse.execute("SELECT count(*) FROM marts.mine").fetchone() == (100_000,)
            with warehouse_at(path).reading() as reader:
                assert reader.execute("SELECT count(*) FROM marts.mine").fetchone() == (100_000,)
    for _ in range(2):
        assert [entry.name for entry in tmp_path.iterdir() if ".lock" not in entry.name] == ["warehouse.duckdb"]
        with warehouse_at(path).writing() as warehouse:
            assert warehouse.execute("SELECT count(*) FROM marts.mine").fetchone() == (100_000,)


@pytest.mark.parametrize("replaced", [0, 1], ids=["before the file is replaced", "after it is"])
def test_a_publication_that_is_killed_as_it_takes_over_a_log_loses_none_of_it(tmp_path: Path, replaced: int) -> None:
    path = tmp_path / "warehouse.duckdb"
    with warehouse_at(path).writing():
        pass
    commit_and_die(path)
    code = f"""
import os, signal, sys
from pathlib import Path
from focus_pipeline.warehouse import duckdb_file
from focus_pipeline_tests.warehouses import warehouse_at

die, to_disk = lambda *_: os.kill(os.getpid(), signal.SIGKILL), duckdb_file._to_disk
if {replaced}:
    duckdb_file._to_disk = lambda path: die() if path.is_dir() else to_disk(path)
else:
    Path.replace = die
with warehouse_at(Path(sys.argv[1])).writing() as warehouse:
    warehouse.execute("CREATE TABLE marts.published (i INTEGER)")
"""
    died = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert died.returncode == -signal.SIGKILL
    published = "SELECT count(*) FROM information_schema.tables WHERE table_name = 'published'"
    with warehouse_at(path).reading() as warehouse:
        assert warehouse.execute(published).fetchone() == (replaced,)
    for _ in range(2):
        with warehouse_at(path).writing() as warehouse:
            assert warehouse.execute("SELECT count(*) FROM marts.mine").fetchone() == (100_000,)
            assert warehouse.execute(published).fetchone() == (replaced,)
    assert [entry.name for entry in tmp_path.iterdir() if ".lock" not in entry.name] == ["warehouse.duckdb"]


def test_who_may_read_it_may_read_it_after_a_publication_too(tmp_path: Path) -> None:
    """And what a link leads to is replaced, not the link."""
    path = tmp_path / "elsewhere" / "shared.duckdb"
    path.parent.mkdir()
    data_dir = DataDir(tmp_path / "data")
    data_dir.root.mkdir()
    file_of(data_dir).symlink_to(path)
    for number in range(2):
        with warehouse_of(data_dir).writing() as warehouse:
            warehouse.execute(f"CREATE TABLE marts.number_{number} (i INTEGER)")
        path.chmod(0o640)
    with warehouse_of(data_dir).writing():
        pass
    assert path.stat().st_mode & 0o777 == 0o640
    assert file_of(data_dir).readlink() == path
    with duckdb.connect(path, read_only=True) as connection:
        assert len(connection.execute("FROM duckdb_tables() WHERE schema_name = 'marts'").fetchall()) == 2


def test_of_a_large_file_it_is_said_how_long_copying_takes_and_what_else_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for large in (False, True):
        if large:
            monkeypatch.setattr(duckdb_file, "_LARGE_BYTES", 1000)
        for _ in range(2):
            with warehouse_at(tmp_path / "warehouse.duckdb").writing():
                pass
        assert bool(caplog.messages) == large
    assert all("a DuckLake copies nothing" in said for said in caplog.messages)


def test_words_with_lock_in_them_are_not_taken_for_a_lock(tmp_path: Path) -> None:
    path = tmp_path / "clock-block" / "warehouse.duckdb"
    path.parent.mkdir()
    path.write_bytes(b"no database, and longer than a header" * 1000)
    with pytest.raises(WarehouseDamaged):
        with warehouse_at(path).writing():
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
    commit_and_die(path)
    path.unlink()
    with warehouse_at(path).writing() as warehouse:
        assert warehouse.execute(MINE).fetchone() == (0,)


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
