"""SQL that puts one delivered file into canonical form: typed, canonical names and values, the rest kept aside.

A source column is described by its name in the file and the DuckDB type that the file has it in; CSV files have all
of them as VARCHAR. What comes out has the columns of STAGED, whatever went in.
"""

import json
import re
from collections.abc import Iterable, Mapping
from importlib import resources

import duckdb

from focus_pipeline.focus.specification import (
    DECIMAL_SCALE,
    WHOLE_DIGITS,
    Column,
    columns,
    currencies,
    multiplied_columns,
    spellings,
)
from focus_pipeline.sql import literal, quoted, unused

# DuckDB types of binary floating-point numbers, which hold most decimals only nearly.
FLOATING = ("DOUBLE", "FLOAT")

# Text that stands for no value; FOCUS has no empty strings.
NULL_WORDS = ("", "NULL", "null")

LINEAGE = {
    "x_Connection": "VARCHAR",
    "x_Month": "VARCHAR",
    "x_FocusVersion": "VARCHAR",
    "x_SourceFile": "VARCHAR",
    "x_ProviderColumns": "JSON",
    "x_Token": "VARCHAR",
}

TOKEN = "x_Token"
"""Only in the unified table: a staged row is of every delivery that has its file, and says of none."""

CANONICAL = {**{name: column.duckdb_type for name, column in columns().items()}, **LINEAGE}
"""Columns of the unified table and their DuckDB types."""

# Only in staged files, for the checks: names of the columns whose value in this row could not be read. The value
# itself is kept in x_ProviderColumns under the column's name.
UNREADABLE = "x_Unreadable"


def approximate(name: str) -> str:
    """Name of the staged column that has a decimal column as DOUBLE, for products.

    It is only in staged files, for the checks. A cast of a DECIMAL(38, 18) to DOUBLE costs fifty times as much as one
    of what the file has it as.
    """
    return f"{name} as DOUBLE"


STAGED = (
    {name: kind for name, kind in CANONICAL.items() if name != TOKEN}
    | {UNREADABLE: "VARCHAR[]"}
    | {approximate(name): "DOUBLE" for name in multiplied_columns()}
)
"""Columns of a staged file and their DuckDB types."""


def create_macros(connection: duckdb.DuckDBPyConnection) -> None:
    """Defines the macros of canonical.sql for this connection, which has to be in UTC."""
    connection.execute(resources.files(__package__).joinpath("canonical.sql").read_text("utf-8"))


def match_columns(source: Mapping[str, str]) -> dict[str, str]:
    """Canonical column name -> the file's own column name, for those that the file has.

    Names are compared without case and surrounding spaces. Where a file has a column under both its former and its
    present name, the present one is meant, and the other is kept aside as a provider column. Where it lacks a column
    and has one of the provider's own with the same content, that one is meant.
    """
    matched: dict[str, str] = {}
    for sent in source:
        canonical = spellings().get(sent.strip().lower())
        if canonical is None:
            continue
        if canonical not in matched or sent.strip().lower() == canonical.lower():
            matched[canonical] = sent
    folded = {sent.strip().lower(): sent for sent in source}
    for column in columns().values():
        own = next((folded[name.lower()] for name in column.own_names if name.lower() in folded), None)
        if own is not None and column.name not in matched:
            matched[column.name] = own
    return matched


def is_taken_over(sent: str) -> bool:
    """Whether a column is one that a provider has in the place of a FOCUS column; its values are kept aside, too."""
    return any(sent.strip().lower() == name.lower() for column in columns().values() for name in column.own_names)


