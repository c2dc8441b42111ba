"""Where providers put the files of a month, and the manifests that they write beside them.

The demo and the tests' fakes write deliveries by these. What is documented of them and what is assumed stands in
connections/aws_data_export.py, azure_cost_export.py and oci_reports.py, which read them.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from focus_pipeline.months import month_bounds


def aws_data_folder(export: str, month: str, execution: str = "", partition: str = "billing_period") -> str:
    """Folder of a month's files below the export's prefix; execution: "" where deliveries overwrite each other."""
    return f"{export}/data/{partition}={month}/{execution}"


def aws_manifest_key(export: str, month: str, execution: str = "", partition: str = "billing_period") -> str:
    return f"{export}/metadata/{partition}={month}/{execution}{export}-Manifest.json"


def aws_manifest(export: str, execution: str, columns: Sequence[str], files: Sequence[object]) -> dict[str, object]:
    """files: as s3:// URIs."""
    return {
        "executionId": execution,
        "exportArn": f"arn:aws:bcm-data-exports:us-east-1:123456789012:export/{export}-1234",
        "columns": [{"name": name, "type": "string"} for name in columns],
        "dataFiles": list(files),
    }


def azure_run_folder(directory: str, export: str, month: str, run: str, time: str = "") -> str:
    """Folder of a run; time: of the run as YYYYMMDDHHMM, "" where the export writes none."""
    first, following = month_bounds(month)
    days = f"{first:%Y%m%d}-{following - timedelta(days=1):%Y%m%d}"
    return f"{directory}/{export}/{days}/{f'{time}/' if time else ''}{run}/"


def azure_manifest(
    export: str,
    version: str,
    run: str,
    submitted: str,
    days: tuple[datetime, datetime],
    blobs: Mapping[str, tuple[int, int]],
    kind: str = "FocusCost",
) -> dict:
    """days: the run's first moment and last. blobs: name -> bytes and rows."""
    start, end = days
    return {
        "manifestVersion": "2024-04-01",
        "byteCount": sum(size for size, _ in blobs.values()),
        "blobCount": len(blobs),
        "dataRowCount": sum(rows for _, rows in blobs.values()),
        "exportConfig": {
            "exportName": export,
            "resourceId": f"/providers/Microsoft.Billing/billingAccounts/123/providers/exports/{export}",
            "dataVersion": version,
            "apiVersion": "2023-07-01-preview",
            "type": kind,
            "timeFrame": "MonthToDate",
            "granularity": None,
        },
        "deliveryConfig": {"partitionData": True, "fileFormat": "Csv", "compressionMode": "gzip"},
        "runInfo": {
            "executionType": "Scheduled",
            "submittedTime": submitted,
            "runId": run,
            "startDate": start.strftime("%Y-%m-%dT%H:%M:%S"),
            "endDate": end.strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
        "blobs": [{"blobName": name, "byteCount": size, "dataRowCount": rows} for name, (size, rows) in blobs.items()],
    }


def oci_report_key(month: str, day: int, number: int) -> str:
    return f"FOCUS Reports/{month.replace('-', '/')}/{day:02d}/{number:016d}.csv.gz"
