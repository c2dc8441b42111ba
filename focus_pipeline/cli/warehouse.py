"""Commands for the warehouse, and for the disk."""

import sys
from dataclasses import replace

import click

from focus_pipeline.cli.command import console, main, usable_connections, warehouse_in_words
from focus_pipeline.files import keep_files_private, make_folder
from focus_pipeline.machine import MachineFault, machine_faults
from focus_pipeline.settings import load_settings
from focus_pipeline.warehouse.faults import WarehouseUnusable
from focus_pipeline.warehouse.warehouse import warehouse_of


@main.group()
def warehouse() -> None:
    """Where the table is: a DuckDB file, or a DuckLake."""


@warehouse.command()
def rebuild() -> None:
    """Makes the warehouse anew from what is kept in staged/ and landing/, and puts the former file aside.

    Nothing is fetched from a provider. Exit status 1 when a month could not be brought back.
    """
    from focus_pipeline.pipeline.rebuild import rebuild_warehouse

    storage = load_settings().storage
    keep_files_private()
    connections = {name: component.connection() for name, component in usable_connections().items()}
    try:
        with console.status("rebuilding") as status, machine_faults("the warehouse could not be rebuilt"):
            rebuilt = rebuild_warehouse(storage, connections, lambda what: status.update(f"rebuilding {what}"))
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
        warehouse_in_words(),
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
    with warehouse_in_words():
        removed = list(tidied(settings.storage, keep or settings.kept_deliveries))
        where = warehouse_of(settings.storage)
        from_lake = where.tidy() if where.exists() else []
    for one in removed:
        click.echo(str(one))
    for said in from_lake:
        click.echo(said)
    if not removed and not from_lake:
        click.echo("There is nothing to remove.")
