"""What came of a validation, in the words that every report uses: its verdict in one line, and what is broken."""

from dataclasses import dataclass

from focus_pipeline.focus.rules import CONTRACT
from focus_pipeline.pipeline.file_failures import REPORTED_FILES
from focus_pipeline.records.staged import StagedFile
from focus_pipeline.records.verdicts import SEVERITIES, Failure
from focus_pipeline.validate import Validation

LOADED, IN_PART, NOT_LOADED = "loaded", "in part", "not loaded"


@dataclass(frozen=True)
class Outcome:
    """kind: "loaded", "in part" (some of the files are rejected) or "not loaded". sentence: without its full stop."""

    kind: str
    sentence: str


def outcome(validation: Validation) -> Outcome:
    """The verdict. Where it says that something can be loaded, it says what is not."""
    files = validation.staged.files
    rejected, others = len(validation.staged.rejected_files), sum(bool(file.other) for file in files)
    found = failures(validation)
    remarks = _joined(
        _counted(sum(one.severity == "ERROR" and one.level != CONTRACT for one in found), "error"),
        _counted(sum(one.severity == "WARN" for one in found), "warning"),
    )
    subject, are = ("The files", "they are") if len(files) > 1 else ("The file", "it is")
    if not validation.verdict.accepted:
        if rejected == len(files):
            why = f"all {rejected:,} are rejected" if rejected > 1 else "it is rejected"
        elif others == len(files):
            why = f"{are} no bill of FOCUS"
        else:
            broken = sum(one.blocks for one in found)
            why = _joined(
                _counted(broken, "rule of the contract is broken", "rules of the contract are broken"),
                _counted(rejected, "file is rejected", "files are rejected"),
                _counted(others, "file is no bill of FOCUS", "files are no bills of FOCUS"),
            )
        return Outcome(NOT_LOADED, f"{subject} cannot be loaded as {are}: {why}")
    without = _joined(
        _counted(rejected, "rejected file"), _counted(others, "file that is no bill", "files that are no bills")
    )
    if without:
        sentence = f"{subject} can be loaded without {without}" + (f", and with {remarks}" if remarks else "")
        return Outcome(IN_PART if rejected else LOADED, sentence)
    if not found:
        return Outcome(LOADED, f"{subject} can be loaded, and no rule is broken")
    return Outcome(LOADED, f"{subject} can be loaded" + (f", with {remarks}" if remarks else ""))


def failures(validation: Validation) -> list[Failure]:
    """Of all checks, the worst first: what keeps the files out, then the files that are left out, then by severity."""
    found = [failure for check in validation.verdict.checks if check.name != "accepted" for failure in check.failures]
    return sorted(
        found,
        key=lambda one: (not one.blocks, one.level != CONTRACT, SEVERITIES.index(one.severity)),
    )


def groups(validation: Validation) -> list[tuple[str, list[Failure]]]:
    """The failures under titles for people, the worst first; without empty groups."""
    of_title: dict[str, list[Failure]] = {}
    for failure in failures(validation):
        if failure.level == CONTRACT:
            title = "The contract: this keeps the files out" if failure.blocks else "Rejected files"
        else:
            title = {"ERROR": "Errors", "WARN": "Warnings", "NOTE": "Notes"}[failure.severity]
        of_title.setdefault(title, []).append(failure)
    return list(of_title.items())


def fate(file: StagedFile, validation: Validation) -> str:
    """What became of a file, in words; without the reason of a rejection where a failure tells it."""
    is_told = file in validation.staged.rejected_files[:REPORTED_FILES]
    return "rejected" if is_told else file.fate


def extent(failure: Failure) -> str:
    """How much breaks the rule: "1 violation in 16 rows"; "" of a file that is rejected as a whole."""
    if failure.rule == failure.check and failure.file is not None:
        return ""
    return _counted(failure.violations, "violation") + (f" in {_counted(failure.rows, 'row')}" if failure.rows else "")


def _counted(number: int, one: str, many: str = "") -> str:
    return "" if not number else f"1 {one}" if number == 1 else f"{number:,} {many or one + 's'}"


def _joined(*parts: str) -> str:
    *first, last = [part for part in parts if part] or [""]
    return f"{', '.join(first)} and {last}" if first else last
