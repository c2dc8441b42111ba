"""Commands for a connection: before it is switched on, and when it is renamed or removed."""

import re
import sys
from collections.abc import Collection
from typing import TYPE_CHECKING

import click

from focus_pipeline.cli.command import (
    as_usage_errors,
    connection_tree,
    console,
    defined_connection,
    load_connections,
    main,
    warehouse_in_words,
)
from focus_pipeline.cli.runs import dagster_instance, failure_of_run
from focus_pipeline.files import keep_files_private
from focus_pipeline.months import is_month, not_loaded_by_itself
from focus_pipeline.settings import load_settings
from focus_pipeline.visible import visible
from focus_pipeline.warehouse.connections import rows_of_connections
from focus_pipeline.warehouse.warehouse import warehouse_of

if TYPE_CHECKING:
    from focus_pipeline.pipeline.renamed_and_removed import Held


@main.command()
@click.argument("connection", required=False)
@click.option("--view", help="For Google's detailed usage cost export: print a FOCUS view of this name to create.")
def check(connection: str | None, view: str | None) -> None:
    """Tries CONNECTION, or every connection, without loading anything.

    Credentials, listing, reading one object, the months found, what would be ignored and why, and what would be
    loaded. Exit status 1 when a connection cannot be used.
    """
    components, not_loaded = load_connections()
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
            defined=Defined(connection_tree().written_attributes(name), [*components, *not_loaded], urls),
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
    component = defined_connection(connection)
    data_dir = load_settings().storage
    landed = current_delivery(connection, month, data_dir)
    lost = held_back(connection, month, landed.token, data_dir) if landed else ""
    if landed is None or not lost:
        raise click.ClickException(f"nothing of {connection} {month} is held back")
    with as_usage_errors():
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
    defined_connection(connection)
    if month not in names.monthly().get_partition_keys():
        why = (
            not_loaded_by_itself(month, load_settings().start_month) if is_month(month) else "no month such as 2025-03"
        )
        raise click.ClickException(f"{visible(month)} is {why}")
    with console.status(f"loading {connection} {month}"), dagster_instance() as instance:
        definitions = defs()
        again = {names.FETCH_AGAIN_TAG: "yes"}
        failed = failure_of_run(f"{connection}_ingest", [month], definitions, instance, again)
        failed = failed or failure_of_run("focus_publish", [month], definitions, instance)
    if failed:
        raise click.ClickException(failed)
    with warehouse_in_words(), warehouse_of(load_settings().storage).reading() as warehouse:
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
    from focus_pipeline.pipeline.renamed_and_removed import held_of, rename_connection

    keep_files_private()
    _refuse_if_defined(old, f"change its name to {new} there first")
    component = defined_connection(new)
    data_dir = load_settings().storage
    with warehouse_in_words():
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
    with warehouse_in_words(), console.status("renaming") as status:
        lacking = rename_connection(
            old, component.connection(), data_dir, lambda what: status.update(f"staging {what}")
        )
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
    with warehouse_in_words():
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


def _held(name: str) -> "Held":
    from focus_pipeline.pipeline.renamed_and_removed import held_of

    held = held_of(name, load_settings().storage)
    if not held.anything:
        raise click.ClickException(f"nothing is kept of a connection {name!r}")
    return held


def _in_words(held: "Held") -> str:
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
    loaded, faults = load_connections()
    if name in loaded or name in faults:
        raise click.ClickException(f"a defs.yaml still defines the connection {name}; {advice}")
