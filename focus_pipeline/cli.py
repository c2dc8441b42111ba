"""The command `focus-pipeline`: check a connection before it is switched on, validate files, and the demo."""

import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import click
from dotenv import load_dotenv
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from focus_pipeline.connections.auth import S3Auth
from focus_pipeline.connections.aws_data_export import AwsDataExport
from focus_pipeline.connections.delivery import Connection, Delivery, Discovery, NoBillingPeriods
from focus_pipeline.connections.store_urls import InvalidUrl
from focus_pipeline.connections.stores import StoreError
from focus_pipeline.months import current_month, months_back
from focus_pipeline.pipeline.check import judge
from focus_pipeline.pipeline.data_dir import DataDir
from focus_pipeline.pipeline.land import current_token, land
from focus_pipeline.pipeline.normalise import stage
from focus_pipeline.settings import PROJECT_ROOT, load_settings
from focus_pipeline.warehouse import WarehouseLocked, open_warehouse

# The demo's months: the running one and these many before it.
DEMO_MONTHS_BACK = 5

console = Console()


@click.group()
def main() -> None:
    """FOCUS cost files of every provider in one exact DuckDB table."""
    load_dotenv(PROJECT_ROOT / ".env")


@main.command()
@click.argument("connection", required=False)
def check(connection: str | None) -> None:
    """Tries CONNECTION, or every connection, without loading anything.

    Credentials, listing, reading one object, the months found, what would be ignored and why, and what would be
    loaded. Exit status 1 when a connection cannot be used.
    """
    components = _connection_components()
    if connection is not None and connection not in components:
        known = ", ".join(components) or "none yet; `dg scaffold defs focus_pipeline.MonthFolders NAME` makes one"
        raise click.ClickException(f"there is no connection {connection!r}. Connections: {known}")
    names = [connection] if connection else list(components)
    if not names:
        console.print("There is no connection yet. `dg scaffold defs focus_pipeline.MonthFolders NAME` makes one.")
    usable = [_check_connection(components[name]) for name in names]
    sys.exit(0 if all(usable) else 1)


def _check_connection(component) -> bool:
    """Prints the checklist of one connection; True when it can be used."""
    data_dir = DataDir(load_settings().data_dir)
    lookback = component.effective_lookback_months
    connection = component.connection()
    console.rule(f"[bold]{connection.name}", align="left")
    try:
        discovery = connection.discover()
    except (StoreError, NoBillingPeriods, InvalidUrl) as error:
        _line(False, str(error))
        return False
    _line(True, f"credentials and list permission: listed {discovery.looked_in}")
    usable = _read_one_object(connection, discovery)
    recent = months_back(current_month(), lookback)
    table = Table("month", "files", "bytes", "what happens", box=None, padding=(0, 2))
    for month, delivery in discovery.deliveries.items():
        table.add_row(
            month,
            str(len(delivery.objects)),
            f"{delivery.size:,}",
            _fate(delivery, current_token(connection.name, month, data_dir), month in recent),
        )
    _line(True, f"{len(discovery.months)} months found; look-back {lookback}: {recent[0]} to {recent[-1]}")
    console.print(table)
    if discovery.ignored:
        console.print(f"  {len(discovery.ignored)} objects are ignored:")
        for ignored in discovery.ignored[:20]:
            console.print(f"    {escape(ignored.key)}: {escape(ignored.reason)}", highlight=False, soft_wrap=True)
        if len(discovery.ignored) > 20:
            console.print(f"    and {len(discovery.ignored) - 20} more")
    else:
        console.print("  nothing is ignored")
    for month, reason in discovery.held_back.items():
        _line(None, f"{month} is not taken as it is now: {reason}")
    if isinstance(connection, AwsDataExport) and connection.url.startswith("s3:") and not connection.endpoint_url:
        print_account_exports(connection.auth or S3Auth(), connected=connection.url)
    return usable


def print_account_exports(auth: S3Auth, *, connected: str) -> None:
    """The account's FOCUS exports, where AWS lists them, and the defs.yaml of those that are not at `connected`."""
    from focus_pipeline.connections.aws_account_exports import focus_exports

    try:
        exports = focus_exports(auth)
    except StoreError as error:
        _line(None, str(error))
        return
    table = Table(
        "export", "table", "granularity", "delivery", "status", "columns", "url", "", box=None, padding=(0, 2)
    )
    for export in exports:
        here = "connected" if export.url.rstrip("/") == connected.rstrip("/") else ""
        table.add_row(
            export.name,
            export.table,
            export.granularity,
            export.delivery,
            export.status,
            _left_out(export.left_out),
            export.url,
            here,
        )
    _line(True, f"the account has {len(exports)} FOCUS exports")
    console.print(table)
    others = [export for export in exports if export.url.rstrip("/") != connected.rstrip("/")]
    if others:
        console.print(
            "  To connect another one, paste. Exports of the same charges count them twice, for both are loaded.",
            highlight=False,
            soft_wrap=True,
        )
    for export in others:
        name = re.sub(r"[^a-z0-9_]", "_", export.name.lower())
        console.print(
            f"\n# focus_pipeline/defs/{name}/defs.yaml\ntype: focus_pipeline.AwsDataExport\nattributes:\n"
            f'  name: {name}\n  url: {export.url}\n  focus_version: "{export.focus_version}"',
            highlight=False,
            markup=False,
            soft_wrap=True,
        )


