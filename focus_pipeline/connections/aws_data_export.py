"""FOCUS exports of AWS Data Exports in S3, or a copy of one in any store.

    <url>/metadata/BILLING_PERIOD=YYYY-MM/<export>-Manifest.json        names the files of the latest delivery
    <url>/data/BILLING_PERIOD=YYYY-MM/[<execution>/]<export>-00001.…    its files, and what earlier ones left

The manifest is written when all its files are there: it is the unit of truth. Both ways of delivery (overwriting, and a
new folder for each execution) are read alike. AWS documents `BILLING_PERIOD=` and delivers `billing_period=` for FOCUS;
the two spellings of a month are one month (AWS Data Exports user guide, "Understanding export delivery").
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Annotated
from urllib.parse import unquote

from pydantic import BeforeValidator

from focus_pipeline.connections.auth import Auth
from focus_pipeline.connections.delivery import Delivery, Discovery, Ignored, NoBillingPeriods, StoredObject
from focus_pipeline.connections.manifests import (
    BadManifest,
    Manifest,
    ManifestReader,
    named,
    not_in_the_manifest,
    object_name,
)
from focus_pipeline.connections.store_urls import check_url, open_store
from focus_pipeline.connections.stores import ObjectStore, apart
from focus_pipeline.months import MONTH_PATTERN

_PARTITION = re.compile(rf"billing_period=({MONTH_PATTERN.pattern})/", re.IGNORECASE)
# What independent readers of real manifests found a file to be called; AWS publishes no schema.
_FILE_KEYS = ("key", "url", "s3Uri", "s3Key", "filePath", "relativePath")
_BUCKET = re.compile(r"^s3://[^/]+/")
# A delivery is in one folder. Each is a listing, so that a manifest must not choose how many there are.
_MOST_FOLDERS = 20


def _uri(entry: object) -> object:
    if isinstance(entry, dict):
        entry = next((entry[key] for key in _FILE_KEYS if isinstance(entry.get(key), str)), None)
    if not isinstance(entry, str):
        raise ValueError("a file is named in an unknown way")
    object_name(_BUCKET.sub("", entry))
    return entry


class _Manifest(Manifest):
    """dataFiles: `s3://<bucket>/<key>`, or the key alone."""

    dataFiles: list[Annotated[str, BeforeValidator(_uri)]]


@dataclass(frozen=True)
class AwsDataExport:
    """A Connection (see delivery.py) over one export.

    url: the export's own folder, `s3://<bucket>/<prefix>/<export name>/`, or the prefix with `export_name`.
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
        store, folder = self._store, self._folder
        looked_in = f"{store.address}/{folder}"
        partitions: dict[str, list[str]] = {}
        level = store.list_level(f"{folder}metadata/")
        ignored = list(level.ignored)
        for partition in level.folders:
            match = _PARTITION.fullmatch(partition.removeprefix(f"{folder}metadata/"))
            if match:
                partitions.setdefault(match[1], []).append(partition)
            else:
                ignored.append(Ignored(partition, "not the folder of a month, such as BILLING_PERIOD=2025-03"))
        if not partitions:
            raise NoBillingPeriods(_no_months(store, folder))
        deliveries: dict[str, Delivery] = {}
        held_back: dict[str, str] = {}
        for month, spellings in sorted(partitions.items()):
            if months is None or month in months:
                try:
                    delivery, left = self._delivery(month, spellings)
                except BadManifest as error:
                    held_back[month] = str(error)
                    continue
                ignored += left
                if delivery is None:
                    held_back[month] = "pending: its manifest is not there yet, so AWS is still delivering"
                else:
                    deliveries[month] = delivery
        return Discovery(tuple(sorted(partitions)), deliveries, tuple(ignored), looked_in, held_back).without(
            self.ignore
        )

    def download(self, item: StoredObject, path) -> None:
        self._store.download(item, path)

    def _delivery(self, month: str, spellings: list[str]) -> tuple[Delivery | None, list[Ignored]]:
        wanted = f"{self._export}-Manifest.json"
        manifests: list[StoredObject] = []
        ignored: list[Ignored] = []
        for partition in spellings:
            level = self._store.list_level(partition)
            objects, unreadable = apart([*level.objects, *level.ignored])
            ignored += unreadable
            for item in objects:
                if item.key == f"{partition}{wanted}":
                    manifests.append(item)
                elif item.key != partition:
                    ignored.append(Ignored(item.key, f"not the month's manifest, which is named {wanted}"))
        if not manifests:
            return None, ignored
        manifest = max(manifests, key=lambda item: item.last_modified)
        uris = self._manifests.read(manifest).dataFiles
        # Each once, in whatever ways it is named.
        keys = list(dict.fromkeys(self._key(uri, month, manifest) for uri in uris))
        folders = sorted({key.rpartition("/")[0] for key in keys})
        if len(folders) > _MOST_FOLDERS:
            raise BadManifest(
                f"the manifest {manifest.key} names files in {len(folders):,} folders, where a delivery is in one; "
                "have the export refreshed"
            )
        listed: dict[str, StoredObject] = {}
        for place in folders:
            level = self._store.list_level(f"{place}/")
            objects, unreadable = apart([*level.objects, *level.ignored])
            listed |= {item.key: item for item in objects}
            ignored += unreadable
        if missing := [key for key in keys if key not in listed]:
            raise BadManifest(
                f"the manifest {manifest.key} names {named(missing[0])}, which is not there"
                f"{f', and {len(missing) - 1:,} more' if len(missing) > 1 else ''}; the month waits until it is "
                "delivered"
            )
        objects = tuple(sorted(listed[key] for key in keys))
        newer = [item.key for item in objects if item.last_modified > manifest.last_modified]
        # Whether the files are where AWS wrote them. In a copy, times are those of the copying, in whatever order.
        if newer and all(uri.startswith(f"{self._store.address}/") for uri in uris):
            raise BadManifest(
                f"pending: {newer[0]} is newer than the manifest, so AWS is writing the month anew; its manifest "
                "comes last"
            )
        ignored += not_in_the_manifest(listed.values(), keys)
        return Delivery(month, objects, declared=True), ignored

    def _key(self, uri: str, month: str, manifest: StoredObject) -> str:
        """The key in this store of a file that a manifest names."""
        # A copied or replicated export names the bucket and folder that it comes from: what counts is the tail.
        tail = re.search(r"(?:^|/)data/(billing_period=([^/]+)/.+)$", _BUCKET.sub("", uri), re.IGNORECASE)
        if tail is None:
            raise BadManifest(f"the manifest {manifest.key} names {named(uri)}, which is not a file of this export")
        if tail[2] != month:
            raise BadManifest(
                f"the manifest {manifest.key} names {named(uri)}, which is of another month; have the export refreshed"
            )
        return f"{self._folder}data/{tail[1]}"

    @property
    def _export(self) -> str:
        # Of the url, for a local folder is a store of its own, with no prefix.
        last = self.url.rstrip("/").rpartition("/")[2]
        return self.export_name or (unquote(last) if self.url.startswith("file:") else last)

    @property
    def _folder(self) -> str:
        prefix = self._place[1]
        return f"{prefix}{self.export_name}/" if self.export_name else prefix

    @property
    def _store(self) -> ObjectStore:
        return self._place[0]

    @cached_property
    def _place(self) -> tuple[ObjectStore, str]:
        store, prefix = open_store(self.url, self.auth, self.endpoint_url)
        return store, prefix

    @cached_property
    def _manifests(self) -> ManifestReader[_Manifest]:
        return ManifestReader(self._store, _Manifest.of)


