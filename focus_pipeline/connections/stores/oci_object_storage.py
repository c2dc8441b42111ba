"""Oracle's Object Storage, over the oci SDK, which the extra `oci` of this project installs.

Permissions used: to read objects in the tenancy of the bucket, nothing else.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import urllib3

from focus_pipeline.connections.auth import OciAuth
from focus_pipeline.connections.delivery import StoredObject
from focus_pipeline.connections.store_errors import AccessDenied, NotFound, StoreError
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

try:
    import oci
except ImportError:  # an extra, for it takes as much room as all else together
    raise AccessDenied(
        "oci:// urls need Oracle's SDK, which is not installed: pip install 'oci>=2.150,<3' into .venv"
    ) from None

_FIELDS = "name,size,etag,timeModified"
_TIMEOUT = (10, 60)
_BROKEN_OFF = (
    oci.exceptions.BaseRequestException,
    oci.exceptions.BaseConnectTimeout,
    ConnectionError,
    TimeoutError,
    urllib3.exceptions.HTTPError,
)
_UNUSABLE = (
    oci.exceptions.InvalidKeyFilePath,
    oci.exceptions.InvalidPrivateKey,
    oci.exceptions.MissingPrivateKeyPassphrase,
    oci.exceptions.ConfigFileNotFound,
    oci.exceptions.InvalidConfig,
    oci.exceptions.ProfileNotFound,
)


class OciStore:
    """One bucket of a namespace. Raises AccessDenied already here when the credentials cannot be used."""

    def __init__(self, namespace: str, bucket: str, auth: OciAuth, endpoint_url: str | None = None) -> None:
        self.namespace, self.bucket = namespace, bucket
        self.address = f"oci://{bucket}@{namespace}"
        self._auth = auth
        with self._explained("open"):
            self._client = _client(auth, endpoint_url)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        for page in self._pages(prefix):
            yield from page.objects

    def list_level(self, prefix: str) -> Level:
        pages = list(self._pages(prefix, delimiter="/"))
        return Level(
            tuple(folder for page in pages for folder in page.folders),
            tuple(item for page in pages for item in page.objects),
        )

    def download(self, item: StoredObject, path: Path) -> None:
        with self._explained("read", item.key), path.open("wb") as file:
            answer = self._client.get_object(self.namespace, self.bucket, item.key, if_match=item.etag)
            if answer.headers.get("etag") != item.etag:
                raise ValueError("the answer is not the version that was asked for")
            for chunk in answer.data.raw.stream(CHUNK_BYTES, decode_content=False):
                file.write(chunk)

    def _pages(self, prefix: str, **more: str) -> Iterator[Level]:
        start: dict[str, str] = {}
        with self._explained("list", prefix):
            while True:
                page = self._client.list_objects(
                    self.namespace, self.bucket, prefix=prefix, fields=_FIELDS, **more, **start
                ).data
                yield Level(tuple(page.prefixes or ()), tuple(map(_stored_object, page.objects)))
                if not page.next_start_with:
                    return
                start = {"start": page.next_start_with}

    @contextmanager
    def _explained(self, action: str, key: str = "") -> Iterator[None]:
        """Turns the library's errors into ours; only its codes are passed on."""
        place = f"{self.address}/{key}"
        try:
            yield
        except oci.exceptions.ServiceError as error:
            code = one_word(error.code)
            if error.status == 412:
                raise replaced(place) from None
            if error.code == "ObjectNotFound":
                raise removed(place) from None
            if error.status in (401, 403) or error.code in ("NotAuthorizedOrNotFound", "BucketNotFound"):
                # Oracle does not tell what is not there from what one may not see.
                raise AccessDenied(
                    f"Access Denied: {place} is not there, or {self._auth.described} may not {action} it "
                    f"({code}). Check the bucket, which for Oracle's reports is named as the tenancy's OCID, and "
                    "the policy: endorse group <group> to read objects in tenancy usage-report"
                ) from None
            if error.status == 404:
                raise NotFound(f"there is no {place} ({code}); check the connection's url") from None
            raise unexplained(f"to {action} {place} failed", f"{code} (HTTP {error.status})") from None
        except _UNUSABLE as error:
            raise AccessDenied(
                f"Access Denied: {self._auth.described} cannot be used ({type(error).__name__}): check auth.config_file"
                " and auth.profile, and that the file has user, fingerprint, tenancy, region and key_file"
            ) from None
        except _BROKEN_OFF as error:
            raise StoreError(
                f"to {action} {place} failed: the store cannot be reached or broke off ({type(error).__name__}). Check "
                "the connection's endpoint_url and this machine's network"
            ) from None
        except (StoreError, MemoryError, OSError):
            raise
        except Exception as error:
            raise not_understood(f"to {action} {place} failed", error) from None


def _retries() -> object:
    # Waits of some 15 seconds in all, where the SDK's own add up to minutes.
    return oci.retry.RetryStrategyBuilder(max_attempts=5, retry_max_wait_between_calls_seconds=8).get_retry_strategy()


def _client(auth: OciAuth, endpoint_url: str | None) -> "oci.object_storage.ObjectStorageClient":
    where = {"service_endpoint": endpoint_url} if endpoint_url else {}
    common = {"retry_strategy": _retries(), "timeout": _TIMEOUT, **where}
    if auth.instance_principal:
        signer = oci.auth.signers.InstancePrincipalsSecurityTokenSigner()
        return oci.object_storage.ObjectStorageClient({"region": signer.region}, signer=signer, **common)
    config = oci.config.from_file(auth.config_file, auth.profile)
    remember(config.get("pass_phrase"), "pass_phrase of auth.config_file")
    return oci.object_storage.ObjectStorageClient(config, **common)


def _stored_object(entry: "oci.object_storage.models.ObjectSummary") -> StoredObject:
    return StoredObject(entry.name, entry.etag, entry.size, entry.time_modified)