def _left_out(columns: tuple[str, ...] | None) -> str:
    if columns is None:
        return "not known: grant bcm-data-exports:GetTable"
    return f"all but {', '.join(columns)}" if columns else "all"


def _read_one_object(connection: Connection, discovery: Discovery) -> bool:
    """Reads the smallest object of the newest month that has one, and judges it as a load would."""
    month, item = next(
        (
            (month, min(delivery.objects, key=lambda item: item.size))
            for month, delivery in sorted(discovery.deliveries.items(), reverse=True)
            if delivery.objects
        ),
        (None, None),
    )
    if item is None:
        _line(True, "read permission: not tried, for no month has a file to read")
        return True
    with tempfile.TemporaryDirectory() as folder:
        try:
            landed = land(connection, Delivery(month, (item,)), DataDir(Path(folder)))
        except StoreError as error:
            _line(False, str(error))
            return False
        _line(True, f"read permission: read {item.key}")
        staged = stage(landed, DataDir(Path(folder)), month_rule=connection.month_rule)
        verdict = judge(staged, DataDir(Path(folder)), month_rule=connection.month_rule)
    for result in verdict.checks:
        if not result.passed and result.name != "accepted":
            _line(None if verdict.accepted else False, f"{result.name}: {result.summary}")
    if verdict.accepted:
        _line(True, f"content: {staged.rows:,} rows of that file can be loaded")
    return verdict.accepted


def _fate(delivery: Delivery, held: str | None, recent: bool) -> str:
    if held == delivery.token:
        return "unchanged since it was landed"
    if held is not None:
        return "changed; the sensor loads it again"
    return "new; the sensor loads it" if recent else "before the look-back; load it with a backfill from the UI"


def _line(good: bool | None, text: str) -> None:
    mark = {True: "[green]✓[/]", False: "[red]✗[/]", None: "[yellow]![/]"}[good]
    console.print(f"{mark} {escape(text)}", highlight=False, soft_wrap=True)


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--focus-version", help="What the files are to be, such as 1.2. Default: what their columns look like.")
@click.option(
    "--format",
    "report",
    type=click.Choice(["text", "json", "junit", "html"]),
    default="text",
    help="What is written to standard output, or to --output.",
)
@click.option("--output", type=click.Path(dir_okay=False, writable=True, path_type=Path), help="Write the report here.")
@click.option(
    "--fail-on",
    type=click.Choice(["contract", "error", "warn"]),
    default="error",
    show_default=True,
    help="The mildest severity for which the exit status is 1. contract: only what keeps a month from being loaded.",
)
def validate(
    files: tuple[Path, ...], focus_version: str | None, report: str, output: Path | None, fail_on: str
) -> None:
    """Judges FILES, FOCUS data as CSV, gzip CSV or Parquet of any version, by the rules of the specification.

    Together they are one delivery. Exit status 0: nothing failed; 1: something did; 2: a file cannot be opened.
    """
    from focus_pipeline.reports.formats import as_html, as_json, as_junit
    from focus_pipeline.reports.terminal import QueryProgress, print_validation
    from focus_pipeline.validate import validate as judged

    logging.getLogger("focus_pipeline").propagate = False
    settings = load_settings()
    with QueryProgress(Console(stderr=True)) as progress:
        validation = judged(
            files,
            settings.data_dir / "cache",
            focus_version=focus_version,
            memory_limit=settings.memory_limit,
            watch=progress.watch,
        )
    written = {"json": as_json, "junit": as_junit, "html": as_html}
    if report in written and output is None:
        click.echo(written[report](validation), nl=False)
    elif report in written:
        output.write_text(written[report](validation), "utf-8")
    else:
        with output.open("w", encoding="utf-8") if output else nullcontext() as file:
            print_validation(validation, Console(file=file, width=100) if file else console)
    sys.exit(1 if validation.fails(fail_on) else 0)


@main.command()
def specification() -> None:
    """Prints columns, rules and known gaps as Markdown, from the data that files are judged by."""
    from focus_pipeline.reports.specification import as_markdown

    click.echo(as_markdown(), nl=False)


