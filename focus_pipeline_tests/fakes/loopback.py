"""What servers on loopback share: a recording layer in front of each, and processes that end with the tests."""

from __future__ import annotations

import atexit
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import TCPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

from werkzeug import Request, Response
from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

SETUP_AGENT = "test-setup"
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "expect"}
_START_SECONDS = 30


class Front:
    """A WSGI layer that records each request, then refuses it or hands it to the server behind."""

    def __init__(self, behind: WSGIApplication) -> None:
        self.behind = behind
        self.seen: list[tuple[str, str]] = []
        self.refusal: Callable[[Request], Response | None] = lambda _: None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Any:
        request = Request(environ)
        if SETUP_AGENT not in request.user_agent.string:
            self.seen.append((request.method, environ["RAW_URI"]))
        refusal = self.refusal(request)
        return (self.behind if refusal is None else refusal)(environ, start_response)


@dataclass
class Served:
    """What the three servers share: the record of requests."""

    _front: Front = field(repr=False)

    def requests(self) -> list[tuple[str, str]]:
        """Return (method, path) of each request so far; paths are as sent: percent-encoded, with query.

        Requests made by the set-up methods of the server object itself (`put`, `delete`, ...) are left
        out, so what is here was sent by the code under test.
        """
        return list(self._front.seen)

    def forget_requests(self) -> None:
        """Empty the record of requests."""
        self._front.seen.clear()


class _QuietHandler(WSGIRequestHandler):
    """A request handler without a log line per request."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Print nothing."""


@contextmanager
def listening(app: WSGIApplication) -> Iterator[str]:
    """Serve a WSGI app on a free loopback port by threads of this process; yield its base URL."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_QuietHandler)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        thread.join()

    # A generator left open is closed at exit after the threads have been frozen: too late to stop them.
    atexit.register(stop)
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        stop()
        atexit.unregister(stop)


@contextmanager
def running(server: TCPServer) -> Iterator[None]:
    """Serves in a thread until the end."""
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answering(
    answer: Callable[[BaseHTTPRequestHandler, bytes], tuple[int, object]],
) -> type[BaseHTTPRequestHandler]:
    """A handler that answers GET and POST in JSON. answer: of the request and its body, gives status and content."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

        def do_GET(self) -> None:
            status, content = answer(self, self.rfile.read(int(self.headers.get("Content-Length", 0))))
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

    return Handler


def forward_to(port: int) -> WSGIApplication:
    """Return a WSGI app that hands each request unchanged to the server on a loopback port."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        request = Request(environ)
        headers = {name: value for name, value in request.headers if name.lower() not in _HOP_BY_HOP}
        status, answered, body = exchange(port, request.method, environ["RAW_URI"], request.get_data() or None, headers)
        start_response(status, [(n, v) for n, v in answered if n.lower() not in _HOP_BY_HOP])
        return [body]

    return app


def exchange(
    port: int, method: str, target: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[str, list[tuple[str, str]], bytes]:
    """Send one request to a loopback port; return the status line's end, the headers and the body."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, target, body, dict(headers or {}))
        answer = connection.getresponse()
        return f"{answer.status} {answer.reason}", answer.getheaders(), answer.read()
    finally:
        connection.close()


# Runs the server until SIGTERM or until stdin ends. Only the test process holds stdin's other end, so
# the server stops with it however it ends: a normal exit, SIGTERM or SIGKILL.
_SUPERVISOR = """
import os, signal, subprocess, sys, threading
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
threading.Thread(target=lambda: os._exit(server.wait() and 1), daemon=True).start()
try:
    sys.stdin.read()
finally:
    server.terminate()
    try:
        server.wait(5)
    except subprocess.TimeoutExpired:
        server.kill()
"""


@contextmanager
def process_with_port(command: Sequence[str], ready: str, environment: Mapping[str, str]) -> Iterator[int]:
    """Run a server process; yield its port, which group 1 of the regex `ready` finds in its output.

    Raises RuntimeError with the process's output when it ends or stays silent instead.
    """
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "output.log").open("w+b") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", _SUPERVISOR, *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, **environment},
            start_new_session=True,  # Ctrl-C reaches the tests only, which then stop the server
        )
        try:
            yield _port_when_ready(process, Path(output.name), ready)
        finally:
            process.terminate()
            process.communicate()  # closes stdin, and waits


def _port_when_ready(process: subprocess.Popen[bytes], output: Path, ready: str) -> int:
    """Wait until a server process reports its port."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        ended = process.poll() is not None or time.monotonic() > deadline
        text = output.read_text(errors="replace")
        if found := re.search(ready, text):
            return int(found[1])
        if ended:
            raise RuntimeError(f"{process.args[3]} did not start:\n{text}")
        time.sleep(0.02)


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
