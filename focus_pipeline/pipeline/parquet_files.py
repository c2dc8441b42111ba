"""A Parquet file before DuckDB reads it: its columns, and its rows as pyarrow counts them."""

import re
from dataclasses import dataclass
from pathlib import Path

import duckdb

from focus_pipeline.machine import can_be_of_a_file
from focus_pipeline.pipeline.column_names import UnreadableFile, refuse_doubled, refuse_names
from focus_pipeline.pipeline.limits import Limits
from focus_pipeline.sql import path_literal

_WIDEST_DECIMAL = 38
_VALUE_BYTES = 8


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file as its metadata tells of it. columns: name -> DuckDB type. size: bytes, unpacked."""

    columns: dict[str, str]
    records: int
    size: int


def look_at_parquet(path: Path, connection: duckdb.DuckDBPyConnection, limits: Limits) -> ParquetFile:
    """Reads the metadata of a file, by DuckDB and by pyarrow.

    Raises UnreadableFile where it is not whole, not what DuckDB reads exactly, or beyond the limits; duckdb.Error and
    OSError where this machine is at fault.
    """
    relation = f"read_parquet({path_literal(path)}, hive_partitioning = false)"
    try:
        stored = connection.execute(f"SELECT name, precision FROM parquet_schema({path_literal(path)})").fetchall()
        refuse_names([name for name, _ in stored[1:]])  # the first is the schema's own
        described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    except UnicodeDecodeError:
        raise UnreadableFile("a column name is not encoded as UTF-8; write the file anew") from None
    except duckdb.Error as error:
        if not can_be_of_a_file(error):
            raise
        raise UnreadableFile(f"it is not a whole Parquet file ({first_line(error)}); upload it again") from None
    columns = {name: kind for name, kind, *_ in described}
    refuse_doubled(list(columns))
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
    return ParquetFile(columns, records, unpacked)


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


def is_damaged(path: Path) -> bool:
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


def first_line(error: duckdb.Error) -> str:
    """DuckDB's account of what is wrong, without its hints and its own SQL."""
    text = re.split(r"\nPossible |\n +file = |\n\nLINE ", str(error))[0].strip()
    return (text.splitlines() or [type(error).__name__])[0][:300]
