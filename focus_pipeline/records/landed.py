"""What is landed of a month: its deliveries, which of them is the current one, and the months that there are."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from pydantic import Field

from focus_pipeline.files import alone_in, sha256
from focus_pipeline.json_records import Record, read_record, write_record
from focus_pipeline.machine import machine_faults
from focus_pipeline.months import MONTH_PATTERN
from focus_pipeline.records.accepted import Accepted
from focus_pipeline.storage import DataDir


class Shown(Record):
    """first: the first month that the provider was seen to show."""

    first: str


class Order(Record):
    """last: the number that the latest look at a month was given; see land.land."""

    last: int


class Current(Record):
    """The delivery that a month consists of now. order: of the look that showed it."""

    token: str
    listed_at: str
    order: int = 0


class DeliveredFile(Record):
    """key, etag: as the provider listed it. size, sha256 (hex): of its bytes. file: its name in the folder."""

    key: str
    etag: str
    size: int
    file: str
    sha256: str = ""


class Delivered(Record):
    """A delivery that was fetched whole; see delivery.Delivery and land.LandedDelivery."""

    connection: str
    month: str
    token: str
    files: tuple[DeliveredFile, ...]
    focus_version: str | None = None
    declared: bool = False
    facts: dict[str, str | int] = Field(default_factory=dict)


@dataclass(frozen=True)
class LandedFile:
    """key, etag, size: as the provider listed it. path: where its bytes are.

    sha256: of them as they were fetched, in hex; "" of what an earlier version of this project has fetched.
    """

    key: str
    etag: str
    size: int
    path: Path
    sha256: str = ""

    @property
    def fault_of_size(self) -> str:
        """Why these bytes cannot be those that were fetched, without reading them; "" where they can be."""
        if not self.path.exists():
            return "it is gone"
        if (size := self.path.stat().st_size) != self.size:
            return f"it has {size:,} bytes, and {self.size:,} were fetched"
        return ""

    @property
    def fault(self) -> str:
        """Why these bytes are not those that were fetched; "" where they are."""
        if told := self.fault_of_size:
            return told
        if self.sha256 and sha256(self.path) != self.sha256:
            return "its content is not what was fetched"
        return ""


@dataclass(frozen=True)
class LandedDelivery:
    """listed_at: when the provider showed this delivery, UTC. order: of that look among those at the month; a delivery
    of a later one is never replaced by one of an earlier one, whatever the clock says.

    focus_version: what the provider declared it to be, None where it declared nothing.
    facts: what was worth showing when it was fetched, see Connection.download. declared: see Delivery.
    """

    connection: str
    month: str
    token: str
    listed_at: str
    files: tuple[LandedFile, ...]
    downloaded: int
    reused: int
    focus_version: str | None = None
    facts: dict[str, str | int] = field(default_factory=dict)
    declared: bool = False
    order: int = 0

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)


def shown_token(token: str) -> str:
    """The token that the provider's delivery has, of that of a landed one, which may have been fetched again.

    >>> shown_token("3f2a-2"), shown_token("3f2a")
    ('3f2a', '3f2a')
    """
    return token.partition("-")[0]


def next_order(connection: str, month: str, data_dir: DataDir) -> int:
    """The number of a look at the month: higher than that of every earlier one, by whichever process."""
    folder = data_dir.landed(connection, month)
    with alone_in(folder):
        last = read_record(folder / "order.json", Order)
        current = read_record(folder / "current.json", Current)
        accepted = read_record(data_dir.staged(connection, month) / "accepted.json", Accepted)
        known = (last.last if last else 0, *(record.order for record in (current, accepted) if record))
        write_record(folder / "order.json", Order(last=max(known) + 1))
    return max(known) + 1


def current_delivery(connection: str, month: str, data_dir: DataDir) -> LandedDelivery | None:
    """The delivery that the month consists of now, None when nothing was ever landed."""
    folder = data_dir.landed(connection, month)
    current = read_record(folder / "current.json", Current)
    landed = landed_at(folder, current.token) if current is not None else None
    if current is None or landed is None:
        return None
    return replace(landed, listed_at=current.listed_at, order=current.order)


def landed_delivery(connection: str, month: str, token: str, data_dir: DataDir) -> LandedDelivery | None:
    """A delivery whose bytes are kept, whether or not it is the current one; None where they are not."""
    return landed_at(data_dir.landed(connection, month), token)


def landed_deliveries(connection: str, month: str, data_dir: DataDir) -> list[LandedDelivery]:
    """Every delivery of the month whose bytes are kept, the current one first, then the others from the latest on."""
    current = current_delivery(connection, month, data_dir)
    others = [
        landed
        for landed in landed_in(data_dir.landed(connection, month))
        if current is None or landed.token != current.token
    ]
    return [current, *reversed(others)] if current else others[::-1]


def current_token(connection: str, month: str, data_dir: DataDir) -> str | None:
    current = read_record(data_dir.landed(connection, month) / "current.json", Current)
    return current.token if current is not None else None


def make_current(folder: Path, current: Current) -> bool:
    """Records which delivery the month consists of; False where a later look has recorded another one.

    A run that began earlier and took longer must not put its older listing in front of a newer one.
    """
    with alone_in(folder):
        former = read_record(folder / "current.json", Current)
        if former is None or former.order <= current.order:
            write_record(folder / "current.json", current)
            return True
    return False


def last_number(folder: Path, token: str) -> int:
    """How often a delivery was fetched, by the folders that there are; 0 where it never was."""
    names = {path.name for path in folder.glob(f"{token}*")}
    numbers = [int(suffix) for name in names if (suffix := name.removeprefix(f"{token}-")).isdecimal()]
    return max([*numbers, *([1] if token in names else [])], default=0)


def landed_in(folder: Path) -> list[LandedDelivery]:
    """The deliveries that a month's folder holds, in the order in which they were fetched."""
    manifests = sorted(folder.glob("[!.]*/delivery.json"), key=lambda path: path.stat().st_mtime_ns)
    found = [landed_at(folder, manifest.parent.name) for manifest in manifests]
    return [landed for landed in found if landed is not None]


