"""From a connection's `url`, `auth` and `endpoint_url` to an object store and a prefix in it."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from focus_pipeline.connections.auth import Auth, AzureAuth, GcsAuth, S3Auth
from focus_pipeline.connections.stores import ObjectStore

SCHEMES = "s3://, gs://, az://, abfss://, https://<account>.blob.core.windows.net, file:/// or a local path"


class InvalidUrl(ValueError):
    """The url of a connection cannot be used. The message says why and never repeats what may be a secret."""


def auth_type(url: str) -> type[Auth] | None:
    """Which credentials a url takes: S3Auth, AzureAuth, GcsAuth, or None for a local folder. Raises InvalidUrl."""
    scheme = urlsplit(url).scheme.lower()
    if scheme in ("", "file"):
        return None
    if scheme == "s3":
        return S3Auth
    if scheme == "gs":
        return GcsAuth
    if scheme in ("az", "abfss", "abfs", "https"):
        return AzureAuth
    raise InvalidUrl(f"a url of the kind {scheme}:// is not known; use {SCHEMES}")


def check_url(url: str, auth: Auth | None) -> None:
    """Raises InvalidUrl when the url cannot be read, holds a secret, or does not go with the auth given."""
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise InvalidUrl(
            "the url has something after a '?' or '#'. If that is a SAS token, move it to auth.sas_token "
            "as '{{ env.NAME }}', where it is kept out of logs"
        )
    if parts.password or (parts.username and parts.scheme not in ("abfss", "abfs")):
        raise InvalidUrl("the url holds a user name or password; move it to auth as '{{ env.NAME }}'")
    if "=" in url.split("/", 1)[0]:
        raise InvalidUrl("the url looks like a connection string; give the container's address and auth.account_key")
    expected = auth_type(url)
    if auth is not None and (expected is None or not isinstance(auth, expected)):
        wanted = "no auth at all" if expected is None else f"an auth of: {', '.join(expected.model_fields)}"
        raise InvalidUrl(f"the auth does not fit the url: a {parts.scheme or 'local'} url takes {wanted}")


def open_store(url: str, auth: Auth | None = None, endpoint_url: str | None = None) -> tuple[ObjectStore, str]:
    """The store and the prefix in it, which is "" or ends in a slash, and is otherwise taken as it is written.

    Raises InvalidUrl; StoreError already here where credentials cannot be used.
    """
    check_url(url, auth)
    parts = urlsplit(url)
    kind = auth_type(url)
    if kind is None:
        from focus_pipeline.connections.stores.local import LocalStore

        return LocalStore(Path(unquote(parts.path) if parts.scheme else url).expanduser()), ""
    # Only the one slash between bucket and key belongs to neither: s3://bucket//key has a key that starts with one.
    path = url.partition("://")[2].partition("/")[2]
    if kind is S3Auth:
        from focus_pipeline.connections.stores.s3 import S3Store

        return S3Store(parts.netloc, auth or S3Auth(), endpoint_url), _as_folder(path)
    if kind is GcsAuth:
        from focus_pipeline.connections.stores.gcs import GcsStore

        return GcsStore(parts.netloc, auth or GcsAuth(), endpoint_url), _as_folder(path)
    from focus_pipeline.connections.stores.azure_blob import AzureBlobStore

    auth = auth or AzureAuth()
    account_url, container, path = _azure_place(parts.scheme, parts.netloc, path, auth, endpoint_url)
    return AzureBlobStore(account_url, container, auth), _as_folder(path)


def _azure_place(
    scheme: str, netloc: str, path: str, auth: AzureAuth, endpoint_url: str | None
) -> tuple[str, str, str]:
    if scheme == "https":
        container, _, path = path.partition("/")
        if not container:
            raise InvalidUrl(f"the url names no container: https://{netloc}/<container>/<folder>")
        return endpoint_url or f"https://{netloc}", container, path
    if scheme in ("abfss", "abfs"):
        container, _, host = netloc.partition("@")
        if not host:
            raise InvalidUrl("write it as abfss://<container>@<account>.dfs.core.windows.net/<folder>")
        return endpoint_url or f"https://{host.replace('.dfs.', '.blob.', 1)}", container, path
    if not (endpoint_url or auth.account_name):
        raise InvalidUrl("an az:// url names the container only; auth.account_name is missing")
    return endpoint_url or f"https://{auth.account_name}.blob.core.windows.net", netloc, path


def _as_folder(path: str) -> str:
    return path if not path or path.endswith("/") else f"{path}/"
