"""Puts a landed delivery into canonical form: Parquet files of its rows, and a report of what each file held.

A file that was staged for an earlier delivery is not read again.
"""

import logging
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import duckdb

from focus_pipeline.files import make_folder, remove_abandoned, sha256, temporary_folder
from focus_pipeline.focus.canonical import create_macros
from focus_pipeline.focus.fingerprint import code_fingerprint
from focus_pipeline.focus.specification import WHOLE_DIGITS
from focus_pipeline.machine import machine_faults
from focus_pipeline.pipeline.land import verify
from focus_pipeline.pipeline.parts import AmountsTooLarge, PartWriter, Reading, reusable
from focus_pipeline.pipeline.zip_files import unpacked
from focus_pipeline.records.landed import LandedDelivery, LandedFile
from focus_pipeline.records.staged import (
    Part,
    StagedFile,
    StagedMonth,
    parts_of_other_deliveries,
    record_staged,
    report_path,
    staged_month,
)
from focus_pipeline.sql import Watch, open_duckdb, unwatched
from focus_pipeline.storage import DataDir
from focus_pipeline.visible import visible

logger = logging.getLogger(__name__)

_LOGGED_FILES = 50


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
    settings = (str(month_rule), str(focus_version))
    identity = code_fingerprint(delivery.token, *settings)
    with machine_faults(f"staging {delivery.connection} {delivery.month}", data_dir.memory_limit):
        staged = staged_month(delivery.connection, delivery.month, delivery.token, data_dir)
        if staged is not None and staged.identity == identity and staged.is_intact:
            # The provider may show it again after it had shown another one.
            former, staged = staged, replace(staged, listed_at=delivery.listed_at, order=delivery.order)
        else:
            former = None
            reading = Reading(
                delivery.connection, delivery.month, month_rule, focus_version, code_fingerprint(*settings)
            )
            staged = _staged(delivery, identity, reading, data_dir, watch)
        if staged != former:
            record_staged(staged, data_dir)
        report = report_path(staged.connection, staged.month, staged.token, data_dir)
        for path in (report, *staged.paths):
            os.utime(path)  # marks it as in use; see tidy.py
        return staged


def _staged(delivery: LandedDelivery, identity: str, reading: Reading, data_dir: DataDir, watch: Watch) -> StagedMonth:
    folder = data_dir.staged(delivery.connection, delivery.month)
    make_folder(folder)
    remove_abandoned(data_dir.scratch, folder, data_dir.landed(delivery.connection, delivery.month))
    with _scratch(data_dir, delivery) as scratch:
        verify(delivery, read=())
        found = unpacked(delivery.files, scratch, data_dir.limits)
        files = [_with_digest(file) for file in found.files]
        beside = [
            StagedFile(file.key, file.size, other="a file of another kind by its name")
            for file in files
            if file.key in found.left_out
        ]
        bills = [file for file in files if file.key not in found.left_out]
        same_as = _same_bytes(bills)
        beside += [StagedFile(file.key, file.size, same_as=same_as[file.key]) for file in bills if file.key in same_as]
        bills = [file for file in bills if file.key not in same_as]
        kept = parts_of_other_deliveries(delivery.connection, delivery.month, delivery.token, data_dir)
        reused = reusable(kept.values(), {file.key: file for file in bills}, folder, reading)
        known = {file.key for part in reused for file in part.files}
        new = [file for file in bills if file.key not in known]
        verify(delivery, read={file.key for file in delivery.files if _is_read(file, new)})
        parts = [*reused, *_written(new, found.faults, delivery, reading, scratch, folder, data_dir, watch)]
    position = {file.key: place for place, file in enumerate(files)}
    staged = StagedMonth(
        connection=delivery.connection,
        month=delivery.month,
        token=delivery.token,
        listed_at=delivery.listed_at,
        identity=identity,
        folder=folder,
        parts=sorted(parts, key=lambda part: position[part.files[0].key]),
        beside=beside,
        order_of_files=[file.key for file in files],
        declared=delivery.declared,
        order=delivery.order,
    )
    _log_verdicts(staged, len(known))
    costs = [Decimal(cost) for total in staged.totals for cost in (total.billed_cost, total.effective_cost)]
    if any(abs(cost) >= 10**WHOLE_DIGITS for cost in costs):
        raise _too_large(delivery, "its costs")
    return staged


def _is_read(file: LandedFile, new: Sequence[LandedFile]) -> bool:
    """Whether a landed file, or one of an archive that it is, is read."""
    return any(other.key == file.key or other.key.startswith(f"{file.key}/") for other in new)


def _written(
    files: Sequence[LandedFile],
    faults: dict[str, str],
    delivery: LandedDelivery,
    reading: Reading,
    scratch: Path,
    folder: Path,
    data_dir: DataDir,
    watch: Watch,
) -> list[Part]:
    if not files:
        return []
    with open_duckdb(data_dir.sandbox) as connection:
        create_macros(connection)
        writer = PartWriter(connection, reading, scratch, folder, watch)
        try:
            writer.write(files, faults, data_dir.limits)
        except AmountsTooLarge as error:
            raise _too_large(delivery, str(error)) from error
        except duckdb.OutOfRangeException as error:
            raise _too_large(delivery, "its costs") from error
        return writer.parts


def _with_digest(file: LandedFile) -> LandedFile:
    return file if file.sha256 else replace(file, sha256=sha256(file.path))


def _too_large(delivery: LandedDelivery, what: str) -> AmountsTooLarge:
    return AmountsTooLarge(
        f"{delivery.connection} {delivery.month}: {what} add up to more than the {WHOLE_DIGITS} digits before the "
        "point that the table holds; look for an amount that is far too large and correct its file"
    )


def _same_bytes(files: Sequence[LandedFile]) -> dict[str, str]:
    """Key of a file -> key of an earlier one with the same bytes. Empty files have none to count twice."""
    first: dict[str, str] = {}
    same_as: dict[str, str] = {}
    for file in files:
        if file.size and first.setdefault(file.sha256, file.key) != file.key:
            same_as[file.key] = first[file.sha256]
    return same_as


def _log_verdicts(staged: StagedMonth, known: int) -> None:
    """A line for each file; where they are many, one for all, and one for each of the first that are rejected.

    known: how many of them were staged before.
    """
    for file in staged.rejected_files[:_LOGGED_FILES]:
        reason = visible(f"{file.key} is {file.fate}")
        logger.warning("%s, %s: %s", staged.connection, staged.month, reason)
    if known:
        logger.info("%s of %s files were staged before", f"{known:,}", f"{len(staged.files):,}")
    if len(staged.files) > _LOGGED_FILES:
        files, rejected, rows = (f"{n:,}" for n in (len(staged.files), len(staged.rejected_files), staged.rows))
        logger.info("%s files, %s of them rejected: %s rows", files, rejected, rows)
        return
    for file in staged.files:
        if file.same_as or file.other:
            logger.warning("%s: %s", visible(file.key), visible(file.fate))
        elif file.rejection is None:
            logger.info("%s: %s rows of FOCUS %s", visible(file.key), f"{file.rows:,}", file.layout.focus_version)


def _scratch(data_dir: DataDir, delivery: LandedDelivery) -> AbstractContextManager[Path]:
    make_folder(data_dir.scratch)
    return temporary_folder(data_dir.scratch, f"{delivery.connection}-{delivery.month}-")
