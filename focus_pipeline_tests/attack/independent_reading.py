"""What a delivered file holds, read without any code of the project and without DuckDB.

CSV by Arrow's reader with every column as text, gzip by Python's, Parquet by Arrow's; costs as exact decimals. Readers
of CSV differ in what they let pass: Python's own strict one is asked, too.
"""

import csv
import gzip
import io
import re
import sys
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Context, Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

_EXACT = Context(prec=200)
_NUMBER = re.compile(r"\s*[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?\s*")
_CODE = re.compile("[A-Z]{3}")
_NO_VALUE = ("", "NULL", "null")


@dataclass
class Reading:
    """rows; costs: sum of BilledCost by BillingCurrency ("" where there is none); unreadable: costs that are no number
    or not there. rounded: costs in binary floating point, or the text of it, which a reader may round to 18 decimals.
    others: whether the columns beside cost and currency can be read, too.
    """

    rows: int = 0
    costs: dict[str, Decimal] = field(default_factory=dict)
    unreadable: int = 0
    rounded: int = 0
    others: bool = True

    def agrees(self, rows: int, costs: dict[str, Decimal]) -> bool:
        """Whether somebody else read the same, but for what rounding may change.

        What is no code of a currency, for which no month is accepted, may be spelled in whatever way; one that is may
        have small letters and spaces around it.
        """
        own, others = _by_code(self.costs), _by_code(costs)
        if self.rows != rows or own.keys() != others.keys():
            return False
        most = Decimal("0.5e-18") * self.rounded
        return all(abs(_EXACT.subtract(cost, others[code])) <= most for code, cost in own.items())


def _by_code(costs: dict[str, Decimal]) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for currency, cost in costs.items():
        meant = currency.strip().upper()
        code = meant if _CODE.fullmatch(meant) else ""
        found[code] = _EXACT.add(found.get(code, Decimal(0)), cost)
    return found


class CannotRead(Exception):
    """The reader refuses the file."""


def read(path: Path) -> Reading:
    """Raises CannotRead."""
    content = path.read_bytes()
    if content[:4] == b"PAR1":
        return _parquet(path)
    return _rows_of(_csv_by_arrow(_unpacked(content)))


def second_opinion(path: Path) -> Reading | str:
    """What Python's strict reader of CSV makes of it; where it refuses it, why."""
    csv.field_size_limit(sys.maxsize)
    try:
        text = _unpacked(path.read_bytes()).decode("utf-8-sig")
        lines = [line for line in csv.reader(io.StringIO(text, newline=""), strict=True) if line]
        if not lines:
            return Reading()
        header, lines = lines[0], lines[1:]
        if wrong := [line for line in lines if len(line) != len(header)]:
            return f"a row has {len(wrong[0])} values of {len(header)}"
        columns = {name: [line[i] for line in lines] for i, name in enumerate(header)}
        return _rows_of(columns)
    except (CannotRead, csv.Error, UnicodeDecodeError) as error:
        return f"{type(error).__name__}: {error}"


def _unpacked(content: bytes) -> bytes:
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise CannotRead(f"gzip: {error}") from None


def _csv_by_arrow(content: bytes) -> dict[str, list[str | None]]:
    if not content.strip():
        return {}
    block = max(len(content) + 1, 1024)
    try:
        names = pc.open_csv(
            io.BytesIO(content),
            pc.ReadOptions(block_size=block, use_threads=False),
            pc.ParseOptions(newlines_in_values=True),
        ).schema.names
        table = pc.read_csv(
            io.BytesIO(content),
            pc.ReadOptions(block_size=block, use_threads=False),
            pc.ParseOptions(newlines_in_values=True),
            pc.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
        )
    except (pa.ArrowException, UnicodeDecodeError) as error:
        if "Empty CSV file" in str(error):
            return {}
        raise CannotRead(f"Arrow: {error}") from None
    return {name: column.to_pylist() for name, column in zip(table.column_names, table.columns, strict=True)}


def _parquet(path: Path) -> Reading:
    try:
        # Some writers give each page a check sum.
        file = pq.ParquetFile(path, page_checksum_verification=True)
        names = file.schema_arrow.names
        wanted = [_of(names, "BilledCost"), _of(names, "BillingCurrency")]
        try:
            table = file.read()
            table.validate(full=True)
            others = True
        except (pa.ArrowException, OSError, ValueError):
            # Whatever is wrong elsewhere in it: these are the columns that count.
            table = file.read(columns=wanted)
            table.validate(full=True)
            others = False
        costs, currencies = (table.column(table.column_names.index(name)) for name in wanted)
        reading = _summed(_as_texts(costs), _as_texts(currencies), pa.types.is_floating(costs.type))
        reading.others = others
        return reading
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise CannotRead(f"Arrow: {error}") from None


def _as_texts(column: pa.ChunkedArray) -> list[str | None]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_float32(column.type):
        return [None if value is None else str(value) for value in column.to_numpy(zero_copy_only=False)]
    texts = []
    for value in column.to_pylist():
        if isinstance(value, bytes):
            value = value.decode("ascii", "replace")
        elif isinstance(value, float):
            value = repr(value)
        texts.append(None if value is None else str(value))
    return texts


def _rows_of(columns: dict[str, list[str | None]]) -> Reading:
    if not columns:
        return Reading()
    return _summed(columns[_of(columns, "BilledCost")], columns[_of(columns, "BillingCurrency")], False)


def _of(names: Iterable[str], wanted: str) -> str:
    found = [name for name in names if name.strip().lower() == wanted.lower()]
    if len(found) != 1:
        raise CannotRead(f"it has {len(found)} columns {wanted}")
    return found[0]


def _is_text_of_float(number: Decimal) -> bool:
    _, digits, exponent = number.normalize(_EXACT).as_tuple()
    return exponent < -18 and len(digits) <= 17


def _summed(costs: list[str | None], currencies: list[str | None], floating: bool) -> Reading:
    reading = Reading()
    for cost, currency in zip(costs, currencies, strict=True):
        reading.rows += 1
        currency = "" if currency is None or currency in _NO_VALUE else currency
        former = reading.costs.setdefault(currency, Decimal(0))
        if cost is None or not _NUMBER.fullmatch(cost):
            reading.unreadable += 1
        else:
            number = Decimal(cost.strip())
            reading.rounded += floating or _is_text_of_float(number)
            reading.costs[currency] = _EXACT.add(former, number)
    return reading
