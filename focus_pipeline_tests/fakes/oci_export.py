"""Writes what Oracle's FOCUS reports hold, file by file, through any way to put an object.

Folder names with a space, several files a day and the columns are documented or reported; how files are numbered is
assumed.
"""

import gzip
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from focus_pipeline.demo.provider_layouts import oci_report_key
from focus_pipeline_tests.fakes.clean_months import clean_rows
from focus_pipeline_tests.month_files import as_csv


@dataclass
class OciExport:
    """The reports of one tenancy."""

    put: Callable[[str, bytes], object]
    prefix: str = ""
    files: int = 0

    def deliver(self, month: str, day: int, rows: Sequence[dict[str, str]] | None = None) -> str:
        """One more file, in the folder of the day on which it is delivered."""
        rows = clean_rows("oci_1_0_preview", month) if rows is None else rows
        self.files += 1
        key = self.prefix + oci_report_key(month, day, self.files)
        self.put(key, gzip.compress(as_csv(rows)))
        return key
