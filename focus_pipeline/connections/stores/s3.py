"""S3 and stores that speak its API, over botocore.

Permissions used: s3:ListBucket on the bucket and s3:GetObject on the prefix, nothing else.
"""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    Credentials,
    RefreshableCredentials,
)
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)
from botocore.loaders import Loader
from botocore.parsers import ResponseParserError
from botocore.session import Session

from focus_pipeline.connections.auth import S3Auth
from focus_pipeline.connections.delivery import StoredObject
from focus_pipeline.connections.store_errors import AccessDenied, Archived, NotFound, StoreError
from focus_pipeline.connections.stores import (
    CHUNK_BYTES,
    Level,
    not_understood,
    one_word,
    removed,
    replaced,
    unexplained,
)
from focus_pipeline.secrets_filter import remember

# One retry policy for all calls: throttling and cut connections are tried again, refusals are not.
_CONFIG = Config(
    retries={"mode": "standard", "max_attempts": 5},
    connect_timeout=10,
    read_timeout=60,
    max_pool_connections=16,
)
# A body that breaks off is read on from where it broke, this many times.
_RESUMES = 4
_BROKEN_OFF = (HTTPClientError, ConnectionError, IncompleteReadError)

_REFUSED = {"AccessDenied", "AllAccessDisabled", "AccountProblem", "403", "Forbidden"}
_UNKNOWN_CREDENTIALS = {
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "AuthFailure",
    "InvalidToken",
    "UnrecognizedClientException",
}
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"}
_NO_CREDENTIALS = (
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    CredentialRetrievalError,
    TokenRetrievalError,
    SSOError,
)


class S3Store:
    """One bucket. Raises AccessDenied already here when a profile or the role cannot be used."""

    def __init__(self, bucket: str, auth: S3Auth, endpoint_url: str | None = None) -> None:
        self.bucket = bucket
        self.address = f"s3://{bucket}"
        self._auth = auth
        with self._explained("open"):
            own = session(auth, endpoint_url)
            self._client = own.create_client(
                "s3",
                endpoint_url=endpoint_url,
                region_name=_region(own),
                config=_addressing(endpoint_url),
            )

    def list(self, prefix: str) -> Iterator[StoredObject]:
        for page in self._pages(prefix):
            yield from map(_stored_object, page.get("Contents", ()))

    def list_level(self, prefix: str) -> Level:
        folders: list[str] = []
        objects: list[StoredObject] = []
        for page in self._pages(prefix, Delimiter="/"):
            folders += [entry["Prefix"] for entry in page.get("CommonPrefixes", ())]
            objects += map(_stored_object, page.get("Contents", ()))
        return Level(tuple(folders), tuple(objects))

    def download(self, item: StoredObject, path: Path) -> None:
        with self._explained("s3:GetObject", item.key), path.open("wb") as file:
            for attempt in range(_RESUMES + 1):
                try:
                    self._stream(item, file)
                    return
                except _BROKEN_OFF:
                    if attempt == _RESUMES:
                        raise

    def _stream(self, item: StoredObject, file: BinaryIO) -> None:
        start = file.tell()
        if start == item.size and item.size:
            return
        wanted = {"Range": f"bytes={start}-"} if start else {}
        answer = self._client.get_object(Bucket=self.bucket, Key=item.key, IfMatch=f'"{item.etag}"', **wanted)
        if answer.get("ETag", "").strip('"') != item.etag:
            raise ResponseParserError("the answer is not the version that was asked for")
        for chunk in answer["Body"].iter_chunks(CHUNK_BYTES):
            file.write(chunk)

    def _pages(self, prefix: str, **more: str) -> Iterator[dict]:
        with self._explained("s3:ListBucket", prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix, **more)
            for page in pages:
                # Without it, the library takes any XML, and no answer at all, for a listing of nothing.
                if "IsTruncated" not in page:
                    raise ResponseParserError("the answer is no listing")
                yield page

    @contextmanager
    def _explained(self, action: str, key: str = "") -> Iterator[None]:
        """Turns the library's errors into ours. Its texts may hold requests and answers: only codes are passed on."""
        place = f"{self.address}/{key}"
        try:
            yield
        except ClientError as error:
            code = one_word(error.response.get("Error", {}).get("Code"))
            if error.operation_name == "AssumeRole":
                raise self._role_refused(code) from None
            if code in {"PreconditionFailed", "412", "InvalidRange"}:
                raise replaced(place) from None
            if code in {"NoSuchKey", "404"}:
                raise removed(place) from None
            if code == "NoSuchBucket":
                raise NotFound(f"there is no bucket {self.bucket}; check the connection's url") from None
            if code == "InvalidObjectState":
                raise Archived(
                    f"{place} is in an archive storage class and cannot be read; restore it, or move it to another"
                ) from None
            if code in _REFUSED:
                raise AccessDenied(
                    f"Access Denied: {action} on {place} is not allowed for {self._auth.described}. "
                    f"{_POLICY_HINT[action].format(bucket=self.bucket)}"
                ) from None
            if code in _UNKNOWN_CREDENTIALS:
                raise AccessDenied(
                    f"Access Denied: {place} does not accept {self._auth.described} ({code}); "
                    "check that the key exists, is active and belongs to its secret"
                ) from None
            if code in _EXPIRED:
                raise AccessDenied(
                    f"Access Denied: {place} does not accept {self._auth.described} any more ({code}); temporary "
                    "credentials have ended: renew them, or use a role, which renews them by itself"
                ) from None
            raise unexplained(f"{action} on {place} failed", code) from None
        except _NO_CREDENTIALS as error:
            raise AccessDenied(
                f"Access Denied: no AWS credentials for {self.address} ({_without_cause(error)}). Set auth.profile, or "
                "auth.access_key_id and auth.secret_access_key, or give this machine an instance role"
            ) from None
        except _BROKEN_OFF as error:
            raise StoreError(
                f"{action} on {place} failed: the store cannot be reached or broke off ({type(error).__name__}). Check "
                "the connection's endpoint_url and this machine's network"
            ) from None
        except BotoCoreError as error:
            raise StoreError(
                f"{action} on {place} failed ({type(error).__name__}). Check the connection's url, auth and "
                "endpoint_url"
            ) from None
        except (StoreError, MemoryError, OSError):
            raise
        except Exception as error:
            if action == "open" and self._auth.role_arn:
                raise not_understood(
                    f"for {self.address} the role {self._auth.role_arn} cannot be assumed at the STS endpoint", error
                ) from None
            raise not_understood(f"{action} on {place} failed", error) from None

    def _role_refused(self, code: str) -> StoreError:
        place = f"for {self.address} the role {self._auth.role_arn} cannot be assumed"
        if code in _REFUSED:
            return AccessDenied(
                f"Access Denied: {place} (sts:AssumeRole). Check that the role exists, that its trust policy names "
                "this identity as principal, and that auth.external_id is the sts:ExternalId it requires"
            )
        if code in _UNKNOWN_CREDENTIALS | _EXPIRED:
            return AccessDenied(
                f"Access Denied: {place}, for STS does not accept the credentials to assume it with ({code}); check "
                "that the key exists, is active, has not expired and belongs to its secret"
            )
        return StoreError(f"{place} ({code}); check auth.role_arn and auth.external_id")


