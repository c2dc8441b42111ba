"""A problem, and what one look found of them."""

from dataclasses import dataclass, field

from focus_pipeline.json_records import Record


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
    """

    problems: tuple[Problem, ...] = ()
    undecided: frozenset[str] = field(default_factory=frozenset)
