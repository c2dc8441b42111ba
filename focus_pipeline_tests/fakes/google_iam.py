"""Google's IAM Credentials API at its own name: gives access tokens of a service account to who may impersonate it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from focus_pipeline_tests.fakes.behind_proxy import BehindProxy, behind_proxy
from focus_pipeline_tests.fakes.loopback import answering


@dataclass
class GoogleIam:
    """may_impersonate: access token of the caller -> account. given: the account's own token."""

    may_impersonate: dict[str, str]
    given: str
    place: BehindProxy | None = None
    asked: list[str] = field(default_factory=list)

    def answer(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, object]]:
        account = re.fullmatch(r"/v1/projects/-/serviceAccounts/(.+):generateAccessToken", request.path)
        if account is None:
            return 404, {"error": {"code": 404, "message": "Not found", "status": "NOT_FOUND"}}
        self.asked.append(account[1])
        if self.may_impersonate.get(request.headers.get("authorization", "").removeprefix("Bearer ")) == account[1]:
            return 200, {
                "accessToken": self.given,
                "expireTime": f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
            }
        message = "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist)."
        return 403, {"error": {"code": 403, "message": message, "status": "PERMISSION_DENIED"}}


@contextmanager
def google_iam(folder: Path, may_impersonate: dict[str, str], given: str) -> Iterator[GoogleIam]:
    """Serves it until the end; its certificate is written into the folder."""
    iam = GoogleIam(may_impersonate, given)
    with behind_proxy(answering(iam.answer), "iamcredentials.googleapis.com", folder) as iam.place:
        yield iam