def landed_at(folder: Path, token: str) -> LandedDelivery | None:
    """A delivery of a month's folder, None where its record is not there, or cannot be read."""
    record = read_record(folder / token / "delivery.json", Delivered)
    if record is None or record.token != token:
        return None
    fetched = datetime.fromtimestamp((folder / token / "delivery.json").stat().st_mtime, UTC)
    return LandedDelivery(
        record.connection,
        record.month,
        token,
        fetched.isoformat(),
        tuple(LandedFile(f.key, f.etag, f.size, folder / token / f.file, f.sha256) for f in record.files),
        0,
        0,
        record.focus_version,
        record.facts,
        record.declared,
    )


def held_months(connection: str, data_dir: DataDir) -> list[str]:
    """Months of which something was landed, oldest first."""
    months = (p.parent.name for p in data_dir.root.glob(f"landing/{connection}/*/current.json"))
    return sorted(month for month in months if MONTH_PATTERN.fullmatch(month))


def first_month(data_dir: DataDir) -> str | None:
    """The first month of which something was landed, or that a provider was seen to show; None before that."""
    landed = (path.parent.name for path in data_dir.root.glob("landing/*/*/current.json"))
    shown = (read_record(path, Shown) for path in data_dir.root.glob("landing/*/shown.json"))
    months = (*landed, *(record.first for record in shown if record))
    return min((month for month in months if MONTH_PATTERN.fullmatch(month)), default=None)


def record_shown(connection: str, months: Collection[str], data_dir: DataDir) -> None:
    """Records the first of the months that a provider shows, where it is another one than before.

    Raises MachineFault where disk or permissions are wanting.
    """
    if months:
        with machine_faults(f"recording what {connection} shows"):
            write_record(data_dir.root / "landing" / connection / "shown.json", Shown(first=min(months)))


def months_by_connection(data_dir: DataDir) -> list[tuple[str, str]]:
    """Connection and month of everything that was landed or accepted, in order."""
    records = [*data_dir.root.glob("landing/*/*/current.json"), *data_dir.root.glob("staged/*/*/accepted.json")]
    return sorted({(p.parent.parent.name, p.parent.name) for p in records if MONTH_PATTERN.fullmatch(p.parent.name)})


def connections_with(month: str, data_dir: DataDir) -> list[str]:
    """Connections of which a delivery of the month was staged, by name."""
    return sorted(path.parent.name for path in data_dir.root.glob(f"staged/*/{month}"))
