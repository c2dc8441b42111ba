"""docs/specification.md: the columns, rules and known gaps as a page, from the data that they are judged by."""

from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources

from jinja2 import Environment

from focus_pipeline.focus.rules import Rule, rules
from focus_pipeline.focus.specification import columns, columns_of, known_gaps, unchecked, versions
from focus_pipeline.pipeline.verdict import CHECKS

_LEVELS = {"Mandatory": "M", "Conditional": "C", "Recommended": "R", "Optional": "O"}


@dataclass(frozen=True)
class _Line:
    id: str
    level: str
    versions: str
    sentence: str
    narrowed: str | None


def as_markdown() -> str:
    """The page, in Markdown."""
    environment = Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    environment.filters["code"] = lambda text: f"`{text}`"
    template = resources.files(__package__).joinpath("specification.md.jinja").read_text("utf-8")
    return environment.from_string(template).render(
        versions=versions(),
        columns=columns().values(),
        mark=_mark,
        rules=rules(),
        checks=CHECKS,
        by_check={check: _lines(rule for rule in rules().values() if rule.check == check) for check in CHECKS},
        unchecked=unchecked(),
        gaps=known_gaps(),
    )


def _mark(name: str, version: str) -> str:
    column = columns_of(version).get(name)
    return "" if column is None else _LEVELS[column.level] + ("" if column.nullable else "!")


def _lines(found: Iterable[Rule]) -> list[_Line]:
    """A line for each rule; the same rule of several columns is one."""
    together: dict[str, list[Rule]] = {}
    for rule in found:
        together.setdefault(_what(rule), []).append(rule)
    return [
        _Line(
            id=alike[0].id if len({rule.id for rule in alike}) == 1 else f"{alike[0].id} … {alike[-1].id}",
            level=alike[0].level,
            versions=_versions(alike[0]),
            sentence=_what(alike[0]).replace("|", "\\|"),
            narrowed=alike[0].narrowed,
        )
        for alike in together.values()
    ]


def _what(rule: Rule) -> str:
    return rule.sentence.removeprefix(f"{rule.column}: ")


def _versions(rule: Rule) -> str:
    if rule.versions is None or rule.versions == set(versions()):
        return "all"
    held = [version for version in versions() if version in rule.versions]
    until_now = held[-1] == versions()[-1]
    if len(held) == 1 and not until_now:
        return held[0]
    return f"from {held[0]}" if until_now else f"{held[0]} to {held[-1]}"
