"""`focus_pipeline.GcpBigQueryExport`: Google Cloud's bill in BigQuery."""

from typing import Annotated

import dagster as dg
from pydantic import Field

from focus_pipeline.components.connection import ConnectionComponent, OptionalText, Text, resolve_auth
from focus_pipeline.components.scaffolding import ConnectionScaffolder
from focus_pipeline.connections.auth import GoogleAuth
from focus_pipeline.connections.gcp_bigquery_export import GcpBigQueryExport as GcpBigQueryExportConnection


@dg.scaffold_with(ConnectionScaffolder)
class GcpBigQueryExport(ConnectionComponent):
    """Google's FOCUS export, a FOCUS view, or Google's detailed usage cost export, in BigQuery.

    One aggregate query an hour says which months have changed; each of those is read by a query of its own. What the
    queries were billed for is shown with every tick of the sensor and every month.
    """

    project: Annotated[Text, Field(min_length=1, description="Project of the dataset.")]
    dataset: Annotated[Text, Field(min_length=1, description="Dataset, such as gcp_billing_immutable_010101_us.")]
    table: Annotated[
        Text,
        Field(
            min_length=1,
            description="gcp_billing_export_focus_…, gcp_billing_export_resource_v1_…, or a table or view of FOCUS.",
        ),
    ]
    billed_project: Annotated[
        OptionalText, Field(description="Project in which queries run and are billed. Default: that of the dataset.")
    ] = None
    location: Annotated[
        OptionalText, Field(description="Location of the dataset, such as EU. Default: what BigQuery says it is.")
    ] = None
    auth: Annotated[
        GoogleAuth | None,
        dg.Resolver(resolve_auth, model_field_type=GoogleAuth | None),
        Field(description="Credentials, secrets as '{{ env.NAME }}'. Default: application default credentials."),
    ] = None
    endpoint_url: Annotated[OptionalText, Field(description="Address of an emulator. Default: BigQuery.")] = None
    maximum_bytes_billed: Annotated[
        int | None,
        Field(ge=1, description="A query that would be billed for more bytes fails before it runs. Default: no limit."),
    ] = None
    leave_out: Annotated[
        list[str], Field(description="Columns not to read, for their bytes. Default: every column is read.")
    ] = []  # noqa: RUF012  (pydantic copies defaults)
    storage_api: Annotated[
        bool, Field(description="Read over the Storage Read API, where bigquery.readsessions.create is granted.")
    ] = True
    check_every_seconds: Annotated[
        int, Field(ge=1, description="How often the sensor asks for changes. Each time is a query.")
    ] = 3600

    def connection(self) -> GcpBigQueryExportConnection:
        return GcpBigQueryExportConnection(
            name=self.name,
            project=self.project,
            dataset=self.dataset,
            table=self.table,
            billed_project=self.billed_project,
            location=self.location,
            auth=self.auth,
            endpoint_url=self.endpoint_url,
            maximum_bytes_billed=self.maximum_bytes_billed,
            leave_out=tuple(self.leave_out),
            storage_api=self.storage_api,
            focus_version=self.focus_version,
        )
