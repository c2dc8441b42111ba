"""A validation on the terminal, and the progress of one."""

from types import TracebackType
from typing import Self

import duckdb
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from focus_pipeline.pipeline.examples import in_words, place
from focus_pipeline.reports.outcome import IN_PART, LOADED, NOT_LOADED, extent, failures, fate, outcome
from focus_pipeline.validate import Validation
from focus_pipeline.visible import visible

_STYLES = {"ERROR": "red", "WARN": "yellow", "NOTE": "cyan"}
_OUTCOMES = {LOADED: "green", IN_PART: "yellow", NOT_LOADED: "red"}
_EXAMPLES = 3


def print_validation(validation: Validation, console: Console) -> None:
    """The files, what is broken with examples and what to do, and the verdict."""
    staged, verdict = validation.staged, validation.verdict
    for file in staged.files:
        what = f"{file.rows:,} rows of FOCUS {file.layout.focus_version}, {file.layout.format}"
        if file.fate != "loaded":
            what = f"[{'red' if file.rejection else 'yellow'}]{_shown(fate(file, validation))}[/]"
        console.print(f"[bold]{_shown(file.key)}[/]: {what}", highlight=False, soft_wrap=True)
    for failure in failures(validation):
        style = _STYLES[failure.severity]
        gap = f"known gap of {failure.gap}: " if failure.gap else ""
        much = f", {extent(failure)}" if extent(failure) else ""
        console.print(
            f"\n[{style}]{failure.severity:5}[/] [bold]{_shown(failure.rule)}[/] ({failure.level}){much}",
            highlight=False,
            soft_wrap=True,
        )
        console.print(f"      {_shown(gap + failure.sentence)}", highlight=False, soft_wrap=True)
        for example in failure.examples[:_EXAMPLES]:
            values = f": [/]{_shown(in_words(example))}" if in_words(example) else "[/]"
            console.print(f"      [dim]{_shown(place(example))}{values}", highlight=False, soft_wrap=True)
        console.print(f"      [green]→[/] {_shown(failure.remedy)}", highlight=False, soft_wrap=True)
    console.print()
    console.print(_summary(validation))
    said = outcome(validation)
    kept = "" if verdict.score is None else f" {verdict.score} % of the judged rules are kept."
    console.print(f"\n[{_OUTCOMES[said.kind]}]{said.sentence}.[/]{kept}", highlight=False, soft_wrap=True)


def _shown(text: str) -> str:
    """What others wrote, for Rich to print as it stands."""
    return escape(visible(text))


def _summary(validation: Validation) -> Table:
    table = Table(box=None, padding=(0, 2), header_style="bold")
    table.add_column("check")
    for name in ("kept", "broken", "not applicable"):
        table.add_column(name, justify="right")
    for check in validation.verdict.checks:
        rules = [rule for rule in validation.verdict.rules if rule.check == check.name]
        if rules:
            absent = sum(rule.verdict == "not applicable" for rule in rules)
            kept = sum(rule.verdict == "passed" for rule in rules)
            table.add_row(check.name, str(kept), str(len(rules) - kept - absent), str(absent))
    return table


class QueryProgress:
    """A progress line for validate(): pass `watch`."""

    def __init__(self, console: Console) -> None:
        self._connection: duckdb.DuckDBPyConnection | None = None
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            _Percentage(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task("starting", total=100)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def watch(self, what: str, connection: duckdb.DuckDBPyConnection) -> None:
        self._progress.update(self._task, description=_shown(what), completed=0, connection=connection)


class _Percentage(ProgressColumn):
    """How far the running query is; asked for whenever the line is drawn."""

    def render(self, task: Task) -> Text:
        task.completed = max(self._done(task.fields.get("connection")), 0.0)
        return Text(f"{task.completed:3.0f} %")

    def _done(self, connection: duckdb.DuckDBPyConnection | None) -> float:
        try:
            return connection.query_progress() if connection is not None else 0.0
        except duckdb.ConnectionException:  # closed since it was handed over
            return 100.0
