"""What a delivered file is, told by its first bytes rather than by its name, and how DuckDB is to read it.

Every file is held against a second reader: pyarrow counts its records, and DuckDB has to find as many. Whatever makes
DuckDB skip a part of a file in silence ends in a rejection that names the file.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

import duckdb

from focus_pipeline.limits import Limits
from focus_pipeline.machine import can_be_of_a_file
from focus_pipeline.pipeline.column_names import UnreadableFile
from focus_pipeline.pipeline.csv_files import GZIP, LONGEST_LINE, PARQUET, look_at_csv
from focus_pipeline.pipeline.csv_lines import line_of_part
from focus_pipeline.pipeline.duckdb_faults import explained
from focus_pipeline.pipeline.parquet_files import is_damaged, look_at_parquet
from focus_pipeline.sql import literal, path_literal, quoted, unused

_CSV_BUFFER = 32 * 1024 * 1024
# Of the columns that DuckDB's readers add to those of a file, in the same namespace.
_READER_COLUMNS = ("file_index", "file_row_number", "filename")

# Of the Parquet files that are written here. DuckDB's own row groups have 122,880 rows; a Parquet row group that is
# longer by a few rows, as they are when the rows come from a CSV file, makes it insert twice as slowly. A group is
# closed once it has at least this many rows, with at most one vector of 2,048 too many. Rows are told by their place:
# without the last option DuckDB writes those of several files, or row groups, as they come.
PARQUET_OPTIONS = "FORMAT parquet, ROW_GROUP_SIZE 120832, PRESERVE_ORDER true"


@dataclass(frozen=True)
class SourceFile:
    """One delivered file, looked at and not yet read.

    format: "csv", "csv.gz" or "parquet". columns: name in the file -> DuckDB type, in the file's order; CSV has text.
    records: how many rows it has, by pyarrow; None where pyarrow cannot tell, and `doubt` says why.
    size: bytes, unpacked where it is compressed. lines: how many it has, 0 for Parquet. from_bytes: see ParquetFile.
    """

    path: Path
    format: str
    columns: dict[str, str]
    records: int | None
    size: int
    lines: int = 0
    doubt: str = ""
    from_bytes: dict[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> tuple:
        """What files that are read together have in common."""
        alone = bool(self.from_bytes) or any(name.strip().lower() in _READER_COLUMNS for name in self.columns)
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
    """Looks at a landed file.

    Raises UnreadableFile for anything that is not a whole CSV, gzip CSV or Parquet file in UTF-8, or is beyond the
    limits; OSError and duckdb.Error where this machine cannot read it.
    """
    with path.open("rb") as file:
        start = file.read(4)
    if start == PARQUET:
        parquet = look_at_parquet(path, connection, limits)
        return SourceFile(
            path, "parquet", parquet.columns, parquet.records, parquet.size, from_bytes=parquet.from_bytes
        )
    if start[:2] == GZIP:
        return _csv(path, "csv.gz", limits)
    for suffix, first_bytes in {".gz": GZIP, ".parquet": PARQUET}.items():
        if path.name.endswith(suffix) and first_bytes.startswith(start):
            raise UnreadableFile(f"it ends after {len(start)} bytes: the upload did not finish; upload it again")
    return _csv(path, "csv", limits)


def _csv(path: Path, file_format: str, limits: Limits) -> SourceFile:
    file = look_at_csv(path, limits, packed=file_format == "csv.gz")
    columns = dict.fromkeys(file.columns, "VARCHAR")
    return SourceFile(path, file_format, columns, file.records, file.size, file.lines, file.doubt)


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
    if not (from_bytes := files[0].from_bytes):
        return f"read_parquet([{_paths(files)}], hive_partitioning = false, binary_as_string = true)"
    texts = ", ".join(f"{function}({quoted(name)}) AS {quoted(name)}" for name, function in from_bytes.items())
    return f"(SELECT * REPLACE ({texts}) FROM read_parquet([{_paths(files)}], hive_partitioning = false))"


def _csv_reader(files: Sequence[SourceFile]) -> str:
    # Every option is given: nothing of a bill is guessed. An id keeps its zeros because all values are text here.
    # Columns go by place: what stands in a header is no name for DuckDB's reader, which has columns of its own.
    compression = "gzip" if files[0].format == "csv.gz" else "none"
    return f"""read_csv(
                [{_paths(files)}],
                auto_detect = false, header = true, delim = ',', quote = '"', escape = '"',
                nullstr = '', compression = {literal(compression)}, encoding = 'utf-8',
                max_line_size = {LONGEST_LINE}, buffer_size = {_CSV_BUFFER}, hive_partitioning = false,
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
        if not can_be_of_a_file(error) and not (file.format == "parquet" and is_damaged(file.path)):
            raise
        fault = explained(error, lambda number: line_of_part(file.path, file.format == "csv.gz", number) or number)
        return f"the Parquet file is damaged ({fault})" if file.format == "parquet" else fault
    return None
