"""Judges a staged month: every rule in one scan of its rows, and what each file was found to be.

A handful of checks (CHECKS) report the rules. One of them, `accepted`, decides: a month that breaks the contract is
not accepted, and the unified table keeps the last one that was.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from decimal import Context, Decimal

import duckdb

from focus_pipeline.focus.canonical import literal, quoted
from focus_pipeline.focus.rules import CONTRACT, SHOULD, Rule, predicates, rules
from focus_pipeline.pipeline.data_dir import DataDir, read_json, write_json
from focus_pipeline.pipeline.normalise import EXAMPLES, StagedFile, StagedMonth

# Python's own decimals are rounded to 28 digits when they are added up.
_EXACT = Context(prec=80)

CHECKS = {
    "accepted": "The month fulfils the contract and may be published. If it fails, the last good month stays.",
    "files_readable": "Every file of the delivery is a whole CSV, gzip CSV or Parquet file.",
    "required_columns": "Every file has the columns of the contract.",
    "charge_month": "Every row's ChargePeriodStart lies in the month under which its file was delivered.",
    "values_readable": "Numbers, moments and JSON can be read, exactly.",
    "not_null": "Columns that need a value have one in every row.",
    "allowed_values": "Columns with a fixed list of values hold one of them.",
    "currency_codes": "Currencies are codes of ISO 4217.",
    "period_order": "Periods end after they start.",
    "reconciliation": "Rows and BilledCost of the staged month equal those of its files, to the last decimal.",
}


@dataclass(frozen=True)
class Failure:
    """A rule that was broken. file: where the whole failure is about one file. rows: how many rows were judged.

    examples: of what breaks it, each with file, row (from 1, header not counted) and values, as text.
    """

    rule: str
    level: str
    sentence: str
    violations: int
    rows: int
    remedy: str
    file: str | None = None
    examples: list[dict] = field(default_factory=list)


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
class Verdict:
    """The judgement of one staged month."""

    connection: str
    month: str
    token: str
    identity: str
    accepted: bool
    checks: list[CheckVerdict]


def judge(staged: StagedMonth, data_dir: DataDir, *, month_rule: bool) -> Verdict:
    """Judges a staged month, records the verdict beside it, and accepts it for publishing if it fulfils the contract.

    A delivery that the provider showed earlier never takes the place of an accepted later one.
    """
    failures = [*_file_failures(staged), *_row_failures(staged, data_dir), *_reconciliation_failures(staged)]
    whole_delivery_rejected = bool(staged.files) and not staged.accepted_files
    accepted = not whole_delivery_rejected and not any(
        failure.level == CONTRACT and failure.file is None for failure in failures
    )
    names = [name for name in CHECKS if name != "accepted" and (month_rule or name != "charge_month")]
    reported = [_check_verdict(name, [f for f in failures if _check_of(f) == name], staged) for name in names]
    verdict = Verdict(
        connection=staged.connection,
        month=staged.month,
        token=staged.token,
        identity=staged.identity,
        accepted=accepted,
        checks=[_acceptance(accepted, whole_delivery_rejected, failures, staged), *reported],
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
    for file in staged.accepted_files:
        failures += _column_remarks(file)
    return failures


def _column_remarks(file: StagedFile) -> Iterator[Failure]:
    if file.missing:
        names = ", ".join(file.missing)
        yield Failure(
            rule="required_columns",
            level=SHOULD,
            sentence=f"{file.key} has no column {names}",
            violations=len(file.missing),
            rows=file.rows,
            remedy="add the column if the provider has it; it is null in the table until then",
            file=file.key,
        )
    if file.unknown:
        names = ", ".join(file.unknown)
        yield Failure(
            rule="required_columns",
            level=SHOULD,
            sentence=f"{file.key} has columns that are neither of FOCUS nor named x_…: {names}",
            violations=len(file.unknown),
            rows=file.rows,
            remedy="name a column of your own x_…; its values are kept in x_ProviderColumns either way",
            file=file.key,
        )
    if file.rounded:
        columns = ", ".join(f"{name} in {count:,} rows" for name, count in file.rounded.items())
        yield Failure(
            rule="values_readable",
            level=SHOULD,
            sentence=f"{file.key} has floating-point numbers of more than 18 decimals, rounded to 18: {columns}",
            violations=sum(file.rounded.values()),
            rows=file.rows,
            remedy="have the provider write DECIMAL or text with at most 18 decimals",
            file=file.key,
        )


def _row_failures(staged: StagedMonth, data_dir: DataDir) -> list[Failure]:
    """Counts the violations of all rules in one scan; a second one finds examples, only of rules that are broken."""
    present = {name for file in staged.accepted_files for name in file.recognised}
    compiled = predicates(data_dir.root / "cache")
    applicable = [rule for rule in rules().values() if rule.column in present]
    if not staged.rows or not applicable:
        return []
    month = f"read_parquet({literal(str(staged.path))}, file_row_number = true)"
    with duckdb.connect(config={"temp_directory": str(data_dir.scratch)}) as connection:
        broken_rows = {
            rule.id: f"NOT coalesce({compiled[rule.id]}, true){_but_where_absent(rule, staged)}" for rule in applicable
        }
        counts = connection.execute(
            f"SELECT {_listed(f'count_if({broken})' for broken in broken_rows.values())} FROM {month}"
        ).fetchone()
        broken = {rule.id: count for rule, count in zip(applicable, counts, strict=True) if count}
        if not broken:
            return []
        firsts = connection.execute(
            "SELECT "
            + _listed(f"min(file_row_number, {EXAMPLES}) FILTER (WHERE {broken_rows[rule]})" for rule in broken)
            + f" FROM {month}"
        ).fetchone()
        rows = _rows_at(connection, month, sorted({row for numbers in firsts for row in numbers}))
    return [
        Failure(
            rule=rule,
            level=rules()[rule].level,
            sentence=rules()[rule].sentence,
            violations=count,
            rows=staged.rows,
            remedy=rules()[rule].remedy,
            examples=[_example(staged, rules()[rule], number, rows[number]) for number in numbers],
        )
        for (rule, count), numbers in zip(broken.items(), firsts, strict=True)
    ]


def _but_where_absent(rule: Rule, staged: StagedMonth) -> str:
    """Leaves out the rows of files without the rule's column: that it is absent is said of the file."""
    without = [literal(file.key) for file in staged.accepted_files if rule.column not in file.recognised]
    return f" AND x_SourceFile NOT IN ({_listed(without)})" if without else ""


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


