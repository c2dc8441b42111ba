"""The part of AWS's Data Exports API that lists exports, as botocore describes it (JSON 1.1), on loopback.

moto does not have it. Signatures are not checked; `refuse` makes it answer as to someone without the permission.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from focus_pipeline_tests.fakes.loopback import answering, running

# Some of a table's columns: enough to see which ones a query leaves out.
_COLUMNS = ("BilledCost", "BillingPeriodStart", "Tags", "x_Discounts")


@dataclass
class DataExportsApi:
    """exports: name -> what GetExport answers. called: operations so far. refuse: operations without permission."""

    endpoint_url: str = ""
    exports: dict[str, dict] = field(default_factory=dict)
    refuse: tuple[str, ...] = ()
    called: list[str] = field(default_factory=list)

    def add(
        self, name: str, table: str, granularity: str | None = None, prefix: str = "billing", select: str = "*"
    ) -> None:
        configuration = {} if granularity is None else {table: {"TIME_GRANULARITY": granularity}}
        self.exports[name] = {
            "ExportArn": f"arn:aws:bcm-data-exports:us-east-1:123456789012:export/{name}",
            "Name": name,
            "DataQuery": {"QueryStatement": f"SELECT {select} FROM {table}", "TableConfigurations": configuration},
            "DestinationConfigurations": {
                "S3Destination": {
                    "S3Bucket": "acme-billing",
                    "S3Prefix": prefix,
                    "S3Region": "eu-west-1",
                    "S3OutputConfigurations": {
                        "OutputType": "CUSTOM",
                        "Format": "PARQUET",
                        "Compression": "PARQUET",
                        "Overwrite": "OVERWRITE_REPORT",
                    },
                }
            },
            "RefreshCadence": {"Frequency": "SYNCHRONOUS"},
        }

    def answer(self, operation: str, asked: dict) -> tuple[int, dict]:
        self.called.append(operation)
        if operation in self.refuse:
            return 400, {"__type": "AccessDeniedException", "message": "not allowed"}
        if operation == "ListExports":
            # A page each, so that whoever reads only the first one is found out.
            names = sorted(self.exports)
            page = int(asked.get("NextToken", "0"))
            listed = [
                {
                    "ExportArn": self.exports[name]["ExportArn"],
                    "ExportName": name,
                    "ExportStatus": {"StatusCode": "HEALTHY"},
                }
                for name in names[page : page + 1]
            ]
            return 200, {"Exports": listed} | ({"NextToken": str(page + 1)} if page + 1 < len(names) else {})
        if operation == "GetTable":
            schema = [{"Name": name, "Type": "string", "Description": ""} for name in _COLUMNS]
            return 200, {"TableName": asked["TableName"], "Description": "", "Schema": schema}
        name = asked["ExportArn"].rpartition("/")[2]
        return 200, {"Export": self.exports[name], "ExportStatus": {"StatusCode": "HEALTHY"}}


@contextmanager
def data_exports_api() -> Iterator[DataExportsApi]:
    api = DataExportsApi()

    def answer(request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, object]:
        return api.answer(request.headers["X-Amz-Target"].rpartition(".")[2], json.loads(body))

    server = ThreadingHTTPServer(("127.0.0.1", 0), answering(answer))
    api.endpoint_url = f"http://127.0.0.1:{server.server_port}"
    with running(server):
        yield api
