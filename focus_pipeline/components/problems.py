"""What Dagster and the records say of problems right now: failing checks, failed runs, looks at providers."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fnmatch import fnmatchcase

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
    AssetCheckPartitionInfo,
)
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, WILL_RETRY_TAG

from focus_pipeline.alerts.problems import FOLDERS, Found, Problem, key_of
from focus_pipeline.components import names
from focus_pipeline.components.runs import ended_at, last_words, sentence_of_failure
from focus_pipeline.records.landed import current_token
from focus_pipeline.records.looks import latest_look
from focus_pipeline.records.staged import staged_month
from focus_pipeline.storage import DataDir

# A provider that is out of reach for a moment is no problem, nor is one that is delivering right now.
FAILING_FOR = timedelta(minutes=15)
HELD_BACK_FOR = timedelta(hours=2)
# Dagster launches the retry of a crashed run within seconds, or focus_pipeline has it done within two minutes.
_RETRIED_WITHIN = timedelta(minutes=10)

_FAILED, _SUCCEEDED = AssetCheckExecutionRecordStatus.FAILED, AssetCheckExecutionRecordStatus.SUCCEEDED
_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
# How raise_failed() begins, of a run over several months.
_OF_MONTHS = re.compile(r"\d+ of \d+ months failed, ")
_RUN_IDS_AT_ONCE = 200
_EVALUATIONS_AT_ONCE = 200
# Whose success, beside that of a later run of the job, ends the failure of the job.
_ASSET_OF_JOB = {"focus_exchange_rates": names.EXCHANGE_RATES}


@dataclass(frozen=True)
class Chosen:
    """Which problems are told. warnings: patterns of checks whose WARN is told, too. ignore: of what is not told."""

    warnings: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()


@dataclass(frozen=True)
class Watched:
    """What a code location defines. checks: and whether their results are of months. jobs: by name.

    fresh_for: of the assets that have such a policy, how long after they were last materialised.
    """

    checks: Mapping[dg.AssetCheckKey, bool]
    jobs: Collection[str]
    fresh_for: Mapping[dg.AssetKey, timedelta] = field(default_factory=dict)

    @property
    def connections(self) -> list[str]:
        """By name; what is not loaded is none."""
        named = {
            job.removesuffix("_ingest") for job in self.jobs if job.endswith("_ingest") and not job.startswith("__")
        }
        return sorted(named)

    @property
    def places(self) -> frozenset[str] | None:
        """Those that are looked at; None for all that there can be, where everything in defs/ is loaded."""
        assets = {check.asset_key for check in self.checks}
        if not any(asset.path[-1] == "not_loaded" for asset in assets):
            return None
        return frozenset([*self.connections, *self.jobs, *(asset.to_user_string() for asset in assets)])


_Result = tuple[dg.AssetCheckKey, str | None, int]
"""Check, month and number of an event: the latest result of the check for the month, or that one was planned."""


class Looker:
    """Looks again and again, and reads from Dagster only what it has not read yet.

    Where Dagster has recorded nothing since the former look, that one's answer holds.
    """

    def __init__(self, chosen: Chosen, data_dir: DataDir) -> None:
        self._chosen, self._data_dir = chosen, data_dir
        self._results: dict[_Result, Problem | None] = {}
        self._why: dict[str, str] = {}
        self._latest: tuple[object, Found] | None = None
        self._materialized: dict[dg.AssetKey, datetime] = {}

    def look(self, instance: dg.DagsterInstance, watched: Watched, now: datetime) -> Found:
        """The problems that there are, but those that are ignored."""
        found = self._in_dagster(instance, watched, now)
        problems = [
            problem
            for problem in (
                *found.problems,
                *_of_looks(watched.connections, self._data_dir, now),
                *_of_stale(watched.fresh_for, self._materialized, now),
            )
            if not _is_of(problem.name, self._chosen.ignore)
        ]
        # What keeps a month out comes before what is said of its rows.
        problems.sort(key=lambda one: (one.place, one.month, not _rejects(one), one.name))
        return replace(found, problems=tuple(problems), places=watched.places)

    def _in_dagster(self, instance: dg.DagsterInstance, watched: Watched, now: datetime) -> Found:
        # Events of assets and checks, and changes of the status of runs.
        recorded = instance.event_log_storage.get_maximum_record_id()
        if self._latest is not None and self._latest[0] == (recorded, watched):
            return self._latest[1]
        self._materialized = _materialized_at(instance, watched.fresh_for)
        checks = self._checks(instance, watched.checks)
        runs, passes_by_itself = self._runs(instance, watched, now)
        # The run of a rejected month fails with what its check says.
        rejected = {(problem.place, problem.month, problem.link) for problem in checks.problems if _rejects(problem)}
        told = [one for one in runs.problems if (one.place, one.month, one.link) not in rejected]
        found = Found((*checks.problems, *told), checks.undecided | runs.undecided)
        self._latest = None if passes_by_itself else ((recorded, watched), found)
        return found

    # Checks

    def _checks(self, instance: dg.DagsterInstance, checks: Mapping[dg.AssetCheckKey, bool]) -> Found:
        latest = [
            info
            for info in instance.event_log_storage.get_asset_check_partition_info(list(checks))
            # A run over several months leaves a planned result that is of none.
            if (info.partition_key is not None) == checks[info.check_key]
        ]
        planned = [info for info in latest if info.latest_execution_status not in (_FAILED, _SUCCEEDED)]
        runs = _runs_by_id(instance, {info.latest_planned_run_id for info in planned})
        at_work, left_planned = [], []
        for info in planned:
            (at_work if _is_at_work(runs.get(info.latest_planned_run_id)) else left_planned).append(info)
        failed = [info for info in latest if info.latest_execution_status == _FAILED]
        self._results = self._read_results(instance, failed, left_planned)
        problems = [problem for problem in self._results.values() if problem is not None]
        undecided = {key_of(_name(info.check_key), info.partition_key or "") for info in at_work}
        return Found(tuple(problems), frozenset(undecided))

    def _read_results(
        self,
        instance: dg.DagsterInstance,
        failed: Iterable[AssetCheckPartitionInfo],
        left_planned: Iterable[AssetCheckPartitionInfo],
    ) -> dict[_Result, Problem | None]:
        """What the latest results tell: of checks that failed, and of those that a run which has ended did not come to.

        Each is read once.
        """
        known: dict[_Result, Problem | None] = {}
        storage = instance.event_log_storage
        ever_failed: dict[dg.AssetCheckKey, list[str | None]] = {}
        for info, is_planned in [*((info, False) for info in failed), *((info, True) for info in left_planned)]:
            check, month = info.check_key, info.partition_key
            key = (check, month, info.latest_check_event_storage_id)
            if key in self._results:
                known[key] = self._results[key]
                continue
            if is_planned:
                if check not in ever_failed:
                    history = storage.get_asset_check_execution_history(check, _EVALUATIONS_AT_ONCE, status={_FAILED})
                    ever_failed[check] = [record.partition for record in history]
                if len(ever_failed[check]) < _EVALUATIONS_AT_ONCE and month not in ever_failed[check]:
                    known[key] = None
                    continue
            records = storage.get_asset_check_execution_history(
                check, 1, status={_FAILED, _SUCCEEDED}, partition_filter=PartitionKeyFilter(key=month)
            )
            known[key] = self._of_check(check, month or "", records[0]) if records else None
        return known

    def _of_check(self, check: dg.AssetCheckKey, month: str, record: AssetCheckExecutionRecord) -> Problem | None:
        """None of a check that passes, or whose warning is not told."""
        event = record.event and record.event.dagster_event
        evaluation = event and event.asset_check_evaluation_data
        if evaluation is None or evaluation.passed:
            return None
        if evaluation.severity == dg.AssetCheckSeverity.WARN and not _is_of(_name(check), self._chosen.warnings):
            return None
        *place, last = check.asset_key.path
        is_of_connection = last == "cost_and_usage" and place != ["focus"]
        title, extent = f"the check {check.name} fails", ""
        text = evaluation.description or f"the check {check.name} says no more than that it failed"
        if last == "not_loaded":
            title, place = "not loaded", [FOLDERS, *place]
        elif is_of_connection:
            if check.name == "accepted":
                title = "held back" if text.startswith("held back") else "not accepted"
            extent = _delivered(place[0], month, self._data_dir)
        else:
            place = [*place, last]
        return Problem(
            name=_name(check),
            place="/".join(place),
            month=month,
            title=title,
            text=text,
            extent=extent,
            link=_run_page(record.run_id),
        )

    # Runs

    def _runs(self, instance: dg.DagsterInstance, watched: Watched, now: datetime) -> tuple[Found, bool]:
        """Failed runs whose month was not materialised since; and whether waiting alone can change the answer."""
        connections = watched.connections
        assets = {names.cost_and_usage(name): name for name in connections} | {names.UNIFIED: "focus/cost_and_usage"}
        attempts = {
            (asset, month): run_id
            for asset in assets
            for month, (run_id, _) in _attempts_without_result(instance, asset).items()
        }
        runs = _runs_by_id(instance, set(attempts.values()))
        problems: list[Problem | None] = []
        undecided, passes_by_itself = set(), False
        for (asset, month), run_id in attempts.items():
            place, record = assets[asset], runs.get(run_id)
            if record is None:
                continue
            if _is_at_work(record) or record.dagster_run.status == dg.DagsterRunStatus.CANCELED:
                undecided.add(key_of(f"{place}/run", month))
            elif _is_retried(record, now):
                undecided.add(key_of(f"{place}/run", month))
                passes_by_itself = True
            elif record.dagster_run.status == dg.DagsterRunStatus.FAILURE:
                title = "not published" if asset == names.UNIFIED else "not loaded"
                problems.append(self._of_run(instance, record, place, month, title))
        # Of jobs whose runs are of no single month.
        by_month = {f"{name}_ingest" for name in connections} | {"focus_publish"}
        for job in sorted(set(watched.jobs) - by_month):
            record = _latest_ended(instance, job)
            if record is None or record.dagster_run.is_success or _is_done_since(instance, job, record):
                continue
            if _is_retried(record, now):
                undecided.add(key_of(f"{job}/run", ""))
                passes_by_itself = True
                continue
            problems.append(self._of_run(instance, record, job, "", "its run failed"))
        found = tuple(problem for problem in problems if problem is not None)
        self._why = {run: why for run, why in self._why.items() if any(run in problem.link for problem in found)}
        return Found(found, frozenset(undecided)), passes_by_itself

    def _of_run(
        self, instance: dg.DagsterInstance, record: dg.RunRecord, place: str, month: str, title: str
    ) -> Problem | None:
        """month: "" for the run as a whole. None where the run failed for other months only."""
        run_id = record.dagster_run.run_id
        if run_id not in self._why:
            self._why[run_id] = sentence_of_failure(instance, record) or last_words(instance, record)
        why = self._why[run_id]
        if month and _OF_MONTHS.match(why):
            own = re.search(rf"[.·] {month}: (.*?)(?= · \d{{4}}-\d\d: |$)", why, re.DOTALL)
            if own is None:
                return None  # the run had nothing to do for it
            why = own[1]
        return Problem(name=f"{place}/run", place=place, month=month, title=title, text=why, link=_run_page(run_id))


# Looks at providers


def _of_looks(connections: Iterable[str], data_dir: DataDir, now: datetime) -> Iterator[Problem]:
    for name in connections:
        look = latest_look(name, data_dir)
        page = f"/locations/focus_pipeline/sensors/{name}_deliveries" if look else ""
        if look and look.failed and look.failing_since and now - look.failing_since >= FAILING_FOR:
            text = f"{look.failed} — so since {look.failing_since:%Y-%m-%d %H:%M} UTC; what is loaded stays"
            yield Problem(name=f"{name}/sensor", place=name, month="", title="its sensor fails", text=text, link=page)
        for month, waiting in look.held_back.items() if look else ():
            if now - waiting.since >= HELD_BACK_FOR:
                text = (
                    f"{waiting.sentence} — so since {waiting.since:%Y-%m-%d %H:%M} UTC; the last good month stays in "
                    f"the table. `focus-pipeline check {name}` tells how it stands"
                )
                yield Problem(
                    name=f"{name}/held_back", place=name, month=month, title="held back", text=text, link=page
                )


def _of_stale(
    fresh_for: Mapping[dg.AssetKey, timedelta], materialized: Mapping[dg.AssetKey, datetime], now: datetime
) -> Iterator[Problem]:
    """What Dagster shows as overdue; an asset that never was is none."""
    for asset, window in fresh_for.items():
        at = materialized.get(asset)
        if at is None or now - at < window:
            continue
        *place, last = asset.path
        where, hours = f"/assets/{'/'.join(asset.path)}", window / timedelta(hours=1)
        if last == names.latest_delivery("").path[-1]:
            (name,) = place
            text = (
                f"no new delivery of this month or the last has come since {at:%Y-%m-%d %H:%M} UTC, for longer than "
                f"the {hours:,.0f} hours of `stale_after_hours`. Look whether the provider's export still runs; "
                f"`focus-pipeline check {name}` shows what it delivers"
            )
        else:
            name = asset.to_user_string()
            text = f"it was last materialised at {at:%Y-%m-%d %H:%M} UTC, and its policy asks for {hours:,.0f} hours"
        yield Problem(name=f"{name}/stale", place=name, month="", title="stale", text=text, link=where)


# What Dagster is asked


def _attempts_without_result(instance: dg.DagsterInstance, asset: dg.AssetKey) -> Mapping[str, tuple[str, int]]:
    storage = instance.event_log_storage
    return storage.get_latest_asset_partition_materialization_attempts_without_materializations(asset)


def _materialized_at(instance: dg.DagsterInstance, assets: Iterable[dg.AssetKey]) -> dict[dg.AssetKey, datetime]:
    events = {asset: instance.get_latest_materialization_event(asset) for asset in assets}
    return {asset: datetime.fromtimestamp(event.timestamp, UTC) for asset, event in events.items() if event}


def _runs_by_id(instance: dg.DagsterInstance, run_ids: Collection[str]) -> dict[str, dg.RunRecord]:
    wanted = sorted(run_ids - {""} if isinstance(run_ids, set) else run_ids)
    found: dict[str, dg.RunRecord] = {}
    for start in range(0, len(wanted), _RUN_IDS_AT_ONCE):
        some = dg.RunsFilter(run_ids=wanted[start : start + _RUN_IDS_AT_ONCE])
        found |= {record.dagster_run.run_id: record for record in instance.get_run_records(some)}
    return found


def _latest_ended(instance: dg.DagsterInstance, job: str) -> dg.RunRecord | None:
    return next(iter(instance.get_run_records(dg.RunsFilter(job_name=job, statuses=_ENDED), limit=1)), None)


def _is_done_since(instance: dg.DagsterInstance, job: str, record: dg.RunRecord) -> bool:
    if job not in _ASSET_OF_JOB:
        return False
    event = instance.get_latest_materialization_event(_ASSET_OF_JOB[job])
    return event is not None and datetime.fromtimestamp(event.timestamp, UTC) > ended_at(record)


def _is_at_work(record: dg.RunRecord | None) -> bool:
    return record is not None and not record.dagster_run.is_finished


def _is_retried(record: dg.RunRecord, now: datetime) -> bool:
    """Whether Dagster is about to take the run up again, and will not have failed for good before it has."""
    tags = record.dagster_run.tags
    is_asked_for = tags.get(WILL_RETRY_TAG) == "true" and AUTO_RETRY_RUN_ID_TAG not in tags
    return is_asked_for and now - ended_at(record) < _RETRIED_WITHIN


# Words


def _rejects(problem: Problem) -> bool:
    return problem.name.endswith("/cost_and_usage/accepted")


def _delivered(connection: str, month: str, data_dir: DataDir) -> str:
    """What the month's current delivery consists of, in a sentence; "" where it is not staged."""
    token = current_token(connection, month, data_dir)
    staged = token and staged_month(connection, month, token, data_dir)
    if not staged:
        return ""
    files = f"{len(staged.files):,} file{'' if len(staged.files) == 1 else 's'}"
    costs = [f"{Decimal(one.billed_cost):,.2f} {one.currency or 'without currency'}" for one in staged.totals]
    billed = f", BilledCost {' and '.join(costs)}" if costs else ""
    return f"Delivered: {files}; what can be read of it is {staged.rows:,} rows{billed}."


def _name(check: dg.AssetCheckKey) -> str:
    return f"{check.asset_key.to_user_string()}/{check.name}"


def _is_of(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _run_page(run_id: str) -> str:
    return f"/runs/{run_id}" if run_id else ""
