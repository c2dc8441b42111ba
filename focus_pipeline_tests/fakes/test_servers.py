"""The servers in `servers` behave as the storage tests rely on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path

import pytest
from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError, ResourceModifiedError
from botocore.exceptions import ClientError
from google.api_core.exceptions import Forbidden, PreconditionFailed

from focus_pipeline_tests.fakes.servers import (
    AzureServer,
    GcsServer,
    ReaderRole,
    S3Server,
    azure_server,
    gcs_server,
    s3_server,
)

ODD_KEYS = [
    "p//2025-04/b.csv",
    "/p/x.csv",
    "folder/",
    "a b.csv",
    "a+b.csv",
    "a%20b.csv",
    "a[1].csv",
    "it's.csv",
    "a$b.csv",
    "a:b.csv",
    "a&b?c#d=e.csv",
    "\u00fc/\u65e5\u672c.csv",
]


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    """Yield an S3 server with the bucket `odd`."""
    with s3_server() as server:
        server.create_bucket("odd")
        yield server


@pytest.fixture(scope="module")
def azure() -> Iterator[AzureServer]:
    """Yield an Azure server with the container `odd`."""
    with azure_server() as server:
        server.create_container("odd")
        yield server


@pytest.fixture(scope="module")
def gcs() -> Iterator[GcsServer]:
    """Yield a Google server with the bucket `odd`."""
    with gcs_server() as server:
        server.create_bucket("odd")
        yield server


def assume(s3: S3Server, role: ReaderRole, **external_id: str) -> dict[str, str]:
    """Assume a reader role; return boto3's credential arguments."""
    user = {
        "aws_access_key_id": role.access_key_id,
        "aws_secret_access_key": role.secret_access_key,
    }
    sts = s3.client("sts", **user)
    found = sts.assume_role(RoleArn=role.role_arn, RoleSessionName="test", **external_id)["Credentials"]
    return {
        "aws_access_key_id": found["AccessKeyId"],
        "aws_secret_access_key": found["SecretAccessKey"],
        "aws_session_token": found["SessionToken"],
    }


def error_of(error: pytest.ExceptionInfo[ClientError]) -> tuple[int, str]:
    """Return the HTTP status and the code of an AWS error."""
    response = error.value.response
    return response["ResponseMetadata"]["HTTPStatusCode"], response["Error"]["Code"]


@pytest.mark.parametrize("key", ODD_KEYS)
def test_s3_keeps_keys_and_refuses_a_changed_object(s3: S3Server, key: str) -> None:
    client = s3.client("s3")
    etag = s3.put("odd", key, b"old")
    listed = {found["Key"]: found["ETag"] for found in client.list_objects_v2(Bucket="odd")["Contents"]}
    assert listed[key] == etag
    assert client.get_object(Bucket="odd", Key=key, IfMatch=etag)["Body"].read() == b"old"
    s3.put("odd", key, b"new")
    with pytest.raises(ClientError) as refused:
        client.get_object(Bucket="odd", Key=key, IfMatch=etag)
    assert error_of(refused) == (412, "PreconditionFailed")
    s3.delete("odd", key)


@pytest.mark.parametrize("key", ODD_KEYS)
def test_azure_keeps_keys_and_refuses_a_changed_blob(azure: AzureServer, key: str) -> None:
    container = azure.client(azure.sas("odd")).get_container_client("odd")
    etag = azure.put("odd", key, b"old")
    listed = {found.name: found.etag for found in container.list_blobs()}
    assert f'"{listed[key]}"' == etag  # listings leave the quotes out
    unchanged = {"etag": listed[key], "match_condition": MatchConditions.IfNotModified}
    assert container.download_blob(key, **unchanged).readall() == b"old"
    azure.put("odd", key, b"new")
    with pytest.raises(ResourceModifiedError) as refused:
        container.download_blob(key, **unchanged)
    assert refused.value.status_code == 412
    azure.delete("odd", key)


@pytest.mark.parametrize("key", ODD_KEYS)
def test_gcs_keeps_keys_and_refuses_a_changed_object(gcs: GcsServer, key: str) -> None:
    bucket = gcs.client().bucket("odd")
    generation = gcs.put("odd", key, b"old")
    listed = {found.name: found for found in bucket.list_blobs()}
    etag = listed[key].etag
    assert listed[key].generation == generation
    assert bucket.blob(key).download_as_bytes(if_generation_match=generation) == b"old"
    assert bucket.blob(key).download_as_bytes(if_etag_match=etag) == b"old"
    gcs.put("odd", key, b"new")
    with pytest.raises(PreconditionFailed):
        bucket.blob(key).download_as_bytes(if_generation_match=generation)
    with pytest.raises(PreconditionFailed):
        bucket.blob(key).download_as_bytes(if_etag_match=etag)
    gcs.delete("odd", key)


