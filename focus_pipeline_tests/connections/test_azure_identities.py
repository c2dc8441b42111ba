"""Azure's identities, from the connection's auth to the blob: real libraries, Entra ID and Azurite over TLS."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.storage.blob import BlobServiceClient

from focus_pipeline.connections.auth import AzureAuth
from focus_pipeline.connections.azure_cost_export import AzureCostExport
from focus_pipeline.connections.store_errors import AccessDenied
from focus_pipeline_tests.connections.secrets_kept import assert_holds_none, said
from focus_pipeline_tests.fakes.azure_export import AzureExport
from focus_pipeline_tests.fakes.clean_months import clean_rows
from focus_pipeline_tests.fakes.entra_id import CLIENT, TENANT, EntraId, entra_id
from focus_pipeline_tests.fakes.servers import azure_oauth_endpoint

SECRET = "client-secret-8Q~x"
FEDERATED = "eyJhbGciOiJSUzI1NiJ9.federated.token"
MONTH = "2025-03"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def entra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EntraId]:
    with entra_id(tmp_path_factory.mktemp("entra"), SECRET, FEDERATED) as entra:
        yield entra


@pytest.fixture(scope="module")
def exported(entra: EntraId) -> Iterator[str]:
    """The blob endpoint of an account whose container `exports` holds a month."""
    key = base64.b64encode(secrets.token_bytes(64)).decode()
    with azure_oauth_endpoint(entra.place.certificate, entra.place.key, key) as endpoint:
        credential = AzureNamedKeyCredential("focustest", key)
        client = BlobServiceClient(endpoint, credential, connection_verify=str(entra.place.certificate))
        container = client.create_container("exports")
        export = AzureExport(
            lambda name, body: container.upload_blob(name, body, overwrite=True), container.delete_blob, "azure_1_2"
        )
        export.run(MONTH, clean_rows("azure_1_2", MONTH))
        yield endpoint


@pytest.fixture(autouse=True)
def _reached_through_the_proxy(entra: EntraId, monkeypatch: pytest.MonkeyPatch) -> None:
    entra.place.use(monkeypatch)
    entra.asked.clear()


def months(endpoint: str, auth: AzureAuth | None) -> tuple[str, ...]:
    return AzureCostExport("acme_azure", "az://exports/", auth=auth, endpoint_url=endpoint).discover().months


def test_a_service_principal_reads_the_export(exported: str, entra: EntraId) -> None:
    auth = AzureAuth(tenant_id=TENANT, client_id=CLIENT, client_secret=SECRET)
    assert months(exported, auth) == (MONTH,)
    [asked] = entra.asked
    assert (asked["grant_type"], asked["client_id"]) == ("client_credentials", CLIENT)
    assert asked["scope"] == "https://storage.azure.com/.default"


def test_a_secret_that_has_expired_is_told_without_an_echo(exported: str, entra: EntraId) -> None:
    auth = AzureAuth(tenant_id=TENANT, client_id=CLIENT, client_secret="old-secret-7Z")
    with pytest.raises(AccessDenied, match=f"the service principal {CLIENT}") as refused:
        months(exported, auth)
    assert_holds_none(said(refused.value), "old-secret-7Z")
    assert "(AADSTS7000215). auth.client_secret is not a secret of this client_id" in str(refused.value)


def test_a_machine_without_an_identity_is_told(exported: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    with pytest.raises(AccessDenied, match="the default Azure identity of this machine") as refused:
        months(exported, None)
    assert "This machine has none that works: give the connection an auth" in str(refused.value)


def test_a_workload_identity_reads_the_export(
    exported: str, entra: EntraId, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a pod of AKS: the webhook sets these variables and mounts the token."""
    token = tmp_path / "azure-identity-token"
    token.write_text(FEDERATED)
    monkeypatch.setenv("AZURE_TENANT_ID", TENANT)
    monkeypatch.setenv("AZURE_CLIENT_ID", CLIENT)
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(token))
    assert months(exported, None) == (MONTH,)
    assert [asked["client_assertion"] for asked in entra.asked] == [FEDERATED]


@pytest.mark.parametrize("client_id", [None, CLIENT])
def test_a_managed_identity_reads_the_export(
    exported: str, entra: EntraId, monkeypatch: pytest.MonkeyPatch, client_id: str | None
) -> None:
    """As in App Service, Functions and Container Apps."""
    monkeypatch.setenv("IDENTITY_ENDPOINT", entra.identity_endpoint)
    monkeypatch.setenv("IDENTITY_HEADER", "header-secret")
    assert months(exported, AzureAuth(client_id=client_id)) == (MONTH,)
    [asked] = entra.asked
    assert asked["resource"] == "https://storage.azure.com"
    assert asked.get("client_id") == client_id