@main.command()
def demo() -> None:
    """Generates deliveries for several connections, ingests them with Dagster, and prints what the table holds."""
    # Loaded here: Dagster takes a second that `check --help` need not wait for.
    from focus_pipeline.demo.deliveries import write_deliveries

    settings = load_settings()
    months = months_back(current_month(), DEMO_MONTHS_BACK)
    with _progress() as progress:
        task = progress.add_task("writing deliveries", total=1)
        deliveries = write_deliveries(settings.data_dir / "demo", months)
        progress.update(task, completed=1)
        task = progress.add_task("starting Dagster", total=1)
        failed = _ingest(deliveries, progress, task)
    try:
        _print_summary(settings.warehouse_path)
    except (WarehouseLocked, FileNotFoundError) as error:
        raise click.ClickException(str(error)) from error
    if failed:
        console.print(f"[red]Not loaded:[/] {', '.join(failed)}")
        sys.exit(1)


def _ingest(deliveries, progress: Progress, starting) -> list[str]:
    """Runs `<connection>_ingest` for every delivery, as the sensor would; the months that failed."""
    from focus_pipeline.definitions import defs

    # What Dagster would write to the terminal is in the UI too.
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    logging.getLogger("focus_pipeline").propagate = False
    definitions = defs()
    failed = []
    with _dagster_instance() as instance:
        progress.update(starting, completed=1)
        task = progress.add_task("", total=len(deliveries))
        for delivery in deliveries:
            progress.update(task, description=f"ingesting {delivery.connection} {delivery.month}")
            run = definitions.resolve_job_def(f"{delivery.connection}_ingest").execute_in_process(
                partition_key=delivery.month, instance=instance, run_config=quiet, raise_on_error=False
            )
            if not run.success:
                failed.append(f"{delivery.connection} {delivery.month}")
            progress.advance(task)
        progress.update(task, description="ingested")
    return failed


def _print_summary(path: Path) -> None:
    from focus_pipeline.demo.summary import summarise

    with open_warehouse(path, read_only=True) as warehouse:
        summary = summarise(warehouse)
        rejected = warehouse.execute("SELECT Connection, Month, File, Reason FROM focus.rejected_files").fetchall()
    _print_costs("By provider", ("provider",), [((row.provider,), row) for row in summary.providers])
    _print_costs("By month", ("month",), [((row.month,), row) for row in summary.months])
    _print_costs(
        "Services with the highest EffectiveCost",
        ("provider", "service"),
        [((row.provider, row.service), row) for row in summary.services],
    )
    for connection, month, file, reason in rejected:
        _line(None, f"{connection} {month}: {file} is rejected and the rest of the month loaded: {reason}")
    console.print(
        f"\nThe table is focus.cost_and_usage in {path}\n"
        "Next: [bold]make dev[/] opens the Dagster UI on http://localhost:3000, with assets, months, checks and "
        "sensors;\nREADME.md says how to connect a bucket of your own and how to query the table.",
        highlight=False,
        soft_wrap=True,
    )


def _print_costs(title: str, names: tuple[str, ...], rows: list) -> None:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1), header_style="bold")
    for name in names:
        table.add_column(name)
    table.add_column("currency", no_wrap=True)
    for name in ("rows", "BilledCost", "EffectiveCost"):
        table.add_column(name, justify="right", no_wrap=True)
    for key, row in rows:
        costs = (f"{row.rows:,}", f"{row.billed_cost:,.2f}", f"{row.effective_cost:,.2f}")
        table.add_row(*(part or "(none)" for part in key), row.currency, *costs)
    console.print()
    console.print(table)


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description:<42}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )


def _connection_components() -> dict:
    """The connections of defs/, by name. Raises ClickException naming the file whose YAML cannot be used."""
    import dagster as dg

    from focus_pipeline.components.connection import ConnectionComponent

    try:
        tree = dg.ComponentTree.for_project(PROJECT_ROOT)
        found = tree.get_all_components(of_type=ConnectionComponent)
    except Exception as error:
        raise click.ClickException(f"{error}\n`dg check defs` shows the place") from error
    return {component.name: component for component in sorted(found, key=lambda component: component.name)}


@contextmanager
def _dagster_instance() -> Iterator:
    """The instance of DAGSTER_HOME, which is .dagster/ in the project where it is not set, as `make dev` has it."""
    import dagster as dg

    if "DAGSTER_HOME" not in os.environ:
        home = PROJECT_ROOT / ".dagster"
        home.mkdir(exist_ok=True)
        if not (home / "dagster.yaml").exists():
            (home / "dagster.yaml").symlink_to(PROJECT_ROOT / "dagster.yaml")
        os.environ["DAGSTER_HOME"] = str(home)
    with dg.DagsterInstance.get() as instance:
        yield instance
