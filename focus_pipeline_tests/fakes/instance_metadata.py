"""The metadata service of an EC2 instance (IMDSv2) on loopback: gives the instance role's credentials."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from focus_pipeline_tests.fakes.loopback import running

_TOKEN = "imds-session-token"
_ROLES = "/latest/meta-data/iam/security-credentials/"


@contextmanager
def instance_metadata(role: str, credentials: Mapping) -> Iterator[str]:
    """Serve credentials, as an answer of STS has them, of the role attached to the instance; yield the address.

    As the real service with IMDSv1 switched off, it answers only requests with the token that a PUT gives.
    """
    document = {
        "Code": "Success",
        "Type": "AWS-HMAC",
        "AccessKeyId": credentials["AccessKeyId"],
        "SecretAccessKey": credentials["SecretAccessKey"],
        "Token": credentials["SessionToken"],
        "Expiration": credentials["Expiration"].strftime("%Y-%m-%dT%H:%M:%SZ"),
    }

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

        def do_PUT(self) -> None:
            self._answer(_TOKEN if self.path == "/latest/api/token" else None)

        def do_GET(self) -> None:
            if self.headers.get("x-aws-ec2-metadata-token") != _TOKEN:
                self.send_error(401)
                return
            self._answer({_ROLES: role, f"{_ROLES}{role}": json.dumps(document)}.get(self.path))

        def _answer(self, text: str | None) -> None:
            if text is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    with running(server):
        yield f"http://127.0.0.1:{server.server_port}/"
