"""What came of judging a month: the failures, the verdict of each rule and check, and the words for them."""

from dataclasses import replace

from focus_pipeline.focus.rules import CONTRACT, GROUP, rules
from focus_pipeline.pipeline.examples import EXAMPLES, place, values
from focus_pipeline.records.staged import StagedMonth
from focus_pipeline.records.verdicts import SEVERITIES, CheckVerdict, Failure, RuleVerdict, Verdict

CHECKS = {
    "accepted": "The month fulfils the contract and may be published. If it fails, the last good month stays.",
    "files_readable": "Every file of the delivery is a whole CSV, gzip CSV or Parquet file, or a zip archive of them.",
    "required_columns": "Every file has the columns that its FOCUS version asks for.",
    "column_names": "Columns of FOCUS are spelled as there and stand first; a provider's own are named x_….",
    "charge_month": "Every row's ChargePeriodStart lies in the month under which its file was delivered.",
    "values_readable": "Numbers, moments and JSON can be read, exactly.",
    "text_format": "Numbers, moments, units, tags and missing values are written as FOCUS asks.",
    "not_null": "Columns that need a value have one in every row.",
    "conditional_nulls": "Columns have a value where, and only where, other columns of the row ask for one.",
    "allowed_values": "Columns with a fixed list of values hold one of them.",
    "currency_codes": "Currencies are codes of ISO 4217.",
    "periods": "Periods end after they start, on a whole hour.",
    "prices": "Prices are not negative, and price times quantity is the cost.",
    "commitments": "Commitment discounts and capacity reservations are described whole.",
    "consistency": "What belongs to one thing is the same in all of its rows.",
    "reconciliation": "Staged rows, BilledCost and EffectiveCost are those of the files, to the last decimal.",
}


def check_verdict(name: str, failures: list[Failure], staged: StagedMonth, judged: list[RuleVerdict]) -> CheckVerdict:
    failures = sorted(_merged(failures), key=lambda failure: (SEVERITIES.index(failure.severity), -failure.violations))
    counting = [failure for failure in failures if failure.severity != "NOTE"]
    if counting:
        summary = " · ".join(_in_words(failure) for failure in counting[:3])
        if len(counting) > 3:
            summary += f" · and {len(counting) - 3} more, see the table"
    else:
        summary = f"{len(staged.accepted_files)} files, {staged.rows:,} rows"
    return CheckVerdict(
        name=name,
        passed=not counting,
        severity="ERROR" if any(failure.severity == "ERROR" for failure in counting) else "WARN",
        summary=summary,
        rules=sum(one.check == name and one.verdict != "not applicable" for one in judged),
        failures=failures,
    )


def _merged(failures: list[Failure]) -> list[Failure]:
    """One failure for what breaks one rule in several columns, or lacks in one file, so that it is read once."""
    rejected = {failure.file for failure in failures if failure.rule == failure.check == "required_columns"}
    alike: dict[tuple, list[Failure]] = {}
    for failure in failures:
        is_absent = failure.check == "required_columns" and failure.rule != failure.check
        if is_absent and failure.level == CONTRACT and failure.file in rejected:
            continue  # the rejection names the columns of the contract
        what = failure.severity if is_absent else failure.rule
        alike.setdefault((is_absent, what, failure.gap, failure.file), []).append(failure)
    return [
        found[0] if len(found) == 1 else _absent_columns(found) if is_absent else _one_rule(found)
        for (is_absent, *_), found in alike.items()
    ]


def _absent_columns(failures: list[Failure]) -> Failure:
    return replace(
        failures[0],
        rule=", ".join(failure.rule for failure in failures),
        column="",
        sentence=f"{failures[0].file} has no columns {', '.join(failure.column for failure in failures)}",
        violations=len(failures),
    )


def _one_rule(failures: list[Failure]) -> Failure:
    worst = sorted(failures, key=lambda failure: -failure.violations)
    columns = ", ".join(f"{failure.column} ({failure.violations:,})" for failure in worst)
    return replace(
        worst[0],
        column="",
        sentence=f"{worst[0].sentence.removeprefix(f'{worst[0].column}: ')}; it is in {columns}",
        violations=sum(failure.violations for failure in failures),
        rows=max(failure.rows for failure in failures),
        examples=[example for failure in worst for example in failure.examples[:1]][:EXAMPLES],
    )


def _in_words(failure: Failure) -> str:
    gap = f"known gap of {failure.gap}: " if failure.gap else ""
    if failure.file is not None or not failure.examples:
        return f"{gap}{failure.sentence}; {failure.remedy}"
    first = failure.examples[0]
    told = ", ".join(
        f"{column} is {value!r}" if value is not None else f"{column} is empty"
        for column, value in values(first).items()
    )
    rule = rules().get(f"{failure.rule} {failure.column}")
    if rule is not None and rule.kind == GROUP:
        counted = f"{failure.violations:,} groups of rows break this"
    elif rule is None:
        counted = f"{failure.violations:,} values break this"
    else:
        counted = f"{failure.violations:,} of {failure.rows:,} rows break this"
    where = f", where {told}" if told else ""
    return f"{gap}{failure.sentence}; {counted}, the first is {place(first)}{where}: {failure.remedy}"


def held(verdict: Verdict, lost: str) -> Verdict:
    """The verdict on a month that fulfils the contract and is held back all the same."""
    summary = (
        f"held back: {lost}. It is taken once the provider has shown the same for a while, or by "
        f"`focus-pipeline accept {verdict.connection} {verdict.month}`; until then the last good month stays in the "
        "table"
    )
    checks = [
        replace(check, passed=False, severity="ERROR", summary=summary) if check.name == "accepted" else check
        for check in verdict.checks
    ]
    return replace(verdict, accepted=False, checks=checks)


def acceptance(
    accepted: bool, whole_delivery_rejected: bool, failures: list[Failure], staged: StagedMonth
) -> CheckVerdict:
    rejected_files = len(staged.rejected_files)
    if whole_delivery_rejected:
        first = [file for file in staged.files if not file.same_as][:3]
        reasons = " · ".join(
            file.rejection.reason if file.rejection else f"{file.key} is {file.other}" for file in first
        )
        summary = (
            f"FOCUS validation failed: none of the {len(staged.files)} files of {staged.month} can be loaded: {reasons}"
        )
    elif not staged.files:
        said = "says that it is empty" if staged.declared else "shows nothing of it"
        summary = f"no rows: the provider {said}"
    elif accepted:
        without = (
            f", without {rejected_files} rejected file{'' if rejected_files == 1 else 's'}" if rejected_files else ""
        )
        summary = f"{staged.rows:,} rows of {len(staged.accepted_files)} files are accepted{without}"
    else:
        broken = [failure for failure in failures if failure.blocks]
        summary = "FOCUS validation failed: " + " · ".join(_in_words(failure) for failure in broken[:3])
    if not accepted:
        summary += f" — {staged.connection} {staged.month} is not accepted; the last good month stays in the table"
    return CheckVerdict(
        name="accepted",
        passed=accepted,
        severity="ERROR",
        summary=summary,
        rules=sum(rule.level == CONTRACT for rule in rules().values()),
        failures=[] if accepted else [f for f in failures if f.level == CONTRACT],
    )
