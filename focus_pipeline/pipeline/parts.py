"""Reads the files of a delivery into the parts of a month. Small files of one kind are read together.

A file that cannot be read, lacks a column of the contract or breaks the month rule is rejected alone, by name and with
examples. Every value that cannot be read is kept beside its row.
"""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from focus_pipeline.files import sha256
from focus_pipeline.focus.canonical import canonical_select, is_taken_over, match_columns
from focus_pipeline.focus.specification import columns, contract, detect_version, other_dataset
from focus_pipeline.limits import Limits
from focus_pipeline.machine import can_be_of_a_file
from focus_pipeline.pipeline.column_names import UnreadableFile
from focus_pipeline.pipeline.examples import named
from focus_pipeline.pipeline.month_rule import Outside, month_rule_broken, outside_of_month
from focus_pipeline.pipeline.source_counts import Counted, broken_by_header, count_in_source
from focus_pipeline.pipeline.source_files import (
    PARQUET_OPTIONS,
    Source,
    SourceFile,
    open_source_file,
    read_together,
    reading_fault,
)
from focus_pipeline.records.landed import LandedFile
from focus_pipeline.records.staged import (
    CORRECT_IT,
    UNKNOWN_LAYOUT,
    Layout,
    Part,
    Rejection,
    StagedFile,
    Total,
    is_intact,
    parquet_name,
)
from focus_pipeline.sql import Watch, literal, path_literal
from focus_pipeline.visible import visible

# Files are read together up to this size. Planning a query takes longer than reading a small file; but when one file
# changes, all of its part are read again.
_BATCH_BYTES = 32 * 1024 * 1024
_BATCH_FILES = 1_000
# A month that grows file by file keeps at most so many small parts; then they are merged.
_SMALL_PARTS = 48
_SMALL_BYTES = 1024 * 1024


class AmountsTooLarge(Exception):
    """The costs of a month cannot be added up exactly."""


@dataclass(frozen=True)
class Reading:
    """How the files of a month are read. connection, month: the lineage of the rows.

    focus_version: None to tell it from each file's columns. mark: fingerprint of the code and of these settings.
    """

    connection: str
    month: str
    month_rule: bool
    focus_version: str | None
    mark: str


def part_identity(reading: Reading, files: Sequence[LandedFile]) -> str:
    """The name of a part: a hash of its files' names and bytes, and of how they are read."""
    content = [reading.connection, reading.month, reading.mark, *([file.key, file.sha256] for file in files)]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:32]


def reusable(parts: Collection[Part], files: Mapping[str, LandedFile], folder: Path, reading: Reading) -> list[Part]:
    """The parts whose files are all among these, by key, with the same bytes and reading; each file in one part."""
    found: list[Part] = []
    taken: set[str] = set()
    for part in sorted(parts, key=lambda part: (-len(part.files), part.identity)):
        keys = {file.key for file in part.files}
        if keys <= files.keys() and not keys & taken:
            members = [files[file.key] for file in part.files]
            if part_identity(reading, members) == part.identity and is_intact(part, folder):
                found.append(part)
                taken |= keys
    small = [part for part in found if part.rows and part.size < _SMALL_BYTES]
    return found if len(small) <= _SMALL_PARTS else [part for part in found if part not in small]


@dataclass(frozen=True)
class _Opened:
    """A file that can be read. number: its place in the delivery. layout: that of all files of its kind."""

    number: int
    landed: LandedFile
    source: SourceFile
    layout: Layout


