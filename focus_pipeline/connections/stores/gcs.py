"""Google Cloud Storage over google-cloud-storage.

Permissions used: storage.objects.list and storage.objects.get, as in the role Storage Object Viewer.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Without this the library asks for the bucket's metadata, which takes a permission that reading objects does not.
os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")

from google.api_core.exceptions import GoogleAPICallError, GoogleAPIError
from google.api_core.exceptions import NotFound as GoogleNotFound
from google.auth.exceptions import GoogleAuthError
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY
from requests.exceptions import RequestException

from focus_pipeline.connections.auth import GoogleAuth
from focus_pipeline.connections.delivery import StoredObject
from focus_pipeline.connections.google_credentials import google_credentials, no_credentials
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

    def __init__(self, bucket: str, auth: GoogleAuth, endpoint_url: str | None = None) -> None:
        self.address = f"gs://{bucket}"
        self._auth = auth
        self._client = storage.Client(
            # Reading objects takes no project, and not all credentials name one.
            project=None,
            credentials=google_credentials(auth, self.address, emulated=endpoint_url is not None),
            client_options={"api_endpoint": endpoint_url} if endpoint_url else None,
        )
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
            raise no_credentials(self._auth, self.address, error) from None
        except DataCorruption as error:
            raise StoreError(f"could not {action} {place}: its checksum is not that of the bytes; try again") from error
        except (GoogleAPIError, RequestException, ConnectionError) as error:
            raise StoreError(
                f"could not {action} {place}: the store cannot be reached or broke off ({type(error).__name__}). Check "
                "the connection's endpoint_url and this machine's network"
            ) from error


def _stored_object(blob: storage.Blob) -> StoredObject:
    # The generation changes with every write of the object; unlike the ETag, metadata edits leave it alone.
    return StoredObject(key=blob.name, etag=str(blob.generation), size=blob.size, last_modified=blob.updated)
