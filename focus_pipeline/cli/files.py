"""Commands for whoever makes FOCUS files."""

import logging
import sys
from contextlib import nullcontext
from pathlib import Path

import click
from rich.console import Console

from focus_pipeline.cli.command import (
    as_usage_errors,
    console,
    main,
)
from focus_pipeline.months import is_month
from focus_pipeline.settings import load_settings
from focus_pipeline.visible import visible


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
    with QueryProgress(Console(stderr=True)) as progress, as_usage_errors():
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
    if report in written:
        text = written[report](validation)
        if output is None:
            click.echo(text, nl=False)
        else:
            output.write_text(text, "utf-8")
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


@main.command()
def specification() -> None:
    """Prints columns, rules and known gaps as Markdown, from the data that files are judged by."""
    from focus_pipeline.reports.specification import as_markdown

    click.echo(as_markdown(), nl=False)
