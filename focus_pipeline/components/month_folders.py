"""`focus_pipeline.MonthFolders`: FOCUS files in folders named YYYY-MM, in a bucket, a container or a local folder."""

from datetime import timedelta
from typing import Annotated

import dagster as dg
from pydantic import Field

from focus_pipeline.components.connection import OptionalText, Text
from focus_pipeline.components.scaffolding import ConnectionScaffolder
from focus_pipeline.components.store_connection import StoreConnection
from focus_pipeline.connections.month_folders import MonthFolders as MonthFoldersConnection
from focus_pipeline.connections.month_paths import USUAL
from focus_pipeline.connections.store_urls import SCHEMES


@dg.scaffold_with(ConnectionScaffolder)
class MonthFolders(StoreConnection):
    """FOCUS files of any source, in folders named after the month: `<url>/YYYY-MM/*.csv`, `.csv.gz` or `.parquet`.

    All files directly in a month's folder are merged. A file that was changed, added or removed loads its month again;
    unchanged files are not downloaded again. A row whose ChargePeriodStart lies outside of the folder's month rejects
    its file; the month's other files are loaded.
    """

    url: Annotated[Text, Field(description=f"Where the month folders are: {SCHEMES}.")]

    precedence: Annotated[
        list[str],
        Field(
            description="Patterns of file names for a source whose files overlap, such as Alibaba's, which sends a "
            "file a day and later one of the month: of the files that match one of them, a month takes only those of "
            "the first pattern that has any. Example: ['*_[0-9][0-9][0-9][0-9][0-9][0-9].csv', '*'] takes the monthly "
            "file, once it is there, in place of all others."
        ),
    ] = []  # noqa: RUF012  (pydantic copies defaults)

    month_rule: Annotated[
        bool,
        Field(
            description="Reject a file with a ChargePeriodStart outside of its folder's month. Switch it off where the "
            "folders are those of billing periods, which may hold charges of other months."
        ),
    ] = True

    month_path: Annotated[
        OptionalText,
        Field(
            description="How the month of a file is told: YYYY-MM/ (the default), billing_period=YYYY-MM/, YYYY/MM/ "
            "and the like for folders, *_focus_YYYYMM.csv and the like for names of files. YYYY, MM and DD stand for "
            "digits, * for any characters."
        ),
    ] = None

    quiet_minutes: Annotated[
        int,
        Field(
            ge=0,
            description="How long a month has to stay as it is before the sensor takes it, for whoever writes it may "
            "not be done yet. A run that a person starts takes what is there.",
        ),
    ] = 10

    stale_after_hours: Annotated[
        int,
        Field(
            ge=1,
            description="How long after its last new delivery of a recent month the connection is stale. Default: 960, "
            "as a bill that comes once a month needs.",
        ),
    ] = 960

    marker: Annotated[
        OptionalText,
        Field(
            description="Name of a file that the source writes last into each month's folder, such as _SUCCESS: a "
            "month without it is still being delivered. With it, quiet_minutes is not waited for."
        ),
    ] = None

    def connection(self) -> MonthFoldersConnection:
        return MonthFoldersConnection(
            self.name,
            self.url,
            self.auth,
            self.endpoint_url,
            tuple(self.precedence),
            self.month_rule,
            quiet=timedelta(minutes=0 if self.marker else self.quiet_minutes),
            marker=self.marker,
            month_path=self.month_path or USUAL,
            ignore=tuple(self.ignore),
            focus_version=self.focus_version,
        )
