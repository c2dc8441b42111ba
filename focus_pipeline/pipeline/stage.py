"""Puts a landed delivery into canonical form: one staged Parquet file, and a report of what each file held.

A file that cannot be read, lacks a column of the contract or breaks the month rule is rejected alone, by name and
with examples; the month's other files are staged. Every value that cannot be read is kept beside its row.
"""

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from focus_pipeline.files import make_folder, remove_abandoned, replacing, sha256
from focus_pipeline.focus.canonical import STAGED, canonical_select, create_macros, is_taken_over, match_columns
from focus_pipeline.focus.fingerprint import code_fingerprint
from focus_pipeline.focus.specification import columns, contract, detect_version, other_dataset
from focus_pipeline.limits import Limits
from focus_pipeline.machine import can_be_of_a_file, machine_faults
from focus_pipeline.months import month_bounds
from focus_pipeline.pipeline.column_names import UnreadableFile
from focus_pipeline.pipeline.csv_lines import lines_of_rows
from focus_pipeline.pipeline.examples import EXAMPLES, by_line, named, place_within
from focus_pipeline.pipeline.land import verify
from focus_pipeline.pipeline.source_counts import Counted, broken_by_header, count_in_source
from focus_pipeline.pipeline.source_files import (
    PARQUET_OPTIONS,
    Source,
    SourceFile,
    open_source_file,
    read_together,
    reading_fault,
)
from focus_pipeline.pipeline.zip_files import unpacked
from focus_pipeline.records.landed import LandedDelivery, LandedFile
from focus_pipeline.records.staged import (
    CORRECT_IT,
    UNKNOWN_LAYOUT,
    Layout,
    Rejection,
    StagedFile,
    StagedMonth,
    Total,
    record_staged,
    staged_month,
)
from focus_pipeline.sql import Watch, literal, open_duckdb, path_literal, quoted, unwatched
from focus_pipeline.storage import DataDir
from focus_pipeline.visible import visible

logger = logging.getLogger(__name__)

# Of the table's costs, DECIMAL(38, 18).
_WHOLE_DIGITS = 20
# Of the files that are read together: planning a query takes longer than reading a small one.
_BATCH_BYTES = 64 * 1024 * 1024
_BATCH_FILES = 1_000
_LOGGED_FILES = 50


class AmountsTooLarge(Exception):
    """The costs of a month cannot be added up exactly."""


def stage(
    delivery: LandedDelivery,
    data_dir: DataDir,
    *,
    month_rule: bool,
    focus_version: str | None = None,
    watch: Watch = unwatched,
) -> StagedMonth:
    """Stages a landed delivery, or returns what is staged of it when nothing has changed since.

    month_rule: reject files with a ChargePeriodStart outside the month. focus_version: what the connection declares;
    without it, what the delivery does, or what each file's columns look like.

    Raises AmountsTooLarge, LandingDamaged where a landed file is not what was fetched, and MachineFault where memory,
    disk or permissions are wanting: nothing is recorded then.
    """
    focus_version = focus_version or delivery.focus_version
    identity = code_fingerprint(delivery.token, str(month_rule), str(focus_version))
    with machine_faults(f"staging {delivery.connection} {delivery.month}", data_dir.memory_limit):
        known = staged_month(delivery.connection, delivery.month, delivery.token, data_dir)
        if known is not None and known.identity == identity and known.is_intact:
            # The provider may show it again after it had shown another one.
            return record_staged(replace(known, listed_at=delivery.listed_at, order=delivery.order))
        verify(delivery)
        folder = data_dir.staged(delivery.connection, delivery.month)
        path = folder / f"{delivery.token}.parquet"
        make_folder(folder)
        remove_abandoned(data_dir.scratch, folder, data_dir.landed(delivery.connection, delivery.month))
        try:
            files, totals = _write(delivery, data_dir, path, month_rule, focus_version, watch)
        except duckdb.OutOfRangeException as error:
            raise _too_large(delivery, "its costs") from error
        return record_staged(
            StagedMonth(
                connection=delivery.connection,
                month=delivery.month,
                token=delivery.token,
                listed_at=delivery.listed_at,
                identity=identity,
                path=path,
                rows=sum(total.rows for total in totals),
                size=path.stat().st_size,
                totals=totals,
                files=files,
                declared=delivery.declared,
                order=delivery.order,
                sha256=sha256(path),
            )
        )


