"""Every way to be let in, over the providers' own libraries, and that what lets one in stays secret."""

from __future__ import annotations

import json
import logging
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from google.cloud import storage
from pydantic import ValidationError

from focus_pipeline.connections.auth import Auth, AzureAuth, GoogleAuth, S3Auth
from focus_pipeline.connections.aws_data_export import AwsDataExport
from focus_pipeline.connections.azure_cost_export import AzureCostExport
from focus_pipeline.connections.gcp_bigquery_export import GcpBigQueryExport
from focus_pipeline.connections.google_credentials import google_credentials
from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline.connections.oci_reports import OciReports
from focus_pipeline.connections.store_errors import AccessDenied
from focus_pipeline.connections.store_urls import InvalidUrl, check_url, open_store
from focus_pipeline.connections.stores import ObjectStore
from focus_pipeline_tests.connections.places import Place
from focus_pipeline_tests.connections.secrets_kept import assert_holds_none, said
from focus_pipeline_tests.fakes.bigquery import PROJECT
from focus_pipeline_tests.fakes.clean_months import clean_rows
from focus_pipeline_tests.fakes.faulty_front import FaultyFront, faulty_front
from focus_pipeline_tests.fakes.gcp_export import GcpExport
from focus_pipeline_tests.fakes.google_iam import google_iam
from focus_pipeline_tests.fakes.instance_metadata import instance_metadata
from focus_pipeline_tests.fakes.servers import AzureServer, GcsServer, ReaderRole, S3Server
from focus_pipeline_tests.fakes.token_endpoint import token_endpoint

PREFIX = "billing-exports/"
EXTERNAL_ID = "right-external-id"
CONNECTIONS = (MonthFolders, AwsDataExport, AzureCostExport, OciReports)


def keys(store: ObjectStore) -> list[str]:
    return [item.key for item in store.list(PREFIX)]


@pytest.fixture
def place(make_place: Callable[[str], Place]) -> Place:
    """A bucket of S3 with one object below the prefix."""
    place = make_place("s3")
    place.put(f"{PREFIX}x.csv", b"x")
    return place


@pytest.fixture
def role(s3: S3Server, place: Place) -> ReaderRole:
    """A role of the bucket's owner for one reader, as the document has it set up."""
    return s3.create_reader_role(place.url.split("/")[2], PREFIX, EXTERNAL_ID)


@pytest.fixture
def reader(s3: S3Server, place: Place) -> tuple[str, str]:
    """The access key of a user who may read the bucket."""
    iam, name = s3.client("iam"), f"reader-{secrets.token_hex(4)}"
    iam.create_user(UserName=name)
    arn = f"arn:aws:s3:::{place.url.split('/')[2]}"
    statement = {"Effect": "Allow", "Action": ["s3:ListBucket", "s3:GetObject"], "Resource": [arn, f"{arn}/*"]}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName="read", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return key["AccessKeyId"], key["SecretAccessKey"]


# --- S3 ----------------------------------------------------------------------------------------------


def test_s3_access_keys(s3: S3Server, place: Place, reader: tuple[str, str]) -> None:
    auth = S3Auth(access_key_id=reader[0], secret_access_key=reader[1])
    with s3.enforce_iam():
        assert keys(open_store(place.url, auth, s3.endpoint_url)[0]) == [f"{PREFIX}x.csv"]


def test_s3_access_keys_of_the_environment(
    s3: S3Server, place: Place, reader: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", reader[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", reader[1])
    with s3.enforce_iam():
        assert keys(open_store(place.url, None, s3.endpoint_url)[0]) == [f"{PREFIX}x.csv"]