def canonical_select(
    source: Mapping[str, str], relation: str, lineage: Mapping[str, str], source_file: str = ""
) -> str:
    """The SELECT that reads `relation` (columns and DuckDB types in `source`) and gives the columns of STAGED.

    lineage: values of the x_ columns but x_ProviderColumns and x_Token, the same for every row. source_file: where the
    rows are of several files, SQL over `relation` of their x_SourceFile.
    """
    matched = match_columns(source)
    aside = [sent for sent in source if sent not in matched.values() or is_taken_over(sent)]
    sent_as = {name: quoted(f"sent {name}") for name in matched if _can_fail(columns()[name], source[matched[name]])}

    # Each in a SELECT of its own below the next: what a value is replaced by is then worked out, and planned, once.
    cleaned = [f"{null_for_words(quoted(name), kind)} AS {quoted(name)}" for name, kind in source.items()]
    of_file = unused("file", source)
    if source_file:
        cleaned.append(f"{source_file} AS {of_file}")

    read = [
        f"{_typed(columns()[name], quoted(sent), source[sent])} AS {quoted(name)}" for name, sent in matched.items()
    ]
    read += [f"{quoted(matched[name])} AS {alias}" for name, alias in sent_as.items()]
    read += [
        f"TRY_CAST({quoted(matched[name])} AS DOUBLE) AS {quoted(approximate(name))}"
        for name in multiplied_columns()
        if name in matched
    ]
    kept = [_json_entry(name.strip(), quoted(name), source[name]) for name in aside]
    read.append(f"{_json_entries(kept)} AS aside")
    if source_file:
        read.append(of_file)

    failed = {name: f"({alias} IS NOT NULL AND {quoted(name)} IS NULL)" for name, alias in sent_as.items()}
    any_failed = " OR ".join(failed.values()) or "false"
    failed_names = ", ".join(f"CASE WHEN {is_failed} THEN {literal(name)} END" for name, is_failed in failed.items())
    failed_entries = [
        f"CASE WHEN {is_failed} THEN {_json_entry(name, f'CAST({sent_as[name]} AS VARCHAR)')} END"
        for name, is_failed in failed.items()
    ]

    written = [f"{_canonical_value(column, matched)} AS {quoted(name)}" for name, column in columns().items()]
    for name in LINEAGE:
        if name == TOKEN:
            continue
        if name == "x_ProviderColumns":
            entries = f"CASE WHEN {any_failed} THEN {_json_entries(['aside', *failed_entries])} ELSE aside END"
            written.append(f"CAST('{{' || {entries} || '}}' AS JSON) AS {quoted(name)}")
        elif name == "x_SourceFile" and source_file:
            written.append(f"{of_file} AS {quoted(name)}")
        else:
            written.append(f"{literal(lineage[name])} AS {quoted(name)}")
    names = f"list_filter([{failed_names}], lambda name: name IS NOT NULL)" if failed else "CAST(NULL AS VARCHAR[])"
    written.append(f"CASE WHEN {any_failed} THEN {names} END AS {quoted(UNREADABLE)}")
    for name in multiplied_columns():
        # What reads as a DOUBLE without being a decimal, such as NaN, is no number here either.
        number = f"CASE WHEN {quoted(name)} IS NOT NULL THEN {quoted(approximate(name))} END"
        written.append(f"{number if name in matched else 'CAST(NULL AS DOUBLE)'} AS {quoted(approximate(name))}")

    return f"""
        SELECT
            {_lines(written)}
        FROM (
            SELECT
            {_lines(read)}
            FROM (
                SELECT
            {_lines(cleaned)}
                FROM {relation}
            )
        )
    """


def _canonical_value(column: Column, matched: Mapping[str, str]) -> str:
    if column.name in matched:
        return f"exclusive_end({quoted(column.name)})" if column.is_period_end else quoted(column.name)
    if column.filled_from in matched:
        return quoted(column.filled_from)
    return f"CAST(NULL AS {column.duckdb_type})"


def _typed(column: Column, value: str, source_type: str) -> str:
    """The SQL expression of a source value in the column's canonical type; NULL where it cannot be read."""
    if column.type == "Decimal":
        return _decimal(value, source_type)
    if column.type == "DateTime":
        return _moment(value, source_type)
    if column.type == "JSON":
        return _json_object(value, source_type)
    if column.allowed and source_type.endswith("]"):
        return enum_value(column, f"CAST(to_json({value}) AS VARCHAR)")
    text = _text(value, source_type)
    if column.format == "Currency":
        return currency_code(text)
    return enum_value(column, text) if column.allowed else text


def _can_fail(column: Column, source_type: str) -> bool:
    """Whether a value of the file's type may not be one of the column's type."""
    if column.type == "DateTime":
        return not source_type.startswith(("TIMESTAMP", "DATE"))
    if column.type == "Decimal" and (digits := decimal_digits(source_type)):
        return digits[0] > WHOLE_DIGITS or digits[1] > DECIMAL_SCALE
    return column.type != "String"


def decimal_digits(source_type: str) -> tuple[int, int] | None:
    """How many digits a DECIMAL has before and after its point; None for another DuckDB type."""
    if not source_type.startswith("DECIMAL(") or source_type.endswith("]"):
        return None
    precision, scale = map(int, source_type[len("DECIMAL(") : -1].split(","))
    return precision - scale, scale


def _text(value: str, source_type: str) -> str:
    if source_type in FLOATING:
        # Some writers store numeric ids with gaps in them as floating point: 123.0 is the id 123.
        return f"regexp_replace(shortest_decimal({value}), '\\.0*$', '')"
    return value if source_type == "VARCHAR" else f"CAST({value} AS VARCHAR)"


def _decimal(value: str, source_type: str) -> str:
    if source_type in FLOATING:
        return f"double_to_decimal({value})"
    if digits := decimal_digits(source_type):
        fits = digits[1] <= DECIMAL_SCALE
        return f"TRY_CAST({value} AS DECIMAL(38, 18))" if fits else f"exact_decimal(CAST({value} AS VARCHAR))"
    return f"to_decimal({_text(value, source_type)})"


