"""Properties of values: what a provider writes is what the table holds, whatever the file's format and spelling."""

import gzip
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Context, Decimal
from itertools import count
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focus_pipeline.focus.canonical import LINEAGE, canonical_select, create_macros
from focus_pipeline.limits import USUAL_LIMITS
from focus_pipeline.pipeline.source_files import open_source_file, read_together
from focus_pipeline.sql import quoted
from focus_pipeline_tests.month_files import Row, as_csv, write_parquet

pytestmark = pytest.mark.slow

EXACT = Context(prec=400)
SMALLEST = Decimal("1e-18")

Read = Callable[[Path, str], list]
NewPath = Callable[[str], Path]

properties = settings(max_examples=60, deadline=None)


@pytest.fixture(scope="module")
def new_path(tmp_path_factory: pytest.TempPathFactory) -> NewPath:
    """Paths that were never used: DuckDB may show what it read before from a file that is written anew."""
    folder, numbers = tmp_path_factory.mktemp("files"), count()
    return lambda suffix: folder / f"{next(numbers)}{suffix}"


@pytest.fixture(scope="module")
def read(new_path: NewPath) -> Read:
    """Reads one canonical column of a file."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    create_macros(connection)

    def read(path: Path, column: str) -> list:
        opened = open_source_file(path, connection, USUAL_LIMITS)
        source = read_together([opened], new_path(".parsed.parquet"), connection)
        canonical = canonical_select(source.columns, source.relation, dict.fromkeys(LINEAGE, ""))
        return [value for (value,) in connection.execute(f"SELECT {quoted(column)} FROM ({canonical})").fetchall()]

    return read


@pytest.fixture(scope="module")
def macros() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with the macros of canonical.sql."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        create_macros(connection)
        yield connection


def read_every_way(new_path: NewPath, read: Read, column: str, values: list[str]) -> list[list]:
    """The canonical column, when the values come as text in CSV, in CSV with everything quoted, packed, and Parquet."""
    rows: list[Row] = [{"ServiceName": "x", column: value} for value in values]
    # Python's writer leaves a carriage return without the quotes that it needs.
    usual = as_csv(rows, quote_all=any("\r" in value for value in values))
    paths = [new_path(".csv"), new_path(".csv"), new_path(".csv.gz"), new_path(".parquet")]
    paths[0].write_bytes(usual)
    paths[1].write_bytes(as_csv(rows, quote_all=True))
    paths[2].write_bytes(gzip.compress(usual))
    write_parquet(paths[3], rows)
    return [read(path, column) for path in paths]


@st.composite
def decimals(draw: st.DrawFn) -> Decimal:
    """At most 19 digits before the point and 18 behind it: what DECIMAL(38, 18) holds for certain."""
    sign = draw(st.sampled_from(["", "-"]))
    whole = draw(st.integers(0, 10 ** draw(st.integers(0, 19)) - 1))
    places = draw(st.integers(0, 18))
    return Decimal(f"{sign}{whole}.{draw(st.integers(0, 10**places - 1)):0{places}}")


@st.composite
def spelled_decimals(draw: st.DrawFn) -> tuple[str, Decimal]:
    number = draw(decimals())
    sign = "+" if not number.is_signed() and draw(st.booleans()) else ""
    if draw(st.booleans()):
        return sign + format(number, "f"), number
    exponent = draw(st.integers(-40, 40))
    mantissa = format(number.scaleb(-exponent, EXACT), "f")
    return f"{sign}{mantissa}{draw(st.sampled_from('eE'))}{exponent:{draw(st.sampled_from(['', '+', '03']))}}", number


@properties
@given(st.lists(spelled_decimals(), min_size=1, max_size=30))
def test_decimals_of_18_places_are_exact_however_they_are_spelled(
    new_path: NewPath, read: Read, spelled: list[tuple[str, Decimal]]
) -> None:
    expected = [number for _, number in spelled]
    for found in read_every_way(new_path, read, "BilledCost", [text for text, _ in spelled]):
        assert found == expected


@properties
@given(st.lists(decimals(), min_size=1, max_size=30))
def test_parquet_decimals_are_exact(new_path: NewPath, read: Read, numbers: list[Decimal]) -> None:
    """In the widest type, and in the narrowest that holds them."""
    scale = max(max(-int(number.as_tuple().exponent) for number in numbers), 0)
    width = max(len(str(int(abs(number)))) for number in numbers) + scale
    for kind in (pa.decimal128(38, 18), pa.decimal128(min(width, 38), scale)):
        path = new_path(".parquet")
        write_parquet(path, [{"BilledCost": number} for number in numbers], {"BilledCost": kind})
        assert read(path, "BilledCost") == numbers


@properties
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_floating_point_is_its_shortest_decimal_or_counted_as_rounded(
    new_path: NewPath, read: Read, numbers: list[float]
) -> None:
    path = new_path(".parquet")
    write_parquet(path, [{"BilledCost": number} for number in numbers], {"BilledCost": pa.float64()})
    shortest = [Decimal(repr(number)) for number in numbers]
    at_18 = [
        number if number == number.to_integral_value() else number.quantize(SMALLEST, ROUND_HALF_UP, EXACT)
        for number in shortest
    ]
    found = read(path, "BilledCost")
    assert found == [number if abs(number) < 10**20 else None for number in at_18]
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        create_macros(connection)
        counted = connection.execute(f"SELECT is_rounded(BilledCost) FROM '{path}'").fetchall()
    assert [rounded for (rounded,) in counted] == [a != b for a, b in zip(at_18, shortest, strict=True)]


@properties
@given(
    st.lists(
        (st.floats(-1e6, 1e6) | st.floats(-1e-3, 1e-3)).map(lambda n: (repr(n), format(Decimal(repr(n)), "f"))),
        min_size=1,
        max_size=30,
    )
)
def test_the_text_of_floating_point_is_read_as_it_is(
    macros: duckdb.DuckDBPyConnection, texts: list[tuple[str, str]]
) -> None:
    """With and without an exponent, and rounded where it is."""
    for spelled in zip(*texts, strict=True):
        found = macros.execute(
            "SELECT to_decimal(text), double_to_decimal(CAST(text AS DOUBLE)), is_rounded_text(text), "
            "is_rounded(CAST(text AS DOUBLE)) FROM (SELECT unnest($texts) AS text)",
            {"texts": list(spelled)},
        ).fetchall()
        assert [(of_text, text_rounded) for of_text, _, text_rounded, _ in found] == [
            (of_double, double_rounded) for _, of_double, _, double_rounded in found
        ]


@properties
@given(st.lists(st.tuples(st.integers(10**17, 10**25), st.integers(19, 40)), min_size=1, max_size=30))
def test_more_digits_than_floating_point_has_are_never_rounded_away(
    macros: duckdb.DuckDBPyConnection, numbers: list[tuple[int, int]]
) -> None:
    texts = [format(Decimal(digits).scaleb(-places, EXACT), "f") for digits, places in numbers if digits % 10]
    found = macros.execute(
        "SELECT to_decimal(text), is_rounded_text(text) FROM (SELECT unnest($texts) AS text)", {"texts": texts}
    ).fetchall()
    assert found == [(None, False)] * len(texts)


@properties
@given(
    st.lists(
        st.tuples(
            st.datetimes(datetime(1970, 1, 1), datetime(2999, 1, 1)),
            st.integers(-12 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
        ),
        min_size=1,
        max_size=30,
    ),
    st.sampled_from("T "),
)
def test_moments_are_right_to_the_microsecond_whatever_their_offset(
    new_path: NewPath, read: Read, moments: list[tuple[datetime, timezone]], separator: str
) -> None:
    expected = [moment for moment, _ in moments]
    aware = [moment.replace(tzinfo=UTC).astimezone(zone) for moment, zone in moments]
    for found in read_every_way(new_path, read, "ChargePeriodStart", [m.isoformat(separator) for m in aware]):
        assert found == expected
    path = new_path(".parquet")
    rows: list[Row] = [{"ChargePeriodStart": moment.astimezone(UTC)} for moment in aware]
    write_parquet(path, rows, {"ChargePeriodStart": pa.timestamp("us", "Asia/Kolkata")})
    assert read(path, "ChargePeriodStart") == expected


@properties
@given(st.lists(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1)), min_size=1, max_size=30))
def test_moments_of_int96_are_right_to_the_microsecond(new_path: NewPath, read: Read, moments: list[datetime]) -> None:
    """What Spark and Azure write."""
    path = new_path(".parquet")
    rows: list[Row] = [{"ChargePeriodStart": moment} for moment in moments]
    write_parquet(path, rows, {"ChargePeriodStart": pa.timestamp("ns")}, use_deprecated_int96_timestamps=True)
    assert read(path, "ChargePeriodStart") == moments


# What CSV files have for "no value" is none.
texts = st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: text not in ("", "NULL", "null"))


@properties
@given(st.lists(texts, min_size=1, max_size=30), st.sampled_from(["ResourceName", "BillingAccountId", "SkuId"]))
def test_texts_survive_letter_for_letter(new_path: NewPath, read: Read, values: list[str], column: str) -> None:
    for found in read_every_way(new_path, read, column, values):
        assert found == values


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
json_objects = st.dictionaries(texts, json_values, max_size=4)


@properties
@given(st.lists(json_objects, min_size=1, max_size=10), st.booleans())
def test_json_objects_survive_in_tags(new_path: NewPath, read: Read, objects: list[dict], ascii_only: bool) -> None:
    for found in read_every_way(new_path, read, "Tags", [json.dumps(o, ensure_ascii=ascii_only) for o in objects]):
        assert [json.loads(value) for value in found] == objects


@properties
@given(st.lists(st.dictionaries(texts, texts | st.none(), max_size=4), min_size=1, max_size=10))
def test_parquet_maps_and_lists_of_pairs_become_the_same_tags(
    new_path: NewPath, read: Read, objects: list[dict]
) -> None:
    path = new_path(".parquet")
    write_parquet(path, [{"Tags": list(o.items())} for o in objects], {"Tags": pa.map_(pa.string(), pa.string())})
    assert [json.loads(value) for value in read(path, "Tags")] == objects
    path = new_path(".parquet")
    rows: list[Row] = [{"Tags": [{"key": key, "value": value} for key, value in o.items()]} for o in objects]
    write_parquet(path, rows, {"Tags": pa.list_(pa.struct({"key": pa.string(), "value": pa.string()}))})
    assert [json.loads(value) for value in read(path, "Tags")] == objects


names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n")).map("x_{}".format)


@properties
@given(st.lists(st.dictionaries(names, texts, max_size=3), min_size=1, max_size=10))
def test_a_providers_columns_survive_name_and_value(new_path: NewPath, read: Read, objects: list[dict]) -> None:
    different = {name.strip().lower(): name for o in objects for name in o}.values()
    rows: list[Row] = [{"ServiceName": "x"} | {name: o.get(name) for name in different} for o in objects]
    text, typed = new_path(".csv"), new_path(".parquet")
    text.write_bytes(as_csv(rows, quote_all=True))
    write_parquet(typed, rows)
    expected = [
        {name.strip(): value for name, value in row.items() if name != "ServiceName" and value} or None for row in rows
    ]
    for path in (text, typed):
        found = read(path, "x_ProviderColumns")
        assert [value and json.loads(value) for value in found] == expected


def is_json_object(text: str) -> bool:
    """By the standard: Python reads NaN and Infinity, too."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        return isinstance(json.loads(text, parse_constant=refuse), dict)
    except ValueError:
        return False


