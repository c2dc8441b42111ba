"""Replacing a month: whole, exact, or not at all."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from focus_pipeline import warehouse as warehouse_module
from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline.focus.canonical import LINEAGE
from focus_pipeline.focus.fingerprint import code_fingerprint
from focus_pipeline.pipeline.judge import judge
from focus_pipeline.pipeline.land import land
from focus_pipeline.pipeline.publish import publish_month
from focus_pipeline.pipeline.stage import stage
from focus_pipeline.records.landed import LandedDelivery, current_delivery
from focus_pipeline.warehouse.connections import delivered_twice
from focus_pipeline.warehouse.faults import NotReconciled
from focus_pipeline.warehouse.months import replace_month
from focus_pipeline.warehouse.schema import VERSION_VIEWS
from focus_pipeline.warehouse.warehouse import warehouse_of
from focus_pipeline_tests.conftest import CONNECTION
from focus_pipeline_tests.month_files import MONTH, focus_row, without, write_csv

CRASH = """
import os, signal, sys
from pathlib import Path
from focus_pipeline import warehouse
from focus_pipeline.storage import DataDir
from focus_pipeline.pipeline.judge import judge
from focus_pipeline.records.landed import LandedDelivery
from focus_pipeline.pipeline.land import land
from focus_pipeline.pipeline.stage import stage
from focus_pipeline.pipeline.publish import publish_month

warehouse._record_load = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
data_dir = DataDir(Path(sys.argv[1]))
with warehouse.warehouse_of(data_dir).writing() as connection:
    publish_month(sys.argv[2], data_dir, connection)
