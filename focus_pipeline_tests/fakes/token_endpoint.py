"""Google's OAuth token endpoint on loopback: gives an access token for what a service account's key has signed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from focus_pipeline_tests.fakes.loopback import answering, running


@contextmanager
def token_endpoint(access_token: str | None) -> Iterator[str]:
    """Serve this token to every caller; None: refuse, as for an account that was deleted. Yield the address."""

    def answer(request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, object]:
        if access_token is None:
            return 400, {"error": "invalid_grant", "error_description": "Invalid grant: account not found"}
        return 200, {"access_token": access_token, "expires_in": 3600, "token_type": "Bearer"}

    server = ThreadingHTTPServer(("127.0.0.1", 0), answering(answer))
    with running(server):
        yield f"http://127.0.0.1:{server.server_port}/token"
