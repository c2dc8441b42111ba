"""The live storage servers, and a fresh place in each of them for every test."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from focus_pipeline import secrets_filter
from focus_pipeline.connections.auth import AzureAuth, S3Auth
from focus_pipeline.connections.delivery import Connection, Delivery
from focus_pipeline.pipeline.judge import judge
from focus_pipeline.pipeline.land import land
from focus_pipeline.pipeline.plan import delivery_of
from focus_pipeline.pipeline.stage import StagedMonth, stage
from focus_pipeline.records.verdicts import Verdict
from focus_pipeline.storage import DataDir
from focus_pipeline_tests.connections.places import Place, local_place
from focus_pipeline_tests.fakes.bigquery import BigQueryServer, bigquery_server
from focus_pipeline_tests.fakes.servers import (
    AzureServer,
    GcsServer,
    S3Server,
    azure_server,
    gcs_server,
    s3_server,
)

BUCKETS = ("s3", "azure", "gcs")


@pytest.fixture(scope="session")
def private_key() -> str:
    """Of RSA, made for these tests, as PEM."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.fixture(scope="session")
def azure() -> Iterator[AzureServer]:
    with azure_server() as server:
        yield server


@pytest.fixture(scope="session")
def gcs() -> Iterator[GcsServer]:
    with gcs_server() as server:
        yield server


@pytest.fixture(scope="session")
def bigquery() -> Iterator[BigQueryServer]:
    with bigquery_server() as server:
        yield server


@pytest.fixture(autouse=True)
def _no_credentials_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_", "GCLOUD_", "STORAGE_EMULATOR")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-aws-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NO_GCE_CHECK", "true")


@pytest.fixture(autouse=True)
def _no_secrets_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process knows every secret that it was given; here each test stands for a process."""
    monkeypatch.setattr(secrets_filter, "_known", secrets_filter.KnownSecrets())


@pytest.fixture
def make_place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Place]:
    """Makes a fresh place in a store of this kind; starts the store's server when it is the first."""

    def make(kind: str) -> Place:
        if kind == "local":
            return local_place(tmp_path / "delivered")
        name = f"b{secrets.token_hex(6)}"
        return {"s3": _in_s3, "azure": _in_azure, "gcs": _in_gcs}[kind](request.getfixturevalue(kind), name)

    return make


@pytest.fixture(params=[*BUCKETS, "local"])
def place(request: pytest.FixtureRequest, make_place: Callable[[str], Place]) -> Place:
    """A fresh place, in every kind of store in turn."""
    return make_place(request.param)


@pytest.fixture(params=BUCKETS)
def bucket(request: pytest.FixtureRequest, make_place: Callable[[str], Place]) -> Place:
    """A fresh place, in every kind of store that is behind a network in turn."""
    return make_place(request.param)


def _in_s3(s3: S3Server, name: str) -> Place:
    s3.create_bucket(name)
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]

    def put_many(keys: Iterable[str]) -> None:
        # Past the API, which takes 7 ms a key.
        for key in keys:
            backend.put_object(name, key, b"x")

    # Signatures are checked only under enforce_iam().
    auth = S3Auth(access_key_id="unchecked", secret_access_key="unchecked")
    put, delete = partial(s3.put, name), partial(s3.delete, name)
    return Place("s3", f"s3://{name}/", auth, s3.endpoint_url, put, delete, put_many, f"/{name}", s3)


def _in_azure(azure: AzureServer, name: str) -> Place:
    azure.create_container(name)
    path, auth = f"/{azure.account_name}/{name}", AzureAuth(sas_token=azure.sas(name))
    put, delete = partial(azure.put, name), partial(azure.delete, name)

    def put_many(keys: Iterable[str]) -> None:
        container = azure.client(azure.account_key).get_container_client(name)
        _in_parallel(lambda key: container.upload_blob(key, b"x"), keys)

    return Place("azure", f"az://{name}/", auth, azure.blob_endpoint, put, delete, put_many, path, azure)


def _in_gcs(gcs: GcsServer, name: str) -> Place:
    gcs.create_bucket(name)
    put, delete = partial(gcs.put, name), partial(gcs.delete, name)

    def put_many(keys: Iterable[str]) -> None:
        bucket = gcs.client().bucket(name)
        _in_parallel(lambda key: bucket.blob(key).upload_from_string(b"x"), keys)

    return Place("gcs", f"gs://{name}/", None, gcs.endpoint_url, put, delete, put_many, f"/storage/v1/b/{name}", gcs)


def _in_parallel(put: Callable[[str], object], keys: Iterable[str]) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, keys))


@dataclass(frozen=True)
class Loaded:
    """A month from its discovery to its verdict."""

    staged: StagedMonth
    verdict: Verdict

    @property
    def billed(self) -> Decimal:
        return sum((Decimal(total.billed_cost) for total in self.staged.totals), Decimal(0))


@pytest.fixture
def load(tmp_path: Path, compiled_rules: Path) -> Callable[..., Loaded]:
    """Brings a month of a connection through landing, staging and judging, as a run does."""
    data_dir = DataDir(tmp_path / "data", cache=compiled_rules)

    def load(
        connection: Connection, month: str, delivery: Delivery | None = None, focus_version: str | None = None
    ) -> Loaded:
        delivery = delivery or delivery_of(month, connection.discover([month]), connection, 2, data_dir)
        assert delivery is not None
        landed = land(connection, delivery, data_dir)
        staged = stage(landed, data_dir, month_rule=connection.month_rule, focus_version=focus_version)
        return Loaded(staged, judge(staged, data_dir, month_rule=connection.month_rule))

    return load


@pytest.fixture
def tick() -> Callable[[], None]:
    """Waits until what is written next has a later time: stores keep whole seconds."""
    return lambda: time.sleep(1.1)
