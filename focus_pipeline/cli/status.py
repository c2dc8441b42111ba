"""The command `focus-pipeline status`."""

import sys

import click
from rich.table import Table
from rich.text import Text

from focus_pipeline.cli.command import console, load_connections, main, warehouse_in_words
from focus_pipeline.settings import load_settings

_STYLES = {
    "loaded": "green",
    "emptied": "cyan",
    "pending": "yellow",
    "held back": "magenta",
    "rejected": "bold red",
    "missing": "dim",
}


@main.command()
@click.option("--months", default=12, show_default=True, type=click.IntRange(1, 120), help="How many, the newest ones.")
def status(months: int) -> None:
    """Shows how every month of every connection stands, and why what is not loaded is not.

    Exit status 1 when a month is rejected or held back.
    """
    from focus_pipeline.pipeline.status import HELD_BACK, LOADED, REJECTED, STATES, statuses_now
    from focus_pipeline.pipeline.status_grid import CELLS, in_cells, worst_first

    components, not_loaded = load_connections()
    with warehouse_in_words():
        found = statuses_now([*components, *not_loaded], load_settings().storage)
    if not found:
        console.print("Nothing was fetched yet. `make dev` starts the sensors that fetch.")
        return
    columns = sorted({one.month for one in found})[-months:]
    shown = [one for one in found if one.month in columns]
    signs = {state: Text(CELLS[state].text or "✓", style) for state, style in _STYLES.items()}
    states = {(one.connection, one.month): one for one in shown}
    grid = Table(box=None, padding=(0, 1), header_style="bold")
    grid.add_column("connection")
    for month in columns:
        grid.add_column(month, justify="center", no_wrap=True)
    for name in sorted({one.connection for one in shown}):
        months_of = [states.get((name, month)) for month in columns]
        grid.add_row(name, *(signs[one.state] if one else Text("") for one in months_of))
    console.print(grid)
    there = {one.state for one in shown}
    for state, said in STATES.items():
        if state in there:
            console.print(Text.assemble(" ", signs[state], " ", (state, "bold"), f": {said}"), soft_wrap=True)
    for one in worst_first(shown):
        if one.state != LOADED:
            cells = in_cells(one)
            held = f"; the table has {cells['rows']} rows, {cells['BilledCost']}" if one.rows else ""
            why = f": {one.why}" if one.why else ""
            console.print(
                Text(f"\n{one.connection} {one.month} is {one.state}{why}{held}"), highlight=False, soft_wrap=True
            )
    sys.exit(1 if there & {REJECTED, HELD_BACK} else 0)
