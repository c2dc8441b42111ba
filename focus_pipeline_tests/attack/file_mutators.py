"""Damaged and odd FOCUS files, each from a seed: mutators that know CSV, gzip and Parquet."""

import csv
import gzip
import io
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq

from focus_pipeline_tests.month_files import MONTH, charges_of

Chance = random.Random
Lines = list[list[str]]


@dataclass(frozen=True)
class Fuzzed:
    """One file. mutations: what was done to it, in order; () of a healthy one."""

    number: int
    name: str
    content: bytes
    mutations: tuple[str, ...]


def fuzzed(seed: int, number: int) -> Fuzzed:
    """The file of that number; the same for the same seed."""
    chance = Chance(f"file {seed} {number}")
    make = chance.choices((_csv_file, _gzip_file, _parquet_file), (5, 2, 4))[0]
    return make(chance, number)


def healthy(number: int, rows: int = 7) -> Fuzzed:
    """A file that nothing was done to."""
    lines = _lines(Chance(f"healthy {number}"), rows)
    return Fuzzed(-1, f"healthy-{number}.csv", _written(lines), ())


# Files


def _csv_file(chance: Chance, number: int) -> Fuzzed:
    content, mutations = _csv_content(chance)
    # What DuckDB takes for a pattern, and Hive's folders.
    name = f"{number:05d}{chance.choice(('', '', '', '', '[1]', '*', '?', ' a=b', '%20'))}"
    suffix = chance.choices((".csv", ".csv.gz", ".parquet"), (60, 1, 1))[0]
    return Fuzzed(number, f"{name}{suffix}", content, mutations)


def _gzip_file(chance: Chance, number: int) -> Fuzzed:
    content, mutations = _csv_content(chance) if chance.random() < 0.3 else (_written(_lines(chance)), ())
    name, packed = _chosen(chance, GZIP_MUTATORS, content)
    return Fuzzed(number, f"{number:05d}.csv.gz", packed, (*mutations, name))


def _parquet_file(chance: Chance, number: int) -> Fuzzed:
    mutations = []
    table = pa.table({name: pa.array(values, pa.string()) for name, values in _columns(_lines(chance)).items()})
    for _ in range(chance.choice((0, 0, 1, 1, 1, 2, 3))):
        name, table = _chosen(chance, TABLE_MUTATORS, table)
        mutations.append(name)
    content = _parquet_bytes(chance, table)
    for _ in range(chance.choice((0, 1, 1, 1, 2))):
        name, content = _chosen(chance, PARQUET_MUTATORS, content)
        mutations.append(name)
    return Fuzzed(number, f"{number:05d}.parquet", content, tuple(mutations))


def _csv_content(chance: Chance) -> tuple[bytes, tuple[str, ...]]:
    mutations = []
    lines = _lines(chance)
    for _ in range(chance.choice((0, 0, 1, 1, 2))):
        name, lines = _chosen(chance, LINES_MUTATORS, lines)
        mutations.append(name)
    content = _written(lines, chance.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL)), chance.choice(("\n", "\n", "\r\n")))
    for _ in range(chance.choice((0, 1, 1, 1, 2))):
        name, content = _chosen(chance, TEXT_MUTATORS, content)
        mutations.append(name)
    return content, tuple(mutations)


def _lines(chance: Chance, rows: int | None = None) -> Lines:
    """A header and rows that keep the contract, with values that need quotes here and there."""
    charges = charges_of(MONTH, rows or chance.choice((1, 2, 3, 5, 12, 40)))
    for charge in charges:
        charge["BilledCost"] = f"{chance.randrange(-50, 1000)}.{chance.randrange(10**9):09d}"
        charge["BillingCurrency"] = chance.choice(("USD", "USD", "EUR"))
        charge["ChargeDescription"] = chance.choice(_TEXTS)
        charge["Tags"] = chance.choice(("", "{}", '{"a": "b, c", "d": "\\"e\\""}'))
    return [list(charges[0]), *([str(value) for value in charge.values()] for charge in charges)]


