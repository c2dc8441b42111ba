"""The latest look at what a provider shows: whether it failed, and which months it found that cannot be taken yet."""

from collections.abc import Mapping
from datetime import UTC, datetime

from focus_pipeline.json_records import Record, read_record, write_record
from focus_pipeline.machine import machine_faults
from focus_pipeline.storage import DataDir


class Waiting(Record):
    """A month that the provider shows and that cannot be taken as it is. since: when that was first seen, UTC."""

    sentence: str
    since: datetime


class Look(Record):
    """at: when it was, UTC. failed: the sentence with which it failed, "" where it did not; failing_since: the first
    look that did, of those in a row. held_back: by month.
    """

    at: datetime
    failed: str = ""
    failing_since: datetime | None = None
    held_back: dict[str, Waiting] = {}  # noqa: RUF012  (pydantic copies defaults)


def latest_look(connection: str, data_dir: DataDir) -> Look | None:
    """None before the first."""
    return read_record(data_dir.look(connection), Look)


def record_look(connection: str, held_back: Mapping[str, str], data_dir: DataDir) -> None:
    """Records a look that ended well. held_back: month -> why it cannot be taken.

    Raises MachineFault where disk or permissions are wanting.
    """
    now = _now()
    former = latest_look(connection, data_dir)
    before = former.held_back if former else {}
    waiting = {
        month: Waiting(sentence=why, since=before[month].since if month in before else now)
        for month, why in held_back.items()
    }
    _write(connection, Look(at=now, held_back=waiting), data_dir)


def record_failed_look(connection: str, sentence: str, data_dir: DataDir) -> None:
    """Records a look that failed, and with which sentence. Raises MachineFault as record_look does."""
    now = _now()
    former = latest_look(connection, data_dir)
    look = Look(
        at=now,
        failed=sentence,
        failing_since=(former and former.failing_since) or now,
        held_back=former.held_back if former else {},
    )
    _write(connection, look, data_dir)


def _write(connection: str, look: Look, data_dir: DataDir) -> None:
    with machine_faults(f"recording the look at {connection}"):
        write_record(data_dir.look(connection), look)


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)