def write_profile(
    name: str, reader: tuple[str, str], folder: Path, monkeypatch: pytest.MonkeyPatch, region: str = "eu-west-1"
) -> None:
    credentials, config = folder / "credentials", folder / "config"
    credentials.write_text(f"[{name}]\naws_access_key_id = {reader[0]}\naws_secret_access_key = {reader[1]}\n")
    config.write_text(f"[profile {name}]\nregion = {region}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))


def test_s3_named_profile(
    s3: S3Server, place: Place, reader: tuple[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_profile("billing", reader, tmp_path, monkeypatch)
    with s3.enforce_iam():
        assert keys(open_store(place.url, S3Auth(profile="billing"), s3.endpoint_url)[0]) == [f"{PREFIX}x.csv"]


def test_s3_missing_profile_is_named(place: Place) -> None:
    with pytest.raises(AccessDenied, match=r"s3://.*\(The config profile \(biling\) could not be found\)"):
        open_store(place.url, S3Auth(profile="biling"), place.endpoint_url)


def instance_role(s3: S3Server, *allowed: dict[str, object]) -> dict:
    """What STS answers when an instance gets the credentials of a role with these statements."""
    iam, name = s3.client("iam"), f"instance-{secrets.token_hex(4)}"
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}
    document = {"Version": "2012-10-17", "Statement": [trust]}
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(document))["Role"]
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement} for statement in allowed]}
    iam.put_role_policy(RoleName=name, PolicyName="allowed", PolicyDocument=json.dumps(document))
    return s3.client("sts").assume_role(RoleArn=made["Arn"], RoleSessionName="i-0123456789")


def test_s3_instance_role(s3: S3Server, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """botocore's own way to the instance's metadata service, which asks for a session token first."""
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    arn = f"arn:aws:s3:::{place.url.split('/')[2]}"
    instance = instance_role(s3, {"Action": "s3:ListBucket", "Resource": arn})
    with instance_metadata("FocusInstance", instance["Credentials"]) as endpoint, s3.enforce_iam():
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint)
        assert keys(open_store(place.url, None, s3.endpoint_url)[0]) == [f"{PREFIX}x.csv"]


@pytest.mark.parametrize("auth", [None, S3Auth(role_arn="arn:aws:iam::123456789012:role/FocusReader")])
def test_s3_without_any_credentials_says_what_to_set(place: Place, auth: S3Auth | None) -> None:
    with pytest.raises(
        AccessDenied, match=r"^Access Denied: no AWS credentials for s3://b.*auth\.profile.*instance role"
    ):
        list(open_store(place.url, auth, place.endpoint_url)[0].list(PREFIX))


def assuming(role: ReaderRole, **other: str) -> S3Auth:
    """The auth of the user who may assume the role."""
    return S3Auth(
        access_key_id=role.access_key_id,
        secret_access_key=role.secret_access_key,
        role_arn=role.role_arn,
        external_id=EXTERNAL_ID,
        **other,
    )


def test_s3_role_of_another_account_with_external_id(
    s3: S3Server, place: Place, role: ReaderRole, tmp_path: Path
) -> None:
    """The user's own keys may not read; the role may, below its prefix."""
    with s3.enforce_iam():
        own = S3Auth(access_key_id=role.access_key_id, secret_access_key=role.secret_access_key)
        with pytest.raises(AccessDenied):
            keys(open_store(place.url, own, s3.endpoint_url)[0])
        store = open_store(place.url, assuming(role), s3.endpoint_url)[0]
        [item] = store.list(PREFIX)
        store.download(item, tmp_path / "x.csv")
    assert (tmp_path / "x.csv").read_bytes() == b"x"


