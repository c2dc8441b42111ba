"""What a delivered file is, told by its first bytes rather than by its name, and how DuckDB is to read it."""

import csv
import gzip
import io
import zlib
from dataclasses import dataclass
from pathlib import Path

import duckdb

from focus_pipeline.focus.canonical import literal

# A line of a CSV file may be this long: tags and SKU details can hold thousands of characters.
_LONGEST_LINE = 16 * 1024 * 1024
_CSV_BUFFER = 32 * 1024 * 1024
_READ_CHUNK = 1024 * 1024


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
    if start == b"PAR1":
        return _parquet(path, connection)
    if start[:2] == b"PK":
        raise UnreadableFile("it is a zip archive; unpack it, or compress the CSV file with gzip")
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UnreadableFile("it is encoded as UTF-16; save it as UTF-8")
    if start[:2] == b"\x1f\x8b":
        return _csv(path, "csv.gz", "gzip")
    if not start and path.name.endswith(".gz"):
        raise UnreadableFile("it is empty (0 bytes), which is no gzip file: the upload did not finish; upload it again")
    if not start and path.name.endswith(".parquet"):
        raise UnreadableFile("it is empty (0 bytes), which is no Parquet file; upload it again")
    return _csv(path, "csv", "none")


def explain_reading_error(error: duckdb.Error) -> str:
    """DuckDB's account of what is wrong with a file's content: the line and the reason, without its own options."""
    text = str(error)
    text = text[text.index("CSV Error") :] if "CSV Error" in text else text
    lines = []
    for line in text.splitlines():
        if line.startswith(("Possible fixes", "Possible Solution", "Possible solution")) or line.strip().startswith("file ="):
            break
        if line.strip():
            lines.append(line.strip()[:300])
    return "; ".join(lines)


def _parquet(path: Path, connection: duckdb.DuckDBPyConnection) -> SourceFile:
    relation = f"read_parquet({literal(str(path))}, hive_partitioning = false)"
    try:
        described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    except duckdb.Error as error:
        raise UnreadableFile(f"it is not a whole Parquet file ({error}); upload it again") from None
    columns = {name: kind for name, kind, *_ in described}
    _refuse_doubled(list(columns))
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
                nullstr = ['', 'NULL', 'null'], compression = {literal(compression)}, encoding = 'utf-8',
                max_line_size = {_LONGEST_LINE}, buffer_size = {_CSV_BUFFER}, hive_partitioning = false,
                columns = {{{", ".join(f"{literal(name)}: 'VARCHAR'" for name in columns)}}}
            )"""
    return SourceFile(file_format, columns, relation)


def _header(path: Path, compression: str) -> list[str]:
    opened = gzip.open(path) if compression == "gzip" else path.open("rb")
    with opened as file:
        try:
            header = next(csv.reader(io.TextIOWrapper(file, "utf-8-sig", newline="")), [])
        except UnicodeDecodeError as error:
            raise UnreadableFile(f"it is not encoded as UTF-8 ({error.reason}); save it as UTF-8") from None
        except csv.Error as error:
            raise UnreadableFile(f"its first line is no CSV header ({error})") from None
    if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
        raise UnreadableFile(f"its header is not separated by commas: {header[0][:80]!r}; save it with commas")
    if blank := [number for number, name in enumerate(header, 1) if not name.strip()]:
        raise UnreadableFile(f"column {blank[0]} of its header has no name")
    return header


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
