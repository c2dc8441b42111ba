"""FOCUS files in folders named after the month, in any object store: `<prefix>/YYYY-MM/*.csv|.csv.gz|.parquet|.zip`.

The month's delivery is every file directly in its folder, merged. Files are told apart by their ETags.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote

from focus_pipeline.connections.auth import Auth
from focus_pipeline.connections.bigquery_shards import stale_shards
from focus_pipeline.connections.delivery import (
    BILL_SUFFIXES,
    IGNORED,
    Delivery,
    Discovery,
    Ignored,
    NoBillingPeriods,
    StoredObject,
    is_ignored,
)
from focus_pipeline.connections.month_paths import USUAL, MonthPath
from focus_pipeline.connections.store_errors import StoreError
from focus_pipeline.connections.store_urls import check_url, open_store
from focus_pipeline.connections.stores import ObjectStore, apart
from focus_pipeline.months import is_month

_STALE = (
    "left over from an earlier EXPORT DATA: it is older than the first file of the same name by more than such a "
    "statement can run; delete the month's files before each export"
)
SUFFIXES = (*BILL_SUFFIXES, ".zip")
_TEMPORARY = (".tmp", ".temp", ".part", ".partial", ".crdownload", ".filepart")


@dataclass(frozen=True)
class MonthFolders:
    """A Connection (see delivery.py) over month folders.

    url: where the `YYYY-MM/` folders are. endpoint_url: of an S3-compatible store or an emulator.
    month_rule: reject a file that has a row whose ChargePeriodStart lies outside its folder's month.
    precedence: patterns of file names, first to last. Of the files of a month that match any of them, only those of the
    first pattern that has some are taken: for a source that delivers days, and later the whole month beside them.
    quiet: see Connection. marker: name of a file, such as `_SUCCESS`, that the source writes last; a month without it
    is still being delivered. month_path: how the month is told, see month_paths.py. ignore: see delivery.is_ignored.
    Raises InvalidUrl when the url, its auth and the endpoint cannot be used or hold a secret in the open.
    """

    name: str
    url: str
    auth: Auth | None = None
    endpoint_url: str | None = None
    precedence: tuple[str, ...] = ()
    month_rule: bool = True
    missing_month_is_empty: bool = True
    additive: bool = False
    quiet: timedelta = timedelta(0)
    marker: str | None = None
    month_path: str = USUAL
    ignore: tuple[str, ...] = ()
    focus_version: str | None = None

    def __post_init__(self) -> None:
        check_url(self.url, self.auth, self.endpoint_url)
        MonthPath(self.month_path)

    def discover(self, months: Collection[str] | None = None) -> Discovery:
        store, prefix = self._place
        looked_in = f"{store.address}/{prefix}"
        path = MonthPath(self.month_path)
        places, ignored = path.find(store, prefix)
        if not places:
            raise NoBillingPeriods(_no_billing_periods(looked_in, store, prefix, ignored, self.month_path))
        deliveries, held_back = {}, {}
        for month, place in places.items():
            if months is None or month in months:
                objects = list(place.objects)
                for folder in place.folders:
                    listed, unreadable = apart(store.list(folder))
                    ignored += unreadable
                    objects += [item for item in listed if not _is_below(item, folder, ignored)]
                if self.marker is not None:
                    files = [item for item in objects if item.key.rpartition("/")[2] != self.marker]
                    if len(files) == len(objects):
                        held_back[month] = f"pending: {month} in {looked_in} has no {self.marker} yet"
                        continue
                    objects = files
                reasons = {item: IGNORED if is_ignored(item, self.ignore) else _file_reason(item) for item in objects}
                ignored += [Ignored(item.key, reason) for item, reason in reasons.items() if reason is not None]
                objects = [item for item, reason in reasons.items() if reason is None]
                if self.url.startswith("gs://"):
                    # Elsewhere they are copies, with the times of their copying.
                    stale = stale_shards(objects)
                    objects = [item for item in objects if item not in stale]
                    ignored += [Ignored(item.key, _STALE) for item in stale]
                objects, yielding = _preceding(objects, self.precedence)
                ignored += yielding
                deliveries[month] = Delivery(month, tuple(sorted(objects)))
        return Discovery(tuple(places), deliveries, tuple(ignored), looked_in, held_back)

    def download(self, item: StoredObject, path: Path) -> None:
        self._place[0].download(item, path)

    @cached_property
    def _place(self) -> tuple[ObjectStore, str]:
        return open_store(self.url, self.auth, self.endpoint_url)


def _is_below(item: StoredObject, folder: str, ignored: list[Ignored]) -> bool:
    """Whether an object is not directly in the month's folder; it is then among those that are ignored."""
    name = item.key.removeprefix(folder)
    if name.endswith("/") or not name:
        ignored.append(Ignored(item.key, "an empty placeholder of a folder"))
    elif "/" in name:
        reason = "in a folder below the month folder; only files directly in YYYY-MM/ are read"
        ignored.append(Ignored(item.key, reason))
    else:
        return False
    return True


