"""Azure Blob Storage over azure-storage-blob.

Permissions used: the role Storage Blob Data Reader on the container, or a SAS token with read and list.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from azure.core import MatchConditions
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    DecodeError,
    HttpResponseError,
    ResourceModifiedError,
    ResourceNotFoundError,
    TooManyRedirectsError,
)
from azure.storage.blob import BlobPrefix, BlobProperties, ContainerClient

from focus_pipeline.connections.auth import AzureAuth
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

# One retry policy for all calls: waits of about 1, 3, 5 and 9 seconds, where the library's own add up to minutes.
_RETRIES = {"retry_total": 4, "initial_backoff": 1, "increment_base": 2, "random_jitter_range": 1}
_TIMEOUTS = {"connection_timeout": 10, "read_timeout": 60}
_SCOPE = "https://storage.azure.com/.default"
_ENTRA_CODE = re.compile(r"AADSTS\d+")
# https://learn.microsoft.com/entra/identity-platform/reference-error-codes
_ENTRA_HINTS = {
    "AADSTS7000215": "auth.client_secret is not a secret of this client_id: give the secret's value, not its ID.",
    "AADSTS7000222": "The secret of auth.client_secret has expired: make a new one.",
    "AADSTS700016": "auth.client_id is not known in the tenant of auth.tenant_id.",
    "AADSTS90002": "The tenant of auth.tenant_id is not known.",
}


class AzureBlobStore:
    """One container. account_url: `https://<account>.blob.core.windows.net` or an emulator's endpoint."""

    def __init__(self, account_url: str, container: str, auth: AzureAuth) -> None:
        self.address = f"{account_url.rstrip('/')}/{container}"
        self.container = container
        self._auth = auth
        try:
            credential = _credential(auth)
        except ValueError:
            raise AccessDenied(
                f"Access Denied: {auth.described} cannot be used for {self.address}: auth.tenant_id is no tenant. Give "
                "the directory's ID, or one of its domains"
            ) from None
        if hasattr(credential, "get_token"):
            # Once before any request: the retry policy of requests would try a wrong secret for half a minute.
            with self._explained("list", ""):
                remember(credential.get_token(_SCOPE).token, "access token", passing=True)
        try:
            self._client = ContainerClient(
                account_url,
                container,
                credential=credential,
                max_single_get_size=CHUNK_BYTES,
                max_chunk_get_size=CHUNK_BYTES,
                **_TIMEOUTS,
                **_RETRIES,
            )
        except ValueError as error:
            # The library's sentence names the part that does not fit, such as the account's name, never its value.
            raise AccessDenied(
                f"Access Denied: {auth.described} cannot be used for {self.address}: {error}. Check the connection's "
                "auth; auth.account_name names the account where the url does not"
            ) from None

    def list(self, prefix: str) -> Iterator[StoredObject]:
        with self._explained("list", prefix):
            yield from map(_stored_object, self._client.list_blobs(name_starts_with=prefix or None))

    def list_level(self, prefix: str) -> Level:
        folders: list[str] = []
        objects: list[StoredObject] = []
        with self._explained("list", prefix):
            for entry in self._client.walk_blobs(name_starts_with=prefix or None, delimiter="/"):
                if isinstance(entry, BlobPrefix):
                    folders.append(entry.name)
                else:
                    objects.append(_stored_object(entry))
        return Level(tuple(folders), tuple(objects))

    def download(self, item: StoredObject, path: Path) -> None:
        # The library asks for ranges, each with the ETag, and tries a broken one again by itself.
        with self._explained("read", item.key), path.open("wb") as file:
            self._client.download_blob(
                item.key, etag=f'"{item.etag}"', match_condition=MatchConditions.IfNotModified
            ).readinto(file)

    @contextmanager
    def _explained(self, action: str, key: str) -> Iterator[None]:
        """Turns the library's errors into ours. Its texts may hold a signed address, so only codes are passed on."""
        place = f"{self.address}/{key}"
        try:
            yield
        except ResourceModifiedError:
            raise replaced(place) from None
        except ResourceNotFoundError as error:
            if _code(error) == "ContainerNotFound":
                raise NotFound(f"there is no container {self.address}; check the connection's url") from None
            raise removed(place) from None
        except HttpResponseError as error:
            code = _code(error)
            asked_entra = isinstance(error, ClientAuthenticationError) and error.status_code is None
            # Entra ID's own refusals have a code.
            if asked_entra and self._auth.client_secret and not _ENTRA_CODE.match(code):
                raise StoreError(
                    f"could not {action} {place}: Microsoft Entra ID gives no access token to {self._auth.described}, "
                    "and no reason: it does not know the tenant of auth.tenant_id, or it cannot be reached, or "
                    "something answers in its place. Check auth.tenant_id, and this machine's network and proxy"
                ) from None
            if isinstance(error, ClientAuthenticationError) or error.status_code in (401, 403):
                raise AccessDenied(
                    f"Access Denied: may not {action} {place} with {self._auth.described} ({code}). "
                    f"{_hint(code, self._auth)}"
                ) from None
            if error.status_code == 412:
                raise replaced(place) from None
            if code == "BlobArchived":
                raise Archived(f"{place} is in the archive tier and cannot be read: move it to another tier") from None
            if isinstance(error, TooManyRedirectsError | DecodeError):
                raise not_understood(f"could not {action} {place}", error) from None
            raise unexplained(f"could not {action} {place}", f"{code} (HTTP {error.status_code})") from None
        except AzureError as error:
            raise StoreError(
                f"could not {action} {place}: the store cannot be reached or broke off ({type(error).__name__}). Check "
                "the account's name in the connection's url, its endpoint_url and this machine's network"
            ) from None
        except (StoreError, MemoryError, OSError):
            raise
        except Exception as error:
            raise not_understood(f"could not {action} {place}", error) from None


