"""The rules that a month is judged by, made from the specification's data, and their Pandera checks.

Rules about values are declared as Pandera checks over Ibis. Pandera's own `validate()` would run a query for each of
them and fetch every failing row; here each check is asked for its lazy result, and Ibis compiles that to one SQL
predicate. pipeline/judge.py counts all of them in a single scan. A rule about a group of rows compiles to a predicate
over aggregates. Rules about a file's text and its header are judged while it is staged, by pipeline/source_counts.py.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from focus_pipeline.focus import rule_tests
from focus_pipeline.focus.canonical import STAGED, UNREADABLE
from focus_pipeline.focus.fingerprint import code_fingerprint
from focus_pipeline.focus.specification import (
    Column,
    columns,
    columns_of,
    contract,
    currencies,
    rule_data,
    versions,
    versions_from,
)
from focus_pipeline.json_records import Record, read_record, write_record

CONTRACT, MUST, SHOULD, NOTE = "contract", "MUST", "SHOULD", "NOTE"
ROW, GROUP, REPEATED = "row", "group", "repeated"
WRITTEN, HEADER, PRESENT, TYPE = "written", "header", "present", "type"

_MEANING = {
    "String": "text",
    "Decimal": "a decimal number such as -1234.5 or 1.5E-7, with at most 20 digits before the point and 18 after it",
    "DateTime": "a UTC moment such as 2025-03-01T00:00:00Z",
    "JSON": 'a JSON object such as {"team": "web"}',
}


class CompiledRules(Record):
    """Rule key -> SQL predicate; see predicates(). In the cache, under a mark of the code."""

    predicates: dict[str, str]


@dataclass(frozen=True)
class Rule:
    """
    id: of the official requirements model, where it has one. column: the one that it is about; id and column together
    are unique.
    check: the asset check that reports it.
    level: "contract" (a month that breaks it is not accepted), "MUST", "SHOULD", or "NOTE" for what one month alone
    cannot decide.
    kind: what is judged: each row, groups of rows, rows that are alike, the text as written in the file, its header,
    whether the column is present, or the type that a Parquet file stores it in.
    needs: columns without which a file is not judged. lacks: columns with which it is not.
    versions: those that have the rule; None: every version.
    per: columns whose values make a group. forbidden: regular expression for text that breaks the rule; words: texts
    that do.
    shown: columns whose values explain a violation. sentence: what has to hold, for people. remedy: what the owner of
    a failing file can do. narrowed: how it is narrower than its text. also: official ids that are judged with it.
    """

    id: str
    column: str
    check: str
    level: str
    kind: str
    sentence: str
    remedy: str
    needs: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    versions: frozenset[str] | None = None
    per: tuple[str, ...] = ()
    forbidden: str | None = None
    words: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    narrowed: str | None = None
    also: tuple[str, ...] = ()
    keeps: Callable | None = field(default=None, compare=False, repr=False)

    @property
    def key(self) -> str:
        return f"{self.id} {self.column}"

    def holds_for(self, version: str) -> bool:
        return self.versions is None or version in self.versions


@cache
def rules() -> dict[str, Rule]:
    """Every rule by its key, grouped by the check that reports it."""
    made = [*_of_columns(), *_declared()]
    return {rule.key: rule for rule in sorted(made, key=lambda rule: (rule.check, rule.id, rule.column))}


@cache
def rules_of(kind: str) -> tuple[Rule, ...]:
    return tuple(rule for rule in rules().values() if rule.kind == kind)


@cache
def predicates(cache_folder: Path) -> dict[str, str]:
    """Rule key -> SQL predicate over the canonical columns, for rules about rows and groups.

    True for a row that keeps the rule, or NULL. Of a group it is one over aggregates.

    Compiling takes seconds, most of them for loading Pandera and Ibis, and gives the same every time: the result is
    kept in `cache_folder` under a mark of the code, so that a run's process need not load them.
    """
    path = cache_folder / f"rules-{code_fingerprint()}.json"
    if (kept := read_record(path, CompiledRules)) is None:
        kept = CompiledRules(predicates=compile_predicates())
        write_record(path, kept)
    return kept.predicates


def compile_predicates() -> dict[str, str]:
    """predicates(), without the cache."""
    import ibis
    import sqlglot

    month = ibis.table(_ibis_schema(), name="month")
    compiled = {}
    for key, check in pandera_checks().items():
        result = check(month, rules()[key].column)
        sql = str(ibis.to_sql(month.select(kept=result.check_output), dialect="duckdb"))
        query = sqlglot.parse_one(sql, read="duckdb")
        for column in query.find_all(sqlglot.exp.Column):
            column.set("table", None)
        # The predicate of a group is a window over its rows: the aggregate in it is what GROUP BY takes.
        for window in list(query.find_all(sqlglot.exp.Window)):
            window.replace(window.this)
        # SQLGlot would write it as an arrow, which DuckDB takes for a lambda where a function of lists is around it.
        for extract in list(query.find_all(sqlglot.exp.JSONExtract)):
            path = sqlglot.exp.Literal.string(extract.expression.sql(dialect="duckdb").strip("'"))
            extract.replace(sqlglot.exp.Anonymous(this="json_extract", expressions=[extract.this, path]))
        compiled[key] = query.selects[0].this.sql(dialect="duckdb")
    return compiled


def pandera_checks() -> dict[str, object]:
    """Rule key -> pandera.Check of a canonical column, for rules about rows and groups."""
    import pandera.ibis as pa

    return {
        rule.key: pa.Check(rule.keeps, name=rule.key, error=rule.sentence, ignore_na=False)
        for rule in rules().values()
        if rule.keeps is not None
    }


def _of_columns() -> Iterator[Rule]:
    """What columns.toml, contract.toml and currencies.toml ask of each column."""
    for column in columns().values():
        yield from _present(column)
        yield from _readable(column)
        yield from _not_null(column)
        if column.allowed:
            yield _allowed(column)
        if column.format == "Currency":
            yield _currency(column)


def _present(column: Column) -> Iterator[Rule]:
    # A column of the official model without such an id is Conditional, see unchecked.toml.
    if column.ids and "present" not in column.ids:
        return
    for level, feature_level in ((MUST, "Mandatory"), (SHOULD, "Recommended")):
        held = _versions_where(column, lambda as_of, wanted=feature_level: as_of.level == wanted)
        required = column.name in contract().required and level == MUST
        if held or required:
            yield Rule(
                id=column.ids.get("present", f"{column.name}-present"),
                column=column.name,
                check="required_columns",
                level=CONTRACT if required else level,
                kind=PRESENT,
                versions=None if required else held,
                sentence=f"there is a column {column.name}",
                remedy="add the column if the provider has it; it is null in the table until then",
            )


def _readable(column: Column) -> Iterator[Rule]:
    meaning = _MEANING[column.type]
    rule_id = column.ids.get("type", f"{column.name}-type")
    about = {
        "id": rule_id,
        "column": column.name,
        "check": "values_readable",
        "also": tuple(column.ids[key] for key in ("decimal",) if key in column.ids),
        "remedy": f"write {column.name} as {meaning}",
    }
    if column.type == "String":
        yield Rule(**about, level=MUST, kind=TYPE, sentence=f"{column.name} is text")
        return
    yield Rule(
        **about,
        # A value that cannot be read would be missing from a total.
        level=CONTRACT if column.name in contract().not_null else MUST,
        kind=ROW,
        needs=(column.name,),
        shown=(column.name,),
        sentence=f"{column.name} is {meaning}",
        keeps=lambda data: data.table[UNREADABLE].isnull() | ~data.table[UNREADABLE].contains(column.name),
    )


def _not_null(column: Column) -> Iterator[Rule]:
    if column.name in contract().not_null:
        held = None
    else:
        # Of a column of the official model without such an id, the model says when it may be null.
        said = "not_null" in column.ids or not column.ids
        held = _versions_where(column, lambda as_of: said and not as_of.nullable)
        if not held:
            return
    yield Rule(
        id=column.ids.get("not_null", f"{column.name}-not-null"),
        column=column.name,
        check="not_null",
        level=CONTRACT if held is None else MUST,
        kind=ROW,
        needs=(column.name,),
        versions=held,
        shown=(column.name, "ChargeCategory", "ServiceName"),
        sentence=f"{column.name} has a value in every row",
        remedy=f"fill {column.name}",
        # A value that could not be read is reported as that, not as missing.
        keeps=lambda data: (
            data.table[column.name].notnull()
            | (data.table[UNREADABLE].notnull() & data.table[UNREADABLE].contains(column.name))
        ),
    )


def _versions_where(column: Column, holds: Callable[[Column], bool]) -> frozenset[str]:
    return frozenset(v for v in versions() if column.name in columns_of(v) and holds(columns_of(v)[column.name]))


def _allowed(column: Column) -> Rule:
    listed = ", ".join(column.allowed) if len(column.allowed) <= 20 else f"one of {len(column.allowed)} values"
    return Rule(
        id=column.ids.get("allowed", f"{column.name}-allowed"),
        column=column.name,
        check="allowed_values",
        level=CONTRACT if column.name in contract().allowed_values else MUST,
        kind=ROW,
        needs=(column.name,),
        shown=(column.name,),
        sentence=f"{column.name} is a value that FOCUS allows: {listed}",
        remedy=f"use one of the allowed values of {column.name}",
        keeps=lambda data: rule_tests.is_one_of(data.table[column.name], column.allowed),
    )


def _currency(column: Column) -> Rule:
    of_contract = column.name in contract().currency
    return Rule(
        id=column.ids.get("currency", f"{column.name}-iso-4217"),
        column=column.name,
        check="currency_codes",
        level=CONTRACT if of_contract else SHOULD,
        kind=ROW,
        needs=(column.name,),
        shown=(column.name,),
        sentence=f"{column.name} is a currency code of ISO 4217, such as USD"
        + ("" if of_contract else ", or the name of a virtual currency, such as Token"),
        remedy="use the three-letter code of ISO 4217, in capitals",
        also=tuple(column.ids[key] for key in ("currency_format", "currency_attribute") if key in column.ids),
        keeps=lambda data: _is_currency(data.table[column.name], of_contract),
    )


def _is_currency(column, of_contract: bool):
    is_code = rule_tests.is_one_of(column, currencies())
    # A price may be in a vendor's own unit, such as credits or tokens; three letters are meant for a code.
    return is_code if of_contract else is_code | ~column.re_search("^[A-Za-z]{3}$")


def _declared() -> Iterator[Rule]:
    """The rules of rules.toml, those for `each` column of a type once for each."""
    for rule_id, facts in rule_data()["rules"].items():
        about = {
            "id": rule_id,
            "check": facts["check"],
            "level": facts["level"],
            "versions": versions_from(facts["since"], facts.get("until")) if "since" in facts else None,
            "narrowed": facts.get("narrowed"),
            "also": tuple(facts.get("also", ())),
        }
        if "written" in facts:
            for column in _columns_like(facts["written"]):
                yield Rule(
                    **about,
                    column=column.name,
                    kind=WRITTEN,
                    forbidden=facts.get("forbidden"),
                    words=tuple(facts.get("words", ())),
                    sentence=_about(column, facts),
                    remedy=facts.get("remedy", f"write {column.name} as {_MEANING[column.type]}"),
                )
        elif "header" in facts:
            yield Rule(**about, column=facts["header"], kind=HEADER, sentence=facts["sentence"], remedy=facts["remedy"])
        elif "repeated" in facts:
            yield Rule(**about, column="", kind=REPEATED, sentence=facts["sentence"], remedy=facts["remedy"])
        elif "each" in facts:
            for column in _columns_like(facts["each"]):
                yield _row_rule(about, facts, {column.name: facts["must"]["each"]}, _about(column, facts))
        elif "must" in facts:
            yield _row_rule(about, facts, facts["must"], facts["sentence"])
        else:
            yield _group_rule(about, facts)


def _about(column: Column, facts: Mapping) -> str:
    return f"{column.name}: {facts['sentence']}"


def _row_rule(about: Mapping, facts: Mapping, must: Mapping, sentence: str) -> Rule:
    when = facts.get("when", {})
    compared = [name for test in (*must.values(), *when.values()) for name in rule_tests.others(test)]
    involved = list(dict.fromkeys([*must, *when, *compared]))
    lacks = tuple(name for name, test in must.items() if rule_tests.is_of_header(test))
    return Rule(
        **about,
        column=next(iter(must)),
        kind=ROW,
        # To be not something is fulfilled by having no value, and so by having no column.
        needs=tuple(
            name
            for name in involved
            if name not in lacks and (name in must or not rule_tests.is_negative(when.get(name)))
        ),
        lacks=lacks,
        shown=tuple(involved),
        sentence=sentence,
        remedy=facts.get("remedy") or rule_tests.remedy(must),
        keeps=lambda data: rule_tests.keeps(data.table, when, must),
    )


def _group_rule(about: Mapping, facts: Mapping) -> Rule:
    kind = next(kind for kind in rule_tests.GROUP_TESTS if kind in facts)
    group = facts[kind]
    return Rule(
        **about,
        column=group["of"],
        kind=GROUP,
        needs=(*group["per"], group["of"], *([group["equals"]] if "equals" in group else [])),
        per=tuple(group["per"]),
        shown=(*group["per"], group["of"]),
        sentence=facts["sentence"],
        remedy=facts["remedy"],
        keeps=lambda data: rule_tests.GROUP_TESTS[kind](data.table, group),
    )


def _columns_like(kind: str) -> list[Column]:
    """The columns of a type or format of columns.toml; of type String, those without a list of allowed values."""
    return [
        column
        for column in columns().values()
        if kind == "any"
        or column.format == kind
        or (column.type == kind and not (kind == "String" and (column.allowed or column.format)))
    ]


def _ibis_schema() -> dict[str, str]:
    kinds = {
        "VARCHAR": "string",
        "DECIMAL(38, 18)": "decimal(38, 18)",
        "TIMESTAMP": "timestamp",
        "JSON": "json",
        "VARCHAR[]": "array<string>",
        "DOUBLE": "float64",
        "INTEGER": "int32",
    }
    return {name: kinds[kind] for name, kind in STAGED.items()}
