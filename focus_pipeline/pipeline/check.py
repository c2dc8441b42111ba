"""Judges a staged month: every rule in one scan of its rows, and what each file was found to be.

The checks (CHECKS) report the rules. One of them, `accepted`, decides: a month that breaks the contract is
not accepted, and the unified table keeps the last one that was.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from decimal import Context, Decimal

import duckdb

from focus_pipeline.focus.canonical import CANONICAL, LINEAGE, literal, quoted
from focus_pipeline.focus.rules import (
    CONTRACT,
    GROUP,
    HEADER,
    MUST,
    NOTE,
    PRESENT,
    REPEATED,
    ROW,
    SHOULD,
    TYPE,
    Rule,
    predicates,
    rules,
    rules_of,
)
from focus_pipeline.focus.specification import KnownGap, contract, judged_as, known_gaps
from focus_pipeline.pipeline.data_dir import DataDir, read_json, write_json
from focus_pipeline.pipeline.normalise import StagedFile, StagedMonth
from focus_pipeline.pipeline.written import EXAMPLES, Broken

# Python's own decimals are rounded to 28 digits when they are added up.
_EXACT = Context(prec=80)

CHECKS = {
    "accepted": "The month fulfils the contract and may be published. If it fails, the last good month stays.",
    "files_readable": "Every file of the delivery is a whole CSV, gzip CSV or Parquet file.",
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
    "reconciliation": "Rows and BilledCost of the staged month equal those of its files, to the last decimal.",
}

# A MUST of the specification is an error, a provider's known gap is not.
_SEVERITY = {CONTRACT: "ERROR", MUST: "ERROR", SHOULD: "WARN", NOTE: "NOTE"}


@dataclass(frozen=True)
class Failure:
    """A rule that was broken. column: "" for rules that are of no column. file: where the whole failure is about one
    file. rows: how many rows were judged. gap: "AWS 1.0" where it is a known gap of that provider's exports.

    examples: of what breaks it, each with file, row (from 1, header not counted) and values, as text.
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
    """The judgement of one staged month. score: percentage of the rules that were judged and not broken."""

    connection: str
    month: str
    token: str
    identity: str
    accepted: bool
    score: float
    checks: list[CheckVerdict]
    rules: list[RuleVerdict]


def judge(staged: StagedMonth, data_dir: DataDir, *, month_rule: bool) -> Verdict:
    """Judges a staged month, records the verdict beside it, and accepts it for publishing if it fulfils the contract.

    A delivery that the provider showed earlier never takes the place of an accepted later one.
    """
    failures = [
        *_file_failures(staged),
        *_source_failures(staged),
        *_row_failures(staged, data_dir),
        *_reconciliation_failures(staged),
    ]
    whole_delivery_rejected = bool(staged.files) and not staged.accepted_files
    accepted = not whole_delivery_rejected and not any(failure.blocks for failure in failures)
    judged = _rule_verdicts(staged, failures)
    names = [name for name in CHECKS if name != "accepted" and (month_rule or name != "charge_month")]
    reported = [_check_verdict(name, [f for f in failures if f.check == name], staged, judged) for name in names]
    verdict = Verdict(
        connection=staged.connection,
        month=staged.month,
        token=staged.token,
        identity=staged.identity,
        accepted=accepted,
        score=_score(judged),
        checks=[_acceptance(accepted, whole_delivery_rejected, failures, staged), *reported],
        rules=judged,
    )
    folder = data_dir.staged(staged.connection, staged.month)
    write_json(folder / f"{staged.token}.verdict.json", asdict(verdict))
    if accepted:
        _accept(staged, data_dir)
    return verdict


def accepted_delivery(connection: str, month: str, data_dir: DataDir) -> dict | None:
    """token, identity and listed_at of the delivery that publishing takes, None where none was ever accepted."""
    return read_json(data_dir.staged(connection, month) / "accepted.json")


