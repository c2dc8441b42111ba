"""The metadata service of an EC2 instance (IMDSv2) on loopback: gives the instance role's credentials."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

_TOKEN = "imds-session-token"
_ROLES = "/latest/meta-data/iam/security-credentials/"


@contextmanager
def instance_metadata(role: str, access_key_id: str, secret_access_key: str) -> Iterator[str]:
    """Serve the credentials of the role attached to the instance; yield the address.

    As the real service with IMDSv1 switched off, it answers only requests with the token that a PUT gives.
    """
    credentials = {
        "Code": "Success",
        "Type": "AWS-HMAC",
        "AccessKeyId": access_key_id,
        "SecretAccessKey": secret_access_key,
        "Token": "instance-session-token",
        "Expiration": (datetime.now(UTC) + timedelta(hours=6)).strftime("%Y-%m-%dT%H:%M:%SZ"),
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
            self._answer({_ROLES: role, f"{_ROLES}{role}": json.dumps(credentials)}.get(self.path))

        def _answer(self, text: str | None) -> None:
            if text is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
