"""What a part of the attack counted, and the illegal states that it found, with what repeats each."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
# What a person cannot do anything with.
_RIDDLE = re.compile(
    r"Traceback|\bError: |Error\(|Errno|INTERNAL|^\w+ Error|<\w+ object|NoneType|KeyError|stack trace|/landing/"
)
_LONGEST = 4000
_SHOWN, _SHOWN_DETAIL = 3, 12


@dataclass(frozen=True)
class Illegal:
    """A state that must not be. repeat: the arguments of `python -m focus_pipeline_tests.attack` that show it again.

    kind: of which a few are shown; by default each is of its own.
    """

    what: str
    repeat: str
    detail: str = ""
    kind: str = ""


@dataclass
class Report:
    """Of one part. counts: what was done and what came of it. notes: what else is worth printing."""

    part: str
    counts: Counter[str] = field(default_factory=Counter)
    illegal: list[Illegal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, other: "Report") -> None:
        self.counts.update(other.counts)
        self.illegal += other.illegal
        self.notes += other.notes

    def lines(self) -> Iterator[str]:
        yield f"{self.part}: {self.seconds:.0f} s"
        for what, count in self.counts.items():
            yield f"  {count:>9,}  {what}"
        yield from (f"             {note}" for note in self.notes)
        yield f"  {len(self.illegal):>9,}  illegal states"
        kinds: dict[str, list[Illegal]] = {}
        for illegal in self.illegal:
            kinds.setdefault(illegal.kind or illegal.what, []).append(illegal)
        for of_kind in sorted(kinds.values(), key=len, reverse=True):
            for illegal in of_kind[:_SHOWN]:
                yield f"  ILLEGAL {' '.join(illegal.what.split())}"
                yield f"          again: python -m focus_pipeline_tests.attack {illegal.repeat}"
                yield from (f"          {line}" for line in illegal.detail.splitlines()[-_SHOWN_DETAIL:])
            if len(of_kind) > _SHOWN:
                yield f"          and {len(of_kind) - _SHOWN:,} more like this"


def not_a_sentence(text: str) -> str | None:
    """Why a message is not one for people; None where it is."""
    if len(text.split()) < 4:
        return "it has fewer than four words"
    if len(text) > _LONGEST:
        return f"it has {len(text):,} characters"
    if found := _CONTROL.search(text):
        return f"it holds the control character {found[0]!r}"
    if found := _RIDDLE.search(text):
        return f"it says {found[0]!r}"
    return None
