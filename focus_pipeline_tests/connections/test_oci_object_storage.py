"""Oracle's own reports bucket over its SDK, against its API on loopback."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from focus_pipeline.connections.auth import OciAuth
from focus_pipeline.connections.oci_reports import OciReports
from focus_pipeline.connections.store_errors import AccessDenied, ObjectChanged, StoreError
from focus_pipeline.connections.store_urls import InvalidUrl, check_url, open_store
from focus_pipeline_tests.connections.conftest import Loaded
from focus_pipeline_tests.fakes.clean_months import clean_rows
from focus_pipeline_tests.fakes.oci_api import OciApi, oci_api
from focus_pipeline_tests.fakes.oci_export import OciExport

pytest.importorskip("oci", reason="Oracle's SDK is not installed: the extra `oci`")

MONTH = "2025-03"
ROWS = clean_rows("oci_1_0_preview", MONTH)
TENANCY, USER = "ocid1.tenancy.oc1..example", "ocid1.user.oc1..reader"
FINGERPRINT = ":".join(["3b"] * 16)


@pytest.fixture
def api() -> Iterator[OciApi]:
    with oci_api() as api:
        api.key_id = f"{TENANCY}/{USER}/{FINGERPRINT}"
        yield api


@pytest.fixture
def auth(tmp_path: Path) -> OciAuth:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    (tmp_path / "key.pem").write_bytes(pem)
    (tmp_path / "config").write_text(
        f"[DEFAULT]\nuser={USER}\nfingerprint={FINGERPRINT}\ntenancy={TENANCY}\nregion=eu-frankfurt-1\n"
        f"key_file={tmp_path / 'key.pem'}\n"
        f"[STRANGER]\nuser=ocid1.user.oc1..stranger\nfingerprint={FINGERPRINT}\ntenancy={TENANCY}\n"
        f"region=eu-frankfurt-1\nkey_file={tmp_path / 'key.pem'}\n"
    )
    return OciAuth(config_file=str(tmp_path / "config"))


def connection_to(api: OciApi, auth: OciAuth) -> OciReports:
    return OciReports("oracle", f"oci://{api.bucket}@{api.namespace}/", auth, api.endpoint_url)


def test_the_reports_of_a_month_are_read_from_oracle_s_own_bucket(
    api: OciApi, auth: OciAuth, load: Callable[..., Loaded]
) -> None:
    export = OciExport(api.put)
    for day in range(1, 8):
        export.deliver(MONTH, day, ROWS[day - 1 : day])
    connection = connection_to(api, auth)
    assert load(connection, MONTH).staged.rows == 7
    api.delete(next(iter(api.objects)))
    assert load(connection, MONTH).staged.rows == 7
    assert {method for method, _ in api.requests} == {"GET"}


def test_an_object_that_is_replaced_after_it_was_listed_ends_the_attempt(
    api: OciApi, auth: OciAuth, tmp_path: Path
) -> None:
    export = OciExport(api.put)
    key = export.deliver(MONTH, 1, ROWS[:5])
    connection = connection_to(api, auth)
    (item,) = connection.discover().deliveries[MONTH].objects
    api.put(key, b"something else")
    with pytest.raises(ObjectChanged):
        connection.download(item, tmp_path / "file")
    api.delete(key)
    with pytest.raises(ObjectChanged):
        connection.download(item, tmp_path / "file")


def test_a_stranger_is_told_what_to_grant(api: OciApi, auth: OciAuth) -> None:
    stranger = auth.model_copy(update={"profile": "STRANGER"})
    with pytest.raises(AccessDenied, match="endorse group <group> to read objects in tenancy usage-report"):
        connection_to(api, stranger).discover()


@pytest.mark.parametrize("change", [{"profile": "MISSING"}, {"config_file": "/nowhere/config"}])
def test_a_configuration_that_cannot_be_used_is_named(change: dict[str, str], api: OciApi, auth: OciAuth) -> None:
    with pytest.raises(AccessDenied, match=r"check auth\.config_file and auth\.profile"):
        connection_to(api, auth.model_copy(update=change)).discover()


def test_a_store_that_is_out_of_reach_is_named(auth: OciAuth, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    store, _ = open_store("oci://bucket@bling/", auth, "http://127.0.0.1:9")
    with pytest.raises(StoreError, match="cannot be reached or broke off"):
        list(store.list(""))


@pytest.mark.parametrize("url", ["oci://bucket/", "oci://@bling/", "oci://"])
def test_a_url_without_bucket_or_namespace_is_refused(url: str) -> None:
    with pytest.raises(InvalidUrl, match=r"oci://<bucket>@<namespace>/<folder>"):
        check_url(url, None)