def verdict_on(connection: str, month: str, token: str, data_dir: DataDir) -> bool | None:
    """Whether a delivery was accepted; None where it was not judged yet."""
    content = read_json(data_dir.staged(connection, month) / f"{token}.verdict.json")
    return None if content is None else content["accepted"]


def _accept(staged: StagedMonth, data_dir: DataDir) -> None:
    former = accepted_delivery(staged.connection, staged.month, data_dir)
    if former is not None and former["listed_at"] > staged.listed_at:
        return
    write_json(
        data_dir.staged(staged.connection, staged.month) / "accepted.json",
        {"token": staged.token, "identity": staged.identity, "listed_at": staged.listed_at},
    )


def _file_failures(staged: StagedMonth) -> list[Failure]:
    failures = [
        Failure(
            rule=file.rejection.rule,
            check=file.rejection.rule,
            level=CONTRACT,
            sentence=f"{file.key} is rejected: {file.rejection.reason}",
            violations=len(file.rejection.examples) or 1,
            rows=file.rows,
            remedy="correct the file and upload it again; the month's other files are loaded without it",
            file=file.key,
            examples=[{"file": file.key, **example} for example in file.rejection.examples],
        )
        for file in staged.rejected_files
    ]
    for file in staged.files:
        if file.columns and (file.rejection is None or file.rejection.rule == "required_columns"):
            failures += _missing_columns(file)
    for file in staged.accepted_files:
        failures += _column_remarks(file)
    return failures


def _missing_columns(file: StagedFile) -> Iterator[Failure]:
    """A failure for each column that the file's version asks for and that it lacks."""
    version = judged_as(file.focus_version)
    missing = [
        rule for rule in rules_of(PRESENT) if rule.holds_for(version) and rule.column not in file.recognised
    ]
    for rule in missing:
        gap = next((gap for gap in known_gaps() if rule.id in gap.rules and _all_of(file, gap)), None)
        yield Failure(
            rule=rule.id,
            column=rule.column,
            check=rule.check,
            level=rule.level,
            sentence=f"{file.key} has no column {rule.column}",
            violations=1,
            rows=file.rows,
            remedy=rule.remedy,
            file=file.key,
            gap=gap and f"{gap.provider} {file.focus_version}",
        )
    said = {rule.column for rule in missing}
    for name in contract().expected:
        if name not in file.recognised and name not in said:
            yield Failure(
                rule=f"{name}-expected",
                column=name,
                check="required_columns",
                level=SHOULD,
                sentence=f"{file.key} has no column {name}",
                violations=1,
                rows=file.rows,
                remedy="add the column if the provider has it; it is null in the table until then",
                file=file.key,
            )


def _column_remarks(file: StagedFile) -> Iterator[Failure]:
    """What is said of a file's header and of how it stores its values."""
    for broken in file.broken:
        rule = rules()[broken.rule]
        if rule.kind not in (HEADER, TYPE):
            continue
        gap = next((gap for gap in known_gaps() if rule.id in gap.rules and _all_of(file, gap)), None)
        yield Failure(
            rule=rule.id,
            column=rule.column if rule.kind == TYPE else "",
            check=rule.check,
            level=rule.level,
            sentence=f"{file.key} has {broken.sentence}",
            violations=broken.violations,
            rows=file.rows,
            remedy=rule.remedy,
            file=file.key,
            gap=gap and f"{gap.provider} {file.focus_version}",
        )
    if file.rounded:
        columns = ", ".join(f"{name} in {count:,} rows" for name, count in file.rounded.items())
        yield Failure(
            rule="values_readable",
            check="values_readable",
            level=SHOULD,
            sentence=f"{file.key} has floating-point numbers of more than 18 decimals, rounded to 18: {columns}",
            violations=sum(file.rounded.values()),
            rows=file.rows,
            remedy="have the provider write DECIMAL or text with at most 18 decimals",
            file=file.key,
        )


