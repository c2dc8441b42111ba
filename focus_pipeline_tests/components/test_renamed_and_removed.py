"""What becomes of a connection's rows and files when it is renamed or removed."""

import shutil
from collections.abc import Callable
from decimal import Decimal

import dagster as dg
import pytest

from focus_pipeline.components.month_folders import MonthFolders
from focus_pipeline.defs.focus.unified import unified_definitions
from focus_pipeline.pipeline import renamed_and_removed
from focus_pipeline.pipeline.rebuild import rebuild_warehouse
from focus_pipeline.pipeline.renamed_and_removed import held_of, remove_connection, rename_connection
from focus_pipeline.pipeline.staged_rows import rows_of_month
from focus_pipeline.records.accepted import accepted_delivery
from focus_pipeline.records.landed import current_token
from focus_pipeline.records.staged import staged_month
from focus_pipeline.warehouse.warehouse import warehouse_of
from focus_pipeline_tests.components.conftest import NAME, Site

NEW = "colo_bills"
RENAMED = MonthFolders(name=NEW, url="file:///nothing-is-fetched").connection()
TABLES = ("loads", "conformance", "rejected_files", "data_source_months")


def connections_in(site: Site) -> dict[str, set[str]]:
    """Table -> connections that it names."""
    of = {table: site.query(f"SELECT DISTINCT Connection FROM focus.{table}") for table in TABLES}
    of["cost_and_usage"] = site.query("SELECT DISTINCT x_Connection FROM focus.cost_and_usage")
    return {table: {name for (name,) in rows} for table, rows in of.items()}


def redefined(site: Site, *names: str) -> Site:
    """The project with connections of these names over the same bucket."""
    site.definitions = dg.Definitions.merge(
        *(MonthFolders(name=name, url=str(site.bucket), quiet_minutes=0).build_defs(None) for name in names),
        unified_definitions(list(names)),
        dg.Definitions(executor=dg.in_process_executor),
    )
    return site


def check_of(site: Site, result: dg.ExecuteInProcessResult, name: str) -> dg.AssetCheckEvaluation:
    return next(one for one in site.evaluations(result) if one.check_name == name)


@pytest.fixture
def loaded(site: Site, recent: list[str]) -> Site:
    """Two months; of the older one a rejected file as well, and a later delivery that was rejected."""
    site.deliver(recent[0], cost="1.25", rows=4)
    site.deliver(recent[1], cost="2.5", rows=3)
    assert all(result.success for result in site.tick_and_load())
    (site.bucket / recent[1] / "expenses.csv").write_text("no,focus\n1,2\n")
    assert not site.tick_and_load()[0].success
    return site


def test_a_rename_takes_rows_files_and_verdicts_along_and_downloads_nothing(loaded: Site, recent: list[str]) -> None:
    before = {month: loaded.billed(month) for month in recent}
    accepted = accepted_delivery(NAME, recent[1], loaded.data_dir).token
    current = current_token(NAME, recent[1], loaded.data_dir)
    assert accepted != current
    shutil.rmtree(loaded.bucket)  # nothing can be downloaded
    rename_connection(NAME, RENAMED, loaded.data_dir)
    assert {month: loaded.billed(month) for month in recent} == before
    assert before[recent[1]] == Decimal("7.5")
    assert set().union(*connections_in(loaded).values()) == {NEW}
    assert not (loaded.data_dir.root / "landing" / NAME).exists()
    assert not (loaded.data_dir.root / "staged" / NAME).exists()
    assert accepted_delivery(NEW, recent[1], loaded.data_dir).token == accepted
    assert current_token(NEW, recent[1], loaded.data_dir) == current
    staged = staged_month(NEW, recent[1], accepted, loaded.data_dir)
    with warehouse_of(loaded.data_dir).reading() as warehouse:
        names = warehouse.execute(f"SELECT DISTINCT x_Connection FROM {rows_of_month(staged)}").fetchall()
    assert names == [(NEW,)]


def test_after_a_rename_the_sensor_and_a_rebuild_change_nothing(loaded: Site, recent: list[str]) -> None:
    before = {month: loaded.billed(month) for month in recent}
    rename_connection(NAME, RENAMED, loaded.data_dir)
    site = redefined(loaded, NEW)
    (good,) = site.tick_and_load(NEW)  # the rejected month stays so
    assert good.success
    assert {month: site.billed(month) for month in recent} == before
    assert all(check_of(site, published, "defined").passed for published in site.published)
    rebuilt = rebuild_warehouse(site.data_dir, {NEW: RENAMED})
    assert (rebuilt.staged_again, rebuilt.lacking) == ([], [])
    assert {month: site.billed(month) for month in recent} == before


