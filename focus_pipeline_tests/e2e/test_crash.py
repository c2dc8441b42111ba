"""The whole machine goes down, or only part of Dagster does: nothing stays stuck, and no healthy run is harmed."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest

from focus_pipeline.months import current_month, months_back
from focus_pipeline_tests.e2e.crashes import (
    await_well,
    billed,
    crash_and_recover,
    instance_of,
    published,
    slots,
    unfinished,
)
from focus_pipeline_tests.e2e.dagster_server import await_true, kill_session, running_dagster
from focus_pipeline_tests.e2e.deliveries import ASSETS, CONNECTION, deliver_months
from focus_pipeline_tests.e2e.project import Project, clone_project

THIS_MONTH = current_month()
# How often everything is killed; `make attack` does it more often.
KILLS = int(os.environ.get("FOCUS_TEST_KILLS", "2"))

# Appended to publish.py of the clone: a month of millions of rows is published for as long as this waits.
WAIT_WHILE_PUBLISHING = """
def publish_months(months, data_dir, warehouse, publish=publish_months):
    import time

    while (data_dir.root / "held").exists():
        (data_dir.root / "publishing").touch()
        time.sleep(0.1)
    return publish(months, data_dir, warehouse)
"""


def project_with(tmp_path: Path, months: list[str]) -> Project:
    deliver_months(tmp_path / "bucket", months)
    project = clone_project(
        tmp_path / "clone",
        {CONNECTION: {"url": str(tmp_path / "bucket"), "check_every_seconds": 5, "lookback_months": 0}},
    )
    project.data_dir.mkdir()
    with (project.root / "focus_pipeline" / "pipeline" / "publish.py").open("a") as module:
        module.write(WAIT_WHILE_PUBLISHING)
    return project


@pytest.mark.slow
@pytest.mark.timeout(600 + 60 * KILLS)
def test_after_everything_was_killed_all_months_are_published_and_nothing_is_stuck(tmp_path: Path) -> None:
    recovery = crash_and_recover(tmp_path, KILLS, seed=int(os.environ.get("FOCUS_TEST_SEED", "10")))
    print(recovery)
    assert recovery.killed.total(), "no kill met a run"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_command_that_was_killed_with_the_slot_holds_up_no_other_and_its_month_is_published(tmp_path: Path) -> None:
    last_month = months_back(THIS_MONTH, 1)[0]
    project = project_with(tmp_path, [last_month, THIS_MONTH])
    for month in (last_month, THIS_MONTH):
        launch(project, month, ASSETS[:2]).wait(120)
    assert statuses(project) == ["SUCCESS", "SUCCESS"]
    kill_while_publishing(project, THIS_MONTH)
    # No daemon is there: the next command sees to it.
    launch(project, last_month).wait(120)
    assert set(billed(project)) == {last_month}
    assert statuses(project)[2:] == ["FAILURE", "SUCCESS"]
    assert not slots(project)
    kill_while_publishing(project, THIS_MONTH)
    with running_dagster(project):
        seconds = await_well(project, [last_month, THIS_MONTH], 200)
    print(f"published {seconds:.0f} s after the start")
    assert statuses(project)[2:] == ["FAILURE", "SUCCESS", "FAILURE", "SUCCESS"]
    assert set(billed(project)) == {last_month, THIS_MONTH}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_worker_that_outlives_its_code_server_and_daemon_is_left_to_end_its_run(tmp_path: Path) -> None:
    project = project_with(tmp_path, [THIS_MONTH])
    with running_dagster(project) as dagster:
        with held_while_publishing(project):
            (run,) = unfinished(project)
            worker = worker_of(project, run.run_id)
            kill_session(dagster.session, but={worker})
            with running_dagster(project) as second:
                time.sleep(25)  # the daemon looks at runs every 20 seconds
                assert [run["status"] for run in second.runs()] == ["STARTED", "SUCCESS"]
        with running_dagster(project):
            await_well(project, [THIS_MONTH], 120)
        assert statuses(project) == ["SUCCESS", "SUCCESS"]


def kill_while_publishing(project: Project, month: str) -> None:
    """`dg launch`, killed with its children while it holds the slot of the warehouse."""
    command = launch(project, month)
    with held_while_publishing(project):
        assert slots(project)
        kill_session(command.pid)
        command.wait()
    assert [run.status.value for run in unfinished(project)] == ["STARTED"]
    assert month not in published(project)


def launch(project: Project, month: str, assets: list[list[str]] = ASSETS[2:]) -> subprocess.Popen:
    """`dg launch` of assets; by default those that a run that publishes has."""
    keys = ",".join(f"key:{'/'.join(path)}" for path in assets)
    return subprocess.Popen(
        ["dg", "launch", "--assets", keys, "--partition", month],
        cwd=project.root,
        env=project.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@contextmanager
def held_while_publishing(project: Project) -> Iterator[None]:
    """From when a run publishes, and does not get on with it, until the block ends."""
    held, publishing = project.data_dir / "held", project.data_dir / "publishing"
    held.touch()
    await_true(publishing.exists, 120, "no run came to publishing")
    yield
    held.unlink()
    publishing.unlink()


def worker_of(project: Project, run_id: str) -> int:
    with instance_of(project) as instance:
        (started,) = instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_START)
    assert started.dagster_event.pid
    os.kill(started.dagster_event.pid, signal.SIG_DFL)  # it is there
    return started.dagster_event.pid


def statuses(project: Project) -> list[str]:
    """Of the runs that load and publish, oldest first."""
    with instance_of(project) as instance:
        return [run.status.value for run in reversed(instance.get_runs()) if run.job_name != "focus_marts"]
