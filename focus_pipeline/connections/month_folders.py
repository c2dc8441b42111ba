"""FOCUS files in folders named after the month, in any object store: `<prefix>/YYYY-MM/*.csv|.csv.gz|.parquet`.

The month's delivery is every file directly in its folder, merged. Files are told apart by their ETags.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from focus_pipeline.connections.auth import Auth
from focus_pipeline.connections.delivery import (
    Delivery,
    Discovery,
    Ignored,
    NoBillingPeriods,
    StoredObject,
)
from focus_pipeline.connections.store_urls import open_store
from focus_pipeline.connections.stores import AccessDenied, ObjectStore
from focus_pipeline.months import MONTH_PATTERN

SUFFIXES = (".csv", ".csv.gz", ".parquet")


@dataclass(frozen=True)
class MonthFolders:
    """A Connection (see delivery.py) over month folders.

    url: where the `YYYY-MM/` folders are. endpoint_url: of an S3-compatible store or an emulator.
    month_rule: reject a file that has a row whose ChargePeriodStart lies outside its folder's month.
    """

    name: str
    url: str
    auth: Auth | None = None
    endpoint_url: str | None = None
    month_rule: bool = True

    def discover(self, months: Collection[str] | None = None) -> Discovery:
        store, prefix = self._place
        looked_in = f"{store.address}/{prefix}"
        level = store.list_level(prefix)
        folders: dict[str, str] = {}
        ignored = [Ignored(item.key, _outside_reason(item, prefix)) for item in level.objects]
        for folder in level.folders:
            name = folder.removeprefix(prefix).rstrip("/")
            if MONTH_PATTERN.fullmatch(name):
                folders[name] = folder
            else:
                ignored.append(Ignored(folder, _folder_reason(name)))
        if not folders:
            raise NoBillingPeriods(_no_billing_periods(looked_in, store, prefix, ignored))
        deliveries = {}
        for month, folder in sorted(folders.items()):
            if months is None or month in months:
                objects = []
                for item in store.list(folder):
                    reason = _file_reason(item, folder)
                    if reason is None:
                        objects.append(item)
                    else:
                        ignored.append(Ignored(item.key, reason))
                deliveries[month] = Delivery(month, tuple(sorted(objects)))
        return Discovery(tuple(sorted(folders)), deliveries, tuple(ignored), looked_in)

    def download(self, item: StoredObject, path: Path) -> None:
        self._place[0].download(item, path)

    @cached_property
    def _place(self) -> tuple[ObjectStore, str]:
        return open_store(self.url, self.auth, self.endpoint_url)


def _folder_reason(name: str) -> str:
    if not name:
        return "an empty folder name (two slashes in a row); put the second slash into the connection's url to read it"
    return "not a month folder; months are named YYYY-MM, such as 2025-03"


def _outside_reason(item: StoredObject, prefix: str) -> str:
    if item.key == prefix:
        return "an empty placeholder of the folder itself"
    return "a file outside of any month folder; put it into a folder named YYYY-MM"


def _file_reason(item: StoredObject, folder: str) -> str | None:
    name = item.key.removeprefix(folder)
    if name.endswith("/") or not name:
        return "an empty placeholder of a folder"
    if "/" in name:
        return "in a folder below the month folder; only files directly in YYYY-MM/ are read"
    if name.endswith(SUFFIXES):
        return None
    if name.lower().endswith(SUFFIXES):
        return f"the extension has capitals; rename it to end in {', '.join(SUFFIXES)}"
    return f"the extension is none of {', '.join(SUFFIXES)}"


def _no_billing_periods(looked_in: str, store: ObjectStore, prefix: str, ignored: list[Ignored]) -> str:
    message = f"No billing periods found: {looked_in} has no folder named YYYY-MM (such as 2025-03)."
    if ignored:
        seen = ", ".join(repr(item.key.removeprefix(prefix)) for item in ignored[:5])
        more = f" and {len(ignored) - 5} more" if len(ignored) > 5 else ""
        return f"{message} Found there instead: {seen}{more}. Rename the folders, or correct the connection's url."
    for other in _other_spellings(prefix):
        try:
            folders = store.list_level(other).folders
        except AccessDenied:  # a policy that grants this prefix alone: nothing can be suggested
            continue
        if any(MONTH_PATTERN.fullmatch(folder.removeprefix(other).rstrip("/")) for folder in folders):
            return f"{message} There are month folders in {store.address}/{other}: set the connection's url to that."
    return f"{message} Nothing at all is there; check the bucket and the prefix of the connection's url."


def _other_spellings(prefix: str) -> list[str]:
    bare = prefix.strip("/")
    spellings = [f"{bare}/", f"/{bare}/", f"{bare}//"] if bare else ["/"]
    return [spelling for spelling in spellings if spelling != prefix]
