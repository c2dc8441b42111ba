"""What a delivered file is, told by its first bytes rather than by its name, and how DuckDB is to read it.

Every file is held against a second reader: pyarrow counts its records, and DuckDB has to find as many. Whatever makes
DuckDB skip a part of a file in silence ends in a rejection that names the file.
"""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

import duckdb

from focus_pipeline.machine import can_be_of_a_file
from focus_pipeline.pipeline.limits import Limits
from focus_pipeline.sql import literal, path_literal, quoted, unused

# A line of a CSV file may be this long: tags and SKU details can hold thousands of characters.
_LONGEST_LINE = 16 * 1024 * 1024
_CSV_BUFFER = 32 * 1024 * 1024
# Of the records that pyarrow counts at a time; the larger one only where a line does not fit.
_COUNTED_BLOCKS = (4 * 1024 * 1024, _LONGEST_LINE + _CSV_BUFFER)
# The columns of FOCUS take two kilobytes; thousands of columns for tags take some hundred.
_LONGEST_HEADER = 1024 * 1024
_MOST_COLUMNS = 2_000

_GZIP, _PARQUET, _ZIP = b"\x1f\x8b", b"PAR1", b"PK"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_WIDEST_DECIMAL = 38
_VALUE_BYTES = 8
# Of the columns that DuckDB's readers add to those of a file, in the same namespace.
_READER_COLUMNS = ("file_index", "file_row_number", "filename")

# What DuckDB says about a line of a CSV file -> what it means for the file's owner.
_CSV_FAULTS = {
    r"Expected Number of Columns: (\d+) Found: (\d+).*": r"it has \2 values where the header has \1 columns",
    r"Value with unterminated quote found.*": "a quote is not closed, or text follows the closing one",
    r"Invalid unicode.*": "it is not encoded as UTF-8",
    r"Maximum line size of.*": f"it is longer than {_LONGEST_LINE:,} bytes",
}

# A header as RFC 4180 has it: each name without quotes in it, or within quotes, which are doubled inside.
_NAME = r'(?:"(?:[^"]|"")*"|[^",\r\n]*)'
_HEADER = re.compile(rf"{_NAME}(?:,{_NAME})*(?=[\r\n]|\Z)")


# Of the Parquet files that are written here. DuckDB's own row groups have 122,880 rows; a Parquet row group that is
# longer by a few rows, as they are when the rows come from a CSV file, makes it insert twice as slowly. A group is
# closed once it has at least this many rows, with at most one vector of 2,048 too many. Rows are told by their place:
# without the last option DuckDB writes those of several files, or row groups, as they come.
PARQUET_OPTIONS = "FORMAT parquet, ROW_GROUP_SIZE 120832, PRESERVE_ORDER true"


class UnreadableFile(Exception):
    """The file cannot be read as what it claims to be. The message says why and what its owner can do."""


@dataclass(frozen=True)
class SourceFile:
    """One delivered file, looked at and not yet read.

    format: "csv", "csv.gz" or "parquet". columns: name in the file -> DuckDB type, in the file's order; CSV has text.
    records: how many rows it has, by pyarrow; None where pyarrow cannot tell, and `doubt` says why.
    size: bytes, unpacked where it is compressed.
    """

    path: Path
    format: str
    columns: dict[str, str]
    records: int | None
    size: int
    doubt: str = ""

    @property
    def kind(self) -> tuple:
        """What files that are read together have in common."""
        alone = any(name.strip().lower() in _READER_COLUMNS for name in self.columns)
        return self.format, tuple(self.columns.items()), self.path if alone else None


@dataclass(frozen=True)
class Source:
    """The rows of one file, or of several of one kind.

    relation: what to write behind FROM to read them. file: SQL of the place of a row's file among them, from 0.
    row: SQL of a row's number in its file, from 1.
    """

    format: str
    columns: dict[str, str]
    relation: str
    file: str
    row: str


def open_source_file(path: Path, connection: duckdb.DuckDBPyConnection, limits: Limits) -> SourceFile:
    """Looks at a landed file. A file without any column (an empty CSV file) has no rows either.

    Raises UnreadableFile for anything that is not a whole CSV, gzip CSV or Parquet file in UTF-8, or is beyond the
    limits; OSError and duckdb.Error where this machine cannot read it.
    """
    with path.open("rb") as file:
        start = file.read(4)
    if start == _PARQUET:
        return _parquet(path, connection, limits)
    if start[:2] == _GZIP:
        return _csv(path, "csv.gz", limits)
    for suffix, first_bytes in {".gz": _GZIP, ".parquet": _PARQUET}.items():
        if path.name.endswith(suffix) and first_bytes.startswith(start):
            raise UnreadableFile(f"it ends after {len(start)} bytes: the upload did not finish; upload it again")
    return _csv(path, "csv", limits)


