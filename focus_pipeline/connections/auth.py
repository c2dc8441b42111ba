"""The credentials of a connection, as its YAML gives them. Secrets come from the environment: `{{ env.NAME }}`.

Left out altogether, the provider's own default chain is used: environment, profile, instance role, workload identity.
"""

import os
import re
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from focus_pipeline.connections.store_errors import AccessDenied
from focus_pipeline.secrets_filter import remember

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Short words, which are parts of other words: they are no secrets, wherever they come from.
_PLAIN = ("profile", "region", "account_name")


class _Auth(BaseModel):
    # Values stay out of error messages and representations: they may be secrets. An empty one is an environment
    # variable that holds nothing; without the error, the default credentials would be used in its place.
    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, str_strip_whitespace=True, str_min_length=1
    )

    @field_validator("*")
    @classmethod
    def _can_be_sent(cls, value: object, info: ValidationInfo) -> object:
        """Refuses what would break a request: a library's error would then quote the request, secret and all."""
        if isinstance(value, str) and unset_variable(value) is None:
            secret = not cls.model_fields[info.field_name].repr
            if info.field_name == "service_account_key":
                if _CONTROL.search(re.sub(r"[\r\n\t]", "", value)):
                    raise ValueError("it holds a control character, which the text of no key has; copy it anew")
            elif _CONTROL.search(value):
                raise ValueError("it holds a line break or another control character; copy it anew, on one line")
            elif secret and not value.isascii():
                raise ValueError("it holds a character that no such value has, outside of ASCII; copy it anew")
        return value

    @model_validator(mode="after")
    def _remembered(self) -> Self:
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if not field.repr and isinstance(value, str) and unset_variable(value) is None:
                remember(value, f"auth.{name}")
        return self


class S3Auth(_Auth):
    """Access keys, a named profile, the machine's own role, or any of these to assume a cross-account role with."""

    access_key_id: str | None = Field(None, repr=False, description="Access key; with secret_access_key.")
    secret_access_key: str | None = Field(None, repr=False, description="Secret of the access key.")
    session_token: str | None = Field(None, repr=False, description="Only for temporary access keys.")
    profile: str | None = Field(None, description="Named profile of the AWS configuration files.")
    role_arn: str | None = Field(None, description="Role to assume, for example in the customer's account.")
    external_id: str | None = Field(None, repr=False, description="External ID that the role's trust policy asks for.")
    region: str | None = Field(None, description="Region to sign for; the default fits AWS.")
    sts_endpoint_url: str | None = Field(None, description="STS endpoint, where it is not endpoint_url or AWS.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key go together; one of them is missing")
        if self.access_key_id and self.profile:
            raise ValueError("give either access_key_id and secret_access_key, or profile, not both")
        if self.session_token and not self.access_key_id:
            raise ValueError("session_token belongs to an access key; access_key_id is missing")
        if self.external_id and not self.role_arn:
            raise ValueError("external_id is sent when a role is assumed; role_arn is missing")
        if self.sts_endpoint_url and not self.role_arn:
            raise ValueError("sts_endpoint_url is where a role is assumed; role_arn is missing")
        return self

    @property
    def described(self) -> str:
        """Who this is, in words for messages, without a secret."""
        if self.role_arn:
            return f"the role {self.role_arn}"
        if self.access_key_id:
            return "the access key of auth.access_key_id"
        if self.profile:
            return f"the profile {self.profile}"
        return "the default credentials of this machine"


