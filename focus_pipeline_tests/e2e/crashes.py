"""A machine that goes down again and again while it loads months: everything is killed, and started anew."""

import random
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from focus_pipeline.components.names import WAREHOUSE_POOL
from focus_pipeline.months import current_month, months_back
from focus_pipeline_tests.e2e.dagster_server import await_true, kill_session, running_dagster
from focus_pipeline_tests.e2e.deliveries import ASSETS, CONNECTION, deliver_months
from focus_pipeline_tests.e2e.project import Project, clone_project
from focus_pipeline_tests.warehouses import warehouse_at

_LOOKBACK = 2
_BACKFILL = 6


@dataclass(frozen=True)
class Recovery:
    """killed: statuses of the runs that were not finished when everything was killed, over all kills.

    seconds: from the last start until everything was published, all runs had ended and no slot was held.
    """

    killed: Counter[str]
    seconds: float


def crash_and_recover(folder: Path, kills: int, seed: int) -> Recovery:
    """Kills everything `kills` times, while a backfill and a sensor load months, and waits until all is well again.

    Raises TimeoutError when it does not come to that.
    """
    chance = random.Random(seed)
    months = months_back(current_month(), _LOOKBACK + _BACKFILL)
    deliver_months(folder / "bucket", months)
    project = clone_project(
        folder / "clone",
        {CONNECTION: {"url": str(folder / "bucket"), "check_every_seconds": 5, "lookback_months": _LOOKBACK}},
    )
    killed: Counter[str] = Counter()
    backfill = None
    for number in range(kills):
        with running_dagster(project) as dagster:
            backfill = backfill or dagster.launch_backfill(ASSETS, months[:_BACKFILL])
            # Every other time while a run works, else anywhere between asking for runs and retrying the killed ones.
            at_work = {dg.DagsterRunStatus.STARTED} if number % 2 == 0 else set(dg.DagsterRunStatus)
            await_true(
                lambda at_work=at_work: (
                    any(run.status in at_work for run in unfinished(project)) or is_well(project, months)
                ),
                180,
                "no run came to be killed",
                every=0.1,
            )
            if number % 2:
                time.sleep(chance.uniform(0, 12))
            kill_session(dagster.session)
        killed.update(run.status.value for run in unfinished(project))
    with running_dagster(project):
        seconds = await_well(project, months, 400)
    assert billed(project) == dict.fromkeys(months, "75.000000000000000000")
    return Recovery(killed, seconds)


def await_well(project: Project, months: list[str], seconds: float) -> float:
    """The seconds that it took. Raises TimeoutError that says what is still amiss."""
    try:
        return await_true(lambda: is_well(project, months), seconds, "not all is well")
    except TimeoutError as error:
        raise TimeoutError(
            f"{error}: unfinished {unfinished(project)}, slots {slots(project)}, published {sorted(published(project))}"
        ) from error


def is_well(project: Project, months: list[str]) -> bool:
    """Every month is published, every run has ended and no slot is held."""
    return not unfinished(project) and not slots(project) and published(project) >= set(months)


def unfinished(project: Project) -> list[dg.DagsterRun]:
    with instance_of(project) as instance:
        return [run for run in instance.get_runs() if not run.is_finished]


def slots(project: Project) -> set[str]:
    """Runs that hold the slot of the warehouse, or wait for it."""
    with instance_of(project) as instance:
        info = instance.event_log_storage.get_concurrency_info(WAREHOUSE_POOL)
        return {*info.active_run_ids, *info.pending_run_ids, *info.assigned_run_ids}


def published(project: Project) -> set[str]:
    """Months with a publication that ended well, by Dagster's records: the warehouse is left to those who write."""
    with instance_of(project) as instance:
        return set(instance.get_materialized_partitions(dg.AssetKey(["focus", "data_sources"])))


def billed(project: Project) -> dict[str, str]:
    """Month -> BilledCost in the table."""
    with warehouse_at(project.data_dir / "warehouse.duckdb").reading() as warehouse:
        return dict(
            warehouse.execute(
                "SELECT x_Month, CAST(sum(BilledCost) AS VARCHAR) FROM focus.cost_and_usage GROUP BY 1"
            ).fetchall()
        )


def instance_of(project: Project) -> dg.DagsterInstance:
    return dg.DagsterInstance.from_config(str(project.root / ".dagster"))
