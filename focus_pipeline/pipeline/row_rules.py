"""Judges the rows of a staged month: every rule about rows in one scan, and one more query for those about groups."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import duckdb

from focus_pipeline.focus.canonical import CANONICAL, LINEAGE, UNREADABLE
from focus_pipeline.focus.rules import GROUP, REPEATED, ROW, Rule, predicates, rules, rules_of
from focus_pipeline.focus.specification import columns, judged_as, known_gaps
from focus_pipeline.pipeline.examples import EXAMPLES, shortened, shortened_value
from focus_pipeline.pipeline.known_gaps import is_of_version
from focus_pipeline.pipeline.staged_rows import LAYOUT, rows_of_month
from focus_pipeline.records.staged import Layout, StagedMonth
from focus_pipeline.records.verdicts import Failure
from focus_pipeline.sql import Watch, literal, open_duckdb, quoted
from focus_pipeline.storage import DataDir

# Numbers with more digits before their point than a DECIMAL(38, 18) has.
_TOO_LARGE = (
    r"CASE WHEN regexp_full_match({0}, '\s*[+-]?0*[1-9][0-9]{{20,}}(\.[0-9]*)?\s*') THEN true "
    r"WHEN regexp_full_match({0}, '\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)[eE][+-]?[0-9]+\s*') "
    "THEN coalesce(abs(TRY_CAST({0} AS DOUBLE)), 0) >= 1e20 ELSE false END"
)

# Rows that differ in one of these differ.
_TELLING = (
    "BilledCost",
    "ChargeCategory",
    "ChargeDescription",
    "ChargePeriodStart",
    "EffectiveCost",
    "ResourceId",
    "SkuPriceId",
    "SubAccountId",
)


def applies(rule: Rule, layout: Layout) -> bool:
    """Whether a rule about values judges the rows of files: their version has the rule, and they have the columns, or
    lack those that it asks for.
    """
    return (
        rule.holds_for(judged_as(layout.focus_version))
        and all(name in layout.recognised for name in rule.needs)
        and not any(name in layout.recognised for name in rule.lacks)
    )


def row_failures(staged: StagedMonth, data_dir: DataDir, watch: Watch) -> list[Failure]:
    """Counts the violations of all rules: those about rows in one scan, those about groups in one more query.

    A further scan finds examples and known gaps, only of rules that are broken.
    """
    applicable = [rule for rule in rules().values() if any(applies(rule, layout) for layout in staged.rows_of)]
    if not staged.rows or not applicable:
        return []
    compiled = predicates(data_dir.rules_cache)
    month = rows_of_month(staged)
    with open_duckdb(data_dir.sandbox) as connection:
        watch(f"judging {staged.rows:,} rows", connection)
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
    if not _count(connection, f"{month} WHERE {quoted(UNREADABLE)} IS NOT NULL"):
        applicable = [rule for rule in applicable if rule.check != "values_readable"]
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
            f"count(*) FILTER ({condition}), min(x_Row, {EXAMPLES}) FILTER (WHERE {condition}), "
            f"count(*) FILTER ({condition} AND {_is_too_large(rule)})"
            for rule, _, condition in parts
        )
        + f" FROM {month}"
    ).fetchone()
    counted = [
        (_told_apart(rule, count == too_large), label, count, numbers)
        for (rule, label, _), count, numbers, too_large in zip(parts, found[::3], found[1::3], found[2::3], strict=True)
        if count
    ]
    unreadable = sorted({rule.column for rule, *_ in counted if rule.check == "values_readable"})
    rows = _rows_at(connection, month, sorted({row for *_, numbers in counted for row in numbers}), unreadable)
    return [
        Failure(
            rule=rule.id,
            column=rule.column,
            check=rule.check,
            level=rule.level,
            sentence=rule.sentence,
            violations=count,
            rows=judged_rows(rule, staged),
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
        values = _listed(f"{literal(name)}: {shortened(f'CAST({quoted(name)} AS VARCHAR)')}" for name in rule.per)
        of = f"list(DISTINCT {shortened(f'CAST({quoted(rule.column)} AS VARCHAR)')})[:{EXAMPLES}]"
        held = " AND ".join(f"{quoted(name)} IS NOT NULL" for name in rule.per)
        queries.append(
            f"""
            SELECT {literal(rule.key)} AS rule, count(*) AS violations, min(example, {EXAMPLES}) AS examples
            FROM (
                SELECT
                    {{'first': min(x_Row), 'per': MAP {{{values}}},
                      'of': {of}}} AS example
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
            rows=judged_rows(rules()[key], staged),
            remedy=rules()[key].remedy,
            examples=[_group_example(staged, rules()[key], example) for example in examples or []],
        )
        for key, count, examples in found
    ]


def _is_too_large(rule: Rule) -> str:
    """SQL condition of rows in which a number cannot be read for it is too large."""
    is_number = rule.check == "values_readable" and columns()[rule.column].type == "Decimal"
    return _TOO_LARGE.format(f"({_sent(rule.column)})") if is_number else "false"


