"""Puts a landed delivery into canonical form: one staged Parquet file, and a report of what each file held.

A file that cannot be read, lacks a column of the contract or breaks the month rule is rejected alone, by name and
with examples; the month's other files are staged. Every value that cannot be read is kept beside its row.
"""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import duckdb

from focus_pipeline.focus.canonical import STAGED, canonical_select, create_macros, is_taken_over, match_columns
from focus_pipeline.focus.fingerprint import code_fingerprint
from focus_pipeline.focus.specification import columns, contract, detect_version
from focus_pipeline.months import month_bounds
from focus_pipeline.pipeline.data_dir import DataDir, read_json, replacing, write_json
from focus_pipeline.pipeline.land import LandedDelivery, LandedFile
from focus_pipeline.pipeline.source_files import (
    PARQUET_OPTIONS,
    UnreadableFile,
    open_source_file,
    parsed_once,
    reading_fault,
)
from focus_pipeline.pipeline.watch import Watch, unwatched
from focus_pipeline.pipeline.written import EXAMPLES, Broken, broken_by_header, count_in_source
from focus_pipeline.sql import literal, open_duckdb, path_literal, quoted

logger = logging.getLogger(__name__)

# Of the table's costs, DECIMAL(38, 18).
_WHOLE_DIGITS = 20


class AmountsTooLarge(Exception):
    """The costs of a month cannot be added up exactly."""


@dataclass(frozen=True)
class Rejection:
    """Why a file is not part of the month. rule: the check that reports it. examples: of the rows that break it."""

    rule: str
    reason: str
    examples: list[dict] = field(default_factory=list)


@dataclass(frozen=True)
class StagedFile:
    """One delivered file.

    rows, billed_cost, providers, rounded, changed, broken: see written.Counted; counted in the delivered file itself,
    apart from the staging.
    first_row: number of its first row in the staged file, from 0.
    columns: as sent. recognised: the canonical columns that they fill. own: those that are not of FOCUS.
    """

    key: str
    size: int
    format: str = ""
    focus_version: str = ""
    rows: int = 0
    billed_cost: dict[str, str] = field(default_factory=dict)
    first_row: int = 0
    columns: list[str] = field(default_factory=list)
    recognised: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)
    providers: list[str] = field(default_factory=list)
    rounded: dict[str, int] = field(default_factory=dict)
    changed: dict[str, dict[str, int]] = field(default_factory=dict)
    broken: list[Broken] = field(default_factory=list)
    rejection: Rejection | None = None


@dataclass(frozen=True)
class Total:
    """Of the rows in one currency; exact decimals as text."""

    currency: str | None
    rows: int
    billed_cost: str
    effective_cost: str


