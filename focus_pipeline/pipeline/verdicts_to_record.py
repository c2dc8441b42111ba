"""Verdicts that could not be put into the warehouse, for another process had it open: whoever opens it next does so.

staged/<connection>/<YYYY-MM>/unrecorded-*.json     the token of the delivery that was judged
"""

import logging
import uuid
from pathlib import Path

import duckdb

from focus_pipeline.machine import machine_faults
from focus_pipeline.records.record import read_record, write_record
from focus_pipeline.records.staged import StagedMonth, staged_month
from focus_pipeline.records.verdicts import Unrecorded, verdict_path
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse import WarehouseUnusable, open_warehouse, record_verdict

logger = logging.getLogger(__name__)


def record_judged(staged: StagedMonth, data_dir: DataDir) -> bool:
    """Puts the verdict on a staged month into the warehouse, and those that wait; True where that could be done.

    While the warehouse is open elsewhere, or damaged, the verdict waits: a run does not.
    """
    try:
        with open_warehouse(data_dir.warehouse, sandbox=data_dir.sandbox) as warehouse:
            with machine_faults(f"recording the verdict on {staged.connection} {staged.month}", data_dir.memory_limit):
                record_waiting(warehouse, data_dir)
                record_verdict(warehouse, staged, _path(staged, data_dir))
        return True
    except WarehouseUnusable as error:
        # A name of its own: another process may be recording an earlier one at this moment.
        name = f"unrecorded-{uuid.uuid4().hex}.json"
        write_record(data_dir.staged(staged.connection, staged.month) / name, Unrecorded(token=staged.token))
        logger.warning(
            "%s %s: the verdict is not in focus.conformance yet, and will be with the next publication: %s",
            staged.connection,
            staged.month,
            error,
        )
        return False


def record_waiting(warehouse: duckdb.DuckDBPyConnection, data_dir: DataDir) -> None:
    """Puts the verdicts that wait into the warehouse, the oldest first."""
    notes = sorted(data_dir.root.glob("staged/*/*/unrecorded-*.json"), key=lambda note: note.stat().st_mtime_ns)
    for note in notes:
        connection, month = note.parent.parent.name, note.parent.name
        judged = read_record(note, Unrecorded)
        staged = judged and staged_month(connection, month, judged.token, data_dir)
        if staged is not None and _path(staged, data_dir).exists():
            record_verdict(warehouse, staged, _path(staged, data_dir))
        note.unlink(missing_ok=True)


def _path(staged: StagedMonth, data_dir: DataDir) -> Path:
    return verdict_path(staged.connection, staged.month, staged.token, data_dir)
