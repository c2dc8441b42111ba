"""Google's OAuth token endpoint on loopback: gives an access token for what a service account's key has signed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@contextmanager
def token_endpoint(access_token: str | None) -> Iterator[str]:
    """Serve this token to every caller; None: refuse, as for an account that was deleted. Yield the address."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            answer = {"error": "invalid_grant", "error_description": "Invalid grant: account not found"}
            if access_token is not None:
                answer = {"access_token": access_token, "expires_in": 3600, "token_type": "Bearer"}
            self.send_response(400 if access_token is None else 200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/token"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
