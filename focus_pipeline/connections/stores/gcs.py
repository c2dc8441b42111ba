"""Google Cloud Storage over google-cloud-storage.

Permissions used: storage.objects.list and storage.objects.get, as in the role Storage Object Viewer.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Without this the library asks for the bucket's metadata, which takes a permission that reading objects does not.
os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")

from google.api_core.exceptions import GoogleAPICallError, GoogleAPIError
from google.api_core.exceptions import NotFound as GoogleNotFound
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, MalformedError
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY
from requests.exceptions import RequestException

from focus_pipeline.connections.auth import GcsAuth
from focus_pipeline.connections.delivery import StoredObject
from focus_pipeline.connections.stores import (
    AccessDenied,
    Level,
    NotFound,
    StoreError,
    removed,
    replaced,
)

_LIST_RETRY = DEFAULT_RETRY.with_timeout(60)
# Counted from the start of a download, and a large object that is cut late has to be read on.
_READ_RETRY = DEFAULT_RETRY.with_timeout(600)


class GcsStore:
    """One bucket. Raises AccessDenied already here when the credentials cannot be used."""

    def __init__(self, bucket: str, auth: GcsAuth, endpoint_url: str | None = None) -> None:
        self.address = f"gs://{bucket}"
        self._auth = auth
        try:
            self._client = _client(auth, endpoint_url)
        except (GoogleAuthError, ValueError, OSError) as error:
            raise self._no_credentials(_fault(error)) from None
        self._bucket = self._client.bucket(bucket)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        with self._explained("list", prefix):
            yield from map(_stored_object, self._client.list_blobs(self._bucket, prefix=prefix, retry=_LIST_RETRY))

    def list_level(self, prefix: str) -> Level:
        with self._explained("list", prefix):
            listing = self._client.list_blobs(self._bucket, prefix=prefix, delimiter="/", retry=_LIST_RETRY)
            objects = tuple(map(_stored_object, listing))
            return Level(tuple(sorted(listing.prefixes)), objects)

    def download(self, item: StoredObject, path: Path) -> None:
        with self._explained("read", item.key):
            self._bucket.blob(item.key, chunk_size=None).download_to_filename(
                str(path), if_generation_match=int(item.etag), raw_download=True, retry=_READ_RETRY
            )

    @contextmanager
    def _explained(self, action: str, key: str) -> Iterator[None]:
        """Turns the library's errors into ours: place, permission, what to do."""
        place = f"{self.address}/{key}"
        try:
            yield
        except GoogleNotFound:
            if action == "read":
                raise removed(place) from None
            raise NotFound(f"there is no bucket {self.address}; check the connection's url") from None
        except GoogleAPICallError as error:
            if error.code == 412:
                raise replaced(place) from None
            if error.code in (401, 403):
                raise AccessDenied(
                    f"Access Denied: may not {action} {place} with {self._auth.described}. Grant the role Storage "
                    "Object Viewer (storage.objects.list, storage.objects.get) on the bucket"
                ) from None
            raise StoreError(f"could not {action} {place}: {error.message} (HTTP {error.code})") from error
        except GoogleAuthError as error:
            raise self._no_credentials(_fault(error)) from None
        except DataCorruption as error:
            raise StoreError(f"could not {action} {place}: its checksum is not that of the bytes; try again") from error
        except (GoogleAPIError, RequestException, ConnectionError) as error:
            raise StoreError(
                f"could not {action} {place}: the store cannot be reached or broke off ({type(error).__name__}). Check "
                "the connection's endpoint_url and this machine's network"
            ) from error

    def _no_credentials(self, fault: str) -> AccessDenied:
        return AccessDenied(
            f"Access Denied: {self._auth.described} cannot be used for {self.address}: {fault}. Give a valid key as "
            "auth.service_account_file or auth.service_account_key, or set up application default credentials"
        )


def _fault(error: Exception) -> str:
    """What is wrong with credentials. Only sentences that cannot hold a part of a key are passed on."""
    if isinstance(error, MalformedError | DefaultCredentialsError):
        return str(error).rstrip(".")
    if isinstance(error, ValueError):
        return "its private_key cannot be read"
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    return f"Google does not accept it ({type(error).__name__}); it may have been deleted or disabled"


def _client(auth: GcsAuth, endpoint_url: str | None) -> storage.Client:
    options = {"api_endpoint": endpoint_url} if endpoint_url else None
    if auth.service_account_key or auth.service_account_file:
        return storage.Client.from_service_account_info(_key(auth), client_options=options)
    if endpoint_url:
        # An emulator has no accounts.
        return storage.Client(project="emulator", credentials=AnonymousCredentials(), client_options=options)
    # Reading objects takes no project, and not all default credentials name one.
    return storage.Client(project=None, client_options=options)


def _key(auth: GcsAuth) -> dict:
    text = auth.service_account_key or Path(auth.service_account_file).read_text("utf-8", "replace")
    try:
        key = json.loads(text)
    except ValueError:
        key = None
    if not isinstance(key, dict):
        raise MalformedError("it is not the JSON text of a key")
    return key


def _stored_object(blob: storage.Blob) -> StoredObject:
    # The generation changes with every write of the object; unlike the ETag, metadata edits leave it alone.
    return StoredObject(key=blob.name, etag=str(blob.generation), size=blob.size, last_modified=blob.updated)