def _source_failures(staged: StagedMonth) -> list[Failure]:
    """What the text of the files breaks: for each rule one failure, and one more for each known gap."""
    found: dict[tuple[str, str | None], list[tuple[StagedFile, Broken]]] = {}
    for file in staged.accepted_files:
        for broken in file.broken:
            if rules()[broken.rule].kind not in (HEADER, TYPE):
                found.setdefault((broken.rule, _gap_of(broken, file)), []).append((file, broken))
    return [_source_failure(rules()[key], gap, broken) for (key, gap), broken in found.items()]


def _source_failure(rule: Rule, gap: str | None, broken: list[tuple[StagedFile, Broken]]) -> Failure:
    mended = rule.kind == ROW
    return Failure(
        rule=rule.id,
        column=rule.column,
        check=rule.check,
        # What is mended is in the table as it was meant, and keeps nothing from being accepted.
        level=MUST if rule.level == CONTRACT else rule.level,
        sentence=f"{rule.sentence}, as it is written{' (it is mended in the table)' if mended else ''}",
        violations=sum(one.violations for _, one in broken),
        rows=sum(file.rows for file in dict((file.key, file) for file, _ in broken).values()),
        remedy=rule.remedy,
        gap=gap,
        examples=[
            {"file": file.key, "row": example["row"], rule.column: example["value"]}
            for file, one in broken
            for example in one.examples
        ][:EXAMPLES],
    )


def _gap_of(broken: Broken, file: StagedFile) -> str | None:
    gap = next(
        (
            gap
            for gap in known_gaps()
            if rules()[broken.rule].id in gap.rules
            and (broken.provider or "").lower() in gap.names
            and _of_version(file, gap)
        ),
        None,
    )
    return gap and f"{gap.provider} {file.focus_version}"


def _all_of(file: StagedFile, gap: KnownGap) -> bool:
    """Whether all rows of the file are of the gap's provider."""
    return (
        bool(file.providers) and all(name.lower() in gap.names for name in file.providers) and _of_version(file, gap)
    )


def _of_version(file: StagedFile, gap: KnownGap) -> bool:
    return not gap.versions or file.focus_version in gap.versions


def applies(rule: Rule, file: StagedFile) -> bool:
    """Whether a rule about values judges the rows of a file: its version has the rule, and it has the columns."""
    return rule.holds_for(judged_as(file.focus_version)) and all(name in file.recognised for name in rule.needs)


def _row_failures(staged: StagedMonth, data_dir: DataDir) -> list[Failure]:
    """Counts the violations of all rules: those about rows in one scan, those about groups in one more query.

    A further scan finds examples and known gaps, only of rules that are broken.
    """
    applicable = [rule for rule in rules().values() if any(applies(rule, file) for file in staged.accepted_files)]
    if not staged.rows or not applicable:
        return []
    compiled = predicates(data_dir.root / "cache")
    month = f"read_parquet({literal(str(staged.path))}, file_row_number = true)"
    with duckdb.connect(config={"temp_directory": str(data_dir.scratch)}) as connection:
        found = [
            *_of_rows(connection, month, [rule for rule in applicable if rule.kind == ROW], compiled, staged),
            *_of_groups(connection, month, [rule for rule in applicable if rule.kind == GROUP], compiled, staged),
            *(_repeated(connection, month, rule, staged) for rule in rules_of(REPEATED)),
        ]
    return [failure for failure in found if failure.violations]


