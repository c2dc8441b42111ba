"""An HTTP front of a server on loopback that spoils chosen answers: cuts them, holds them back, changes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import NamedTuple
from urllib.parse import urlsplit

_NOT_PASSED_ON = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}
_HOLD_SECONDS = 30


class Passed(NamedTuple):
    """A request that came by: target is the path with its query as it was sent, headers have lower-case names."""

    method: str
    target: str
    headers: dict[str, str]


@dataclass
class Hold:
    """A request that is held back: `reached` is set when it is there; it goes on when `release` is set."""

    reached: Event = field(default_factory=Event)
    release: Event = field(default_factory=Event)


@dataclass
class _Fault:
    """What is done to the next `times` requests whose method and target hold `part`."""

    part: str
    times: int
    cut_after: int | None = None
    hold: Hold | None = None
    target: Callable[[str], str] = lambda target: target
    body: Callable[[bytes], bytes] = lambda body: body
    afterwards: Callable[[], object] = lambda: None


@dataclass
class FaultyFront:
    """url: of the front; it takes the place of the server's own address. seen: the requests, in order."""

    url: str
    seen: list[Passed] = field(default_factory=list)
    _faults: list[_Fault] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def cut(self, part: str, after: int, times: int = 1, then: Callable[[], object] = lambda: None) -> None:
        """Close the connection after so many bytes of the body; `then` is called before the client can notice."""
        self._faults.append(_Fault(part, times, cut_after=after, afterwards=then))

    def hold(self, part: str, times: int = 1) -> Hold:
        """Hold requests back before they reach the server."""
        fault = _Fault(part, times, hold=Hold())
        self._faults.append(fault)
        assert fault.hold is not None
        return fault.hold

    def change_request(self, part: str, target: Callable[[str], str], times: int = 1_000_000) -> None:
        """Send another path and query on than was asked for."""
        self._faults.append(_Fault(part, times, target=target))

    def change_answer(self, part: str, body: Callable[[bytes], bytes], times: int = 1_000_000) -> None:
        """Give another body back than the server's."""
        self._faults.append(_Fault(part, times, body=body))

    def _fault_for(self, request: Passed) -> _Fault | None:
        with self._lock:
            self.seen.append(request)
            for fault in self._faults:
                if fault.times and fault.part in f"{request.method} {request.target}":
                    fault.times -= 1
                    return fault
        return None


@contextmanager
def faulty_front(server_url: str) -> Iterator[FaultyFront]:
    """Start a front of the server at this address, by threads of this process. The address may have a path."""
    behind = urlsplit(server_url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

        def _pass_on(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            request_body = self.rfile.read(int(headers.get("content-length", 0))) or None
            request = Passed(self.command, self.requestline.split(" ")[1], headers)
            fault = front._fault_for(request) or _Fault("", 0)
            if fault.hold:
                fault.hold.reached.set()
                fault.hold.release.wait(_HOLD_SECONDS)
            upstream = HTTPConnection(behind.hostname or "", behind.port or 80, timeout=60)
            try:
                sent = {name: value for name, value in headers.items() if name != "connection"}
                upstream.request(self.command, fault.target(request.target), request_body, sent)
                answer = upstream.getresponse()
                body = fault.body(answer.read())
                self.send_response(answer.status, answer.reason)
                for name, value in answer.getheaders():
                    if name.lower() not in _NOT_PASSED_ON:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
            finally:
                upstream.close()
            self.wfile.write(body[: fault.cut_after])
            fault.afterwards()
            if fault.cut_after is not None and fault.cut_after < len(body):
                self.close_connection = True

        do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _pass_on

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    front = FaultyFront(f"http://127.0.0.1:{server.server_port}{behind.path}")
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield front
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
