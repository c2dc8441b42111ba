"""Microsoft Entra ID on loopback, at its own name: a proxy leads login.microsoftonline.com here, over TLS.

Gives access tokens to a service principal with its secret and to a workload with its federated token, and to a managed
identity by the endpoint that App Service has. As with the real ones, whoever has a token may still lack the role;
Azurite with OAuth, which takes these tokens, checks audience, issuer and times, and knows no roles and no signatures.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

from focus_pipeline_tests.fakes.behind_proxy import BehindProxy, behind_proxy
from focus_pipeline_tests.fakes.loopback import answering, running

LOGIN = "login.microsoftonline.com"
TENANT = "5f6a3b0e-7c1d-4d2e-9b8a-1c2d3e4f5a6b"
CLIENT = "0c9d8e7f-1a2b-4c3d-8e9f-a0b1c2d3e4f5"


@dataclass
class EntraId:
    """place: where it is led to. identity_endpoint: of the managed identity. asked: with what tokens were asked for."""

    client_secret: str
    federated_token: str
    place: BehindProxy | None = None
    identity_endpoint: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)

    def answer(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, object]]:
        if request.command == "GET":
            return 200, self.get(request.path)
        return self.token({name: values[0] for name, values in parse_qs(body.decode()).items()})

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
    entra = EntraId(client_secret, federated_token)
    identity = ThreadingHTTPServer(("127.0.0.1", 0), answering(entra.answer))
    entra.identity_endpoint = f"http://127.0.0.1:{identity.server_port}/msi/token"
    with behind_proxy(answering(entra.answer), LOGIN, folder) as entra.place, running(identity):
        yield entra


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
