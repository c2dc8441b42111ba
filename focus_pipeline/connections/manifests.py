"""Manifests: small objects in which a provider says what a delivery consists of."""

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path

from focus_pipeline.connections.delivery import Ignored, StoredObject
from focus_pipeline.connections.stores import ObjectStore

# A manifest of a year of daily files is far smaller.
_LARGEST = 32 * 1024 * 1024


class BadManifest(Exception):
    """A manifest cannot be used. The message says what is wrong with it; the month is held back."""


class ManifestReader:
    """Reads manifests of a store. A version of one that was read is not read again."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._read: dict[tuple[str, str], dict] = {}

    def read(self, item: StoredObject) -> dict:
        """The JSON object of the listed version. Raises BadManifest, ObjectChanged, StoreError."""
        known = self._read.get((item.key, item.etag))
        if known is None:
            known = self._read[item.key, item.etag] = self._fetched(item)
        return known

    def _fetched(self, item: StoredObject) -> dict:
        if item.size > _LARGEST:
            raise BadManifest(f"the manifest {item.key} has {item.size:,} bytes; it is no manifest")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "manifest.json"
            self._store.download(item, path)
            content = path.read_bytes()
        try:
            manifest = json.loads(content.decode("utf-8-sig"))
        except ValueError as error:
            raise BadManifest(f"the manifest {item.key} is not JSON ({error}); have it delivered again") from None
        if not isinstance(manifest, dict):
            raise BadManifest(f"the manifest {item.key} is not a JSON object; have it delivered again")
        return manifest


def not_in_the_manifest(listed: Iterable[StoredObject], named: Iterable[str]) -> list[Ignored]:
    """What lies beside the files of a delivery and is not part of it."""
    keys = set(named)
    return [
        Ignored(item.key, "the manifest does not name it: it is left from an earlier delivery")
        for item in listed
        if item.key not in keys
    ]
