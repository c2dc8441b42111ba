"""The words of messages: one for each connection and month whose problems begin or end, or one digest of them all."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from focus_pipeline.alerts.problems import Problem
from focus_pipeline.json_records import Record
from focus_pipeline.visible import visible

# What a channel takes: Discord takes 2,000 characters, Telegram 4,096. A longer message would never get through.
LONGEST = 1_900
_LONGEST_TEXT = 700
_DIGEST_PLACES = 8
_DIGEST_PROBLEMS = 8
_DIGEST_TEXT = 80


class Told(Record):
    """A problem that was told, and is not over. since: when it was first found, UTC."""

    place: str
    month: str
    title: str
    since: datetime


@dataclass(frozen=True)
class Wording:
    """text: of several lines. resolved: whether it tells of nothing but ends."""

    title: str
    text: str
    resolved: bool


@dataclass
class _Group:
    """Of one place and month. others: of its problems that neither begin nor end."""

    begun: list[Problem]
    ended: list[Told]
    others: list[Told]


def wordings(
    begun: Sequence[Problem], ended: Sequence[Told], others: Sequence[Told], *, most: int, ui_url: str, now: datetime
) -> list[Wording]:
    """One for each place and month in which problems begin or end; where these would be more than `most`, one digest.

    begun: of one place and month, the one that matters most first. others: problems that go on.
    """
    groups: dict[tuple[str, str], _Group] = {}
    for problem in begun:
        groups.setdefault((problem.place, problem.month), _Group([], [], [])).begun.append(problem)
    for told in ended:
        groups.setdefault((told.place, told.month), _Group([], [], [])).ended.append(told)
    for told in others:
        if (told.place, told.month) in groups:
            groups[told.place, told.month].others.append(told)
    if len(groups) > most:
        return [_digest(begun, ended, ui_url)]
    return [_of_group(*where, group, ui_url, now) for where, group in groups.items()]


def _of_group(place: str, month: str, group: _Group, ui_url: str, now: datetime) -> Wording:
    where = _where(place, month)
    ends = []
    if group.ended:
        since = min(one.since for one in group.ended)
        ends = [f"Over after {_duration(now - since)}: {'; '.join(one.title for one in group.ended)}."]
    still = f"Still open: {'; '.join(one.title for one in group.others)}." if group.others else ""
    if not group.begun:
        title = "resolved" if not group.others else f"{_count(len(group.ended), 'problem')} resolved"
        return Wording(visible(f"{where}: {title}"), _fitted([*ends, still]), True)
    first, *more = group.begun
    # A check of the contract says what `accepted` says.
    further = sum(problem.text not in first.text for problem in more)
    title = f"{where}: {first.title}" + (f", and {_count(further, 'more problem')}" if further else "")
    links = {first.link: None} if first.link else {}
    lines = [_cut(first.text, _LONGEST_TEXT)]
    for problem in more:
        is_told = problem.text in first.text
        lines.append(f"{_capital(problem.title)}{'.' if is_told else f': {_cut(problem.text, _LONGEST_TEXT)}'}")
        if problem.link:
            links[problem.link] = None
    lines += dict.fromkeys(problem.extent for problem in group.begun)
    pages = [f"{ui_url.rstrip('/')}{link}" for link in list(links)[:3]]
    return Wording(visible(title), _fitted([*lines, *ends, still], pages), False)


def _digest(begun: Sequence[Problem], ended: Sequence[Told], ui_url: str) -> Wording:
    """Counts, and the first few in words."""
    said = [f"{_count(len(begun), 'problem')} began"] if begun else []
    if ended:
        said.append(f"{len(ended):,} resolved" if begun else f"{_count(len(ended), 'problem')} resolved")
    lines = []
    for word, problems in (("Began", begun), ("Resolved", ended)):
        counts = Counter(problem.place for problem in problems).most_common()
        if counts:
            places = [f"{place} {count:,}" for place, count in counts[:_DIGEST_PLACES]]
            rest = len(counts) - _DIGEST_PLACES
            lines.append(f"{word}: {', '.join(places)}{f', and in {rest:,} more places' if rest > 0 else ''}.")
    for problem in begun[:_DIGEST_PROBLEMS]:
        lines.append(f"{_where(problem.place, problem.month)}: {problem.title}. {_cut(problem.text, _DIGEST_TEXT)}")
    if len(begun) > _DIGEST_PROBLEMS:
        lines.append(f"And {len(begun) - _DIGEST_PROBLEMS:,} more; `focus-pipeline alert` lists them.")
    return Wording(" and ".join(said), _fitted(lines, [ui_url]), not begun)


def _fitted(lines: Sequence[str], pages: Sequence[str] = ()) -> str:
    """Lines without what a terminal or a mail would obey, no longer than a channel takes; the pages stay whole."""
    end = "\n".join(pages)
    text = "\n".join(visible(line) for line in lines if line)
    return "\n".join(part for part in (_cut(text, LONGEST - len(end) - 1), end) if part)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}…"


def _where(place: str, month: str) -> str:
    return f"{place} {month}".rstrip()


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _duration(elapsed: timedelta) -> str:
    minutes = max(1, int(elapsed.total_seconds() // 60))
    for unit, size in (("day", 24 * 60), ("hour", 60)):
        if minutes >= 2 * size:
            return _count(minutes // size, unit)
    return _count(minutes, "minute")
