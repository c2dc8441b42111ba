"""Telling a run whose process is gone from one that works, wherever that may be."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, DagsterEventType, EngineEventData
from dagster._core.launcher import WorkerStatus
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, WILL_RETRY_TAG

from focus_pipeline import run_workers
from focus_pipeline.components.names import WAREHOUSE_POOL
from focus_pipeline.run_workers import (
    LocalRunLauncher,
    hold_lock,
    locked_in_process_executor,
    report_missed_retries,
)

CONFIG = """
run_launcher: {module: focus_pipeline.run_workers, class: LocalRunLauncher}
concurrency: {pools: {default_limit: 1, granularity: op}}
telemetry: {enabled: false}
"""
WORKER = """
import sys, time
import dagster as dg
from focus_pipeline.run_workers import hold_lock

with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    hold_lock(instance, sys.argv[2])
    print("working", flush=True)
    time.sleep(100)
"""


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    home = tmp_path_factory.mktemp("dagster")
    (home / "dagster.yaml").write_text(CONFIG)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


@dg.op
def nothing() -> None:
    pass


@dg.job(executor_def=locked_in_process_executor)
def one_step() -> None:
    nothing()


def started_run(instance: dg.DagsterInstance, seconds_ago: float = 0) -> dg.DagsterRun:
    run = instance.create_run_for_job(one_step)
    started = DagsterEvent(DagsterEventType.RUN_START.value, run.job_name, message="started")
    instance.report_dagster_event(started, run.run_id, timestamp=time.time() - seconds_ago)
    return instance.get_run_by_id(run.run_id)


def health(instance: dg.DagsterInstance, run: dg.DagsterRun) -> WorkerStatus:
    launcher = instance.run_launcher
    assert isinstance(launcher, LocalRunLauncher)
    assert launcher.supports_check_run_worker_health
    return launcher.check_run_worker_health(run).status


def worker_on(instance: dg.DagsterInstance, run: dg.DagsterRun) -> subprocess.Popen:
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, instance.root_directory, run.run_id], stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout.readline() == "working\n"
    return worker


def kill(worker: subprocess.Popen) -> None:
    worker.send_signal(signal.SIGKILL)
    worker.communicate()


@pytest.mark.slow
def test_a_run_is_dead_once_its_process_is_gone_and_not_before(instance: dg.DagsterInstance) -> None:
    run = started_run(instance, seconds_ago=100_000)
    worker = worker_on(instance, run)
    assert health(instance, run) == WorkerStatus.RUNNING
    kill(worker)
    assert health(instance, run) == WorkerStatus.NOT_FOUND


@pytest.mark.parametrize(
    ("written", "status"),
    [
        ("other-host\nother-boot", WorkerStatus.RUNNING),
        ("other-host\n", WorkerStatus.RUNNING),
        ("{host}\nother-boot", WorkerStatus.NOT_FOUND),  # this machine was started anew
        ("other-host\n{boot}", WorkerStatus.NOT_FOUND),  # its container was made anew
        ("", WorkerStatus.NOT_FOUND),
        ("\0\0\0\0", WorkerStatus.NOT_FOUND),
    ],
)
def test_a_lock_counts_only_where_it_would_be_seen(instance: dg.DagsterInstance, written: str, status: object) -> None:
    run = started_run(instance)
    host, boot = run_workers._machine()
    lock = run_workers._lock_file(instance, run.run_id)
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(written.format(host=host, boot=boot))
    assert health(instance, run) == status


def test_a_run_without_a_lock_is_left_alone_unless_it_died_before_it_could_take_one(
    instance: dg.DagsterInstance,
) -> None:
    assert health(instance, started_run(instance)) == WorkerStatus.RUNNING
    stuck = started_run(instance, seconds_ago=200)
    assert health(instance, stuck) == WorkerStatus.NOT_FOUND
    # Another executor, or another machine, has gone on with it.
    instance.report_engine_event("Executing steps", stuck, EngineEventData.in_process(1))
    assert health(instance, stuck) == WorkerStatus.RUNNING


@pytest.mark.slow
def test_the_next_run_ends_the_dead_ones_and_frees_their_slots_without_a_daemon(instance: dg.DagsterInstance) -> None:
    dead, canceled, working = started_run(instance), started_run(instance), started_run(instance)
    instance.report_run_canceling(canceled)
    storage = instance.event_log_storage
    storage.initialize_concurrency_limit_to_default(WAREHOUSE_POOL)
    for run in (dead, canceled, working):
        storage.claim_concurrency_slot(WAREHOUSE_POOL, run.run_id, "publish")
    workers = [worker_on(instance, run) for run in (dead, canceled, working)]
    for worker in workers[:2]:
        kill(worker)
    assert storage.get_concurrency_info(WAREHOUSE_POOL).active_run_ids == {dead.run_id}
    result = dg.execute_job(dg.reconstructable(one_step_job), instance)
    assert result.success
    status = [instance.get_run_by_id(run.run_id).status.value for run in (dead, canceled, working)]
    assert status == ["FAILURE", "CANCELED", "STARTED"]
    assert storage.get_concurrency_run_ids() == {working.run_id}
    kill(workers[2])


def test_a_lock_is_kept_that_is_taken_before_the_run_is_made(instance: dg.DagsterInstance) -> None:
    """As the demo takes it."""
    hold_lock(instance, "a-run-to-be")
    path = run_workers._lock_file(instance, "a-run-to-be")
    assert path.exists()
    assert path in run_workers._held


@pytest.mark.slow
def test_a_process_that_executes_many_runs_keeps_no_lock_but_the_last(instance: dg.DagsterInstance) -> None:
    runs = [dg.execute_job(dg.reconstructable(one_step_job), instance).run_id for _ in range(3)]
    assert [run for run in runs if run_workers._lock_file(instance, run).exists()] == runs[-1:]
    assert [path.stem for path in run_workers._held] == runs[-1:]


def test_a_file_system_without_locks_is_named_and_holds_up_no_run(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: object) -> None:
        raise OSError(95, os.strerror(95))

    monkeypatch.setattr(run_workers.fcntl, "flock", refused)
    run = started_run(instance)
    hold_lock(instance, run.run_id)
    assert "Put DAGSTER_HOME on a file system that has locks" in caplog.text
    assert not [path for path in run_workers._lock_folder(instance).iterdir() if run.run_id in path.name]
    assert not list(run_workers._lock_folder(instance).glob(".*"))
    assert health(instance, run) == WorkerStatus.RUNNING


def test_a_failure_whose_retry_was_not_launched_is_reported_again_but_not_for_ever(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashed, retried, rejected = (started_run(instance) for _ in range(3))
    for run in (crashed, retried, rejected):
        instance.report_run_failed(run)
    instance.add_run_tags(crashed.run_id, {WILL_RETRY_TAG: "true"})
    instance.add_run_tags(retried.run_id, {WILL_RETRY_TAG: "true", AUTO_RETRY_RUN_ID_TAG: "the-retry"})
    assert report_missed_retries(instance) == [], "the daemon has not had its time yet"
    monkeypatch.setattr(run_workers, "_RETRIED_WITHIN", timedelta(0))
    assert report_missed_retries(instance) == [crashed.run_id]
    failures = instance.all_logs(crashed.run_id, of_type=DagsterEventType.RUN_FAILURE)
    assert len(failures) == 2
    assert report_missed_retries(instance) == [crashed.run_id]
    assert report_missed_retries(instance) == []


def one_step_job() -> dg.JobDefinition:
    return one_step
