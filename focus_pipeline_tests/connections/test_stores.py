"""Listing and reading in S3, Azure Blob Storage, Google Cloud Storage and local folders, against live servers."""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from google.cloud.storage.retry import DEFAULT_RETRY
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from focus_pipeline.connections.auth import Auth, AzureAuth, S3Auth
from focus_pipeline.connections.delivery import Delivery, StoredObject
from focus_pipeline.connections.store_errors import AccessDenied, NotFound, ObjectChanged, StoreError
from focus_pipeline.connections.store_urls import open_store
from focus_pipeline.connections.stores import ObjectStore
from focus_pipeline_tests.connections.places import Place
from focus_pipeline_tests.connections.secrets_kept import assert_holds_none, said
from focus_pipeline_tests.fakes.faulty_front import faulty_front
from focus_pipeline_tests.fakes.servers import AzureServer, GcsServer, S3Server

MIB = 1024 * 1024

# Legal everywhere, on a local disk too.
ODD_KEYS = [
    "FOCUS Reports/march report.csv",
    " leading space.csv",
    "trailing space.csv ",
    "a+b.csv",
    "a%20b.csv",
    "a%2Fb.csv",
    "a%.csv",
    "a[1].csv",
    "it's.csv",
    'say "x".csv',
    "a$b${HOME}.csv",
    "a:b.csv",
    "a=b&c=d.csv",
    "what?.csv",
    "no#1.csv",
    "*.csv",
    "~tilde.csv",
    "{a,b}.csv",
    "semi;colon,comma.csv",
    "Grüße/日本語.csv",
    "cafe\u0301.csv",  # e and a combining accent: not the same key as with é
    "caf\u00e9.csv",
    "🧾.csv",
]
# Legal in buckets only.
ODD_BUCKET_KEYS = [*ODD_KEYS, "/leading.csv", "p//double.csv", "//two.csv", "trailing/", "p//"]


def listed(store: ObjectStore, prefix: str = "") -> dict[str, StoredObject]:
    return {item.key: item for item in store.list(prefix)}


def read(store: ObjectStore, item: StoredObject, folder: Path) -> bytes:
    path = folder / secrets.token_hex(8)
    store.download(item, path)
    return path.read_bytes()


def test_what_is_listed_can_be_read_back(place: Place, tmp_path: Path) -> None:
    bodies = {"a.csv": b"a,b\n1,2\n", "2025-03/b.csv": b"", "2025-03/deep/c.csv.gz": os.urandom(2_000)}
    for key, body in bodies.items():
        place.put(key, body)
    store = place.store()
    found = listed(store)
    assert {key: item.size for key, item in found.items()} == {key: len(body) for key, body in bodies.items()}
    assert {key: read(store, item, tmp_path) for key, item in found.items()} == bodies
    for item in found.values():
        assert abs(item.last_modified - datetime.now(UTC)) < timedelta(minutes=5)


def test_a_listing_starts_with_the_prefix_as_it_is_written(place: Place) -> None:
    place.put_many(["p.csv", "p/1.csv", "p/2/3.csv", "pq/4.csv", "P/5.csv"])
    store = place.store()
    assert set(listed(store, "p")) == {"p.csv", "p/1.csv", "p/2/3.csv", "pq/4.csv"}
    assert set(listed(store, "p/")) == {"p/1.csv", "p/2/3.csv"}
    assert set(listed(store, "p/2/3.csv")) == {"p/2/3.csv"}
    assert set(listed(store, "x/")) == set()


def test_one_level_has_its_folders_and_its_own_objects(place: Place) -> None:
    place.put_many(["a.csv", "2025-01/x.csv", "2025-01/deep/y.csv", "2025-02/z.csv"])
    store = place.store()
    top = store.list_level("")
    assert top.folders == ("2025-01/", "2025-02/")
    assert [item.key for item in top.objects] == ["a.csv"]
    month = store.list_level("2025-01/")
    assert month.folders == ("2025-01/deep/",)
    assert [item.key for item in month.objects] == ["2025-01/x.csv"]
    nothing = store.list_level("2025-03/")
    assert (nothing.folders, nothing.objects) == ((), ())


