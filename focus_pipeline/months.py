"""Months, spelled `YYYY-MM`, in UTC: the unit in which providers deliver and the pipeline replaces."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

# Of the years that a bill can be of: month_bounds() has an answer for every one, and their neighbours are dates, too.
MONTH_PATTERN = re.compile(r"20[0-9]{2}-(?:0[1-9]|1[0-2])")


def is_month(text: str) -> bool:
    """Whether a text is a month of the years 2000 to 2099, spelled `YYYY-MM`.

    >>> is_month("2025-03"), is_month("9999-12"), is_month("2025-3")
    (True, False, False)
    """
    return MONTH_PATTERN.fullmatch(text) is not None


def month_of(moment: datetime) -> str:
    """The month of an aware moment, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m")


def current_month() -> str:
    return month_of(datetime.now(UTC))


def months_back(month: str, count: int) -> list[str]:
    """`month` and the `count` months before it, oldest first.

    >>> months_back("2025-01", 2)
    ['2024-11', '2024-12', '2025-01']
    """
    year, number = map(int, month.split("-"))
    index = year * 12 + number - 1
    return [f"{i // 12:04d}-{i % 12 + 1:02d}" for i in range(index - count, index + 1)]


def months_between(first: str, last: str) -> list[str]:
    """All months from `first` to `last`, oldest first; none where the last is before the first.

    >>> months_between("2024-11", "2025-01")
    ['2024-11', '2024-12', '2025-01']
    """
    (year, month), (last_year, last_month) = (map(int, text.split("-")) for text in (first, last))
    return months_back(last, count) if (count := (last_year - year) * 12 + last_month - month) >= 0 else []


def runs_of_months(months: Iterable[str], longest: int) -> list[list[str]]:
    """The months in order, apart where one is missing between two, and where there are more than `longest`.

    >>> runs_of_months(["2025-03", "2024-12", "2025-01", "2024-11"], 2)
    [['2024-11', '2024-12'], ['2025-01'], ['2025-03']]
    """
    runs: list[list[str]] = []
    for month in sorted(months):
        if runs and len(runs[-1]) < longest and months_between(runs[-1][-1], month)[1:] == [month]:
            runs[-1].append(month)
        else:
            runs.append([month])
    return runs


def not_loaded_by_itself(month: str, start_month: str) -> str:
    """Why a month that is not of the look-back is not loaded by itself, and what to do about it.

    start_month: the first that can be loaded.

    >>> not_loaded_by_itself("2023-12", "2024-01").split(" (")[0]
    'before the first partition, which is 2024-01'
    """
    if month > current_month():
        return "not begun yet (loaded once it has; if it is no month to come, the provider's dates are wrong)"
    if month < start_month:
        return (
            f"before the first partition, which is {start_month} (to load them, reload the code location, with "
            "FOCUS_START_MONTH at or before them where it is set, then run a backfill)"
        )
    return "before the look-back (load them with a backfill)"


def month_bounds(month: str) -> tuple[datetime, datetime]:
    """First instant of the month and first instant of the next one, UTC and without a zone, as the table has them.

    >>> month_bounds("2024-12")
    (datetime.datetime(2024, 12, 1, 0, 0), datetime.datetime(2025, 1, 1, 0, 0))
    """
    year, number = map(int, month.split("-"))
    following = (year + 1, 1) if number == 12 else (year, number + 1)
    return datetime(year, number, 1), datetime(*following, 1)


def in_words(months: Iterable[str]) -> str:
    """Months in words: each run of them as its first and last, gaps and all.

    >>> in_words(["2025-01", "2024-12", "2025-03"])
    '2024-12 to 2025-01, 2025-03'
    """
    spans: list[list[str]] = []
    for month in sorted(months):
        if spans and months_between(spans[-1][-1], month)[1:] == [month]:
            spans[-1].append(month)
        else:
            spans.append([month])
    said = [span[0] if len(span) == 1 else f"{span[0]} to {span[-1]}" for span in spans]
    return ", ".join(said) if len(said) <= 6 else f"{', '.join(said[:5])} and {sum(map(len, spans[5:]))} more months"
