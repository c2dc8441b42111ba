"""A tick of the sensor over a bucket of 200,000 objects: 24 months of an export that keeps every execution."""

import os
import sys
import tempfile

from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from rich.console import Console
from rich.table import Table

from focus_pipeline.months import current_month, months_back
from focus_pipeline_tests.bench.months import measured
from focus_pipeline_tests.fakes.aws_export import AwsExport
from focus_pipeline_tests.fakes.servers import s3_server

OBJECTS = int(os.environ.get("BENCH_OBJECTS", "200000"))
MONTHS = months_back(current_month(), 23)
CHUNKS = 20
BUCKET = "acme-billing"


def main() -> None:
    with s3_server() as server, tempfile.TemporaryDirectory() as folder:
        server.create_bucket(BUCKET)
        backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        objects = 0

        def put(key: str, body: bytes) -> None:
            # Past the API, which takes 7 ms a key.
            nonlocal objects
            backend.put_object(BUCKET, key, body)
            objects += 1

        export = AwsExport(put, bucket=BUCKET, overwrite=False, file_format="csv.gz")
        rows = [{"BilledCost": "1"}] * CHUNKS
        while objects < OBJECTS:
            for month in MONTHS:
                export.deliver(month, rows, chunks=CHUNKS)
        server.forget_requests()
        command = [sys.executable, "-m", "focus_pipeline_tests.bench.tick", f"s3://{BUCKET}/{export.folder}"]
        environment = os.environ | {"FOCUS_DATA_DIR": folder}
        seconds, megabytes = measured([*command, server.endpoint_url], environment)
        table = Table(title=f"A tick of the sensor, {objects:,} objects, 24 months, look-back 2", title_justify="left")
        for name in ("seconds", "peak MB", "requests"):
            table.add_column(name, justify="right")
        table.add_row(f"{seconds:.2f}", f"{megabytes:,.0f}", str(len(server.requests())))
    Console().print(table)


if __name__ == "__main__":
    main()