@pytest.mark.slow
def test_more_than_a_thousand_keys_are_all_listed(place: Place) -> None:
    """The servers are made to give small pages where their default page holds all of these."""
    objects = [f"2025-03/{number:04d}.csv" for number in range(1_001)]
    folders = [f"exports/{number:04d}/" for number in range(30)]
    place.put_many([*objects, *(f"{folder}x.csv" for folder in folders)])
    with small_pages(place) as paged:
        store = paged.store()
        assert [item.key for item in sorted(store.list("2025-03/"))] == objects
        assert sorted(store.list_level("exports/").folders) == folders
        assert len(store.list_level("2025-03/").objects) == len(objects)
    if place.server is not None:
        # Each of the two listings of 1,001 objects took more than one request.
        assert len(place.listings()) >= 5


@contextmanager
def small_pages(place: Place) -> Iterator[Place]:
    """The place with listings of at most 400 entries a page, where the server's pages hold more than 1,000."""
    parameter = {"azure": "maxresults=400", "gcs": "maxResults=400"}.get(place.kind)
    if parameter is None:
        yield place
        return
    with faulty_front(place.endpoint_url or "") as front:
        listing = "comp=list" if place.kind == "azure" else "prettyPrint"
        front.change_request(listing, lambda target: f"{target}&{parameter}")
        yield place.behind(front.url)


def test_no_odd_key_is_lost_or_harms_another(place: Place, tmp_path: Path) -> None:
    """Every key is listed as it is, and read back byte for byte."""
    keys = ODD_KEYS if place.kind == "local" else ODD_BUCKET_KEYS
    bodies = {key: f"the body of {key}".encode() for key in keys}
    for key, body in bodies.items():
        place.put(key, body)
    store = place.store()
    found = listed(store)
    assert set(found) == set(bodies)
    assert {key: read(store, item, tmp_path) for key, item in found.items()} == bodies


@pytest.mark.parametrize("kind", ["s3", "gcs"])
def test_dot_segments_and_control_characters_are_kept(
    make_place: Callable[[str], Place], kind: str, tmp_path: Path
) -> None:
    """Azure's service itself resolves dot segments, and has no such blobs."""
    place = make_place(kind)
    keys = ["a/../b.csv", "./c.csv", "a/./d.csv", "back\\slash.csv", "tab\there.csv", "b.csv"]
    for key in keys:
        place.put(key, key.encode())
    store = place.store()
    found = listed(store)
    assert {key: read(store, item, tmp_path) for key, item in found.items()} == {key: key.encode() for key in keys}


def test_odd_folders_are_levels(place: Place) -> None:
    folders = ["a b/", "a+b/", "a%20b/", "it's [1] $x/", "日本語/", "a=1&b=2/"]
    place.put_many([f"{folder}{name}" for folder in folders for name in ("2025-03/x.csv", "y.csv")])
    store = place.store()
    assert sorted(store.list_level("").folders) == sorted(folders)
    for folder in folders:
        level = store.list_level(folder)
        assert level.folders == (f"{folder}2025-03/",)
        assert [item.key for item in level.objects] == [f"{folder}y.csv"]


def test_slashes_are_part_of_keys(bucket: Place) -> None:
    """`/p/`, `p/` and `p//` are three different folders."""
    bucket.put_many(["p/1.csv", "/p/2.csv", "p//3.csv"])
    store = bucket.store()
    assert set(store.list_level("").folders) == {"p/", "/"}
    assert [item.key for item in store.list_level("p/").objects] == ["p/1.csv"]
    assert store.list_level("p/").folders == ("p//",)
    assert [item.key for item in store.list_level("p//").objects] == ["p//3.csv"]
    assert [item.key for item in store.list_level("/p/").objects] == ["/p/2.csv"]


@pytest.mark.parametrize("prefix", ["/", "//", "../", "2025-03/../../", "/etc/"])
def test_a_local_folder_does_not_show_what_is_outside_of_it(
    make_place: Callable[[str], Place], tmp_path: Path, prefix: str
) -> None:
    """Keys are relative paths below the folder; no prefix leads out of it."""
    place = make_place("local")
    place.put("2025-03/x.csv", b"mine")
    (tmp_path / "not-mine.csv").write_bytes(b"")
    store = place.store()
    level = store.list_level(prefix)
    assert (level.folders, level.objects, list(store.list(prefix))) == ((), (), [])


