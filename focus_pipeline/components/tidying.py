"""The job and the schedule that keep landing/ and staged/ from growing without end."""

import dagster as dg

from focus_pipeline.pipeline.tidy import tidy
from focus_pipeline.settings import load_settings
from focus_pipeline.warehouse.warehouse import warehouse_of


@dg.op(description="Removes superseded deliveries; the log says what.")
def remove_superseded(context: dg.OpExecutionContext) -> None:
    settings = load_settings()
    sizes = [removed.size for removed in tidy(settings.storage, settings.kept_deliveries)]
    warehouse = warehouse_of(settings.storage)
    for said in warehouse.tidy() if warehouse.exists() else ():
        context.log.info(said)
    context.log.info(f"{len(sizes):,} removed, {sum(sizes):,} bytes")


@dg.job(name="focus_tidy", description="Removes deliveries that were superseded, but the last few of each month.")
def tidy_job() -> None:
    remove_superseded()


tidy_schedule = dg.ScheduleDefinition(
    name="focus_tidy_nightly",
    job=tidy_job,
    cron_schedule="17 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night, when few bills arrive.",
)
