"""A bucket, container or folder of one test, whatever the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote

from focus_pipeline.connections.auth import Auth
from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline.connections.store_urls import open_store
from focus_pipeline.connections.stores import ObjectStore
from focus_pipeline_tests.fakes.servers import AzureServer, GcsServer, S3Server


@dataclass(frozen=True)
class Place:
    """An empty place in a store, and the ways to fill it as its owner would.

    url: of the place itself, with a slash at its end; auth and endpoint_url: to read it. put, delete: as the provider.
    put_many: short bodies under many keys, fast. path: in requests to `server`, which is None for a local folder.
    """

    kind: str
    url: str
    auth: Auth | None
    endpoint_url: str | None
    put: Callable[[str, bytes], object]
    delete: Callable[[str], object]
    put_many: Callable[[Iterable[str]], object]
    path: str = ""
    server: S3Server | AzureServer | GcsServer | None = None

    def store(self) -> ObjectStore:
        return open_store(self.url, self.auth, self.endpoint_url)[0]

    def connection(self, folder: str = "", name: str = "colo_costs") -> MonthFolders:
        """Month folders below `folder`, which is written behind the place's url as it is."""
        return MonthFolders(name, self.url + folder, self.auth, self.endpoint_url)

    def behind(self, endpoint_url: str) -> Place:
        """The same place at another address, such as that of a front."""
        return replace(self, endpoint_url=endpoint_url)

    def requests(self) -> list[tuple[str, str]]:
        """(method, path) of the requests for this place so far; none are known for a local folder."""
        return [seen for seen in (self.server.requests() if self.server else []) if self.path in seen[1]]

    def listings(self) -> list[str]:
        """Path and query of each request so far that listed something."""
        return [target for method, target in self.requests() if method == "GET" and not self._key(target)]

    def reads(self) -> list[str]:
        """Key of each object of which something was read, once per request."""
        return [key for method, target in self.requests() if method == "GET" and (key := self._key(target))]

    def _key(self, target: str) -> str:
        path = target.partition("?")[0].partition(self.path)[2]
        if self.kind == "gcs":
            path = path.removeprefix("/o")
        return unquote(path.removeprefix("/"))


def local_place(root: Path) -> Place:
    """A new folder of this machine."""
    root.mkdir()

    def put(key: str, body: bytes) -> None:
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        # As an upload does: written aside, and renamed.
        temporary = root.parent / "upload"
        temporary.write_bytes(body)
        temporary.replace(path)

    def put_many(keys: Iterable[str]) -> None:
        for key in keys:
            put(key, b"x")

    return Place("local", f"{root.as_uri()}/", None, None, put, lambda key: (root / key).unlink(), put_many)
