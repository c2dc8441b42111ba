"""Replacing a month: whole, exact, or not at all, in a DuckDB file and in DuckLakes."""

import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline.focus.canonical import CANONICAL, LINEAGE
from focus_pipeline.focus.fingerprint import code_fingerprint
from focus_pipeline.focus.specification import versions
from focus_pipeline.pipeline.judge import judge
from focus_pipeline.pipeline.land import land
from focus_pipeline.pipeline.rebuild import rebuild_warehouse
from focus_pipeline.pipeline.stage import stage
from focus_pipeline.records.landed import LandedDelivery, current_delivery
from focus_pipeline.records.staged import StagedMonth
from focus_pipeline.settings import PROJECT_ROOT, warehouse_url
from focus_pipeline.sql import transaction
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse import months as warehouse_months
from focus_pipeline.warehouse import move
from focus_pipeline.warehouse.connections import (
    delivered_twice,
    remove_from_tables,
    rename_in_tables,
    rows_of_connections,
)
from focus_pipeline.warehouse.extensions import load_extension
from focus_pipeline.warehouse.faults import NotReconciled, WarehouseLocked, WarehouseUnusable
from focus_pipeline.warehouse.months import Replaced, replace_month
from focus_pipeline.warehouse.move import move_warehouse
from focus_pipeline.warehouse.schema import VERSION_VIEWS
from focus_pipeline.warehouse.warehouse import Warehouse, warehouse_of
from focus_pipeline_tests.conftest import CONNECTION, LoadedMonth
from focus_pipeline_tests.month_files import MONTH, focus_row, without, write_csv
from focus_pipeline_tests.warehouses import file_of, publish, url_of, warehouse_at

CRASH = """
import os, signal, sys
from pathlib import Path
from focus_pipeline.storage import DataDir
from focus_pipeline.pipeline.publish import publish_months
from focus_pipeline.warehouse import months
from focus_pipeline.warehouse.warehouse import warehouse_of

months._record_load = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
data_dir = DataDir(Path(sys.argv[1]), warehouse=sys.argv[3])
publish_months([sys.argv[2]], data_dir, warehouse_of(data_dir))
"""

# A process that publishes what is accepted, over and over, until it is killed.
PUBLISH = """
import sys
from pathlib import Path
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse.months import replace_month
from focus_pipeline.warehouse.warehouse import warehouse_of
from focus_pipeline.records.staged import staged_month

data_dir = DataDir(Path(sys.argv[1]), warehouse=sys.argv[2])
name, month, *tokens = sys.argv[3:]
staged = [staged_month(name, month, token, data_dir) for token in tokens]
warehouse = warehouse_of(data_dir)
print("ready", flush=True)
for number in range(1000):
    with warehouse.writing() as connection:
        replace_month(warehouse, connection, staged[number % len(staged)])
"""


# A process that has it open, in one transaction, and looks whenever it is told to.
READ = """
import sys
from pathlib import Path
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse.warehouse import warehouse_of

with warehouse_of(DataDir(Path(sys.argv[1]), warehouse=sys.argv[2])).reading() as connection:
    connection.execute("BEGIN")
    while True:
        print(connection.execute("SELECT sum(BilledCost) FROM focus.cost_and_usage").fetchone()[0], flush=True)
        input()
"""


@dataclass(frozen=True)
class Months:
    """Loads month folders into a data directory whose warehouse is of some kind."""

    load_month: Callable[..., LoadedMonth]
    data_dir: DataDir

    def load(self, folder: Path, *costs: str, **more: str) -> StagedMonth:
        """The folder's one file has a charge of each of these costs."""
        rows = [focus_row(BilledCost=cost, ResourceId=str(n), **more) for n, cost in enumerate(costs)]
        write_csv(folder / "a.csv", rows or [focus_row()])
        if not rows:
            (folder / "a.csv").write_bytes((folder / "a.csv").read_bytes().splitlines(keepends=True)[0])
        month = self.load_month(folder)
        judge(month.staged, month.data_dir, month_rule=True, accept_loss=True)
        return month.staged

    @property
    def warehouse(self) -> Warehouse:
        return warehouse_of(self.data_dir)

    def publish(self) -> list[Replaced]:
        return publish(MONTH, self.data_dir).replaced

    def replace(self, staged: StagedMonth) -> Replaced:
        with self.warehouse.writing() as connection:
            return replace_month(self.warehouse, connection, staged)

    def query(self, sql: str) -> list[tuple]:
        with self.warehouse.reading() as connection:
            return connection.execute(sql).fetchall()

    @property
    def shown(self) -> list[Decimal]:
        return [cost for (cost,) in self.query("SELECT BilledCost FROM focus.cost_and_usage ORDER BY 1")]


