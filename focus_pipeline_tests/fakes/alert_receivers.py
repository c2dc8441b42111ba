"""What alerts are sent to, live on loopback: an HTTP endpoint and an SMTP server that can be told to fail."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from focus_pipeline_tests.fakes.loopback import free_port, running


@dataclass
class WebHook:
    """answers: statuses of the next requests; 200 after that. taken: the JSON of what was answered with 200.

    asked: paths of all requests. ids: the X-Alert-Id of what was taken. before: called before each answer.
    """

    port: int = 0
    answers: list[int] = field(default_factory=list)
    taken: list[dict] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    ids: list[str | None] = field(default_factory=list)
    before: Callable[[], None] = lambda: None

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.port}/hook"

    @property
    def titles(self) -> list[str]:
        return [one["title"] for one in self.taken]


@contextmanager
def web_hook() -> Iterator[WebHook]:
    """An HTTP endpoint; see WebHook."""
    hook = WebHook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            hook.asked.append(self.path)
            hook.before()
            status = hook.answers.pop(0) if hook.answers else 200
            if status == 200:
                hook.taken.append(json.loads(content))
                hook.ids.append(self.headers["X-Alert-Id"])
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, running(server):
        hook.port = server.server_port
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
    server = MailServer()
    server.port = free_port()
    controller = Controller(server, hostname="127.0.0.1", port=server.port)
    controller.start()
    try:
        yield server
    finally:
        controller.stop()
