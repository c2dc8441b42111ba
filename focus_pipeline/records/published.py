"""What is to be published of a month, and what was."""

import hashlib
import json

from focus_pipeline.json_records import Record, read_record, write_record
from focus_pipeline.records.accepted import accepted_delivery
from focus_pipeline.records.landed import connections_with
from focus_pipeline.records.verdicts import judged_delivery
from focus_pipeline.storage import DataDir


class Published(Record):
    """warehouse: URL of the one that has it. fingerprint: of what was to be published then."""

    warehouse: str
    fingerprint: str


def fingerprint_of(month: str, data_dir: DataDir) -> str:
    """Changes with what is to be published of a month: the accepted delivery of each connection, and its verdict; ""
    where nothing was judged.
    """
    content = []
    for name in connections_with(month, data_dir):
        accepted = accepted_delivery(name, month, data_dir)
        judged = judged_delivery(name, month, data_dir)
        content.append([name, accepted and accepted.identity, judged and judged.identity])
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12] if content else ""


def is_published(month: str, fingerprint: str, data_dir: DataDir) -> bool:
    """Whether the warehouse of the settings has what the fingerprint is of."""
    record = read_record(data_dir.root / "published" / f"{month}.json", Published)
    return record == Published(warehouse=data_dir.warehouse_url, fingerprint=fingerprint)


def record_published(month: str, fingerprint: str, data_dir: DataDir) -> None:
    """Records that the warehouse of the settings has what the fingerprint is of."""
    record = Published(warehouse=data_dir.warehouse_url, fingerprint=fingerprint)
    write_record(data_dir.root / "published" / f"{month}.json", record)
