"""Oracle's FOCUS reports, from its own reports bucket or from a copy of that in any store.

    FOCUS Reports/YYYY/MM/DD/*.csv.gz        several a day, each with further rows

Files are additive: those of a month's folders are the month. A file that Oracle has deleted since (it keeps them for a
year) stays part of the month.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from focus_pipeline.connections.auth import Auth
from focus_pipeline.connections.delivery import Delivery, Discovery, Ignored, NoBillingPeriods, StoredObject
from focus_pipeline.connections.store_urls import check_url, open_store
from focus_pipeline.connections.stores import ObjectStore, apart
from focus_pipeline.months import is_month

FOLDER = "FOCUS Reports/"
_SUFFIXES = (".csv.gz", ".csv", ".parquet")


@dataclass(frozen=True)
class OciReports:
    """A Connection (see delivery.py) over the reports.

    url: of what holds the folder `FOCUS Reports/`, or of that folder itself.
    ignore: see delivery.is_ignored.
    Raises InvalidUrl when the url, its auth and the endpoint cannot be used or hold a secret in the open.
    """

    name: str
    url: str
    auth: Auth | None = None
    endpoint_url: str | None = None
    month_rule: bool = False
    missing_month_is_empty: bool = False
    additive: bool = True
    quiet: timedelta = timedelta(0)
    ignore: tuple[str, ...] = ()
    focus_version: str | None = None

    def __post_init__(self) -> None:
        check_url(self.url, self.auth, self.endpoint_url)

    def discover(self, months: Collection[str] | None = None) -> Discovery:
        store, prefix = self._place
        folder = f"{prefix}{FOLDER}"
        shown, ignored = self._months(folder)
        if not shown:
            within, beside = self._months(prefix)
            if within:
                folder, shown, ignored = prefix, within, beside
        if not shown:
            raise NoBillingPeriods(
                f"No billing periods found: {store.address}/{folder} has no folder YYYY/MM/. Check the url, and that "
                "FOCUS reports are switched on in the tenancy's billing settings"
            )
        deliveries = {}
        for month, place in sorted(shown.items()):
            if months is None or month in months:
                items, unreadable = apart(store.list(place))
                deliveries[month] = Delivery(month, tuple(sorted(i for i in items if i.key.endswith(_SUFFIXES))))
                ignored += unreadable
                ignored += [
                    Ignored(item.key, "not a report, which is a .csv.gz file")
                    for item in items
                    if not item.key.endswith((*_SUFFIXES, "/"))
                ]
        return Discovery(tuple(sorted(shown)), deliveries, tuple(ignored), f"{store.address}/{folder}").without(
            self.ignore
        )

    def download(self, item: StoredObject, path) -> None:
        self._place[0].download(item, path)

    def _months(self, folder: str) -> tuple[dict[str, str], list[Ignored]]:
        """The folder of each month, and what lies on the way there and is neither a folder nor an object."""
        store = self._place[0]
        top = store.list_level(folder)
        months, ignored = {}, list(top.ignored)
        for year in top.folders:
            if len(name := year.removeprefix(folder)) == len("YYYY/"):
                level = store.list_level(year)
                ignored += level.ignored
                for place in level.folders:
                    if is_month(month := f"{name.rstrip('/')}-{place.removeprefix(year).rstrip('/')}"):
                        months[month] = place
        return months, ignored

    @cached_property
    def _place(self) -> tuple[ObjectStore, str]:
        return open_store(self.url, self.auth, self.endpoint_url)