def read_together(files: Sequence[SourceFile], parsed: Path, connection: duckdb.DuckDBPyConnection) -> Source:
    """The rows of files of one kind, in their order, for several readings.

    CSV is parsed once, into text in Parquet at `parsed`, which is read far faster. Raises duckdb.Error.
    """
    first = files[0]
    if first.format == "parquet":
        reader = _parquet_reader(files)
        if len(files) == 1:
            return Source(first.format, first.columns, reader, "0", "row_number() OVER ()")
        return Source(first.format, first.columns, reader, "CAST(file_index AS INTEGER)", "file_row_number + 1")
    reader = _csv_reader(files)
    places = {_place(number): name for number, name in enumerate(first.columns)}
    connection.execute(
        f"COPY (SELECT {', '.join(places)}, CAST(file_index AS INTEGER) AS file FROM {reader}) "
        f"TO {literal(str(parsed))} ({PARQUET_OPTIONS})"
    )
    starts = accumulate([0, *(file.records or 0 for file in files[:-1])])
    row_number = f"file_row_number + 1 - [{', '.join(map(str, starts))}][file + 1]"
    file, row = (unused(name, first.columns) for name in ("file", "row"))
    columns = ", ".join(f"{place} AS {quoted(name)}" for place, name in places.items())
    relation = (
        f"(SELECT {columns}, file AS {file}, {row_number} AS {row} "
        f"FROM read_parquet({path_literal(parsed)}, hive_partitioning = false))"
    )
    return Source(first.format, first.columns, relation, file, row)


def _parquet_reader(files: Sequence[SourceFile]) -> str:
    return f"read_parquet([{_paths(files)}], hive_partitioning = false)"


def _csv_reader(files: Sequence[SourceFile]) -> str:
    # Every option is given: nothing of a bill is guessed. An id keeps its zeros because all values are text here.
    # Columns go by place: what stands in a header is no name for DuckDB's reader, which has columns of its own.
    compression = "gzip" if files[0].format == "csv.gz" else "none"
    return f"""read_csv(
                [{_paths(files)}],
                auto_detect = false, header = true, delim = ',', quote = '"', escape = '"',
                nullstr = '', compression = {literal(compression)}, encoding = 'utf-8',
                max_line_size = {_LONGEST_LINE}, buffer_size = {_CSV_BUFFER}, hive_partitioning = false,
                columns = {{{", ".join(f"{_place(number)}: 'VARCHAR'" for number in range(len(files[0].columns)))}}}
            )"""


def _paths(files: Sequence[SourceFile]) -> str:
    return ", ".join(path_literal(file.path) for file in files)


def _place(number: int) -> str:
    return f"c{number}"


def reading_fault(file: SourceFile, connection: duckdb.DuckDBPyConnection) -> str | None:
    """What is wrong with the file's content; None where all of it can be read, and something else went wrong.

    Raises duckdb.Error where it is not the file that keeps it from being read, but this machine.
    """
    reader = _parquet_reader([file]) if file.format == "parquet" else _csv_reader([file])
    try:
        connection.execute(f"SELECT max(hash(COLUMNS(*))) FROM {reader}").fetchall()
    except duckdb.Error as error:
        if not can_be_of_a_file(error) and not (file.format == "parquet" and _is_damaged(file.path)):
            raise
        fault = _explained(error)
        return f"the Parquet file is damaged ({fault})" if file.format == "parquet" else fault
    return None


def _is_damaged(path: Path) -> bool:
    """Whether pyarrow, too, cannot read a Parquet file: a damaged size in it can ask DuckDB for all of the memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for _ in file.iter_batches(batch_size=1024):
                pass
    except (pa.ArrowMemoryError, MemoryError):
        return False
    except (pa.ArrowException, OSError):
        return True
    return False


def _explained(error: duckdb.Error) -> str:
    """DuckDB's account of what is wrong: the line and the reason, without its own options and hints."""
    text = re.split(r"\nPossible |\n +file = |\n\nLINE ", str(error))[0].strip()
    if "state machine reached an invalid state" in text:
        return "its lines end in different ways (some in CRLF, some in LF), or a quote stands in a wrong place"
    told = re.search(r"CSV Error on Line: (\d+)\s+Original Line:\s*(.*)\n(.+)", text, re.DOTALL)
    if told is None:
        return (text.splitlines() or [type(error).__name__])[0][:300]
    number, line, fault = told.groups()
    for said, meant in _CSV_FAULTS.items():
        fault = re.sub(said, meant, fault)
    return f"line {number}: {fault}; it begins with {line.strip()[:100]!r}"


# --- Parquet ---------------------------------------------------------------------------------------------