def _write(
    delivery: LandedDelivery,
    data_dir: DataDir,
    path: Path,
    month_rule: bool,
    focus_version: str | None,
    watch: Watch,
) -> tuple[list[StagedFile], list[Total]]:
    with open_duckdb(data_dir.sandbox) as connection, _parts_folder(data_dir, delivery) as folder:
        create_macros(connection)
        staging = _Staging(connection, delivery, folder, month_rule, watch)
        staging.look_at(focus_version, data_dir.limits)
        for batch in staging.batches():
            staging.stage(batch)
        files = staging.files
        _log_verdicts(files, delivery)
        with replacing(path) as temporary:
            _join(connection, staging.parts, temporary)
        return files, _totals(connection, path)


@dataclass(frozen=True)
class _Opened:
    """A file that can be read. number: its place in the delivery. layout: that of all files of its kind."""

    number: int
    landed: LandedFile
    source: SourceFile
    layout: Layout


@dataclass(frozen=True)
class _Outside:
    """Rows of a file with a ChargePeriodStart outside of the month: how many, and the first of them."""

    rows: int
    examples: list[dict]


class _Staging:
    """One staging of a delivery. Files of one kind are read together, as many as make up a large one; a file that does
    not keep the rules is then read alone, and the others without it.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        delivery: LandedDelivery,
        folder: Path,
        month_rule: bool,
        watch: Watch,
    ) -> None:
        self.parts: list[Path] = []
        self._connection = connection
        self._delivery = delivery
        self._folder = folder
        self._month_rule = month_rule
        self._watch = watch
        self._files: list[LandedFile] = []
        self._opened: list[_Opened] = []
        self._staged: dict[int, StagedFile] = {}
        self._layouts: dict[Layout, int] = {}
        self._rows = 0

    @property
    def files(self) -> list[StagedFile]:
        """What was found of every file, in the order of the delivery; those of a zip archive in its place."""
        return [self._staged[number] for number in range(len(self._files))]

    def look_at(self, declared_version: str | None, limits: Limits) -> None:
        """Opens every file; those that are not read any further are done with it."""
        layouts: dict[tuple, Layout] = {}
        found = unpacked(self._delivery.files, self._folder, limits)
        self._files = found.files
        same_as = _same_bytes([file for file in found.files if file.key not in found.left_out])
        for number, landed in enumerate(self._files):
            if landed.key in found.left_out:
                self._staged[number] = StagedFile(landed.key, landed.size, other="a file of another kind by its name")
                self._layouts.setdefault(UNKNOWN_LAYOUT, len(self._layouts))
                continue
            if landed.key in same_as:
                self._staged[number] = StagedFile(landed.key, landed.size, same_as=same_as[landed.key])
                self._layouts.setdefault(UNKNOWN_LAYOUT, len(self._layouts))
                continue
            try:
                if landed.key in found.faults:
                    raise UnreadableFile(found.faults[landed.key])
                source = open_source_file(landed.path, self._connection, limits)
            except UnreadableFile as error:
                self._staged[number] = _rejected(landed, UNKNOWN_LAYOUT, "files_readable", str(error))
                self._layouts.setdefault(UNKNOWN_LAYOUT, len(self._layouts))
                continue
            kind = (source.format, tuple(source.columns))
            if kind not in layouts:
                layouts[kind] = _layout(source, declared_version)
            layout = layouts[kind]
            self._layouts.setdefault(layout, len(self._layouts))
            if other := other_dataset(layout.columns):
                self._staged[number] = StagedFile(landed.key, landed.size, other=other)
                self._layouts.setdefault(UNKNOWN_LAYOUT, len(self._layouts))
            elif lacking := [name for name in contract().required if name not in layout.recognised]:
                self._staged[number] = _rejected(landed, layout, "required_columns", _lacking(lacking, layout.columns))
            elif nested := _nested(source):
                self._staged[number] = _rejected(landed, layout, "required_columns", nested)
            else:
                self._opened.append(_Opened(number, landed, source, layout))

    def batches(self) -> Iterator[list[_Opened]]:
        """The files to read together."""
        waiting: dict[tuple, list[_Opened]] = {}
        for opened in self._opened:
            # What the second reader cannot read is in doubt, and read alone.
            kind = opened.source.kind if opened.source.records is not None else (opened.number,)
            batch = waiting.setdefault(kind, [])
            size = sum(other.source.size for other in batch)
            if batch and (len(batch) == _BATCH_FILES or size + opened.source.size > _BATCH_BYTES):
                yield waiting.pop(kind)
                batch = waiting[kind] = []
            batch.append(opened)
        yield from waiting.values()

    def stage(self, batch: list[_Opened]) -> None:
        """Reads files of one kind; each is staged, or rejected. Raises duckdb.Error where this machine is at fault."""
        first = batch[0]
        what = first.landed.key if len(batch) == 1 else f"{first.landed.key} and {len(batch) - 1} more files"
        self._watch(f"reading {what}", self._connection)
        part = self._folder / f"{first.number}-{len(batch)}.parquet"
        parsed = part.with_suffix(".source.parquet")
        try:
            source = read_together([opened.source for opened in batch], parsed, self._connection)
            self._copy(batch, source, part)
            matched = match_columns(source.columns)
            counted = count_in_source(self._connection, source, matched, len(batch))
        except duckdb.OutOfRangeException as error:
            part.unlink(missing_ok=True)
            if len(batch) == 1:
                raise _too_large(self._delivery, f"the costs of {first.landed.key}") from error
            for opened in batch:
                self.stage([opened])
            return
        except duckdb.Error as error:
            part.unlink(missing_ok=True)
            # A damaged Parquet file can ask for more memory than there is: that is looked into.
            if not can_be_of_a_file(error) and (len(batch) > 1 or first.source.format != "parquet"):
                raise
            if (readable := self._without_unreadable(batch)) == batch:
                raise
            if readable:
                self.stage(readable)
            return
        finally:
            parsed.unlink(missing_ok=True)
        outside = _outside_of_month(self._connection, part, self._delivery.month) if self._month_rule else {}
        month = self._delivery.month
        found = [_fault(opened, rows, outside, month) for opened, rows in zip(batch, counted, strict=True)]
        if len(batch) > 1 and any(found):
            part.unlink()
            clean = [opened for opened, fault in zip(batch, found, strict=True) if fault is None]
            for some in (clean, *([opened] for opened, fault in zip(batch, found, strict=True) if fault)):
                if some:
                    self.stage(some)
            return
        in_header = broken_by_header(source, matched)
        for opened, rows, fault in zip(batch, counted, found, strict=True):
            self._staged[opened.number] = StagedFile(
                opened.landed.key,
                opened.landed.size,
                opened.layout,
                first_row=self._rows,
                **vars(rows) | {"broken": [*in_header, *rows.broken]},
                lines=opened.source.lines,
                rejection=fault,
            )
            self._rows += 0 if fault else rows.rows
        if any(found):
            part.unlink()
        else:
            self.parts.append(part)

    def _copy(self, batch: list[_Opened], source: Source, part: Path) -> None:
        layout = batch[0].layout
        keys = [opened.landed.key for opened in batch]
        lineage = {
            "x_Connection": self._delivery.connection,
            "x_Month": self._delivery.month,
            "x_FocusVersion": layout.focus_version,
            "x_SourceFile": keys[0],
            "x_Token": self._delivery.token,
        }
        of_file = f"[{', '.join(map(literal, keys))}][{source.file} + 1]" if len(keys) > 1 else ""
        select = canonical_select(source.columns, source.relation, lineage, self._layouts[layout], of_file)
        self._connection.execute(f"COPY ({select}) TO {literal(str(part))} ({PARQUET_OPTIONS})")

    def _without_unreadable(self, batch: list[_Opened]) -> list[_Opened]:
        """Rejects the files of a batch that cannot be read to their end; gives the others."""
        readable = []
        for opened in batch:
            if (fault := reading_fault(opened.source, self._connection)) is None:
                readable.append(opened)
            else:
                reason = f"{fault}; {CORRECT_IT}"
                self._staged[opened.number] = _rejected(opened.landed, opened.layout, "files_readable", reason)
        return readable


def _too_large(delivery: LandedDelivery, what: str) -> AmountsTooLarge:
    return AmountsTooLarge(
        f"{delivery.connection} {delivery.month}: {what} add up to more than the {_WHOLE_DIGITS} digits before the "
        "point that the table holds; look for an amount that is far too large and correct its file"
    )


def _same_bytes(files: Sequence[LandedFile]) -> dict[str, str]:
    """Key of a file -> key of an earlier one with the same bytes. Empty files have none to count twice."""
    of_size: dict[int, list[LandedFile]] = {}
    for file in files:
        of_size.setdefault(file.path.stat().st_size, []).append(file)
    same_as: dict[str, str] = {}
    for size, alike in of_size.items():
        first: dict[str, str] = {}
        for file in alike if size and len(alike) > 1 else ():
            digest = file.sha256 or sha256(file.path)
            if first.setdefault(digest, file.key) != file.key:
                same_as[file.key] = first[digest]
    return same_as


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


def _rejected(landed: LandedFile, layout: Layout, rule: str, reason: str) -> StagedFile:
    return StagedFile(landed.key, landed.size, layout, rejection=Rejection(rule, reason))


def _fault(opened: _Opened, counted: Counted, outside: Mapping[str, _Outside], month: str) -> Rejection | None:
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
    return _month_rule_broken(source, outside[opened.landed.key], month) if opened.landed.key in outside else None


def _outside_of_month(connection: duckdb.DuckDBPyConnection, part: Path, month: str) -> dict[str, _Outside]:
    """By key, the files of a part that have such rows."""
    start, end = month_bounds(month)
    rows = f"read_parquet({path_literal(part)}, file_row_number = true)"
    bounds = {"start": start, "end": end}
    is_outside = '"ChargePeriodStart" < $start OR "ChargePeriodStart" >= $end'
    if not connection.execute(f"SELECT count(*) FROM {rows} WHERE {is_outside}", bounds).fetchone()[0]:
        return {}
    found = connection.execute(
        f"""
        SELECT
            "x_SourceFile",
            count(*) FILTER ({is_outside}),
            min(file_row_number),
            arg_min(
                {{row: file_row_number, start: strftime("ChargePeriodStart", '%Y-%m-%dT%H:%M:%SZ')}},
                file_row_number,
                {EXAMPLES}
            ) FILTER ({is_outside})
        FROM {rows}
        GROUP BY 1
        """,
        bounds,
    ).fetchall()
    return {
        key: _Outside(
            count, [{"row": example["row"] - first + 1, "ChargePeriodStart": example["start"]} for example in examples]
        )
        for key, count, first, examples in found
        if count
    }


def _month_rule_broken(source: SourceFile, outside: _Outside, month: str) -> Rejection:
    examples = outside.examples
    if source.format != "parquet":
        rows = [example["row"] for example in examples]
        lines = lines_of_rows(source.path, source.format == "csv.gz", rows)
        examples = [by_line(example, lines) for example in examples]
    first = examples[0]
    return Rejection(
        "charge_month",
        f"{outside.rows:,} {'row has' if outside.rows == 1 else 'rows have'} a ChargePeriodStart outside of {month}, "
        f"the first is {place_within(first)} with {first['ChargePeriodStart']}; "
        "put them into the folder of their own month",
        examples,
    )


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


def _join(connection: duckdb.DuckDBPyConnection, parts: list[Path], path: Path) -> None:
    if len(parts) == 1:
        parts[0].replace(path)
        return
    if parts:
        files = ", ".join(path_literal(part) for part in parts)
        rows = f"SELECT * FROM read_parquet([{files}])"
    else:
        nothing = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in STAGED.items())
        rows = f"SELECT {nothing} WHERE false"
    connection.execute(f"COPY ({rows}) TO {literal(str(path))} ({PARQUET_OPTIONS})")


def _totals(connection: duckdb.DuckDBPyConnection, path: Path) -> list[Total]:
    rows = connection.execute(
        'SELECT "BillingCurrency", count(*), CAST(coalesce(sum("BilledCost"), 0) AS VARCHAR), '
        'CAST(coalesce(sum("EffectiveCost"), 0) AS VARCHAR) '
        f"FROM read_parquet({path_literal(path)}) GROUP BY 1 ORDER BY 1"
    ).fetchall()
    return [Total(*row) for row in rows]


def _log_verdicts(files: Sequence[StagedFile], delivery: LandedDelivery) -> None:
    """A line for each file; where they are many, one for all, and one for each of the first that are rejected."""
    rejected = [file for file in files if file.rejection is not None]
    for file in rejected[:_LOGGED_FILES]:
        logger.warning(
            "%s, %s: %s",
            delivery.connection,
            delivery.month,
            visible(f"{file.key} is rejected: {file.rejection.reason}"),
        )
    if len(files) > _LOGGED_FILES:
        rows = sum(file.rows for file in files if file.is_staged)
        logger.info("%s files, %s of them rejected: %s rows", f"{len(files):,}", f"{len(rejected):,}", f"{rows:,}")
        return
    for file in files:
        if file.same_as or file.other:
            logger.warning("%s: %s", visible(file.key), visible(file.fate))
        elif file.rejection is None:
            logger.info("%s: %s rows of FOCUS %s", visible(file.key), f"{file.rows:,}", file.layout.focus_version)


@contextmanager
def _parts_folder(data_dir: DataDir, delivery: LandedDelivery) -> Iterator[Path]:
    make_folder(data_dir.scratch)
    with tempfile.TemporaryDirectory(dir=data_dir.scratch, prefix=f"{delivery.connection}-{delivery.month}-") as folder:
        yield Path(folder)
