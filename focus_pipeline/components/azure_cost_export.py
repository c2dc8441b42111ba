"""`focus_pipeline.AzureCostExport`: a FOCUS export of Azure Cost Management."""

from typing import Annotated

import dagster as dg
from pydantic import Field

from focus_pipeline.components.connection import OptionalText, Text
from focus_pipeline.components.scaffolding import ConnectionScaffolder
from focus_pipeline.components.store_connection import StoreConnection
from focus_pipeline.connections.azure_cost_export import AzureCostExport as AzureCostExportConnection
from focus_pipeline.connections.store_urls import SCHEMES


@dg.scaffold_with(ConnectionScaffolder)
class AzureCostExport(StoreConnection):
    """A FocusCost export of Azure Cost Management, version 1.0 to 1.2, as CSV, gzip CSV or Parquet.

    Each run delivers the month so far; of a month's runs the one over most days counts, and of those the latest. In the
    first five days of a month Azure delivers the previous one again. The manifest declares the FOCUS version.
    """

    url: Annotated[
        Text,
        Field(
            description="The container, or the directory in it that the export writes to: "
            f"https://<account>.blob.core.windows.net/<container>/<directory>/; of a copy: {SCHEMES}."
        ),
    ]
    export_name: Annotated[
        OptionalText, Field(description="Name of the export, where several write to the same directory.")
    ] = None

    def connection(self) -> AzureCostExportConnection:
        return AzureCostExportConnection(
            self.name,
            self.url,
            self.export_name,
            self.auth,
            self.endpoint_url,
            ignore=tuple(self.ignore),
            focus_version=self.focus_version,
        )
