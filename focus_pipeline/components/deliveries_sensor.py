"""The sensor of one connection: lists, compares tokens, asks for one run per changed month."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import dagster as dg

from focus_pipeline.components import names
from focus_pipeline.components.ingestion import named_failures
from focus_pipeline.components.runs import attempt_of, ended_at, latest_run, why_it_failed
from focus_pipeline.connections.delivery import Connection, Discovery, NoBillingPeriods
from focus_pipeline.connections.store_errors import NotFound
from focus_pipeline.machine import MachineFault
from focus_pipeline.months import in_words, not_loaded_by_itself
from focus_pipeline.pipeline.plan import delivery_of, quiet_until, standing, watched_months
from focus_pipeline.records.landed import current_token, held_months, record_shown, shown_token
from focus_pipeline.records.looks import record_failed_look, record_look
from focus_pipeline.secrets_filter import without_secrets
from focus_pipeline.settings import load_settings
from focus_pipeline.storage import DataDir

# A delivery whose run failed before it was judged is asked for again after these waits, and then left to people.
RETRY_AFTER = (timedelta(minutes=15), timedelta(hours=2))


@dataclass(frozen=True)
class Shown:
    """What the provider shows of a month. since: when that was first seen, UTC: one that comes back has a new one.

    settled: the landed delivery for which nothing more is to be done, by its token; "" while something is.
    """

    token: str
    since: str
    settled: str = ""


@dataclass(frozen=True)
class State:
    """Where a delivery stands. settled: nothing more is to be done for its token. words: for the skip reason."""

    settled: bool
    words: str
    attempt: int | None = None
    """Set where a run is to be asked for."""
    accepts_loss: bool = False
    """Whether that run takes what is held back for its losses."""


def deliveries_sensor(
    connection: Connection,
    job: dg.JobDefinition,
    lookback_months: int,
    interval_seconds: int,
    data_dir: DataDir,
) -> dg.SensorDefinition:
    """Looks at the months of the look-back and at every month already held, for an old bill can be restated.

    The cursor holds the token of each month, and since when it is shown, until it is settled: accepted or rejected.
    """
    name = connection.name

    @dg.sensor(
        name=f"{name}_deliveries",
        job=job,
        minimum_interval_seconds=interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Looks at what {name} delivers, without fetching it, and loads each month that changed.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        held = held_months(name, data_dir)
        watched = watched_months(held, lookback_months, names.monthly().get_first_partition_key())
        with named_failures(name), failed_looks_recorded(name, data_dir):
            try:
                discovery = connection.discover(watched)
            except NoBillingPeriods as error:
                record_failed_look(name, str(error), data_dir)
                return dg.SensorResult(skip_reason=f"{name}: {error}", cursor=context.cursor)
            except NotFound:
                if not getattr(connection, "url", "").startswith(str(data_dir.demo)):
                    raise
                waiting = f"{name} is a connection of the demo: `make demo` makes what it delivers"
                return dg.SensorResult(skip_reason=waiting, cursor=context.cursor)
            # Where the partitions begin by themselves, from when the code location is loaded next.
            record_shown(name, discovery.months, data_dir)
            record_look(name, discovery.held_back, data_dir)
        former = _shown(context.cursor)
        shown: dict[str, Shown] = {}
        requests: list[dg.RunRequest] = []
        seen: dict[str, list[str]] = {}
        for month in watched:
            if month in former:
                shown[month] = former[month]
            if month in discovery.held_back:
                seen.setdefault(discovery.held_back[month], []).append(month)
                continue
            if month not in discovery.deliveries and month not in held:
                continue
            delivery = delivery_of(month, discovery, connection, lookback_months, data_dir)
            if delivery is None:
                seen.setdefault("no longer shown whole by the provider and kept", []).append(month)
                continue
            current = current_token(name, month, data_dir)
            if month not in former or _is_another(former[month], delivery.token, current):
                shown[month] = Shown(delivery.token, datetime.now(UTC).isoformat(timespec="milliseconds"))
            if shown[month].settled:
                seen.setdefault("unchanged", []).append(month)
                continue
            since = datetime.fromisoformat(shown[month].since)
            if (until := quiet_until(connection, delivery, since, data_dir)) > datetime.now(UTC):
                words = f"changed a short while ago, taken once unchanged until {until:%Y-%m-%d %H:%M} UTC"
                seen.setdefault(words, []).append(month)
                continue
            state = _state(context.instance, name, month, shown[month], data_dir)
            seen.setdefault(state.words, []).append(month)
            if state.settled:
                shown[month] = replace(shown[month], settled=current)
            if state.attempt is not None:
                requests.append(_run_request(name, month, shown[month], state))
        start_month = names.monthly().get_first_partition_key()
        for month in discovery.months:
            if month not in watched:
                seen.setdefault(not_loaded_by_itself(month, start_month), []).append(month)
        summary = _in_words(name, discovery, seen)
        context.log.info(summary)
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else summary,
            cursor=_cursor(shown),
        )

    return sensor


@contextmanager
def failed_looks_recorded(name: str, data_dir: DataDir) -> Iterator[None]:
    """What fails in the block is recorded, and raised."""
    try:
        yield
    except Exception as error:
        with suppress(MachineFault, OSError):  # what failed first is what is to be told
            record_failed_look(name, without_secrets(str(error)), data_dir)
        raise


def _is_another(former: Shown, token: str, current: str | None) -> bool:
    """Whether the provider shows another delivery than it did, or what was landed of it is not what was settled."""
    return former.token != token or bool(former.settled and former.settled != current)


def _state(instance: dg.DagsterInstance, name: str, month: str, shown: Shown, data_dir: DataDir) -> State:
    stands = standing(name, month, shown.token, data_dir)
    if stands.verdict is False:
        return State(True, "rejected, see its checks; waiting for a new delivery")
    # Of a connection that was renamed the UI shows nothing yet.
    if stands.accepted and _is_materialised(instance, name, month):
        return State(True, "accepted")
    job, of_delivery = f"{name}_ingest", {names.DELIVERY_TAG: shown.token}
    run = latest_run(instance, job, month, of_delivery)
    if run is not None and not run.dagster_run.is_finished:
        return State(False, "being loaded")
    run = latest_run(instance, job, month, of_delivery | {names.SINCE_TAG: shown.since})
    if run is None:
        return State(False, "new or changed, run requested", attempt=1)
    attempt = attempt_of(run)
    if stands.lost:
        return _after_loss(name, month, shown, stands.lost, attempt)
    why = why_it_failed(instance, run)
    if attempt > len(RETRY_AFTER):
        return State(
            False, f"failed {attempt} times before it was judged{why}; materialise it in the UI once it is mended"
        )
    again = ended_at(run) + RETRY_AFTER[attempt - 1]
    if datetime.now(UTC) < again:
        return State(False, f"failed, next attempt after {again:%Y-%m-%d %H:%M} UTC{why}")
    return State(False, f"failed, attempt {attempt + 1} requested{why}", attempt=attempt + 1)


def _is_materialised(instance: dg.DagsterInstance, name: str, month: str) -> bool:
    of_month = dg.AssetRecordsFilter(asset_key=names.cost_and_usage(name), asset_partitions=[month])
    return bool(instance.fetch_materializations(of_month, limit=1).records)


def _after_loss(name: str, month: str, shown: Shown, lost: str, attempt: int) -> State:
    """Whoever exports a month anew may have begun by deleting it: what is still so after a while is meant."""
    due = datetime.fromisoformat(shown.since) + timedelta(hours=load_settings().loss_wait_hours)
    if datetime.now(UTC) >= due:
        return State(False, f"shown unchanged although {lost}; accepted, run requested", attempt + 1, True)
    return State(
        False,
        f"held back: {lost}; taken if it is still so at {due:%Y-%m-%d %H:%M} UTC, or by `focus-pipeline accept {name} "
        f"{month}`",
    )


def _run_request(name: str, month: str, shown: Shown, state: State) -> dg.RunRequest:
    tags = {
        names.DELIVERY_TAG: shown.token,
        names.SINCE_TAG: shown.since,
        names.ATTEMPT_TAG: str(state.attempt),
    }
    return dg.RunRequest(
        # A key is never asked for twice, even when its run failed: so the attempt is part of it, and since when.
        run_key=f"{name}/{month}/{shown.token}/{shown.since}/{state.attempt}",
        partition_key=month,
        tags=tags | ({names.ACCEPT_LOSS_TAG: shown.token} if state.accepts_loss else {}),
    )


def _shown(cursor: str | None) -> dict[str, Shown]:
    """What the cursor holds, by month. One that cannot be read costs a look at the runs, not a second load."""
    try:
        content = json.loads(cursor or "{}")
        return {month: _read(written) for month, written in content.items()}
    except (ValueError, AttributeError, TypeError, KeyError):
        return {}


def _read(written: str | Mapping[str, str]) -> Shown:
    if isinstance(written, str):
        return Shown(shown_token(written), "", settled=written)
    return Shown(written["token"], written["since"])


def _cursor(shown: Mapping[str, Shown]) -> str:
    """Of what is settled the token alone, that of what was landed."""
    content = {month: one.settled or {"token": one.token, "since": one.since} for month, one in shown.items()}
    return json.dumps(content, sort_keys=True)


def _in_words(name: str, discovery: Discovery, seen: dict[str, list[str]]) -> str:
    parts = [f"{in_words(months)} {words}" for words, months in seen.items()] or ["no month within the look-back"]
    ignored = len(discovery.ignored)
    aside = f"; {ignored} objects ignored, `focus-pipeline check {name}` says why" if ignored else ""
    cost = f"; {discovery.cost}" if discovery.cost else ""
    return f"{name}: in {discovery.looked_in}: {'; '.join(parts)}{aside}{cost}"
