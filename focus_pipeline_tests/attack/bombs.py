"""Small files that unpack, or spread, to far more than a bill: each ends in a sentence, in bounded time and memory.

A healthy file lies beside each: it is loaded.
"""

import gzip
import io
import shutil
import tempfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline.focus.rules import predicates
from focus_pipeline.limits import Limits
from focus_pipeline.storage import DataDir
from focus_pipeline_tests.attack.children import in_child
from focus_pipeline_tests.attack.file_mutators import healthy
from focus_pipeline_tests.attack.report import Illegal, Report, not_a_sentence
from focus_pipeline_tests.attack.steps import take
from focus_pipeline_tests.month_files import MONTH, as_csv, charges_of

_MOST_SECONDS, _MOST_MEGABYTES = 60.0, 1_800
_MEMORY_LIMIT = "1GB"
# Rows of a bill, again and again, are a bill as well: what is too much is a setting.
_LIMITS = Limits(unpacked=2 * 10**9)
_MB = 1024 * 1024
_ROWS = charges_of(MONTH, 5)
_HEADER, _LINES = as_csv(_ROWS).split(b"\n", 1)


@dataclass(frozen=True)
class Bomb:
    """small: whether the short form of the attack has it. write: makes the file."""

    suffix: str
    write: Callable[[Path], None]
    small: bool = False


def _gzip(path: Path, *parts: tuple[bytes, int]) -> None:
    """Writes content as gzip: each part so many times, one member for each time."""
    with path.open("wb") as file:
        for content, times in parts:
            member = gzip.compress(content, mtime=0)
            for _ in range(times):
                file.write(member)


def _one_member(path: Path, *parts: tuple[bytes, int]) -> None:
    """The same as one member of gzip."""
    with gzip.open(path, "wb", 1) as file:
        for content, times in parts:
            for _ in range(times):
                file.write(content)


