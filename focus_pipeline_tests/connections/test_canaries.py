"""Every way to be let in, times every way to fail: no secret is in an error, in what it was made from, or in the log.

Errors are looked at as they leave a step, a sensor or a command (`named_failures`); the log at DEBUG, of all libraries.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pytest
from cryptography.hazmat.primitives import serialization

from focus_pipeline.components.ingestion import named_failures
from focus_pipeline.connections.auth import Auth, AzureAuth, GoogleAuth, OciAuth, S3Auth, resolved
from focus_pipeline.connections.delivery import Connection
from focus_pipeline.connections.gcp_bigquery_export import GcpBigQueryExport
from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline_tests.connections.secrets_kept import assert_holds_none, everything_said
from focus_pipeline_tests.fakes.behind_proxy import behind_proxy
from focus_pipeline_tests.fakes.entra_id import CLIENT, LOGIN, TENANT
from focus_pipeline_tests.fakes.odd_server import (
    ECHOES,
    Answer,
    Asked,
    OddServer,
    html,
    no_markup,
    odd_handler,
    odd_server,
)
from focus_pipeline_tests.fakes.token_endpoint import token_endpoint

NOWHERE = "http://127.0.0.1:9"


def refusal(asked: Asked) -> Answer:
    """As the provider refuses, in its own form."""
    if asked.target.startswith(("/storage", "/bigquery", "/download", "/n/", "/token", "/v1/")):
        error = {"code": 403, "message": "no", "status": "PERMISSION_DENIED", "errors": [{"reason": "forbidden"}]}
        return Answer(403, json.dumps({"error": error, "code": "NotAuthenticated"}).encode(), "application/json")
    return Answer(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>", "application/xml")


# None: nothing listens there.
FAILURES: dict[str, Callable[[Asked], Answer] | None] = {
    "refused": refusal,
    "unreachable": None,
    "HTML": html,
    "no markup": no_markup,
    **ECHOES,
}
TYPICAL = ("an echo in XML",)


@dataclass
class Way:
    """A way to be let in. canaries: what must not turn up. connection: made of the address of the server."""

    canaries: list[str]
    connection: Callable[[str], Connection]
    entered: ExitStack = field(default_factory=ExitStack)


@dataclass(frozen=True)
class Machine:
    """What the ways are set up with."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    private_key: str
    answer: Callable[[Asked], Answer] | None
    stack: ExitStack

    def env(self, **values: str) -> None:
        for name, value in values.items():
            self.monkeypatch.setenv(name, value)

    def lead(self, host: str) -> None:
        """Leads a host of the internet to the server that fails, or nowhere."""
        if self.answer is None:
            self.env(HTTPS_PROXY=NOWHERE, NO_PROXY="127.0.0.1")
        else:
            place = behind_proxy(odd_handler(OddServer(), self.answer), host, self.folder)
            self.stack.enter_context(place).use(self.monkeypatch)


def folders(url: str, auth: Auth | None) -> Callable[[str], Connection]:
    return lambda endpoint: MonthFolders("acme", url, auth, endpoint)


def s3_keys(machine: Machine) -> Way:
    key, secret = "AKIACANARYKEYS000001", "canary/Secret+of=Keys/000001"
    machine.env(ACME_KEY=key, ACME_SECRET=secret)
    auth = resolved(S3Auth(access_key_id="{{ env.ACME_KEY }}", secret_access_key="{{ env.ACME_SECRET }}"))
    return Way([key, secret], folders("s3://acme-billing/", auth))


def s3_session_token(machine: Machine) -> Way:
    given = ["AKIACANARYTOKEN00002", "canary/Secret+of=Token/000002", "canary//Session+Token==/000002/" + "t" * 300]
    auth = S3Auth(access_key_id=given[0], secret_access_key=given[1], session_token=given[2])
    return Way(given, folders("s3://acme-billing/", auth))


def s3_profile(machine: Machine) -> Way:
    given = ["AKIACANARYPROFILE003", "canary/Secret+of=Profile/0003", "canary//Session+of=Profile/0003"]
    (machine.folder / "credentials").write_text(
        f"[canary]\naws_access_key_id={given[0]}\naws_secret_access_key={given[1]}\naws_session_token={given[2]}\n"
    )
    machine.env(AWS_SHARED_CREDENTIALS_FILE=str(machine.folder / "credentials"))
    return Way(given, folders("s3://acme-billing/", S3Auth(profile="canary")))


