"""From a connection's `url`, `auth` and `endpoint_url` to an object store and a prefix in it."""

import re
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from focus_pipeline.connections.auth import (
    Auth,
    AzureAuth,
    GoogleAuth,
    OciAuth,
    S3Auth,
    require_variables,
    unset_variable,
)
from focus_pipeline.connections.stores import ObjectStore
from focus_pipeline.secrets_filter import remember_environment

SCHEMES = "s3://, gs://, az://, abfss://, https://<account>.blob.core.windows.net, oci://, file:/// or a local path"

_AUTH_OF_SCHEME: dict[str, type[Auth] | None] = {
    "": None,
    "file": None,
    "s3": S3Auth,
    "gs": GoogleAuth,
    "az": AzureAuth,
    "abfss": AzureAuth,
    "abfs": AzureAuth,
    "https": AzureAuth,
    "oci": OciAuth,
}
# https:// addresses of other providers, as their consoles show them.
_OTHER_HOSTS = {"amazonaws.com": "s3", "googleapis.com": "gs", "cloud.google.com": "gs"}
_PLACE_NAME = re.compile(r"[A-Za-z0-9$][A-Za-z0-9._-]*")


class InvalidUrl(ValueError):
    """The url of a connection cannot be used. The message says why and never repeats what may be a secret."""


def auth_type(url: str) -> type[Auth] | None:
    """Which credentials a url takes: S3Auth, AzureAuth, GoogleAuth, or None for a local folder. Raises InvalidUrl."""
    scheme = _split(url, "url").scheme
    if scheme not in _AUTH_OF_SCHEME:
        # Without the slashes it may be the user of a user:password pair.
        kind = f"a url of the kind {scheme}:// is not known" if "://" in url else "the url is of no known kind"
        raise InvalidUrl(f"{kind}; use {SCHEMES}")
    return _AUTH_OF_SCHEME[scheme]


def check_url(url: str, auth: Auth | None, endpoint_url: str | None = None) -> None:
    """Raises InvalidUrl when a url cannot be read, holds a secret, or does not go with the auth given.

    One that waits for environment variables is not looked at before they are set.
    """
    if unset_variable(url) or unset_variable(endpoint_url):
        return
    parts = _split(url, "url")
    if parts.query or parts.fragment:
        raise InvalidUrl(
            "the url has something after a '?' or '#'. If that is a SAS token, move it to auth.sas_token "
            "as '{{ env.NAME }}', where it is kept out of logs"
        )
    if parts.password or (parts.username and parts.scheme not in ("abfss", "abfs", "oci")):
        raise InvalidUrl("the url holds a user name or password; move it to auth as '{{ env.NAME }}'")
    if "=" in url.split("/", 1)[0]:
        raise InvalidUrl("the url looks like a connection string; give the container's address and auth.account_key")
    expected = auth_type(url)
    if auth is not None and (expected is None or not isinstance(auth, expected)):
        wanted = "no auth at all" if expected is None else f"an auth of: {', '.join(expected.model_fields)}"
        raise InvalidUrl(f"the auth does not fit the url: a {parts.scheme or 'local'} url takes {wanted}")
    if endpoint_url is not None:
        _check_endpoint(endpoint_url)
    if expected is OciAuth:
        _oci_place(url)
    elif expected is AzureAuth:
        _azure_place(url, auth or AzureAuth(), endpoint_url)
    elif expected is not None:
        _require_place_name(parts.netloc, f"{parts.scheme}://<bucket>/<folder>")
    elif parts.scheme and parts.netloc:
        raise InvalidUrl("a file url has three slashes: file:///<folder>")