def test_s3_role_is_assumed_with_a_profile(
    s3: S3Server, place: Place, role: ReaderRole, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_profile("hub", (role.access_key_id, role.secret_access_key), tmp_path, monkeypatch)
    auth = S3Auth(profile="hub", role_arn=role.role_arn, external_id=EXTERNAL_ID)
    with s3.enforce_iam():
        assert keys(open_store(place.url, auth, s3.endpoint_url)[0]) == [f"{PREFIX}x.csv"]


def test_s3_role_is_assumed_with_the_instance_role(
    s3: S3Server, place: Place, role: ReaderRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_EC2_METADATA_DISABLED")
    auth = S3Auth(role_arn=role.role_arn, external_id=EXTERNAL_ID)
    instance = instance_role(s3, {"Action": "sts:AssumeRole", "Resource": role.role_arn})
    iam, name = s3.client("iam"), role.role_arn.rpartition("/")[2]
    trust = iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"]
    trust["Statement"][0]["Principal"] = {"AWS": instance["AssumedRoleUser"]["Arn"]}
    iam.update_assume_role_policy(RoleName=name, PolicyDocument=json.dumps(trust))
    with instance_metadata("FocusInstance", instance["Credentials"]) as endpoint, s3.enforce_iam():
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint)
        assert keys(open_store(place.url, auth, s3.endpoint_url)[0]) == [f"{PREFIX}x.csv"]


def test_s3_role_that_does_not_exist(s3: S3Server, place: Place, role: ReaderRole) -> None:
    unknown = role._replace(role_arn=f"{role.role_arn}-misspelt")
    with s3.enforce_iam(), pytest.raises(AccessDenied, match=r"-misspelt cannot be assumed.*that the role exists"):
        keys(open_store(place.url, assuming(unknown), s3.endpoint_url)[0])


def test_s3_wrong_key_to_assume_a_role_with(s3: S3Server, place: Place, role: ReaderRole) -> None:
    """It is the key that has to be changed, not the role's policy."""
    wrong = role._replace(secret_access_key="wJalrXUtnFEMI-not-the-secret")
    with s3.enforce_iam(), pytest.raises(AccessDenied, match=r"STS does not accept the credentials") as error:
        keys(open_store(place.url, assuming(wrong), s3.endpoint_url)[0])
    assert_holds_none(said(error.value), *wrong[:2], EXTERNAL_ID)


def signers(front: FaultyFront) -> list[str]:
    """The access key id that signed each request of S3."""
    signed = [re.search(r"Credential=(\w+)/", seen.headers.get("authorization", "")) for seen in front.seen]
    return [found[1] for found in signed if found]


def test_s3_role_credentials_are_renewed_before_they_end(s3: S3Server, place: Place, role: ReaderRole) -> None:
    """The first ones have five minutes left when they come: the next call gets new ones, for all later calls."""
    soon = (datetime.now(UTC) + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    given: list[str] = []

    def noted(answer: bytes) -> bytes:
        given.append(re.search(r"<AccessKeyId>(\w+)<", answer.decode())[1])
        ends = f"<Expiration>{soon}<".encode()
        return re.sub(rb"<Expiration>[^<]+<", ends, answer) if len(given) == 1 else answer

    with faulty_front(s3.endpoint_url) as sts, faulty_front(s3.endpoint_url) as front:
        sts.change_answer("POST /", noted)
        store = open_store(place.url, assuming(role, sts_endpoint_url=sts.url), front.url)[0]
        assert len(given) == 1
        for _ in range(3):
            assert keys(store) == [f"{PREFIX}x.csv"]
    assert len(given) == 2
    assert signers(front) == [given[1]] * 3


def test_s3_role_is_assumed_once_for_many_calls(s3: S3Server, place: Place, role: ReaderRole) -> None:
    with faulty_front(s3.endpoint_url) as sts:
        store = open_store(place.url, assuming(role, sts_endpoint_url=sts.url), s3.endpoint_url)[0]
        for _ in range(3):
            keys(store)
    assert len(sts.seen) == 1


# --- Azure -------------------------------------------------------------------------------------------


def test_azure_account_key_and_sas_token(azure: AzureServer, make_place: Callable[[str], Place]) -> None:
    place = make_place("azure")
    place.put(f"{PREFIX}x.csv", b"x")
    token = azure.sas(place.url.split("/")[2])
    for auth in (
        AzureAuth(account_key=azure.account_key),
        AzureAuth(account_key=azure.account_key, account_name=azure.account_name),
        AzureAuth(sas_token=token),
        AzureAuth(sas_token=f"?{token}"),
    ):
        assert keys(open_store(place.url, auth, azure.blob_endpoint)[0]) == [f"{PREFIX}x.csv"]


def test_azure_account_name_is_given_where_the_address_does_not_tell_it(
    azure: AzureServer, make_place: Callable[[str], Place]
) -> None:
    """As with a private endpoint, or an emulator in a container: a host the library takes no name from."""
    place = make_place("azure")
    place.put(f"{PREFIX}x.csv", b"x")
    endpoint = azure.blob_endpoint.replace("127.0.0.1", "0.0.0.0")
    named = AzureAuth(account_key=azure.account_key, account_name=azure.account_name)
    assert keys(open_store(place.url, named, endpoint)[0]) == [f"{PREFIX}x.csv"]
    with pytest.raises(AccessDenied, match=r"account name.*auth\.account_name") as error:
        open_store(place.url, AzureAuth(account_key=azure.account_key), endpoint)
    assert_holds_none(said(error.value), azure.account_key)


@pytest.mark.parametrize(
    ("url", "auth", "address", "prefix"),
    [
        (
            "https://acme.blob.core.windows.net/exports/FOCUS Reports/",
            None,
            "https://acme.blob.core.windows.net/exports",
            "FOCUS Reports/",
        ),
        ("https://acme.dfs.core.windows.net/exports", None, "https://acme.blob.core.windows.net/exports", ""),
        ("abfss://exports@acme.dfs.core.windows.net/p", None, "https://acme.blob.core.windows.net/exports", "p/"),
        ("az://exports//p", AzureAuth(account_name="acme"), "https://acme.blob.core.windows.net/exports", "/p/"),
        ("az://$web/", AzureAuth(account_name="acme"), "https://acme.blob.core.windows.net/$web", ""),
    ],
)
def test_azure_urls_of_every_kind_name_the_same_container(
    url: str, auth: AzureAuth | None, address: str, prefix: str
) -> None:
    key = AzureAuth(account_key="c2VjcmV0", account_name=auth and auth.account_name)
    store, found = open_store(url, key)
    assert (store.address, found) == (address, prefix)


# --- Google ------------------------------------------------------------------------------------------


def test_google_emulator_needs_no_account(gcs: GcsServer, make_place: Callable[[str], Place]) -> None:
    place = make_place("gcs")
    place.put(f"{PREFIX}x.csv", b"x")
    assert keys(open_store(place.url, None, gcs.endpoint_url)[0]) == [f"{PREFIX}x.csv"]


def service_account(private_key: str, token_uri: str = "https://oauth2.googleapis.com/token") -> dict[str, str]:
    return {
        "type": "service_account",
        "project_id": "acme",
        "private_key_id": "0123456789",
        "private_key": private_key,
        "client_email": "reader@acme.iam.gserviceaccount.com",
        "token_uri": token_uri,
    }


READER = "focus-reader@acme.iam.gserviceaccount.com"


@pytest.mark.parametrize("service", ["storage", pytest.param("bigquery", marks=pytest.mark.slow)])
def test_google_service_account_impersonates_another(
    request: pytest.FixtureRequest,
    make_place: Callable[[str], Place],
    private_key: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    service: str,
) -> None:
    """The key's token asks Google's IAM for that of the other account, which goes with every request."""
    with (
        token_endpoint("ya29.of-the-key") as token_uri,
        google_iam(tmp_path, {"ya29.of-the-key": READER}, "ya29.of-the-reader") as iam,
    ):
        iam.place.use(monkeypatch)
        auth = GoogleAuth(
            service_account_key=json.dumps(service_account(private_key, token_uri)), impersonate_service_account=READER
        )
        if service == "storage":
            place = make_place("gcs")
            place.put(f"{PREFIX}x.csv", b"x")
            with faulty_front(place.endpoint_url) as front:
                assert keys(open_store(place.url, auth, front.url)[0]) == [f"{PREFIX}x.csv"]
        else:
            export = GcpExport(request.getfixturevalue("bigquery"), f"d{secrets.token_hex(4)}")
            export.create(clean_rows("gcp_1_2"))
            with faulty_front(export.server.endpoint_url) as front:
                connection = GcpBigQueryExport(
                    "acme", PROJECT, export.dataset, export.table, auth=auth, endpoint_url=front.url
                )
                assert connection.discover().deliveries
        assert {seen.headers["authorization"] for seen in front.seen} == {"Bearer ya29.of-the-reader"}
        assert iam.asked == [READER]


def test_google_impersonation_that_is_not_granted_is_told(
    make_place: Callable[[str], Place], private_key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = make_place("gcs")
    with token_endpoint("ya29.of-the-key") as token_uri, google_iam(tmp_path, {}, "ya29.of-the-reader") as iam:
        iam.place.use(monkeypatch)
        key = json.dumps(service_account(private_key, token_uri))
        auth = GoogleAuth(service_account_key=key, impersonate_service_account=READER)
        with pytest.raises(AccessDenied, match=r"Grant roles/iam\.serviceAccountTokenCreator on it") as refused:
            keys(open_store(place.url, auth, place.endpoint_url)[0])
    assert f"the impersonated service account {READER}" in str(refused.value)
    assert_holds_none(said(refused.value), "ya29.of-the-key")


@pytest.mark.parametrize("given", ["text", "file"])
def test_google_service_account(
    gcs: GcsServer, make_place: Callable[[str], Place], private_key: str, tmp_path: Path, given: str
) -> None:
    """The key signs for an access token, and the token goes with every request."""
    place = make_place("gcs")
    place.put(f"{PREFIX}x.csv", b"x")
    with token_endpoint("ya29.access-token") as token_uri, faulty_front(gcs.endpoint_url) as front:
        key = json.dumps(service_account(private_key, token_uri))
        path = tmp_path / "key.json"
        path.write_text(key)
        auth = GoogleAuth(service_account_key=key) if given == "text" else GoogleAuth(service_account_file=str(path))
        assert keys(open_store(place.url, auth, front.url)[0]) == [f"{PREFIX}x.csv"]
    assert [seen.headers["authorization"] for seen in front.seen] == ["Bearer ya29.access-token"]


def test_google_service_account_that_was_deleted(
    gcs: GcsServer, make_place: Callable[[str], Place], private_key: str
) -> None:
    place = make_place("gcs")
    with token_endpoint(None) as token_uri:
        auth = GoogleAuth(service_account_key=json.dumps(service_account(private_key, token_uri)))
        store = open_store(place.url, auth, gcs.endpoint_url)[0]
        with pytest.raises(AccessDenied, match=r"gs://.*deleted or disabled.*auth\.service_account_key") as error:
            keys(store)
    assert_holds_none(said(error.value), *private_key.split("\n")[1:-2])


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda key: json.dumps(key)[:-40], "it is not the JSON text of a key"),
        (lambda key: json.dumps({k: v for k, v in key.items() if k != "client_email"}), "client_email"),
        (lambda key: json.dumps(key | {"private_key": "-----BEGIN PRIVATE KEY-----\nMIIEvQIBAD\n"}), "private_key"),
        (lambda key: json.dumps(key | {"private_key": "MIIEvQIBADANBgkqhkiG9w0BAQ"}), "private_key"),
        (lambda key: json.dumps([key]), "it is not the JSON text of a key"),
    ],
)
@pytest.mark.parametrize("given", ["text", "file"])
def test_google_service_account_key_that_cannot_be_used(
    private_key: str, tmp_path: Path, change: Callable[[dict[str, str]], str], fault: str, given: str
) -> None:
    text = change(service_account(private_key))
    path = tmp_path / "key.json"
    path.write_text(text)
    auth = GoogleAuth(service_account_key=text) if given == "text" else GoogleAuth(service_account_file=str(path))
    with pytest.raises(AccessDenied) as error:
        open_store("gs://acme-billing/", auth)
    message = str(error.value)
    assert message.startswith(f"Access Denied: {auth.described} cannot be used for gs://acme-billing: ")
    assert fault in message
    assert_holds_none(said(error.value), *private_key.split("\n")[1:-2], "MIIEvQIBAD")


