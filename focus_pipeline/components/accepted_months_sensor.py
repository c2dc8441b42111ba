"""The sensor of the unified table: publishes what is accepted, whichever run, backfill or command had it judged."""

import hashlib
import json
from datetime import UTC, datetime, timedelta

import dagster as dg

from focus_pipeline.components import names
from focus_pipeline.components.runs import attempt_of, ended_at, latest_run, why_it_failed
from focus_pipeline.months import in_words
from focus_pipeline.records.accepted import accepted_delivery
from focus_pipeline.records.landed import connections_with, months_by_connection
from focus_pipeline.storage import DataDir

# Publishing fails where somebody holds the warehouse file: it is asked for again for as long as that lasts.
RETRY_AFTER = timedelta(minutes=5)

_PUBLISHED = "published"


def accepted_months_sensor(job: dg.JobDefinition, data_dir: DataDir) -> dg.SensorDefinition:
    """Asks for one run per month of which something else is accepted than the table shows.

    The cursor holds what is accepted of each month that is published, as a fingerprint.
    """

    @dg.sensor(
        name="focus_accepted_months",
        job=job,
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Publishes each month of which a delivery was accepted, whichever run had it judged.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        published = _published(context.cursor)
        requests: list[dg.RunRequest] = []
        seen: dict[str, list[str]] = {}
        partitions = set(names.monthly().get_partition_keys())
        for month in sorted({month for _, month in months_by_connection(data_dir)} & partitions):
            accepted = accepted_fingerprint(month, data_dir)
            if not accepted:
                continue
            words, attempt = _PUBLISHED, 0
            if published.get(month) != accepted:
                words, attempt = _state(context.instance, job.name, month, accepted)
            if words == _PUBLISHED:
                published[month] = accepted
            if attempt:
                requests.append(_run_request(month, accepted, attempt))
            seen.setdefault(words, []).append(month)
        summary = (
            "; ".join(f"{in_words(months)} {words}" for words, months in seen.items()) or "nothing is accepted yet"
        )
        context.log.info(summary)
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else summary,
            cursor=json.dumps(published, sort_keys=True),
        )

    return sensor


def accepted_fingerprint(month: str, data_dir: DataDir) -> str:
    """Changes with what is accepted of a month, over all connections, and with the code that it was staged by; "" where
    nothing is accepted.
    """
    accepted = []
    for name in connections_with(month, data_dir):
        if (delivery := accepted_delivery(name, month, data_dir)) is not None:
            accepted.append([name, delivery.token, delivery.identity])
    return hashlib.sha256(json.dumps(accepted).encode()).hexdigest()[:12] if accepted else ""


def _state(instance: dg.DagsterInstance, job: str, month: str, accepted: str) -> tuple[str, int]:
    """Where the publishing of a month stands, in words; and the attempt to ask for, 0 for none."""
    shown = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=names.UNIFIED, asset_partitions=[month]), limit=1
    ).records
    if shown and (told := shown[0].asset_materialization.metadata.get(names.ACCEPTED_TAG)) and told.value == accepted:
        return _PUBLISHED, 0
    run = latest_run(instance, job, month, {names.ACCEPTED_TAG: accepted})
    if run is None:
        return "accepted, run requested", 1
    if not run.dagster_run.is_finished:
        return "being published", 0
    why = why_it_failed(instance, run)
    if run.dagster_run.is_success or datetime.now(UTC) >= ended_at(run) + RETRY_AFTER:
        return f"accepted and not published yet{why}; run requested", attempt_of(run) + 1
    return f"accepted and not published yet{why}; next attempt after {ended_at(run) + RETRY_AFTER:%H:%M} UTC", 0


def _run_request(month: str, accepted: str, attempt: int) -> dg.RunRequest:
    return dg.RunRequest(
        # A key is never asked for twice, even when its run failed.
        run_key=f"{month}/{accepted}/{attempt}",
        partition_key=month,
        tags={names.ACCEPTED_TAG: accepted, names.ATTEMPT_TAG: str(attempt)},
    )


def _published(cursor: str | None) -> dict[str, str]:
    """What the cursor holds. One that cannot be read costs a look at the materialisations, not a second run."""
    try:
        return dict(json.loads(cursor or "{}"))
    except (ValueError, TypeError):
        return {}
