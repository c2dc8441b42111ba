"""The sensor of one connection: lists, compares tokens, asks for one run per changed month."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from focus_pipeline.components import names
from focus_pipeline.components.ingestion import delivery_of, named_failures
from focus_pipeline.connections.delivery import Connection, Discovery, NoBillingPeriods
from focus_pipeline.months import current_month, months_back
from focus_pipeline.pipeline.check import verdict_on
from focus_pipeline.pipeline.data_dir import DataDir

DELIVERY_TAG = "focus_pipeline/delivery"
ATTEMPT_TAG = "focus_pipeline/attempt"

# A delivery whose run failed before it was judged is asked for again after these waits, and then left to people.
RETRY_AFTER = (timedelta(minutes=15), timedelta(hours=2))


@dataclass(frozen=True)
class State:
    """Where a delivery stands. settled: nothing more is to be done for its token. words: for the skip reason."""

    settled: bool
    words: str
    attempt: int | None = None
    """Set where a run is to be asked for."""


def deliveries_sensor(
    connection: Connection,
    job: dg.JobDefinition,
    lookback_months: int,
    interval_seconds: int,
    data_dir: DataDir,
) -> dg.SensorDefinition:
    """Looks at the months of the look-back and at every month already held, for an old bill can be restated.

    The cursor holds one token per month: that of the delivery which is settled (published, or judged and rejected).
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
        recent = months_back(current_month(), lookback_months)
        first = names.monthly().get_first_partition_key()
        watched = [m for m in sorted({*recent, *data_dir.held_months(name)}) if m >= first]
        with named_failures(name):
            try:
                discovery = connection.discover(watched)
            except NoBillingPeriods as error:
                return dg.SensorResult(skip_reason=f"{name}: {error}", cursor=context.cursor)
        settled = _tokens(context.cursor)
        requests: list[dg.RunRequest] = []
        seen: dict[str, list[str]] = {}
        for month in watched:
            if month in discovery.held_back:
                seen.setdefault(discovery.held_back[month], []).append(month)
                continue
            if month not in discovery.deliveries and month not in data_dir.held_months(name):
                continue
            delivery = delivery_of(month, discovery, connection, lookback_months, data_dir)
            if delivery is None:
                seen.setdefault("no longer shown whole by the provider and kept", []).append(month)
                continue
            if settled.get(month) == delivery.token:
                seen.setdefault("unchanged", []).append(month)
                continue
            state = _state(context.instance, name, month, delivery.token, data_dir)
            seen.setdefault(state.words, []).append(month)
            if state.settled:
                settled[month] = delivery.token
            if state.attempt is not None:
                requests.append(_run_request(name, month, delivery.token, state.attempt))
        older = [m for m in discovery.months if m not in watched]
        if older:
            seen["before the look-back (load them with a backfill)"] = older
        summary = _in_words(name, discovery, seen)
        context.log.info(summary)
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else summary,
            cursor=json.dumps(settled, sort_keys=True),
        )

    return sensor


def _state(instance: dg.DagsterInstance, name: str, month: str, token: str, data_dir: DataDir) -> State:
    accepted = verdict_on(name, month, token, data_dir)
    if accepted is False:
        return State(True, "rejected, see its checks; waiting for a new delivery")
    if accepted and _published_token(instance, name, month) == token:
        return State(True, "published")
    runs = instance.get_run_records(
        dg.RunsFilter(tags={DELIVERY_TAG: _delivery_id(name, month, token)}), limit=1, order_by="id", ascending=False
    )
    if not runs:
        return State(False, "new or changed, run requested", attempt=1)
    last = runs[0]
    if not last.dagster_run.is_finished:
        return State(False, "being loaded")
    attempt = int(last.dagster_run.tags.get(ATTEMPT_TAG, "1"))
    if attempt > len(RETRY_AFTER):
        return State(False, f"failed {attempt} times before it was judged; materialise it in the UI once it is mended")
    ended = datetime.fromtimestamp(last.end_time or last.create_timestamp.timestamp(), UTC)
    if datetime.now(UTC) < ended + RETRY_AFTER[attempt - 1]:
        return State(False, f"failed, next attempt after {ended + RETRY_AFTER[attempt - 1]:%Y-%m-%d %H:%M} UTC")
    return State(False, f"failed, attempt {attempt + 1} requested", attempt=attempt + 1)


def _published_token(instance: dg.DagsterInstance, name: str, month: str) -> str | None:
    """The token that the latest publishing of the month showed, from its own metadata: the warehouse stays closed."""
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=names.UNIFIED, asset_partitions=[month]), limit=1
    ).records
    if not records:
        return None
    tokens = records[0].asset_materialization.metadata.get("Tokens")
    return tokens.value.get(name) if tokens else None


def _run_request(name: str, month: str, token: str, attempt: int) -> dg.RunRequest:
    return dg.RunRequest(
        # The attempt is part of the key: a key is never asked for twice, even when its run failed.
        run_key=f"{_delivery_id(name, month, token)}/{attempt}",
        partition_key=month,
        tags={DELIVERY_TAG: _delivery_id(name, month, token), ATTEMPT_TAG: str(attempt)},
    )


def _delivery_id(name: str, month: str, token: str) -> str:
    return f"{name}/{month}/{token}"


def _tokens(cursor: str | None) -> dict[str, str]:
    """The cursor's tokens by month. One that cannot be read costs a look at the runs, not a second load."""
    try:
        content = json.loads(cursor or "{}")
    except json.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}


def _in_words(name: str, discovery: Discovery, seen: dict[str, list[str]]) -> str:
    parts = [f"{_months(months)} {words}" for words, months in seen.items()] or ["no month within the look-back"]
    ignored = len(discovery.ignored)
    aside = f"; {ignored} objects ignored, `focus-pipeline check {name}` says why" if ignored else ""
    cost = f"; {discovery.cost}" if discovery.cost else ""
    return f"{name}: in {discovery.looked_in}: {'; '.join(parts)}{aside}{cost}"


def _months(months: list[str]) -> str:
    return ", ".join(months) if len(months) <= 3 else f"{months[0]} … {months[-1]} ({len(months)} months)"