def test_google_service_account_file_that_is_missing(tmp_path: Path) -> None:
    missing = tmp_path / "missing.json"
    with pytest.raises(AccessDenied, match=re.escape(f"{missing}: No such file or directory")):
        open_store("gs://acme-billing/", GoogleAuth(service_account_file=str(missing)))


def test_google_workload_identity(
    make_place: Callable[[str], Place], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a pod or a CI job: the token of the platform is exchanged for one of Google's."""
    place = make_place("gcs")
    place.put(f"{PREFIX}x.csv", b"x")
    (tmp_path / "token").write_text("token-of-the-platform")
    with token_endpoint("ya29.federated") as token_url, faulty_front(place.endpoint_url) as front:
        configuration = {
            "type": "external_account",
            "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/p",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": token_url,
            "credential_source": {"file": str(tmp_path / "token")},
        }
        (tmp_path / "configuration.json").write_text(json.dumps(configuration))
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "configuration.json"))
        # Without it the library asks another API of Google's for the project, which is not here.
        monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "acme")
        # An endpoint of one's own has no accounts; impersonation or a key is not asked for here.
        credentials = google_credentials(GoogleAuth(), place.url, emulated=False)
        client = storage.Client(None, credentials, client_options={"api_endpoint": front.url})
        assert [blob.name for blob in client.list_blobs(place.url[5:-1])] == [f"{PREFIX}x.csv"]
    assert {seen.headers["authorization"] for seen in front.seen} == {"Bearer ya29.federated"}