def s3_environment(machine: Machine) -> Way:
    given = ["AKIACANARYCHAIN00004", "canary/Secret+of=Chain/000004", "canary//Session+of=Chain/000004"]
    machine.env(AWS_ACCESS_KEY_ID=given[0], AWS_SECRET_ACCESS_KEY=given[1], AWS_SESSION_TOKEN=given[2])
    return Way(given, folders("s3://acme-billing/", None))


def s3_role(machine: Machine) -> Way:
    given = ["AKIACANARYROLE000005", "canary/Secret+of=Role/0000005", "canary-external-id:0000005"]
    auth = S3Auth(
        access_key_id=given[0],
        secret_access_key=given[1],
        external_id=given[2],
        role_arn="arn:aws:iam::123456789012:role/FocusReader",
    )
    return Way(given, folders("s3://acme-billing/", auth))


def s3_assumed_role(machine: Machine) -> Way:
    """The role is given, and what it is used for fails: the credentials came from a server."""
    temporary = ["ASIACANARYGIVEN00006", "canary/Secret+given=/00000006", "canary//Token+given==/0000006"]
    body = (
        "<AssumeRoleResponse><AssumeRoleResult><Credentials>"
        f"<AccessKeyId>{temporary[0]}</AccessKeyId><SecretAccessKey>{temporary[1]}</SecretAccessKey>"
        f"<SessionToken>{temporary[2]}</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>"
        "</Credentials></AssumeRoleResult></AssumeRoleResponse>"
    )
    sts = machine.stack.enter_context(odd_server(lambda asked: Answer(200, body.encode(), "text/xml")))
    auth = S3Auth(
        access_key_id="AKIACANARYSTS0000006",
        secret_access_key="canary/Secret+of=Sts/00000006",
        role_arn="arn:aws:iam::123456789012:role/FocusReader",
        sts_endpoint_url=sts.url,
    )
    return Way([*temporary, auth.secret_access_key], folders("s3://acme-billing/", auth))


def azure_sas(machine: Machine) -> Way:
    signature = "canary%2FSignature%2Bof%3DSas0007%3D"
    auth = AzureAuth(account_name="acme", sas_token=f"sv=2024-08-04&se=2030-01-01&sr=c&sp=rl&sig={signature}")
    return Way([signature, auth.sas_token], folders("az://exports/", auth))


def azure_key(machine: Machine) -> Way:
    key = base64.b64encode(b"canary of an account key, 64 bytes of it or nearly so 00000008").decode()
    return Way([key], folders("az://exports/", AzureAuth(account_name="acme", account_key=key)))


def azure_service_principal(machine: Machine) -> Way:
    secret = "canary8Q~secret.of-a_principal~009"
    machine.lead(LOGIN)
    auth = AzureAuth(account_name="acme", tenant_id=TENANT, client_id=CLIENT, client_secret=secret)
    return Way([secret], folders("az://exports/", auth))


def of_key(machine: Machine, token_uri: str) -> str:
    account = "reader@acme.iam.gserviceaccount.com"
    key = {"type": "service_account", "private_key_id": "canary0010privatekeyid", "client_email": account}
    return json.dumps(key | {"private_key": machine.private_key, "token_uri": token_uri})


def pem_lines(machine: Machine) -> list[str]:
    return machine.private_key.split("\n")[1:-2]


def google_key(machine: Machine) -> Way:
    """The token is given, and what it is used for fails."""
    uri = machine.stack.enter_context(token_endpoint("ya29.canary-access-token-0011"))
    auth = GoogleAuth(service_account_key=of_key(machine, uri))
    return Way(["ya29.canary-access-token-0011", *pem_lines(machine)], folders("gs://acme-billing/", auth))


def google_file(machine: Machine) -> Way:
    """Already the token is not given."""
    path = machine.folder / "key.json"
    canaries = pem_lines(machine)

    def connection(endpoint: str) -> Connection:
        path.write_text(of_key(machine, f"{endpoint}/token"))
        return MonthFolders("acme", "gs://acme-billing/", GoogleAuth(service_account_file=str(path)), endpoint)

    return Way(canaries, connection)


def google_impersonation(machine: Machine) -> Way:
    uri = machine.stack.enter_context(token_endpoint("ya29.canary-source-token-0013"))
    machine.lead("iamcredentials.googleapis.com")
    auth = GoogleAuth(
        service_account_key=of_key(machine, uri), impersonate_service_account="focus@acme.iam.gserviceaccount.com"
    )
    return Way(["ya29.canary-source-token-0013", *pem_lines(machine)], folders("gs://acme-billing/", auth))