_POLICY_HINT = {
    "s3:ListBucket": "Its policy has to grant s3:ListBucket on the bucket itself (arn:aws:s3:::{bucket})",
    "s3:GetObject": "Its policy has to grant s3:GetObject on the objects (arn:aws:s3:::{bucket}/*, or those below the "
    "prefix), and kms:Decrypt where they are encrypted with a KMS key",
}


def _addressing(endpoint_url: str | None) -> Config:
    # Emulators and S3-compatible stores rarely resolve bucket names as host names.
    return _CONFIG.merge(Config(s3={"addressing_style": "path"})) if endpoint_url else _CONFIG


def session(auth: S3Auth, endpoint_url: str | None) -> Session:
    """The credentials of an auth, those of an assumed role renewed as they end. endpoint_url: to assume it at."""
    own = _session(auth)
    if auth.access_key_id:
        own.set_credentials(auth.access_key_id, auth.secret_access_key, auth.session_token)
    credentials = own.get_credentials()
    if credentials is not None:
        _check(credentials, auth.described)
    if auth.role_arn is None:
        return own
    if credentials is None:
        raise NoCredentialsError
    sts = functools.partial(
        own.create_client,
        endpoint_url=auth.sts_endpoint_url or endpoint_url,
        region_name=_region(own),
        config=_CONFIG,
    )
    external_id = {"ExternalId": auth.external_id} if auth.external_id else {}
    fetcher = AssumeRoleCredentialFetcher(
        sts, credentials, auth.role_arn, {"RoleSessionName": "focus-pipeline", **external_id}
    )
    assumed = _session(auth)
    assumed.register_component("credential_provider", CredentialResolver([_AssumedRole(fetcher)]))
    return assumed


def _check(credentials: Credentials, described: str) -> None:
    """Raises AccessDenied where a part of the credentials cannot be sent: the library would quote it in its error."""
    found = credentials.get_frozen_credentials()
    passing = isinstance(credentials, RefreshableCredentials)
    for name, value in (("access key", found.access_key), ("secret key", found.secret_key), ("token", found.token)):
        remember(value, f"{name} of {credentials.method}", passing=passing)
        if value and not (value.isascii() and value.isprintable()):
            raise AccessDenied(
                f"Access Denied: not tried, for the {name} of {described} ({credentials.method}) holds a line break or "
                "another character that no such value has; set it anew, on one line"
            )


def _without_cause(error: BotoCoreError) -> str:
    # These two quote what a process or a server has said.
    return type(error).__name__ if isinstance(error, CredentialRetrievalError | TokenRetrievalError) else str(error)


def _session(auth: S3Auth) -> Session:
    new = Session(profile=auth.profile)
    if auth.region:
        new.set_config_variable("region", auth.region)
    new.register_component("data_loader", _service_descriptions())
    return new


@functools.cache
def _service_descriptions() -> Loader:
    """botocore's descriptions of AWS's services, which take 0.2 s to read: once, not once for each connection."""
    return Session().get_component("data_loader")


class _AssumedRole(CredentialProvider):
    """A role's credentials for a botocore session. They end after an hour, and are renewed while a month is read."""

    METHOD = "assume-role"

    def __init__(self, fetcher: AssumeRoleCredentialFetcher) -> None:
        super().__init__()
        self._fetcher = fetcher

    def load(self) -> RefreshableCredentials:
        def fetch() -> dict[str, str]:
            given = self._fetcher.fetch_credentials()
            for name in ("access_key", "secret_key", "token"):
                remember(given[name], f"{name} of the role", passing=True)
            return given

        return RefreshableCredentials.create_from_metadata(fetch(), fetch, self.METHOD)


def _region(own: Session) -> str:
    # Any region will do to sign with: S3 says where the bucket is, and botocore follows.
    return own.get_config_variable("region") or "us-east-1"


def _stored_object(entry: dict) -> StoredObject:
    return StoredObject(
        key=entry["Key"],
        etag=entry["ETag"].strip('"'),
        size=entry["Size"],
        last_modified=entry["LastModified"],
    )