def _check_of(failure: Failure) -> str:
    rule = rules().get(failure.rule)
    return rule.check if rule else failure.rule


def _check_verdict(name: str, failures: list[Failure], staged: StagedMonth) -> CheckVerdict:
    failures = sorted(failures, key=lambda failure: (failure.level == SHOULD, -failure.violations))
    judged = sum(rule.check == name for rule in rules().values())
    serious = [failure for failure in failures if failure.level != SHOULD]
    if failures:
        summary = " · ".join(_in_words(failure) for failure in failures[:3])
        if len(failures) > 3:
            summary += f" · and {len(failures) - 3} more, see the table"
    else:
        summary = f"{len(staged.accepted_files)} files, {staged.rows:,} rows"
    return CheckVerdict(
        name=name,
        passed=not failures,
        severity="ERROR" if serious else "WARN",
        summary=summary,
        rules=judged,
        failures=failures,
    )


def _in_words(failure: Failure) -> str:
    if failure.file is not None or not failure.examples:
        return f"{failure.sentence}; {failure.remedy}"
    first = failure.examples[0]
    values = ", ".join(
        f"{column} is {value!r}" if value is not None else f"{column} is empty"
        for column, value in first.items()
        if column not in ("file", "row")
    )
    return (
        f"{failure.sentence}; {failure.violations:,} of {failure.rows:,} rows do not, "
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
        broken = [failure for failure in failures if failure.level == CONTRACT and failure.file is None]
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