"""


def shown(path: Path) -> list[tuple]:
    with open_warehouse(path, read_only=True) as warehouse:
        return warehouse.execute("SELECT BilledCost FROM focus.cost_and_usage ORDER BY 1").fetchall()


def test_a_process_that_dies_between_deleting_and_committing_leaves_the_former_month(
    folder: Path, load_month: Callable
) -> None:
    """T43"""
    write_csv(folder / "a.csv", [focus_row(BilledCost="1"), focus_row(BilledCost="2")])
    month = load_month(folder)
    with warehouse_of(month.data_dir).writing() as warehouse:
        publish_month(MONTH, month.data_dir, warehouse)
    write_csv(folder / "a.csv", [focus_row(BilledCost="30")])
    load_month(folder)
    died = subprocess.run([sys.executable, "-c", CRASH, str(month.data_dir.root), MONTH], check=False)
    assert died.returncode == -signal.SIGKILL
    assert shown(month.data_dir.warehouse) == [(Decimal(1),), (Decimal(2),)]
    with warehouse_of(month.data_dir).writing() as warehouse:
        publish_month(MONTH, month.data_dir, warehouse)
    assert shown(month.data_dir.warehouse) == [(Decimal(30),)]


def test_a_reader_sees_the_former_month_until_the_new_one_is_committed(folder: Path, load_month: Callable) -> None:
    write_csv(folder / "a.csv", [focus_row(BilledCost="1")])
    first = load_month(folder)
    write_csv(folder / "a.csv", [focus_row(BilledCost="2")])
    second = load_month(folder)
    seen = []
    with warehouse_of(first.data_dir).writing() as warehouse:
        replace_month(warehouse, second.staged)
        reader = warehouse.cursor()
        original = warehouse_module._record_load

        def look(*arguments: object) -> None:
            seen.extend(reader.execute("SELECT BilledCost FROM focus.cost_and_usage").fetchall())
            original(*arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(warehouse_module, "_record_load", look)
            replace_month(warehouse, second.staged)
    assert seen == [(Decimal(2),)]


@pytest.mark.parametrize(
    "other",
    ["SELECT * FROM {} LIMIT 0", "SELECT * REPLACE (EffectiveCost + 1e-18::DECIMAL(38, 18) AS EffectiveCost) FROM {}"],
    ids=["no row", "another EffectiveCost"],
)
def test_a_table_that_would_hold_something_else_than_was_staged_is_left_as_it_was(
    folder: Path, load_month: Callable, other: str
) -> None:
    write_csv(folder / "a.csv", [focus_row(BilledCost="1")])
    month = load_month(folder)
    with warehouse_of(month.data_dir).writing() as warehouse:
        replace_month(warehouse, month.staged)
        # The staged file is not what its report says any more.
        (path,) = month.staged.paths
        rows = other.format(f"'{path}'")
        duckdb.sql(f"COPY ({rows}) TO '{path}.other' (FORMAT parquet)")
        os.replace(f"{path}.other", path)
        with pytest.raises(NotReconciled, match=f"colo_costs {MONTH}: .* nothing was published"):
            replace_month(warehouse, month.staged)
    assert shown(month.data_dir.warehouse) == [(Decimal(1),)]


def test_only_the_month_of_the_connection_is_replaced(folder: Path, load_month: Callable) -> None:
    write_csv(folder / "a.csv", [focus_row(BilledCost="1")])
    other = folder.parent / "2025-04"
    other.mkdir()
    april = {"ChargePeriodStart": "2025-04-01T00:00:00Z", "ChargePeriodEnd": "2025-04-02T00:00:00Z"}
    write_csv(other / "a.csv", [focus_row(BilledCost="2", **april)])
    with open_warehouse((month := load_month(folder)).data_dir.warehouse) as warehouse:
        replace_month(warehouse, month.staged)
        replace_month(warehouse, load_month(other).staged)
        warehouse.execute(
            "INSERT INTO focus.cost_and_usage (x_Connection, x_Month, BilledCost) "
            f"VALUES ('{CONNECTION}_of_others', '{MONTH}', 4)"
        )
        write_csv(folder / "a.csv", [focus_row(BilledCost="3")])
        published = replace_month(warehouse, load_month(folder).staged)
        of_sources = warehouse.execute("SELECT Month, BilledCost FROM focus.data_source_months ORDER BY ALL").fetchall()
    assert of_sources == [(MONTH, Decimal(3)), ("2025-04", Decimal(2))]
    assert (published.billed_cost_before, published.billed_cost_after) == ({"USD": Decimal(1)}, {"USD": Decimal(3)})
    assert shown(month.data_dir.warehouse) == [(Decimal(2),), (Decimal(3),), (Decimal(4),)]


def test_the_warehouse_can_be_deleted_and_rebuilt_from_what_is_staged(folder: Path, load_month: Callable) -> None:
    write_csv(folder / "a.csv", [focus_row(BilledCost="1")])
    month = load_month(folder)
    for _ in range(2):
        with warehouse_of(month.data_dir).writing() as warehouse:
            assert len(publish_month(MONTH, month.data_dir, warehouse).replaced) == 1
            assert len(publish_month(MONTH, month.data_dir, warehouse).replaced) == 0
        assert shown(month.data_dir.warehouse) == [(Decimal(1),)]
        month.data_dir.warehouse.unlink()


def test_of_accounts_that_are_delivered_twice_all_are_counted_and_the_first_shown(tmp_path: Path) -> None:
    with open_warehouse(tmp_path / "warehouse.duckdb") as warehouse:
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
    folder: Path, load_month: Callable
) -> None:
    def delivered(cost: str) -> LandedDelivery:
        write_csv(folder / "a.csv", [focus_row(BilledCost=cost)])
        connection = MonthFolders(CONNECTION, folder.parent.as_uri())
        return land(connection, connection.discover([MONTH]).deliveries[MONTH], data_dir)

    month = load_month(folder)
    data_dir = month.data_dir
    older = stage(delivered("1"), data_dir, month_rule=True)
    newer = stage(delivered("2"), data_dir, month_rule=True)
    with warehouse_of(data_dir).writing() as warehouse:
        assert judge(newer, data_dir, month_rule=True).accepted
        publish_month(MONTH, data_dir, warehouse)
        assert judge(older, data_dir, month_rule=True).accepted
        assert publish_month(MONTH, data_dir, warehouse).replaced == ()
    assert shown(data_dir.warehouse) == [(Decimal(2),)]
    assert all(path.exists() for path in older.paths)
    # Once nobody can be at work with it, the month's next publication removes it.
    for path in older.folder.iterdir():
        os.utime(path, (0, 0))
    judge(stage(delivered("3"), data_dir, month_rule=True), data_dir, month_rule=True)
    with warehouse_of(data_dir).writing() as warehouse:
        publish_month(MONTH, data_dir, warehouse)
    assert not any(path.exists() for path in (*older.paths, *newer.paths))


def test_what_is_staged_of_a_later_delivery_is_not_cleared_away(folder: Path, load_month: Callable) -> None:
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
    with warehouse_of(data_dir).writing() as warehouse:
        publish_month(MONTH, data_dir, warehouse)
        assert later.is_intact
        assert judge(later, data_dir, month_rule=True).accepted
        publish_month(MONTH, data_dir, warehouse)
    assert shown(data_dir.warehouse) == [(Decimal(2),)]


def test_a_month_that_goes_back_to_its_first_delivery_is_published_as_that(
    folder: Path, load_month: Callable, tmp_path: Path
) -> None:
    """A -> B -> A, each published: the table shows the last of them, and is not written for nothing."""
    bill, kept = folder / "a.csv", tmp_path / "kept.csv"
    write_csv(bill, [focus_row(BilledCost="1")])
    for cost in (1, 2, 1):
        if cost == 2:
            bill.rename(kept)
            write_csv(bill, [focus_row(BilledCost="2")])
        elif kept.exists():
            kept.rename(bill)
        data_dir = load_month(folder).data_dir
        with warehouse_of(data_dir).writing() as warehouse:
            assert len(publish_month(MONTH, data_dir, warehouse).replaced) == 1
            assert publish_month(MONTH, data_dir, warehouse).replaced == ()
        assert shown(data_dir.warehouse) == [(Decimal(cost),)]


def test_a_month_that_was_staged_anew_is_published_once_it_is_judged(
    folder: Path, load_month: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Newer code has staged it, and the process died before the verdict: nobody knows yet whether it is right."""
    write_csv(folder / "a.csv", [focus_row(BilledCost="1")])
    data_dir = load_month(folder).data_dir
    with warehouse_of(data_dir).writing() as warehouse:
        publish_month(MONTH, data_dir, warehouse)
        monkeypatch.setattr(
            "focus_pipeline.pipeline.stage.code_fingerprint", lambda *more: code_fingerprint("newer", *more)
        )
        staged = stage(current_delivery(CONNECTION, MONTH, data_dir), data_dir, month_rule=True)
        meanwhile = publish_month(MONTH, data_dir, warehouse)
        assert (meanwhile.replaced, meanwhile.shown) == ((), {})
        judge(staged, data_dir, month_rule=True)
        assert [one.rows_after for one in publish_month(MONTH, data_dir, warehouse).replaced] == [1]


