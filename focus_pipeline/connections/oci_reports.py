"""Oracle's FOCUS reports, from its own reports bucket or from a copy of that in any store.

    FOCUS Reports/YYYY/MM/DD/*.csv.gz        several a day, each with further rows

Files are additive: those of a month's folders are the month. A file that Oracle has deleted since (it keeps them for a
year) stays part of the month.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

from focus_pipeline.connections.auth import Auth
from focus_pipeline.connections.delivery import Delivery, Discovery, Ignored, NoBillingPeriods, StoredObject
from focus_pipeline.connections.store_urls import check_url, open_store
from focus_pipeline.connections.stores import ObjectStore

FOLDER = "FOCUS Reports/"
_SUFFIXES = (".csv.gz", ".csv", ".parquet")


@dataclass(frozen=True)
class OciReports:
    """A Connection (see delivery.py) over the reports.

    url: of what holds the folder `FOCUS Reports/`, or of that folder itself.
    Raises InvalidUrl when the url, its auth and the endpoint cannot be used or hold a secret in the open.
    """

    name: str
    url: str
    auth: Auth | None = None
    endpoint_url: str | None = None
    month_rule: bool = False
    missing_month_is_empty: bool = False
    additive: bool = True

    def __post_init__(self) -> None:
        check_url(self.url, self.auth, self.endpoint_url)

    def discover(self, months: Collection[str] | None = None) -> Discovery:
        store, prefix = self._place
        folder = f"{prefix}{FOLDER}"
        shown = dict(self._months(folder))
        if not shown and (within := dict(self._months(prefix))):
            folder, shown = prefix, within
        if not shown:
            raise NoBillingPeriods(
                f"No billing periods found: {store.address}/{folder} has no folder YYYY/MM/. Check the url, and that "
                "FOCUS reports are switched on in the tenancy's billing settings"
            )
        deliveries, ignored = {}, []
        for month, place in sorted(shown.items()):
            if months is None or month in months:
                items = list(store.list(place))
                deliveries[month] = Delivery(month, tuple(sorted(i for i in items if i.key.endswith(_SUFFIXES))))
                ignored += [
                    Ignored(item.key, "not a report, which is a .csv.gz file")
                    for item in items
                    if not item.key.endswith((*_SUFFIXES, "/"))
                ]
        return Discovery(tuple(sorted(shown)), deliveries, tuple(ignored), f"{store.address}/{folder}")

    def download(self, item: StoredObject, path) -> None:
        self._place[0].download(item, path)

    def _months(self, folder: str) -> Iterator[tuple[str, str]]:
        store = self._place[0]
        for year in store.list_level(folder).folders:
            if re.fullmatch(r"\d{4}/", year.removeprefix(folder)):
                for month in store.list_level(year).folders:
                    if re.fullmatch(r"(0[1-9]|1[0-2])/", month.removeprefix(year)):
                        yield f"{year.removeprefix(folder)[:4]}-{month.removeprefix(year)[:2]}", month

    @cached_property
    def _place(self) -> tuple[ObjectStore, str]:
        return open_store(self.url, self.auth, self.endpoint_url)
