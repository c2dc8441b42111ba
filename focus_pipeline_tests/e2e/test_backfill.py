"""A backfill of 24 months in a running Dagster, launched as the UI launches it: in runs of 12 months."""

from pathlib import Path

import dagster as dg
import pytest

from focus_pipeline.months import current_month, months_back
from focus_pipeline.pipeline.month_checks import CHECKS as OF_MONTHS
from focus_pipeline.pipeline.verdict import CHECKS
from focus_pipeline_tests.e2e.dagster_server import await_true, months_of, running_dagster
from focus_pipeline_tests.e2e.deliveries import ASSETS, CONNECTION, deliver_months
from focus_pipeline_tests.e2e.project import Project, clone_project
from focus_pipeline_tests.warehouses import warehouse_at

MONTHS = months_back(current_month(), 23)
BROKEN = MONTHS[7]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_24_months_are_loaded_each_under_its_own_partition_and_a_broken_one_harms_no_other(tmp_path: Path) -> None:
    bucket = tmp_path / "bucket"
    deliver_months(bucket, MONTHS, broken=BROKEN)
    # The sensor would load the look-back meanwhile; here only the backfill runs.
    project = clone_project(
        tmp_path / "clone", {CONNECTION: {"url": str(bucket), "check_every_seconds": 3600, "lookback_months": 0}}
    )
    with running_dagster(project) as dagster:
        backfill = dagster.launch_backfill(ASSETS, MONTHS)
        await_true(lambda: dagster.backfill_status(backfill).startswith("COMPLETED"), 500, "the backfill did not end")
        assert dagster.backfill_status(backfill) == "COMPLETED_FAILED"
        # What the failed run has loaded, and the verdict on the broken month, are published by the sensor.
        await_true(lambda: materialised(project, ["focus", "data_sources"]) == MONTHS, 120, "not all is published")
        runs = [run for run in dagster.runs() if run["tags"].get("dagster/backfill") == backfill]
    outcome = {tuple(months_of(run)): run["status"] for run in runs}
    assert outcome == {tuple(MONTHS[:12]): "FAILURE", tuple(MONTHS[12:]): "SUCCESS"}
    others = [month for month in MONTHS if month != BROKEN]
    assert materialised(project, [CONNECTION, "cost_and_usage"]) == others
    assert materialised(project, [CONNECTION, "raw_files"]) == MONTHS
    assert published_months(project) == others
    checked = check_results(project)
    published = {(check, month) for check in ("delivered_once", "defined", *OF_MONTHS) for month in MONTHS}
    assert set(checked) == {(check, month) for check in CHECKS for month in MONTHS} | published
    failed = {key for key, passed in checked.items() if not passed}
    assert failed == {("accepted", BROKEN), ("text_format", BROKEN), ("values_readable", BROKEN)}
    assert months_with_a_verdict(project) == MONTHS


def published_months(project: Project) -> list[str]:
    with warehouse_at(project.data_dir / "warehouse.duckdb").reading() as warehouse:
        rows = warehouse.execute(
            "SELECT x_Month, count(*) FROM focus.cost_and_usage GROUP BY x_Month ORDER BY x_Month"
        ).fetchall()
    assert {count for _, count in rows} == {50}
    return [month for month, _ in rows]


def months_with_a_verdict(project: Project) -> list[str]:
    with warehouse_at(project.data_dir / "warehouse.duckdb").reading() as warehouse:
        rows = warehouse.execute("SELECT DISTINCT Month FROM focus.conformance ORDER BY Month").fetchall()
    return [month for (month,) in rows]


def materialised(project: Project, asset: list[str]) -> list[str]:
    with dg.DagsterInstance.from_config(str(project.root / ".dagster")) as instance:
        return sorted(instance.get_materialized_partitions(dg.AssetKey(asset)))


def check_results(project: Project) -> dict[tuple[str, str | None], bool]:
    """(check, partition) -> passed, of everything that was evaluated in the project's instance but marts."""
    with dg.DagsterInstance.from_config(str(project.root / ".dagster")) as instance:
        evaluations = [
            entry.dagster_event.asset_check_evaluation_data
            for run in instance.get_runs()
            for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        ]
    return {
        (evaluation.check_name, evaluation.partition): evaluation.passed
        for evaluation in evaluations
        if evaluation.asset_key.path[0] != "marts"
    }
