"""A CSV file before DuckDB reads it: its header by the letter, and its records as pyarrow counts them."""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from focus_pipeline.limits import Limits
from focus_pipeline.pipeline.column_names import UnreadableFile, refuse_doubled, refuse_names
from focus_pipeline.visible import visible

LONGEST_LINE = 16 * 1024 * 1024
"""A line may be this long: tags and SKU details can hold thousands of characters."""

# What is read at a time; the larger one only where a line does not fit.
_COUNTED_BLOCKS = (4 * 1024 * 1024, 3 * LONGEST_LINE)
# The columns of FOCUS take two kilobytes; hundreds of columns for tags take some ten.
_LONGEST_HEADER = 1024 * 1024

GZIP, PARQUET = b"\x1f\x8b", b"PAR1"
"""The first bytes of these formats."""

_ZIP = b"PK"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# A header as RFC 4180 has it: each name without quotes in it, or within quotes, which are doubled inside.
_NAME = r'(?:"(?:[^"]|"")*"|[^",\r\n]*)'
_HEADER = re.compile(rf"{_NAME}(?:,{_NAME})*(?=[\r\n]|\Z)")


@dataclass(frozen=True)
class CsvFile:
    """A CSV file as it is before it is read. size: bytes, unpacked. lines: all of them, within quotes and empty ones,
    too. records: below its header, as pyarrow counts them; None where it cannot, and `doubt` says why.
    """

    columns: list[str]
    records: int | None
    size: int
    lines: int
    doubt: str = ""


def look_at_csv(path: Path, limits: Limits, *, packed: bool) -> CsvFile:
    """Reads a file to its end without keeping it. packed: with gzip.

    Raises UnreadableFile where its header or its compression is at fault, or it is beyond the limits.
    """
    with unpacked(path, packed) as stream:
        header = _header(stream)
    refuse_names(header)
    refuse_doubled(header)
    for block in _COUNTED_BLOCKS:
        with unpacked(path, packed) as stream:
            measured = _Measured(stream, path.stat().st_size, limits)
            records, doubt = _counted_by_pyarrow(measured, block)
            while records is None and measured.read(1024 * 1024):
                pass  # a gzip file is looked at to its end, whatever is in it
        if "straddling" not in doubt:
            break
        doubt = f"a line is longer than {LONGEST_LINE:,} bytes, or a quote is not closed"
    return CsvFile(header, records, measured.size, measured.lines, doubt)


class _Measured(io.RawIOBase):
    """A stream that counts what is read of it, bytes and lines, and stops where that is more than the limits allow.

    It ends in a line break, whether or not the file does: pyarrow takes a lone line without one for nothing.
    """

    def __init__(self, stream: BinaryIO, packed: int, limits: Limits) -> None:
        self._stream, self._packed, self._limits = stream, packed, limits
        self.size = 0
        self.lines = 0
        self._last = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        read = self._stream.readinto(buffer)
        self.size += read
        if fault := self._limits.broken_by(self.size, self._packed):
            raise UnreadableFile(fault)
        self._count_lines(bytes(buffer[:read]))
        if read < len(buffer) and not self._ended:
            self._ended = True
            self.lines += self._last not in (b"", b"\r", b"\n")
            buffer[read : read + 1] = b"\n"
            read += 1
        return read

    def _count_lines(self, block: bytes) -> None:
        self.lines += block.count(b"\n")
        if b"\r" in block:
            self.lines += block.count(b"\r") - block.count(b"\r\n")
        self.lines -= self._last == b"\r" and block[:1] == b"\n"
        self._last = block[-1:] or self._last


def unpacked(path: Path, packed: bool) -> BinaryIO:
    """The content of a file. Reading it raises UnreadableFile where its compression is at fault."""
    return _Gzip(path) if packed else path.open("rb")


class _Gzip(gzip.GzipFile):
    """A gzip file that says what is wrong with it. DuckDB stops without a word where a stream was cut at a line's end,
    and so does whoever does not read on to the end.
    """

    def read(self, size: int | None = -1) -> bytes:
        with _gzip_faults():
            return super().read(size)


