"""focus/exchange_rates in Dagster: what a run shows, what it fails with, and the marts that follow it."""

from dataclasses import replace
from pathlib import Path

import dagster as dg
import pytest

from focus_pipeline.components import names
from focus_pipeline.components.exchange_rates import rates_asset
from focus_pipeline.components.mart_assets import mart_definitions
from focus_pipeline.marts.exchange_rates import RatesFile
from focus_pipeline_tests.components.conftest import Site
from focus_pipeline_tests.components.test_mart_assets import compute
from focus_pipeline_tests.marts.test_slices import SERVICES

SERVICES_IN_EUR = replace(SERVICES, amounts=("EffectiveCost",), convert_to="EUR")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rates.csv"


def take_over(site: Site, file: Path) -> dg.ExecuteInProcessResult:
    asset = rates_asset(RatesFile(file.as_uri()), "EUR")
    return dg.materialize([asset], instance=site.instance, raise_on_error=False)


def failure_of(site: Site, run: dg.ExecuteInProcessResult) -> str:
    (event,) = [event for event in run.all_events if event.is_step_failure]
    return event.step_failure_data.error.message


def test_rates_that_were_taken_over_make_the_marts_of_their_months_due(
    site: Site, recent: list[str], file: Path
) -> None:
    site.definitions = dg.Definitions.merge(site.definitions, mart_definitions([SERVICES_IN_EUR], site.data_dir))
    file.write_text(f"month,from,to,rate\n{recent[0]},USD,EUR,0.9\n")
    assert "nothing is published yet" in failure_of(site, take_over(site, file))
    for month in recent:
        site.deliver(month)
    site.tick_and_load()
    run = take_over(site, file)
    shown = run.asset_materializations_for_node("focus__exchange_rates")[0].metadata
    assert (shown["dagster/row_count"].value, shown["Changed rates"].value) == (1, 1)
    assert shown["Months"].value == f"{recent[0]} to {recent[0]}"
    (request,) = site.look_at_marts().run_requests
    assert compute(site, request).success
    check = dg.AssetCheckKey(names.mart("services"), "rates")
    evaluations = site.instance.event_log_storage.get_asset_check_execution_history(check, limit=10)
    passed = {one.event.dagster_event.asset_check_evaluation_data.partition: one.status.value for one in evaluations}
    assert passed == {recent[0]: "SUCCEEDED"} | dict.fromkeys(recent[1:], "FAILED")
    file.write_text(f"month,from,to,rate\n{recent[0]},USD,EUR,0.9\n{recent[1]},USD,EUR,0.8\n")
    assert take_over(site, file).success
    (request,) = site.look_at_marts().run_requests
    assert request.tags["dagster/asset_partition_range_start"] == recent[1]


def test_a_file_with_a_fault_fails_with_its_line_and_is_not_retried(site: Site, recent: list[str], file: Path) -> None:
    site.deliver(recent[0])
    site.tick_and_load()
    file.write_text("month,from,to,rate\n2025-03,USD,EUR,\n")
    run = take_over(site, file)
    said = failure_of(site, run)
    assert "rates.csv has 1 wrong lines of 1: line 2: rate is empty; write a number" in said
    assert said.strip().endswith("The former rates stay.")
    assert not [event for event in run.all_events if event.is_step_up_for_retry]


def test_a_file_that_is_not_there_is_told_by_its_place(site: Site, recent: list[str], file: Path) -> None:
    site.deliver(recent[0])
    site.tick_and_load()
    assert "the exchange rates: there is no file rates.csv in " in failure_of(site, take_over(site, file))
