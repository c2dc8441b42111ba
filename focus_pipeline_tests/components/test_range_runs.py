"""One run over several months, as a backfill asks for: each month has events of its own, and fails alone."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pytest

from focus_pipeline.components import ingestion, names
from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline.connections.store_errors import StoreError
from focus_pipeline.months import current_month, months_back
from focus_pipeline.pipeline.month_checks import CHECKS as OF_MONTHS
from focus_pipeline.pipeline.verdict import CHECKS
from focus_pipeline_tests.components.conftest import NAME, Site
from focus_pipeline_tests.warehouses import url_of

MONTHS = months_back(current_month(), 4)


@pytest.fixture(params=["duckdb", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("sqlite", "postgres"))])
def warehouse_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Each test is one of every warehouse."""
    return url_of(request, tmp_path / "data")


@pytest.fixture
def site(make_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch) -> Site:
    """One whose runs try again at once."""
    monkeypatch.setattr(ingestion, "FETCH_RETRIES", dg.RetryPolicy(max_retries=1))
    return make_site(NAME)


def run_over(site: Site, months: list[str], **options: object) -> dg.ExecuteInProcessResult:
    """The run that a backfill of these months has, the first to the last of them."""
    tags = {"dagster/asset_partition_range_start": months[0], "dagster/asset_partition_range_end": months[-1]}
    return site.definitions.resolve_job_def(f"{NAME}_ingest").execute_in_process(
        instance=site.instance, tags=tags, raise_on_error=False, **options
    )


def partitions(site: Site, run: dg.ExecuteInProcessResult, asset: dg.AssetKey) -> list[str]:
    """The months of which a run has materialised an asset, in the order in which it did."""
    logged = site.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    return [entry.dagster_event.partition for entry in logged if entry.asset_materialization.asset_key == asset]


def sentence(run: dg.ExecuteInProcessResult) -> str:
    (failure,) = [event.step_failure_data for event in run.all_events if event.is_step_failure]
    return failure.user_failure_data.description


def test_each_month_has_its_own_materialisations_and_checks(site: Site) -> None:
    for month in MONTHS:
        site.deliver(month, rows=2)
    run = run_over(site, MONTHS)
    assert run.success
    for asset in (names.raw_files(NAME), names.cost_and_usage(NAME)):
        assert partitions(site, run, asset) == MONTHS
    evaluated = [(e.check_name, e.partition, e.passed) for e in site.evaluations(run)]
    assert sorted(evaluated) == sorted((check, month, True) for check in CHECKS for month in MONTHS)
    (published,) = site.publish_accepted()
    for asset in (names.UNIFIED, names.DATA_SOURCES):
        assert partitions(site, published, asset) == MONTHS
    evaluated = [(e.check_name, e.partition, e.passed) for e in site.evaluations(published)]
    assert sorted(evaluated) == sorted(
        (check, month, True) for check in sorted(("defined", "delivered_once", *OF_MONTHS)) for month in MONTHS
    )
    assert [site.billed(month) for month in MONTHS] == [Decimal("2.50")] * len(MONTHS)


def test_a_month_that_is_rejected_fails_alone_and_the_run_ends_by_naming_it(site: Site) -> None:
    broken = MONTHS[2]
    for month in MONTHS:
        site.deliver(month, cost="1,5" if month == broken else "1")
    run = run_over(site, MONTHS)
    assert not run.success
    good = [month for month in MONTHS if month != broken]
    assert partitions(site, run, names.cost_and_usage(NAME)) == good
    assert partitions(site, run, names.raw_files(NAME)) == MONTHS, "its bytes are kept"
    assert {e.partition for e in site.evaluations(run) if not e.passed} == {broken}
    assert sentence(run).startswith(f"1 of 5 months failed, {broken}; the others are done. {broken}: FOCUS validation")
    site.publish_accepted()
    assert [site.billed(month) for month in good] == [Decimal(1)] * 4
    assert site.billed(broken) is None


def test_a_provider_that_is_out_of_reach_for_one_month_is_asked_again_for_that_one_alone(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for month in MONTHS:
        site.deliver(month)
    discover, asked = MonthFolders.discover, []

    def out_of_reach_once(self: MonthFolders, months: list[str] | None = None) -> object:
        asked.append(months)
        if months == [MONTHS[1]] and asked.count(months) == 1:
            raise StoreError("the provider is out of reach")
        return discover(self, months)

    monkeypatch.setattr(MonthFolders, "discover", out_of_reach_once)
    run = run_over(site, MONTHS)
    assert run.success
    assert asked == [[month] for month in (*MONTHS, MONTHS[1])]
    assert sorted(partitions(site, run, names.cost_and_usage(NAME))) == MONTHS


def test_a_run_that_takes_up_one_that_failed_does_not_fetch_again_what_that_one_has(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a crash: every month is in the end materialised by the later run, too."""
    for month in MONTHS:
        site.deliver(month)
    discover, asked = MonthFolders.discover, []

    def broken_off(self: MonthFolders, months: list[str] | None = None) -> object:
        asked.append(months)
        if months == [MONTHS[3]] and asked.count(months) <= 2:
            raise KeyboardInterrupt
        return discover(self, months)

    monkeypatch.setattr(MonthFolders, "discover", broken_off)
    first = run_over(site, MONTHS)
    assert not first.success
    tags = {"dagster/parent_run_id": first.run_id, "dagster/root_run_id": first.run_id}
    again = site.definitions.resolve_job_def(f"{NAME}_ingest").execute_in_process(
        instance=site.instance,
        tags=tags | {"dagster/asset_partition_range_start": MONTHS[0], "dagster/asset_partition_range_end": MONTHS[-1]},
    )
    assert again.success
    assert asked == [[month] for month in (*MONTHS[:4], MONTHS[3], *MONTHS[3:])]
    assert partitions(site, again, names.cost_and_usage(NAME)) == MONTHS


def test_a_fault_that_nobody_has_thought_of_harms_its_month_alone_and_keeps_its_traceback(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    for month in MONTHS:
        site.deliver(month)
    judge_month = ingestion.judge_month

    def faulty(connection: object, landed: object, *rest: object, **more: object) -> object:
        if landed.month == MONTHS[0]:
            raise ZeroDivisionError("of our own")
        return judge_month(connection, landed, *rest, **more)

    monkeypatch.setattr(ingestion, "judge_month", faulty)
    run = run_over(site, MONTHS)
    assert not run.success
    assert partitions(site, run, names.cost_and_usage(NAME)) == MONTHS[1:]
    messages = [entry.user_message for entry in site.instance.all_logs(run.run_id)]
    assert any("ZeroDivisionError: of our own" in said and "in faulty" in said for said in messages)


@pytest.mark.parametrize("asset", ["raw_files", "cost_and_usage"])
def test_one_asset_of_several_months_can_be_materialised_alone(site: Site, asset: str) -> None:
    for month in MONTHS:
        site.deliver(month)
    run_over(site, MONTHS)
    key = dg.AssetKey([NAME, asset])
    run = run_over(site, MONTHS, asset_selection=[key])
    assert run.success
    materialized = site.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    assert {entry.asset_materialization.asset_key for entry in materialized} == {key}
