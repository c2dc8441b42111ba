"""What a delivered file is, told by its first bytes rather than by its name, and how DuckDB is to read it."""

import csv
import gzip
import io
import re
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from focus_pipeline.sql import literal, path_literal

# A line of a CSV file may be this long: tags and SKU details can hold thousands of characters.
_LONGEST_LINE = 16 * 1024 * 1024
_CSV_BUFFER = 32 * 1024 * 1024
_READ_CHUNK = 1024 * 1024

_GZIP, _PARQUET, _ZIP = b"\x1f\x8b", b"PAR1", b"PK"
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_WIDEST_DECIMAL = 38

# What DuckDB says about a line of a CSV file -> what it means for the file's owner.
_CSV_FAULTS = {
    r"Expected Number of Columns: (\d+) Found: (\d+).*": r"it has \2 values where the header has \1 columns",
    r"Value with unterminated quote found.*": "a quote is not closed, or text follows the closing one",
    r"Invalid unicode.*": "it is not encoded as UTF-8",
    r"Maximum line size of.*": f"it is longer than {_LONGEST_LINE:,} bytes",
}


# Of the Parquet files that are written here. DuckDB's own row groups have 122,880 rows; a Parquet row group that is
# longer by a few rows, as they are when the rows come from a CSV file, makes it insert twice as slowly. A group is
# closed once it has at least this many rows, with at most one vector of 2,048 too many.
PARQUET_OPTIONS = "FORMAT parquet, ROW_GROUP_SIZE 120832"


class UnreadableFile(Exception):
    """The file cannot be read as what it claims to be. The message says why and what its owner can do."""


@dataclass(frozen=True)
class SourceFile:
    """format: "csv", "csv.gz" or "parquet". columns: name in the file -> DuckDB type, in the file's order.

    relation: what to write behind FROM to read it.
    """

    format: str
    columns: dict[str, str]
    relation: str


def open_source_file(path: Path, connection: duckdb.DuckDBPyConnection) -> SourceFile:
    """Looks at a landed file. A file without any column (an empty CSV file) has no rows either.

    Raises UnreadableFile for anything that is not a whole CSV, gzip CSV or Parquet file in UTF-8.
    """
    with path.open("rb") as file:
        start = file.read(4)
    if start == _PARQUET:
        return _parquet(path, connection)
    if start[:2] == _GZIP:
        return _csv(path, "csv.gz", "gzip")
    for suffix, first_bytes in {".gz": _GZIP, ".parquet": _PARQUET}.items():
        if path.name.endswith(suffix) and first_bytes.startswith(start):
            raise UnreadableFile(f"it ends after {len(start)} bytes: the upload did not finish; upload it again")
    return _csv(path, "csv", "none")


def parsed_once(source: SourceFile, path: Path, connection: duckdb.DuckDBPyConnection) -> SourceFile:
    """The file for several readings: a CSV file as text in Parquet at `path`, which is read far faster."""
    if source.format == "parquet" or not source.columns:
        return source
    connection.execute(f"COPY (SELECT * FROM {source.relation}) TO {literal(str(path))} ({PARQUET_OPTIONS})")
    return replace(source, relation=f"read_parquet({path_literal(path)}, hive_partitioning = false)")


def reading_fault(source: SourceFile, connection: duckdb.DuckDBPyConnection) -> str | None:
    """What is wrong with the file's content; None where all of it can be read, and something else went wrong."""
    try:
        connection.execute(f"SELECT max(hash(COLUMNS(*))) FROM {source.relation}").fetchall()
    except duckdb.Error as error:
        fault = _explained(error)
        return f"the Parquet file is damaged ({fault})" if source.format == "parquet" else fault
    return None


def _explained(error: duckdb.Error) -> str:
    """DuckDB's account of what is wrong: the line and the reason, without its own options and hints."""
    text = re.split(r"\nPossible |\n +file = |\n\nLINE ", str(error))[0].strip()
    if "state machine reached an invalid state" in text:
        return "its lines end in different ways (some in CRLF, some in LF), or a quote stands in a wrong place"
    told = re.search(r"CSV Error on Line: (\d+)\s+Original Line:\s*(.*)\n(.+)", text, re.DOTALL)
    if told is None:
        return text.splitlines()[0][:300]
    number, line, fault = told.groups()
    for said, meant in _CSV_FAULTS.items():
        fault = re.sub(said, meant, fault)
    return f"line {number}: {fault}; it begins with {line.strip()[:100]!r}"