def open_store(url: str, auth: Auth | None = None, endpoint_url: str | None = None) -> tuple[ObjectStore, str]:
    """The store and the prefix in it, which is "" or ends in a slash, and is otherwise taken as it is written.

    Raises InvalidUrl; AccessDenied already here where credentials cannot be used, or stand in environment variables
    that are not set.
    """
    remember_environment()
    require_variables(auth, url=url, endpoint_url=endpoint_url)
    check_url(url, auth, endpoint_url)
    parts = _split(url, "url")
    kind = auth_type(url)
    if kind is None:
        from focus_pipeline.connections.stores.local import LocalStore

        return LocalStore(Path(unquote(parts.path) if parts.scheme else url).expanduser()), ""
    if kind is S3Auth:
        from focus_pipeline.connections.stores.s3 import S3Store

        return S3Store(parts.netloc, auth or S3Auth(), endpoint_url), _as_folder(_path(url))
    if kind is GoogleAuth:
        from focus_pipeline.connections.stores.gcs import GcsStore

        return GcsStore(parts.netloc, auth or GoogleAuth(), endpoint_url), _as_folder(_path(url))
    if kind is OciAuth:
        from focus_pipeline.connections.stores.oci_object_storage import OciStore

        bucket, namespace = _oci_place(url)
        return OciStore(namespace, bucket, auth or OciAuth(), endpoint_url), _as_folder(_path(url))
    from focus_pipeline.connections.stores.azure_blob import AzureBlobStore

    auth = auth or AzureAuth()
    account_url, container, path = _azure_place(url, auth, endpoint_url)
    return AzureBlobStore(account_url, container, auth), _as_folder(path)


def _split(url: str, name: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise InvalidUrl(f"the {name} cannot be read as a url: a bracket stands where the host is") from None


def _check_endpoint(endpoint_url: str) -> None:
    parts = _split(endpoint_url, "endpoint_url")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidUrl("the endpoint_url has to be http://<host> or https://<host>, with a port where it has one")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise InvalidUrl(
            "the endpoint_url holds a user name, a password or something after a '?' or '#'; move secrets to auth "
            "as '{{ env.NAME }}'"
        )


def _require_place_name(name: str, form: str) -> None:
    if not _PLACE_NAME.fullmatch(name):
        raise InvalidUrl(f"the url names no bucket or container, or not as one is named; write it as {form}")


def _azure_place(url: str, auth: AzureAuth, endpoint_url: str | None) -> tuple[str, str, str]:
    """Address of the account, container, and path in it."""
    parts = _split(url, "url")
    if parts.scheme == "https":
        for host, scheme in _OTHER_HOSTS.items():
            if parts.netloc.endswith(host):
                raise InvalidUrl(f"the url is an address of another provider; write it as {scheme}://<bucket>/<folder>")
        account_url = _blob_address(parts.netloc)
        container, _, path = _path(url).partition("/")
        form = f"{account_url}/<container>/<folder>"
    elif parts.scheme in ("abfss", "abfs"):
        container, _, host = parts.netloc.partition("@")
        account_url, path = _blob_address(host), _path(url)
        form = "abfss://<container>@<account>.dfs.core.windows.net/<folder>"
        if not host:
            raise InvalidUrl(f"the url names no account; write it as {form}")
    else:
        container, path = parts.netloc, _path(url)
        account_url = f"https://{auth.account_name}.blob.core.windows.net"
        form = "az://<container>/<folder>"
        if not (endpoint_url or auth.account_name):
            raise InvalidUrl("an az:// url names the container only; auth.account_name is missing")
    _require_place_name(container, form)
    return endpoint_url or account_url, container, path


def _oci_place(url: str) -> tuple[str, str]:
    """Bucket and namespace."""
    bucket, _, namespace = _split(url, "url").netloc.partition("@")
    form = "oci://<bucket>@<namespace>/<folder>"
    _require_place_name(bucket, form)
    if not namespace:
        raise InvalidUrl(f"the url names no namespace; write it as {form}")
    return bucket, namespace


def _blob_address(host: str) -> str:
    # Data Lake accounts have both addresses, and the same content behind them.
    return f"https://{host.replace('.dfs.', '.blob.', 1)}"


def _path(url: str) -> str:
    # Only the one slash between bucket and key belongs to neither: s3://bucket//key has a key that starts with one.
    return url.partition("://")[2].partition("/")[2]


def _as_folder(path: str) -> str:
    return path if not path or path.endswith("/") else f"{path}/"