def test_google_default_credentials_that_are_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "missing.json"))
    with pytest.raises(AccessDenied, match=r"application default credentials of this machine.*missing\.json"):
        open_store("gs://acme-billing/")


def test_google_default_credentials_without_a_project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those of a person name no project, and reading objects takes none."""
    path = tmp_path / "application_default_credentials.json"
    user = {"type": "authorized_user", "client_id": "id", "client_secret": "secret", "refresh_token": "token"}
    path.write_text(json.dumps(user))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    assert open_store("gs://acme-billing/")[0].address == "gs://acme-billing"


# --- what belongs together, and what stays secret ----------------------------------------------------

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLE=="


@pytest.mark.parametrize(
    ("auth", "given", "message"),
    [
        (S3Auth, {"access_key_id": SECRET}, "access_key_id and secret_access_key go together"),
        (S3Auth, {"secret_access_key": SECRET}, "access_key_id and secret_access_key go together"),
        (S3Auth, {"session_token": SECRET}, "session_token belongs to an access key"),
        (
            S3Auth,
            {"access_key_id": SECRET, "secret_access_key": SECRET, "profile": "billing"},
            "give either access_key_id and secret_access_key, or profile",
        ),
        (S3Auth, {"external_id": SECRET}, "role_arn is missing"),
        (S3Auth, {"sts_endpoint_url": "https://sts.example.com"}, "role_arn is missing"),
        (S3Auth, {"acces_key_id": SECRET}, "acces_key_id\n  Extra inputs are not permitted"),
        (S3Auth, {"access_key_id": [SECRET]}, "access_key_id\n  Input should be a valid string"),
        (S3Auth, {"access_key_id": "", "secret_access_key": ""}, "access_key_id\n  String should have at least 1"),
        (AzureAuth, {"client_secret": SECRET}, "tenant_id, client_id and client_secret"),
        (AzureAuth, {"client_secret": SECRET, "client_id": "id"}, "tenant_id, client_id and client_secret"),
        (AzureAuth, {"sas_token": SECRET, "account_key": SECRET}, "give one of sas_token, account_key or client"),
        (AzureAuth, {"sas_token": ""}, "sas_token\n  String should have at least 1 character"),
        (AzureAuth, {"tenant_id": "acme"}, "tenant_id"),
        (GoogleAuth, {"service_account_file": "key.json", "service_account_key": SECRET}, "give either"),
        (GoogleAuth, {"service_account_key": {"private_key": SECRET}}, "valid string"),
    ],
)
def test_auth_says_what_belongs_together_without_an_echo(
    auth: type[Auth], given: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError) as error:
        auth.model_validate(given)
    assert message in str(error.value)
    assert_holds_none(said(error.value), SECRET)


@pytest.mark.parametrize(
    "auth",
    [
        S3Auth(access_key_id=SECRET, secret_access_key=SECRET, session_token=SECRET),
        S3Auth(role_arn="arn:aws:iam::123456789012:role/FocusReader", external_id=SECRET),
        AzureAuth(sas_token=SECRET),
        AzureAuth(account_key=SECRET),
        AzureAuth(tenant_id="acme", client_id="id", client_secret=SECRET),
        GoogleAuth(service_account_key=SECRET),
    ],
)
def test_auth_is_shown_without_its_secrets(auth: Auth) -> None:
    """As a part of a connection too, which is what a debugger or an assertion shows."""
    url = {S3Auth: "s3://b/", AzureAuth: "https://acme.blob.core.windows.net/c/", GoogleAuth: "gs://b/"}[type(auth)]
    connections = [of_type("acme", url, auth=auth) for of_type in CONNECTIONS]
    for text in (repr(auth), str(auth), auth.described, f"{auth!r:>10}", repr(connections), *map(str, connections)):
        assert_holds_none(text, SECRET)


SAS = "sv=2024-08-04&se=2030-01-01&sr=c&sp=rl&sig=SECRETSIGNATURE%3D"


@pytest.mark.parametrize(
    ("url", "endpoint_url", "message"),
    [
        (f"https://acme.blob.core.windows.net/exports/p/?{SAS}", None, "move it to auth.sas_token"),
        (f"az://exports/p?{SAS}", None, "move it to auth.sas_token"),
        (f"https://acme.blob.core.windows.net/exports/#{SAS}", None, "move it to auth.sas_token"),
        ("AccountName=acme;AccountKey=SECRETSIGNATURE+a/b==;BlobEndpoint=x", None, "looks like a connection string"),
        (
            "DefaultEndpointsProtocol=https;AccountName=acme;AccountKey=SECRETSIGNATURE==",
            None,
            "looks like a connection string",
        ),
        (f"BlobEndpoint=https://acme.blob.core.windows.net/;SharedAccessSignature={SAS}", None, "connection string"),
        ("s3://AKIASECRETSIGNATURE:SECRETSIGNATURE@bucket/p", None, "user name or password"),
        ("s3://AKIASECRETSIGNATURE:SECRET/SIGNATURE@bucket/p", None, "names no bucket"),
        ("AKIASECRETSIGNATURE:SECRETSIGNATURE@bucket/p", None, "no known kind"),
        ("https://reader:SECRETSIGNATURE@acme.blob.core.windows.net/exports", None, "user name or password"),
        ("abfss://exports:SECRETSIGNATURE@acme.dfs.core.windows.net/p", None, "user name or password"),
        ("ftp://reader:SECRETSIGNATURE@host/p", None, "user name or password"),
        ("s3://[SECRETSIGNATURE/p", None, "cannot be read as a url"),
        ("s3://bucket/p", "https://reader:SECRETSIGNATURE@minio.example.com", "the endpoint_url holds a user name"),
        ("az://exports/p", f"https://acme.blob.core.windows.net/?{SAS}", "after a '?'"),
        ("s3://bucket/p", "reader:SECRETSIGNATURE@minio.example.com", "the endpoint_url has to be http"),
        ("s3://bucket/p", "https://[SECRETSIGNATURE", "the endpoint_url cannot be read"),
    ],
)
def test_a_url_with_a_secret_is_refused_without_an_echo(
    url: str, endpoint_url: str | None, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Already when the connection is made, so that nothing holds the url that could show it."""
    caplog.set_level(logging.DEBUG)
    for attempt in (
        lambda: check_url(url, None, endpoint_url),
        lambda: open_store(url, None, endpoint_url),
        *(partial(of_type, "acme", url, endpoint_url=endpoint_url) for of_type in CONNECTIONS),
    ):
        with pytest.raises(InvalidUrl) as error:
            attempt()
        assert message in str(error.value)
        text = said(error.value) + caplog.text
        # The lines of this test in the traceback do not hold the url, only its name.
        for secret in ("SECRETSIGNATURE", "AKIASECRET", "SIGNATURE@", "sig="):
            assert secret not in text


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3:///billing-exports/", "names no bucket"),
        ("s3:/bucket/p", "names no bucket"),
        ("gs://", "names no bucket"),
        ("https://acme.blob.core.windows.net", "https://acme.blob.core.windows.net/<container>/<folder>"),
        ("https://acme-billing.s3.amazonaws.com/p/", "write it as s3://<bucket>/<folder>"),
        ("https://storage.googleapis.com/acme-billing/p", "write it as gs://<bucket>/<folder>"),
        ("abfss://exports/p", "names no account"),
        ("az://exports/p", "auth.account_name is missing"),
        ("file://data/exports", "file:///<folder>"),
        ("ftp://host/p", "a url of the kind ftp:// is not known; use s3://"),
    ],
)
def test_a_url_that_names_no_place_is_refused(url: str, message: str) -> None:
    with pytest.raises(InvalidUrl) as error:
        check_url(url, None)
    assert message in str(error.value)


