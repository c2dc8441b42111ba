"""FOCUS exports (`FocusCost`) of Azure Cost Management in a storage container, or a copy of one in any store.

    <url>/…/<YYYYMMDD-YYYYMMDD>/[<time>/]<run>/manifest.json       names the blobs of one run
    <url>/…/<YYYYMMDD-YYYYMMDD>/[<time>/]<run>/part_0_0001.…

Every run is a snapshot of a month so far, and its manifest is written last. The layout of the folders is no contract
(Microsoft FinOps toolkit): a manifest says which month and which blobs, and of what scope they are. Of a month's runs
of each scope the one with the widest range of days counts, and of those the one submitted last. In the first five days
of a month Azure delivers the previous one anew, each day.
"""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, PlainValidator, model_validator

from focus_pipeline.connections.auth import Auth
from focus_pipeline.connections.delivery import Delivery, Discovery, Ignored, NoBillingPeriods, StoredObject, printable
from focus_pipeline.connections.manifests import (
    BadManifest,
    ByteCount,
    Manifest,
    ManifestReader,
    ObjectName,
    named,
    not_in_the_manifest,
)
from focus_pipeline.connections.store_urls import check_url, open_store
from focus_pipeline.connections.stores import ObjectStore, apart
from focus_pipeline.months import is_month, month_bounds

_RANGE = re.compile(r"(?:^|/)([0-9]{4})([0-9]{2})[0-9]{2}-([0-9]{4})([0-9]{2})[0-9]{2}/$")
# Of the export's name and the directories above it.
_DEEPEST = 4


def _moment(text: object) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise ValueError("it is no moment, such as 2025-03-01T00:00:00Z") from None
    if not is_month(month := f"{moment.year:04d}-{moment.month:02d}"):
        raise ValueError(f"it is in {month}, and a bill is of the years 2000 to 2099")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


Moment = Annotated[datetime, PlainValidator(_moment)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, hide_input_in_errors=True)


class _Config(_Part):
    exportName: str | None = None
    resourceId: str | None = None
    dataVersion: str | None = None


class _RunInfo(_Part):
    startDate: Moment
    endDate: Moment
    submittedTime: Moment

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.endDate < self.startDate:
            raise ValueError("it ends before it starts")
        return self


class _Blob(_Part):
    blobName: ObjectName
    byteCount: ByteCount | None = None


class _Manifest(Manifest):
    exportConfig: _Config
    runInfo: _RunInfo
    blobs: list[_Blob] | None = None


_NO_DAYS = (
    "a manifest in no folder of an export's days, such as 20250301-20250331/, so that its run is not read: keep the "
    "names of Azure's own folders"
)


class _OfKind(_Part):
    type: str | None = None


class _AnyManifest(Manifest):
    """What tells manifests of FOCUS exports from those of other kinds, of which nothing else is looked at."""

    exportConfig: _OfKind | None = None


@dataclass(frozen=True)
class _Run:
    """One run as its manifest describes it. key: of the manifest. blobs: size by name, None where it is not said.

    scope: what the export is of, such as a subscription: by its resource ID, else by the folder above its days.
    """

    key: str
    export: str
    scope: str
    month: str
    start: datetime
    end: datetime
    submitted: datetime
    version: str | None
    blobs: dict[str, int | None]

    @property
    def rank(self) -> tuple:
        return (self.days, self.submitted)

    @property
    def days(self) -> int:
        """How many days the run covers. It may end with the last one's midnight, or its last second."""
        last = self.end.date()
        if self.end.replace(tzinfo=None) == month_bounds(self.month)[1]:
            last -= timedelta(days=1)
        return (last - _first_day(self.start)).days + 1