def test_a_rename_after_the_new_name_was_loaded_ends_the_double_rows(loaded: Site, recent: list[str]) -> None:
    loaded.deliver(recent[1], cost="2.5", rows=3)
    site = redefined(loaded, NEW)
    site.tick_and_load(NEW)
    assert site.billed(recent[0]) == Decimal("10")
    undefined = check_of(site, site.published[-1], "defined")
    assert not undefined.passed
    assert f"{NAME} has 7 rows of 2 months" in undefined.description
    assert f"`focus-pipeline rename {NAME} NEW`" in undefined.description
    assert f"`focus-pipeline remove {NAME}`" in undefined.description
    assert f"`focus-pipeline remove {NAME}`" in check_of(site, site.published[-1], "delivered_once").description
    current = current_token(NEW, recent[1], site.data_dir)
    rename_connection(NAME, RENAMED, site.data_dir)
    assert current_token(NEW, recent[1], site.data_dir) == current
    assert (site.billed(recent[0]), site.billed(recent[1])) == (Decimal("5"), Decimal("7.5"))
    assert set().union(*connections_in(site).values()) == {NEW}


def test_of_a_month_that_both_names_have_judged_the_new_name_s_verdict_stays(loaded: Site, recent: list[str]) -> None:
    """It tells of the latest delivery, although nothing of it is published."""
    site = redefined(loaded, NEW)
    assert not site.run(recent[1], NEW).success
    verdicts = "SELECT DISTINCT Connection, Token FROM focus.conformance WHERE Month = '{}'"
    of_new = [row for row in site.query(verdicts.format(recent[1])) if row[0] == NEW]
    rejected = "SELECT Connection, count(*) FROM focus.rejected_files GROUP BY 1"
    assert sorted(site.query(rejected)) == [(NEW, 1), (NAME, 1)]
    rename_connection(NAME, RENAMED, site.data_dir)
    assert site.query(verdicts.format(recent[1])) == of_new
    assert site.query(rejected) == [(NEW, 1)]


@pytest.mark.slow
def test_a_rename_that_was_cut_off_is_completed_by_the_next(
    loaded: Site, recent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {month: loaded.billed(month) for month in recent}
    accepted = accepted_delivery(NAME, recent[1], loaded.data_dir).token
    for step in ("judge_month", "remove_folder", "rename_in_tables"):
        with monkeypatch.context() as patch:
            patch.setattr(renamed_and_removed, step, _cut_off)
            with pytest.raises(KeyboardInterrupt):
                rename_connection(NAME, RENAMED, loaded.data_dir)
    rename_connection(NAME, RENAMED, loaded.data_dir)
    assert {month: loaded.billed(month) for month in recent} == before
    assert accepted_delivery(NEW, recent[1], loaded.data_dir).token == accepted
    assert set().union(*connections_in(loaded).values()) == {NEW}
    assert not held_of(NAME, loaded.data_dir).anything


def _cut_off(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("keep_files", [False, True])
def test_what_is_removed_is_gone_from_every_table_and_stays_gone(
    make_site: Callable[..., Site], recent: list[str], keep_files: bool
) -> None:
    site = make_site(NAME, "other")
    site.deliver(recent[0])
    shutil.copytree(site.bucket, site.bucket.parent / "other")
    assert site.run(recent[0]).success
    assert site.run(recent[0], "other").success
    held = held_of(NAME, site.data_dir)
    assert held.rows == {recent[0]: 1}
    assert held.landed == [recent[0]]
    remove_connection(NAME, site.data_dir, keep_files=keep_files)
    assert site.run(recent[0], "other").success  # publishes the month
    assert set().union(*connections_in(site).values()) == {"other"}
    assert (site.data_dir.root / "landing" / NAME).exists() == keep_files
    assert held_of(NAME, site.data_dir).anything == keep_files
    assert held_of("other", site.data_dir).rows == {recent[0]: 1}


def test_a_connection_whose_yaml_is_bad_is_not_called_undefined(site: Site, recent: list[str]) -> None:
    site.deliver(recent[0])
    assert site.run(recent[0]).success
    other = MonthFolders(name="other", url=str(site.bucket), quiet_minutes=0).build_defs(None)
    site.definitions = dg.Definitions.merge(
        other, unified_definitions(["other"], [NAME]), dg.Definitions(executor=dg.in_process_executor)
    )
    site.run(recent[0], "other")
    assert check_of(site, site.published[0], "defined").passed
