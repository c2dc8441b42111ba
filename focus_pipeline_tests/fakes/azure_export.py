"""Writes what Azure Cost Management's FocusCost exports write, run by run, through any way to put a blob.

Paths, the manifest's fields and its oddities (seven fractional digits, a start without a zone, counts that are null, no
blobs of an empty month) are documented by Microsoft or stand in fixtures of its FinOps toolkit. That the manifest is
written after the parts is relied on by that toolkit; Microsoft does not promise it.
"""

import gzip
import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from focus_pipeline.demo.provider_layouts import azure_manifest, azure_run_folder
from focus_pipeline.months import month_bounds
from focus_pipeline_tests.fakes.clean_months import clean_rows
from focus_pipeline_tests.month_files import as_csv

Row = dict[str, str]


@dataclass
class AzureExport:
    """One export. directory: root folder in the container. time_folder: whether runs have a folder of their time.

    overwrite: a run takes away the blobs of the month's former one, with `delete`.
    """

    put: Callable[[str, bytes], object]
    delete: Callable[[str], object]
    directory: str = "focus-costs"
    name: str = "focus-daily"
    variant: str = "azure_1_0r2"
    version: str = "1.0r2"
    overwrite: bool = False
    time_folder: bool = True
    kind: str = "FocusCost"
    manifest_name: str = "manifest.json"
    lying_there: dict[str, list[str]] = field(default_factory=dict)

    def run(
        self,
        month: str,
        rows: Sequence[Row] | None = None,
        *,
        submitted: str = "2025-03-21T21:04:06.5234447Z",
        days: tuple[int, int] | None = None,
        parts: int = 1,
        manifest: bool = True,
        change: Callable[[dict], object] = lambda manifest: None,
    ) -> str:
        """A run over the month, or over its `days`; the folder of it. change: of the manifest before it is written."""
        first, following = month_bounds(month)
        start = first if days is None else first.replace(day=days[0])
        end = following if days is None else first.replace(day=days[1])
        rows = clean_rows(self.variant, month) if rows is None else rows
        run = str(uuid.uuid5(uuid.NAMESPACE_URL, submitted))
        time = submitted[:16].translate(str.maketrans("", "", "-T:")) if self.time_folder else ""
        folder = azure_run_folder(self.directory, self.name, month, run, time)
        blobs: dict[str, tuple[int, int]] = {}
        for number in range(parts if rows else 0):
            body = gzip.compress(as_csv(rows[number::parts]))
            self.put(f"{folder}part_{number}_0001.csv.gz", body)
            blobs[f"{folder}part_{number}_0001.csv.gz"] = (len(body), len(rows[number::parts]))
        content = azure_manifest(self.name, self.version, run, submitted, (start, end), blobs, self.kind)
        change(content)
        if manifest:
            self.put(f"{folder}{self.manifest_name}", json.dumps(content).encode())
        if self.overwrite:
            for name in self.lying_there.pop(month, []):
                self.delete(name)
            self.lying_there[month] = [*blobs, f"{folder}{self.manifest_name}"]
        return folder
