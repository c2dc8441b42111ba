"""What a delivered file holds as it was written: its own totals, the rules about its text and header, and what reading
it changes. The totals are what the staged rows are held against.

One scan counts everything, with tests that are cheap where the text is as FOCUS asks. Only where some is not, a second
one tells which rules it breaks, and on which rows.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Context, Decimal

import duckdb

from focus_pipeline.focus.canonical import (
    FLOATING,
    NULL_WORDS,
    currency_code,
    decimal_digits,
    is_among,
    is_taken_over,
    meaning,
    null_for_words,
)
from focus_pipeline.focus.rules import HEADER, ROW, TYPE, WRITTEN, Rule, rules_of
from focus_pipeline.focus.specification import DECIMAL_SCALE, WHOLE_DIGITS, Column, columns, spellings
from focus_pipeline.pipeline.examples import EXAMPLES, named, shortened, shortened_value
from focus_pipeline.pipeline.source_files import Source
from focus_pipeline.records.staged import Broken
from focus_pipeline.sql import literal, quoted, unused

# Python's own decimals are rounded to 28 digits when they are added up.
_EXACT = Context(prec=80)

# Of FOCUS, for databases that hold no longer one.
_LONGEST_NAME = 50

# Text that keeps every rule of its type; what is not may still keep them.
_PLAIN = {
    "Decimal": (
        "(coalesce(isfinite(TRY_CAST({0} AS DOUBLE)), false) AND NOT contains({0}, '+') AND NOT contains({0}, '_'))"
    ),
    "DateTime": (
        "(({0} LIKE '____-__-__T__:__:__Z' OR {0} LIKE '____-__-__T__:__:__._%Z') AND NOT contains({0}, ' '))"
    ),
    "KeyValue": "is_json_object({0})",
}


@dataclass(frozen=True)
class Counted:
    """rows; billed_cost and effective_cost by currency, "" where there is none: exact decimals as text, for a JSON
    number would not hold them. providers: ProviderName or ServiceProviderName of its rows. rounded: by column, values
    of more than 18 decimals that were sent as binary floating point or as the text of it. changed: by column, what
    reading changed, and in how many rows.
    """

    rows: int
    billed_cost: dict[str, str]
    effective_cost: dict[str, str]
    providers: list[str]
    rounded: dict[str, int]
    changed: dict[str, dict[str, int]]
    broken: list[Broken]


def count_in_source(
    connection: duckdb.DuckDBPyConnection, source: Source, matched: Mapping[str, str], files: int
) -> list[Counted]:
    """Reads the delivered files once, and once more where their text breaks a rule: what each of them holds.

    matched: see match_columns(). files: how many there are. Raises duckdb.Error.
    """
    billed, effective = (
        f"coalesce(sum({_cost(_value(source, matched[name]), source.columns[matched[name]])}), 0)"
        for name in ("BilledCost", "EffectiveCost")
    )
    sent_currency = f"CAST({_value(source, matched['BillingCurrency'])} AS VARCHAR)"
    currency = f"coalesce({currency_code(sent_currency)}, '')"
    provider = _provider(source, matched)
    rounded = {
        name: f"{'is_rounded' if source.columns[sent] in FLOATING else 'is_rounded_text'}({quoted(sent)})"
        for name, sent in matched.items()
        if columns()[name].type == "Decimal" and source.columns[sent] in (*FLOATING, "VARCHAR")
    }
    tests = _tests(source, matched)
    counts = [
        *(f"count(*) FILTER ({is_rounded})" for is_rounded in rounded.values()),
        *(f"count(*) FILTER ({test.suspect})" for test in tests),
    ]
    rows = connection.execute(
        f"SELECT {source.file}, {currency}, {provider}, count(*), {billed}, {effective}"
        f"{''.join(f', {c}' for c in counts)} FROM {source.relation} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
    ).fetchall()
    of_file: list[list[tuple]] = [[] for _ in range(files)]
    for file, *row in rows:
        of_file[file].append(tuple(row))
    suspect = [any(row[6 + len(rounded) + i] for row in rows) for i in range(len(tests))]
    suspects = [test for test, is_suspect in zip(tests, suspect, strict=True) if is_suspect]
    broken, changed = _looked_into(connection, source, suspects, provider, files)
    renamed = {
        name: f"read from {sent.strip()}" for name, sent in matched.items() if sent.strip().lower() != name.lower()
    }
    return [_counted(of_file[file], list(rounded), renamed, broken[file], changed[file]) for file in range(files)]


def _counted(
    rows: list[tuple],
    may_be_rounded: list[str],
    renamed: Mapping[str, str],
    broken: list[Broken],
    changed: Mapping[str, Mapping[str, int]],
) -> Counted:
    """rows: of one file, by currency and provider: both, how many, their costs, and how many of `may_be_rounded` are.

    renamed: column -> what to say of it; changed, broken: of the file.
    """
    in_file = sum(row[2] for row in rows)
    rounded = {name: sum(row[5 + i] for row in rows) for i, name in enumerate(may_be_rounded)}
    whole = {name: {what: in_file} for name, what in renamed.items()}
    return Counted(
        rows=in_file,
        billed_cost=_by_currency((row[0], row[3]) for row in rows),
        effective_cost=_by_currency((row[0], row[4]) for row in rows),
        providers=sorted({row[1] for row in rows if row[1]}),
        rounded={name: count for name, count in rounded.items() if count},
        changed={name: whole.get(name, {}) | changed.get(name, {}) for name in whole | changed},
        broken=broken,
    )


def _by_currency(costs: Iterable[tuple[str, Decimal]]) -> dict[str, str]:
    sums: dict[str, Decimal] = {}
    for currency, cost in costs:
        sums[currency] = _EXACT.add(sums.get(currency, Decimal(0)), cost)
    return {currency: str(cost) for currency, cost in sums.items()}


def broken_by_header(source: Source, matched: Mapping[str, str]) -> list[Broken]:
    """The rules about column names and types that the file breaks."""
    sent = [name.strip() for name in source.columns]
    # Where a column is there under its present name, one under its former name is a provider's own.
    former = {
        name.strip()
        for name in source.columns
        if (now := spellings().get(name.strip().lower())) and matched[now] != name and not is_taken_over(name)
    }
    of_focus = [name.lower() in spellings() and name not in former for name in sent]
    known = [is_known or is_taken_over(name) for name, is_known in zip(sent, of_focus, strict=True)]
    unmarked = [name for name, is_known in zip(sent, known, strict=True) if not is_known and not name.startswith("x_")]
    misspelt = [
        name
        for name in source.columns
        if name not in columns() and name.strip().lower() in {known.lower() for known in columns()}
    ]
    misnamed = [name for name in sent if _is_misnamed(name)]
    last_known = max((i for i, is_known in enumerate(of_focus) if is_known), default=-1)
    intermixed = [name for name, is_known in zip(sent[:last_known], known, strict=False) if not is_known]
    found = {
        "own_prefix": (unmarked, "columns that are neither of FOCUS nor named x_…"),
        "spelling": (misspelt, "columns of FOCUS spelled otherwise"),
        "focus_first": (intermixed, "columns of its own before those of FOCUS"),
        "own_spelling": (misnamed, "columns of its own that are not in PascalCase, or too long"),
    }
    broken = [
        Broken(rule.key, len(names), sentence=f"{what}: {named(names)}")
        for rule in rules_of(HEADER)
        for names, what in [found.get(rule.column, ([], ""))]
        if names
    ]
    if source.format == "parquet":
        broken += [
            Broken(rule.key, 1, sentence=f"the column {rule.column} stored as {source.columns[matched[rule.column]]}")
            for rule in rules_of(TYPE)
            if rule.column in matched and not _is_text(source.columns[matched[rule.column]], columns()[rule.column])
        ]
    return broken


def _is_misnamed(own: str) -> bool:
    """Whether a column x_… is named otherwise than FOCUS names its own: in PascalCase, without signs, not too long."""
    name = own.removeprefix("x_")
    return name != own and (not name.isalnum() or name[0].islower() or len(own) > _LONGEST_NAME)


@dataclass(frozen=True)
class _Test:
    """suspect: SQL condition of rows that may break one of the rules. rules: key -> SQL condition of those that do.

    changes: what reading does to a value, and the SQL condition of rows where it does. sentence: what is wrong, where
    that is more than the rule says.
    """

    column: str
    text: str
    suspect: str
    rules: dict[str, str]
    changes: tuple[str, str] | None = None
    sentence: str = ""


def _tests(source: Source, matched: Mapping[str, str]) -> list[_Test]:
    return [
        test
        for name, sent in matched.items()
        if not is_taken_over(sent)  # its text is not for FOCUS to rule
        for test in _tests_of(columns()[name], quoted(sent), source.columns[sent])
    ]


def _tests_of(column: Column, sent: str, source_type: str) -> Iterator[_Test]:
    if column.allowed:
        yield _respelled(column, sent, source_type)
    if column.format == "Currency":
        yield _code_in_other_case(column, sent)
    yield from _inclusive_end(column, sent, source_type)
    if source_type != "VARCHAR":
        return
    written = [rule for rule in rules_of(WRITTEN) if rule.column == column.name]
    about_words = {rule.key: is_among(sent, rule.words) for rule in written if rule.words}
    about_text = {rule.key: _breaks(rule, sent) for rule in written if not rule.words}
    if about_words:
        yield _Test(column.name, sent, f"({' OR '.join(about_words.values())})", about_words)
    if about_text:
        kind = column.format if column.format in _PLAIN else column.type
        suspect = f"NOT {is_among(sent, NULL_WORDS)} AND NOT {_PLAIN[kind].format(sent)}"
        conditions = {key: f"({suspect} AND {breaks})" for key, breaks in about_text.items()}
        yield _Test(column.name, sent, suspect, conditions, _changes(kind, sent, conditions))


def _breaks(rule: Rule, sent: str) -> str:
    if rule.forbidden is None:
        return f"NOT is_json_object({sent})"
    return f"regexp_matches({sent}, {literal(rule.forbidden)})"


def _changes(kind: str, sent: str, conditions: Mapping[str, str]) -> tuple[str, str] | None:
    if kind == "KeyValue":
        (no_object,) = conditions.values()
        return "made a JSON object", f"CASE WHEN {no_object} THEN to_json_object({sent}) IS NOT NULL ELSE false END"
    if kind == "DateTime":
        in_utc = f"to_timestamp_utc({sent}) = TRY_CAST(left({sent}, 19) AS TIMESTAMP)"
        return "moved to UTC", f"CASE WHEN regexp_matches({sent}, '[+-][0-9:]+$') THEN NOT {in_utc} ELSE false END"
    return None


def _respelled(column: Column, sent: str, source_type: str) -> _Test:
    """Values that are not allowed as they are written, but mean one that is."""
    text = f"CAST(to_json({sent}) AS VARCHAR)" if source_type.endswith("]") else f"CAST({sent} AS VARCHAR)"
    suspect = f"CASE WHEN {is_among(text, column.allowed)} THEN false ELSE {meaning(column, text)} <> '' END"
    return _spelling(column, text, suspect, "allowed_values", "FOCUS")


def _code_in_other_case(column: Column, sent: str) -> _Test:
    text = f"CAST({sent} AS VARCHAR)"
    suspect = f"({text} <> upper(trim({text})) AND {currency_code(text)} <> {text})"
    return _spelling(column, text, suspect, "currency_codes", "ISO 4217")


def _spelling(column: Column, text: str, suspect: str, check: str, authority: str) -> _Test:
    """For a value that means what the authority spells otherwise, which breaks the column's rule of that check."""
    rule = next(rule for rule in rules_of(ROW) if rule.column == column.name and rule.check == check)
    return _Test(
        column.name,
        text,
        suspect,
        {rule.key: suspect},
        (f"spelled as {authority} does", suspect),
        f"{column.name} is spelled otherwise than {authority} spells it",
    )