def _of_rows(
    connection: duckdb.DuckDBPyConnection,
    month: str,
    applicable: list[Rule],
    compiled: Mapping[str, str],
    staged: StagedMonth,
) -> list[Failure]:
    broken_rows = {
        rule.key: f"(NOT coalesce({compiled[rule.key]}, true){_but_where_not_judged(rule, staged)})"
        for rule in applicable
    }
    counts = connection.execute(
        f"SELECT {_listed(f'count_if({broken})' for broken in broken_rows.values())} FROM {month}"
    ).fetchone()
    # A rule's rows, apart by known gap: the gap's label -> the condition of the broken rows that it accounts for.
    parts = [
        (rule, label, f"{broken_rows[rule.key]} AND {condition}")
        for rule, count in zip(applicable, counts, strict=True)
        if count
        for label, condition in _by_gap(rule, staged)
    ]
    if not parts:
        return []
    found = connection.execute(
        "SELECT "
        + _listed(
            f"count(*) FILTER ({condition}), min(file_row_number, {EXAMPLES}) FILTER (WHERE {condition})"
            for _, _, condition in parts
        )
        + f" FROM {month}"
    ).fetchone()
    counted = [
        (rule, label, found[2 * i], found[2 * i + 1]) for i, (rule, label, _) in enumerate(parts) if found[2 * i]
    ]
    rows = _rows_at(connection, month, sorted({row for *_, numbers in counted for row in numbers}))
    return [
        Failure(
            rule=rule.id,
            column=rule.column,
            check=rule.check,
            level=rule.level,
            sentence=rule.sentence,
            violations=count,
            rows=_judged_rows(rule, staged),
            remedy=rule.remedy,
            gap=label,
            examples=[_example(staged, rule, number, rows[number]) for number in numbers],
        )
        for rule, label, count, numbers in counted
    ]


def _of_groups(
    connection: duckdb.DuckDBPyConnection,
    month: str,
    applicable: list[Rule],
    compiled: Mapping[str, str],
    staged: StagedMonth,
) -> list[Failure]:
    queries = []
    for rule in applicable:
        per = _listed(quoted(name) for name in rule.per)
        values = _listed(f"{literal(name)}: CAST({quoted(name)} AS VARCHAR)" for name in rule.per)
        held = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in rule.per)
        queries.append(
            f"""
            SELECT {literal(rule.key)} AS rule, count(*) AS violations, min(example, {EXAMPLES}) AS examples
            FROM (
                SELECT
                    {{'first': min(file_row_number), 'per': MAP {{{values}}},
                      'of': list(DISTINCT CAST({quoted(rule.column)} AS VARCHAR))[:{EXAMPLES}]}} AS example
                FROM {month}
                WHERE {held}{_but_where_not_judged(rule, staged)}
                GROUP BY {per}
                HAVING NOT coalesce({compiled[rule.key]}, true)
            )
            """
        )
    if not queries:
        return []
    found = connection.execute(" UNION ALL ".join(queries)).fetchall()
    return [
        Failure(
            rule=rules()[key].id,
            column=rules()[key].column,
            check=rules()[key].check,
            level=rules()[key].level,
            sentence=rules()[key].sentence,
            violations=count,
            rows=_judged_rows(rules()[key], staged),
            remedy=rules()[key].remedy,
            examples=[_group_example(staged, rules()[key], example) for example in examples or []],
        )
        for key, count, examples in found
    ]


def _group_example(staged: StagedMonth, rule: Rule, example: dict) -> dict:
    file, row = staged.source_of(example["first"])
    return {"file": file.key, "row": row} | example["per"] | {rule.column: " and ".join(filter(None, example["of"]))}


def _repeated(connection: duckdb.DuckDBPyConnection, month: str, rule: Rule, staged: StagedMonth) -> Failure:
    """How many rows are alike to an earlier one in all that was sent."""
    compared = _listed(quoted(name) for name in CANONICAL if name not in LINEAGE or name == "x_ProviderColumns")
    count, firsts = connection.execute(
        f"""
        SELECT coalesce(sum(copies - 1), 0), coalesce(min(first, {EXAMPLES}), [])
        FROM (
            SELECT count(*) AS copies, min(file_row_number) AS first
            FROM {month}
            GROUP BY hash({compared})
            HAVING count(*) > 1
        )
        """
    ).fetchone()
    return Failure(
        rule=rule.id,
        check=rule.check,
        level=rule.level,
        sentence=rule.sentence,
        violations=int(count),
        rows=staged.rows,
        remedy=rule.remedy,
        examples=[{"file": file.key, "row": row} for file, row in map(staged.source_of, firsts)],
    )


