"""One evaluation of the sensor of an AWS export, in a process of its own: prints the seconds it took.

python -m focus_pipeline_tests.bench.tick <url of the export> <endpoint of the store>
"""

import sys
import tempfile
import time

import dagster as dg

from focus_pipeline.components.aws_data_export import AwsDataExport
from focus_pipeline.connections.auth import S3Auth
from focus_pipeline.defs.focus.unified import unified_definitions

NAME = "aws_main"


def main(url: str, endpoint_url: str) -> None:
    auth = S3Auth(access_key_id="unchecked", secret_access_key="unchecked")
    component = AwsDataExport(name=NAME, url=url, auth=auth, endpoint_url=endpoint_url, lookback_months=2)
    definitions = dg.Definitions.merge(component.build_defs(None), unified_definitions([NAME]))
    sensor = definitions.get_sensor_def(f"{NAME}_deliveries")
    with dg.DagsterInstance.ephemeral() as instance, tempfile.TemporaryDirectory():
        context = dg.build_sensor_context(instance=instance, definitions=definitions)
        start = time.perf_counter()
        result = sensor(context)
        elapsed = time.perf_counter() - start
    assert len(result.run_requests) == 3, result.skip_reason
    print(elapsed)


if __name__ == "__main__":
    main(*sys.argv[1:])