def test_two_currencies_that_appear_and_vanish_are_each_told(folder: Path, load_month: Callable) -> None:
    told = []
    for costs in ({"USD": "1"}, {"USD": "1", "EUR": "2"}, {"EUR": "2"}):
        write_csv(folder / "a.csv", [focus_row(BillingCurrency=code, BilledCost=cost) for code, cost in costs.items()])
        month = load_month(folder)
        judge(month.staged, month.data_dir, month_rule=True, accept_loss=True)
        with warehouse_of(month.data_dir).writing() as warehouse:
            (published,) = publish_month(MONTH, month.data_dir, warehouse).replaced
        told.append((published.billed_cost_before, published.billed_cost_after))
    dollars, euros = {"USD": Decimal(1)}, {"EUR": Decimal(2)}
    assert told == [({}, dollars), (dollars, dollars | euros), (dollars | euros, euros)]


def test_a_table_of_an_older_version_gains_its_new_columns_and_keeps_its_rows(
    folder: Path, load_month: Callable
) -> None:
    """An upgrade with data present: the older code knew no ServiceProviderName."""
    write_csv(folder / "a.csv", [focus_row(BilledCost="1")])
    month = load_month(folder)
    with warehouse_of(month.data_dir).writing() as warehouse:
        replace_month(warehouse, month.staged)
        warehouse.execute("UPDATE focus.cost_and_usage SET x_Month = '2025-02'")
        for view in VERSION_VIEWS.values():
            warehouse.execute(f"DROP VIEW focus.{view}")
        warehouse.execute("ALTER TABLE focus.cost_and_usage DROP COLUMN ServiceProviderName")
    with warehouse_of(month.data_dir).writing() as warehouse:
        replace_month(warehouse, month.staged)
        rows = warehouse.execute("SELECT x_Month, ServiceProviderName, BilledCost FROM focus.cost_and_usage ORDER BY 1")
        assert rows.fetchall() == [("2025-02", None, Decimal(1)), (MONTH, "Equinix", Decimal(1))]


def test_the_table_has_the_columns_of_focus_in_order_and_then_the_lineage(tmp_path: Path) -> None:
    with open_warehouse(tmp_path / "warehouse.duckdb") as warehouse:
        described = warehouse.execute("DESCRIBE focus.cost_and_usage").fetchall()
    assert [(row[0], row[1].replace(",", ", ").replace("  ", " ")) for row in described] == list(CANONICAL.items())
    assert [row[0] for row in described[-6:]] == [
        "x_Connection",
        "x_Month",
        "x_FocusVersion",
        "x_SourceFile",
        "x_ProviderColumns",
        "x_Token",
    ]


def test_a_warehouse_that_is_not_there_is_not_made_by_a_reader(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no warehouse .* yet"):
        with open_warehouse(tmp_path / "warehouse.duckdb", read_only=True):
            pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("version", "count"), [("1.0", 43), ("1.2", 57), ("1.4", 65)])
def test_a_view_has_the_columns_of_its_version_and_the_lineage(tmp_path: Path, version: str, count: int) -> None:
    """The counts are those of the specification."""
    with open_warehouse(tmp_path / "warehouse.duckdb") as warehouse:
        shown = [row[0] for row in warehouse.execute(f"DESCRIBE focus.{VERSION_VIEWS[version]}").fetchall()]
    assert len(shown) == count + len(LINEAGE)
    assert ("ProviderName" in shown, "ServiceProviderName" in shown) == (version != "1.4", version == "1.4")


@pytest.mark.parametrize("sent", ["Provider", "ProviderName", "ServiceProviderName"])
def test_each_reader_finds_the_provider_under_the_name_that_its_version_has(
    folder: Path, load_month: Callable, sent: str
) -> None:
    """T38"""
    write_csv(folder / "a.csv", [without(focus_row(), "ProviderName") | {sent: "Equinix"}])
    month = load_month(folder)
    with warehouse_of(month.data_dir).writing() as warehouse:
        replace_month(warehouse, month.staged)
        seen = [
            warehouse.execute(f"SELECT {column} FROM focus.cost_and_usage_v{view}").fetchone()[0]
            for view, column in {"1_0": "ProviderName", "1_2": "ProviderName", "1_4": "ServiceProviderName"}.items()
        ]
    assert seen == ["Equinix"] * 3
