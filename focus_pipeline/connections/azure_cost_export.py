"""FOCUS exports (`FocusCost`) of Azure Cost Management in a storage container, or a copy of one in any store.

    <url>/…/<YYYYMMDD-YYYYMMDD>/[<time>/]<run>/manifest.json       names the blobs of one run
    <url>/…/<YYYYMMDD-YYYYMMDD>/[<time>/]<run>/part_0_0001.…

Every run is a snapshot of a month so far, and its manifest is written last. The layout of the folders is no contract
(Microsoft FinOps toolkit): a manifest says which month and which blobs. Of a month's runs the one with the widest range
of days counts, and of those the one submitted last. In the first five days of a month Azure delivers the previous one
anew, each day.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property

from focus_pipeline.connections.auth import Auth
from focus_pipeline.connections.delivery import Delivery, Discovery, Ignored, NoBillingPeriods, StoredObject
from focus_pipeline.connections.manifests import BadManifest, ManifestReader, not_in_the_manifest
from focus_pipeline.connections.store_urls import check_url, open_store
from focus_pipeline.connections.stores import ObjectStore
from focus_pipeline.months import MONTH_PATTERN, month_bounds

_RANGE = re.compile(r"(?:^|/)(\d{4})(\d{2})\d{2}-(\d{4})(\d{2})\d{2}/$")
# Of the export's name and the directories above it.
_DEEPEST = 4


@dataclass(frozen=True)
class _Run:
    """One run as its manifest describes it."""

    manifest: StoredObject
    export: str
    month: str
    start: datetime
    end: datetime
    submitted: datetime
    version: str | None
    blobs: dict[str, int | None]

    @property
    def rank(self) -> tuple:
        return (self.end - self.start, self.submitted)


@dataclass(frozen=True)
class AzureCostExport:
    """A Connection (see delivery.py) over one export.

    url: the container, or the folder in it that the export writes to. export_name: where several exports do.
    Raises InvalidUrl when the url, its auth and the endpoint cannot be used or hold a secret in the open.
    """

    name: str
    url: str
    export_name: str | None = None
    auth: Auth | None = None
    endpoint_url: str | None = None
    month_rule: bool = False
    missing_month_is_empty: bool = False
    additive: bool = False

    def __post_init__(self) -> None:
        check_url(self.url, self.auth, self.endpoint_url)

    def discover(self, months: Collection[str] | None = None) -> Discovery:
        store, prefix = self._place
        looked_in = f"{store.address}/{prefix}"
        folders = sorted(self._date_folders(prefix, _DEEPEST))
        if not folders:
            raise NoBillingPeriods(
                f"No billing periods found: {looked_in} has no folder of an export's days, such as 20250301-20250331/, "
                "within four levels. Set the url to the directory that the export writes to; a first run takes up to "
                "four hours"
            )
        shown = sorted({month for folder in folders for month in _months_of(folder)})
        wanted = [folder for folder in folders if months is None or set(_months_of(folder)) & set(months)]
        listed = {item.key: item for folder in wanted for item in store.list(folder)}
        runs, ignored, held_back = self._runs(listed, shown)
        deliveries: dict[str, Delivery] = {}
        for month, of_month in sorted(runs.items()):
            if months is not None and month not in months:
                continue
            if len(exports := sorted({run.export for run in of_month})) > 1:
                held_back[month] = (
                    f"several exports deliver it: {', '.join(exports)}. Their sums would count it twice: set "
                    "export_name to one; each is a connection of its own"
                )
                continue
            held_back.pop(month, None)
            run = max(of_month, key=lambda run: run.rank)
            try:
                delivery = deliveries[month] = _delivery(run, listed)
            except BadManifest as error:
                held_back[month] = str(error)
                continue
            beside = [item for item in listed.values() if _folder(item) == _folder(run.manifest)]
            ignored += not_in_the_manifest(beside, [run.manifest.key, *(item.key for item in delivery.objects)])
        for month in shown:
            if month not in deliveries and month not in held_back and (months is None or month in months):
                held_back[month] = "pending: no run of it has a manifest yet, so Azure is still delivering"
        return Discovery(tuple(shown), deliveries, tuple(ignored), looked_in, held_back)

    def download(self, item: StoredObject, path) -> None:
        self._place[0].download(item, path)

    def _date_folders(self, prefix: str, depth: int) -> Iterator[str]:
        """The folders of an export's days below a prefix, whatever stands between."""
        for folder in self._place[0].list_level(prefix).folders:
            if _RANGE.search(folder):
                yield folder
            elif depth > 1:
                yield from self._date_folders(folder, depth - 1)

    def _runs(
        self, listed: dict[str, StoredObject], shown: list[str]
    ) -> tuple[dict[str, list[_Run]], list[Ignored], dict[str, str]]:
        """The runs by month; what is ignored; months that only have manifests that cannot be used, and why."""
        runs: dict[str, list[_Run]] = {}
        ignored: list[Ignored] = []
        faults: dict[str, str] = {}
        for item in listed.values():
            if not item.key.lower().endswith("manifest.json"):
                continue
            try:
                run = _run(item, self._manifests.read(item))
            except BadManifest as error:
                faults |= {month: str(error) for month in _months_of(f"{_date_folder(item.key)}/")}
                continue
            if isinstance(run, str):
                ignored.append(Ignored(item.key, run))
            elif self.export_name and run.export != self.export_name:
                ignored.append(Ignored(item.key, f"of another export, {run.export}"))
            else:
                runs.setdefault(run.month, []).append(run)
        return runs, ignored, faults

    @cached_property
    def _place(self) -> tuple[ObjectStore, str]:
        return open_store(self.url, self.auth, self.endpoint_url)

    @cached_property
    def _manifests(self) -> ManifestReader:
        return ManifestReader(self._place[0])