def _own_columns(count: int, rows: int) -> bytes:
    names = ",".join(f"x_own_{number}" for number in range(count)).encode()
    values = b",".join([b"v"] * count)
    lines = [line for line in _LINES.split(b"\n") if line]
    return b"\n".join([_HEADER + b"," + names, *[line + b"," + values for line in lines * (rows // len(lines))], b""])


def _rle_rows(path: Path, rows: int) -> None:
    """A Parquet file whose row groups are all the same bytes: a footer that names them again and again."""
    once = 1_000_000
    one = pa.table({name: pa.array([value]).dictionary_encode() for name, value in _ROWS[0].items()})
    table = pa.table({name: _constant(one.column(name).chunk(0).dictionary, once) for name in one.column_names})
    file = io.BytesIO()
    pq.write_table(table, file, row_group_size=once, compression="zstd")
    metadata = pq.read_metadata(io.BytesIO(file.getvalue()))
    more = pq.read_metadata(io.BytesIO(file.getvalue()))
    for _ in range(rows // once - 1):
        metadata.append_row_groups(more)
    footer = io.BytesIO()
    metadata.write_metadata_file(footer)
    content, end = file.getvalue(), footer.getvalue()[4:]
    length = int.from_bytes(content[-8:-4], "little")
    path.write_bytes(content[: -8 - length] + end)


def _constant(dictionary: pa.Array, rows: int) -> pa.Array:
    indices = pa.Array.from_buffers(pa.int32(), rows, [None, pa.py_buffer(bytes(4 * rows))])
    return pa.DictionaryArray.from_arrays(indices, dictionary)


def _columns_of_parquet(path: Path, count: int) -> None:
    columns = {name: pa.array([value]) for name, value in _ROWS[0].items()}
    columns |= {f"x_own_{number}": pa.array(["v"]) for number in range(count)}
    pq.write_table(pa.table(columns), path, compression="none", write_statistics=False)


def _one_value(path: Path, size: int) -> None:
    columns = {name: pa.array([value] * 20) for name, value in _ROWS[0].items()}
    columns["ChargeDescription"] = pa.array(["x" * size] * 20, pa.large_string())
    pq.write_table(pa.table(columns), path, compression="zstd", use_dictionary=False)


def _deep(path: Path, levels: int) -> None:
    kind: pa.DataType = pa.int8()
    for _ in range(levels):
        kind = pa.list_(kind)
    value: object = 1
    for _ in range(levels):
        value = [value]
    columns = {name: pa.array([value]) for name, value in _ROWS[0].items()}
    pq.write_table(pa.table(columns | {"Tags": pa.nulls(1, kind) if levels > 100 else pa.array([value], kind)}), path)


def _with_tags(tags: bytes) -> bytes:
    return b"\n".join([_HEADER + b",Tags", _LINES.split(b"\n")[0] + b',"' + tags.replace(b'"', b'""') + b'"', b""])


_START = _HEADER + b"\n" + _LINES

BOMBS: dict[str, Bomb] = {
    "gzip of 4 GB of zeros": Bomb(".csv.gz", lambda path: _gzip(path, (_START, 1), (bytes(64 * _MB), 64))),
    "gzip of 4 GB of rows": Bomb(".csv.gz", lambda path: _gzip(path, (_HEADER + b"\n", 1), (_LINES * 40_000, 96))),
    "gzip of 4 GB, one member": Bomb(".csv.gz", lambda path: _one_member(path, (_START, 1), (b"x" * 64 * _MB, 64))),
    "gzip of a million empty members": Bomb(".csv.gz", lambda path: _gzip(path, (_START, 1), (b"", 1_000_000))),
    "a header of one line of 500 MB": Bomb(".csv.gz", lambda path: _gzip(path, (b"x" * 50 * _MB, 10)), small=True),
    "a header of 500 MB within a quote": Bomb(".csv.gz", lambda path: _gzip(path, (b'"', 1), (b"x" * 50 * _MB, 10))),
    "a header of 500 MB behind the columns": Bomb(".csv.gz",
    lambda path: _gzip(path, (_HEADER + b",", 1), (b"x" * 50 * _MB, 10))),
    "500 MB of commas for a header": Bomb(".csv.gz", lambda path: _gzip(path, (b"," * 50 * _MB, 10))),
    "blank lines, 300 million, before the header": Bomb(".csv.gz",
    lambda path: _gzip(path, (b"\n" * 50 * _MB, 6), (_START, 1)), small=True),
    "blank lines, 300 million, behind the header": Bomb(".csv.gz",
    lambda path: _gzip(path, (_HEADER + b"\n", 1), (b"\n" * 50 * _MB, 6), (_LINES, 1))),
    "blank lines, 300 million, at the end": Bomb(".csv.gz",
    lambda path: _gzip(path, (_START, 1), (b"\n" * 50 * _MB, 6))),
    "20 million blank lines, not packed": Bomb(".csv", lambda path: path.write_bytes(b"\r\n" * 20_000_000 + _START)),
    "100,000 columns": Bomb(".csv", lambda path: path.write_bytes(_own_columns(100_000, 5)), small=True),
    "100,000 columns in Parquet": Bomb(".parquet", lambda path: _columns_of_parquet(path, 100_000)),
    "5,000 own columns, 5,000 rows": Bomb(".csv", lambda path: path.write_bytes(_own_columns(5_000, 5_000))),
    "5,000 own columns in Parquet": Bomb(".parquet", lambda path: _columns_of_parquet(path, 5_000)),
    "a Parquet file of a billion rows": Bomb(".parquet", lambda path: _rle_rows(path, 1_000_000_000)),
    "a Parquet file of 20 values of 100 MB": Bomb(".parquet", lambda path: _one_value(path, 100 * _MB)),
    "a Parquet list nested 40 times": Bomb(".parquet", lambda path: _deep(path, 40), small=True),
    "a Parquet type of 5,000 levels": Bomb(".parquet", lambda path: _deep(path, 5_000)),
    "a value of 1 GB in a quote that never ends": Bomb(".csv.gz",
    lambda path: _gzip(path, (_START + b'"', 1), (b"x" * 64 * _MB, 16))),
    "a last line of 40 MB without an end": Bomb(".csv", lambda path: path.write_bytes(_START + b"x" * 40 * _MB),
    small=True),
    "a tail of 100 MB of NUL": Bomb(".csv", lambda path: path.write_bytes(_START + bytes(100 * _MB)), small=True),
    "Tags nested 100,000 times": Bomb(".csv",
    lambda path: path.write_bytes(_with_tags(b'{"a":' * 100_000 + b"1" + b"}" * 100_000)), small=True),
    "Tags of 15 MB that are no JSON": Bomb(".csv", lambda path: path.write_bytes(_with_tags(b"x" * 15 * _MB))),
    "a member of gzip that says it has 10 GB": Bomb(".csv.gz",
    lambda path: path.write_bytes(gzip.compress(_START)[:-4] + b"\xff\xff\xff\x7f"), small=True),
    "deflate of deflate": Bomb(".csv.gz",
    lambda path: _gzip(path, (zlib.compress(bytes(64 * _MB)), 1), (bytes(64 * _MB), 16))),
}  # fmt: skip


def attack(count: int, seed: int, cache: Path, only: int | None = None) -> Report:
    """Tries the first `count` bombs; of a count that is smaller than all, the short ones. seed: is not used."""
    report = Report("bombs")
    names = list(BOMBS)
    first = sorted(range(len(names)), key=lambda number: not BOMBS[names[number]].small)
    chosen = first[:count] if only is None else [only]
    with tempfile.TemporaryDirectory(prefix="attack-bombs-") as root:
        in_child(lambda: predicates(cache) and None)
        for number in chosen:
            _explode(names[number], number, Path(root) / str(number), cache, report)
    return report


def _explode(name: str, number: int, root: Path, cache: Path, report: Report) -> None:
    folder = root / "delivered" / MONTH
    folder.mkdir(parents=True)
    (folder / "healthy.csv").write_bytes(healthy(0).content)
    path = folder / f"bomb{BOMBS[name].suffix}"
    made = in_child(lambda: BOMBS[name].write(path), 300)
    if fault := made.fault():
        raise RuntimeError(f"{name} cannot be made: {fault}\n{made.raised and made.raised.trace}")
    size = path.stat().st_size
    connection = MonthFolders("colo_costs", (root / "delivered").as_uri())
    data_dir = DataDir(root / "data", cache=cache, memory_limit=_MEMORY_LIMIT, limits=_LIMITS)

    def load() -> tuple[dict[str, str | None], bool]:
        staged, verdict = take(connection, MONTH, data_dir)
        reasons = {file.key: None if file.rejection is None else file.rejection.reason for file in staged.files}
        return reasons, verdict.accepted

    ended = in_child(load, 1.5 * _MOST_SECONDS)
    repeat = f"bombs --only {number}"
    reasons, accepted = ended.value or ({}, False)
    reason = ended.fault() or reasons[f"{MONTH}/{path.name}"] or ("loaded" if accepted else "not accepted")
    report.counts["bombs"] += 1
    report.notes.append(
        f"{name}, {size / _MB:,.1f} MB: {ended.seconds:.0f} s, {ended.megabytes:,.0f} MB: {reason[:110]}"
    )
    said = ended.raised is not None and ended.raised.declared
    if ended.fault() and not (said and not not_a_sentence(ended.raised.message)):
        report.illegal.append(Illegal(f"{name}: {ended.fault()}", repeat, ended.raised.trace if ended.raised else ""))
    elif ended.seconds > _MOST_SECONDS or ended.megabytes > _MOST_MEGABYTES:
        report.illegal.append(Illegal(f"{name}: it took {ended.seconds:.0f} s and {ended.megabytes:,.0f} MB", repeat))
    elif not ended.fault():
        if why := reason not in ("loaded", "not accepted") and not_a_sentence(reason):
            report.illegal.append(Illegal(f"{name}: {reason[:300]!r}: {why}", repeat))
        if reasons.get(f"{MONTH}/healthy.csv") is not None or (
            reason not in ("loaded", "not accepted") and not accepted
        ):
            report.illegal.append(Illegal(f"{name}: the healthy file beside it is not loaded: {reasons}"[:500], repeat))
    shutil.rmtree(root)
