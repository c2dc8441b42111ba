"""The part of Oracle's Object Storage API that lists and reads objects, on loopback.

Requests have to be signed by the key id that is expected, as the SDK signs; the signature itself is not checked. Pages
are small, so that whoever reads only the first is found out. Codes of refusals are those that Oracle documents.
"""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

from focus_pipeline_tests.fakes.loopback import running

PAGE = 3


@dataclass
class OciApi:
    """objects: name -> content of the one bucket. key_id: the only one let in. requests: (method, path) so far."""

    namespace: str = "bling"
    bucket: str = "ocid1.tenancy.oc1..example"
    key_id: str = ""
    endpoint_url: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)

    def put(self, name: str, body: bytes) -> None:
        self.objects[name] = body

    def delete(self, name: str) -> None:
        del self.objects[name]

    def answer(self, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
        if f'keyId="{self.key_id}"' not in headers.get("authorization", ""):
            return 401, _error("NotAuthenticated")
        parts = urlsplit(path)
        place = re.fullmatch(r"/n/([^/]+)/b/([^/]+)/o(?:/(.+))?", parts.path)
        if place is None or (unquote(place[1]), unquote(place[2])) != (self.namespace, self.bucket):
            return 404, _error("BucketNotFound")
        if place[3] is None:
            return 200, self._listing({name: values[0] for name, values in parse_qs(parts.query).items()})
        body = self.objects.get(unquote(place[3]))
        if body is None:
            return 404, _error("ObjectNotFound")
        if headers.get("if-match") not in (None, _etag(body)):
            return 412, _error("IfMatchFailed")
        return 200, body

    def _listing(self, asked: dict[str, str]) -> bytes:
        prefix, delimiter, start = asked.get("prefix", ""), asked.get("delimiter"), asked.get("start", "")
        found: dict[str, bytes | None] = {}
        for name in sorted(self.objects):
            if name.startswith(prefix):
                tail = name[len(prefix) :]
                is_folder = delimiter and delimiter in tail
                found[prefix + tail.partition("/")[0] + "/" if is_folder else name] = (
                    None if is_folder else self.objects[name]
                )
        names = [name for name in found if name >= start]
        objects = [
            {"name": n, "size": len(found[n]), "etag": _etag(found[n]), "timeModified": "2025-03-01T00:00:00.000Z"}
            for n in names[:PAGE]
            if found[n] is not None
        ]
        content = {"objects": objects, "prefixes": [n for n in names[:PAGE] if found[n] is None]}
        return json.dumps(content | ({"nextStartWith": names[PAGE]} if len(names) > PAGE else {})).encode()


def _etag(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


def _error(code: str) -> bytes:
    return json.dumps({"code": code, "message": "refused"}).encode()


@contextmanager
def oci_api() -> Iterator[OciApi]:
    api = OciApi()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            api.requests.append(("GET", self.path))
            status, body = api.answer(self.path, {name.lower(): value for name, value in self.headers.items()})
            self.send_response(status)
            kind = "application/octet-stream" if status == 200 and "/o/" in self.path else "application/json"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if status == 200 and "/o/" in self.path:
                self.send_header("etag", _etag(body))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing to the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.endpoint_url = f"http://127.0.0.1:{server.server_port}"
    with running(server):
        yield api
