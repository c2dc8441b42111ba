"""The sensor of the unified table: publishes what is accepted, whichever run, backfill or command had it judged."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import dagster as dg

from focus_pipeline.components import names
from focus_pipeline.components.runs import attempt_of, ended_at, latest_run, why_it_failed
from focus_pipeline.months import in_words, runs_of_months
from focus_pipeline.records.landed import months_by_connection
from focus_pipeline.records.published import Published, fingerprint_of, published
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse.warehouse import warehouse_of

# Publishing fails where somebody holds the warehouse file: it is asked for again for as long as that lasts.
RETRY_AFTER = timedelta(minutes=5)

_PUBLISHED = "published"


def accepted_months_sensor(job: dg.JobDefinition, data_dir: DataDir, months_per_run: int) -> dg.SensorDefinition:
    """Requests the publication of every month whose accepted deliveries or verdicts differ from the warehouse's.

    One run takes up to `months_per_run` consecutive months. The cursor holds a fingerprint of what is published of each
    month.
    """

    @dg.sensor(
        name="focus_accepted_months",
        job=job,
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Publishes every month that a run, a backfill or a command has judged.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        known = _known(context.cursor)
        due: dict[int, dict[str, str]] = {}
        seen: dict[str, list[str]] = {}
        partitions = set(names.monthly().get_partition_keys())
        for month in sorted({month for _, month in months_by_connection(data_dir)} & partitions):
            fingerprint = fingerprint_of(month, data_dir)
            if not fingerprint:
                continue
            words, attempt = _PUBLISHED, 0
            if known.get(month) != fingerprint:
                words, attempt = _state(context.instance, job.name, month, fingerprint, data_dir)
            if words == _PUBLISHED:
                known[month] = fingerprint
            if attempt:
                due.setdefault(attempt, {})[month] = fingerprint
            seen.setdefault(words, []).append(month)
        requests = [
            _run_request({month: found[month] for month in months}, attempt)
            for attempt, found in due.items()
            for months in runs_of_months(found, months_per_run)
        ]
        summary = "; ".join(f"{in_words(months)} {words}" for words, months in seen.items()) or "nothing is judged yet"
        context.log.info(summary)
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else summary,
            cursor=json.dumps(known, sort_keys=True),
        )

    return sensor


def _state(instance: dg.DagsterInstance, job: str, month: str, fingerprint: str, data_dir: DataDir) -> tuple[str, int]:
    """Where the publishing of a month stands, in words; and the attempt to ask for, 0 for none."""
    due = Published(warehouse=warehouse_of(data_dir).place, fingerprint=fingerprint)
    if published(month, data_dir) == due and _is_materialised(instance, month):
        return _PUBLISHED, 0
    run = latest_run(instance, job, None, {names.published_tag(month): fingerprint})
    if run is None:
        return "judged, run requested", 1
    if not run.dagster_run.is_finished:
        return "being published", 0
    why = why_it_failed(instance, run)
    if run.dagster_run.is_success or datetime.now(UTC) >= ended_at(run) + RETRY_AFTER:
        return f"judged and not published yet{why}; run requested", attempt_of(run) + 1
    return f"judged and not published yet{why}; next attempt after {ended_at(run) + RETRY_AFTER:%H:%M} UTC", 0


def _is_materialised(instance: dg.DagsterInstance, month: str) -> bool:
    of_month = dg.AssetRecordsFilter(asset_key=names.UNIFIED, asset_partitions=[month])
    return bool(instance.fetch_materializations(of_month, limit=1).records)


def _run_request(found: Mapping[str, str], attempt: int) -> dg.RunRequest:
    """found: month -> fingerprint, of months that follow one another."""
    first, last = min(found), max(found)
    tags = {names.published_tag(month): fingerprint for month, fingerprint in found.items()}
    return dg.RunRequest(
        # A key is never asked for twice, even when its run failed.
        run_key="/".join([first, last, *found.values(), str(attempt)]),
        tags=tags | names.range_tags(first, last) | {names.ATTEMPT_TAG: str(attempt)},
    )


def _known(cursor: str | None) -> dict[str, str]:
    """Month -> what was published of it. A cursor that cannot be read costs a look at the materialisations."""
    try:
        return dict(json.loads(cursor or "{}"))
    except (ValueError, TypeError):
        return {}