def _by_gap(rule: Rule, staged: StagedMonth) -> Iterator[tuple[str | None, str]]:
    """Label of a known gap of the rule, None for what no gap accounts for -> SQL condition of its rows."""
    accounted = []
    for gap in known_gaps():
        held = sorted({file.focus_version for file in staged.accepted_files if _of_version(file, gap)})
        if rule.id in gap.rules and held:
            condition = (
                f"(coalesce(lower(ServiceProviderName), '') IN ({_listed(map(literal, gap.names))}) "
                f"AND x_FocusVersion IN ({_listed(map(literal, held))}))"
            )
            yield f"{gap.provider} {', '.join(held)}", condition
            accounted.append(condition)
    yield None, f"NOT ({' OR '.join(accounted)})" if accounted else "true"


def _but_where_not_judged(rule: Rule, staged: StagedMonth) -> str:
    """Leaves out the rows of files that the rule does not judge; that a column is absent is said of the file."""
    without = [literal(file.key) for file in staged.accepted_files if not applies(rule, file)]
    return f" AND x_SourceFile NOT IN ({_listed(without)})" if without else ""


def _judged_rows(rule: Rule, staged: StagedMonth) -> int:
    return sum(file.rows for file in staged.accepted_files if applies(rule, file))


def _rows_at(connection: duckdb.DuckDBPyConnection, month: str, numbers: list[int]) -> dict[int, dict]:
    columns = sorted({column for rule in rules().values() for column in rule.shown})
    found = connection.execute(
        f"SELECT file_row_number, x_ProviderColumns, {_listed(f'CAST({quoted(c)} AS VARCHAR)' for c in columns)} "
        f"FROM {month} WHERE file_row_number IN (SELECT unnest($numbers))",
        {"numbers": numbers},
    ).fetchall()
    return {
        number: {"x_ProviderColumns": aside} | dict(zip(columns, row, strict=True)) for number, aside, *row in found
    }


def _example(staged: StagedMonth, rule: Rule, number: int, row: dict) -> dict:
    file, source_row = staged.source_of(number)
    values = {column: row[column] for column in rule.shown}
    if rule.check == "values_readable":
        # What was sent is beside the row: the canonical value of it is null.
        values = {rule.column: _from_json(row["x_ProviderColumns"], rule.column)}
    return {"file": file.key, "row": source_row, **values}


def _from_json(text: str | None, key: str) -> str | None:
    return json.loads(text or "{}").get(key)


def _rule_verdicts(staged: StagedMonth, failures: list[Failure]) -> list[RuleVerdict]:
    """What came of every rule, and of what was found beyond them."""
    broken: dict[tuple[str, str], list[Failure]] = {}
    for failure in failures:
        broken.setdefault((failure.rule, failure.column), []).append(failure)
    verdicts = []
    for rule in rules().values():
        column = "" if rule.kind == HEADER else rule.column
        found = broken.pop((rule.id, column), [])
        rows = _judged_rows_of_any(rule, staged)
        if found or rows is not None:
            verdicts.append(_rule_verdict(rule.id, column, rule.check, rule.level, rows or 0, found))
        else:
            verdicts.append(RuleVerdict(rule.id, column, rule.check, rule.level, "", "not applicable", 0, 0))
    for (rule, column), found in broken.items():
        verdicts.append(_rule_verdict(rule, column, found[0].check, found[0].level, found[0].rows, found))
    return verdicts


def _judged_rows_of_any(rule: Rule, staged: StagedMonth) -> int | None:
    """How many rows a rule of any kind judged, None where no file was judged by it."""
    judged = [file for file in staged.accepted_files if file.columns and _judges(rule, file)]
    return sum(file.rows for file in judged) if judged else None


def _judges(rule: Rule, file: StagedFile) -> bool:
    match rule.kind:
        case "row" | "group" | "repeated":
            return applies(rule, file)
        case "written":
            return rule.column in file.recognised
        case "type":
            return rule.column in file.recognised and file.format == "parquet"
        case _:
            return rule.holds_for(judged_as(file.focus_version))