def test_a_local_file_that_goes_while_listing_is_not_listed(make_place: Callable[[str], Place]) -> None:
    """A broken link stands for it: named by the folder, and not there."""
    place = make_place("local")
    place.put("2025-03/x.csv", b"x")
    folder = Path(place.url.removeprefix("file://")) / "2025-03"
    (folder / "gone.csv").symlink_to("nowhere")
    assert set(listed(place.store(), "2025-03/")) == {"2025-03/x.csv"}


def test_a_multipart_etag_is_a_mark_and_not_a_checksum(s3: S3Server, make_place: Callable, tmp_path: Path) -> None:
    """`"abc-2"` is listed without its quotes, and read back under that condition."""
    place = make_place("s3")
    parts = [os.urandom(5 * MIB), b"the end"]
    name = place.url.split("/")[2]
    client = s3.client("s3")
    upload = client.create_multipart_upload(Bucket=name, Key="m.csv")["UploadId"]
    etags = [
        client.upload_part(Bucket=name, Key="m.csv", UploadId=upload, PartNumber=number, Body=body)["ETag"]
        for number, body in enumerate(parts, 1)
    ]
    finished = {"Parts": [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]}
    client.complete_multipart_upload(Bucket=name, Key="m.csv", UploadId=upload, MultipartUpload=finished)
    store = place.store()
    item = listed(store)["m.csv"]
    assert item.etag.endswith("-2")
    assert '"' not in item.etag
    assert read(store, item, tmp_path) == b"".join(parts)


def test_etags_have_no_quotes(bucket: Place) -> None:
    """A quoted and an unquoted spelling must not make two tokens."""
    bucket.put("x.csv", b"x")
    assert '"' not in listed(bucket.store())["x.csv"].etag


def test_the_same_etag_with_a_newer_date_is_the_same_delivery(make_place: Callable[[str], Place]) -> None:
    """S3's ETag of a plain upload tells the content; the date of a repeated upload does not matter."""
    place = make_place("s3")
    store = place.store()
    place.put("2025-03/x.csv", b"the same")
    first = listed(store)["2025-03/x.csv"]
    place.put("2025-03/x.csv", b"the same")
    # The server's clock tells whole seconds.
    stored = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_object(place.url.split("/")[2], "2025-03/x.csv")
    stored.last_modified += timedelta(hours=1)
    second = listed(store)["2025-03/x.csv"]
    assert first.last_modified < second.last_modified
    assert Delivery("2025-03", (first,)).token == Delivery("2025-03", (second,)).token


@pytest.mark.parametrize("size", [10, 9 * MIB])
def test_an_object_that_was_replaced_after_the_listing_is_not_read(place: Place, tmp_path: Path, size: int) -> None:
    place.put("x.csv", b"1" * size)
    store = place.store()
    before = listed(store)["x.csv"]
    place.put("x.csv", b"2" * size)
    with pytest.raises(ObjectChanged, match=r"x\.csv .*after it was listed") as error:
        store.download(before, tmp_path / "x.csv")
    assert "next attempt" in str(error.value)
    assert read(store, listed(store)["x.csv"], tmp_path) == b"2" * size


def test_an_object_that_vanished_after_the_listing_is_named(place: Place, tmp_path: Path) -> None:
    place.put("x.csv", b"1")
    place.put("y.csv", b"1")
    store = place.store()
    before = listed(store)["x.csv"]
    place.delete("x.csv")
    # Azurite checks the ETag before it looks for the blob.
    what = "replaced" if place.kind == "azure" else "removed"
    with pytest.raises(ObjectChanged, match=rf"x\.csv was {what} after it was listed") as error:
        store.download(before, tmp_path / "x.csv")
    assert "next attempt" in str(error.value)


def test_a_local_file_that_was_changed_in_place_is_not_read(make_place: Callable, tmp_path: Path) -> None:
    """Where a program writes into the file instead of replacing it."""
    place = make_place("local")
    place.put("x.csv", b"1")
    store = place.store()
    before = listed(store)["x.csv"]
    with (Path(place.url.removeprefix("file://")) / "x.csv").open("ab") as file:
        file.write(b"2")
    with pytest.raises(ObjectChanged):
        store.download(before, tmp_path / "x.csv")


