"""A Parquet file before DuckDB reads it: its columns, and its rows as pyarrow decodes them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from focus_pipeline.focus.canonical import match_columns
from focus_pipeline.focus.specification import contract
from focus_pipeline.limits import Limits
from focus_pipeline.machine import can_be_of_a_file
from focus_pipeline.pipeline.column_names import UnreadableFile, refuse_doubled, refuse_names
from focus_pipeline.pipeline.duckdb_faults import explained
from focus_pipeline.sql import path_literal, quoted

_WIDEST_DECIMAL = 38
_VALUE_BYTES = 8
# DuckDB takes twice as long for every level.
_DEEPEST = 12
_BATCH_ROWS = 65_536


@dataclass(frozen=True)
class ParquetFile:
    """A Parquet file as its metadata tells of it.

    columns: name -> DuckDB type; bytes that are not said to be text are VARCHAR all the same. size: bytes, unpacked.
    from_bytes: name -> SQL function that makes text of the bytes; empty where DuckDB may take all bytes for UTF-8.
    """

    columns: dict[str, str]
    records: int
    size: int
    from_bytes: dict[str, str]


def look_at_parquet(path: Path, connection: duckdb.DuckDBPyConnection, limits: Limits) -> ParquetFile:
    """Reads the metadata of a file, by DuckDB and by pyarrow, and by pyarrow the columns of the contract.

    Raises UnreadableFile where it is not whole, not what DuckDB reads exactly, or beyond the limits; duckdb.Error and
    OSError where this machine is at fault.
    """
    relation = f"read_parquet({path_literal(path)}, hive_partitioning = false)"
    with _duckdb_faults():
        stored = connection.execute(
            f"SELECT name, precision, coalesce(num_children, 0) FROM parquet_schema({path_literal(path)})"
        ).fetchall()
        refuse_names([name for name, *_ in stored[1:]])  # the first is the schema's own
        if _depth(children for *_, children in stored) > _DEEPEST:
            raise UnreadableFile(f"it has a column that is nested more than {_DEEPEST} levels deep; store it as text")
        described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    columns = {name: kind for name, kind, *_ in described}
    refuse_doubled(list(columns))
    names = {name for name, *_ in stored}
    # DuckDB gives the second of two columns of one name another one, and reads decimals too wide for it as DOUBLE.
    if renamed := [name for name in columns if name not in names]:
        raise UnreadableFile(f"it has the column {renamed[0].rpartition('_')[0]} twice; leave one of them out")
    if too_wide := [name for name, precision, _ in stored if (precision or 0) > _WIDEST_DECIMAL]:
        raise UnreadableFile(f"its column {too_wide[0]} is a decimal of more than {_WIDEST_DECIMAL} digits; use fewer")
    with _duckdb_faults():
        columns, from_bytes = _with_text_for_bytes(path, columns, connection)
    with _arrow_faults():
        rows, unpacked = _described_by_pyarrow(path)
        # A column that repeats one value takes next to nothing in the file; once it is read, it does in every row.
        unpacked = max(unpacked, rows * len(columns) * _VALUE_BYTES)
        if fault := limits.broken_by(unpacked, path.stat().st_size):
            raise UnreadableFile(fault)
        matched = match_columns(columns)
        telling = [matched[name] for name in contract().required if name in matched]
        decoded = _decoded_by_pyarrow(path, telling) if telling else rows
    if decoded != rows:
        raise UnreadableFile(f"the Parquet file is damaged: it says that it has {rows:,} rows, and holds {decoded:,}")
    return ParquetFile(columns, decoded, unpacked, from_bytes)


def _with_text_for_bytes(
    path: Path, columns: dict[str, str], connection: duckdb.DuckDBPyConnection
) -> tuple[dict[str, str], dict[str, str]]:
    """The columns with text for bytes, and ParquetFile.from_bytes: older writers do not say that bytes are text.

    Raises UnreadableFile where those of a FOCUS column are no UTF-8; those of a provider's own are written in base64.
    """
    of_bytes = [name for name, kind in columns.items() if "BLOB" in kind]
    if not of_bytes:
        return columns, {}
    relation = f"read_parquet({path_literal(path)}, hive_partitioning = false, binary_as_string = true)"
    in_text = {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()}
    opaque = []
    for name in of_bytes:
        try:
            connection.execute(f"SELECT max(hash({quoted(name)})) FROM {relation}").fetchall()
        except duckdb.InvalidInputException as error:
            if "string encoding" not in str(error):
                raise
            opaque.append(name)
    if not opaque:
        return in_text, {}
    of_focus = match_columns(columns).values()
    for name in opaque:
        # Where one column cannot be taken for text, none is; what lies deeper is then not to be had as text.
        if name in of_focus or any(columns[other] != "BLOB" for other in of_bytes):
            raise UnreadableFile(f"its column {name} holds bytes that are no UTF-8; write it as text in UTF-8")
    return in_text, {name: "to_base64" if name in opaque else "decode" for name in of_bytes}


@contextmanager
def _duckdb_faults() -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError:
        raise UnreadableFile("a column name is not encoded as UTF-8; write the file anew") from None
    except duckdb.Error as error:
        if not can_be_of_a_file(error):
            raise
        raise UnreadableFile(f"it is not a whole Parquet file ({explained(error)}); upload it again") from None


def _depth(children: Iterable[int]) -> int:
    """How deep the columns of a schema are nested. children: how many each element has, each before its own."""
    deepest, open_elements = 0, []
    for count in children:
        while open_elements and not open_elements[-1]:
            open_elements.pop()
        if open_elements:
            open_elements[-1] -= 1
        open_elements.append(count)
        deepest = max(deepest, len(open_elements))
    return deepest


def _described_by_pyarrow(path: Path) -> tuple[int, int]:
    """Rows and unpacked bytes of a Parquet file, as its metadata says."""
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(path)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    if metadata.num_rows != (rows := sum(group.num_rows for group in groups)):
        raise UnreadableFile(
            f"the Parquet file is damaged: it says that it has {metadata.num_rows:,} rows, and its row groups have "
            f"{rows:,}; upload it again"
        )
    return rows, sum(group.total_byte_size for group in groups)


def _decoded_by_pyarrow(path: Path, columns: list[str]) -> int:
    """Reads columns of a file to their end, by checksums where it has them; how many rows there are.

    DuckDB looks neither at the checksum of a page nor at that of what is packed in it: flipped bits become other costs.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        return sum(batch.num_rows for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=columns))


@contextmanager
def _arrow_faults() -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        # Arrow's own faults of a file are OSErrors without a number; those of this machine have one.
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno):
            raise
        said = next(iter(str(error).splitlines()), type(error).__name__)[:200]
        raise UnreadableFile(f"the Parquet file is damaged ({said}); upload it again, or write it anew") from None


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
