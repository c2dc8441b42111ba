"""The command `focus-pipeline`: check a connection before it is switched on, validate files, and the demo."""

import logging
import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path
from uuid import uuid4

import click
from dotenv import load_dotenv
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from focus_pipeline.files import keep_files_private, make_folder
from focus_pipeline.machine import MachineFault, machine_faults
from focus_pipeline.months import current_month, is_month, months_back, not_loaded_by_itself
from focus_pipeline.secrets_filter import errors_without_secrets
from focus_pipeline.settings import PROJECT_ROOT, load_settings
from focus_pipeline.visible import visible
from focus_pipeline.warehouse.connections import rows_of_connections
from focus_pipeline.warehouse.faults import WarehouseUnusable
from focus_pipeline.warehouse.warehouse import Warehouse, warehouse_of

# The demo's months: the running one and these many before it.
DEMO_MONTHS_BACK = 5

console = Console()


class _Commands(click.Group):
    def invoke(self, ctx: click.Context) -> object:
        with errors_without_secrets():
            return super().invoke(ctx)


@click.group(cls=_Commands)
def main() -> None:
    """FOCUS cost files of every provider in one exact DuckDB table."""
    load_dotenv(PROJECT_ROOT / ".env")
    for stream in (sys.stdout, sys.stderr):
        # What the terminal's encoding does not have is written out instead of ending the command.
        stream.reconfigure(errors="backslashreplace")


@main.command()
@click.argument("connection", required=False)
@click.option("--view", help="For Google's detailed usage cost export: print a FOCUS view of this name to create.")
def check(connection: str | None, view: str | None) -> None:
    """Tries CONNECTION, or every connection, without loading anything.

    Credentials, listing, reading one object, the months found, what would be ignored and why, and what would be
    loaded. Exit status 1 when a connection cannot be used.
    """
    components, not_loaded = _connections()
    if view is not None and connection is None:
        raise click.UsageError("--view goes with the name of a CONNECTION")
    if connection is not None and connection not in (*components, *not_loaded):
        known = ", ".join(components) or "none yet; `dg scaffold defs focus_pipeline.MonthFolders NAME` makes one"
        raise click.ClickException(f"there is no connection {connection!r}. Connections: {known}")
    from focus_pipeline.connection_check import check_connection, line
    from focus_pipeline.further_connections import Defined

    names = [connection] if connection else [*components, *not_loaded]
    if not names:
        console.print("There is no connection yet. `dg scaffold defs focus_pipeline.MonthFolders NAME` makes one.")
    urls = [component.url for component in components.values() if hasattr(component, "url")]
    usable = [
        check_connection(
            components[name],
            view=view,
            defined=Defined(_connection_tree().written_attributes(name), [*components, *not_loaded], urls),
        )
        for name in names
        if name in components
    ]
    for name in names:
        for sentence in not_loaded.get(name, ()):
            line(False, sentence)
            usable.append(False)
    sys.exit(0 if all(usable) else 1)