def _code(error: HttpResponseError) -> str:
    # Entra ID's errors come without a code; their text starts with one.
    if entra := _ENTRA_CODE.search(error.message or ""):
        return entra[0]
    code = getattr(error, "error_code", None)
    return one_word(getattr(code, "value", code) or type(error).__name__)


def _hint(code: str, auth: AzureAuth) -> str:
    if code in _ENTRA_HINTS:
        return _ENTRA_HINTS[code]
    if code in {"ClientAuthenticationError", "CredentialUnavailableError"} and not auth.client_secret:
        return "This machine has none that works: give the connection an auth, or the machine a managed identity."
    renew = "A SAS token may have expired or an account key may have been rotated: make a new one."
    if code == "AuthorizationFailure":
        firewall = "The storage account's firewall may not let this machine in: add its address or network."
        return f"{renew} Or: {firewall}" if auth.sas_token or auth.account_key else firewall
    if code in {"AuthorizationPermissionMismatch", "InsufficientAccountPermissions"}:
        if auth.sas_token:
            return "The SAS token has to permit read and list (sp=rl); make a new one."
        return "Reading blobs takes the role Storage Blob Data Reader on the container; Reader is not enough."
    if code in {"AuthorizationServiceMismatch", "AuthorizationResourceTypeMismatch"}:
        return "The SAS token has to be for the blob service and for containers and objects."
    if code == "AuthenticationFailed":
        return renew
    if code == "AzureSigningError":
        return "The account key is not base64, as account keys are; copy it anew."
    return "Check the connection's auth and that it may read and list this container."


def _credential(auth: AzureAuth) -> object:
    if auth.sas_token:
        return AzureSasCredential(auth.sas_token)
    if auth.account_key and auth.account_name:
        return AzureNamedKeyCredential(auth.account_name, auth.account_key)
    if auth.account_key:
        return auth.account_key
    # Imported here: the identity library loads an HTTP stack that keys and SAS tokens do not need.
    from azure.identity import ClientSecretCredential, DefaultAzureCredential

    if auth.client_secret:
        return ClientSecretCredential(auth.tenant_id, auth.client_id, auth.client_secret, **_RETRIES, **_TIMEOUTS)
    return DefaultAzureCredential(managed_identity_client_id=auth.client_id, **_TIMEOUTS)


def _stored_object(blob: BlobProperties) -> StoredObject:
    return StoredObject(key=blob.name, etag=blob.etag.strip('"'), size=blob.size, last_modified=blob.last_modified)
