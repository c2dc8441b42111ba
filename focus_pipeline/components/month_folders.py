"""`focus_pipeline.MonthFolders`: FOCUS files in folders named YYYY-MM, in a bucket, a container or a local folder."""

from typing import Annotated

import dagster as dg
from pydantic import Field, model_validator

from focus_pipeline.components.connection import ConnectionComponent, resolve_auth
from focus_pipeline.components.scaffolding import ConnectionScaffolder
from focus_pipeline.connections.auth import Auth
from focus_pipeline.connections.month_folders import MonthFolders as MonthFoldersConnection
from focus_pipeline.connections.store_urls import SCHEMES, check_url
from focus_pipeline.settings import load_settings


@dg.scaffold_with(ConnectionScaffolder)
class MonthFolders(ConnectionComponent):
    """FOCUS files of any source, in folders named after the month: `<url>/YYYY-MM/*.csv`, `.csv.gz` or `.parquet`.

    All files directly in a month's folder are merged. A file that was changed, added or removed loads its month again;
    unchanged files are not downloaded again. A row whose ChargePeriodStart lies outside of the folder's month rejects
    its file; the month's other files are loaded.
    """

    url: Annotated[str, Field(description=f"Where the month folders are: {SCHEMES}.")]
    auth: Annotated[
        Auth | None,
        dg.Resolver(resolve_auth, model_field_type=Auth | None),
        Field(
            description="Credentials for the url, secrets as '{{ env.NAME }}'. Default: the provider's default chain."
        ),
    ] = None
    endpoint_url: Annotated[
        str | None, Field(description="Address of an S3-compatible store or an emulator. Default: the provider's own.")
    ] = None

    @model_validator(mode="after")
    def _url_and_auth_fit(self) -> "MonthFolders":
        check_url(self.url, self.auth)
        return self

    @staticmethod
    @dg.template_var
    def data_dir() -> str:
        """`{{ data_dir }}` in the YAML: the data directory of the settings."""
        return str(load_settings().data_dir)

    def connection(self) -> MonthFoldersConnection:
        return MonthFoldersConnection(self.name, self.url, self.auth, self.endpoint_url)