@pytest.fixture(params=["duckdb", "sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def kept(request: pytest.FixtureRequest, load_month: Callable[..., LoadedMonth], tmp_path: Path) -> Months:
    """Months that are published to a DuckDB file, and to DuckLakes with either catalogue."""
    return Months(load_month, DataDir(tmp_path / "data", warehouse=url_of(request, tmp_path / "data")))


@pytest.fixture
def in_file(load_month: Callable[..., LoadedMonth], tmp_path: Path) -> Months:
    return Months(load_month, DataDir(tmp_path / "data"))


# Whole or not at all


def test_a_month_is_in_the_table_with_its_delivery_and_its_totals(kept: Months, folder: Path) -> None:
    staged = kept.load(folder, "1.000000000000000001", "2")
    (replaced,) = kept.publish()
    assert (replaced.rows_before, replaced.rows_after) == (0, 2)
    assert kept.shown == [Decimal("1.000000000000000001"), Decimal(2)]
    rows = kept.query("SELECT DISTINCT x_Connection, x_Month, x_Token, x_SourceFile FROM focus.cost_and_usage")
    assert rows == [(CONNECTION, MONTH, staged.token, f"{MONTH}/a.csv")]
    assert kept.query('SELECT Month, "Rows", BilledCost FROM focus.data_source_months') == [
        (MONTH, 2, Decimal("3.000000000000000001"))
    ]
    assert kept.query("SELECT Token, RowsBefore, RowsAfter, LoadNumber FROM focus.loads") == [(staged.token, 0, 2, 1)]
    assert kept.query("SELECT count(*) > 100 FROM focus.conformance") == [(True,)]
    assert kept.publish() == [], "and is not written for nothing"


def test_of_a_file_that_a_later_delivery_has_too_the_rows_are_of_the_later_one(kept: Months, folder: Path) -> None:
    """What is staged of it is the same file, and says of no delivery."""
    write_csv(folder / "same.csv", [focus_row(BilledCost="5", ResourceId="same")])
    first = kept.load(folder, "1")
    kept.publish()
    second = kept.load(folder, "1", "2")
    kept.publish()
    assert first.token != second.token
    assert kept.query("SELECT DISTINCT x_Token FROM focus.cost_and_usage") == [(second.token,)]
    assert kept.query(f"SELECT count(*) FROM focus.cost_and_usage WHERE x_Token = '{second.token}'") == [(3,)]


def test_a_process_that_dies_between_deleting_and_committing_leaves_the_former_month(
    kept: Months, folder: Path
) -> None:
    kept.load(folder, "1", "2")
    kept.publish()
    kept.load(folder, "30")
    arguments = [str(kept.data_dir.root), MONTH, kept.data_dir.warehouse]
    died = subprocess.run([sys.executable, "-c", CRASH, *arguments], check=False)
    assert died.returncode == -signal.SIGKILL
    assert kept.shown == [Decimal(1), Decimal(2)]
    kept.publish()
    assert kept.shown == [Decimal(30)]


def test_a_reader_sees_the_former_month_until_the_new_one_is_committed(
    kept: Months, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.load(folder, "1")
    kept.publish()
    seen = []
    original = warehouse_months._record_load

    def look(*arguments: object) -> None:
        seen.extend(kept.shown)
        original(*arguments)

    monkeypatch.setattr(warehouse_months, "_record_load", look)
    kept.load(folder, "2")
    kept.publish()
    assert (seen, kept.shown) == ([Decimal(1)], [Decimal(2)])


@pytest.mark.parametrize(
    "other",
    ["SELECT * FROM {} LIMIT 0", "SELECT * REPLACE (EffectiveCost + 1e-18::DECIMAL(38, 18) AS EffectiveCost) FROM {}"],
    ids=["no row", "another EffectiveCost"],
)
def test_a_table_that_would_hold_something_else_than_was_staged_is_left_as_it_was(
    kept: Months, folder: Path, other: str
) -> None:
    kept.load(folder, "1")
    kept.publish()
    staged = kept.load(folder, "2")
    # The staged file is not what its report says any more.
    (path,) = staged.paths
    rows = other.format(f"'{path}'")
    duckdb.sql(f"COPY ({rows}) TO '{path}.other' (FORMAT parquet)")
    os.replace(f"{path}.other", path)
    with pytest.raises(NotReconciled, match=f"colo_costs {MONTH}: .* nothing was published"):
        kept.replace(staged)
    assert kept.shown == [Decimal(1)]


def test_only_the_month_of_the_connection_is_replaced(kept: Months, folder: Path) -> None:
    other = folder.parent / "2025-04"
    other.mkdir()
    april = {"ChargePeriodStart": "2025-04-01T00:00:00Z", "ChargePeriodEnd": "2025-04-02T00:00:00Z"}
    kept.replace(kept.load(folder, "1"))
    kept.replace(kept.load(other, "2", **april))
    with kept.warehouse.writing() as connection:
        connection.execute(
            "INSERT INTO focus.cost_and_usage (x_Connection, x_Month, BilledCost) "
            f"VALUES ('{CONNECTION}_of_others', '{MONTH}', 4)"
        )
    replaced = kept.replace(kept.load(folder, "3"))
    assert kept.query("SELECT Month, BilledCost FROM focus.data_source_months ORDER BY ALL") == [
        (MONTH, Decimal(3)),
        ("2025-04", Decimal(2)),
    ]
    assert (replaced.billed_cost_before, replaced.billed_cost_after) == ({"USD": Decimal(1)}, {"USD": Decimal(3)})
    assert kept.shown == [Decimal(2), Decimal(3), Decimal(4)]


def test_a_month_without_rows_takes_the_place_of_one_with_rows(kept: Months, folder: Path) -> None:
    kept.load(folder, "1")
    kept.publish()
    kept.load(folder)
    (replaced,) = kept.publish()
    assert (replaced.rows_before, replaced.rows_after, kept.shown) == (1, 0, [])


def test_a_month_that_goes_back_to_its_first_delivery_is_published_as_that(
    kept: Months, folder: Path, tmp_path: Path
) -> None:
    """A -> B -> A, each published: the table shows the last of them, and keeps it when the lake is tidied."""
    bill, aside = folder / "a.csv", tmp_path / "aside.csv"
    kept.load(folder, "1")
    for cost in (1, 2, 1):
        if cost == 2:
            bill.rename(aside)
            kept.load(folder, "2")
        elif aside.exists():
            aside.rename(bill)
            kept.load_month(folder)
        assert len(kept.publish()) == 1
        assert kept.publish() == []
        assert kept.shown == [Decimal(cost)]
    if kept.data_dir.warehouse:
        with kept.warehouse.writing() as connection:
            connection.execute("CALL ducklake_expire_snapshots('lake', older_than => now())")
            removed = connection.execute("CALL ducklake_cleanup_old_files('lake', cleanup_all => true)").fetchall()
            connection.execute("CALL ducklake_delete_orphaned_files('lake', cleanup_all => true)")
        assert len(removed) >= 2
    assert kept.shown == [Decimal(1)]


def test_two_currencies_that_appear_and_vanish_are_each_told(kept: Months, folder: Path) -> None:
    told = []
    for costs in ({"USD": "1"}, {"USD": "1", "EUR": "2"}, {"EUR": "2"}):
        write_csv(folder / "a.csv", [focus_row(BillingCurrency=code, BilledCost=cost) for code, cost in costs.items()])
        month = kept.load_month(folder)
        judge(month.staged, month.data_dir, month_rule=True, accept_loss=True)
        (replaced,) = kept.publish()
        told.append((replaced.billed_cost_before, replaced.billed_cost_after))
    dollars, euros = {"USD": Decimal(1)}, {"EUR": Decimal(2)}
    assert told == [({}, dollars), (dollars, dollars | euros), (dollars | euros, euros)]


# Several processes


def test_readers_that_come_while_a_month_is_published_all_see_one_whole_month(kept: Months, folder: Path) -> None:
    """None fails, and none sees a mixture or nothing."""
    months = [kept.load(folder, *["1"] * 10), kept.load(folder, *["2"] * 20)]
    kept.replace(months[0])
    publishing = _publishing(kept, months)
    seen = set()
    try:
        for _ in range(60 if kept.data_dir.warehouse else 500):
            ((rows, cost),) = kept.query("SELECT count(*), sum(BilledCost) FROM focus.cost_and_usage")
            seen.add((rows, int(cost)))
    finally:
        publishing.kill()
        publishing.wait()
    assert seen == {(10, 10), (20, 40)}


def test_a_reader_that_stays_holds_up_no_publication_and_sees_what_it_has_opened(kept: Months, folder: Path) -> None:
    kept.load(folder, "1")
    kept.publish()
    arguments = [str(kept.data_dir.root), kept.data_dir.warehouse]
    with subprocess.Popen(
        [sys.executable, "-c", READ, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        for cost in ("2", "3"):
            assert Decimal(reader.stdout.readline()) == 1
            kept.load(folder, cost)
            assert len(kept.publish()) == 1
            assert kept.shown == [Decimal(cost)]
            reader.stdin.write("once more\n")
            reader.stdin.flush()
        assert Decimal(reader.stdout.readline()) == 1
        reader.kill()


@pytest.mark.slow
def test_processes_that_publish_at_once_wait_for_one_another(kept: Months, folder: Path) -> None:
    months = [kept.load(folder, *["1"] * 10), kept.load(folder, *["2"] * 20)]
    processes = [_publishing(kept, months) for _ in range(3)]
    time.sleep(6)
    assert [process.poll() for process in processes] == [None] * 3, "none has failed"
    for process in processes:
        process.kill()
        process.wait()
    assert kept.query("SELECT count(*), sum(BilledCost) FROM focus.cost_and_usage")[0] in [
        (10, Decimal(10)),
        (20, Decimal(40)),
    ]
    loads = kept.query("SELECT LoadNumber FROM focus.loads ORDER BY 1")
    assert [number for (number,) in loads] == list(range(1, len(loads) + 1))
    assert len(loads) > 3


def test_what_a_killed_publication_left_is_removed_by_the_next_one(in_file: Months, folder: Path) -> None:
    in_file.load(folder, "1")
    died = subprocess.run([sys.executable, "-c", CRASH, str(in_file.data_dir.root), MONTH, ""], check=False)
    assert died.returncode == -signal.SIGKILL

    def copies() -> list[str]:
        return [path.name for path in in_file.data_dir.root.iterdir() if ".next-" in path.name]

    assert len(copies()) == 1
    in_file.publish()
    assert (copies(), in_file.shown) == ([], [Decimal(1)])


@pytest.mark.slow
def test_a_publication_that_is_killed_at_any_moment_leaves_one_whole_month(kept: Months, folder: Path) -> None:
    chance = random.Random(7)
    months = [kept.load(folder, *["1"] * 10), kept.load(folder, *["2"] * 20)]
    kept.replace(months[0])
    for _ in range(12):
        publishing = _publishing(kept, months)
        time.sleep(chance.random() * 0.6)
        publishing.kill()
        publishing.wait()
        ((rows, cost),) = kept.query("SELECT count(*), sum(BilledCost) FROM focus.cost_and_usage")
        assert (rows, int(cost)) in {(10, 10), (20, 40)}
    kept.replace(months[1])
    assert len(kept.shown) == 20
    if not kept.data_dir.warehouse:
        left = [path.name for path in kept.data_dir.root.iterdir() if ".next-" in path.name]
        assert left == [], "copies of killed processes are removed"


def _publishing(kept: Months, months: list[StagedMonth]) -> subprocess.Popen:
    """A process that has begun to publish these deliveries one after the other."""
    tokens = [month.token for month in months]
    arguments = [str(kept.data_dir.root), kept.data_dir.warehouse, CONNECTION, MONTH, *tokens]
    process = subprocess.Popen([sys.executable, "-c", PUBLISH, *arguments], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    return process


# Renamed, removed, rebuilt, of an earlier version


def test_everything_of_a_connection_is_renamed_and_removed(kept: Months, folder: Path) -> None:
    staged = kept.load(folder, "1", "2")
    kept.publish()
    with kept.warehouse.writing() as connection:
        rename_in_tables(connection, CONNECTION, "newer")
        assert rows_of_connections(connection) == {"newer": {MONTH: 2}}
    assert kept.query("SELECT DISTINCT x_Connection, x_Token FROM focus.cost_and_usage") == [("newer", staged.token)]
    with kept.warehouse.writing() as connection:
        remove_from_tables(connection, "newer")
    assert kept.shown == []
    for table in ("loads", "conformance", "rejected_files", "month_states", "data_source_months"):
        assert kept.query(f"SELECT count(*) FROM focus.{table}") == [(0,)]


def test_the_warehouse_can_be_deleted_and_is_made_again_from_what_is_staged(in_file: Months, folder: Path) -> None:
    in_file.load(folder, "1")
    for _ in range(2):
        assert len(in_file.publish()) == 1
        assert in_file.publish() == []
        assert in_file.shown == [Decimal(1)]
        file_of(in_file.data_dir).unlink()


def test_a_file_of_an_earlier_version_is_taken_over_with_its_history_and_what_users_have_put_into_it(
    in_file: Months, folder: Path
) -> None:
    """It had no numbers of loads, no states of months, and its tables were made anew at each opening."""
    first, second = in_file.load(folder, "1"), in_file.load(folder, "2")
    in_file.replace(first)
    in_file.replace(second)
    with duckdb.connect(file_of(in_file.data_dir)) as connection:
        connection.execute("DROP TABLE focus.schema_version")
        connection.execute("DROP TABLE focus.month_states")
        connection.execute("ALTER TABLE focus.loads DROP COLUMN LoadNumber")
        connection.execute("ALTER TABLE focus.cost_and_usage DROP COLUMN PricingCurrency")
        connection.execute("CREATE TABLE main.mine AS SELECT 42 AS answer")
        connection.execute("CREATE VIEW marts.theirs AS SELECT sum(BilledCost) AS cost FROM focus.cost_and_usage")
    assert in_file.publish() == [], "what is published stays"
    in_file.load(folder, "3")
    assert len(in_file.publish()) == 1
    assert in_file.query("SELECT LoadNumber, BilledCostAfter['USD'] FROM focus.loads ORDER BY 1") == [
        (1, Decimal(1)),
        (2, Decimal(2)),
        (3, Decimal(3)),
    ]
    assert in_file.query("SELECT answer FROM main.mine") == [(42,)]
    assert in_file.query("SELECT cost FROM marts.theirs") == [(Decimal(3),)]
    assert in_file.query("SELECT count(PricingCurrency) FROM focus.cost_and_usage")


def test_tables_are_made_once_and_not_at_every_opening(kept: Months, monkeypatch: pytest.MonkeyPatch) -> None:
    with kept.warehouse.writing():
        pass
    monkeypatch.setattr(
        "focus_pipeline.warehouse.schema._execute_all", lambda *_: pytest.fail("the tables are there already")
    )
    with kept.warehouse.writing():
        pass


def test_a_table_of_an_older_version_gains_its_new_columns_and_keeps_its_rows(kept: Months, folder: Path) -> None:
    """An upgrade with data present: the older code knew no ServiceProviderName."""
    staged = kept.load(folder, "1")
    kept.replace(staged)
    with kept.warehouse.writing() as connection:
        connection.execute("UPDATE focus.cost_and_usage SET x_Month = '2025-02'")
        for view in VERSION_VIEWS.values():
            connection.execute(f"DROP VIEW focus.{view}")
        connection.execute("ALTER TABLE focus.cost_and_usage DROP COLUMN ServiceProviderName")
        connection.execute("UPDATE focus.schema_version SET Mark = 'of the older code'")
    kept.replace(staged)
    rows = kept.query("SELECT x_Month, ServiceProviderName, BilledCost FROM focus.cost_and_usage ORDER BY 1")
    assert rows == [("2025-02", None, Decimal(1)), (MONTH, "Equinix", Decimal(1))]


def test_everything_in_the_warehouse_says_what_it_means(kept: Months, folder: Path) -> None:
    kept.load(folder, "1")
    kept.publish()
    of_schema = "database_name = current_database() AND schema_name = 'focus'"
    tables = kept.query(f"SELECT table_name, comment FROM duckdb_tables() WHERE {of_schema}")
    views = kept.query(f"SELECT view_name, comment FROM duckdb_views() WHERE {of_schema}")
    columns = kept.query(
        f"SELECT table_name || '.' || column_name, comment FROM duckdb_columns() WHERE {of_schema} "
        "AND table_name IN (SELECT table_name FROM duckdb_tables())"  # DuckLake has none for those of views
    )
    assert len(tables) == 10
    assert len(views) == 1 + len(versions())
    assert [name for name, comment in [*tables, *views, *columns] if not comment] == []


def test_the_lines_that_open_a_warehouse_open_it(kept: Months, folder: Path) -> None:
    kept.load(folder, "1")
    kept.publish()
    if kept.data_dir.warehouse:
        pytest.skip("its extensions would be downloaded")
    program = f"{kept.warehouse.opening}\nprint(connection.sql('SELECT count(*) FROM focus.cost_and_usage'))"
    assert "1" in subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


def test_a_warehouse_that_is_not_there_is_not_made_by_a_reader(kept: Months) -> None:
    assert not kept.warehouse.exists()
    with pytest.raises(FileNotFoundError, match=r"there is no warehouse .* yet"):
        with kept.warehouse.reading():
            pass
    assert not file_of(kept.data_dir).exists()
    assert not kept.data_dir.lake_files.exists()


def test_the_table_has_the_columns_of_focus_in_order_and_then_the_lineage(kept: Months) -> None:
    with kept.warehouse.writing() as connection:
        described = connection.execute("DESCRIBE focus.cost_and_usage").fetchall()
    assert [(row[0], row[1].replace(",", ", ").replace("  ", " ")) for row in described] == list(CANONICAL.items())
    assert [row[0] for row in described[-6:]] == [
        "x_Connection",
        "x_Month",
        "x_FocusVersion",
        "x_SourceFile",
        "x_ProviderColumns",
        "x_Token",
    ]


# DuckLakes alone


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def in_lake(request: pytest.FixtureRequest, load_month: Callable[..., LoadedMonth], tmp_path: Path) -> Months:
    return Months(load_month, DataDir(tmp_path / "data", warehouse=url_of(request, tmp_path / "data")))


def test_a_catalogue_that_a_killed_process_has_left_without_tables_is_none_yet(in_lake: Months, folder: Path) -> None:
    in_lake.load(folder, "1")
    code = """
import os, signal, sys
from pathlib import Path
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse import ducklake
from focus_pipeline.warehouse.warehouse import warehouse_of

ducklake.bring_up_to_date = lambda connection: os.kill(os.getpid(), signal.SIGKILL)
warehouse_of(DataDir(Path(sys.argv[1]), warehouse=sys.argv[2])).writing().__enter__()
"""
    arguments = [str(in_lake.data_dir.root), in_lake.data_dir.warehouse]
    assert subprocess.run([sys.executable, "-c", code, *arguments], check=False).returncode == -signal.SIGKILL
    assert not in_lake.warehouse.exists()
    with pytest.raises(FileNotFoundError, match=r"there is no warehouse .* yet"):
        in_lake.query("SELECT 1")
    assert len(in_lake.publish()) == 1
    assert in_lake.shown == [Decimal(1)]


@pytest.mark.slow
def test_processes_that_make_a_catalogue_at_once_make_one(in_lake: Months) -> None:
    code = """
import sys, time
from pathlib import Path
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse.ducklake import DuckLake
from focus_pipeline.warehouse.warehouse import warehouse_of

warehouse = warehouse_of(DataDir(Path(sys.argv[1]), warehouse=sys.argv[2]))
while time.time() < float(sys.argv[3]):
    pass
with warehouse.writing() as connection:
    print(connection.execute("SELECT count(*) FROM focus.schema_version").fetchone())
"""
    arguments = [str(in_lake.data_dir.root), in_lake.data_dir.warehouse, str(time.time() + 3)]
    processes = [
        subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    assert [process.communicate()[0] for process in processes] == ["(1,)\n"] * 3


def test_a_catalogue_that_cannot_be_used_is_a_sentence_without_a_password(tmp_path: Path) -> None:
    (tmp_path / "bad.sqlite").write_bytes(b"no database at all" * 100)
    urls = {
        f"ducklake:sqlite:{tmp_path / 'bad.sqlite'}": "file is not a database",
        "ducklake:postgres:host=127.0.0.1 port=9 password='hunter 2' dbname=x": "port 9 failed: Connection refused",
    }
    for url, said in urls.items():
        warehouse = warehouse_of(DataDir(tmp_path / "data", warehouse=url))
        for opening in (warehouse.reading, warehouse.writing):
            with pytest.raises(WarehouseUnusable, match=f"the catalogue of the warehouse .* cannot be used: .*{said}"):
                with opening():
                    pass
        with pytest.raises(WarehouseUnusable) as raised:
            warehouse.exists()
        assert "hunter" not in "".join(traceback.format_exception(raised.value))


def test_a_lake_whose_files_are_elsewhere_than_the_settings_say_is_told_with_their_place(
    in_lake: Months, folder: Path, tmp_path: Path
) -> None:
    in_lake.load(folder, "1")
    in_lake.publish()
    elsewhere = replace(in_lake.data_dir, lake=tmp_path / "elsewhere")
    with pytest.raises(
        WarehouseUnusable, match=f"names another folder.*{in_lake.data_dir.lake_files}/.*FOCUS_LAKE_FIL"
    ):
        Months(in_lake.load_month, elsewhere).publish()


def test_a_lake_is_rebuilt_with_every_month_and_keeps_its_history(in_lake: Months, folder: Path) -> None:
    in_lake.load(folder, "1", "2")
    in_lake.publish()
    with in_lake.warehouse.writing() as connection:
        connection.execute("DELETE FROM focus.cost_and_usage WHERE BilledCost = 1")
        connection.execute("DELETE FROM focus.conformance")
    rebuilt = rebuild_warehouse(in_lake.data_dir, {})
    assert (rebuilt.aside, rebuilt.rows) == (None, {(CONNECTION, MONTH): 2})
    assert in_lake.shown == [Decimal(1), Decimal(2)]
    assert in_lake.query("SELECT count(*) > 100 FROM focus.conformance") == [(True,)]
    assert in_lake.query("SELECT LoadNumber FROM focus.loads ORDER BY 1") == [(1,), (2,)]


def test_a_lake_needs_no_network_and_says_which_wheel_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What DuckDB would download, it would look for in a folder of the user."""
    with duckdb.connect(config={"extension_directory": "/nowhere", "autoinstall_known_extensions": "false"}) as alone:
        for name in ("ducklake", "sqlite_scanner", "postgres_scanner"):
            load_extension(alone, name)
        loaded = alone.execute("SELECT extension_name FROM duckdb_extensions() WHERE loaded").fetchall()
        assert {("ducklake",), ("sqlite_scanner",), ("postgres_scanner",)} <= set(loaded)
        monkeypatch.setattr(duckdb, "__version__", "9.9.9")
        with pytest.raises(WarehouseUnusable, match=r"needs duckdb-extension-ducklake 9\.9\.9, and .* is installed"):
            load_extension(alone, "ducklake")


def test_what_another_process_has_changed_meanwhile_is_said_and_nothing_of_the_month_is_published(
    in_lake: Months, folder: Path
) -> None:
    """One that takes no lock, such as a user's: DuckLake notices as the month is committed."""
    in_lake.load(folder, "1")
    in_lake.publish()
    second = in_lake.load(folder, "2")
    arguments = [str(in_lake.data_dir.root), in_lake.data_dir.warehouse]
    code = """
import sys
from pathlib import Path
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse.warehouse import warehouse_of

with warehouse_of(DataDir(Path(sys.argv[1]), warehouse=sys.argv[2]))._attached() as connection:
    connection.execute("DELETE FROM focus.cost_and_usage")
"""

    def publish_beside_another() -> None:
        with in_lake.warehouse.writing() as connection, transaction(connection):
            connection.execute("DELETE FROM focus.cost_and_usage")
            subprocess.run([sys.executable, "-c", code, *arguments], check=True)
            in_lake.warehouse.add_rows(connection, second)

    with pytest.raises(WarehouseLocked, match="is being written by another process; run this again"):
        publish_beside_another()
    assert in_lake.shown == []
    assert in_lake.replace(second).rows_after == 1


# Deliveries


def test_of_accounts_that_are_delivered_twice_all_are_counted_and_the_first_shown(tmp_path: Path) -> None:
    with warehouse_at(tmp_path / "warehouse.duckdb").writing() as warehouse:
        for name in ("first", "second"):
            warehouse.execute(
                "INSERT INTO focus.cost_and_usage (x_Connection, x_Month, BillingAccountId, SubAccountId) "
                f"SELECT '{name}', '{MONTH}', 'acct', printf('sub-%05d', range) FROM range(10000)"
            )
        warehouse.execute(
            "INSERT INTO focus.cost_and_usage (x_Connection, x_Month, BillingAccountId) "
            f"VALUES ('first', '{MONTH}', 'alone'), ('first', '{MONTH}', 'alone'), ('second', '2024-01', 'alone')"
        )
        twice = delivered_twice(warehouse, MONTH, shown=2)
        assert delivered_twice(warehouse, "2024-01", shown=2).count == 0
    assert twice.count == 10_000
    assert twice.first == [("", "acct", f"sub-0000{number}", ["first", "second"]) for number in (0, 1)]


def test_an_older_delivery_that_is_still_judged_when_the_newer_one_is_published_is_judged_and_changes_nothing(
    folder: Path, load_month: Callable[..., LoadedMonth]
) -> None:
    def delivered(cost: str) -> LandedDelivery:
        write_csv(folder / "a.csv", [focus_row(BilledCost=cost)])
        connection = MonthFolders(CONNECTION, folder.parent.as_uri())
        return land(connection, connection.discover([MONTH]).deliveries[MONTH], data_dir)

    month = load_month(folder)
    data_dir = month.data_dir
    older = stage(delivered("1"), data_dir, month_rule=True)
    newer = stage(delivered("2"), data_dir, month_rule=True)
    assert judge(newer, data_dir, month_rule=True).accepted
    publish(MONTH, data_dir)
    assert judge(older, data_dir, month_rule=True).accepted
    assert publish(MONTH, data_dir).replaced == []
    assert Months(load_month, data_dir).shown == [Decimal(2)]
    assert all(path.exists() for path in older.paths)
    # Once nobody can be at work with it, the month's next publication removes it.
    for path in older.folder.iterdir():
        os.utime(path, (0, 0))
    judge(stage(delivered("3"), data_dir, month_rule=True), data_dir, month_rule=True)
    publish(MONTH, data_dir)
    assert not any(path.exists() for path in (*older.paths, *newer.paths))


def test_what_is_staged_of_a_later_delivery_is_not_cleared_away(
    folder: Path, load_month: Callable[..., LoadedMonth]
) -> None:
    """It is judged in a moment, by a run that began an hour ago and waits for its turn."""
    write_csv(folder / "a.csv", [focus_row(BilledCost="1")])
    month = load_month(folder)
    data_dir = month.data_dir
    write_csv(folder / "a.csv", [focus_row(BilledCost="2")])
    connection = MonthFolders(CONNECTION, folder.parent.as_uri())
    landed = land(connection, connection.discover([MONTH]).deliveries[MONTH], data_dir)
    later = stage(landed, data_dir, month_rule=True)
    for path in later.folder.iterdir():
        os.utime(path, (0, 0))
    publish(MONTH, data_dir)
    assert later.is_intact
    assert judge(later, data_dir, month_rule=True).accepted
    publish(MONTH, data_dir)
    assert Months(load_month, data_dir).shown == [Decimal(2)]


def test_a_month_that_was_staged_anew_is_published_once_it_is_judged(
    folder: Path, load_month: Callable[..., LoadedMonth], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Newer code has staged it, and the process died before the verdict: nobody knows yet whether it is right."""
    write_csv(folder / "a.csv", [focus_row(BilledCost="1")])
    data_dir = load_month(folder).data_dir
    publish(MONTH, data_dir)
    monkeypatch.setattr(
        "focus_pipeline.pipeline.stage.code_fingerprint", lambda *more: code_fingerprint("newer", *more)
    )
    staged = stage(current_delivery(CONNECTION, MONTH, data_dir), data_dir, month_rule=True)
    assert publish(MONTH, data_dir).replaced == []
    judge(staged, data_dir, month_rule=True)
    assert [one.rows_after for one in publish(MONTH, data_dir).replaced] == [1]


def test_an_accepted_month_that_was_staged_anew_before_it_was_published_waits_for_its_verdict(
    folder: Path, load_month: Callable[..., LoadedMonth], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_csv(folder / "a.csv", [focus_row(BilledCost="1")])
    data_dir = load_month(folder).data_dir
    monkeypatch.setattr(
        "focus_pipeline.pipeline.stage.code_fingerprint", lambda *more: code_fingerprint("newer", *more)
    )
    staged = stage(current_delivery(CONNECTION, MONTH, data_dir), data_dir, month_rule=True)
    assert publish(MONTH, data_dir).replaced == []
    judge(staged, data_dir, month_rule=True)
    assert [one.rows_after for one in publish(MONTH, data_dir).replaced] == [1]


@pytest.mark.parametrize(("version", "count"), [("1.0", 43), ("1.2", 57), ("1.4", 65)])
def test_a_view_has_the_columns_of_its_version_and_the_lineage(tmp_path: Path, version: str, count: int) -> None:
    """The counts are those of the specification."""
    with warehouse_at(tmp_path / "warehouse.duckdb").writing() as warehouse:
        shown = [row[0] for row in warehouse.execute(f"DESCRIBE focus.{VERSION_VIEWS[version]}").fetchall()]
    assert len(shown) == count + len(LINEAGE)
    assert ("ProviderName" in shown, "ServiceProviderName" in shown) == (version != "1.4", version == "1.4")


@pytest.mark.parametrize("sent", ["Provider", "ProviderName", "ServiceProviderName"])
def test_each_reader_finds_the_provider_under_the_name_that_its_version_has(
    folder: Path, load_month: Callable[..., LoadedMonth], sent: str
) -> None:
    write_csv(folder / "a.csv", [without(focus_row(), "ProviderName") | {sent: "Equinix"}])
    month = load_month(folder)
    publish(MONTH, month.data_dir)
    with warehouse_of(month.data_dir).reading() as warehouse:
        seen = [
            warehouse.execute(f"SELECT {column} FROM focus.cost_and_usage_v{view}").fetchone()[0]
            for view, column in {"1_0": "ProviderName", "1_2": "ProviderName", "1_4": "ServiceProviderName"}.items()
        ]
    assert seen == ["Equinix"] * 3


# Moved


@pytest.mark.parametrize("to_lake", [True, False])
def test_a_warehouse_is_moved_with_all_its_tables_and_both_are_equal(
    load_month: Callable[..., LoadedMonth], folder: Path, tmp_path: Path, to_lake: bool
) -> None:
    urls = ["", f"ducklake:sqlite:{tmp_path / 'data' / 'lake.sqlite'}"]
    source, target = (DataDir(tmp_path / "data", warehouse=url) for url in (urls if to_lake else urls[::-1]))
    months = Months(load_month, source)
    months.load(folder, "1.000000000000000001", "2", Tags='{"team": "a"}')
    months.publish()
    months.load(folder, "3", "4")
    months.publish()
    moved = move_warehouse(warehouse_of(source), warehouse_of(target), tmp_path / "data", lambda what: None)
    assert (moved["cost_and_usage"], moved["loads"]) == (2, 2)
    there = Months(load_month, target)
    for table in ("cost_and_usage", "loads", "conformance", "data_source_months", "month_states", "data_sources"):
        assert there.query(f"FROM focus.{table} ORDER BY ALL") == months.query(f"FROM focus.{table} ORDER BY ALL")
    assert there.publish() == [], "it goes on where the other one was"
    months.load(folder, "5")
    there.publish()
    assert (there.shown, months.shown) == ([Decimal(5)], [Decimal(3), Decimal(4)])
    with pytest.raises(WarehouseUnusable, match="holds something already"):
        move_warehouse(warehouse_of(source), warehouse_of(target), tmp_path / "data", lambda what: None)


@pytest.mark.parametrize(
    "fault",
    [
        "DELETE FROM focus.cost_and_usage",
        "UPDATE focus.cost_and_usage SET ServiceName = 'another'",
        "UPDATE focus.cost_and_usage SET BilledCost = BilledCost + 0.000000000000000001",
        "DELETE FROM focus.loads",
    ],
)
def test_a_warehouse_that_arrives_otherwise_is_not_moved(
    in_file: Months, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    in_file.load(folder, "1")
    in_file.publish()
    target = DataDir(tmp_path / "data", warehouse=f"ducklake:sqlite:{tmp_path / 'data' / 'lake.sqlite'}")
    counts = move._counts

    def after_a_fault(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
        if connection.execute("SELECT current_database()").fetchone() == ("lake",):
            connection.execute(fault)
        return counts(connection)

    monkeypatch.setattr(move, "_counts", after_a_fault)
    with pytest.raises(move.NotEqual, match="nothing was moved"):
        move_warehouse(in_file.warehouse, warehouse_of(target), tmp_path / "data", lambda what: None)
    monkeypatch.undo()
    assert Months(in_file.load_month, target).shown == []


# Settings


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("data/w.duckdb", "duckdb:{root}/data/w.duckdb"),
        ("duckdb:w.duckdb", "duckdb:{root}/w.duckdb"),
        ("/srv/w.duckdb", "duckdb:/srv/w.duckdb"),
        ("ducklake:sqlite:data/lake.sqlite", "ducklake:sqlite:{root}/data/lake.sqlite"),
        ("ducklake:/srv/lake.ducklake", "ducklake:/srv/lake.ducklake"),
        ("ducklake:postgres:host=db dbname=lake", "ducklake:postgres:host=db dbname=lake"),
    ],
)
def test_a_warehouse_s_url_has_its_file_s_whole_path(url: str, meant: str) -> None:
    assert warehouse_url(url) == meant.format(root=PROJECT_ROOT)


@pytest.mark.parametrize("url", ["ducklake:mysql:db", "ducklake:", "duckdb:"])
def test_a_url_of_no_warehouse_is_named(url: str) -> None:
    with pytest.raises(ValueError, match=f"FOCUS_WAREHOUSE is '{url}'; set it to"):
        warehouse_url(url)


def test_a_password_is_in_no_message(tmp_path: Path) -> None:
    lake = warehouse_of(DataDir(tmp_path, warehouse="ducklake:postgres:host=db password=hunter2 dbname=x"))
    assert "hunter2" not in lake.place + lake.opening
