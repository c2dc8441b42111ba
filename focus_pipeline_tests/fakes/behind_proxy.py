"""Services that are known by name on the internet, on loopback: a proxy leads their names to a TLS server here."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from focus_pipeline_tests.fakes.loopback import running


@dataclass(frozen=True)
class BehindProxy:
    """proxy: for HTTPS_PROXY. certificate: of the authority to trust; key: of the certificate."""

    proxy: str
    certificate: Path
    key: Path

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Leads this process's requests for https:// there, but for those to loopback addresses."""
        monkeypatch.setenv("HTTPS_PROXY", self.proxy)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(self.certificate))


@contextmanager
def behind_proxy(handler: type[BaseHTTPRequestHandler], host: str, folder: Path) -> Iterator[BehindProxy]:
    """Serves the host until the end; the certificate and its key are written into the folder."""
    certificate, key = folder / "authority.pem", folder / "authority.key"
    _write_certificate(host, certificate, key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    proxy = _Proxy(server.server_port)
    with running(server), running(proxy):
        yield BehindProxy(f"http://127.0.0.1:{proxy.server_address[1]}", certificate, key)


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


def _write_certificate(host: str, certificate: Path, key: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "focus_pipeline tests")])
    now = datetime.now(UTC)
    names = [x509.DNSName(host), x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
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
