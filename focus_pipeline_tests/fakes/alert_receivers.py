"""What alerts are sent to, live on loopback: an HTTP endpoint and an SMTP server that can be told to fail, and Slack
and Teams at their own names.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from focus_pipeline_tests.fakes.behind_proxy import BehindProxy, behind_proxy
from focus_pipeline_tests.fakes.loopback import free_port, running


@dataclass
class WebHook:
    """answers: statuses of the next requests; 200 after that. taken: the JSON of what was answered with 200.

    asked: paths of all requests. ids: the X-Alert-Id of what was taken. before: called before each answer. place: where
    requests to its name are led to.
    """

    port: int = 0
    answers: list[int] = field(default_factory=list)
    taken: list[dict] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    ids: list[str | None] = field(default_factory=list)
    before: Callable[[], object] = lambda: None
    place: BehindProxy | None = None

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/hook"

    @property
    def titles(self) -> list[str]:
        return [one["title"] for one in self.taken]

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """Answers POST as Slack does: with ok, and not in JSON."""
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: object) -> None:
                """Print nothing."""

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.asked.append(self.path)
                hook.before()
                status = hook.answers.pop(0) if hook.answers else 200
                if status == 200:
                    hook.taken.append(json.loads(body))
                    hook.ids.append(self.headers["X-Alert-Id"])
                self.send_response(status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

        return Handler


@contextmanager
def web_hook() -> Iterator[WebHook]:
    hook = WebHook()
    with ThreadingHTTPServer(("127.0.0.1", 0), hook.handler()) as server, running(server):
        hook.port = server.server_port
        yield hook


@contextmanager
def web_hook_named(host: str, folder: Path) -> Iterator[WebHook]:
    """At its own name, over TLS; the certificate and its key are written into the folder."""
    hook = WebHook()
    with behind_proxy(hook.handler(), host, folder) as hook.place:
        yield hook


@dataclass
class MailServer:
    """refuses: how many of the next mails are refused. taken: what was taken, in order."""

    port: int = 0
    refuses: int = 0
    taken: list[EmailMessage] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"mailto://127.0.0.1:{self.port}?from=dagster@example.com&to=finops@example.com"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.refuses:
            self.refuses -= 1
            return "451 not now"
        self.taken.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 taken"


@contextmanager
def mail_server() -> Iterator[MailServer]:
    server = MailServer(free_port())
    controller = Controller(server, hostname="127.0.0.1", port=server.port)
    controller.start()
    try:
        yield server
    finally:
        controller.stop()
