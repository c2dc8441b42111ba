"""The command `focus-pipeline` itself, and what its commands share."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import TextIOWrapper
from typing import TYPE_CHECKING

import click
from dotenv import load_dotenv
from rich.console import Console

from focus_pipeline.machine import MachineFault
from focus_pipeline.secrets_filter import errors_without_secrets
from focus_pipeline.settings import PROJECT_ROOT, load_settings
from focus_pipeline.visible import visible
from focus_pipeline.warehouse.faults import WarehouseUnusable

if TYPE_CHECKING:
    from focus_pipeline.components.connection import ConnectionComponent
    from focus_pipeline.components.connection_tree import ConnectionTree

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
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def as_usage_errors() -> Iterator[None]:
    """Exit status 2 where a file cannot be opened, or this machine lacks something: nothing was judged then."""
    try:
        yield
    except (OSError, MachineFault) as error:
        said = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
        raise _NotJudged(visible(said)) from None


class _NotJudged(click.ClickException):
    exit_code = 2


@contextmanager
def warehouse_in_words() -> Iterator[None]:
    try:
        yield
    except (WarehouseUnusable, MachineFault, FileNotFoundError) as error:
        raise click.ClickException(str(error)) from error


def load_connections() -> tuple[dict[str, "ConnectionComponent"], dict[str, list[str]]]:
    """The connections of defs/, by name: those that can be used, and what is wrong with each that cannot."""
    from focus_pipeline.components.connection import connections

    try:
        load_settings()
        loaded = connections(connection_tree())
        faults: dict[str, list[str]] = {}
        for bad in connection_tree().not_loaded():
            if bad.what == "connection":
                faults.setdefault(bad.name, []).extend(bad.sentences)
        return loaded, faults
    except Exception as error:
        raise click.ClickException(f"{error}\n`dg check defs` shows the place") from error


@cache
def connection_tree() -> "ConnectionTree":
    """defs/, read once."""
    from focus_pipeline.components.connection_tree import ConnectionTree

    return ConnectionTree.for_project(PROJECT_ROOT)


def usable_connections() -> dict[str, "ConnectionComponent"]:
    """The connections of defs/ that can be used, by name."""
    return load_connections()[0]


def defined_connection(name: str) -> "ConnectionComponent":
    """The connection of that name. Raises ClickException where there is none, or it cannot be used."""
    loaded, faults = load_connections()
    if name in faults:
        raise click.ClickException("\n".join(faults[name]))
    if name not in loaded:
        raise click.ClickException(f"there is no connection {name!r}. Connections: {', '.join(loaded) or 'none'}")
    return loaded[name]