def _told_apart(rule: Rule, too_large: bool) -> Rule:
    """The rule in the words that fit what breaks it. too_large: all of it is numbers of that kind."""
    if not too_large:
        return rule
    return replace(
        rule,
        sentence=f"{rule.column} has at most 20 digits before the point, as many as the table holds",
        remedy="look for an amount that is far too large, and correct it",
    )


def _sent(column: str) -> str:
    """SQL of what was sent where it could not be read."""
    return f"x_ProviderColumns ->> {literal(f'$.{quoted(column)}')}"


def _group_example(staged: StagedMonth, rule: Rule, example: dict) -> dict:
    file, row = staged.source_of(example["first"])
    of = " and ".join(shortened_value(value) for value in example["of"] if value)
    per = {name: shortened_value(value) for name, value in example["per"].items()}
    return {"file": file.key, "row": row} | per | {rule.column: of}


def _repeated(connection: duckdb.DuckDBPyConnection, month: str, rule: Rule, staged: StagedMonth) -> Failure:
    """How many rows are alike to an earlier one in all that was sent."""
    count, firsts = _alike(connection, month, _TELLING)
    if count:
        # Only then all columns are looked at: that takes three times as long.
        compared = [name for name in CANONICAL if name not in LINEAGE or name == "x_ProviderColumns"]
        count, firsts = _alike(connection, month, compared)
    return Failure(
        rule=rule.id,
        check=rule.check,
        level=rule.level,
        sentence=rule.sentence,
        violations=count,
        rows=staged.rows,
        remedy=rule.remedy,
        examples=[{"file": file.key, "row": row} for file, row in map(staged.source_of, firsts)],
    )


def _alike(connection: duckdb.DuckDBPyConnection, month: str, compared: Iterable[str]) -> tuple[int, list[int]]:
    """How many rows have the same values as an earlier one; the first of some that are repeated, by number."""
    count, firsts = connection.execute(
        f"""
        SELECT coalesce(sum(copies - 1), 0), coalesce(min(first, {EXAMPLES}), [])
        FROM (
            SELECT count(*) AS copies, min(x_Row) AS first
            FROM {month}
            GROUP BY hash({_listed(map(quoted, compared))})
            HAVING count(*) > 1
        )
        """
    ).fetchone()
    return int(count), firsts


def _by_gap(rule: Rule, staged: StagedMonth) -> Iterator[tuple[str | None, str]]:
    """Label of a known gap of the rule, None for what no gap accounts for -> SQL condition of its rows."""
    accounted = []
    for gap in known_gaps():
        held = sorted({layout.focus_version for layout in staged.rows_of if is_of_version(layout, gap)})
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
    without = [
        str(place)
        for place, layout in enumerate(staged.layouts)
        if layout in staged.rows_of and not applies(rule, layout)
    ]
    return f" AND {quoted(LAYOUT)} NOT IN ({_listed(without)})" if without else ""


def judged_rows(rule: Rule, staged: StagedMonth) -> int:
    return sum(rows for layout, rows in staged.rows_of.items() if applies(rule, layout))


def _rows_at(
    connection: duckdb.DuckDBPyConnection, month: str, numbers: list[int], unreadable: list[str]
) -> dict[int, dict[str, str | None]]:
    """By number, what examples show of rows; of `unreadable` columns also what was sent, as "sent <column>"."""
    shown = {column: f"CAST({quoted(column)} AS VARCHAR)" for rule in rules().values() for column in rule.shown}
    # What was sent is beside the row: the canonical value of it is null.
    shown |= {f"sent {column}": _sent(column) for column in unreadable}
    found = connection.execute(
        f"SELECT x_Row, {_listed(shortened(f'({text})') for text in shown.values())} "
        f"FROM {month} WHERE x_Row IN (SELECT unnest($numbers))",
        {"numbers": numbers},
    ).fetchall()
    return {number: dict(zip(shown, map(shortened_value, row), strict=True)) for number, *row in found}


def _example(staged: StagedMonth, rule: Rule, number: int, row: dict) -> dict:
    file, source_row = staged.source_of(number)
    values = {column: _shown(column, row[column]) for column in rule.shown}
    if rule.check == "values_readable":
        values = {rule.column: row[f"sent {rule.column}"]}
    return {"file": file.key, "row": source_row, **values}


def _shown(column: str, value: str | None) -> str | None:
    """Without the zeros that a DECIMAL(38, 18) ends with."""
    if value is None or columns()[column].type != "Decimal":
        return value
    return value.rstrip("0").rstrip(".")


def _count(connection: duckdb.DuckDBPyConnection, rows: str) -> int:
    return connection.execute(f"SELECT count(*) FROM {rows}").fetchone()[0]


def _listed(parts: Iterable[str]) -> str:
    return ", ".join(parts)
