"""From a bucket that checks who reads it, through a role with an External ID, to the table; no secret left behind."""

from pathlib import Path

import pytest

from focus_pipeline.months import current_month
from focus_pipeline_tests.e2e.dagster_server import await_true, running_dagster
from focus_pipeline_tests.e2e.project import Project, clone_project
from focus_pipeline_tests.fakes.servers import s3_server
from focus_pipeline_tests.month_files import as_csv, focus_row
from focus_pipeline_tests.warehouses import warehouse_at

BUCKET, PREFIX, EXTERNAL_ID = "acme-corp-focus-billing", "billing-exports/", "external-id-4d1c7a"
MONTH = current_month()


def charges(cost: str) -> bytes:
    return as_csv(
        [focus_row(BilledCost=cost, ChargePeriodStart=f"{MONTH}-01T00:00:00Z", ChargePeriodEnd=f"{MONTH}-02T00:00:00Z")]
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_bucket_is_read_through_a_role_restated_and_never_written_and_no_secret_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_server() as s3:
        s3.create_bucket(BUCKET)
        s3.put(BUCKET, f"{PREFIX}{MONTH}/expenses.csv", charges("1.50"))
        s3.put(BUCKET, f"{PREFIX}{MONTH}/_SUCCESS", b"")
        reader = s3.create_reader_role(BUCKET, PREFIX, EXTERNAL_ID)
        secrets = {
            "COLO_ACCESS_KEY_ID": reader.access_key_id,
            "COLO_SECRET_ACCESS_KEY": reader.secret_access_key,
            "COLO_EXTERNAL_ID": EXTERNAL_ID,
        }
        for name, value in secrets.items():
            monkeypatch.setenv(name, value)
        project = clone_project(
            tmp_path / "clone",
            {
                "colo_costs": {
                    "url": f"s3://{BUCKET}/{PREFIX}",
                    "endpoint_url": s3.endpoint_url,
                    "check_every_seconds": 5,
                    "auth": {
                        "access_key_id": "{{ env.COLO_ACCESS_KEY_ID }}",
                        "secret_access_key": "{{ env.COLO_SECRET_ACCESS_KEY }}",
                        "role_arn": reader.role_arn,
                        "external_id": "{{ env.COLO_EXTERNAL_ID }}",
                    },
                },
                "refused": {
                    "url": f"s3://{BUCKET}/{PREFIX}",
                    "endpoint_url": s3.endpoint_url,
                    "auth": {
                        "access_key_id": "{{ env.COLO_ACCESS_KEY_ID }}",
                        "secret_access_key": "{{ env.COLO_SECRET_ACCESS_KEY }}",
                    },
                },
            },
        )
        with s3.enforce_iam(), running_dagster(project) as dagster:

            def loads() -> list[str]:
                return dagster.statuses("focus_publish")

            await_true(lambda: loads() == ["SUCCESS"], 120, "the delivery was not loaded")
            assert billed(project) == "1.500000000000000000"
            s3.forget_requests()
            s3.put(BUCKET, f"{PREFIX}{MONTH}/additional.csv", charges("0.25"))
            await_true(lambda: loads() == ["SUCCESS", "SUCCESS"], 120, "the month was not restated")
            assert billed(project) == "1.750000000000000000"
            fetched = [target for method, target in s3.requests() if method == "GET" and ".csv" in target]
            assert [target.rsplit("/", 1)[-1] for target in fetched] == ["additional.csv"], "unchanged files stay"
            assert {method for method, target in s3.requests() if BUCKET in target} <= {"GET", "HEAD"}
            dagster.launch_backfill([["refused", "raw_files"]], [MONTH])
            await_true(lambda: dagster.runs()[0]["status"] == "FAILURE", 120, "the refused connection did not fail")
    left = [
        (path, name)
        for path in project.root.rglob("*")
        if path.is_file()
        for name, value in secrets.items()
        if value.encode() in path.read_bytes()
    ]
    assert not left


def billed(project: Project) -> str:
    with warehouse_at(project.data_dir / "warehouse.duckdb").reading() as warehouse:
        return str(warehouse.execute("SELECT sum(BilledCost) FROM focus.cost_and_usage").fetchone()[0])