def test_an_auth_of_another_provider_is_refused() -> None:
    for url, auth in (
        ("s3://bucket/", AzureAuth(sas_token=SECRET)),
        ("gs://bucket/", S3Auth(access_key_id=SECRET, secret_access_key=SECRET)),
        ("/data/exports", GoogleAuth(service_account_key=SECRET)),
    ):
        with pytest.raises(InvalidUrl, match=r"the auth does not fit the url: a .* url takes") as error:
            check_url(url, auth)
        assert_holds_none(said(error.value), SECRET)


def test_no_secret_is_in_the_log(
    s3: S3Server,
    azure: AzureServer,
    make_place: Callable[[str], Place],
    place: Place,
    role: ReaderRole,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Of this project's loggers at every level, of the providers' libraries from INFO on."""
    caplog.set_level(logging.INFO)
    caplog.set_level(logging.DEBUG, "focus_pipeline")
    container = make_place("azure")
    token = azure.sas(container.url.split("/")[2])
    expired = azure.sas(container.url.split("/")[2], expiry=datetime.now(UTC) - timedelta(minutes=1))
    with s3.enforce_iam():
        keys(open_store(place.url, assuming(role), s3.endpoint_url)[0])
        refused = assuming(role).model_copy(update={"external_id": "wrong-external-id"})
        with pytest.raises(AccessDenied):
            keys(open_store(place.url, refused, s3.endpoint_url)[0])
    keys(open_store(container.url, AzureAuth(sas_token=token), azure.blob_endpoint)[0])
    keys(open_store(container.url, AzureAuth(account_key=azure.account_key), azure.blob_endpoint)[0])
    with pytest.raises(AccessDenied):
        keys(open_store(container.url, AzureAuth(sas_token=expired), azure.blob_endpoint)[0])
    assert caplog.records, "nothing was logged, so nothing was tried"
    signatures = [re.search("sig=([^&]+)", sas)[1] for sas in (token, expired)]
    assert_holds_none(
        caplog.text, role.secret_access_key, EXTERNAL_ID, "wrong-external-id", azure.account_key, *signatures
    )
