"""Manifests: small objects in which a provider says what a delivery consists of.

They come from outside, and are read into models: whatever their content is, it is the fault of their own month.
"""

import json
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Generic, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from focus_pipeline.connections.delivery import Ignored, StoredObject, printable
from focus_pipeline.connections.store_errors import Archived, ObjectChanged
from focus_pipeline.connections.stores import ObjectStore

# A manifest of a year of daily files is far smaller.
_LARGEST = 32 * 1024 * 1024
# Of a name, in UTF-8. Azure's are as long.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
_LONGEST_NAME = 1024
_SHOWN = 120

T = TypeVar("T")


class BadManifest(Exception):
    """A manifest cannot be used. The message says what is wrong with it; the month is held back."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class Manifest(BaseModel):
    """What is used of a manifest; providers add fields as they like. Raises BadManifest, see ManifestReader.read."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, hide_input_in_errors=True)

    @classmethod
    def of(cls, content: bytes, key: str) -> Self:
        """The manifest of this content. key: of its object, for messages. Raises BadManifest."""
        # Some writers put a byte order mark first.
        content = content.removeprefix(b"\xef\xbb\xbf")
        try:
            manifest = cls.model_validate_json(content)
            json.loads(content, object_pairs_hook=_each_once)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            raise BadManifest(f"the manifest {printable(key, _SHOWN)} {_fault(first)}; {_AGAIN}") from None
        except _SaidTwice as error:
            raise BadManifest(
                f"the manifest {printable(key, _SHOWN)} says {named(str(error))} twice, so that it is not clear what "
                f"it means; {_AGAIN}"
            ) from None
        return manifest


_AGAIN = "have it delivered again"


def _fault(error: dict) -> str:
    place = ".".join(str(part) for part in error["loc"])
    what = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "json_invalid":
        return f"is not JSON that can be read ({what.removeprefix('Invalid JSON: ')})"
    return f"is not one of this kind of export: {f'its {place}: ' if place else ''}{what}"


class _SaidTwice(Exception):
    pass


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        raise _SaidTwice(next(name for name, _ in pairs if name in seen or seen.add(name)))
    return found


def named(name: str) -> str:
    """A name that a manifest gives, for messages: quoted, printable, and not too long."""
    return f"'{printable(name, _SHOWN)}'"


def object_name(name: str) -> str:
    """The name. Raises ValueError where no object can have it, or it leads out of its folder."""
    if not name.strip("/ "):
        raise ValueError("it is no name of a file, but empty")
    if len(name.encode()) > _LONGEST_NAME:
        raise ValueError(f"it is longer than the {_LONGEST_NAME:,} bytes that a name can have")
    if "\0" in name:
        raise ValueError("it has a NUL character, which no name of a file has")
    if ".." in name.split("/"):
        raise ValueError("it has a '..', which leads out of the export")
    return name


ObjectName = Annotated[str, AfterValidator(object_name)]
ByteCount = Annotated[int, Field(ge=0, lt=2**63)]


class ManifestReader(Generic[T]):
    """Reads manifests of a store. A version of one that was read is not read again, whatever came of it.

    parse: of the content and the object's key. It raises BadManifest.
    """

    def __init__(self, store: ObjectStore, parse: Callable[[bytes, str], T]) -> None:
        self._store = store
        self._parse = parse
        self._read: dict[tuple[str, str], T] = {}
        self._bad: dict[tuple[str, str], str] = {}

    def read(self, item: StoredObject) -> T:
        """What the listed version says.

        Raises BadManifest where it cannot be used, or cannot be read as it is now; StoreError where the store cannot.
        """
        version = (item.key, item.etag)
        if version in self._bad:
            raise BadManifest(self._bad[version])
        if version not in self._read:
            content = self._fetched(item)
            try:
                self._read[version] = self._parse(content, item.key)
            except BadManifest as error:
                self._bad[version] = str(error)
                raise
        return self._read[version]

    def _fetched(self, item: StoredObject) -> bytes:
        if item.size > _LARGEST:
            raise BadManifest(f"the manifest {printable(item.key)} has {item.size:,} bytes; it is no manifest")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "manifest.json"
            try:
                self._store.download(item, path)
            except ObjectChanged as error:
                raise BadManifest(f"pending: {error}") from None
            except Archived as error:
                raise BadManifest(str(error)) from None
            return path.read_bytes()


def not_in_the_manifest(listed: Iterable[StoredObject], named: Iterable[str]) -> list[Ignored]:
    """What lies beside the files of a delivery and is not part of it."""
    keys = set(named)
    return [
        Ignored(item.key, "the manifest does not name it: it is left from an earlier delivery")
        for item in listed
        if item.key not in keys
    ]
