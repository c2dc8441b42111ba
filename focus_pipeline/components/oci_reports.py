"""`focus_pipeline.OciReports`: Oracle's FOCUS reports."""

from typing import Annotated

import dagster as dg
from pydantic import Field

from focus_pipeline.components.connection import Text
from focus_pipeline.components.scaffolding import ConnectionScaffolder
from focus_pipeline.components.store_connection import StoreConnection
from focus_pipeline.connections.oci_reports import OciReports as OciReportsConnection
from focus_pipeline.connections.store_urls import SCHEMES


@dg.scaffold_with(ConnectionScaffolder)
class OciReports(StoreConnection):
    """Oracle's FOCUS reports, from Oracle's bucket or a copy of it: `<url>/FOCUS Reports/YYYY/MM/DD/*.csv.gz`.

    All files of a month's folders are the month; later ones add rows. A file that is no longer there stays part of it.
    """

    url: Annotated[
        Text,
        Field(
            description="What holds the folder 'FOCUS Reports/': oci://<tenancy OCID>@bling/, Oracle's own bucket, "
            f"or a copy: {SCHEMES}."
        ),
    ]

    def connection(self) -> OciReportsConnection:
        return OciReportsConnection(
            self.name,
            self.url,
            self.auth,
            self.endpoint_url,
            ignore=tuple(self.ignore),
            focus_version=self.focus_version,
        )
