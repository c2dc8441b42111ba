"""`focus_pipeline.MonthFolders`: FOCUS files in folders named YYYY-MM, in a bucket, a container or a local folder."""

from typing import Annotated

import dagster as dg
from pydantic import Field

from focus_pipeline.components.scaffolding import ConnectionScaffolder
from focus_pipeline.components.store_connection import StoreConnection
from focus_pipeline.connections.month_folders import MonthFolders as MonthFoldersConnection
from focus_pipeline.connections.store_urls import SCHEMES


@dg.scaffold_with(ConnectionScaffolder)
class MonthFolders(StoreConnection):
    """FOCUS files of any source, in folders named after the month: `<url>/YYYY-MM/*.csv`, `.csv.gz` or `.parquet`.

    All files directly in a month's folder are merged. A file that was changed, added or removed loads its month again;
    unchanged files are not downloaded again. A row whose ChargePeriodStart lies outside of the folder's month rejects
    its file; the month's other files are loaded.
    """

    url: Annotated[str, Field(description=f"Where the month folders are: {SCHEMES}.")]

    def connection(self) -> MonthFoldersConnection:
        return MonthFoldersConnection(self.name, self.url, self.auth, self.endpoint_url)