_TEXTS = (
    "A cabinet",
    'A "large" cabinet, blue',
    "Zwei\nZeilen",
    "é ü 漢字 🙂",
    "",
    "'",
    "a\tb",
    "=1+1",
    "x;y|z",
    "\\",
    '"',
    "NULL",
)


def _columns(lines: Lines) -> dict[str, list[str]]:
    return {name: [line[i] or None for line in lines[1:]] for i, name in enumerate(lines[0])}


def _written(lines: Lines, quoting: int = csv.QUOTE_MINIMAL, line_end: str = "\n") -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator=line_end, quoting=quoting).writerows(lines)
    return text.getvalue().encode("utf-8", "surrogateescape")


def _chosen(chance: Chance, mutators: dict[str, Callable], content):
    name = chance.choice(list(mutators))
    return name, mutators[name](chance, content)


# Lines of a CSV file, before they are written

_COSTS = (
    "", "NULL", "null", "None", "-", "1e5", "1E-7", "1e-30", "+5", " 5", "5 ", "\t5", "1_000", "1,000.5", "1.000,5",
    "0x10", "NaN",
    "inf", "-0", "-0.0", "00012", ".5", "5.", "99999999999999999999", "999999999999999999999999",
    "0.1234567890123456789",
    "1.123456789012345678", "123456789012.123456789012345678", "٣", "−5", "5\u00a0", "$5", "5 USD", "1e400", "1.5.2",
    "--5", "true",
    "12345678901234567.123456789012345678", "0.000000000000000001", "1" * 39,
)  # fmt: skip
_CURRENCIES = ("", "NULL", "usd", "EUR", "XXX", "US D", "USD ", "$", "US Dollar", "U\u0000D")
_MOMENTS = (
    "", "2025-03-01 00:00:00", "2025-03-01T00:00:00+02:00", "2025-03-01", "0000-00-00", "9999-12-31T23:59:59Z",
    "03/01/2025",
    "2025-03-31T23:59:59Z", "2025-02-30T00:00:00Z", "1741000000", "-infinity", "epoch",
    "2025-03-01T00:00:00.123456789Z",
    "294247-01-10T04:00:54.775807Z", "290309-12-22 (BC) 00:00:00", "2025-04-01T00:00:00Z",
)  # fmt: skip
_ODD_TEXTS = (
    "a\u0000b",
    "\udc80\udcff",
    "a\r\nb",
    "a\rb",
    '"',
    '""',
    '","',
    "\ufeff",
    "\u2028",
    "x" * 100_000,
    "\x1a",
    "\x1b[31m",
    " ",
    "'",
)
_TAGS = (
    "{",
    "[]",
    "null",
    '"a"',
    '{"a":' * 200,
    '{"a": 1e999}',
    "[" * 3000,
    '{"a": "\\ud800"}',
    '{"a":1,"a":2}',
    "x" * 50_000,
    "{'a': 'b'}",
)


def _a_value(column: str, values: tuple[str, ...]) -> Callable[[Chance, Lines], Lines]:
    def mutate(chance: Chance, lines: Lines) -> Lines:
        if column not in lines[0] or len(lines) < 2:
            return lines
        at = lines[0].index(column)
        some = [list(line) for line in lines]
        row = chance.randrange(1, len(some))
        if at < len(some[row]):
            some[row][at] = chance.choice(values)
        return some

    return mutate


def _a_digit(chance: Chance, lines: Lines) -> Lines:
    at = lines[0].index("BilledCost") if "BilledCost" in lines[0] else 0
    some = [list(line) for line in lines]
    row = chance.randrange(len(some))
    if at < len(some[row]) and (text := some[row][at]):
        place = chance.randrange(len(text))
        some[row][at] = text[:place] + chance.choice("0123456789.-eE+ ,") + text[place + 1 :]
    return some


def _swapped_names(chance: Chance, lines: Lines) -> Lines:
    header = list(lines[0])
    first, second = (
        chance.randrange(len(header)),
        chance.choice([i for i, n in enumerate(header) if "Cost" in n] or [0]),
    )
    header[first], header[second] = header[second], header[first]
    return [header, *lines[1:]]