def _parquet(path: Path, connection: duckdb.DuckDBPyConnection, limits: Limits) -> SourceFile:
    relation = f"read_parquet({path_literal(path)}, hive_partitioning = false)"
    try:
        stored = connection.execute(f"SELECT name, precision FROM parquet_schema({path_literal(path)})").fetchall()
        _refuse_names([name for name, _ in stored[1:]])  # the first is the schema's own
        described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    except UnicodeDecodeError:
        raise UnreadableFile("a column name is not encoded as UTF-8; write the file anew") from None
    except duckdb.Error as error:
        if not can_be_of_a_file(error):
            raise
        raise UnreadableFile(f"it is not a whole Parquet file ({_explained(error)}); upload it again") from None
    columns = {name: kind for name, kind, *_ in described}
    _refuse_doubled(list(columns))
    names = {name for name, _ in stored}
    # DuckDB gives the second of two columns of one name another one, and reads decimals too wide for it as DOUBLE.
    if renamed := [name for name in columns if name not in names]:
        raise UnreadableFile(f"it has the column {renamed[0].rpartition('_')[0]} twice; leave one of them out")
    if too_wide := [name for name, precision in stored if (precision or 0) > _WIDEST_DECIMAL]:
        raise UnreadableFile(f"its column {too_wide[0]} is a decimal of more than {_WIDEST_DECIMAL} digits; use fewer")
    records, unpacked = _described_by_pyarrow(path)
    # A column that repeats one value takes next to nothing in the file; once it is read, it does in every row.
    unpacked = max(unpacked, records * len(columns) * _VALUE_BYTES)
    if fault := limits.broken_by(unpacked, path.stat().st_size):
        raise UnreadableFile(fault)
    return SourceFile(path, "parquet", columns, records, unpacked)


def _described_by_pyarrow(path: Path) -> tuple[int, int]:
    """Rows and unpacked bytes of a Parquet file, by pyarrow."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(path)
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno):
            raise
        raise UnreadableFile(
            f"it is not a whole Parquet file: pyarrow cannot read its metadata ({str(error).splitlines()[0][:200]}); "
            "write it anew"
        ) from None
    if metadata.num_rows != (rows := sum(group.num_rows for group in groups)):
        raise UnreadableFile(
            f"the Parquet file is damaged: it says that it has {metadata.num_rows:,} rows, and its row groups have "
            f"{rows:,}; upload it again"
        )
    return rows, sum(group.total_byte_size for group in groups)


# --- CSV -------------------------------------------------------------------------------------------------


class _Measured(io.RawIOBase):
    """A stream that counts what is read of it, and stops where that is more than the limits allow.

    It ends in a line break, whether or not the file does: pyarrow takes a lone line without one for nothing.
    """

    def __init__(self, stream: BinaryIO, packed: int, limits: Limits) -> None:
        self._stream, self._packed, self._limits = stream, packed, limits
        self.size = 0
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:
        read = self._stream.readinto(buffer)
        self.size += read
        if fault := self._limits.broken_by(self.size, self._packed):
            raise UnreadableFile(fault)
        if read < len(buffer) and not self._ended:
            self._ended = True
            buffer[read : read + 1] = b"\n"
            read += 1
        return read


def _csv(path: Path, file_format: str, limits: Limits) -> SourceFile:
    with _unpacked(path, file_format) as stream:
        header = _header(stream)
    if not header:
        return SourceFile(path, file_format, {}, 0, 0)
    _refuse_names(header)
    _refuse_doubled(header)
    columns = dict.fromkeys(header, "VARCHAR")
    for block in _COUNTED_BLOCKS:
        with _unpacked(path, file_format) as stream:
            measured = _Measured(stream, path.stat().st_size, limits)
            records, doubt = _counted_by_pyarrow(measured, block)
            while records is None and measured.read(1024 * 1024):
                pass  # a gzip file is looked at to its end, whatever is in it
        if "straddling" not in doubt:
            break
    return SourceFile(path, file_format, columns, records, measured.size, doubt)


def _unpacked(path: Path, file_format: str) -> BinaryIO:
    return _Gzip(path) if file_format == "csv.gz" else path.open("rb")


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
        return None, str(error).splitlines()[0][:200]


def _header(stream: BinaryIO) -> list[str]:
    """The names of a CSV file's columns; none where it is empty, or has nothing but empty lines."""
    start = stream.read(_LONGEST_HEADER)
    _refuse_other_content(start[:4])
    start = start.removeprefix(_BYTE_ORDER_MARK)
    if not start.strip(b"\r\n") and len(start) < _LONGEST_HEADER - len(_BYTE_ORDER_MARK):
        return []
    if start[:1] in b"\r\n":
        raise UnreadableFile("its first line is empty; the first line has to be the names of the columns")
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
    if start[:2] == _GZIP:
        raise UnreadableFile("it is compressed with gzip twice; compress it once")
    if start == _PARQUET:
        raise UnreadableFile("it is a Parquet file within a gzip file; upload the Parquet file itself")
    if start[:2] in _UTF_16 or b"\0" in start:
        raise UnreadableFile("it is encoded as UTF-16; save it as UTF-8")


def _refuse_names(names: Sequence[str]) -> None:
    if len(names) > _MOST_COLUMNS:
        raise UnreadableFile(
            f"it has {len(names):,} columns, more than {_MOST_COLUMNS:,}; write what is not of FOCUS into one column, "
            "such as Tags"
        )
    if holding := [name for name in names if "\0" in name]:
        raise UnreadableFile(f"the column name {holding[0][:80]!r} holds a NUL character; name the column without")


def _refuse_doubled(names: list[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if (folded := name.strip().lower()) in seen:
            raise UnreadableFile(f"it has the column {seen[folded]} twice; leave one of them out")
        seen[folded] = name.strip()