@dataclass(frozen=True)
class AzureCostExport:
    """A Connection (see delivery.py) over one export.

    url: the container, or the folder in it that the export writes to. export_name: where several exports do.
    ignore: see delivery.is_ignored.
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
    quiet: timedelta = timedelta(0)
    ignore: tuple[str, ...] = ()
    focus_version: str | None = None

    def __post_init__(self) -> None:
        check_url(self.url, self.auth, self.endpoint_url)

    def discover(self, months: Collection[str] | None = None) -> Discovery:
        store, prefix = self._place
        looked_in = f"{store.address}/{prefix}"
        ignored: list[Ignored] = []
        folders = sorted(self._date_folders(prefix, _DEEPEST, ignored))
        if not folders:
            stray = next((f" {one.key} is {_NO_DAYS}." for one in ignored if one.reason == _NO_DAYS), "")
            raise NoBillingPeriods(
                f"No billing periods found: {looked_in} has no folder of an export's days, such as 20250301-20250331/, "
                f"within four levels.{stray} Set the url to the directory that the export writes to; a first run takes "
                "up to four hours"
            )
        shown = {month for folder in folders for month in _months_of(folder)}
        wanted = [folder for folder in folders if months is None or set(_months_of(folder)) & set(months)]
        listed: dict[str, StoredObject] = {}
        for folder in wanted:
            objects, unreadable = apart(store.list(folder))
            listed |= {item.key: item for item in objects}
            ignored += unreadable
        runs, faults = self._runs(listed.values(), ignored)
        held_back: dict[str, str] = {}
        deliveries: dict[str, Delivery] = {}
        for month, of_month in sorted(runs.items()):
            if months is not None and month not in months:
                continue
            if len(exports := sorted({run.export for run in of_month})) > 1:
                held_back[month] = (
                    f"several exports deliver it: {', '.join(map(named, exports))}. Their sums would count it twice: "
                    "set export_name to one; each is a connection of its own"
                )
                continue
            latest = _latest_of_each_scope(of_month)
            try:
                delivery = deliveries[month] = _delivery(latest, listed)
            except BadManifest as error:
                held_back[month] = str(error)
                continue
            folders_of_runs = {_folder(run.key) for run in latest}
            beside = [item for item in listed.values() if _folder(item.key) in folders_of_runs]
            taken = [*(run.key for run in latest), *(item.key for item in delivery.objects)]
            ignored += not_in_the_manifest(beside, taken)
        for item, reason in faults.items():
            of_folder = [month for month in _months_of(f"{_date_folder(item.key)}/") if month not in deliveries]
            held_back |= {month: reason for month in of_folder if month not in held_back}
            if not of_folder:
                # Another run is the month's, or the month cannot be told.
                ignored.append(Ignored(item.key, reason))
        for month in shown:
            if month not in deliveries and month not in held_back:
                held_back[month] = "pending: no run of it has a manifest yet, so Azure is still delivering"
        if months is not None:
            held_back = {month: reason for month, reason in held_back.items() if month in months}
        return Discovery(tuple(sorted(shown)), deliveries, tuple(ignored), looked_in, held_back).without(self.ignore)

    def download(self, item: StoredObject, path) -> None:
        self._place[0].download(item, path)

    def _date_folders(self, prefix: str, depth: int, ignored: list[Ignored]) -> Iterator[str]:
        """The folders of an export's days below a prefix, whatever stands between. Adds to what is ignored."""
        level = self._place[0].list_level(prefix)
        ignored += level.ignored
        ignored += [Ignored(item.key, _NO_DAYS) for item in level.objects if item.key.lower().endswith("manifest.json")]
        for folder in level.folders:
            if _RANGE.search(folder):
                yield folder
            elif depth > 1:
                yield from self._date_folders(folder, depth - 1, ignored)

    def _runs(
        self, listed: Iterable[StoredObject], ignored: list[Ignored]
    ) -> tuple[dict[str, list[_Run]], dict[StoredObject, str]]:
        """The runs by month; the manifests that cannot be used, and why. Adds to what is ignored."""
        runs: dict[str, list[_Run]] = {}
        faults: dict[StoredObject, str] = {}
        for item in listed:
            if not item.key.lower().endswith("manifest.json"):
                continue
            try:
                run = self._manifests.read(item)
            except BadManifest as error:
                faults[item] = str(error)
                continue
            if isinstance(run, str):
                ignored.append(Ignored(item.key, run))
            elif run.month not in _months_of(f"{_date_folder(item.key)}/"):
                faults[item] = (
                    f"the manifest {item.key} is of {run.month}, and its folder is not; have it delivered again"
                )
            elif self.export_name and run.export != self.export_name:
                ignored.append(Ignored(item.key, f"of another export, {named(run.export)}"))
            else:
                runs.setdefault(run.month, []).append(run)
        return runs, faults

    @cached_property
    def _place(self) -> tuple[ObjectStore, str]:
        return open_store(self.url, self.auth, self.endpoint_url)

    @cached_property
    def _manifests(self) -> ManifestReader[_Run | str]:
        return ManifestReader(self._place[0], _run)