def test_a_cut_connection_costs_that_object_only(bucket: Place, tmp_path: Path) -> None:
    """The body breaks off once, far into the file: what was read is kept or read again, and the others are left be."""
    bodies = {"big.csv": os.urandom(9 * MIB), "other.csv": b"other"}
    for key, body in bodies.items():
        bucket.put(key, body)
    with faulty_front(bucket.endpoint_url or "") as front:
        front.cut("big.csv", after=int(4.5 * MIB) if bucket.kind != "azure" else 3 * MIB)
        store = bucket.behind(front.url).store()
        found = listed(store)
        assert {key: read(store, item, tmp_path) for key, item in found.items()} == bodies
    assert bucket.reads().count("other.csv") == 1
    # Azure's library reads in ranges of 4 MiB: three, and the broken one once more.
    assert bucket.reads().count("big.csv") == (4 if bucket.kind == "azure" else 2)


def test_a_cut_s3_download_goes_on_where_it_broke(make_place: Callable[[str], Place], tmp_path: Path) -> None:
    """What had arrived is not asked for again."""
    place = make_place("s3")
    place.put("big.csv", os.urandom(9 * MIB))
    with faulty_front(place.endpoint_url or "") as front:
        front.cut("big.csv", after=5 * MIB)
        store = place.behind(front.url).store()
        read(store, listed(store)["big.csv"], tmp_path)
        ranges = [request.headers.get("range") for request in front.seen if "big.csv" in request.target]
    assert ranges == [None, f"bytes={5 * MIB}-"]


def test_an_object_that_is_replaced_while_its_download_is_cut_is_never_mixed(bucket: Place, tmp_path: Path) -> None:
    """The rest would come from the new version."""
    bucket.put("big.csv", b"1" * (9 * MIB))
    with faulty_front(bucket.endpoint_url or "") as front:
        # Azure's library reads in ranges of 4 MiB: its first one is whole, and the next one is of the new version.
        front.cut("big.csv", after=int(4.5 * MIB), then=partial(bucket.put, "big.csv", b"2" * (9 * MIB)))
        store = bucket.behind(front.url).store()
        item = listed(store)["big.csv"]
        with pytest.raises(ObjectChanged):
            store.download(item, tmp_path / "big.csv")


def test_a_connection_that_is_cut_again_and_again_is_given_up(make_place: Callable, tmp_path: Path) -> None:
    place = make_place("s3")
    place.put("big.csv", os.urandom(MIB))
    with faulty_front(place.endpoint_url or "") as front:
        front.cut("big.csv", after=1_000, times=100)
        store = place.behind(front.url).store()
        item = listed(store)["big.csv"]
        with pytest.raises(StoreError, match=r"s3://.*/big\.csv"):
            store.download(item, tmp_path / "big.csv")
    assert len(place.reads()) < 10


# --- refusals: place, permission, what to do, and no secret ------------------------------------------


def refusal(store_of: Callable[[], ObjectStore], kind: type[StoreError] = AccessDenied) -> str:
    """What is said when a store cannot be listed."""
    with pytest.raises(kind) as error:
        list(store_of().list("billing-exports/"))
    assert_holds_none(said(error.value), *SECRETS)
    return str(error.value)


# Of every refusal below; the secrets that servers make up are checked where they are used.
SECRETS = ["wJalrXUtnFEMI-not-the-secret", "right-external-id", "wrong-external-id"]


def test_a_missing_bucket_is_said(bucket: Place, azure: AzureServer, tmp_path: Path) -> None:
    missing = bucket.url.replace(bucket.url.split("/")[2], "missing-bucket")
    auth: Auth | None = bucket.auth
    if bucket.kind == "azure":
        # A SAS token belongs to one container, so its own error comes first.
        auth = AzureAuth(account_key=azure.account_key)
    message = refusal(lambda: open_store(missing, auth, bucket.endpoint_url)[0], NotFound)
    assert "missing-bucket" in message
    assert "check the connection's url" in message
    item = StoredObject("x.csv", "1", 1, datetime.now(UTC))
    with pytest.raises(StoreError):
        open_store(missing, auth, bucket.endpoint_url)[0].download(item, tmp_path / "x.csv")


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    message = refusal(lambda: open_store(str(tmp_path / "missing"))[0], NotFound)
    assert message == f"there is no folder {tmp_path / 'missing'}; check the connection's url"