def bigquery_key(machine: Machine) -> Way:
    uri = machine.stack.enter_context(token_endpoint("ya29.canary-access-token-0014"))
    auth = GoogleAuth(service_account_key=of_key(machine, uri))
    canaries = ["ya29.canary-access-token-0014", *pem_lines(machine)]
    return Way(canaries, lambda at: GcpBigQueryExport("acme", "p", "d", "t", auth=auth, endpoint_url=at))


def oci_key(machine: Machine) -> Way:
    pytest.importorskip("oci", reason="Oracle's SDK is not installed: the extra `oci`")
    phrase = "canary of a pass phrase 0015"
    loaded = serialization.load_pem_private_key(machine.private_key.encode(), None)
    pem = loaded.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.BestAvailableEncryption(phrase.encode()),
    )
    (machine.folder / "key.pem").write_bytes(pem)
    (machine.folder / "config").write_text(
        f"[DEFAULT]\nuser=ocid1.user.oc1..reader\nfingerprint={':'.join(['3b'] * 16)}\n"
        f"tenancy=ocid1.tenancy.oc1..example\nregion=eu-frankfurt-1\nkey_file={machine.folder / 'key.pem'}\n"
        f"pass_phrase={phrase}\n"
    )
    auth = OciAuth(config_file=str(machine.folder / "config"))
    return Way([phrase, *pem.decode().split("\n")[4:-2]], folders("oci://acme@bling/", auth))


WAYS = (
    s3_keys,
    s3_session_token,
    s3_profile,
    s3_environment,
    s3_role,
    s3_assumed_role,
    azure_sas,
    azure_key,
    azure_service_principal,
    google_key,
    google_file,
    google_impersonation,
    bigquery_key,
    oci_key,
)
# Of several that need a proxy, a second library or half a second for their key.
SLOW = (azure_service_principal, google_file, google_impersonation, bigquery_key, oci_key)


def every_case() -> Iterator[object]:
    for way in WAYS:
        for name, answer in FAILURES.items():
            slow = way in SLOW or name not in TYPICAL
            yield pytest.param(way, answer, id=f"{way.__name__}-{name}", marks=pytest.mark.slow if slow else ())


@pytest.mark.parametrize(("way", "answer"), list(every_case()))
def test_no_way_to_fail_shows_a_secret_of_any_way_to_be_let_in(
    way: Callable[[Machine], Way],
    answer: Callable[[Asked], Answer] | None,
    private_key: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    caplog.set_level(logging.DEBUG)
    with ExitStack() as stack:
        made = way(Machine(tmp_path, monkeypatch, private_key, answer, stack))
        endpoint = NOWHERE if answer is None else stack.enter_context(odd_server(answer)).url
        connection = made.connection(endpoint)
        with pytest.raises(dg.Failure) as failed, named_failures("acme", "2025-03"):
            connection.discover(["2025-03"])
    assert failed.value.description.startswith("acme 2025-03: ")
    for text in (everything_said(failed.value), repr(connection), str(connection), caplog.text, *capfd.readouterr()):
        assert_holds_none(text, *made.canaries)


@pytest.mark.parametrize("name", ["AWS_SESSION_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"])
@pytest.mark.parametrize("character", ["\n", "\r\n ", "\x01", "\t", "é"])
def test_a_default_chain_s_secret_that_cannot_be_sent_is_named_and_not_sent(
    name: str, character: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The library would quote it: `Invalid header value b'…'`."""
    caplog.set_level(logging.DEBUG)
    canary = f"canary-first-half{character}canary-other-half"
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(variable, canary if variable == name else "harmless-value-of-the-chain")
    with odd_server(refusal) as odd:
        with pytest.raises(dg.Failure, match="holds a line break or another character") as failed:
            with named_failures("acme", "2025-03"):
                MonthFolders("acme", "s3://acme-billing/", None, odd.url).discover()
        assert not odd.seen
    what = {"AWS_SESSION_TOKEN": "token", "AWS_SECRET_ACCESS_KEY": "secret key", "AWS_ACCESS_KEY_ID": "access key"}
    assert f"the {what[name]} of the default credentials of this machine (env)" in failed.value.description
    assert_holds_none(everything_said(failed.value) + caplog.text, "canary-first-half", "canary-other-half")