def _no_months(store: ObjectStore, folder: str) -> str:
    message = (
        f"No billing periods found: {store.address}/{folder} has no metadata/BILLING_PERIOD=YYYY-MM/. "
        "The url is that of the export's own folder: <prefix>/<export name>/."
    )
    level = store.list_level(folder)
    exports = [name for name in level.folders if any(_has_metadata(store, name))]
    if exports:
        names = ", ".join(name.removeprefix(folder).rstrip("/") for name in exports)
        return (
            f"{message} There are exports below it: {names}. Set export_name to one; each is a connection of its own."
        )
    if f"{folder}data/" in level.folders:
        below = [name.removeprefix(f"{folder}data/") for name in store.list_level(f"{folder}data/").folders]
        spelling = next((name.partition("=")[0] for name in below if _PARTITION.fullmatch(name)), "BILLING_PERIOD")
        return (
            f"{message} There is data, but no manifest yet. If AWS writes here itself, it is still delivering for the "
            f"first time. A copy of data/ alone is read as focus_pipeline.MonthFolders, with the url "
            f"{store.address}/{folder}data/, month_path: {spelling}=YYYY-MM/ and month_rule: false; without manifests, "
            "files that an older delivery left behind are counted, too"
        )
    return f"{message} A first delivery takes up to 24 hours."


def _has_metadata(store: ObjectStore, folder: str):
    return (name for name in store.list_level(folder).folders if name == f"{folder}metadata/")
