"""What sensors ask of earlier runs."""

from collections.abc import Mapping
from datetime import UTC, datetime

import dagster as dg

from focus_pipeline.components import names


def latest_run(
    instance: dg.DagsterInstance, job: str, month: str | None, tags: Mapping[str, str]
) -> dg.RunRecord | None:
    """The latest run of a job for the month, or for any, with these tags, None where there is none."""
    of_month = {"dagster/partition": month} if month else {}
    wanted = dg.RunsFilter(job_name=job, tags={**of_month, **tags})
    return next(iter(instance.get_run_records(wanted, limit=1, order_by="id", ascending=False)), None)


def attempt_of(run: dg.RunRecord) -> int:
    """Which attempt of its sensor a run is, from 1."""
    return int(run.dagster_run.tags.get(names.ATTEMPT_TAG, "1"))


def ended_at(run: dg.RunRecord) -> datetime:
    """When a run ended, UTC; of one that never ran, when it was made."""
    return datetime.fromtimestamp(run.end_time or run.create_timestamp.timestamp(), UTC)


def why_it_failed(instance: dg.DagsterInstance, run: dg.RunRecord) -> str:
    """The sentence with which a step of the run failed, in brackets; "" where there is none."""
    said = sentence_of_failure(instance, run)
    return f" ({said})" if said else ""


def sentence_of_failure(instance: dg.DagsterInstance, run: dg.RunRecord) -> str:
    """The sentence with which a step of the run failed; "" where there is none."""
    failures = instance.get_records_for_run(
        run.dagster_run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE, limit=1
    ).records
    for record in failures:
        failed = record.event_log_entry.dagster_event.step_failure_data
        if failed.user_failure_data is not None and failed.user_failure_data.description:
            return failed.user_failure_data.description
    return ""


def last_words(instance: dg.DagsterInstance, run: dg.RunRecord) -> str:
    """What Dagster says of a failed run that no sentence of a step explains."""
    for kind in (dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE):
        for record in instance.get_records_for_run(run.dagster_run.run_id, of_type=kind, limit=1).records:
            event = record.event_log_entry.dagster_event
            error = getattr(event.event_specific_data, "error", None)
            while error is not None and error.cause is not None:
                error = error.cause
            if said := (error and error.message) or event.message:
                return " ".join(said.split())
    return "it does not say why"
