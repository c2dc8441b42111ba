"""Finds runs whose process is gone, however it ended, has them done again, and never takes a living one for dead.

A worker holds a lock on a file of its run for as long as it lives; the system lets go of it when the process ends, be
it by SIGKILL or with the whole machine. Dagster by itself knows only of workers whose code server is still there: after
a crash of everything their runs would stay STARTED for ever, and keep the `warehouse` slot.
"""

import fcntl
import logging
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO

import dagster as dg
from dagster._core.executor.in_process import InProcessExecutor
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, WILL_RETRY_TAG
from dagster._serdes.config_class import ConfigurableClassData

from focus_pipeline.files import keep_files_private, make_folder

logger = logging.getLogger(__name__)

# A retry is launched within seconds of the failure, or not at all.
_RETRIED_WITHIN = timedelta(minutes=1)
_REPORTS = 3

_GONE = "The process of the run is gone: it was killed, or its machine went down."
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

# Nothing is done between the event that a run has started and its lock: a run that is no further has died there.
_LOCKED_WITHIN = timedelta(minutes=3)

# The locks of this process. They are kept beyond the executor, for the run's last events are written after it.
_held: dict[Path, IO[str]] = {}


class LocalRunLauncher(DefaultRunLauncher):
    """Dagster's launcher of local processes, which can also tell whether the worker of a run still lives.

    The daemon's run monitoring asks it, and fails the runs that are dead. A run that works elsewhere, or whose executor
    takes no lock, counts as living.
    """

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(inst_data)
        keep_files_private()  # of the daemon: what it writes about runs shows amounts, too

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        if is_dead(self._instance, run.run_id):
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, _GONE)
        return CheckRunHealthResult(WorkerStatus.RUNNING)


@dg.executor(name="in_process", config_schema=dg.in_process_executor.config_schema)
def locked_in_process_executor(context: dg.InitExecutorContext) -> dg.Executor:
    """Dagster's in-process executor, under the lock of the run."""
    plain = dg.in_process_executor.executor_creation_fn(context)
    return _LockedInProcessExecutor(plain.retries, plain.step_dependency_config)


class _LockedInProcessExecutor(InProcessExecutor):
    def execute(self, plan_context, execution_plan) -> Iterator[dg.DagsterEvent]:
        hold_lock(plan_context.instance, plan_context.run_id)
        yield from super().execute(plan_context, execution_plan)


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Sees to it that the retry of a crashed run is launched, which Dagster misses when it looks for failed "
    "runs in the moment in which one is written down as that; a backfill would wait for it for ever.",
)
def missed_retries(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    missed = report_missed_retries(context.instance)
    return dg.SkipReason(f"reported once more as failed: {', '.join(missed)}" if missed else "no retry was missed")


def report_missed_retries(instance: dg.DagsterInstance) -> list[str]:
    """Reports runs once more as failed whose retry was not launched, so that the daemon takes notice; their ids."""
    now = datetime.now(UTC)
    to_be_retried = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE], tags={WILL_RETRY_TAG: "true"}, updated_after=now - timedelta(hours=1)
    )
    missed = [
        record.dagster_run
        for record in instance.get_run_records(to_be_retried)
        if AUTO_RETRY_RUN_ID_TAG not in record.dagster_run.tags
        and now - datetime.fromtimestamp(record.end_time, UTC) > _RETRIED_WITHIN
        # Dagster may have its reasons, such as a backfill that was canceled.
        and len(instance.all_logs(record.dagster_run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)) < _REPORTS
    ]
    for run in missed:
        instance.report_run_failed(run, "This run has failed, and its retry was not launched. It is reported again.")
    return [run.run_id for run in missed]


def hold_lock(instance: dg.DagsterInstance, run_id: str) -> None:
    """Shows that this process works on the run, for as long as it lives.

    Then it ends the dead runs and frees their slots, so that the first run after a crash waits for none of them, be
    there a daemon or not.
    """
    mine = _lock_file(instance, run_id)
    _lock(mine)
    _end_dead_runs(instance)
    _clear_away_ended_runs(instance, but=mine)


def is_dead(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether a run that has started has lost its process. False, too, where that cannot be told from here."""
    try:
        with _lock_file(instance, run_id).open(encoding="utf-8") as file:
            return _is_of_this_machine(file.read()) and _is_free(file)
    except FileNotFoundError:
        last = instance.event_log_storage.get_logs_for_run(run_id, limit=1, ascending=False)
        return (
            bool(last)
            and last[0].dagster_event_type == dg.DagsterEventType.RUN_START
            and datetime.now(UTC) - datetime.fromtimestamp(last[0].timestamp, UTC) > _LOCKED_WITHIN
        )


def _end_dead_runs(instance: dg.DagsterInstance) -> None:
    started = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
    for run in instance.get_runs(dg.RunsFilter(statuses=started)):
        # Where the process is gone, the status does not change any more; it may have done so since the list was made.
        if not is_dead(instance, run.run_id) or instance.get_run_by_id(run.run_id).status != run.status:
            continue
        logger.warning("run %s is ended: its process is gone", run.run_id)
        if run.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, _GONE)
        else:
            instance.report_run_failed(run, _GONE)


def _clear_away_ended_runs(instance: dg.DagsterInstance, but: Path) -> None:
    """Frees the slots and removes the locks of runs that have ended, and whose process has.

    but: the lock of a run that may not be there yet.
    """
    with_slots = instance.event_log_storage.get_concurrency_run_ids()
    for path in _lock_folder(instance).glob("*.lock"):
        run = instance.get_run_by_id(path.stem)
        if path == but or (run is not None and not run.is_finished):
            continue
        if path in _held:
            _held.pop(path).close()
        if is_dead(instance, path.stem):
            if path.stem in with_slots:
                instance.event_log_storage.free_concurrency_slots_for_run(path.stem)
            path.unlink(missing_ok=True)


def _lock_folder(instance: dg.DagsterInstance) -> Path:
    return Path(instance.root_directory) / "run_workers"


def _lock_file(instance: dg.DagsterInstance, run_id: str) -> Path:
    return _lock_folder(instance) / f"{run_id}.lock"


def _lock(path: Path) -> None:
    make_folder(path.parent)
    # Locked before it has its name: nobody finds it free while the process lives.
    file = NamedTemporaryFile("w", dir=path.parent, prefix=".", delete=False, encoding="utf-8")  # noqa: SIM115
    try:
        file.write("\n".join(_machine()))
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        os.replace(file.name, path)
    except OSError as error:
        os.unlink(file.name)
        file.close()
        logger.warning(
            "%s cannot be locked (%s): after a crash of the whole machine this run has to be terminated by hand. Put "
            "DAGSTER_HOME on a file system that has locks",
            path,
            error,
        )
    else:
        _held[path] = file


def _is_free(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:  # it is held, or the file system cannot tell
        return False
    return True


def _is_of_this_machine(written: str) -> bool:
    """Locks of other machines may not be seen here. A container made anew has another name, but the same boot id."""
    theirs = written.strip("\0")  # nothing but these, where the power failed as it was written
    return not theirs or any(mine == other for mine, other in zip(_machine(), theirs.split("\n"), strict=False))


def _machine() -> tuple[str, str]:
    return socket.gethostname(), _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""
