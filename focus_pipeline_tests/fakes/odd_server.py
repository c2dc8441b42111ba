"""A server on loopback that takes every call and gives an answer that its caller did not ask for."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from xml.sax.saxutils import escape

from focus_pipeline_tests.fakes.loopback import running


@dataclass(frozen=True)
class Asked:
    """A request: headers and body as the client sent them."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: str

    @property
    def text(self) -> str:
        """All of it in one text, as a server that echoes requests has it."""
        headers = "\n".join(f"{name}: {value}" for name, value in self.headers)
        return f"{self.method} {self.target}\n{headers}\n\n{self.body}"


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes = b""
    kind: str = "text/plain"
    headers: tuple[tuple[str, str], ...] = ()


def redirect(asked: Asked) -> Answer:
    """A loop: to the same place again."""
    return Answer(302, headers=(("Location", asked.target),))


def html(asked: Asked) -> Answer:
    """What a captive portal says, which is well-formed XML, too."""
    return Answer(200, b"<html><head><title>Sign in</title></head><body><p>Welcome</p></body></html>", "text/html")


def no_markup(asked: Asked) -> Answer:
    return Answer(200, b"\x00\xff<not><closed {", "application/octet-stream")


def nothing(asked: Asked) -> Answer:
    return Answer(200)


def empty_json(asked: Asked) -> Answer:
    return Answer(200, b"{}", "application/json")


def json_list(asked: Asked) -> Answer:
    return Answer(200, b"[17, null]", "application/json")


def json_of_wrong_types(asked: Asked) -> Answer:
    """Whatever of it is looked at is a number."""
    names = ("items", "objects", "prefixes", "schema", "jobReference", "access_token", "expires_in", "kind", "Exports")
    return Answer(200, json.dumps(dict.fromkeys(names, 17)).encode(), "application/json")


def xml_of_another_kind(asked: Asked) -> Answer:
    return Answer(200, b"<?xml version='1.0'?><Answer><Is>17</Is></Answer>", "application/xml")


def echo_as_xml(asked: Asked) -> Answer:
    """A refusal that holds the whole request, its headers and its body."""
    said = escape(asked.text)
    body = f"<Error><Code>{said}</Code><Message>{said}</Message><RequestId>1</RequestId></Error>"
    wrapped = f"<ErrorResponse>{body}<RequestId>1</RequestId></ErrorResponse>" if "Action=" in asked.body else body
    return Answer(400, wrapped.encode(), "application/xml")


def echo_as_json(asked: Asked) -> Answer:
    said = asked.text
    error = {"code": 400, "message": said, "errors": [{"reason": said, "message": said}], "status": said}
    content = {"error": error, "code": said, "message": said, "error_description": said, "__type": said}
    return Answer(400, json.dumps(content).encode(), "application/json")


def echo_as_text(asked: Asked) -> Answer:
    """A success that is none of its kind and holds the request."""
    return Answer(200, asked.text.encode(), "application/xml")


ODD: dict[str, Callable[[Asked], Answer]] = {
    "a redirect loop": redirect,
    "HTML": html,
    "no markup": no_markup,
    "nothing": nothing,
    "empty JSON": empty_json,
    "a JSON list": json_list,
    "JSON of wrong types": json_of_wrong_types,
    "XML of another kind": xml_of_another_kind,
}
ECHOES: dict[str, Callable[[Asked], Answer]] = {
    "an echo in XML": echo_as_xml,
    "an echo in JSON": echo_as_json,
    "an echo in text": echo_as_text,
}


@dataclass
class OddServer:
    """url: of the server. seen: the requests, in order."""

    url: str = ""
    seen: list[Asked] = field(default_factory=list)


@contextmanager
def odd_server(answer: Callable[[Asked], Answer]) -> Iterator[OddServer]:
    """Serves the answer until the end."""
    odd = OddServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), odd_handler(odd, answer))
    server.daemon_threads = True
    odd.url = f"http://127.0.0.1:{server.server_port}"
    with running(server):
        yield odd


def odd_handler(odd: OddServer, answer: Callable[[Asked], Answer]) -> type[BaseHTTPRequestHandler]:
    """A handler that gives the answer to whatever is asked, and notes it."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode("utf-8", "replace")
            asked = Asked(self.command, self.path, list(self.headers.items()), body)
            odd.seen.append(asked)
            given = answer(asked)
            self.send_response(given.status)
            self.send_header("Content-Type", given.kind)
            self.send_header("Content-Length", str(len(given.body)))
            for name, value in given.headers:
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(given.body)

        do_GET = do_HEAD = do_POST = do_PUT = _answer

    return Handler