@pytest.mark.parametrize("enforced", [False, True])
def test_a_role_asks_for_its_external_id(s3: S3Server, enforced: bool) -> None:
    role = s3.create_reader_role("odd", "p/", external_id="right")
    unknown = role._replace(role_arn=f"{role.role_arn}-unknown")

    def check() -> None:
        assert assume(s3, role, ExternalId="right")
        for tried, sent in [(role, {"ExternalId": "wrong"}), (role, {}), (unknown, {"ExternalId": "right"})]:
            with pytest.raises(ClientError) as refused:
                assume(s3, tried, **sent)
            assert error_of(refused) == (403, "AccessDenied")

    if enforced:
        with s3.enforce_iam():
            check()
    else:
        check()


@pytest.mark.parametrize("prefix", ["p/", "a+[1]/"])
def test_a_reader_role_reads_below_its_prefix_only(s3: S3Server, prefix: str) -> None:
    s3.put("odd", f"{prefix}x.csv", b"mine")
    s3.put("odd", "other.csv", b"not mine")
    role = s3.create_reader_role("odd", prefix, external_id="right")
    with s3.enforce_iam():
        reader = s3.client("s3", **assume(s3, role, ExternalId="right"))
        assert reader.list_objects_v2(Bucket="odd", Prefix=prefix)["KeyCount"] == 1
        assert reader.get_object(Bucket="odd", Key=f"{prefix}x.csv")["Body"].read() == b"mine"
        for denied in [
            lambda: reader.list_objects_v2(Bucket="odd"),
            lambda: reader.get_object(Bucket="odd", Key="other.csv"),
            lambda: reader.put_object(Bucket="odd", Key=f"{prefix}x.csv", Body=b""),
        ]:
            with pytest.raises(ClientError) as refused:
                denied()
            assert error_of(refused) == (403, "AccessDenied")


def test_azure_checks_a_sas_token(azure: AzureServer) -> None:
    azure.put("odd", "k", b"x")
    expired = azure.sas("odd", expiry=datetime.now(UTC) - timedelta(minutes=1))
    read_only = azure.sas("odd", permissions="r")
    for token in [expired, read_only, azure.sas("other"), None]:
        with pytest.raises(HttpResponseError) as refused:
            list(azure.client(token).get_container_client("odd").list_blobs())
        assert refused.value.status_code == 403
    assert azure.client(read_only).get_blob_client("odd", "k").download_blob().readall() == b"x"


def test_gcs_denies_a_bucket(gcs: GcsServer) -> None:
    gcs.create_bucket("closed")
    gcs.put("closed", "k", b"x")
    gcs.deny("closed")
    with pytest.raises(Forbidden):
        list(gcs.client().list_blobs("closed"))
    with pytest.raises(Forbidden):
        gcs.client().bucket("closed").blob("k").download_as_bytes()


def test_requests_are_recorded_without_those_of_the_set_up(s3: S3Server, azure: AzureServer, gcs: GcsServer) -> None:
    for server in (s3, azure, gcs):
        server.put("odd", "a b//c", b"x")
        server.forget_requests()
        server.delete("odd", "a b//c")
        server.put("odd", "a b//c", b"x")
        assert server.requests() == []
    s3.client("s3").get_object(Bucket="odd", Key="a b//c")
    azure.client(azure.account_key).get_blob_client("odd", "a b//c").download_blob().readall()
    gcs.client().bucket("odd").blob("a b//c").download_as_bytes()
    assert s3.requests() == [("GET", "/odd/a%20b//c")]
    assert azure.requests() == [("GET", f"/{azure.account_name}/odd/a%20b//c")]
    # Google's SDK may look the bucket up too, in the background.
    assert ("GET", "/download/storage/v1/b/odd/o/a%20b%2F%2Fc?alt=media") in gcs.requests()


def test_s3_reset_drops_everything(s3: S3Server) -> None:
    s3.client("s3").list_buckets()
    s3.reset()
    assert s3.requests() == []
    assert s3.client("s3").list_buckets()["Buckets"] == []
    s3.create_bucket("odd")


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGKILL])
def test_servers_stop_with_their_process(name: signal.Signals) -> None:
    script = (
        "import sys, time\n"
        "from focus_pipeline_tests.fakes import servers\n"
        "with servers.gcs_server() as gcs:\n"
        "    print(gcs._port, flush=True)\n"
        "    time.sleep(60)\n"
    )
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen([sys.executable, "-c", script], cwd=root, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        assert answers(port)
        process.send_signal(name)
    deadline = time.monotonic() + 10
    while answers(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not answers(port)


def answers(port: int) -> bool:
    """Tell whether a server answers on a loopback port."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
    except OSError:
        return False
    finally:
        connection.close()
    return True
