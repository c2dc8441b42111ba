"""What is wrong with whole files, in words: rejected, doubled, of another kind, without columns, with odd headers."""

from collections.abc import Iterator

from focus_pipeline.focus.rules import CONTRACT, HEADER, NOTE, PRESENT, SHOULD, TYPE, rules, rules_of
from focus_pipeline.focus.specification import contract, judged_as
from focus_pipeline.pipeline.examples import EXAMPLES, named
from focus_pipeline.pipeline.known_gaps import gap_of_file
from focus_pipeline.records.staged import CORRECT_IT, Broken, Layout, StagedFile, StagedMonth
from focus_pipeline.records.verdicts import Failure

REPORTED_FILES = 50
"""Of those that are rejected, each with a sentence of its own."""


def file_failures(staged: StagedMonth, accepted: bool) -> list[Failure]:
    """What is wrong with whole files, none of which keeps the others from being accepted."""
    failures = [_rejection(file, accepted) for file in staged.rejected_files[:REPORTED_FILES]]
    failures += _further_rejections(staged.rejected_files[REPORTED_FILES:])
    if doubled := [file for file in staged.files if file.same_as]:
        failures.append(_doubled(doubled))
    if others := [file for file in staged.files if file.other]:
        failures.append(_no_bills(others))
    alike: dict[Layout, list[StagedFile]] = {}
    for file in staged.files:
        if file.layout.columns and (file.rejection is None or file.rejection.rule == "required_columns"):
            alike.setdefault(file.layout, []).append(file)
    for layout, files in alike.items():
        failures += _missing_columns(layout, files)
    for layout in staged.rows_of:
        failures += _column_remarks([file for file in alike[layout] if file.rejection is None])
    return failures


def _rejection(file: StagedFile, others_accepted: bool) -> Failure:
    return Failure(
        rule=file.rejection.rule,
        check=file.rejection.rule,
        level=CONTRACT,
        sentence=f"{file.key} is rejected: {file.rejection.reason.removesuffix(f'; {CORRECT_IT}')}",
        violations=len(file.rejection.examples) or 1,
        rows=file.rows,
        remedy=CORRECT_IT + ("; the month's other files are loaded without it" if others_accepted else ""),
        file=file.key,
        examples=[{"file": file.key, **example} for example in file.rejection.examples],
    )


def _doubled(files: list[StagedFile]) -> Failure:
    """Files that hold the bytes of another one: what is delivered twice is no second charge."""
    told = _first_of([f"{file.key} as {file.same_as}" for file in files])
    return Failure(
        rule="repeated-file",
        check="consistency",
        level=SHOULD,
        sentence=f"the same bytes are delivered twice, and counted once: {told}",
        violations=len(files),
        rows=0,
        remedy="delete the copies; if they are charges of their own, have their rows told apart",
        file=files[0].key,
    )


def _no_bills(files: list[StagedFile]) -> Failure:
    """Files of other datasets, which are no fault of the month."""
    told = _first_of([f"{file.key} is {file.other}" for file in files])
    return Failure(
        rule="other-dataset",
        check="required_columns",
        level=NOTE,
        sentence=f"what is no bill of FOCUS is left out: {told}",
        violations=len(files),
        rows=0,
        remedy="nothing is to be done; the connection's `ignore` keeps such files from being fetched",
        file=files[0].key,
    )


def _first_of(told: list[str]) -> str:
    """As many as people read, and how many more there are."""
    more = f" and {len(told) - EXAMPLES:,} more" if len(told) > EXAMPLES else ""
    return named(told[:EXAMPLES]) + more


def _further_rejections(files: list[StagedFile]) -> Iterator[Failure]:
    """One failure for each check, where there are more rejected files than people read about."""
    for rule in dict.fromkeys(file.rejection.rule for file in files):
        alike = [file for file in files if file.rejection.rule == rule]
        yield Failure(
            rule=rule,
            check=rule,
            level=CONTRACT,
            sentence=f"{len(alike):,} further files are rejected, the first is {alike[0].key}",
            violations=len(alike),
            rows=sum(file.rows for file in alike),
            remedy="focus.rejected_files lists every file with its reason; correct the files and upload them again",
            file=alike[0].key,
        )


