"""What the connections over an object store have in common: where it is, and how to get in."""

from typing import Annotated

import dagster as dg
from pydantic import Field, model_validator

from focus_pipeline.components.connection import ConnectionComponent, OptionalText, resolve_auth
from focus_pipeline.connections.auth import Auth
from focus_pipeline.connections.store_urls import check_url
from focus_pipeline.settings import load_settings

StoreAuth = Annotated[
    Auth | None,
    dg.Resolver(resolve_auth, model_field_type=Auth | None),
    Field(description="Credentials for the url, secrets as '{{ env.NAME }}'. Default: the provider's default chain."),
]
EndpointUrl = Annotated[
    OptionalText,
    Field(description="Address of an S3-compatible store or an emulator. Default: the provider's own."),
]
"""Types of the attributes of whatever is read from a store."""


class StoreConnection(ConnectionComponent):
    """A provider export in a bucket, a container or a local folder. Subclasses describe their `url`."""

    auth: StoreAuth = None
    endpoint_url: EndpointUrl = None

    ignore: Annotated[
        list[str],
        Field(
            description="Patterns of files that are not fetched, such as ['*_commitments_*.csv']: of their names, or "
            "of their keys from the bucket on."
        ),
    ] = []  # noqa: RUF012  (pydantic copies defaults)

    @model_validator(mode="after")
    def _url_and_auth_fit(self) -> "StoreConnection":
        check_url(self.url, self.auth, self.endpoint_url)
        return self

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        # Dagster looks for template variables in the class of the component itself, not in those above it.
        cls.data_dir = staticmethod(data_dir)


@dg.template_var
def data_dir() -> str:
    """`{{ data_dir }}` in the YAML: the data directory of the settings."""
    return str(load_settings().data_dir)