def _moment(value: str, source_type: str) -> str:
    if source_type == "TIMESTAMP WITH TIME ZONE":
        return f"({value} AT TIME ZONE 'UTC')"
    if source_type.startswith(("TIMESTAMP", "DATE")):
        return f"TRY_CAST({value} AS TIMESTAMP)"
    return f"to_timestamp_utc({_text(value, source_type)})"


def _json_object(value: str, source_type: str) -> str:
    if source_type.startswith(("MAP(", "STRUCT(")) and not source_type.endswith("]"):
        return _json(value, source_type)
    text = value if source_type in ("VARCHAR", "JSON") else _json(value, source_type)
    return f"CAST(to_json_object(CAST({text} AS VARCHAR)) AS JSON)"


def currency_code(value: str) -> str:
    """The SQL expression of a code of ISO 4217 that a text is in whatever case, or of the text where it is none."""
    capitals = f"upper(trim({value}))"
    codes = ", ".join(map(literal, currencies()))
    # What is in capitals already is looked up nowhere: it stays as it is, whether or not it is a code.
    return (
        f"CASE WHEN {value} = {capitals} THEN {value} "
        f"WHEN list_contains([{codes}], {capitals}) THEN {capitals} ELSE {value} END"
    )


def enum_value(column: Column, value: str) -> str:
    """The SQL expression of the allowed value that a text means, or of the text where it means none."""
    read = (
        f"CASE WHEN {is_among(value, column.allowed)} THEN {value} ELSE coalesce({meaning(column, value)}, {value}) END"
    )
    return f"nullif({read}, '')" if "" in column.synonyms.values() else read


def meaning(column: Column, value: str) -> str:
    """The SQL expression of the allowed value that a text means: "" for none at all, NULL where it is not known."""
    meant = {_fold(canonical): canonical for canonical in column.allowed}
    meant |= {_fold(sent): canonical for sent, canonical in column.synonyms.items()}
    entries = ", ".join(f"{literal(folded)}: {literal(canonical)}" for folded, canonical in meant.items())
    known = f"MAP {{{entries}}}"
    return f"CASE WHEN starts_with({value}, '[') THEN first_known({value}, {known}) ELSE {known}[folded({value})] END"


def _fold(value: str) -> str:
    return value.translate(str.maketrans("", "", " _-")).lower()


def null_for_words(value: str, source_type: str) -> str:
    """The SQL expression of a source value; NULL for the words by which a provider says that there is none."""
    if source_type != "VARCHAR":
        return value
    return f"CASE WHEN {is_among(value, NULL_WORDS)} THEN NULL ELSE {value} END"


def is_among(value: str, texts: Iterable[str]) -> str:
    """The SQL condition of a text that is one of these.

    DuckDB tests each entry of a dictionary once. IN would be worked out for each row, and of a long list DuckDB makes a
    join, behind which it writes no Parquet on several threads.
    """
    return f"list_contains([{', '.join(map(literal, texts))}], {value})"


def _json_entry(name: str, value: str, source_type: str = "VARCHAR") -> str:
    """`"name":value` as it stands in a JSON object; NULL where there is no value."""
    key = json.dumps(name, ensure_ascii=False)
    return f"{literal(f'{key}:')} || CAST({_json(value, source_type)} AS VARCHAR)"


def _json_entries(entries: list[str]) -> str:
    """The inside of a JSON object of those entries that are not NULL; NULL where none is."""
    return f"nullif(concat_ws(',', {', '.join(entries)}), '')" if entries else "CAST(NULL AS VARCHAR)"


def _json(value: str, source_type: str) -> str:
    # JSON numbers are binary floating point to most readers, DuckDB included: exact ones are written as text.
    exact = re.sub(r"DECIMAL\(\d+,\d+\)|\bFLOAT\b", "VARCHAR", source_type)
    written = f"to_json({value})" if exact == source_type else f"to_json(CAST({value} AS {exact}))"
    # JSON has no NaN and no infinity: where there is one, the numbers are text, and so is JSON that is none.
    if source_type == "JSON":
        return f"CASE WHEN is_lax_json({value}) THEN to_json(CAST({value} AS VARCHAR)) ELSE {written} END"
    if source_type == "DOUBLE":
        return f"CASE WHEN isfinite({value}) THEN {written} ELSE to_json(CAST({value} AS VARCHAR)) END"
    if "DOUBLE" in exact or "JSON" in exact:
        texts = re.sub(r"\b(DOUBLE|JSON)\b", "VARCHAR", exact)
        as_text = f"to_json(CAST({value} AS {texts}))"
        return f"CASE WHEN is_lax_json(CAST({written} AS VARCHAR)) THEN {as_text} ELSE {written} END"
    return written


def _lines(parts: list[str]) -> str:
    return ",\n            ".join(parts)