def _shuffled_columns(chance: Chance, lines: Lines) -> Lines:
    order = list(range(len(lines[0])))
    chance.shuffle(order)
    return [[line[i] for i in order if i < len(line)] for line in lines]


def _shifted_row(chance: Chance, lines: Lines) -> Lines:
    row = chance.randrange(len(lines))
    at = chance.randrange(len(lines[row]) or 1)
    changed = chance.choice((lines[row][:at] + lines[row][at + 1 :], [*lines[row][:at], "x", *lines[row][at:]], []))
    return [*lines[:row], changed, *lines[row + 1 :]]


def _header_name(chance: Chance, lines: Lines) -> Lines:
    header = list(lines[0])
    at = chance.randrange(len(header))
    name = header[at]
    header[at] = chance.choice(
        (name.lower(), name.upper(), f" {name}", f"{name} ", f"{name}\n", f"\ufeff{name}", f"{name}\u0000", "", " ",
         f'"{name}"',
         chance.choice(header), "x_" + name, name[::-1], "x_Connection", "x_Token", "x_SourceFile", f"{name}_1", "a'b",
         "a\"b", "a;b",
         "rowid", "filename", "file_row_number", "aside", "sent BilledCost", "BilledCost as DOUBLE", "x" * 5000, "{}",
         "$1", "🙂")
    )  # fmt: skip
    return [header, *lines[1:]]


def _own_column(chance: Chance, lines: Lines) -> Lines:
    name = chance.choice(
        ("x_Own", "Own", "BILLEDCOST", "billedcost ", "Provider", "x_ProviderColumns", "x_Unreadable", "row")
    )
    at = chance.randrange(len(lines[0]) + 1)
    return [[*line[:at], name if i == 0 else "9.99", *line[at:]] for i, line in enumerate(lines)]


def _without_column(chance: Chance, lines: Lines) -> Lines:
    if not lines[0]:
        return lines
    at = chance.randrange(len(lines[0]))
    return [[value for i, value in enumerate(line) if i != at] for line in lines]


LINES_MUTATORS: dict[str, Callable[[Chance, Lines], Lines]] = {
    "another BilledCost": _a_value("BilledCost", _COSTS),
    "another EffectiveCost": _a_value("EffectiveCost", _COSTS),
    "another BillingCurrency": _a_value("BillingCurrency", _CURRENCIES),
    "another ChargePeriodStart": _a_value("ChargePeriodStart", _MOMENTS),
    "another BillingPeriodEnd": _a_value("BillingPeriodEnd", _MOMENTS),
    "another ChargeDescription": _a_value("ChargeDescription", _ODD_TEXTS),
    "another ResourceId": _a_value("ResourceId", _ODD_TEXTS),
    "other Tags": _a_value("Tags", _TAGS),
    "another ChargeCategory": _a_value("ChargeCategory", ("usage", "USAGE", "Nonsense", "", "Tax ", "['Usage']")),
    "another digit": _a_digit,
    "column names swapped": _swapped_names,
    "columns in another order": _shuffled_columns,
    "a row with more or fewer values": _shifted_row,
    "another column name": _header_name,
    "one more column": _own_column,
    "one column fewer": _without_column,
    "the header once more": lambda chance, lines: [*lines, lines[0], *lines[1:3]],
    "a row of nothing": lambda chance, lines: [*lines, [""] * len(lines[0])],
    "rows twice": lambda chance, lines: [*lines, *lines[1:]],
    "the header alone": lambda chance, lines: lines[:1],
}


# The text of a CSV file


def _at(chance: Chance, content: bytes) -> int:
    return chance.randrange(len(content) + 1)


def _header_end(content: bytes) -> int:
    return content.find(b"\n") if b"\n" in content else len(content)


def _inserted(*what: bytes, in_header: bool = False) -> Callable[[Chance, bytes], bytes]:
    def mutate(chance: Chance, content: bytes) -> bytes:
        at = chance.randrange(_header_end(content) + 1) if in_header else _at(chance, content)
        return content[:at] + chance.choice(what) + content[at:]

    return mutate