def _file_reason(item: StoredObject) -> str | None:
    name = item.key.rpartition("/")[2]
    if name.startswith((".", "~$")) or name.lower().endswith(_TEMPORARY):
        return "a hidden or temporary file"
    if name.endswith(SUFFIXES):
        return None
    if name.lower().endswith(SUFFIXES):
        return f"the extension has capitals; rename it to end in {', '.join(SUFFIXES)}"
    return f"the extension is none of {', '.join(SUFFIXES)}"


def _preceding(objects: list[StoredObject], precedence: tuple[str, ...]) -> tuple[list[StoredObject], list[Ignored]]:
    """The files to take, and those that give way to files of an earlier pattern."""
    ranks = {item: _rank(item, precedence) for item in objects}
    first = min((rank for rank in ranks.values() if rank is not None), default=None)
    taken = [item for item, rank in ranks.items() if rank in (None, first)]
    return taken, [
        Ignored(item.key, f"it gives way to the month's files named {precedence[first]} (see precedence)")
        for item, rank in ranks.items()
        if rank not in (None, first)
    ]


def _rank(item: StoredObject, precedence: tuple[str, ...]) -> int | None:
    name = item.key.rpartition("/")[2]
    return next((rank for rank, pattern in enumerate(precedence) if fnmatchcase(name, pattern)), None)


def _no_billing_periods(
    looked_in: str, store: ObjectStore, prefix: str, ignored: list[Ignored], month_path: str
) -> str:
    if month_path != USUAL:
        found = f" Found there instead: {_names(i.key.removeprefix(prefix) for i in ignored)}." if ignored else ""
        return f"No billing periods found: {looked_in} has nothing named {month_path} (see month_path).{found}"
    message = f"No billing periods found: {looked_in} has no folder named YYYY-MM (such as 2025-03)."
    above, _, last = looked_in.rstrip("/").rpartition("/")
    if is_month(last):
        return f"{message} It is a month's folder itself: set the connection's url to {above}/."
    message += f" Found there instead: {_names(item.key.removeprefix(prefix) for item in ignored)}." if ignored else ""
    beside = _folders(store, _parent(prefix)) if prefix else []
    for other in _other_spellings(prefix, beside):
        if any(is_month(folder.removeprefix(other).rstrip("/")) for folder in _folders(store, other)):
            return f"{message} There are month folders in {store.address}/{other}: set the connection's url to that."
    if ignored:
        return f"{message} Rename the folders, or correct the connection's url."
    if beside:
        place = f"{store.address}/{_parent(prefix)}"
        return f"{message} Nothing is there; {place} has {_names(beside)}. Correct the connection's url."
    return f"{message} Nothing at all is there; check the bucket and the prefix of the connection's url."


def _folders(store: ObjectStore, prefix: str) -> list[str]:
    """The folders below a prefix other than the connection's own; none where the credentials do not show it."""
    try:
        return list(store.list_level(prefix).folders)
    except StoreError:
        return []


def _parent(prefix: str) -> str:
    return prefix[: prefix.rfind("/", 0, -1) + 1]


def _other_spellings(prefix: str, beside: list[str]) -> list[str]:
    """Prefixes that are easily mistaken for this one: slashes, percent signs, and capitals of the last folder."""
    bare = prefix.strip("/")
    spellings = [f"{bare}/", f"/{bare}/", f"{bare}//", unquote(prefix)] if bare else ["/"]
    spellings += [folder for folder in beside if folder.casefold() == prefix.casefold()]
    return [spelling for spelling in dict.fromkeys(spellings) if spelling != prefix]


def _names(names: Iterable[str]) -> str:
    first = [repr(name) for name in names]
    return ", ".join(first[:5]) + (f" and {len(first) - 5} more" if len(first) > 5 else "")
