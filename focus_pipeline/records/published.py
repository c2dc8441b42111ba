"""What is to be published of a month, and what was."""

import hashlib
import json
from pathlib import Path

from focus_pipeline.json_records import Record, read_record, write_record
from focus_pipeline.records.accepted import accepted_delivery
from focus_pipeline.records.landed import connections_with
from focus_pipeline.records.verdicts import judged_delivery
from focus_pipeline.storage import DataDir


class Published(Record):
    """warehouse: the place of the one that has it, see Warehouse. fingerprint: of what was to be published then."""

    warehouse: str
    fingerprint: str


def fingerprint_of(month: str, data_dir: DataDir) -> str:
    """Changes with every connection's accepted delivery and verdict of the month; "" where nothing was judged."""
    content = []
    for name in connections_with(month, data_dir):
        accepted = accepted_delivery(name, month, data_dir)
        judged = judged_delivery(name, month, data_dir)
        if accepted is not None or judged is not None:
            content.append([name, accepted and accepted.identity, judged and judged.identity])
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12] if content else ""


def published(month: str, data_dir: DataDir) -> Published | None:
    """What was last published of a month, and where; None before anything was."""
    return read_record(_path(month, data_dir), Published)


def record_published(month: str, record: Published, data_dir: DataDir) -> None:
    """Records what is published of a month, and where."""
    write_record(_path(month, data_dir), record)


def _path(month: str, data_dir: DataDir) -> Path:
    return data_dir.root / "published" / f"{month}.json"