def _flipped(content: bytes, first: int, last: int, chance: Chance) -> bytes:
    if not first < last <= len(content):
        return content
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 5))):
        changed[chance.randrange(first, last)] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _partly_quoted_name(chance: Chance, content: bytes) -> bytes:
    end = _header_end(content)
    names = content[:end].split(b",")
    at = chance.choice((0, -1, chance.randrange(len(names))))
    name = names[at]
    half = len(name) // 2
    names[at] = chance.choice(
        (b'"' + name[:half] + b'"' + name[half:], name[:half] + b'"' + name[half:] + b'"', b'"' + name, name + b'"',
         b'""' + name, b"'" + name)
    )  # fmt: skip
    return b",".join(names) + content[end:]


def _blank_lines(chance: Chance, content: bytes) -> bytes:
    lines = content.split(b"\n")
    at = chance.choice((0, 1, len(lines) - 1, len(lines), chance.randrange(len(lines) + 1)))
    blank = chance.choice((b"", b"\r", b" ", b"\t", b'""', b",", b"#", b"sep=,", b";" * 5))
    return b"\n".join([*lines[:at], *[blank] * chance.choice((1, 2, 100)), *lines[at:]])


def _mixed_line_ends(chance: Chance, content: bytes) -> bytes:
    lines = content.replace(b"\r\n", b"\n").split(b"\n")
    ends = chance.choice(
        ((b"\n", b"\r\n"), (b"\r",), (b"\r\n",), (b"\n", b"\r"), (b"\n\r",), (b"\r\r\n",), ("\u2028".encode(),))
    )
    return b"".join(line + chance.choice(ends) for line in lines)


