"""The connections of the demo, over a folder that its deliveries were written to."""

from pathlib import Path

from focus_pipeline.connections.aws_data_export import AwsDataExport
from focus_pipeline.connections.azure_cost_export import AzureCostExport
from focus_pipeline.connections.delivery import Connection
from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline.connections.oci_reports import OciReports


def demo_connections(root: Path) -> dict[str, Connection]:
    """By name. root: where write_deliveries() wrote."""
    return {
        "aws_main": AwsDataExport("aws_main", str(root / "aws_main" / "focus-daily")),
        "azure_main": AzureCostExport("azure_main", str(root / "azure_main" / "focus-costs")),
        "colo_costs": MonthFolders("colo_costs", str(root / "colo_costs")),
        "google_main": MonthFolders("google_main", str(root / "google_main"), month_rule=False),
        "oracle_main": OciReports("oracle_main", str(root / "oracle_main")),
        "saas_tools": MonthFolders("saas_tools", str(root / "saas_tools")),
    }