def _rule_verdict(
    rule: str, column: str, check: str, level: str, rows: int, failures: list[Failure]
) -> RuleVerdict:
    severity = min((failure.severity for failure in failures), key=("ERROR", "WARN", "NOTE").index, default="")
    if not failures:
        verdict = "passed"
    elif severity == "NOTE":
        verdict = "note"
    else:
        verdict = "known gap" if all(failure.gap for failure in failures) else "failed"
    return RuleVerdict(
        rule=rule,
        column=column,
        check=check,
        level=level,
        severity=severity,
        verdict=verdict,
        violations=sum(failure.violations for failure in failures),
        rows=rows,
        gap=", ".join(dict.fromkeys(failure.gap for failure in failures if failure.gap)),
        examples=[example for failure in failures for example in failure.examples][:EXAMPLES],
    )


def _score(judged: list[RuleVerdict]) -> float:
    counted = [verdict for verdict in judged if verdict.verdict not in ("not applicable", "note")]
    kept = sum(verdict.verdict == "passed" for verdict in counted)
    return round(100 * kept / len(counted), 1) if counted else 100.0


def _reconciliation_failures(staged: StagedMonth) -> list[Failure]:
    in_files = {"rows": Decimal(sum(file.rows for file in staged.accepted_files))}
    for file in staged.accepted_files:
        for currency, cost in file.billed_cost.items():
            what = f"BilledCost in {currency or 'no currency'}"
            in_files[what] = _EXACT.add(in_files.get(what, Decimal(0)), Decimal(cost))
    in_staged = {"rows": Decimal(staged.rows)}
    for total in staged.totals:
        in_staged[f"BilledCost in {total.currency or 'no currency'}"] = Decimal(total.billed_cost)
    return [
        Failure(
            rule="reconciliation",
            level=CONTRACT,
            sentence=f"{what}: the files hold {in_files.get(what, 0):,}, the staged month {in_staged.get(what, 0):,}",
            violations=1,
            rows=staged.rows,
            remedy="this is a fault of the pipeline, not of the files; please report it",
        )
        for what in sorted(in_files | in_staged)
        if in_files.get(what) != in_staged.get(what)
    ]


def _check_verdict(
    name: str, failures: list[Failure], staged: StagedMonth, judged: list[RuleVerdict]
) -> CheckVerdict:
    failures = sorted(_merged(failures), key=lambda failure: (("ERROR", "WARN", "NOTE").index(failure.severity), -failure.violations))
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
    """One failure for what breaks one rule in several columns, so that it is read once."""
    alike: dict[tuple, list[Failure]] = {}
    for failure in failures:
        alike.setdefault((failure.rule, failure.gap, failure.file), []).append(failure)
    return [found[0] if len(found) == 1 else _merged_one(found) for found in alike.values()]


def _merged_one(failures: list[Failure]) -> Failure:
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
    values = ", ".join(
        f"{column} is {value!r}" if value is not None else f"{column} is empty"
        for column, value in first.items()
        if column not in ("file", "row")
    )
    rule = rules().get(f"{failure.rule} {failure.column}")
    if rule is not None and rule.kind == GROUP:
        counted = f"{failure.violations:,} groups of rows break this"
    elif rule is None:
        counted = f"{failure.violations:,} values break this"
    else:
        counted = f"{failure.violations:,} of {failure.rows:,} rows break this"
    return (
        f"{gap}{failure.sentence}; {counted}, "
        f"the first is row {first['row']:,} of {first['file']}, where {values}: {failure.remedy}"
    )


def _acceptance(
    accepted: bool, whole_delivery_rejected: bool, failures: list[Failure], staged: StagedMonth
) -> CheckVerdict:
    rejected_files = len(staged.rejected_files)
    if whole_delivery_rejected:
        reasons = " · ".join(file.rejection.reason for file in staged.rejected_files[:3])
        summary = (
            f"FOCUS validation failed: none of the {rejected_files} files of {staged.month} can be loaded: {reasons}"
        )
    elif accepted:
        without = f", without {rejected_files} rejected files" if rejected_files else ""
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


def _listed(parts: Iterable[str]) -> str:
    return ", ".join(parts)
