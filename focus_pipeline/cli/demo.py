"""The command `focus-pipeline demo`."""

import sys
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from focus_pipeline.cli.command import console, main
from focus_pipeline.cli.runs import dagster_instance, failure_of_run
from focus_pipeline.files import keep_files_private
from focus_pipeline.machine import MachineFault
from focus_pipeline.months import current_month, in_words, months_back, runs_of_months
from focus_pipeline.settings import load_settings
from focus_pipeline.warehouse.faults import WarehouseUnusable
from focus_pipeline.warehouse.warehouse import Warehouse, warehouse_of

if TYPE_CHECKING:
    from focus_pipeline.demo.deliveries import DemoDelivery

# The demo's months: the running one and these many before it.
DEMO_MONTHS_BACK = 5


@main.command()
def demo() -> None:
    """Generates deliveries for several connections, ingests them with Dagster, and prints what the table holds."""
    # Loaded here: Dagster takes a second that `check --help` need not wait for.
    from focus_pipeline.demo.deliveries import write_deliveries

    settings = load_settings()
    keep_files_private()
    months = months_back(current_month(), DEMO_MONTHS_BACK)
    with _progress() as progress:
        task = progress.add_task("writing deliveries", total=1)
        deliveries = write_deliveries(settings.storage.demo, months, with_late_invoice=False)
        progress.update(task, completed=1)
        task = progress.add_task("starting Dagster", total=1)
        failed = _ingest(deliveries, lambda: write_deliveries(settings.storage.demo, months), progress, task)
    try:
        _print_summary(warehouse_of(settings.storage))
    except (WarehouseUnusable, MachineFault, FileNotFoundError) as error:
        raise click.ClickException(str(error)) from error
    if failed:
        console.print(f"[red]Not loaded:[/] {'; '.join(failed)}")
        sys.exit(1)


def _ingest(
    deliveries: "Collection[DemoDelivery]",
    redeliver: "Callable[[], Collection[DemoDelivery]]",
    progress: Progress,
    starting: TaskID,
) -> list[str]:
    """Runs `<connection>_ingest` for every connection, `focus_publish` and `focus_marts`, as backfills would.

    redeliver: writes the deliveries as they are some days later; months that are restated are loaded and published
    again. Returns what failed.
    """
    from focus_pipeline.components.ingestion import MONTHS_PER_RUN
    from focus_pipeline.definitions import defs

    definitions = defs()
    failed = []
    with dagster_instance() as instance:
        progress.update(starting, completed=1)
        task = progress.add_task("", total=None)

        def run(jobs: list[tuple[str, set[str]]]) -> None:
            for job, found in jobs:
                for some in runs_of_months(found, MONTHS_PER_RUN):
                    progress.update(task, description=f"{job} {in_words(some)}")
                    if why := failure_of_run(job, some, definitions, instance):
                        failed.append(why)
                    progress.advance(task)

        months: dict[str, set[str]] = {}
        for delivery in deliveries:
            months.setdefault(delivery.connection, set()).add(delivery.month)
        of_all = set().union(*months.values())
        run([*((f"{name}_ingest", found) for name, found in months.items()), ("focus_publish", of_all)])
        for one in set(redeliver()) - set(deliveries):
            run([(f"{one.connection}_ingest", {one.month}), ("focus_publish", {one.month})])
        run([("focus_marts", of_all)])
        progress.update(task, description="ingested, published and computed", total=progress.tasks[task].completed)
    return failed


def _print_summary(where: Warehouse) -> None:
    from focus_pipeline.connection_check import line
    from focus_pipeline.demo.summary import ai_costs, largest_movers, summarise

    # The running month is not over: against the one before it, everything has become cheaper.
    before, closed = months_back(current_month(), 2)[:2]
    with where.reading() as warehouse:
        summary = summarise(warehouse)
        movers = largest_movers(warehouse, closed)
        of_ai = ai_costs(warehouse)
        rejected = warehouse.execute("SELECT Connection, Month, File, Reason FROM focus.rejected_files").fetchall()
    _print_costs("By provider", ("provider",), [((row.provider,), row) for row in summary.providers])
    _print_costs("By month", ("month",), [((row.month,), row) for row in summary.months])
    _print_costs(
        "Services with the highest EffectiveCost",
        ("provider", "service"),
        [((row.provider, row.service), row) for row in summary.services],
    )
    table = _table("What AI costs (marts.ai_costs)", "model", "counted")
    for name in ("quantity", "EffectiveCost", "1M tokens"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in of_ai:
        counted = row.direction if row.unit in ("tokens", None) else f"{row.direction}, {row.unit}"
        quantity = "" if row.quantity is None else f"{row.quantity:,.0f}"
        price = "" if row.per_million is None else f"{row.per_million:,.2f}"
        table.add_row(row.model or "", counted, row.currency, quantity, f"{row.effective_cost:,.2f}", price)
    console.print()
    console.print(table)
    table = _table(f"What moved most from {before} to {closed} (marts.movers)", "provider", "service", "sub-account")
    for name in ("change", "by quantity", "by price"):
        table.add_column(name, justify="right", no_wrap=True)
    for mover in movers:
        parts = (mover.change, mover.quantity_change, mover.price_change)
        amounts = ("" if part is None else f"{part:+,.2f}" for part in parts)
        named = (mover.provider, mover.service, mover.sub_account)
        table.add_row(*(part or "(none)" for part in named), mover.currency, *amounts)
    console.print()
    console.print(table)
    for connection, month, file, reason in rejected:
        line(None, f"{connection} {month}: {file} is rejected and the rest of the month loaded: {reason}")
    report = load_settings().storage.report(closed)
    if report.exists():
        console.print(f"\nThe report of {closed}: [bold]{report}[/]", highlight=False, soft_wrap=True)
    console.print(
        "\ngoogle_main was read from files such as BigQuery's EXPORT DATA writes, not from BigQuery."
        f"\nThe table is focus.cost_and_usage in {where.place}; schema marts beside it has the answers.\n"
        "Next: [bold]make dev[/] opens the Dagster UI on http://localhost:3000, with assets, months, checks and "
        "sensors;\nREADME.md says how to connect a bucket of your own and how to query the table.",
        highlight=False,
        soft_wrap=True,
    )


def _print_costs(title: str, names: tuple[str, ...], rows: list) -> None:
    table = _table(title, *names)
    for name in ("rows", "BilledCost", "EffectiveCost"):
        table.add_column(name, justify="right", no_wrap=True)
    for key, row in rows:
        costs = (f"{row.rows:,}", f"{row.billed_cost:,.2f}", f"{row.effective_cost:,.2f}")
        table.add_row(*(part or "(none)" for part in key), row.currency, *costs)
    console.print()
    console.print(table)


def _table(title: str, *names: str) -> Table:
    """A table with these columns, and one for the currency."""
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1), header_style="bold")
    for name in names:
        table.add_column(name)
    table.add_column("currency", no_wrap=True)
    return table


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description:<42}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )
