"""`focus_pipeline.AwsDataExport`: a FOCUS export of AWS Data Exports."""

from typing import Annotated

import dagster as dg
from pydantic import Field

from focus_pipeline.components.connection import OptionalText, Text
from focus_pipeline.components.scaffolding import ConnectionScaffolder
from focus_pipeline.components.store_connection import StoreConnection
from focus_pipeline.connections.aws_data_export import AwsDataExport as AwsDataExportConnection
from focus_pipeline.connections.store_urls import SCHEMES


@dg.scaffold_with(ConnectionScaffolder)
class AwsDataExport(StoreConnection):
    """A FOCUS 1.0 or 1.2 export of AWS Data Exports, as Parquet or gzip CSV, overwritten or a new folder each time.

    A month is what its manifest names, and is loaded once AWS has written that. AWS delivers at least daily and
    restates closed months; each changed manifest replaces its month.
    """

    url: Annotated[
        Text,
        Field(
            description="The export's own folder, s3://<bucket>/<prefix>/<export name>/, or the prefix above it with "
            f"export_name; of a copy: {SCHEMES}."
        ),
    ]
    export_name: Annotated[
        OptionalText, Field(description="Name of the export, where the url is that of the prefix above it.")
    ] = None

    def connection(self) -> AwsDataExportConnection:
        return AwsDataExportConnection(
            self.name,
            self.url,
            self.export_name,
            self.auth,
            self.endpoint_url,
            ignore=tuple(self.ignore),
            focus_version=self.focus_version,
        )
