"""Microsoft Entra ID on loopback, at its own name: a proxy leads login.microsoftonline.com here, over TLS.

Gives access tokens to a service principal with its secret and to a workload with its federated token, and to a managed
identity by the endpoint that App Service has. As with the real ones, whoever has a token may still lack the role;
Azurite with OAuth, which takes these tokens, checks audience, issuer and times, and knows no roles and no signatures.
"""

from __future__ import annotations

import base64
import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from urllib.parse import parse_qs

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

LOGIN = "login.microsoftonline.com"
TENANT = "5f6a3b0e-7c1d-4d2e-9b8a-1c2d3e4f5a6b"
CLIENT = "0c9d8e7f-1a2b-4c3d-8e9f-a0b1c2d3e4f5"


@dataclass
class EntraId:
    """proxy: for HTTPS_PROXY. certificate: of the authority to trust. asked: what each token was asked for with."""

    client_secret: str
    federated_token: str
    certificate: Path
    key: Path
    proxy: str = ""
    identity_endpoint: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)

    def token(self, asked: dict[str, str]) -> tuple[int, dict[str, object]]:
        """Answers the token endpoint of the tenant."""
        self.asked.append(asked)
        if asked.get("client_assertion") == self.federated_token or asked.get("client_secret") == self.client_secret:
            return 200, {"token_type": "Bearer", "expires_in": 3600, "access_token": _access_token()}
        return 401, {
            "error": "invalid_client",
            "error_description": f"AADSTS7000215: Invalid client secret provided for app '{asked['client_id']}'.",
        }

    def get(self, path: str) -> dict[str, object]:
        """Answers the documents that say where the tenant's endpoints are, and the managed identity's endpoint."""
        if path.startswith("/msi/token"):
            self.asked.append({name: values[0] for name, values in parse_qs(path.partition("?")[2]).items()})
            return {"access_token": _access_token(), "expires_on": str(int(time.time()) + 3600), "token_type": "Bearer"}
        tenant = f"https://{LOGIN}/{TENANT}"
        if path.startswith("/common/discovery/instance"):
            known = {"preferred_network": LOGIN, "preferred_cache": LOGIN, "aliases": [LOGIN]}
            place = f"{tenant}/v2.0/.well-known/openid-configuration"
            return {"tenant_discovery_endpoint": place, "api-version": "1.1", "metadata": [known]}
        return {
            "token_endpoint": f"{tenant}/oauth2/v2.0/token",
            "authorization_endpoint": f"{tenant}/oauth2/v2.0/authorize",
            "issuer": f"{tenant}/v2.0",
        }


@contextmanager
def entra_id(folder: Path, client_secret: str, federated_token: str) -> Iterator[EntraId]:
    """Serves it until the end; the certificate and its key are written into the folder."""
    certificate, key = folder / "authority.pem", folder / "authority.key"
    _write_certificate(certificate, key)
    entra = EntraId(client_secret, federated_token, certificate, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    login = ThreadingHTTPServer(("127.0.0.1", 0), _handler(entra))
    login.socket = context.wrap_socket(login.socket, server_side=True)
    identity = ThreadingHTTPServer(("127.0.0.1", 0), _handler(entra))
    proxy = _Proxy(login.server_port)
    entra.proxy = f"http://127.0.0.1:{proxy.server_address[1]}"
    entra.identity_endpoint = f"http://127.0.0.1:{identity.server_port}/msi/token"
    servers = (login, identity, proxy)
    threads = [Thread(target=server.serve_forever, args=(0.05,), daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield entra
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()


def _handler(entra: EntraId) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

        def do_GET(self) -> None:
            self._answer(200, entra.get(self.path))

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
            self._answer(*entra.token({name: values[0] for name, values in form.items()}))

        def _answer(self, status: int, body: dict[str, object]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler


class _Proxy(ThreadingTCPServer):
    """Leads every CONNECT to one loopback port, whatever host it asks for, and lets nothing else out."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        self.port = port
        super().__init__(("127.0.0.1", 0), _Tunnel)


class _Tunnel(StreamRequestHandler):
    def handle(self) -> None:
        while self.rfile.readline().strip():
            pass
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with socket.create_connection(("127.0.0.1", self.server.port)) as behind:
            back = Thread(target=_copy, args=(behind, self.connection), daemon=True)
            back.start()
            _copy(self.connection, behind)
            back.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return  # the other side has hung up: the end of this connection


def _access_token() -> str:
    now = int(time.time())
    claims = {
        "aud": "https://storage.azure.com",
        "iss": f"https://sts.windows.net/{TENANT}/",
        "iat": now - 60,
        "nbf": now - 60,
        "exp": now + 3600,
        "appid": CLIENT,
        "tid": TENANT,
    }
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256", "typ": "JWT"}, claims)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (*parts, b"unchecked"))


def _write_certificate(certificate: Path, key: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "focus_pipeline tests")])
    now = datetime.now(UTC)
    names = [x509.DNSName(LOGIN), x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