def _have(files: list[StagedFile]) -> str:
    """The beginning of a sentence about files that are alike."""
    more = len(files) - 1
    return (
        f"{files[0].key} and {more:,} more {'file' if more == 1 else 'files'} have" if more else f"{files[0].key} has"
    )


def _missing_columns(layout: Layout, files: list[StagedFile]) -> Iterator[Failure]:
    """A failure for each column that the files' version asks for and that they lack, and for each group of files of
    which a lack is a gap of their provider.
    """
    version = judged_as(layout.focus_version)
    # Of a file that is rejected nothing is in the table.
    remedy = "add the column" if all(file.rejection for file in files) else ""
    missing = [rule for rule in rules_of(PRESENT) if rule.holds_for(version) and rule.column not in layout.recognised]
    for rule in missing:
        for gap, alike in _by_gap(rule.id, files):
            yield Failure(
                rule=rule.id,
                column=rule.column,
                check=rule.check,
                level=rule.level,
                sentence=f"{_have(alike)} no column {rule.column}",
                violations=len(alike),
                rows=sum(file.rows for file in alike),
                remedy=remedy or rule.remedy,
                file=alike[0].key,
                gap=gap,
            )
    said = {rule.column for rule in missing}
    for name in contract().expected:
        if name not in layout.recognised and name not in said:
            yield Failure(
                rule=f"{name}-expected",
                column=name,
                check="required_columns",
                level=SHOULD,
                sentence=f"{_have(files)} no column {name}",
                violations=len(files),
                rows=sum(file.rows for file in files),
                remedy=remedy or "add the column if the provider has it; it is null in the table until then",
                file=files[0].key,
            )


def _column_remarks(files: list[StagedFile]) -> Iterator[Failure]:
    """What is said of the header of files that are alike, and of how they store their values."""
    of_header: dict[tuple[str, str], list[tuple[StagedFile, Broken]]] = {}
    for file in files:
        for broken in file.broken:
            if rules()[broken.rule].kind in (HEADER, TYPE):
                of_header.setdefault((broken.rule, broken.sentence), []).append((file, broken))
    for (key, sentence), found in of_header.items():
        rule = rules()[key]
        for gap, alike in _by_gap(rule.id, [file for file, _ in found]):
            yield Failure(
                rule=rule.id,
                column=rule.column if rule.kind == TYPE else "",
                check=rule.check,
                level=rule.level,
                sentence=f"{_have(alike)} {sentence}",
                violations=len(alike) * found[0][1].violations,
                rows=sum(file.rows for file in alike),
                remedy=rule.remedy,
                file=alike[0].key,
                gap=gap,
            )
    if rounding := [file for file in files if file.rounded]:
        rounded: dict[str, int] = {}
        for file in rounding:
            for name, count in file.rounded.items():
                rounded[name] = rounded.get(name, 0) + count
        columns = ", ".join(f"{name} in {count:,} rows" for name, count in rounded.items())
        yield Failure(
            rule="values_readable",
            check="values_readable",
            level=SHOULD,
            sentence=f"{_have(rounding)} floating-point numbers of more than 18 decimals, rounded to 18: {columns}",
            violations=sum(rounded.values()),
            rows=sum(file.rows for file in rounding),
            remedy="have the provider write DECIMAL or text with at most 18 decimals",
            file=rounding[0].key,
        )


def _by_gap(rule_id: str, files: list[StagedFile]) -> list[tuple[str | None, list[StagedFile]]]:
    """The files apart by the known gap that accounts for what they break."""
    apart: dict[str | None, list[StagedFile]] = {}
    for file in files:
        apart.setdefault(gap_of_file(rule_id, file), []).append(file)
    return list(apart.items())