@contextmanager
def _gzip_faults() -> Iterator[None]:
    try:
        yield
    except EOFError:
        raise UnreadableFile("the gzip file breaks off: the upload did not finish; upload it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UnreadableFile(f"the gzip file is damaged ({error}); upload it again") from None


def _counted_by_pyarrow(stream: BinaryIO, block: int) -> tuple[int | None, str]:
    """How many records a CSV file has below its header; None, and why, where pyarrow cannot read it."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    try:
        batches = arrow_csv.open_csv(
            pa.PythonFile(stream, mode="r"),
            # The header is counted as a record: whatever its names are, they mean nothing here.
            arrow_csv.ReadOptions(block_size=block, autogenerate_column_names=True),
            arrow_csv.ParseOptions(newlines_in_values=True),
            arrow_csv.ConvertOptions(include_columns=["f0"], column_types={"f0": pa.binary()}, check_utf8=False),
        )
        return sum(batch.num_rows for batch in batches) - 1, ""
    except pa.ArrowInvalid as error:
        # With the line that it means, which may have megabytes.
        said = str(error).splitlines()[0]
        return None, visible(re.sub(r"(columns, got \d+): .*", r"\1", said)[:200])


def _header(stream: BinaryIO) -> list[str]:
    """The names of a CSV file's columns."""
    start = stream.read(_LONGEST_HEADER)
    _refuse_other_content(start[:4])
    start = start.removeprefix(_BYTE_ORDER_MARK)
    if not start.strip(b"\r\n") and len(start) < _LONGEST_HEADER - len(_BYTE_ORDER_MARK):
        raise UnreadableFile("it is empty, without even a header; upload it again, or delete it")
    if start[:1] in b"\r\n":
        raise UnreadableFile("its first line is empty; the first line has to be the names of the columns")
    if start.startswith(_BYTE_ORDER_MARK):
        raise UnreadableFile("it begins with two byte order marks; save it with one, or without")
    # Bytes that are no UTF-8 further down are left to the reading, which tells their line.
    text = start.decode("utf-8", "surrogateescape")
    shown = re.split(r"[\r\n]", text[:80], maxsplit=1)[0]
    if (told := _HEADER.match(text)) is None:
        raise UnreadableFile(
            f"a quote stands in a wrong place of its header: {_around_quote(text)!r}; write a column name without "
            "quotes, or the whole name within them"
        )
    line = told[0]
    if len(line) == len(text) and len(start) >= _LONGEST_HEADER - len(_BYTE_ORDER_MARK):
        raise UnreadableFile(f"its header is longer than {_LONGEST_HEADER:,} bytes; it begins with {shown!r}")
    try:
        line.encode("utf-8")
    except UnicodeEncodeError:
        raise UnreadableFile("its header is not encoded as UTF-8; save the file as UTF-8") from None
    (header,) = csv.reader(io.StringIO(line, newline=""), strict=True)
    if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
        raise UnreadableFile(f"its header is not separated by commas: {shown!r}; save it with commas")
    if blank := [number for number, name in enumerate(header, 1) if not name.strip()]:
        raise UnreadableFile(f"column {blank[0]} of its header has no name: {shown!r}; name it or leave it out")
    # DuckDB takes a quoted line break in a header for the header's end, and loses the first row without a word.
    if broken := [name for name in header if "\r" in name or "\n" in name]:
        raise UnreadableFile(f"the column name {broken[0][:80]!r} of its header holds a line break; name it without")
    return header


def _around_quote(text: str) -> str:
    """The part of a header with its first quote that stands in a wrong place."""
    end = 0
    while (name := re.compile(_NAME).match(text, end)) and text[name.end() : name.end() + 1] == ",":
        end = name.end() + 1
    return re.split(r"[,\r\n]", text[end : end + 80], maxsplit=1)[0]


def _refuse_other_content(start: bytes) -> None:
    if start[:2] == _ZIP:
        raise UnreadableFile("it is a zip archive; unpack it, or compress the CSV file with gzip")
    if start[:2] == GZIP:
        raise UnreadableFile("it is compressed with gzip twice; compress it once")
    if start == PARQUET:
        raise UnreadableFile("it is a Parquet file within a gzip file; upload the Parquet file itself")
    if start[:2] in _UTF_16 or b"\0" in start:
        raise UnreadableFile("it is encoded as UTF-16; save it as UTF-8")