class AzureAuth(_Auth):
    """A SAS token, an account key, a service principal, or the default chain (managed or workload identity, CLI)."""

    account_name: str | None = Field(None, description="Storage account, where the url does not name it.")
    sas_token: str | None = Field(None, repr=False, description="SAS token with the permissions read and list.")
    account_key: str | None = Field(None, repr=False, description="Key of the storage account.")
    tenant_id: str | None = Field(None, description="Tenant of the service principal.")
    client_id: str | None = Field(
        None, description="Service principal, or the user-assigned managed identity to use when given alone."
    )
    client_secret: str | None = Field(None, repr=False, description="Secret of the service principal.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.client_secret or self.tenant_id) and not (self.tenant_id and self.client_id and self.client_secret):
            raise ValueError("a service principal needs tenant_id, client_id and client_secret")
        ways = [self.sas_token, self.account_key, self.client_secret]
        if sum(way is not None for way in ways) > 1:
            raise ValueError("give one of sas_token, account_key or client_secret")
        return self

    @property
    def described(self) -> str:
        """Who this is, in words for messages, without a secret."""
        if self.sas_token:
            return "the SAS token of auth.sas_token"
        if self.account_key:
            return "the account key of auth.account_key"
        if self.client_secret:
            return f"the service principal {self.client_id}"
        return "the default Azure identity of this machine"


class GoogleAuth(_Auth):
    """A service account's key or application default credentials; with either, another account to impersonate."""

    service_account_file: str | None = Field(None, description="Path of a service account's JSON key file.")
    service_account_key: str | None = Field(
        None, repr=False, description="The JSON text of the key itself, from the environment."
    )
    impersonate_service_account: str | None = Field(
        None, description="Email address of a service account to act as; takes the role Service Account Token Creator."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.service_account_file and self.service_account_key:
            raise ValueError("give either service_account_file or service_account_key")
        return self

    @property
    def described(self) -> str:
        """Who this is, in words for messages, without a secret."""
        if self.impersonate_service_account:
            return f"the impersonated service account {self.impersonate_service_account}"
        if self.service_account_file:
            return f"the service account of {self.service_account_file}"
        if self.service_account_key:
            return "the service account of auth.service_account_key"
        return "the application default credentials of this machine"


class OciAuth(_Auth):
    """An API key of Oracle's configuration file, or the instance principal of the machine."""

    config_file: str = Field("~/.oci/config", description="Oracle's configuration file.")
    profile: str = Field("DEFAULT", description="Profile in it: user, fingerprint, tenancy, region and key_file.")
    instance_principal: bool = Field(False, description="Use the machine's own identity in Oracle Cloud instead.")

    @property
    def described(self) -> str:
        """Who this is, in words for messages, without a secret."""
        if self.instance_principal:
            return "the instance principal of this machine"
        return f"the profile {self.profile} of {self.config_file}"


Auth = S3Auth | AzureAuth | GoogleAuth | OciAuth

_ENVIRONMENT_VALUE = re.compile(r"\{\{\s*env\.(\w+)\s*\}\}")


def from_environment(value: str) -> str:
    """The text with the values of its `{{ env.NAME }}`; those that are not set, or hold nothing, stay standing."""
    return _ENVIRONMENT_VALUE.sub(lambda match: os.environ.get(match[1]) or match[0], value)


def remember_variables(text: str) -> None:
    """Keeps the values of a text's `{{ env.NAME }}` out of messages and logs from now on."""
    for variable in _ENVIRONMENT_VALUE.findall(text):
        remember(os.environ.get(variable), f"env.{variable}")


def resolved(auth: Auth) -> Auth:
    """The auth with the values of its `{{ env.NAME }}`, which from now on are kept out of messages and logs."""
    given = auth.model_dump(exclude_unset=True)
    for name, value in given.items():
        if isinstance(value, str) and name not in _PLAIN:
            remember_variables(value)
    return type(auth)(
        **{name: from_environment(value) if isinstance(value, str) else value for name, value in given.items()}
    )


def unset_variable(value: str | None) -> str | None:
    """The first environment variable that a text still waits for, None where there is none."""
    match = _ENVIRONMENT_VALUE.search(value or "")
    return match and match[1]


def require_variables(auth: Auth | None, **attributes: str | None) -> None:
    """Raises AccessDenied when an attribute of a connection, or one of its auth, waits for environment variables."""
    given = {f"auth.{name}": value for name, value in auth or () if isinstance(value, str)}
    unset = {name: unset_variable(value) for name, value in (attributes | given).items()}
    lacking = ", ".join(f"{variable} (for {name})" for name, variable in unset.items() if variable)
    if lacking:
        raise AccessDenied(f"Access Denied: not tried, for the environment lacks {lacking}; set it there or in .env")