JSON_PARTS = [
    *['{"a":', "{", "}", "[", "]", ",", ":", " ", "\n", '"', '"b"', '"a":', "1", "1.5e3", "true", "null", "{}", "[1]"],
    *["NaN", "nan", "-Infinity", "inf", "True", "None", "'", "'a'", "01", ".5", "+1", "0x1", "/*c*/", "//", "#", "\\"],
    *['"\t"', '", NaN"', '": inf"', '",}"', '"\\""', "\ufeff", "\xa0", "undefined", ";"],
]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.lists(st.sampled_from(JSON_PARTS), max_size=7).map("".join)
        | st.lists(st.sampled_from(JSON_PARTS), min_size=1, max_size=4).map(lambda p: '{"a": ' + "".join(p) + "}"),
        min_size=20,
        max_size=60,
    )
)
def test_json_objects_are_told_as_the_standard_has_them_and_nothing_else_is_read_as_one(
    macros: duckdb.DuckDBPyConnection, texts: list[str]
) -> None:
    """DuckDB's json_valid() lets NaN, Infinity and trailing commas pass."""
    found = macros.execute(
        "SELECT is_json_object(text), to_json_object(text) FROM (SELECT unnest($texts) AS text)", {"texts": texts}
    ).fetchall()
    assert [is_object for is_object, _ in found] == [is_json_object(text) for text in texts]
    for text, (_, read) in zip(texts, found, strict=True):
        if is_json_object(text):
            assert read == text
        assert read is None or is_json_object(read), f"{text} is read as {read}"