def _inclusive_end(column: Column, sent: str, source_type: str) -> Iterator[_Test]:
    """Ends of periods that are their last second instead of the first moment after them."""
    rule = next((rule for rule in rules_of(ROW) if rule.column == column.name and rule.check == "periods"), None)
    if rule is None or not column.is_period_end:
        return
    text = f"CAST({sent} AS VARCHAR)"
    moment = f"to_timestamp_utc({sent})" if source_type == "VARCHAR" else f"CAST({sent} AS TIMESTAMP)"
    suspect = f"CASE WHEN contains({text}, '59:59') THEN exclusive_end({moment}) <> {moment} ELSE false END"
    yield _Test(
        column.name,
        text,
        suspect,
        {rule.key: suspect},
        ("moved to the first moment after it", suspect),
        f"{column.name} is the last second of the period, not the first moment after it",
    )


def _looked_into(
    connection: duckdb.DuckDBPyConnection, source: Source, suspects: list[_Test], provider: str, files: int
) -> tuple[list[list[Broken]], list[dict[str, dict[str, int]]]]:
    """The rules that the suspicious text breaks, and what reading changes of it, by file."""
    broken: list[list[Broken]] = [[] for _ in range(files)]
    changed: list[dict[str, dict[str, int]]] = [{} for _ in range(files)]
    conditions = [(test, key, condition) for test in suspects for key, condition in test.rules.items()]
    changes = [test for test in suspects if test.changes]
    if not conditions:
        return broken, changed
    file, row = unused("of_file", source.columns), unused("of_row", source.columns)
    selected = [
        f"count(*) FILTER ({condition}), "
        f"arg_min({{row: {row}, value: {shortened(test.text)}}}, {row}, {EXAMPLES}) FILTER ({condition})"
        for test, _, condition in conditions
    ] + [f"count(*) FILTER ({test.changes[1]})" for test in changes]
    rows = connection.execute(
        f"SELECT {file}, {provider}, {', '.join(selected)} FROM "
        f"(SELECT {source.file} AS {file}, {source.row} AS {row}, * FROM {source.relation}) GROUP BY 1, 2 ORDER BY 1, 2"
    ).fetchall()
    for place, said_by, *found in rows:
        broken[place] += [
            Broken(key, found[2 * i], said_by, test.sentence, [_cut(example) for example in found[2 * i + 1]])
            for i, (test, key, _) in enumerate(conditions)
            if found[2 * i]
        ]
        for test, count in zip(changes, found[2 * len(conditions) :], strict=True):
            if count:
                of_column = changed[place].setdefault(test.column, {})
                of_column[test.changes[0]] = of_column.get(test.changes[0], 0) + count
    return broken, changed