def _parquet(path: Path, connection: duckdb.DuckDBPyConnection) -> SourceFile:
    relation = f"read_parquet({path_literal(path)}, hive_partitioning = false)"
    try:
        described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
        stored = connection.execute(f"SELECT name, precision FROM parquet_schema({path_literal(path)})").fetchall()
    except duckdb.Error as error:
        raise UnreadableFile(f"it is not a whole Parquet file ({_explained(error)}); upload it again") from None
    columns = {name: kind for name, kind, *_ in described}
    _refuse_doubled(list(columns))
    names = {name for name, _ in stored}
    # DuckDB gives the second of two columns of one name another one, and reads decimals too wide for it as DOUBLE.
    if renamed := [name for name in columns if name not in names]:
        raise UnreadableFile(f"it has the column {renamed[0].rpartition('_')[0]} twice; leave one of them out")
    if too_wide := [name for name, precision in stored if (precision or 0) > _WIDEST_DECIMAL]:
        raise UnreadableFile(f"its column {too_wide[0]} is a decimal of more than {_WIDEST_DECIMAL} digits; use fewer")
    return SourceFile("parquet", columns, relation)


def _csv(path: Path, file_format: str, compression: str) -> SourceFile:
    if compression == "gzip":
        _verify_gzip(path)
    header = _header(path, compression)
    _refuse_doubled(header)
    columns = dict.fromkeys(header, "VARCHAR")
    # Every option is given: nothing of a bill is guessed. An id keeps its zeros because all values are text here.
    relation = f"""read_csv(
                {literal(str(path))},
                auto_detect = false, header = true, delim = ',', quote = '"', escape = '"',
                nullstr = '', compression = {literal(compression)}, encoding = 'utf-8',
                max_line_size = {_LONGEST_LINE}, buffer_size = {_CSV_BUFFER}, hive_partitioning = false,
                columns = {{{", ".join(f"{literal(name)}: 'VARCHAR'" for name in columns)}}}
            )"""
    return SourceFile(file_format, columns, relation)


def _header(path: Path, compression: str) -> list[str]:
    with gzip.open(path) if compression == "gzip" else path.open("rb") as file:
        _refuse_other_content(file.peek(4)[:4])
        # Bytes that are no UTF-8 further down are left to the reading, which tells their line.
        text = io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="")
        lines = csv.reader(text)
        try:
            header = next(lines, [])
            if not header and any(lines):
                raise UnreadableFile("its first line is empty; the first line has to be the names of the columns")
            "".join(header).encode("utf-8")
        except UnicodeEncodeError:
            raise UnreadableFile("its header is not encoded as UTF-8; save the file as UTF-8") from None
        except csv.Error as error:
            raise UnreadableFile(f"its first line is no CSV header ({error})") from None
    shown = ",".join(header)[:80]
    if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
        raise UnreadableFile(f"its header is not separated by commas: {shown!r}; save it with commas")
    if blank := [number for number, name in enumerate(header, 1) if not name.strip()]:
        raise UnreadableFile(f"column {blank[0]} of its header has no name: {shown!r}; name it or leave it out")
    # DuckDB takes a quoted line break in a header for the header's end, and loses the first row without a word.
    if broken := [name for name in header if "\r" in name or "\n" in name]:
        raise UnreadableFile(f"the column name {broken[0]!r} of its header holds a line break; name it without")
    return header


def _refuse_other_content(start: bytes) -> None:
    if start[:2] == _ZIP:
        raise UnreadableFile("it is a zip archive; unpack it, or compress the CSV file with gzip")
    if start[:2] == _GZIP:
        raise UnreadableFile("it is compressed with gzip twice; compress it once")
    if start == _PARQUET:
        raise UnreadableFile("it is a Parquet file within a gzip file; upload the Parquet file itself")
    if start[:2] in _UTF_16 or b"\0" in start:
        raise UnreadableFile("it is encoded as UTF-16; save it as UTF-8")


def _refuse_doubled(names: list[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if (folded := name.strip().lower()) in seen:
            raise UnreadableFile(f"it has the column {seen[folded]} twice; leave one of them out")
        seen[folded] = name.strip()


def _verify_gzip(path: Path) -> None:
    # DuckDB stops without a word where a gzip stream was cut at a line's end.
    try:
        with gzip.open(path) as stream:
            while stream.read(_READ_CHUNK):
                pass
    except EOFError:
        raise UnreadableFile("the gzip file breaks off: the upload did not finish; upload it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise UnreadableFile(f"the gzip file is damaged ({error}); upload it again") from None