def _other_encoding(chance: Chance, content: bytes) -> bytes:
    text = content.decode("utf-8", "replace")
    encoding = chance.choice(("utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "utf-8-sig", "utf-7", "cp037"))
    return text.encode(encoding, "replace")


def _cut_out(chance: Chance, content: bytes) -> bytes:
    first, last = sorted((_at(chance, content), _at(chance, content)))
    return content[:first] + content[last:]


def _repeated(chance: Chance, content: bytes) -> bytes:
    first = _at(chance, content)
    last = min(len(content), first + chance.choice((1, 10, 200, 5000)))
    return content[:last] + content[first:last] * chance.choice((1, 2, 5)) + content[last:]


def _long_line(chance: Chance, content: bytes) -> bytes:
    # Rare, for it is slow: longer than DuckDB's buffers.
    size = chance.choice((16, 17, 33)) * 1024 * 1024 if chance.random() < 0.02 else 300_000
    end = chance.choice((b"", b"\n"))
    last = content.rstrip(b"\n")
    return chance.choice(
        (last + b"x" * size + end, last + b'"' + b"x" * size + end, last + b"\0" * size, last + b"," * size)
    )


TEXT_MUTATORS: dict[str, Callable[[Chance, bytes], bytes]] = {
    "a quote in the header": _inserted(b'"', b'""', b'"x"', in_header=True),
    "a name that is half quoted": _partly_quoted_name,
    "a quote somewhere": _inserted(b'"', b'""', b'"\n', b'",'),
    "a delimiter somewhere": _inserted(b",", b";", b"\t", b"|"),
    "a line end somewhere": _inserted(b"\n", b"\r", b"\r\n", b"\n\n"),
    "a line end in the header": _inserted(b"\n", b"\r", b"\r\n", in_header=True),
    "a NUL somewhere": _inserted(b"\0", b"\0\0\0"),
    "a NUL in the header": _inserted(b"\0", in_header=True),
    "bytes somewhere": _inserted(
        b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f", b"\x1a", b"\x1b[0m", b"\\", b'\\"', b"\xef\xbb\xbf"
    ),
    "a BOM": lambda chance, content: b"\xef\xbb\xbf" * chance.choice((1, 2)) + content,
    "cut off": lambda chance, content: content[: _at(chance, content)],
    "cut out": _cut_out,
    "a part twice": _repeated,
    "blank lines": _blank_lines,
    "other line ends": _mixed_line_ends,
    "another encoding": _other_encoding,
    "no line end at the end": lambda chance, content: content.rstrip(b"\r\n"),
    "a tail": lambda chance, content: (
        content
        + chance.choice(
            (b"\0" * 512, b"\x1a", b" ", b"\n" * 50, b"\r", b"\0\n", b",", b'"', b"\n\0" * 9, b"x", b"\n\n\nx\n")
        )
    ),
    "flipped bits": lambda chance, content: _flipped(content, 0, len(content), chance),
    "another delimiter": lambda chance, content: content.replace(
        b",", chance.choice((b";", b"\t", b"|", b", ", b" ,"))
    ),
    "other quotes": lambda chance, content: content.replace(b'"', chance.choice((b"'", b"`", b'\\"', "“".encode()))),
    "a second file behind it": lambda chance, content: content + content,
    "a long line": _long_line,
    "nothing": lambda chance, content: chance.choice((b"", b"\n", b"\xef\xbb\xbf", b"\0", b" ")),
}


# gzip


def _members(chance: Chance, content: bytes) -> bytes:
    cuts = sorted(_at(chance, content) for _ in range(chance.choice((1, 1, 2, 9))))
    parts = [content[a:b] for a, b in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    return b"".join(gzip.compress(part, mtime=0) for part in parts)


def _gzip_header(chance: Chance, content: bytes) -> bytes:
    packed = gzip.compress(content, mtime=0)
    flags, extra = chance.choice(
        ((8, b"name.csv\0"), (4, b"\x05\0abcde"), (16, b"comment\0"), (0x1C, b"\x02\0abname\0comment\0"), (0xE0, b""))
    )
    return packed[:3] + bytes([flags]) + packed[4:10] + extra + packed[10:]


GZIP_MUTATORS: dict[str, Callable[[Chance, bytes], bytes]] = {
    "gzip": lambda chance, content: gzip.compress(content, chance.choice((0, 1, 9)), mtime=0),
    "gzip: several members": _members,
    "gzip: an empty member": lambda chance, content: chance.choice(
        (gzip.compress(b"") + gzip.compress(content), gzip.compress(content) + gzip.compress(b""))
    ),
    "gzip: bytes behind it": lambda chance, content: (
        gzip.compress(content)
        + chance.choice(
            (
                b"\0" * 512,
                b"\0",
                b"x",
                b"\x1f",
                b"\x1f\x8b",
                b"\n",
                content[:100],
                b"\0" * 9 + b"x",
                gzip.compress(content)[:-9],
            )
        )
    ),
    "gzip: cut off": lambda chance, content: (packed := gzip.compress(content))[: _at(chance, packed)],
    "gzip: flipped bits": lambda chance, content: _flipped(packed := gzip.compress(content), 0, len(packed), chance),
    "gzip: flipped bits of the check sum": lambda chance, content: _flipped(
        packed := gzip.compress(content), len(packed) - 8, len(packed), chance
    ),
    "gzip: another header": _gzip_header,
    "gzip twice": lambda chance, content: gzip.compress(gzip.compress(content)),
    "gzip: a member damaged": lambda chance, content: (
        gzip.compress(content) + _flipped(packed := gzip.compress(content), 10, len(packed), chance)
    ),
    "zlib": lambda chance, content: zlib.compress(content),
}


# Tables that are written as Parquet


def _typed(column: str, *kinds: pa.DataType) -> Callable[[Chance, pa.Table], pa.Table]:
    def mutate(chance: Chance, table: pa.Table) -> pa.Table:
        if column not in table.column_names or table.column_names.count(column) > 1:
            return table
        kind = chance.choice(kinds)
        values = [_as_kind(value, kind, chance) for value in table.column(column).to_pylist()]
        return table.set_column(table.column_names.index(column), column, pa.array(values, kind))

    return mutate


def _as_kind(value: object, kind: pa.DataType, chance: Chance) -> object:
    number = float(value) if isinstance(value, str) and value.replace(".", "").replace("-", "").isdigit() else 1.5
    if pa.types.is_dictionary(kind):
        return value if value is None else str(value)
    if pa.types.is_decimal(kind):
        return (
            Decimal(str(round(number, 3))).quantize(Decimal(1).scaleb(-kind.scale)) if kind.scale < 30 else Decimal(1)
        )
    if pa.types.is_floating(kind):
        return (
            chance.choice((number, number, 0.1 + 0.2, 1e-20, float("nan"), float("inf"), 1e25))
            if chance.random() < 0.1
            else number
        )
    if pa.types.is_integer(kind):
        return int(number) % 100
    if pa.types.is_boolean(kind):
        return True
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return datetime(2025, 3, 1)
    if pa.types.is_fixed_size_binary(kind):
        return b"12345678"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return str(value).encode() if chance.random() < 0.95 else b"\xff\xfe"
    if pa.types.is_nested(kind):
        return None
    if pa.types.is_null(kind):
        return None
    return str(value)


def _nested(chance: Chance, table: pa.Table) -> pa.Table:
    rows = table.num_rows
    column, values = chance.choice(
        (
            ("Tags", pa.array([[("a", "b")]] * rows, pa.map_(pa.string(), pa.string()))),
            ("Tags", pa.array([{"a": 1, "b": {"c": None}}] * rows)),
            ("Tags", pa.array([[1, None, 3]] * rows)),
            ("x_Nested", pa.array([[{"a": [Decimal("1.10")]}]] * rows)),
            ("x_Nested", pa.array([{"": 1, "a\0b": 2}] * rows)),
            ("BilledCost", pa.array([[1.5]] * rows)),
            ("BillingCurrency", pa.array([{"code": "USD"}] * rows)),
            ("ChargeCategory", pa.array([["Usage"]] * rows)),
            ("x_Deep", _deep(rows, 12)),
        )
    )
    if table.column_names.count(column) == 1:
        return table.set_column(table.column_names.index(column), column, values)
    return table.append_column(column, values)


def _deep(rows: int, levels: int) -> pa.Array:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return pa.array([value] * rows)


def _renamed(chance: Chance, table: pa.Table) -> pa.Table:
    names = list(table.column_names)
    at = chance.randrange(len(names))
    names[at] = chance.choice(
        ("a\0b", "\0", "", " ", 'a"b', "a'b", names[0], "BilledCost", names[at].lower(), f"{names[at]} ",
         f"{names[at]}_1", "x" * 70_000,
         "schema", "rowid", "file_row_number", "filename", "a.b", "🙂", "a\nb", "\x1b[31m", "x_Token", "x_Unreadable",
         "{}", "aside")
    )  # fmt: skip
    return table.rename_columns(names)


def _other_column(chance: Chance, table: pa.Table) -> pa.Table:
    kind = chance.choice(
        (pa.null(), pa.time64("ns"), pa.duration("s"), pa.decimal128(38, 38), pa.decimal256(60, 3), pa.uint64(),
         pa.float16(), pa.binary(),
         pa.large_string(), pa.date64(), pa.timestamp("ns", "Europe/Berlin"), pa.binary(16), pa.int8(),
         pa.month_day_nano_interval())
    )  # fmt: skip
    try:
        return table.append_column(chance.choice(("x_Odd", "Odd", "SkuPriceDetails")), pa.nulls(table.num_rows, kind))
    except (pa.ArrowException, ValueError):
        return table


TABLE_MUTATORS: dict[str, Callable[[Chance, pa.Table], pa.Table]] = {
    "BilledCost of another type": _typed(
        "BilledCost", pa.float64(), pa.float32(), pa.decimal128(38, 18), pa.decimal128(18, 4), pa.decimal128(9, 3),
        pa.decimal256(50, 10),
        pa.decimal128(38, 30), pa.int64(), pa.int8(), pa.uint64(), pa.large_string(), pa.binary(), pa.large_binary(),
        pa.bool_(), pa.null(),
        pa.dictionary(pa.int32(), pa.string()), pa.date32(), pa.timestamp("us"),
    ),
    "EffectiveCost of another type": _typed("EffectiveCost", pa.float64(), pa.decimal128(38, 30), pa.int32(),
    pa.binary(), pa.bool_()),
    "BillingCurrency of another type": _typed(
        "BillingCurrency", pa.dictionary(pa.int8(), pa.string()), pa.binary(), pa.large_string(), pa.null(),
        pa.int64(), pa.binary(8)
    ),
    "ChargePeriodStart of another type": _typed(
        "ChargePeriodStart", pa.timestamp("s"), pa.timestamp("ms", "UTC"), pa.timestamp("us"), pa.timestamp("ns"),
        pa.date32(), pa.int64(),
        pa.timestamp("us", "America/New_York"), pa.binary(), pa.null(),
    ),
    "ResourceId of another type": _typed("ResourceId", pa.binary(), pa.int64(), pa.float64(),
    pa.dictionary(pa.int32(), pa.string())),
    "a nested column": _nested,
    "another column name": _renamed,
    "an odd column": _other_column,
    "no rows": lambda chance, table: table.slice(0, 0),
    "one column fewer": lambda chance, table: table.remove_column(chance.randrange(table.num_columns))
    if table.num_columns > 1
    else table,
}  # fmt: skip


def _parquet_bytes(chance: Chance, table: pa.Table) -> bytes:
    file = io.BytesIO()
    options = {
        "compression": chance.choice(("none", "snappy", "zstd", "gzip", "lz4", "brotli")),
        "use_dictionary": chance.random() < 0.5,
        "data_page_version": chance.choice(("1.0", "2.0")),
        "row_group_size": chance.choice((1, 3, 1000)),
        "write_page_checksum": chance.random() < 0.2,
        "use_deprecated_int96_timestamps": chance.random() < 0.2,
        # What only Arrow reads: damaged, it would keep only Arrow from reading the file.
        "store_schema": False,
        "data_page_size": chance.choice((64, 1 << 20)),
    }
    try:
        pq.write_table(table, file, **options)
    except (pa.ArrowException, ValueError):  # a type that Parquet does not have
        file = io.BytesIO()
        texts = [number for number, field in enumerate(table.schema) if pa.types.is_string(field.type)]
        pq.write_table(table.select(texts), file)
    return file.getvalue()


# The bytes of a Parquet file


def _footer(content: bytes) -> int:
    """Where its footer begins."""
    return max(4, len(content) - 8 - int.from_bytes(content[-8:-4], "little"))


def _page_headers(chance: Chance, content: bytes) -> bytes:
    try:
        metadata = pq.read_metadata(io.BytesIO(content))
        group = metadata.row_group(chance.randrange(metadata.num_row_groups))
        column = group.column(chance.randrange(group.num_columns))
        at = chance.choice((column.data_page_offset, column.dictionary_page_offset or column.data_page_offset))
    except (pa.ArrowException, OSError, ValueError):
        at = 4
    return _flipped(content, at, min(at + 24, len(content)), chance)


def _footer_of_other_length(chance: Chance, content: bytes) -> bytes:
    length = chance.choice((0, 1, 2**31 - 1, 2**32 - 1, len(content), len(content) - 8, chance.randrange(2**16)))
    return content[:-8] + length.to_bytes(4, "little") + content[-4:]


PARQUET_MUTATORS: dict[str, Callable[[Chance, bytes], bytes]] = {
    "Parquet: flipped bits": lambda chance, content: _flipped(content, 4, len(content), chance),
    "Parquet: flipped bits of the data": lambda chance, content: _flipped(content, 4, _footer(content), chance),
    "Parquet: flipped bits of the footer": lambda chance, content: _flipped(
        content, _footer(content), len(content) - 8, chance
    ),
    "Parquet: flipped bits of a page header": _page_headers,
    "Parquet: cut off": lambda chance, content: content[: _at(chance, content)],
    "Parquet: cut out": _cut_out,
    "Parquet: bytes behind it": lambda chance, content: content + chance.choice((b"\0", b"PAR1", b"\n", content)),
    "Parquet: another length of the footer": _footer_of_other_length,
    "Parquet: another magic": lambda chance, content: chance.choice(
        (b"PARE" + content[4:], content[:-4] + b"PARE", b"par1" + content[4:])
    ),
    "Parquet: zeros": lambda chance, content: (
        content[: (at := _at(chance, content))] + b"\0" * min(64, len(content) - at) + content[at + 64 :]
    ),
}
