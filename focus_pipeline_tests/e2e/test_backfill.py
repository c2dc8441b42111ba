"""A backfill of 24 months in a running Dagster, launched as the UI launches it."""

from pathlib import Path

import dagster as dg
import pytest

from focus_pipeline.months import current_month, months_back
from focus_pipeline.pipeline.verdict import CHECKS
from focus_pipeline_tests.e2e.dagster_server import await_true, running_dagster
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
        outcome = {
            run["tags"]["dagster/partition"]: run["status"]
            for run in dagster.runs()
            if run["tags"].get("dagster/backfill") == backfill
        }
    assert outcome == {month: "FAILURE" if month == BROKEN else "SUCCESS" for month in MONTHS}
    assert published_months(project) == [month for month in MONTHS if month != BROKEN]
    checked = check_results(project)
    published = {(check, month) for check in ("delivered_once", "defined") for month in MONTHS if month != BROKEN}
    assert set(checked) == {(check, month) for check in CHECKS for month in MONTHS} | published
    failed = {key for key, passed in checked.items() if not passed}
    assert failed == {("accepted", BROKEN), ("text_format", BROKEN), ("values_readable", BROKEN)}


def published_months(project: Project) -> list[str]:
    with warehouse_at(project.data_dir / "warehouse.duckdb").reading() as warehouse:
        rows = warehouse.execute(
            "SELECT x_Month, count(*) FROM focus.cost_and_usage GROUP BY x_Month ORDER BY x_Month"
        ).fetchall()
    assert {count for _, count in rows} == {50}
    return [month for month, _ in rows]


def check_results(project: Project) -> dict[tuple[str, str | None], bool]:
    """(check, partition) -> passed, of everything that was evaluated in the project's instance."""
    with dg.DagsterInstance.from_config(str(project.root / ".dagster")) as instance:
        evaluations = [
            entry.dagster_event.asset_check_evaluation_data
            for run in instance.get_runs()
            for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        ]
    return {(evaluation.check_name, evaluation.partition): evaluation.passed for evaluation in evaluations}
