"""Runs a job in this process, as a command does."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from focus_pipeline.files import make_folder
from focus_pipeline.months import in_words
from focus_pipeline.settings import PROJECT_ROOT

if TYPE_CHECKING:
    import dagster as dg


def failure_of_run(
    job: str,
    months: Sequence[str],
    definitions: "dg.Definitions",
    instance: "dg.DagsterInstance",
    tags: Mapping[str, str] | None = None,
) -> str:
    """Runs a job for months that follow one another, in this process; the sentence of the step that failed, "" where
    none did.
    """
    from focus_pipeline.components.names import range_tags
    from focus_pipeline.run_workers import hold_lock

    # What Dagster would write to the terminal is in the UI too.
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    logging.getLogger("focus_pipeline").propagate = False
    # Of a command that is killed, the next run finds it out by this.
    hold_lock(instance, run_id := str(uuid4()))
    run = definitions.resolve_job_def(job).execute_in_process(
        run_id=run_id,
        instance=instance,
        run_config=quiet,
        tags={**(tags or {}), **range_tags(months[0], months[-1])},
        raise_on_error=False,
    )
    if run.success:
        return ""
    failures = [event.step_failure_data for event in run.all_events if event.is_step_failure]
    described = [data.user_failure_data.description for data in failures if data.user_failure_data is not None]
    return next(filter(None, described), f"{job} of {in_words(months)} failed; its run {run_id} in the UI says why")


@contextmanager
def dagster_instance() -> "Iterator[dg.DagsterInstance]":
    """The instance of DAGSTER_HOME, which is .dagster/ in the project where it is not set, as `make dev` has it."""
    import dagster as dg

    if "DAGSTER_HOME" not in os.environ:
        home = PROJECT_ROOT / ".dagster"
        make_folder(home)
        if not (home / "dagster.yaml").exists():
            (home / "dagster.yaml").symlink_to(PROJECT_ROOT / "dagster.yaml")
        os.environ["DAGSTER_HOME"] = str(home)
    with dg.DagsterInstance.get() as instance:
        yield instance