class PartWriter:
    """One staging of a delivery. A file that does not keep the rules is read alone, and the others without it.

    Parquet files are written to `folder`, a temporary one on the same file system as `staged`, and then moved there.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, reading: Reading, folder: Path, staged: Path, watch: Watch
    ) -> None:
        self.parts: list[Part] = []
        self._connection = connection
        self._reading = reading
        self._folder = folder
        self._staged = staged
        self._watch = watch
        self._layouts: dict[tuple, Layout] = {}

    def write(self, files: Sequence[LandedFile], faults: Mapping[str, str], limits: Limits) -> None:
        """Adds the files to the parts, each staged or rejected. faults: key of a file -> why it cannot be opened.

        Raises AmountsTooLarge, and duckdb.Error and OSError where this machine is at fault.
        """
        opened = []
        for number, landed in enumerate(files):
            if landed.key in faults:
                self._reject(landed, UNKNOWN_LAYOUT, "files_readable", faults[landed.key])
            elif (file := self._opened(number, landed, limits)) is not None:
                opened.append(file)
        for batch in _batches(opened):
            self._stage(batch)

    def _opened(self, number: int, landed: LandedFile, limits: Limits) -> "_Opened | None":
        """The file if its rows are to be read; None if it is done with, rejected or left out."""
        try:
            source = open_source_file(landed.path, self._connection, limits)
        except UnreadableFile as error:
            self._reject(landed, UNKNOWN_LAYOUT, "files_readable", str(error))
            return None
        kind = (source.format, tuple(source.columns))
        layout = self._layouts.setdefault(kind, _layout(source, self._reading.focus_version))
        if other := other_dataset(layout.columns):
            self._add([landed], [StagedFile(landed.key, landed.size, other=other)])
        elif lacking := [name for name in contract().required if name not in layout.recognised]:
            self._reject(landed, layout, "required_columns", _lacking(lacking, layout.columns))
        elif nested := _nested(source):
            self._reject(landed, layout, "required_columns", nested)
        else:
            return _Opened(number, landed, source, layout)
        return None

    def _reject(self, landed: LandedFile, layout: Layout, rule: str, reason: str) -> None:
        self._add([landed], [StagedFile(landed.key, landed.size, layout, rejection=Rejection(rule, reason))])

    def _add(self, landed: Sequence[LandedFile], files: list[StagedFile], written: Path | None = None) -> None:
        """Adds a part, and moves what was written of it to its place."""
        identity = part_identity(self._reading, landed)
        if written is None:
            self.parts.append(Part(identity, files))
            return
        totals = _totals(self._connection, written)
        path = self._staged / parquet_name(identity)
        size, digest = written.stat().st_size, sha256(written)
        written.replace(path)
        self.parts.append(Part(identity, files, sum(total.rows for total in totals), size, digest, totals))

    def _stage(self, batch: "list[_Opened]") -> None:
        """Reads files of one kind; each is staged, or rejected. Raises duckdb.Error where this machine is at fault."""
        first = batch[0]
        what = first.landed.key if len(batch) == 1 else f"{first.landed.key} and {len(batch) - 1} more files"
        self._watch(f"reading {what}", self._connection)
        part = self._folder / f"{first.number}-{len(batch)}.parquet"
        parsed = part.with_suffix(".source.parquet")
        try:
            source = read_together([opened.source for opened in batch], parsed, self._connection)
            write_canonical(self._connection, self._canonical(batch, source), part)
            matched = match_columns(source.columns)
            counted = count_in_source(self._connection, source, matched, len(batch))
        except duckdb.OutOfRangeException as error:
            part.unlink(missing_ok=True)
            if len(batch) == 1:
                raise AmountsTooLarge(f"the costs of {first.landed.key}") from error
            for opened in batch:
                self._stage([opened])
            return
        except duckdb.Error as error:
            part.unlink(missing_ok=True)
            # A damaged Parquet file can ask for more memory than there is: that is looked into.
            if not can_be_of_a_file(error) and (len(batch) > 1 or first.source.format != "parquet"):
                raise
            if (readable := self._without_unreadable(batch)) == batch:
                raise
            if readable:
                self._stage(readable)
            return
        finally:
            parsed.unlink(missing_ok=True)
        month = self._reading.month
        outside = outside_of_month(self._connection, part, month) if self._reading.month_rule else {}
        found = [_fault(opened, rows, outside, month) for opened, rows in zip(batch, counted, strict=True)]
        if len(batch) > 1 and any(found):
            part.unlink()
            clean = [opened for opened, fault in zip(batch, found, strict=True) if fault is None]
            for some in (clean, *([opened] for opened, fault in zip(batch, found, strict=True) if fault)):
                if some:
                    self._stage(some)
            return
        in_header = broken_by_header(source, matched)
        files = [
            StagedFile(
                opened.landed.key,
                opened.landed.size,
                opened.layout,
                **vars(rows) | {"broken": [*in_header, *rows.broken]},
                lines=opened.source.lines,
                rejection=fault,
            )
            for opened, rows, fault in zip(batch, counted, found, strict=True)
        ]
        if any(found):
            part.unlink()
        self._add([opened.landed for opened in batch], files, None if any(found) else part)

    def _canonical(self, batch: "list[_Opened]", source: Source) -> str:
        keys = [opened.landed.key for opened in batch]
        lineage = {
            "x_Connection": self._reading.connection,
            "x_Month": self._reading.month,
            "x_FocusVersion": batch[0].layout.focus_version,
            "x_SourceFile": keys[0],
        }
        of_file = f"[{', '.join(map(literal, keys))}][{source.file} + 1]" if len(keys) > 1 else ""
        return canonical_select(source.columns, source.relation, lineage, of_file)

    def _without_unreadable(self, batch: "list[_Opened]") -> "list[_Opened]":
        """Rejects the files of a batch that cannot be read to their end; gives the others."""
        readable = []
        for opened in batch:
            if (fault := reading_fault(opened.source, self._connection)) is None:
                readable.append(opened)
            else:
                self._reject(opened.landed, opened.layout, "files_readable", f"{fault}; {CORRECT_IT}")
        return readable


def write_canonical(connection: duckdb.DuckDBPyConnection, select: str, path: Path) -> None:
    """Writes the rows of a SELECT that has the columns of STAGED to a Parquet file."""
    connection.execute(f"COPY ({select}) TO {literal(str(path))} ({PARQUET_OPTIONS})")


def _batches(files: "Sequence[_Opened]") -> "Iterator[list[_Opened]]":
    """The files to read together."""
    waiting: dict[tuple, list[_Opened]] = {}
    for opened in files:
        # What the second reader cannot read is in doubt, and read alone.
        kind = opened.source.kind if opened.source.records is not None else (opened.number,)
        batch = waiting.setdefault(kind, [])
        size = sum(other.source.size for other in batch)
        if batch and (len(batch) == _BATCH_FILES or size + opened.source.size > _BATCH_BYTES):
            yield waiting.pop(kind)
            batch = waiting[kind] = []
        batch.append(opened)
    yield from waiting.values()


def _layout(source: SourceFile, declared_version: str | None) -> Layout:
    sent = tuple(name.strip() for name in source.columns)
    matched = match_columns(source.columns)
    # A column that is filled from another one is there when the other one is.
    present = {name for name, column in columns().items() if name in matched or column.filled_from in matched}
    return Layout(
        format=source.format,
        focus_version=declared_version or detect_version(sent),
        columns=sent,
        recognised=tuple(sorted(present)),
        own=tuple(name.strip() for name in source.columns if name not in matched.values() or is_taken_over(name)),
    )


def _fault(opened: _Opened, counted: Counted, outside: Mapping[str, Outside], month: str) -> Rejection | None:
    """Why a file that DuckDB has read is not staged all the same."""
    source = opened.source
    if source.records is None:
        return Rejection(
            "files_readable",
            f"a second reader cannot read it ({source.doubt}), so none can be sure of its {counted.rows:,} rows; "
            "write the file anew and upload it again",
        )
    if counted.rows != source.records:
        return Rejection(
            "files_readable",
            f"it has {source.records:,} records, and DuckDB reads {counted.rows:,} rows of it: quotes or line ends are "
            "in doubt; write the file anew and upload it again",
        )
    return month_rule_broken(source, outside[opened.landed.key], month) if opened.landed.key in outside else None


def _nested(source: SourceFile) -> str:
    """Why a file is rejected that stores a column of the contract as a list or a record; "" where it does not."""
    matched = match_columns(source.columns)
    for name in contract().required:
        kind = source.columns[matched[name]] if name in matched else ""
        # A list in a column with allowed values is read as one of them.
        if kind.startswith(("STRUCT", "MAP")) or (kind.endswith("]") and not columns()[name].allowed):
            return visible(f"its column {name} is stored as {kind[:100]}; store each value by itself")
    return ""


def _lacking(lacking: Sequence[str], sent: Sequence[str]) -> str:
    return visible(f"it has no column {', '.join(lacking)}; its columns are {named(sent)}")


def _totals(connection: duckdb.DuckDBPyConnection, path: Path) -> list[Total]:
    rows = connection.execute(
        'SELECT "BillingCurrency", count(*), CAST(coalesce(sum("BilledCost"), 0) AS VARCHAR), '
        'CAST(coalesce(sum("EffectiveCost"), 0) AS VARCHAR) '
        f"FROM read_parquet({path_literal(path)}) GROUP BY 1 ORDER BY 1"
    ).fetchall()
    return [Total(*row) for row in rows]
