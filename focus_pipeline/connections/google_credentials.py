"""Google's credentials of a connection: a service account's key, the default ones, or either to impersonate another.

https://cloud.google.com/docs/authentication/application-default-credentials
"""

import json
from pathlib import Path

import google.auth
from google.auth import impersonated_credentials
from google.auth.credentials import AnonymousCredentials, Credentials
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, MalformedError, RefreshError
from google.oauth2 import service_account

from focus_pipeline.connections.auth import GoogleAuth
from focus_pipeline.connections.store_errors import AccessDenied, StoreError
from focus_pipeline.secrets_filter import remember

# What an account may do is for its roles to say.
_SCOPES = ["https://www.googleapis.com/auth/cloud-platform"]


def google_credentials(auth: GoogleAuth, address: str, *, emulated: bool) -> Credentials:
    """Credentials for the clients of Google's libraries. emulated: an endpoint of its own, which has no accounts.

    Raises AccessDenied when they cannot be used for `address`; the message never holds a part of a key.
    """
    try:
        source = _source(auth, emulated)
    except (GoogleAuthError, ValueError, OSError) as error:
        raise no_credentials(auth, address, error, fault=_fault(error)) from None
    for name in ("refresh_token", "client_secret"):
        remember(getattr(source, name, None), f"{name} of {auth.described}")
    _remember_tokens(source)
    if auth.impersonate_service_account is None:
        return source
    impersonated = impersonated_credentials.Credentials(source, auth.impersonate_service_account, _SCOPES)
    _remember_tokens(impersonated)
    return impersonated


def _remember_tokens(credentials: Credentials) -> None:
    """Each access token is known as a secret before the first request that carries it."""
    refresh = credentials.refresh

    def remembered(request: object) -> None:
        refresh(request)
        if isinstance(credentials.token, str):
            remember(credentials.token, "access token", passing=True)

    credentials.refresh = remembered


def unreachable(auth: GoogleAuth, address: str, error: Exception) -> StoreError:
    """What to say where Google could not be asked for an access token."""
    return StoreError(
        f"{address} was not tried: with {auth.described}, Google's endpoint for access tokens cannot be reached or "
        f"breaks off ({type(error).__name__}). Check this machine's network and proxy, and the token_uri of the key"
    )


def no_credentials(auth: GoogleAuth, address: str, error: Exception, fault: str | None = None) -> AccessDenied:
    """What to say of credentials that the library or Google does not accept. fault: what is known to be wrong."""
    fault = fault or f"Google does not accept it ({type(error).__name__}); it may have been deleted or disabled"
    if auth.impersonate_service_account and isinstance(error, RefreshError) and "impersonated" in str(error):
        return AccessDenied(
            f"Access Denied: {auth.described} cannot be used for {address}: Google does not let it be impersonated. "
            "Grant roles/iam.serviceAccountTokenCreator on it to the account that impersonates it"
        )
    return AccessDenied(
        f"Access Denied: {auth.described} cannot be used for {address}: {fault}. Give a valid key as "
        "auth.service_account_file or auth.service_account_key, or set up application default credentials"
    )


def _source(auth: GoogleAuth, emulated: bool) -> Credentials:
    if auth.service_account_key or auth.service_account_file:
        return service_account.Credentials.from_service_account_info(_key(auth), scopes=_SCOPES)
    if emulated:
        return AnonymousCredentials()
    return google.auth.default(scopes=_SCOPES)[0]


def _key(auth: GoogleAuth) -> dict:
    text = auth.service_account_key or Path(auth.service_account_file).read_text("utf-8", "replace")
    remember(text, f"auth.{'service_account_key' if auth.service_account_key else 'service_account_file'}")
    try:
        key = json.loads(text)
    except ValueError:
        key = None
    if not isinstance(key, dict):
        raise MalformedError("it is not the JSON text of a key")
    return key


def _fault(error: Exception) -> str | None:
    """What is wrong with credentials. Only sentences that cannot hold a part of a key are passed on."""
    if isinstance(error, MalformedError | DefaultCredentialsError):
        return str(error).rstrip(".")
    if isinstance(error, ValueError):
        return "its private_key cannot be read"
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}"
    return None