@main.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--focus-version",
    callback=lambda context, parameter, version: _known_version(version),
    help="What the files are to be, such as 1.2. Default: what their columns look like.",
)
@click.option(
    "--month",
    callback=lambda context, parameter, month: _month(month),
    help="The month YYYY-MM of the folder that they are for: a file with rows of another one is rejected.",
)
@click.option(
    "--format",
    "report",
    type=click.Choice(["text", "json", "junit", "html"]),
    default="text",
    help="What is written to standard output, or to --output.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    callback=lambda context, parameter, path: _in_a_folder(path),
    help="Write the report here.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["contract", "error", "warn"]),
    default="error",
    show_default=True,
    help="The mildest severity for which the exit status is 1. contract: only what keeps a month from being loaded.",
)
def validate(
    files: tuple[Path, ...],
    focus_version: str | None,
    month: str | None,
    report: str,
    output: Path | None,
    fail_on: str,
) -> None:
    """Judges FILES, FOCUS data as CSV, gzip CSV or Parquet of any version, by the rules of the specification.

    Together they are one delivery. Exit status 0: nothing failed; 1: something did; 2: a file cannot be opened.
    """
    from focus_pipeline.reports.formats import as_html, as_json, as_junit
    from focus_pipeline.reports.terminal import QueryProgress, print_validation
    from focus_pipeline.validate import validate as judged

    # The report tells what is logged.
    logger = logging.getLogger("focus_pipeline")
    logger.propagate = False
    logger.addHandler(logging.NullHandler())
    settings = load_settings()
    with QueryProgress(Console(stderr=True)) as progress, _as_usage_errors():
        validation = judged(
            files,
            settings.data_dir / "cache",
            focus_version=focus_version,
            month=month,
            memory_limit=settings.memory_limit,
            limits=settings.limits,
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


def _known_version(version: str | None) -> str | None:
    from focus_pipeline.focus.specification import judged_as, versions

    # With what providers add to it, such as 1.0r2 and 1.2-preview.
    if version is not None and not version.removeprefix("v").startswith(judged_as(version)):
        raise click.BadParameter(f"{visible(version)!r} is none of {', '.join(versions())}")
    return version


def _month(month: str | None) -> str | None:
    if month is not None and not is_month(month):
        raise click.BadParameter(f"{visible(month)!r} is no month such as 2025-03")
    return month


def _in_a_folder(path: Path | None) -> Path | None:
    """Found before the files are judged, which may take minutes."""
    if path is not None and not path.absolute().parent.is_dir():
        raise click.BadParameter(f"there is no folder {visible(str(path.absolute().parent))}; create it first")
    return path


@contextmanager
def _as_usage_errors() -> Iterator[None]:
    """Exit status 2 where a file cannot be opened, or this machine lacks something: nothing was judged then."""
    try:
        yield
    except (OSError, MachineFault) as error:
        said = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
        failure = click.ClickException(visible(said))
        failure.exit_code = 2
        raise failure from None


@main.command()
@click.argument("connection")
@click.argument("month")
def accept(connection: str, month: str) -> None:
    """Takes what is held back of CONNECTION's MONTH (YYYY-MM) for what it would take away.

    The latest delivery that was fetched is accepted, if it fulfils the contract. The sensor then publishes it at its
    next look; materialising focus/cost_and_usage of the month does so at once.
    """
    from focus_pipeline.pipeline.month import judge_month
    from focus_pipeline.records.accepted import held_back
    from focus_pipeline.records.landed import current_delivery

    keep_files_private()
    component = _defined(connection)
    data_dir = load_settings().storage
    landed = current_delivery(connection, month, data_dir)
    lost = held_back(connection, month, landed.token, data_dir) if landed else ""
    if landed is None or not lost:
        raise click.ClickException(f"nothing of {connection} {month} is held back")
    with _as_usage_errors():
        verdict = judge_month(component.connection(), landed, data_dir, accept_loss="yes").verdict
    if not verdict.accepted:
        raise click.ClickException(f"{connection} {month} is not accepted: {verdict.checks[0].summary}")
    console.print(
        f"accepted, although {lost}. The sensor publishes it at its next look.", highlight=False, soft_wrap=True
    )


@main.command()
@click.argument("connection")
@click.argument("month")
def fetch_again(connection: str, month: str) -> None:
    """Loads CONNECTION's MONTH (YYYY-MM) anew, and fetches all of it although it is kept.

    For what a provider has changed where no listing shows it, such as the rows behind a view of BigQuery. In the UI, a
    run with the tag focus_pipeline/fetch_again: yes does the same. Exit status 1 when the month was not published.
    """
    from focus_pipeline.components import names
    from focus_pipeline.definitions import defs

    keep_files_private()
    _defined(connection)
    if month not in names.monthly().get_partition_keys():
        why = (
            not_loaded_by_itself(month, load_settings().start_month) if is_month(month) else "no month such as 2025-03"
        )
        raise click.ClickException(f"{visible(month)} is {why}")
    with console.status(f"loading {connection} {month}"), _dagster_instance() as instance:
        definitions = defs()
        again = {names.FETCH_AGAIN_TAG: "yes"}
        failed = _failure_of(f"{connection}_ingest", month, definitions, instance, again)
        failed = failed or _failure_of("focus_publish", month, definitions, instance)
    if failed:
        raise click.ClickException(failed)
    with _warehouse_in_words(), warehouse_of(load_settings().storage).reading() as warehouse:
        rows = rows_of_connections(warehouse).get(connection, {}).get(month, 0)
    click.echo(f"{connection} {month} was fetched again and is published: {rows:,} rows.")


@main.command()
@click.argument("old")
@click.argument("new")
@click.option("--yes", is_flag=True, help="Do it. Without this, it is only said what would be done.")
def rename(old: str, new: str, yes: bool) -> None:
    """Makes what is kept of the connection OLD that of NEW: files, rows, verdicts. Nothing is downloaded.

    Change the name in defs.yaml first. Of a month that NEW has loaded itself already, the rows of OLD go.
    """
    from focus_pipeline.pipeline.rebuild import Reading
    from focus_pipeline.pipeline.renamed_and_removed import held_of, rename_connection

    keep_files_private()
    _refuse_if_defined(old, f"change its name to {new} there first")
    component = _defined(new)
    data_dir = load_settings().storage
    with _warehouse_in_words():
        held, there = _held(old), held_of(new, data_dir)
    both = sorted({*held.rows, *held.staged} & {*there.rows, *there.staged})
    said = [f"{old} has {_in_words(held)}."]
    if both:
        said.append(
            f"{new} has loaded {', '.join(both)} itself: its rows of them stay, and those of {old} go; the files that "
            f"{old} has fetched are kept with its own."
        )
    if not yes:
        said.append(f"Nothing is changed yet. `focus-pipeline rename {old} {new} --yes` makes it {new}'s.")
        click.echo("\n".join(said))
        return
    reading = Reading(component.connection().month_rule, component.focus_version)
    with _warehouse_in_words(), console.status("renaming") as status:
        lacking = rename_connection(old, new, data_dir, reading, lambda what: status.update(f"staging {what}"))
        there = held_of(new, data_dir)
    said.append(f"Done. {new} has {_in_words(there)}. Its sensor looks at each month once more, and downloads nothing.")
    if lacking:
        said.append(
            f"The files of {', '.join(lacking)} are no longer in landing/: the rows are {new}'s, and a rebuild of the "
            "warehouse would not bring them back. Load these months again if the provider still has them."
        )
    click.echo("\n".join(said))


@main.command()
@click.argument("name")
@click.option("--keep-files", is_flag=True, help="Leave what was fetched in landing/.")
@click.option("--yes", is_flag=True, help="Do it. Without this, it is only said what would go.")
def remove(name: str, keep_files: bool, yes: bool) -> None:
    """Takes what is kept of the connection NAME away: its rows, verdicts and history, staged and fetched files.

    Delete its defs.yaml first.
    """
    from focus_pipeline.pipeline.renamed_and_removed import remove_connection

    _refuse_if_defined(name, "delete that first, or its sensor loads it again")
    with _warehouse_in_words():
        held = _held(name)
        what = _in_words(held) + (", of which the fetched files stay" if keep_files and held.landed else "")
        if not yes:
            options = " --keep-files" if keep_files else ""
            click.echo(
                f"{name} has {what}.\nNothing is removed yet. `focus-pipeline remove {name}{options} --yes` removes it."
            )
            return
        remove_connection(name, load_settings().storage, keep_files=keep_files)
    click.echo(f"Removed of {name}: {what}.")


def _held(name: str):
    from focus_pipeline.pipeline.renamed_and_removed import held_of

    held = held_of(name, load_settings().storage)
    if not held.anything:
        raise click.ClickException(f"nothing is kept of a connection {name!r}")
    return held


def _in_words(held) -> str:
    """What is kept of a connection, as the rest of a sentence."""
    rows = (
        f"{sum(held.rows.values()):,} rows of {_span(held.rows)} in the table" if held.rows else "no rows in the table"
    )
    return f"{rows}, and files of {_span(held.landed)} in landing/, of {_span(held.staged)} in staged/"


def _span(months: Collection[str]) -> str:
    if not months:
        return "no month"
    return f"{len(months)} months ({min(months)} to {max(months)})" if len(months) > 1 else min(months)


def _refuse_if_defined(name: str, advice: str) -> None:
    """Raises ClickException for what is no name of a connection, or the name of one that is defined."""
    if not re.fullmatch("[a-z][a-z0-9_]*", name):
        raise click.ClickException(f"{name!r} is not the name of a connection: small letters, digits and _")
    loaded, faults = _connections()
    if name in loaded or name in faults:
        raise click.ClickException(f"a defs.yaml still defines the connection {name}; {advice}")


@contextmanager
def _warehouse_in_words() -> Iterator[None]:
    try:
        yield
    except (WarehouseUnusable, MachineFault, FileNotFoundError) as error:
        raise click.ClickException(str(error)) from error


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
    keep_files_private()
    months = months_back(current_month(), DEMO_MONTHS_BACK)
    with _progress() as progress:
        task = progress.add_task("writing deliveries", total=1)
        deliveries = write_deliveries(settings.storage.demo, months)
        progress.update(task, completed=1)
        task = progress.add_task("starting Dagster", total=1)
        failed = _ingest(deliveries, progress, task)
    try:
        _print_summary(warehouse_of(settings.storage))
    except (WarehouseUnusable, MachineFault, FileNotFoundError) as error:
        raise click.ClickException(str(error)) from error
    if failed:
        console.print(f"[red]Not loaded:[/] {', '.join(failed)}")
        sys.exit(1)


@main.group()
def warehouse() -> None:
    """Where the table is: a DuckDB file, or a DuckLake."""


@warehouse.command()
def rebuild() -> None:
    """Makes the warehouse anew from what is kept in staged/ and landing/, and puts the former file aside.

    Nothing is fetched from a provider. Exit status 1 when a month could not be brought back.
    """
    from focus_pipeline.pipeline.rebuild import Reading, rebuild_warehouse

    storage = load_settings().storage
    keep_files_private()
    readings = {
        name: Reading(component.connection().month_rule, component.focus_version)
        for name, component in _connection_components().items()
    }
    try:
        with console.status("rebuilding") as status, machine_faults("the warehouse could not be rebuilt"):
            rebuilt = rebuild_warehouse(storage, readings, lambda what: status.update(f"rebuilding {what}"))
    except (WarehouseUnusable, MachineFault) as error:
        raise click.ClickException(str(error)) from error
    said = [f"{warehouse_of(storage).place} has {sum(rebuilt.rows.values()):,} rows."]
    for name in sorted({name for name, _ in rebuilt.rows}):
        months = [month for connection, month in rebuilt.rows if connection == name]
        said.append(f"{name}: {', '.join(sorted(months))}.")
    if rebuilt.staged_again:
        said.append(f"Staged again from landing/: {', '.join(rebuilt.staged_again)}.")
    if rebuilt.aside:
        said.append(
            f"The former file is {rebuilt.aside}. It alone has the history of focus.loads and what others put into it; "
            "delete it once you need neither."
        )
    said += [f"Not brought back: {lacking}." for lacking in rebuilt.lacking]
    click.echo("\n".join(said))
    sys.exit(1 if rebuilt.lacking else 0)


@warehouse.command()
@click.argument("url")
def move(url: str) -> None:
    """Copies the warehouse to URL, such as ducklake:sqlite:data/lake.sqlite, and proves that all of it is there.

    The one that is there stays as it is: FOCUS_WAREHOUSE says which one is used.
    """
    from focus_pipeline.files import temporary_folder
    from focus_pipeline.settings import warehouse_url
    from focus_pipeline.warehouse.move import move_warehouse

    keep_files_private()
    storage = load_settings().storage
    try:
        target = replace(storage, warehouse=warehouse_url(url))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    make_folder(storage.scratch)
    with (
        _warehouse_in_words(),
        console.status("copying") as status,
        machine_faults("the warehouse could not be moved"),
        temporary_folder(storage.scratch, "move-") as folder,
    ):
        rows = move_warehouse(
            warehouse_of(storage), warehouse_of(target), folder, lambda what: status.update(f"copying {what}")
        )
    click.echo(
        f"{rows['cost_and_usage']:,} rows, and the history of {rows['loads']:,} loads, are in "
        f"{warehouse_of(target).place}, equal to the last decimal.\nNow set FOCUS_WAREHOUSE={url} for everything that "
        f"reads the table or runs Dagster. {warehouse_of(storage).place} stays as it is; delete it once you no longer "
        "need it."
    )


@main.command()
@click.option(
    "--keep",
    type=click.IntRange(min=1),
    help="Deliveries of each month that stay in landing/. Default: FOCUS_KEPT_DELIVERIES, 3.",
)
def tidy(keep: int | None) -> None:
    """Removes superseded deliveries from landing/ and staged/, and what no reader of a DuckLake can see any more.

    The delivery that is published always stays, and so does the one that a month consists of now.
    """
    from focus_pipeline.pipeline.tidy import tidy as tidied

    settings = load_settings()
    with _warehouse_in_words():
        removed = list(tidied(settings.storage, keep or settings.kept_deliveries))
        where = warehouse_of(settings.storage)
        from_lake = where.tidy() if where.exists() else []
    for one in removed:
        click.echo(f"{one.connection} {one.month}: {one.path} ({one.size:,} bytes)")
    for said in from_lake:
        click.echo(said)
    if not removed and not from_lake:
        click.echo("There is nothing to remove.")


def _ingest(deliveries, progress: Progress, starting) -> list[str]:
    """Runs `<connection>_ingest` for every delivery and `focus_publish` for every month, as the sensors would; what
    failed.
    """
    from focus_pipeline.definitions import defs

    definitions = defs()
    failed = []
    with _dagster_instance() as instance:
        progress.update(starting, completed=1)
        runs = [(delivery.connection, delivery.month) for delivery in deliveries]
        runs += [("focus", month) for month in sorted({delivery.month for delivery in deliveries})]
        task = progress.add_task("", total=len(runs))
        for name, month in runs:
            job, what = ("focus_publish", "publishing") if name == "focus" else (f"{name}_ingest", f"ingesting {name}")
            progress.update(task, description=f"{what} {month}")
            if _failure_of(job, month, definitions, instance):
                failed.append(f"{name} {month}")
            progress.advance(task)
        progress.update(task, description="ingested and published")
    return failed


def _failure_of(job: str, month: str, definitions, instance, tags: Mapping[str, str] | None = None) -> str:
    """Runs a job for the month in this process; the sentence of the step that failed, "" where none did."""
    from focus_pipeline.run_workers import hold_lock

    # What Dagster would write to the terminal is in the UI too.
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    logging.getLogger("focus_pipeline").propagate = False
    # Of a command that is killed, the next run finds it out by this.
    hold_lock(instance, run_id := str(uuid4()))
    run = definitions.resolve_job_def(job).execute_in_process(
        run_id=run_id, partition_key=month, instance=instance, run_config=quiet, tags=tags, raise_on_error=False
    )
    if run.success:
        return ""
    failures = [event.step_failure_data for event in run.all_events if event.is_step_failure]
    described = [data.user_failure_data.description for data in failures if data.user_failure_data is not None]
    return next(filter(None, described), f"{job} of {month} failed; its run {run_id} in the UI says why")


def _print_summary(where: Warehouse) -> None:
    from focus_pipeline.connection_check import line
    from focus_pipeline.demo.summary import summarise

    with where.reading() as warehouse:
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
        line(None, f"{connection} {month}: {file} is rejected and the rest of the month loaded: {reason}")
    console.print(
        "\ngoogle_main was read from files such as BigQuery's EXPORT DATA writes, not from BigQuery."
        f"\nThe table is focus.cost_and_usage in {where.place}\n"
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


def _connections() -> tuple[dict, dict[str, list[str]]]:
    """The connections of defs/, by name: those that can be used, and what is wrong with each that cannot."""
    from focus_pipeline.components.connection import connections

    try:
        load_settings()
        loaded, faults = connections(_connection_tree()), {}
        for bad in _connection_tree().not_loaded():
            faults.setdefault(bad.connection, []).extend(bad.sentences)
        return loaded, faults
    except Exception as error:
        raise click.ClickException(f"{error}\n`dg check defs` shows the place") from error


@cache
def _connection_tree():
    """defs/, read once."""
    from focus_pipeline.components.connection_tree import ConnectionTree

    return ConnectionTree.for_project(PROJECT_ROOT)


def _connection_components() -> dict:
    """The connections of defs/ that can be used, by name."""
    return _connections()[0]


def _defined(name: str):
    """The connection of that name. Raises ClickException where there is none, or it cannot be used."""
    loaded, faults = _connections()
    if name in faults:
        raise click.ClickException("\n".join(faults[name]))
    if name not in loaded:
        raise click.ClickException(f"there is no connection {name!r}. Connections: {', '.join(loaded) or 'none'}")
    return loaded[name]


@contextmanager
def _dagster_instance() -> Iterator:
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
