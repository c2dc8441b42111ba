"""What Dagster does that the design relies on, some of it a preview: a release that changes it fails here."""

import dagster as dg
import pytest

from focus_pipeline.components.ingestion import MONTHS_PER_RUN
from focus_pipeline_tests.components.conftest import NAME, Site

MONTHLY = dg.MonthlyPartitionsDefinition(start_date="2025-01", end_date="2025-04", fmt="%Y-%m")


def definitions(backfill_policy: dg.BackfillPolicy | None) -> dg.Definitions:
    """An asset with a blocking, partitioned check that fails in 2025-02, and an asset below it."""

    @dg.asset(partitions_def=MONTHLY, backfill_policy=backfill_policy)
    def month() -> None: ...

    @dg.multi_asset_check(
        specs=[dg.AssetCheckSpec("accepted", asset=month, blocking=True, partitions_def=MONTHLY)],
    )
    def checks(context: dg.AssetCheckExecutionContext):
        yield dg.AssetCheckResult(passed="2025-02" not in context.partition_keys)

    @dg.asset(deps=[month], partitions_def=MONTHLY, backfill_policy=backfill_policy)
    def published() -> None: ...

    return dg.Definitions(assets=[month, published], asset_checks=[checks], executor=dg.in_process_executor)


@pytest.mark.parametrize(("month", "published"), [("2025-01", True), ("2025-02", False)])
def test_a_check_of_a_month_stands_under_its_partition_and_a_failed_blocking_one_gates_its_run(
    month: str, published: bool
) -> None:
    job = definitions(None).get_implicit_global_asset_job_def()
    run = job.execute_in_process(partition_key=month, instance=dg.DagsterInstance.ephemeral(), raise_on_error=False)
    assert [(e.partition, e.passed) for e in run.get_asset_check_evaluations()] == [(month, published)]
    assert bool(run.asset_materializations_for_node("published")) is published
    assert run.success is published


def test_a_check_that_a_run_over_several_months_yields_is_of_no_month() -> None:
    """Why ingestion and publishing log the events of each month, and yield none."""
    job = definitions(dg.BackfillPolicy.single_run()).get_implicit_global_asset_job_def()
    run = job.execute_in_process(
        tags={"dagster/asset_partition_range_start": "2025-01", "dagster/asset_partition_range_end": "2025-03"},
        instance=dg.DagsterInstance.ephemeral(),
        raise_on_error=False,
    )
    assert [e.partition for e in run.get_asset_check_evaluations()] == [None]
    assert not run.asset_materializations_for_node("published"), "one bad month would hold back all of them"


def test_the_assets_of_a_connection_share_the_runs_of_a_backfill(site: Site) -> None:
    graph = site.definitions.resolve_asset_graph()
    raw, staged = (graph.get(dg.AssetKey([NAME, asset])) for asset in ("raw_files", "cost_and_usage"))
    assert raw.backfill_policy == staged.backfill_policy == dg.BackfillPolicy.multi_run(MONTHS_PER_RUN)
    assert raw.partitions_def == staged.partitions_def
