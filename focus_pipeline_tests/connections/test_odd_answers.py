"""Whatever answers in a provider's place, it ends as a sentence with the place and what to do, and in bounded time.

A captive portal, a proxy's page, a wrong port: none of it is taken for an empty month, and none of it is a riddle.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from focus_pipeline.connections.auth import Auth, AzureAuth, GoogleAuth, OciAuth, S3Auth
from focus_pipeline.connections.aws_account_exports import focus_exports
from focus_pipeline.connections.delivery import StoredObject
from focus_pipeline.connections.gcp_bigquery_export import GcpBigQueryExport
from focus_pipeline.connections.store_errors import AccessDenied, StoreError
from focus_pipeline.connections.store_urls import open_store
from focus_pipeline_tests.fakes.behind_proxy import BehindProxy, behind_proxy
from focus_pipeline_tests.fakes.entra_id import CLIENT, LOGIN, TENANT
from focus_pipeline_tests.fakes.odd_server import ECHOES, ODD, Answer, Asked, OddServer, odd_handler, odd_server
from focus_pipeline_tests.fakes.token_endpoint import token_endpoint

ANSWERS = {**ODD, **ECHOES}
# The others behave like one of these; all are tried by `make test`.
TYPICAL = ("HTML", "nothing")
KEYS = {"access_key_id": "AKIAEXAMPLE", "secret_access_key": "unchecked"}
ROLE = "arn:aws:iam::123456789012:role/FocusReader"
READER = "focus-reader@acme.iam.gserviceaccount.com"
ITEM = StoredObject("2025-03/x.csv", "1", 5, datetime(2025, 3, 1, tzinfo=UTC))

Try = Callable[[str, Path], object]


def every_answer(fast: tuple[str, ...] = TYPICAL) -> pytest.MarkDecorator:
    """A test of every odd answer; those that are not fast are left to `make test`."""
    cases = [
        pytest.param(answer, id=name, marks=() if name in fast else pytest.mark.slow)
        for name, answer in ANSWERS.items()
    ]
    return pytest.mark.parametrize("answer", cases)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)


@pytest.fixture(scope="session")
def oci_auth(tmp_path_factory: pytest.TempPathFactory, private_key: str) -> OciAuth:
    pytest.importorskip("oci", reason="Oracle's SDK is not installed: the extra `oci`")
    folder = tmp_path_factory.mktemp("oci")
    (folder / "key.pem").write_text(private_key)
    (folder / "config").write_text(
        f"[DEFAULT]\nuser=ocid1.user.oc1..reader\nfingerprint={':'.join(['3b'] * 16)}\n"
        f"tenancy=ocid1.tenancy.oc1..example\nregion=eu-frankfurt-1\nkey_file={folder / 'key.pem'}\n"
    )
    return OciAuth(config_file=str(folder / "config"))


STORES: dict[str, tuple[str, Auth | None]] = {
    "S3": ("s3://acme-billing/", S3Auth(**KEYS)),
    "Azure": ("az://exports/", AzureAuth(account_name="acme", sas_token="sv=2024&sig=unchecked")),
    "Google": ("gs://acme-billing/", None),
    "Oracle": ("oci://acme@bling/", None),
}


def refused(attempt: Callable[[], object]) -> str:
    with pytest.raises(StoreError) as error:
        attempt()
    said = str(error.value)
    assert said.isprintable(), "what a server says is shown, not obeyed"
    assert len(said) < 900
    assert any(word in said.lower() for word in ("check ", "grant ", "give ")), said
    return said


@every_answer()
@pytest.mark.parametrize("store", ["S3", "Azure", "Google", pytest.param("Oracle", marks=pytest.mark.slow)])
def test_no_answer_of_something_else_is_taken_for_a_listing(
    store: str, answer: Callable[[Asked], Answer], request: pytest.FixtureRequest
) -> None:
    """Above all not for an empty one: a month without files is emptied in the table."""
    url, auth = STORES[store]
    auth = request.getfixturevalue("oci_auth") if store == "Oracle" else auth
    with odd_server(answer) as odd:
        for attempt in (
            lambda: list(open_store(url, auth, odd.url)[0].list("2025-03/")),
            lambda: open_store(url, auth, odd.url)[0].list_level("2025-03/"),
        ):
            said = refused(attempt)
            assert "2025-03/" in said
    assert len(odd.seen) < 400


@every_answer()
@pytest.mark.parametrize("store", ["S3", "Azure", "Google", pytest.param("Oracle", marks=pytest.mark.slow)])
def test_no_answer_of_something_else_is_taken_for_a_file(
    store: str, answer: Callable[[Asked], Answer], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    url, auth = STORES[store]
    auth = request.getfixturevalue("oci_auth") if store == "Oracle" else auth
    with odd_server(answer) as odd:
        said = refused(lambda: open_store(url, auth, odd.url)[0].download(ITEM, tmp_path / "x.csv"))
    assert "2025-03/x.csv" in said


@every_answer()
def test_an_unexpected_answer_of_sts_names_the_role(answer: Callable[[Asked], Answer]) -> None:
    with odd_server(answer) as odd:
        auth = S3Auth(**KEYS, role_arn=ROLE, external_id="external-id", sts_endpoint_url=odd.url)
        said = refused(lambda: open_store("s3://acme-billing/", auth, "http://127.0.0.1:9"))
    assert f"s3://acme-billing the role {ROLE} cannot be assumed" in said


@pytest.mark.parametrize(
    "credentials",
    [
        "",
        "<Credentials/>",
        "<Credentials><AccessKeyId>A</AccessKeyId></Credentials>",
        "<Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>B</SecretAccessKey><SessionToken>C</SessionToken>"
        "<Expiration>never</Expiration></Credentials>",
        "<Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>B</SecretAccessKey><SessionToken>C</SessionToken>"
        "<Expiration>2001-01-01T00:00:00Z</Expiration></Credentials>",
    ],
    ids=["none", "empty", "half of them", "no date", "ended long ago"],
)
def test_credentials_of_sts_that_cannot_be_used_are_told(credentials: str) -> None:
    body = f"<AssumeRoleResponse><AssumeRoleResult>{credentials}</AssumeRoleResult></AssumeRoleResponse>"
    with odd_server(lambda asked: Answer(200, body.encode(), "text/xml")) as odd:
        auth = S3Auth(**KEYS, role_arn=ROLE, sts_endpoint_url=odd.url)
        said = refused(lambda: list(open_store("s3://acme-billing/", auth, "http://127.0.0.1:9")[0].list("")))
    assert "s3://acme-billing" in said


@every_answer()
def test_an_unexpected_answer_of_the_data_exports_api_is_told(
    answer: Callable[[Asked], Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    with odd_server(answer) as odd:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BCM_DATA_EXPORTS", odd.url)
        assert refused(lambda: focus_exports(S3Auth(**KEYS))).startswith("the account's exports are not listed")


@every_answer()
def test_an_unexpected_answer_of_bigquery_names_the_table(answer: Callable[[Asked], Answer]) -> None:
    with odd_server(answer) as odd:
        connection = GcpBigQueryExport("acme", "project", "dataset", "table", endpoint_url=odd.url)
        assert "project.dataset.table" in refused(connection.discover)


def key(private_key: str, token_uri: str) -> str:
    return json.dumps(
        {
            "type": "service_account",
            "private_key_id": "0123456789",
            "private_key": private_key,
            "client_email": "reader@acme.iam.gserviceaccount.com",
            "token_uri": token_uri,
        }
    )


@every_answer(fast=("HTML",))
def test_an_unexpected_answer_of_google_s_token_endpoint_is_told(
    answer: Callable[[Asked], Answer], private_key: str
) -> None:
    with odd_server(answer) as odd:
        auth = GoogleAuth(service_account_key=key(private_key, f"{odd.url}/token"))
        for attempt in (
            lambda: list(open_store("gs://acme-billing/", auth, "http://127.0.0.1:9")[0].list("")),
            GcpBigQueryExport("acme", "p", "d", "t", auth=auth, endpoint_url="http://127.0.0.1:9").discover,
        ):
            assert "gs://acme-billing" in (said := refused(attempt)) or "p.d.t" in said


@pytest.fixture
def place_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., BehindProxy]]:
    """Leads a host of the internet to an odd server."""
    opened = []

    def lead(host: str, answer: Callable[[Asked], Answer]) -> OddServer:
        odd = OddServer()
        place = behind_proxy(odd_handler(odd, answer), host, tmp_path)
        opened.append(place)
        place.__enter__().use(monkeypatch)
        return odd

    yield lead
    for place in opened:
        place.__exit__(None, None, None)


@every_answer(fast=("HTML",))
def test_an_unexpected_answer_of_google_s_iam_is_told(
    answer: Callable[[Asked], Answer], private_key: str, place_of: Callable[..., OddServer]
) -> None:
    place_of("iamcredentials.googleapis.com", answer)
    with token_endpoint("ya29.of-the-key") as token_uri:
        auth = GoogleAuth(service_account_key=key(private_key, token_uri), impersonate_service_account=READER)
        said = refused(lambda: list(open_store("gs://acme-billing/", auth, "http://127.0.0.1:9")[0].list("")))
    assert "gs://acme-billing" in said


@every_answer(fast=("HTML",))
def test_an_unexpected_answer_of_entra_id_names_the_service_principal(
    answer: Callable[[Asked], Answer], place_of: Callable[..., OddServer]
) -> None:
    place_of(LOGIN, answer)
    auth = AzureAuth(tenant_id=TENANT, client_id=CLIENT, client_secret="client-secret-8Q~x")
    said = refused(lambda: open_store("https://acme.blob.core.windows.net/exports/", auth))
    assert f"the service principal {CLIENT}" in said
    assert "auth.tenant_id" in said


@pytest.mark.parametrize("tenant", ["no tenant!", "a/b", "contoso?x=y", "ten ant"])
def test_a_tenant_that_is_none_is_told(tenant: str) -> None:
    auth = AzureAuth(tenant_id=tenant, client_id=CLIENT, client_secret="client-secret-8Q~x")
    with pytest.raises(AccessDenied, match=r"auth\.tenant_id is no tenant"):
        open_store("https://acme.blob.core.windows.net/exports/", auth)


def test_a_tenant_that_entra_id_does_not_know_is_told(place_of: Callable[..., OddServer]) -> None:
    """Entra ID answers so already when it is asked where the tenant's endpoints are."""
    said = {"error": "invalid_tenant", "error_description": "AADSTS90002: Tenant 'contoso.example' not found."}
    odd = place_of(LOGIN, lambda asked: Answer(400, json.dumps(said).encode(), "application/json"))
    auth = AzureAuth(tenant_id="contoso.example", client_id=CLIENT, client_secret="client-secret-8Q~x")
    assert "it does not know the tenant of auth.tenant_id" in refused(
        lambda: open_store("https://acme.blob.core.windows.net/exports/", auth)
    ) or "The tenant of auth.tenant_id is not known" in refused(
        lambda: open_store("https://acme.blob.core.windows.net/exports/", auth)
    )
    assert odd.seen
