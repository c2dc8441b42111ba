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
from google.api_core.page_iterator import HTTPIterator
from google.auth.exceptions import GoogleAuthError, TransportError
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption
from google.cloud.storage.retry import DEFAULT_RETRY
from requests.exceptions import InvalidJSONError, RequestException, TooManyRedirects

from focus_pipeline.connections.auth import GoogleAuth
from focus_pipeline.connections.delivery import StoredObject
from focus_pipeline.connections.google_credentials import google_credentials, no_credentials, unreachable
from focus_pipeline.connections.store_errors import AccessDenied, NotFound, StoreError
from focus_pipeline.connections.stores import Level, not_understood, one_line, removed, replaced, unexplained

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
            yield from map(_stored_object, self._listing(prefix))

    def list_level(self, prefix: str) -> Level:
        with self._explained("list", prefix):
            listing = self._listing(prefix, delimiter="/")
            objects = tuple(map(_stored_object, listing))
            return Level(tuple(sorted(listing.prefixes)), objects)

    def download(self, item: StoredObject, path: Path) -> None:
        with self._explained("read", item.key):
            blob = self._bucket.blob(item.key, chunk_size=None)
            blob.download_to_filename(
                str(path), if_generation_match=int(item.etag), raw_download=True, retry=_READ_RETRY
            )
            if blob.generation != int(item.etag):
                raise ValueError("the answer is not the version that was asked for")

    def _listing(self, prefix: str, **more: str) -> HTTPIterator:
        listing = self._client.list_blobs(self._bucket, prefix=prefix, retry=_LIST_RETRY, **more)
        ask = listing.api_request

        def checked(**request: object) -> dict:
            page = ask(**request)
            # The library takes any JSON for a listing of nothing.
            if page.get("kind") != "storage#objects":
                raise ValueError("the answer is no listing")
            return page

        listing.api_request = checked
        return listing

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
            raise unexplained(f"could not {action} {place}", f"HTTP {error.code}, {one_line(error.message)}") from None
        except TransportError as error:
            raise unreachable(self._auth, self.address, error) from None
        except GoogleAuthError as error:
            raise no_credentials(self._auth, self.address, error) from None
        except DataCorruption:
            raise StoreError(f"could not {action} {place}: its checksum is not that of the bytes; try again") from None
        except (TooManyRedirects, InvalidJSONError) as error:
            raise not_understood(f"could not {action} {place}", error) from None
        except (GoogleAPIError, RequestException, ConnectionError) as error:
            raise StoreError(
                f"could not {action} {place}: the store cannot be reached or broke off ({type(error).__name__}). Check "
                "the connection's endpoint_url and this machine's network"
            ) from None
        except (StoreError, MemoryError, OSError):
            raise
        except Exception as error:
            raise not_understood(f"could not {action} {place}", error) from None


def _stored_object(blob: storage.Blob) -> StoredObject:
    # The generation changes with every write of the object; unlike the ETag, metadata edits leave it alone.
    return StoredObject(key=blob.name, etag=str(blob.generation), size=blob.size, last_modified=blob.updated)