def _latest_of_each_scope(runs: Iterable[_Run]) -> list[_Run]:
    """The fullest run of each scope, and of those the last: exports of one name may be of many subscriptions."""
    latest: dict[str, _Run] = {}
    for run in runs:
        if run.scope not in latest or run.rank > latest[run.scope].rank:
            latest[run.scope] = run
    return list(latest.values())


def _delivery(runs: list[_Run], listed: dict[str, StoredObject]) -> Delivery:
    objects: dict[str, StoredObject] = {}
    for run in runs:
        of_run = _objects(run, listed)
        if twice := objects.keys() & of_run.keys():
            raise BadManifest(
                f"several exports of one name deliver {sorted(twice)[0]}: their scopes cannot be told apart. Give each "
                "a directory of its own"
            )
        objects |= of_run
    versions = {run.version for run in runs}
    version = versions.pop() if len(versions) == 1 else None
    return Delivery(runs[0].month, tuple(sorted(objects.values())), version, declared=True)


def _objects(run: _Run, listed: dict[str, StoredObject]) -> dict[str, StoredObject]:
    """The objects of a run, by key. Raises BadManifest where one of them is not there as it says."""
    objects: dict[str, StoredObject] = {}
    for name, size in run.blobs.items():
        # Blob names are relative to the container; a copied export stands below another folder.
        key = name if name in listed else f"{_folder(run.key)}{name.rpartition('/')[2]}"
        item = listed.get(key)
        if item is None:
            raise BadManifest(
                f"pending: the run of {run.submitted:%Y-%m-%d %H:%M} names {named(name)}, which is not there; Azure is "
                "replacing it, or it was deleted: the next run delivers it again"
            )
        if size is not None and item.size != size:
            raise BadManifest(
                f"pending: {item.key} has {item.size:,} bytes where the manifest says {size:,}; Azure is replacing it"
            )
        if key in objects:
            raise BadManifest(
                f"the manifest {run.key} names several blobs {named(name.rpartition('/')[2])}, which are one file in "
                "this copy of the export; copy it with its folders"
            )
        objects[key] = item
    return objects


def _run(content: bytes, key: str) -> _Run | str:
    """The run that a manifest describes; a text where it is none of a FOCUS export, and why. Raises BadManifest."""
    kind = _AnyManifest.of(content, key).exportConfig
    if kind is None or kind.type != "FocusCost":
        of_type = "without a type" if kind is None or kind.type is None else f"of type {named(kind.type)}"
        return f"a run {of_type}, not of a FOCUS export"
    manifest = _Manifest.of(content, key)
    config, info = manifest.exportConfig, manifest.runInfo
    month = f"{_first_day(info.startDate):%Y-%m}"
    if info.endDate.replace(tzinfo=None) > month_bounds(month)[1]:
        days = f"{info.startDate:%Y-%m-%d} to {info.endDate:%Y-%m-%d}"
        return f"a run from {days}, of more than one month; export month by month"
    blobs: dict[str, int | None] = {}
    for blob in manifest.blobs or ():
        name = blob.blobName.strip().lstrip("/")
        if blobs.setdefault(name, blob.byteCount) != blob.byteCount:
            raise BadManifest(f"the manifest {key} gives {named(name)} two sizes; have it delivered again")
    version = None if config.dataVersion is None else printable(config.dataVersion, 20)
    export = config.exportName or ""
    above = key.partition(f"/{_date_folder(key)}/")[0] if _date_folder(key) else _folder(key)
    scope = (config.resourceId or above).strip("/").lower()
    return _Run(key, export, scope, month, info.startDate, info.endDate, info.submittedTime, version, blobs)


def _first_day(start: datetime) -> date:
    """The day on which a run starts where the customer is: its midnight there is up to 14 hours before that of UTC."""
    return (start.astimezone(UTC) + timedelta(hours=14)).date()


def _months_of(folder: str) -> list[str]:
    """The months that a folder's days lie in: the first and the last, which are mostly the same."""
    match = _RANGE.search(folder)
    if match is None:
        return []
    months = {f"{match[1]}-{match[2]}", f"{match[3]}-{match[4]}"}
    return sorted(filter(is_month, months))


def _date_folder(key: str) -> str:
    parts = key.split("/")
    return next((part for part in reversed(parts) if re.fullmatch(r"[0-9]{8}-[0-9]{8}", part)), "")


def _folder(key: str) -> str:
    return key[: key.rfind("/") + 1]
