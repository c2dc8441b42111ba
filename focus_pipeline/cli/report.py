"""The command `focus-pipeline report`."""

import click

from focus_pipeline.cli.command import connection_tree, console, load_connections, main, warehouse_in_words
from focus_pipeline.files import keep_files_private
from focus_pipeline.months import is_month
from focus_pipeline.settings import load_settings


@main.command()
@click.option("--month", help="YYYY-MM. Default: the newest month that is over.")
def report(month: str | None) -> None:
    """Writes the report of a month: one HTML page with costs, movers, AI, savings and the status of every month."""
    from focus_pipeline.components.mart import marts
    from focus_pipeline.month_report.report import NothingToReport, ReportBroken
    from focus_pipeline.month_report.writing import write_month

    if month is not None and not is_month(month):
        raise click.UsageError(f"--month is {month!r}; write it as 2025-03")
    keep_files_private()
    components, not_loaded = load_connections()
    with warehouse_in_words():
        try:
            path = write_month(month, marts(connection_tree()), [*components, *not_loaded], load_settings().storage)
        except (NothingToReport, ReportBroken) as error:
            raise click.ClickException(str(error)) from error
    console.print(str(path), highlight=False, soft_wrap=True)
