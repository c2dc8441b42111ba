"""Marts in Dagster: what the sensor asks for, and what a run shows of each."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import dagster as dg
import pytest

from focus_pipeline.components import names
from focus_pipeline.components.mart_assets import ASK_AGAIN, mart_definitions
from focus_pipeline.marts.mart import Figure, Mart
from focus_pipeline_tests.components.conftest import NAME, Site
from focus_pipeline_tests.marts.test_slices import CHANGES, SERVICES

BROKEN = replace(SERVICES, name="broken", sql=SERVICES.sql.replace("ServiceName,", "Nonsense,", 1), columns={})


@pytest.fixture
def with_marts(site: Site) -> Callable[..., Site]:
    """The site with these marts."""
    others = site.definitions

    def with_marts(*marts: Mart) -> Site:
        site.definitions = dg.Definitions.merge(others, mart_definitions(marts, site.data_dir))
        return site

    return with_marts


def compute(site: Site, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
    return site.definitions.resolve_job_def("focus_marts").execute_in_process(
        instance=site.instance, tags=dict(request.tags), raise_on_error=False
    )


def computed(site: Site, run: dg.ExecuteInProcessResult) -> list[tuple[str, str]]:
    """Mart and month of each materialisation."""
    logged = site.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
    events = [entry.asset_materialization for entry in logged]
    return [(event.asset_key.path[-1], event.partition) for event in events]


def test_a_published_month_has_its_marts_computed_and_no_other(
    with_marts: Callable[..., Site], recent: list[str]
) -> None:
    site = with_marts(SERVICES, CHANGES)
    assert "nothing is published" in site.look_at_marts().skip_reason.skip_message
    for month in recent:
        site.deliver(month)
    site.tick_and_load()
    (request,) = site.look_at_marts().run_requests
    run = compute(site, request)
    assert run.success
    assert computed(site, run) == [(mart, month) for mart in ("services", "changes") for month in recent]
    assert "all marts are made of what the table shows" in site.look_at_marts().skip_reason.skip_message
    site.deliver(recent[1], cost="7")
    site.tick_and_load()
    (request,) = site.look_at_marts().run_requests
    assert not site.look_at_marts().run_requests, "it is asked for once"
    run = compute(site, request)
    assert computed(site, run) == [("services", recent[1]), ("changes", recent[1]), ("changes", recent[2])]
    assert site.query(f"SELECT Cost, CostBefore FROM marts.changes WHERE Month = '{recent[2]}'") == [
        (Decimal("1.25"), 7)
    ]


def test_while_a_run_is_at_work_no_other_is_asked_for(with_marts: Callable[..., Site], recent: list[str]) -> None:
    site = with_marts(SERVICES)
    site.deliver(recent[0])
    site.tick_and_load()
    job = site.definitions.resolve_job_def("focus_marts")
    waiting = site.instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)
    assert "another run of focus_marts is at work" in site.look_at_marts().skip_reason.skip_message
    site.instance.report_run_failed(waiting)
    assert len(site.look_at_marts().run_requests) == 1


def test_a_broken_mart_fails_its_run_by_name_and_is_asked_for_again_when_something_changes(
    with_marts: Callable[..., Site], recent: list[str]
) -> None:
    site = with_marts(BROKEN, SERVICES)
    site.deliver(recent[0])
    assert site.tick_and_load()[0].success
    assert site.published[0].success, "the table is published all the same"
    (request,) = site.look_at_marts().run_requests
    run = compute(site, request)
    assert not run.success
    assert computed(site, run) == [("services", recent[0])]
    said = run.failure_data_for_node("compute_marts").user_failure_data.description
    assert said.startswith(f"the mart broken cannot be computed of {recent[0]}: Binder Error: Referenced column")
    assert said.endswith("the other marts are done")
    assert "1 mart is due" in site.look_at_marts().skip_reason.skip_message
    assert not site.look_at_marts().run_requests, "nothing has changed"
    site.cursors["focus_due_marts"] = json.dumps(
        json.loads(site.cursors["focus_due_marts"]) | {"at": (datetime.now(UTC) - ASK_AGAIN).isoformat()}
    )
    assert len(site.look_at_marts().run_requests) == 1, "the machine may have been at fault"
    mended = with_marts(replace(BROKEN, sql=SERVICES.sql), SERVICES)
    (request,) = mended.look_at_marts().run_requests
    assert computed(mended, compute(mended, request)) == [("broken", recent[0])]


def test_marts_that_a_new_dagster_storage_does_not_know_are_computed_once_more(
    with_marts: Callable[..., Site], recent: list[str]
) -> None:
    site = with_marts(SERVICES, CHANGES)
    site.deliver(recent[0])
    site.tick_and_load()
    (request,) = site.look_at_marts().run_requests
    compute(site, request)
    assert not site.look_at_marts().run_requests
    with dg.DagsterInstance.ephemeral() as storage:
        site.instance = storage
        site.cursors.clear()
        (request,) = site.look_at_marts().run_requests
        run = compute(site, request)
        assert computed(site, run) == [("services", recent[0]), ("changes", recent[0])]
        assert not site.look_at_marts().run_requests


def test_a_person_computes_one_mart_of_one_month(with_marts: Callable[..., Site], recent: list[str]) -> None:
    figure = Figure("Services", "SELECT count(DISTINCT ServiceName) FROM marts.services WHERE Month = $month")
    site = with_marts(replace(SERVICES, figures=(figure,)), CHANGES)
    site.deliver(recent[0], rows=3, ServiceName="Colocation")
    site.tick_and_load()
    run = site.definitions.resolve_job_def("focus_marts").execute_in_process(
        partition_key=recent[0], instance=site.instance, asset_selection=[names.mart("services")]
    )
    shown = site.metadata(run, names.mart("services"))
    assert shown["dagster/row_count"].value == 1
    (record,) = shown["First rows"].records
    assert (record.data["ServiceName"], Decimal(record.data["BilledCost"])) == ("Colocation", Decimal("3.75"))
    by_name = {column.name: column for column in shown["dagster/column_schema"].schema.columns}
    assert (by_name["ServiceName"].type, by_name["ServiceName"].description) == ("VARCHAR", "The service's name.")
    lineage = shown["dagster/column_lineage"].value.deps_by_column
    assert [dep.column_name for dep in lineage["EffectiveCost"]] == ["EffectiveCost"]
    assert {dep.asset_key for dep in lineage["EffectiveCost"]} == {names.UNIFIED}
    checks = {check.check_name: check for check in site.evaluations(run)}
    assert {name: check.passed for name, check in checks.items()} == {"grain": True, "covers": True}
    assert {check.partition for check in checks.values()} == {recent[0]}
    assert shown["Services"].value == 1.0


def test_a_run_of_everything_computes_the_marts_of_its_month(
    with_marts: Callable[..., Site], recent: list[str]
) -> None:
    site = with_marts(SERVICES)
    site.deliver(recent[0])
    keys = [*names_of_connection(), names.UNIFIED, names.DATA_SOURCES, names.mart("services")]
    job = dg.define_asset_job("everything", selection=dg.AssetSelection.assets(*keys))
    everything = dg.Definitions.merge(site.definitions, dg.Definitions(jobs=[job]))
    run = everything.resolve_job_def("everything").execute_in_process(partition_key=recent[0], instance=site.instance)
    assert run.success
    assert site.query("SELECT Month FROM marts.services") == [(recent[0],)]
    assert not site.look_at_marts().run_requests


def names_of_connection() -> list[dg.AssetKey]:
    return [names.raw_files(NAME), names.cost_and_usage(NAME)]


def test_a_mart_that_is_computed_before_anything_is_published_says_so(
    with_marts: Callable[..., Site], recent: list[str]
) -> None:
    site = with_marts(SERVICES)
    run = site.definitions.resolve_job_def("focus_marts").execute_in_process(
        partition_key=recent[0], instance=site.instance, raise_on_error=False
    )
    said = run.failure_data_for_node("compute_marts").user_failure_data.description
    assert said == "nothing is published yet; materialise focus/cost_and_usage first"


def test_in_a_run_of_one_month_a_mart_comes_after_those_that_it_reads(
    with_marts: Callable[..., Site], recent: list[str]
) -> None:
    """Dagster takes the results of a step in no other order."""
    reader = replace(
        CHANGES,
        name="a_reader",
        sql="SELECT $month AS Month, sum(BilledCost) AS Cost FROM marts.services WHERE Month = $month",
        months_back=0,
        reads=("services",),
    )
    site = with_marts(reader, SERVICES)
    site.deliver(recent[0])
    site.tick_and_load()
    run = site.definitions.resolve_job_def("focus_marts").execute_in_process(
        partition_key=recent[0], instance=site.instance, raise_on_error=False
    )
    assert run.success
    assert computed(site, run) == [("services", recent[0]), ("a_reader", recent[0])]
