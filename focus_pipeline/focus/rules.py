"""The rules that a staged month is judged by, made from the specification's data, and their Pandera checks.

A rule is judged row by row on the canonical columns. Rules are declared as Pandera checks over Ibis. Pandera's own
`validate()` would run a query for each of them and fetch every failing row; here each check is asked for its lazy
result, and Ibis compiles that to one SQL predicate. pipeline/check.py counts all of them in a single scan.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from focus_pipeline.focus.canonical import CANONICAL, UNREADABLE
from focus_pipeline.focus.fingerprint import code_fingerprint
from focus_pipeline.focus.specification import Column, columns, contract, currencies
from focus_pipeline.pipeline.data_dir import read_json, write_json

CONTRACT, MUST, SHOULD = "contract", "MUST", "SHOULD"

# Elsewhere a row without a value keeps the rule; whether there has to be one is a rule of its own.
_ABOUT_NULLS = ("not_null", "values_readable")


@dataclass(frozen=True)
class Rule:
    """
    id: unique. check: the asset check that reports it. level: "contract" (a month that breaks it is not accepted),
    "MUST" or "SHOULD". column: the one that it is about. shown: columns whose values explain a violation.
    sentence: what has to hold, for people. remedy: what the owner of a failing file can do.
    """

    id: str
    check: str
    level: str
    column: str
    shown: tuple[str, ...]
    sentence: str
    remedy: str


@cache
def rules() -> dict[str, Rule]:
    """Every rule by id, grouped by the check that reports it."""
    return {rule.id: rule for rule, _ in _declared()}


@cache
def predicates(cache_folder: Path) -> dict[str, str]:
    """Rule id -> SQL predicate over the canonical columns, true for a row that keeps the rule or has no value.

    Compiling takes seconds, most of them for loading Pandera and Ibis, and gives the same every time: the result is
    kept in `cache_folder` under a mark of the code, so that a run's process need not load them.
    """
    path = cache_folder / f"rules-{code_fingerprint()}.json"
    if (compiled := read_json(path)) is None:
        compiled = compile_predicates()
        write_json(path, compiled)
    return compiled


def compile_predicates() -> dict[str, str]:
    """predicates(), without the cache."""
    import ibis
    import sqlglot

    month = ibis.table(_ibis_schema(), name="month")
    compiled = {}
    for rule, check in pandera_checks().items():
        result = check(month, rules()[rule].column)
        sql = str(ibis.to_sql(month.select(kept=result.check_output), dialect="duckdb"))
        query = sqlglot.parse_one(sql, read="duckdb")
        for column in query.find_all(sqlglot.exp.Column):
            column.set("table", None)
        compiled[rule] = query.selects[0].this.sql(dialect="duckdb")
    return compiled


def pandera_checks() -> dict[str, object]:
    """Rule id -> pandera.Check of a canonical column."""
    import pandera.ibis as pa

    return {
        rule.id: pa.Check(keeps, name=rule.id, error=rule.sentence, ignore_na=rule.check not in _ABOUT_NULLS)
        for rule, keeps in _declared()
    }


def _declared() -> list[tuple[Rule, Callable]]:
    """The rules, each with its Pandera check function: IbisData -> boolean column, true where a row keeps the rule."""
    declared = []
    for column in columns().values():
        if column.type != "String":
            declared.append(_readable(column))
        if column.name in contract().not_null or (not column.nullable and column.introduced == "1.0"):
            declared.append(_not_null(column))
        if column.allowed:
            declared.append(_allowed(column))
        if column.format == "Currency":
            declared.append(_currency(column))
    declared += [_order("ChargePeriodStart", "ChargePeriodEnd"), _order("BillingPeriodStart", "BillingPeriodEnd")]
    return sorted(declared, key=lambda pair: (pair[0].check, pair[0].id))


def _readable(column: Column) -> tuple[Rule, Callable]:
    meaning = {
        "Decimal": "a decimal number such as -1234.5 or 1.5E-7, with at most 18 decimals",
        "DateTime": "a UTC moment such as 2025-03-01T00:00:00Z",
        "JSON": 'a JSON object such as {"team": "web"}',
    }[column.type]
    rule = Rule(
        id=f"{column.name}-readable",
        check="values_readable",
        # A value that cannot be read would be missing from a total.
        level=CONTRACT if column.name in contract().not_null else MUST,
        column=column.name,
        shown=(column.name,),
        sentence=f"{column.name} has to be {meaning}",
        remedy=f"write {column.name} as {meaning}",
    )
    return rule, lambda data: data.table[UNREADABLE].isnull() | ~data.table[UNREADABLE].contains(column.name)


def _not_null(column: Column) -> tuple[Rule, Callable]:
    rule = Rule(
        id=f"{column.name}-not-null",
        check="not_null",
        level=CONTRACT if column.name in contract().not_null else MUST,
        column=column.name,
        shown=(column.name, "ChargeCategory", "ServiceName"),
        sentence=f"{column.name} has to have a value in every row",
        remedy=f"fill {column.name}",
    )
    # A value that could not be read is reported as that, not as missing.
    return (
        rule,
        lambda data: (
            data.table[column.name].notnull()
            | (data.table[UNREADABLE].notnull() & data.table[UNREADABLE].contains(column.name))
        ),
    )


def _allowed(column: Column) -> tuple[Rule, Callable]:
    listed = ", ".join(column.allowed) if len(column.allowed) <= 20 else f"one of {len(column.allowed)} values"
    rule = Rule(
        id=f"{column.name}-allowed",
        check="allowed_values",
        level=CONTRACT if column.name in contract().allowed_values else MUST,
        column=column.name,
        shown=(column.name,),
        sentence=f"{column.name} has to be a value that FOCUS allows: {listed}",
        remedy=f"use one of the allowed values of {column.name}",
    )
    return rule, lambda data: data.table[column.name].isin(column.allowed)


def _currency(column: Column) -> tuple[Rule, Callable]:
    rule = Rule(
        id=f"{column.name}-iso-4217",
        check="currency_codes",
        # A pricing currency may be a vendor's own unit, such as credits or tokens.
        level=CONTRACT if column.name in contract().currency else SHOULD,
        column=column.name,
        shown=(column.name,),
        sentence=f"{column.name} has to be a currency code of ISO 4217, such as USD",
        remedy="use the three-letter code of ISO 4217, in capitals",
    )
    return rule, lambda data: data.table[column.name].isin(currencies())


def _order(start: str, end: str) -> tuple[Rule, Callable]:
    rule = Rule(
        id=f"{end}-after-start",
        check="period_order",
        level=MUST,
        column=end,
        shown=(start, end),
        sentence=f"{end} has to be later than {start}",
        remedy=f"correct {start} or {end}; the end is the first moment after the period",
    )
    return rule, lambda data: data.table[end] > data.table[start]


def _ibis_schema() -> dict[str, str]:
    kinds = {
        "VARCHAR": "string",
        "DECIMAL(38, 18)": "decimal(38, 18)",
        "TIMESTAMP": "timestamp",
        "JSON": "json",
        "VARCHAR[]": "array<string>",
    }
    return {name: kinds[kind] for name, kind in CANONICAL.items()}
