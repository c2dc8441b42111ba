"""Judges a staged month: every rule in one scan of its rows, and what each file was found to be.

The checks of CHECKS report the rules. One of them, `accepted`, decides: a month that breaks the contract is not
accepted, and the unified table keeps the last one that was.
"""

from dataclasses import replace
from decimal import Context, Decimal

from focus_pipeline.focus.rules import CONTRACT, HEADER, MUST, TYPE, Rule, rules
from focus_pipeline.focus.specification import judged_as
from focus_pipeline.json_records import write_record
from focus_pipeline.machine import machine_faults
from focus_pipeline.pipeline.csv_lines import lines_of_rows
from focus_pipeline.pipeline.examples import EXAMPLES, by_line
from focus_pipeline.pipeline.file_failures import file_failures
from focus_pipeline.pipeline.known_gaps import gap_of_rows
from focus_pipeline.pipeline.losses import loss
from focus_pipeline.pipeline.row_rules import applies, row_failures
from focus_pipeline.pipeline.verdict import CHECKS, acceptance, check_verdict, held
from focus_pipeline.records.accepted import (
    Accepted,
    accept,
    acceptance_of,
    accepted_delivery,
    hold_back,
    let_go,
)
from focus_pipeline.records.landed import LandedDelivery, landed_delivery
from focus_pipeline.records.staged import Broken, Layout, StagedFile, StagedMonth, staged_month
from focus_pipeline.records.verdicts import (
    SEVERITIES,
    Failure,
    RuleVerdict,
    Verdict,
    note_judged,
    recorded_verdict,
    verdict_path,
)
from focus_pipeline.sql import Watch, unwatched
from focus_pipeline.storage import DataDir

# Python's own decimals are rounded to 28 digits when they are added up.
_EXACT = Context(prec=80)


def judge(
    staged: StagedMonth,
    data_dir: DataDir,
    *,
    month_rule: bool,
    accept_loss: bool = False,
    landed: LandedDelivery | None = None,
    watch: Watch = unwatched,
) -> Verdict:
    """Judges a staged month, records the verdict beside it, and accepts it for publishing if it fulfils the contract.

    One that takes more of the month away than the limits allow is held back, unless `accept_loss`.
    What was judged before, and is the same since, is not judged again. A delivery that the provider showed earlier
    never takes the place of an accepted later one. landed: what was staged; without it, what landing has of it. Raises
    MachineFault where memory, disk or permissions are wanting: nothing is recorded then.
    """
    path = verdict_path(staged.connection, staged.month, staged.token, data_dir)
    with machine_faults(f"judging {staged.connection} {staged.month}", data_dir.memory_limit):
        verdict = recorded_verdict(path)
        if verdict is None or verdict.identity != staged.identity:
            verdict = _judged(staged, data_dir, month_rule, landed, watch)
            write_record(path, verdict)
        accepted = accepted_delivery(staged.connection, staged.month, data_dir)
        if verdict.accepted and accepted == acceptance_of(staged):
            # What is accepted was noted as judged before, and is held back no more.
            return verdict
        note_judged(verdict, staged.order, data_dir)
        lost = "" if accept_loss or not verdict.accepted else _lost(staged, accepted, data_dir)
        if lost:
            hold_back(staged, lost, data_dir)
            return held(verdict, lost)
        let_go(staged, data_dir)
        if verdict.accepted:
            accept(staged, data_dir)
    return verdict


def _lost(staged: StagedMonth, accepted: Accepted | None, data_dir: DataDir) -> str:
    """What of the accepted month a delivery would take away; "" where that is within the limits."""
    if accepted is None or accepted.token == staged.token or accepted.order > staged.order:
        return ""
    before = staged_month(staged.connection, staged.month, accepted.token, data_dir)
    return "" if before is None else loss(before, staged, data_dir.limits.loss)


def _judged(
    staged: StagedMonth, data_dir: DataDir, month_rule: bool, landed: LandedDelivery | None, watch: Watch
) -> Verdict:
    of_rows = [
        *_source_failures(staged),
        *row_failures(staged, data_dir, watch),
        *_reconciliation_failures(staged),
    ]
    whole_delivery_rejected = bool(staged.files) and not staged.accepted_files
    accepted = not whole_delivery_rejected and not any(failure.blocks for failure in of_rows)
    failures = _by_line([*file_failures(staged, accepted), *of_rows], staged, data_dir, landed)
    judged = _rule_verdicts(staged, failures)
    names = [name for name in CHECKS if name != "accepted" and (month_rule or name != "charge_month")]
    reported = [check_verdict(name, [f for f in failures if f.check == name], staged, judged) for name in names]
    return Verdict(
        connection=staged.connection,
        month=staged.month,
        token=staged.token,
        identity=staged.identity,
        accepted=accepted,
        score=_score(judged),
        checks=[acceptance(accepted, whole_delivery_rejected, failures, staged), *reported],
        rules=judged,
    )


