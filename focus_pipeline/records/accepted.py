"""Which delivery of a month publishing takes, and which one is held back for what it would take away."""

from focus_pipeline.files import alone_in
from focus_pipeline.json_records import Record, read_record, write_record
from focus_pipeline.records.staged import StagedMonth
from focus_pipeline.storage import DataDir


class Accepted(Record):
    """The delivery that publishing takes. identity: of its staged form. order: of the look that showed it."""

    token: str
    identity: str
    listed_at: str
    order: int = 0


class HeldBack(Record):
    """A delivery that waits for what it would take away, and the sentence that says so."""

    token: str
    sentence: str


def accepted_delivery(connection: str, month: str, data_dir: DataDir) -> Accepted | None:
    """The delivery that publishing takes, None where none was ever accepted."""
    return read_record(data_dir.staged(connection, month) / "accepted.json", Accepted)


def acceptance_of(staged: StagedMonth) -> Accepted:
    """The record that says that publishing takes a staged month."""
    return Accepted(token=staged.token, identity=staged.identity, listed_at=staged.listed_at, order=staged.order)


def accept(staged: StagedMonth, data_dir: DataDir) -> None:
    """Has publishing take a staged month, unless a later look at the month was accepted."""
    folder = data_dir.staged(staged.connection, staged.month)
    with alone_in(folder):
        former = accepted_delivery(staged.connection, staged.month, data_dir)
        accepted = acceptance_of(staged)
        if (former is None or former.order <= staged.order) and former != accepted:
            write_record(folder / "accepted.json", accepted)


def hold_back(staged: StagedMonth, sentence: str, data_dir: DataDir) -> None:
    """Records that a delivery waits, and why."""
    write_record(
        data_dir.staged(staged.connection, staged.month) / "held_back.json",
        HeldBack(token=staged.token, sentence=sentence),
    )


def let_go(staged: StagedMonth, data_dir: DataDir) -> None:
    """Nothing of the month is held back any more."""
    (data_dir.staged(staged.connection, staged.month) / "held_back.json").unlink(missing_ok=True)


def held_back(connection: str, month: str, token: str, data_dir: DataDir) -> str:
    """Why a delivery is held back; "" where it is not."""
    record = read_record(data_dir.staged(connection, month) / "held_back.json", HeldBack)
    return record.sentence if record is not None and record.token == token else ""