def _cut(example: dict) -> dict:
    return {"row": example["row"], "value": shortened_value(example["value"])}


def _provider(source: Source, matched: Mapping[str, str]) -> str:
    names = [
        f"CAST({_value(source, matched[name])} AS VARCHAR)"
        for name in ("ServiceProviderName", "ProviderName")
        if name in matched
    ]
    return f"coalesce({', '.join([*names, 'NULL'])})" if names else "CAST(NULL AS VARCHAR)"


def _cost(value: str, source_type: str) -> str:
    """Of a DECIMAL each decimal is meant; text may be that of a binary floating-point number."""
    if source_type in FLOATING:
        return f"double_to_decimal({value})"
    text = f"CAST({value} AS VARCHAR)"
    if (digits := decimal_digits(source_type)) is None:
        return f"to_decimal({text})"
    # What fits is added up as it is: another way than through DECIMAL(38, 18), which the staged rows go.
    return value if digits[0] <= WHOLE_DIGITS and digits[1] <= DECIMAL_SCALE else f"exact_decimal({text})"


def _value(source: Source, sent: str) -> str:
    return null_for_words(quoted(sent), source.columns[sent])


def _is_text(source_type: str, column: Column) -> bool:
    # A list in a column with allowed values is read, and reported as another spelling of them.
    return (
        source_type == "VARCHAR"
        or source_type.startswith("ENUM")
        or (bool(column.allowed) and source_type.endswith("]"))
    )
