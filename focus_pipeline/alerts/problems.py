"""A problem, and what one look found of them."""

from dataclasses import dataclass, field

from focus_pipeline.json_records import Record

FOLDERS = "defs"
"""Begins the place of a problem of a folder of defs/, all of which are seen with every look."""


class Problem(Record):
    """Something that is not as it should be, until it ends.

    name: what it is of, by which `ignore` and `warnings` choose it: colo_costs/cost_and_usage/accepted, colo_costs/run.
    place: the connection, asset or job, for people. month: "" where it is of none.
    title: in a few words, to stand after the place. text: rule, file, rows, amounts, what to do. extent: what
    was delivered, "" where that is not known. link: the page that shows it, from ui_url on; "" where there is none.
    """

    name: str
    place: str
    month: str
    title: str
    text: str
    extent: str = ""
    link: str = ""

    @property
    def key(self) -> str:
        """Tells it apart from every other, and stays the same for as long as it lasts."""
        return key_of(self.name, self.month)


def key_of(name: str, month: str) -> str:
    """The key of a problem.

    >>> key_of("colo_costs/run", "2025-03"), key_of("focus_tidy/run", "")
    ('colo_costs/run 2025-03', 'focus_tidy/run')
    """
    return f"{name} {month}".rstrip()


@dataclass(frozen=True)
class Found:
    """What a look found. undecided: keys of problems of which it could not be told whether they are there, for a run
    that decides on them is at work: one that was told is not over, and one that was not is not told yet.
    places: those that were looked at, None for all; what was told of another one is not over either.
    """

    problems: tuple[Problem, ...] = ()
    undecided: frozenset[str] = field(default_factory=frozenset)
    places: frozenset[str] | None = None

    def decides(self, key: str, place: str) -> bool:
        """Whether a problem that was told is either among those found, or over."""
        is_seen = self.places is None or place in self.places or place.startswith(f"{FOLDERS}/")
        return key not in self.undecided and is_seen
