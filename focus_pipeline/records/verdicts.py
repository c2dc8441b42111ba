"""The verdict on a delivery, in full and in short."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from focus_pipeline.files import alone_in
from focus_pipeline.focus.rules import CONTRACT, MUST, NOTE, SHOULD
from focus_pipeline.json_records import Record, read_record, write_record
from focus_pipeline.records.landed import held_months
from focus_pipeline.storage import DataDir

# A MUST of the specification is an error, a provider's known gap is not.
SEVERITIES = ("ERROR", "WARN", "NOTE")
_JUDGED = "judged.json"
_SEVERITY = {CONTRACT: "ERROR", MUST: "ERROR", SHOULD: "WARN", NOTE: "NOTE"}


@dataclass(frozen=True)
class Failure:
    """A rule that was broken. column: "" for rules that are of no column. file: where the whole failure is about one
    file. rows: how many rows were judged. gap: "AWS 1.0" where it is a known gap of that provider's exports.

    examples: of what breaks it, each with file, place and values, as text. The place is `line` in CSV, on which the row
    begins (from 1, which is the header's), and `row` in Parquet (from 1).
    """

    rule: str
    level: str
    sentence: str
    violations: int
    rows: int
    remedy: str
    check: str
    column: str = ""
    file: str | None = None
    gap: str | None = None
    examples: list[dict] = field(default_factory=list)

    @property
    def severity(self) -> str:
        """ "ERROR", "WARN" or "NOTE"."""
        return "WARN" if self.gap else _SEVERITY[self.level]

    @property
    def blocks(self) -> bool:
        """Whether it keeps the month from being accepted."""
        return self.level == CONTRACT and self.file is None


@dataclass(frozen=True)
class CheckVerdict:
    """severity: "ERROR" or "WARN" of a check that did not pass. rules: how many rules it judged."""

    name: str
    passed: bool
    severity: str
    summary: str
    rules: int = 0
    failures: list[Failure] = field(default_factory=list)


@dataclass(frozen=True)
class RuleVerdict:
    """One rule on the month. verdict: "passed", "failed", "known gap", "note" or "not applicable".

    rows: how many were judged; severity: of the worst failure, "" where there is none; gap: see Failure.
    """

    rule: str
    column: str
    check: str
    level: str
    severity: str
    verdict: str
    violations: int
    rows: int
    gap: str = ""
    examples: list[dict] = field(default_factory=list)


@dataclass(frozen=True)
class Verdict:
    """The judgement of one staged month.

    score: percentage of the rules that were judged and not broken, None where there was nothing to judge.
    """

    connection: str
    month: str
    token: str
    identity: str
    accepted: bool
    score: float | None
    checks: list[CheckVerdict]
    rules: list[RuleVerdict]


def recorded_verdict(path: Path) -> Verdict | None:
    """The verdict that is recorded at a path, None where there is none."""
    return read_record(path, Verdict)


def verdict_path(connection: str, month: str, token: str, data_dir: DataDir) -> Path:
    """Where the verdict on a delivery is recorded, as the JSON of a Verdict."""
    return data_dir.staged(connection, month) / f"{token}.verdict.json"


class JudgedDelivery(Record):
    """The verdict on the latest delivery of a month that was judged, in short. failing: checks that it does not pass.

    identity: of its staged form. order: of the look that showed it.
    """

    token: str
    identity: str
    accepted: bool
    failing: tuple[str, ...]
    order: int = 0


def note_judged(verdict: Verdict, order: int, data_dir: DataDir) -> None:
    """Records a verdict in short, unless one on a later delivery is recorded. order: of the judged delivery."""
    folder = data_dir.staged(verdict.connection, verdict.month)
    with alone_in(folder):
        former = read_record(folder / _JUDGED, JudgedDelivery)
        if former is None or former.order <= order:
            failing = tuple(check.name for check in verdict.checks if not check.passed)
            judged = JudgedDelivery(
                token=verdict.token,
                identity=verdict.identity,
                accepted=verdict.accepted,
                failing=failing,
                order=order,
            )
            if judged != former:
                write_record(folder / _JUDGED, judged)


def judged_delivery(connection: str, month: str, data_dir: DataDir) -> JudgedDelivery | None:
    """The latest delivery of a month that was judged, None where none was."""
    return read_record(data_dir.staged(connection, month) / _JUDGED, JudgedDelivery)


def verdict_on(connection: str, month: str, token: str, data_dir: DataDir) -> bool | None:
    """Whether a delivery was accepted; None where it was not judged yet."""
    judged = judged_delivery(connection, month, data_dir)
    if judged is not None and judged.token == token:
        return judged.accepted
    verdict = recorded_verdict(verdict_path(connection, month, token, data_dir))
    return None if verdict is None else verdict.accepted


def months_failing(connection: str, data_dir: DataDir, *, but: Collection[str] = ()) -> dict[str, set[str]]:
    """Check -> the months whose latest judged delivery does not pass it. but: months that are left out."""
    failing: dict[str, set[str]] = {}
    for month in held_months(connection, data_dir):
        judged = judged_delivery(connection, month, data_dir) if month not in but else None
        for check in judged.failing if judged else ():
            failing.setdefault(check, set()).add(month)
    return failing
