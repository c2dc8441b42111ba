"""Which texts are months, and that everything that tells one agrees."""

from pathlib import Path

import pytest

from focus_pipeline.connections.aws_data_export import AwsDataExport
from focus_pipeline.connections.azure_cost_export import AzureCostExport
from focus_pipeline.connections.delivery import Connection, Discovery
from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline.connections.oci_reports import OciReports
from focus_pipeline.months import is_month, month_bounds, months_back

NO_MONTHS = [
    "0000-01",
    "0001-01",
    "1999-12",
    "2100-01",
    "9999-12",
    "2025-00",
    "2025-13",
    "2025-3",
    "٢٠٢٥-٠٣",
    "2025-03\n",
]


@pytest.mark.parametrize("text", ["2000-01", "2025-03", "2099-12"])
def test_every_month_has_bounds_and_neighbours(text: str) -> None:
    assert is_month(text)
    start, end = month_bounds(text)
    assert start < end
    assert months_back(text, 2)[-1] == text


@pytest.mark.parametrize("text", NO_MONTHS)
def test_what_no_bill_can_be_of_is_no_month(text: str) -> None:
    assert not is_month(text)


def folder_of(kind: type[Connection], month: str) -> str:
    """Where a connection of this kind looks for the month."""
    return {
        MonthFolders: f"{month}/x.csv",
        AwsDataExport: f"metadata/BILLING_PERIOD={month}/delivered-Manifest.json",
        AzureCostExport: f"{month.replace('-', '')}01-{month.replace('-', '')}28/run/manifest.json",
        OciReports: f"FOCUS Reports/{month.replace('-', '/')}/01/x.csv.gz",
    }[kind]


@pytest.mark.parametrize("kind", [MonthFolders, AwsDataExport, AzureCostExport, OciReports])
def test_a_folder_of_a_year_that_no_bill_is_of_is_no_month_of_any_connection(
    kind: type[Connection], tmp_path: Path
) -> None:
    root = tmp_path / "delivered"
    for month in ("2025-03", *(text.strip() for text in NO_MONTHS)):
        path = root / folder_of(kind, month)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    connection = kind("acme", str(root))
    discovery: Discovery = connection.discover()
    assert set(discovery.months) == {"2025-03"}
    assert {*discovery.deliveries, *discovery.held_back} == {"2025-03"}
    for month in discovery.months:
        month_bounds(month)