def s3_user(s3: S3Server, *allowed: dict[str, object]) -> S3Auth:
    """Access keys of a new user with these statements."""
    iam, name = s3.client("iam"), f"user-{secrets.token_hex(4)}"
    iam.create_user(UserName=name)
    statements = [{"Effect": "Allow", **statement} for statement in allowed]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    iam.put_user_policy(UserName=name, PolicyName="allowed", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return S3Auth(access_key_id=key["AccessKeyId"], secret_access_key=key["SecretAccessKey"])


def test_s3_says_when_listing_is_not_allowed(s3: S3Server, make_place: Callable[[str], Place]) -> None:
    place = make_place("s3")
    name = place.url.split("/")[2]
    auth = s3_user(s3, {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{name}/*"})
    with s3.enforce_iam():
        message = refusal(lambda: open_store(place.url, auth, s3.endpoint_url)[0])
    assert message == (
        f"Access Denied: s3:ListBucket on s3://{name}/billing-exports/ is not allowed for the access key of "
        f"auth.access_key_id. Its policy has to grant s3:ListBucket on the bucket itself (arn:aws:s3:::{name})"
    )
    assert_holds_none(message, auth.access_key_id or "", auth.secret_access_key or "")


def test_s3_says_when_reading_is_not_allowed(s3: S3Server, make_place: Callable[[str], Place], tmp_path: Path) -> None:
    place = make_place("s3")
    place.put("2025-03/x.csv", b"x")
    name = place.url.split("/")[2]
    auth = s3_user(s3, {"Action": "s3:ListBucket", "Resource": f"arn:aws:s3:::{name}"})
    with s3.enforce_iam():
        store = open_store(place.url, auth, s3.endpoint_url)[0]
        item = listed(store)["2025-03/x.csv"]
        with pytest.raises(AccessDenied) as error:
            store.download(item, tmp_path / "x.csv")
    assert f"s3:GetObject on s3://{name}/2025-03/x.csv is not allowed" in str(error.value)
    assert f"arn:aws:s3:::{name}/*" in str(error.value)
    assert "kms:Decrypt" in str(error.value)


@pytest.mark.parametrize("wrong", ["secret", "key"])
def test_s3_says_when_the_access_key_is_not_accepted(
    s3: S3Server, make_place: Callable[[str], Place], wrong: str
) -> None:
    place = make_place("s3")
    user = s3_user(s3, {"Action": "*", "Resource": "*"})
    auth = S3Auth(
        access_key_id=user.access_key_id if wrong == "secret" else "AKIAUNKNOWNKEY000000",
        secret_access_key="wJalrXUtnFEMI-not-the-secret",
    )
    with s3.enforce_iam():
        message = refusal(lambda: open_store(place.url, auth, s3.endpoint_url)[0])
    assert message.startswith(f"Access Denied: {place.url}billing-exports/ does not accept the access key of auth.")
    assert "belongs to its secret" in message
    assert_holds_none(message, auth.access_key_id or "")


@pytest.mark.parametrize("external_id", ["wrong-external-id", None])
def test_s3_says_when_the_role_cannot_be_assumed(
    s3: S3Server, make_place: Callable[[str], Place], external_id: str | None
) -> None:
    place = make_place("s3")
    name = place.url.split("/")[2]
    role = s3.create_reader_role(name, "billing-exports/", "right-external-id")
    auth = S3Auth(
        access_key_id=role.access_key_id,
        secret_access_key=role.secret_access_key,
        role_arn=role.role_arn,
        external_id=external_id,
    )
    with s3.enforce_iam():
        message = refusal(lambda: open_store(place.url, auth, s3.endpoint_url)[0])
    assert message.startswith("Access Denied: ")
    for named in (
        f"s3://{name}",
        role.role_arn,
        "sts:AssumeRole",
        "trust policy",
        "auth.external_id",
        "sts:ExternalId",
    ):
        assert named in message
    assert_holds_none(message, role.access_key_id, role.secret_access_key)


def test_s3_says_when_an_object_is_archived(s3: S3Server, make_place: Callable[[str], Place], tmp_path: Path) -> None:
    """Buckets of bills often have a life-cycle rule for old months."""
    place = make_place("s3")
    name = place.url.split("/")[2]
    s3.client("s3").put_object(Bucket=name, Key="2024-01/x.csv", Body=b"x", StorageClass="GLACIER")
    store = place.store()
    with pytest.raises(StoreError, match=r"2024-01/x\.csv.*archive.*restore") as error:
        store.download(listed(store)["2024-01/x.csv"], tmp_path / "x.csv")
    assert not isinstance(error.value, AccessDenied | ObjectChanged)


@pytest.mark.parametrize("kind", ["expired", "cannot list", "wrong key", "not a key", "garbage token"])
def test_azure_says_why_it_refuses(azure: AzureServer, make_place: Callable[[str], Place], kind: str) -> None:
    place = make_place("azure")
    name = place.url.split("/")[2]
    auth, named = {
        "expired": (
            AzureAuth(sas_token=azure.sas(name, expiry=datetime.now(UTC) - timedelta(minutes=1))),
            ("auth.sas_token", "expired", "make a new one"),
        ),
        "cannot list": (AzureAuth(sas_token=azure.sas(name, permissions="r")), ("auth.sas_token", "read and list")),
        "wrong key": (AzureAuth(account_key="bm90IHRoZSByaWdodCBhY2NvdW50IGtleQ=="), ("auth.account_key", "rotated")),
        "not a key": (AzureAuth(account_key="not-base64-at-all!"), ("auth.account_key", "base64")),
        "garbage token": (AzureAuth(sas_token="pasted-something-else"), ("auth.sas_token",)),
    }[kind]
    message = refusal(lambda: open_store(place.url, auth, azure.blob_endpoint)[0])
    assert message.startswith(f"Access Denied: may not list {azure.blob_endpoint}/{name}/billing-exports/ with the ")
    for word in named:
        assert word in message
    with pytest.raises(AccessDenied) as error:
        list(open_store(place.url, auth, azure.blob_endpoint)[0].list(""))
    assert_holds_none(said(error.value), auth.sas_token or auth.account_key or "")
    assert "sig=" not in said(error.value)


def test_azure_says_when_reading_is_not_allowed(azure: AzureServer, make_place: Callable, tmp_path: Path) -> None:
    place = make_place("azure")
    place.put("2025-03/x.csv", b"x")
    name = place.url.split("/")[2]
    auth = AzureAuth(sas_token=azure.sas(name, permissions="l"))
    store = open_store(place.url, auth, azure.blob_endpoint)[0]
    item = listed(store)["2025-03/x.csv"]
    with pytest.raises(AccessDenied, match=r"may not read .*/2025-03/x\.csv with the SAS token.*read and list"):
        store.download(item, tmp_path / "x.csv")


def test_google_says_when_it_refuses(gcs: GcsServer, make_place: Callable[[str], Place], tmp_path: Path) -> None:
    place = make_place("gcs")
    place.put("2025-03/x.csv", b"x")
    item = listed(place.store())["2025-03/x.csv"]
    gcs.deny(place.url.split("/")[2])
    message = refusal(place.store)
    assert message.startswith(f"Access Denied: may not list {place.url}billing-exports/ with the ")
    assert "Storage Object Viewer" in message
    with pytest.raises(AccessDenied, match=r"may not read .*2025-03/x\.csv"):
        place.store().download(item, tmp_path / "x.csv")


@contextmanager
def no_rights_on(folder: Path) -> Iterator[None]:
    """Meanwhile this process may not look into the folder, even when it is run by root."""
    folder.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o700)


def test_a_local_folder_says_when_it_may_not_be_read() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        month = root / "2025-03"
        month.mkdir()
        (month / "x.csv").write_bytes(b"x")
        store = open_store(name)[0]
        item = listed(store)["2025-03/x.csv"]
        with no_rights_on(month):
            for attempt in (
                lambda: list(store.list("2025-03/")),
                lambda: store.list_level("2025-03/"),
                lambda: store.download(item, root / "x.csv"),
            ):
                with pytest.raises(AccessDenied, match=r"^Access Denied: cannot read .*2025-03.*: give this user"):
                    attempt()


def test_a_store_out_of_reach_is_said(bucket: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not as a refusal: it may pass by itself."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr("focus_pipeline.connections.stores.gcs._LIST_RETRY", DEFAULT_RETRY.with_timeout(0.2))
    nowhere = bucket.behind("http://127.0.0.1:1/account")
    with pytest.raises(StoreError) as error:
        list(nowhere.store().list("billing-exports/"))
    assert not isinstance(error.value, AccessDenied | NotFound)
    assert "billing-exports/" in str(error.value)
    assert "cannot be reached" in str(error.value)
    assert "sig=" not in said(error.value)