def _by_line(
    failures: list[Failure], staged: StagedMonth, data_dir: DataDir, landed: LandedDelivery | None
) -> list[Failure]:
    """The failures with the lines of CSV files in their examples; rows stay where a file is not kept any more."""
    csv_files = {file.key: file for file in staged.accepted_files if file.lines}
    rows: dict[str, set[int]] = {}
    for failure in failures:
        for example in failure.examples:
            if "row" in example and example["file"] in csv_files:
                rows.setdefault(example["file"], set()).add(example["row"])
    # Where lines are as many as records, each record is one.
    plain = [key for key in rows if csv_files[key].lines == csv_files[key].rows + 1]
    lines = {key: {row: row + 1 for row in rows[key]} for key in plain}
    if len(lines) < len(rows):
        landed = landed or landed_delivery(staged.connection, staged.month, staged.token, data_dir)
        for file in landed.files if landed else ():
            if file.key in rows and file.key not in lines and file.path.exists():
                packed = csv_files[file.key].layout.format == "csv.gz"
                lines[file.key] = lines_of_rows(file.path, packed, rows[file.key])
    return [
        replace(failure, examples=[by_line(example, lines.get(example["file"], {})) for example in failure.examples])
        for failure in failures
    ]


def _source_failures(staged: StagedMonth) -> list[Failure]:
    """What the text of the files breaks: for each rule one failure, and one more for each known gap."""
    found: dict[tuple[str, str | None], list[tuple[StagedFile, Broken]]] = {}
    for file in staged.accepted_files:
        for broken in file.broken:
            if rules()[broken.rule].kind not in (HEADER, TYPE):
                gap = gap_of_rows(rules()[broken.rule].id, broken.provider, file)
                found.setdefault((broken.rule, gap), []).append((file, broken))
    return [_source_failure(rules()[key], gap, broken) for (key, gap), broken in found.items()]


def _source_failure(rule: Rule, gap: str | None, broken: list[tuple[StagedFile, Broken]]) -> Failure:
    said = broken[0][1].sentence
    return Failure(
        rule=rule.id,
        column=rule.column,
        check=rule.check,
        # What is mended is in the table as it was meant, and keeps nothing from being accepted.
        level=MUST if rule.level == CONTRACT else rule.level,
        sentence=f"{said}; it is mended in the table" if said else rule.sentence,
        violations=sum(one.violations for _, one in broken),
        rows=sum({file.key: file.rows for file, _ in broken}.values()),
        remedy=rule.remedy,
        gap=gap,
        examples=[
            {"file": file.key, "row": example["row"], rule.column: example["value"]}
            for file, one in broken
            for example in one.examples
        ][:EXAMPLES],
    )


def _reconciliation_failures(staged: StagedMonth) -> list[Failure]:
    in_files = {"rows": Decimal(sum(file.rows for file in staged.accepted_files))}
    for file in staged.accepted_files:
        for column, costs in (("BilledCost", file.billed_cost), ("EffectiveCost", file.effective_cost)):
            for currency, cost in costs.items():
                what = f"{column} in {currency or 'no currency'}"
                in_files[what] = _EXACT.add(in_files.get(what, Decimal(0)), Decimal(cost))
    in_staged = {"rows": Decimal(sum(total.rows for total in staged.totals))}
    for total in staged.totals:
        for column, cost in (("BilledCost", total.billed_cost), ("EffectiveCost", total.effective_cost)):
            in_staged[f"{column} in {total.currency or 'no currency'}"] = Decimal(cost)
    different = [
        f"{what}: the files hold {in_files.get(what, 0):,}, the staged month {in_staged.get(what, 0):,}"
        for what in sorted(in_files | in_staged, key=lambda what: (what != "rows", what))
        if in_files.get(what) != in_staged.get(what)
    ]
    if not different:
        return []
    return [
        Failure(
            rule="reconciliation",
            check="reconciliation",
            level=CONTRACT,
            sentence="; ".join(different),
            violations=len(different),
            rows=staged.rows,
            remedy="this is a fault of the pipeline, not of the files; please report it",
        )
    ]


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
    judged = [rows for layout, rows in staged.rows_of.items() if _judges(rule, layout)]
    return sum(judged) if judged else None


def _judges(rule: Rule, layout: Layout) -> bool:
    match rule.kind:
        case "row" | "group" | "repeated":
            return applies(rule, layout)
        case "written":
            return rule.column in layout.recognised
        case "type":
            return rule.column in layout.recognised and layout.format == "parquet"
        case _:
            return rule.holds_for(judged_as(layout.focus_version))


def _rule_verdict(rule: str, column: str, check: str, level: str, rows: int, failures: list[Failure]) -> RuleVerdict:
    severity = min((failure.severity for failure in failures), key=SEVERITIES.index, default="")
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


def _score(judged: list[RuleVerdict]) -> float | None:
    counted = [verdict for verdict in judged if verdict.verdict not in ("not applicable", "note")]
    kept = sum(verdict.verdict == "passed" for verdict in counted)
    return round(100 * kept / len(counted), 1) if counted else None
