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

from google.api_core.exceptions import GoogleAPICallError
from google.api_core.exceptions import NotFound as GoogleNotFound
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage
from google.resumable_media import DataCorruption

from focus_pipeline.connections.auth import GcsAuth
from focus_pipeline.connections.delivery import StoredObject
from focus_pipeline.connections.stores import (
    AccessDenied,
    Level,
    NotFound,
    ObjectChanged,
    StoreError,
)


class GcsStore:
    """One bucket."""

    def __init__(self, bucket: str, auth: GcsAuth, endpoint_url: str | None = None) -> None:
        self.address = f"gs://{bucket}"
        self._auth = auth
        with self._explained("open", ""):
            self._client = _client(auth, endpoint_url)
        self._bucket = self._client.bucket(bucket)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        with self._explained("list", prefix):
            yield from map(_stored_object, self._client.list_blobs(self._bucket, prefix=prefix))

    def list_level(self, prefix: str) -> Level:
        with self._explained("list", prefix):
            listing = self._client.list_blobs(self._bucket, prefix=prefix, delimiter="/")
            objects = tuple(map(_stored_object, listing))
            return Level(tuple(sorted(listing.prefixes)), objects)

    def download(self, item: StoredObject, path: Path) -> None:
        with self._explained("read", item.key):
            self._bucket.blob(item.key, chunk_size=None).download_to_filename(
                str(path), if_generation_match=int(item.etag), raw_download=True
            )

    @contextmanager
    def _explained(self, action: str, key: str) -> Iterator[None]:
        """Turns the library's errors into ours: place, permission, what to do."""
        place = f"{self.address}/{key}"
        try:
            yield
        except GoogleNotFound as error:
            if action == "read":
                raise ObjectChanged(f"{place} was listed and is gone now; the provider is delivering") from None
            raise NotFound(f"there is no bucket {self.address}; check the connection's url") from error
        except GoogleAPICallError as error:
            if error.code == 412:
                raise ObjectChanged(f"{place} changed after it was listed; the provider is delivering") from None
            if error.code in (401, 403):
                raise AccessDenied(
                    f"Access Denied: may not {action} {place} with {self._auth.described}. Grant the role Storage "
                    "Object Viewer (storage.objects.list, storage.objects.get) on the bucket"
                ) from None
            raise StoreError(f"could not {action} {place}: {error.message} (HTTP {error.code})") from error
        except (GoogleAuthError, ValueError) as error:
            raise AccessDenied(
                f"Access Denied: no usable Google credentials for {self.address} with {self._auth.described}: "
                f"{type(error).__name__}. Give auth.service_account_file or auth.service_account_key, or set up "
                "application default credentials"
            ) from None
        except (DataCorruption, ConnectionError) as error:
            raise StoreError(f"could not {action} {place}: {type(error).__name__}") from error


def _client(auth: GcsAuth, endpoint_url: str | None) -> storage.Client:
    options = {"api_endpoint": endpoint_url} if endpoint_url else None
    if auth.service_account_key:
        return storage.Client.from_service_account_info(
            json.loads(auth.service_account_key), client_options=options
        )
    if auth.service_account_file:
        return storage.Client.from_service_account_json(auth.service_account_file, client_options=options)
    if endpoint_url:
        # An emulator has no accounts.
        return storage.Client(project="emulator", credentials=AnonymousCredentials(), client_options=options)
    return storage.Client(client_options=options)


def _stored_object(blob: storage.Blob) -> StoredObject:
    # The generation changes with every write of the object; unlike the ETag, metadata edits leave it alone.
    return StoredObject(
        key=blob.name, etag=str(blob.generation), size=blob.size, last_modified=blob.updated
    )