@dataclass(frozen=True)
class StagedMonth:
    """What was staged of a delivery. identity changes with the delivery, and with the code and data that read it."""

    connection: str
    month: str
    token: str
    listed_at: str
    identity: str
    path: Path
    rows: int
    size: int
    totals: list[Total]
    files: list[StagedFile]

    @property
    def accepted_files(self) -> list[StagedFile]:
        return [file for file in self.files if file.rejection is None]

    @property
    def rejected_files(self) -> list[StagedFile]:
        return [file for file in self.files if file.rejection is not None]

    def source_of(self, staged_row: int) -> tuple[StagedFile, int]:
        """The file that a staged row (from 0) comes from and the row's number in it, from 1, header not counted."""
        for file in reversed(self.accepted_files):
            if staged_row >= file.first_row:
                return file, staged_row - file.first_row + 1
        raise LookupError(f"row {staged_row} is in none of the files of {self.path}")


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
    without it, what the delivery does, or what each file's columns look like. Raises AmountsTooLarge.
    """
    focus_version = focus_version or delivery.focus_version
    identity = code_fingerprint(delivery.token, str(month_rule), str(focus_version))
    known = staged_month(delivery.connection, delivery.month, delivery.token, data_dir)
    if known is not None and known.identity == identity and known.path.exists():
        # The provider may show it again after it had shown another one.
        return _recorded(replace(known, listed_at=delivery.listed_at))
    folder = data_dir.staged(delivery.connection, delivery.month)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{delivery.token}.parquet"
    try:
        files, totals = _write(delivery, data_dir, path, month_rule, focus_version, watch)
    except duckdb.OutOfRangeException as error:
        raise AmountsTooLarge(
            f"{delivery.connection} {delivery.month}: its costs add up to more than the {_WHOLE_DIGITS} digits before "
            "the point that the table holds; look for an amount that is far too large and correct its file"
        ) from error
    return _recorded(
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
        )
    )


def staged_month(connection: str, month: str, token: str, data_dir: DataDir) -> StagedMonth | None:
    """The report of an earlier stage(), None where there is none."""
    folder = data_dir.staged(connection, month)
    content = read_json(folder / f"{token}.staged.json")
    if content is None:
        return None
    content["path"] = folder / content["path"]
    content["totals"] = [Total(**total) for total in content["totals"]]
    content["files"] = [
        StagedFile(
            **file
            | {
                "rejection": file["rejection"] and Rejection(**file["rejection"]),
                "broken": [Broken(**broken) for broken in file["broken"]],
            }
        )
        for file in content["files"]
    ]
    return StagedMonth(**content)


def _recorded(staged: StagedMonth) -> StagedMonth:
    write_json(staged.path.with_suffix(".staged.json"), asdict(staged) | {"path": staged.path.name})
    return staged


def _write(
    delivery: LandedDelivery,
    data_dir: DataDir,
    path: Path,
    month_rule: bool,
    focus_version: str | None,
    watch: Watch,
) -> tuple[list[StagedFile], list[Total]]:
    with _duckdb(data_dir) as connection, _parts_folder(data_dir, delivery) as parts_folder:
        files: list[StagedFile] = []
        parts: list[Path] = []
        for number, landed in enumerate(delivery.files):
            part = parts_folder / f"{number}.parquet"
            watch(f"reading {landed.key}", connection)
            file = _stage_file(connection, delivery, landed, part, month_rule, focus_version, _next_row(files))
            _log_verdict(file, delivery)
            files.append(file)
            if file.rejection is None and file.columns:
                parts.append(part)
        with replacing(path) as temporary:
            _join(connection, parts, temporary)
        return files, _totals(connection, path)


def _stage_file(
    connection: duckdb.DuckDBPyConnection,
    delivery: LandedDelivery,
    landed: LandedFile,
    part: Path,
    month_rule: bool,
    declared_version: str | None,
    first_row: int,
) -> StagedFile:
    try:
        source = open_source_file(landed.path, connection)
    except UnreadableFile as error:
        return StagedFile(landed.key, landed.size, rejection=Rejection("files_readable", str(error)))
    sent = [name.strip() for name in source.columns]
    matched = match_columns(source.columns)
    # A column that is filled from another one is there when the other one is.
    present = {name for name, column in columns().items() if name in matched or column.filled_from in matched}
    facts = {
        "key": landed.key,
        "size": landed.size,
        "format": source.format,
        "focus_version": declared_version or detect_version(sent),
        "first_row": first_row,
        "columns": sent,
        "recognised": sorted(present),
        "own": [name.strip() for name in source.columns if name not in matched.values() or is_taken_over(name)],
    }
    if not source.columns:
        return StagedFile(**facts)
    if lacking := [name for name in contract().required if name not in present]:
        return StagedFile(**facts, rejection=Rejection("required_columns", _lacking(lacking, sent)))
    lineage = {
        "x_Connection": delivery.connection,
        "x_Month": delivery.month,
        "x_FocusVersion": facts["focus_version"],
        "x_SourceFile": landed.key,
        "x_Token": delivery.token,
    }
    parsed = part.with_suffix(".source.parquet")
    try:
        source = parsed_once(source, parsed, connection)
        connection.execute(
            f"COPY ({canonical_select(source.columns, source.relation, lineage)}) "
            f"TO {literal(str(part))} ({PARQUET_OPTIONS})"
        )
        counted = count_in_source(connection, source, matched)
    except duckdb.Error:
        if (fault := reading_fault(source, connection)) is None:
            raise
        reason = f"{fault}; correct the file and upload it again"
        return StagedFile(**facts, rejection=Rejection("files_readable", reason))
    finally:
        parsed.unlink(missing_ok=True)
    rejection = _month_rule_broken(connection, part, delivery.month) if month_rule else None
    in_header = broken_by_header(source, matched)
    return StagedFile(**facts, **vars(counted) | {"broken": [*in_header, *counted.broken]}, rejection=rejection)


def _month_rule_broken(connection: duckdb.DuckDBPyConnection, part: Path, month: str) -> Rejection | None:
    start, end = month_bounds(month)
    outside = (
        f"FROM read_parquet({path_literal(part)}, file_row_number = true) "
        'WHERE "ChargePeriodStart" < $start OR "ChargePeriodStart" >= $end'
    )
    bounds = {"start": start, "end": end}
    count = connection.execute(f"SELECT count(*) {outside}", bounds).fetchone()[0]
    if not count:
        return None
    examples = connection.execute(
        """SELECT file_row_number + 1, strftime("ChargePeriodStart", '%Y-%m-%dT%H:%M:%SZ') """
        f"{outside} ORDER BY file_row_number LIMIT {EXAMPLES}",
        bounds,
    ).fetchall()
    first_row, first_start = examples[0]
    return Rejection(
        "charge_month",
        f"{count:,} rows have a ChargePeriodStart outside of {month}, the first is row {first_row:,} with "
        f"{first_start}; put them into the folder of their own month",
        [{"row": row, "ChargePeriodStart": start} for row, start in examples],
    )


def _lacking(lacking: list[str], sent: list[str]) -> str:
    return (
        f"it has no column {', '.join(lacking)}; its columns are {', '.join(sent[:30])}{' …' if len(sent) > 30 else ''}"
    )


def _join(connection: duckdb.DuckDBPyConnection, parts: list[Path], path: Path) -> None:
    if len(parts) == 1:
        parts[0].replace(path)
        return
    if parts:
        files = ", ".join(literal(str(part)) for part in parts)
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


def _next_row(files: list[StagedFile]) -> int:
    return sum(file.rows for file in files if file.rejection is None)


def _log_verdict(file: StagedFile, delivery: LandedDelivery) -> None:
    if file.rejection is None:
        logger.info("%s: %s rows of FOCUS %s", file.key, f"{file.rows:,}", file.focus_version)
    else:
        logger.warning(
            "%s, %s: %s is rejected: %s", delivery.connection, delivery.month, file.key, file.rejection.reason
        )


@contextmanager
def _parts_folder(data_dir: DataDir, delivery: LandedDelivery) -> Iterator[Path]:
    data_dir.scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data_dir.scratch, prefix=f"{delivery.connection}-{delivery.month}-") as folder:
        yield Path(folder)


@contextmanager
def _duckdb(data_dir: DataDir) -> Iterator[duckdb.DuckDBPyConnection]:
    with open_duckdb(data_dir.sandbox) as connection:
        create_macros(connection)
        yield connection