def _delivery(run: _Run, listed: dict[str, StoredObject]) -> Delivery:
    objects = []
    for name, size in run.blobs.items():
        # Blob names are relative to the container; a copied export stands below another folder.
        key = name if name in listed else f"{_folder(run.manifest)}{name.rpartition('/')[2]}"
        item = listed.get(key)
        if item is None:
            raise BadManifest(
                f"pending: the run of {run.submitted:%Y-%m-%d %H:%M} names {name}, which is not there; Azure is "
                "replacing it, or it was deleted: the next run delivers it again"
            )
        if size is not None and item.size != size:
            raise BadManifest(
                f"pending: {item.key} has {item.size:,} bytes where the manifest says {size:,}; Azure is replacing it"
            )
        objects.append(item)
    return Delivery(run.month, tuple(sorted(objects)), run.version)


def _run(item: StoredObject, manifest: dict) -> _Run | str:
    """The run that a manifest describes; a text where it is none of a FOCUS export, and why."""
    config, info = manifest.get("exportConfig") or {}, manifest.get("runInfo") or {}
    if (kind := config.get("type")) != "FocusCost":
        return f"a run of type {kind!r}, not of a FOCUS export"
    try:
        start, end = _moment(info["startDate"]), _moment(info["endDate"])
        submitted = _moment(info["submittedTime"])
        blobs = {
            str(blob["blobName"]).strip().lstrip("/"): blob.get("byteCount") for blob in manifest.get("blobs") or []
        }
    except (KeyError, TypeError, ValueError) as error:
        raise BadManifest(
            f"the manifest {item.key} lacks what tells its days and blobs ({error!r}); have the export run again"
        ) from None
    month = start.strftime("%Y-%m")
    if end.replace(tzinfo=None) > month_bounds(month)[1]:
        return f"a run from {start:%Y-%m-%d} to {end:%Y-%m-%d}, of more than one month; export month by month"
    return _Run(item, str(config.get("exportName")), month, start, end, submitted, config.get("dataVersion"), blobs)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _months_of(folder: str) -> list[str]:
    """The months that a folder's days lie in: the first and the last, which are mostly the same."""
    match = _RANGE.search(folder)
    if match is None:
        return []
    months = {f"{match[1]}-{match[2]}", f"{match[3]}-{match[4]}"}
    return sorted(month for month in months if MONTH_PATTERN.fullmatch(month))


def _date_folder(key: str) -> str:
    parts = key.split("/")
    return next((part for part in reversed(parts) if re.fullmatch(r"\d{8}-\d{8}", part)), "")


def _folder(item: StoredObject) -> str:
    return item.key[: item.key.rfind("/") + 1]
