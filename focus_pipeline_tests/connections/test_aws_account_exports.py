"""What an AWS account says it exports, over boto3 and a live API on loopback."""

from collections.abc import Iterator

import pytest
import yaml
from rich.console import Console

from focus_pipeline.components.aws_data_export import AwsDataExport
from focus_pipeline.connections.auth import S3Auth
from focus_pipeline.connections.aws_account_exports import focus_exports
from focus_pipeline.connections.store_errors import StoreError
from focus_pipeline.further_connections import Defined, print_account_exports
from focus_pipeline_tests.fakes.data_exports_api import DataExportsApi, data_exports_api

AUTH = S3Auth(access_key_id="AKIAEXAMPLE", secret_access_key="unchecked")


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[DataExportsApi]:
    with data_exports_api() as api:
        monkeypatch.setenv("AWS_ENDPOINT_URL_BCM_DATA_EXPORTS", api.endpoint_url)
        api.add("focus-daily", "FOCUS_1_2_AWS", "DAILY")
        api.add("focus-old", "FOCUS_1_0_AWS", prefix="")
        api.add("focus-short", "FOCUS_1_2_AWS", "MONTHLY", select='BilledCost, "BillingPeriodStart"')
        api.add("cur", "COST_AND_USAGE_REPORT", "HOURLY")
        yield api


def test_the_account_s_focus_exports_are_listed_page_by_page(api: DataExportsApi) -> None:
    daily, old, short = focus_exports(AUTH)
    assert (daily.name, daily.focus_version, daily.granularity) == ("focus-daily", "1.2", "DAILY")
    assert daily.url == "s3://acme-billing/billing/focus-daily/"
    assert (old.name, old.focus_version, old.granularity) == ("focus-old", "1.0", "")
    assert old.url == "s3://acme-billing/focus-old/"
    assert (daily.left_out, short.left_out) == ((), ("Tags", "x_Discounts"))
    assert set(api.called) == {"ListExports", "GetExport", "GetTable"}, "nothing that the customer has not granted"


def test_without_get_table_the_exports_are_listed_all_the_same(api: DataExportsApi) -> None:
    api.refuse = ("GetTable",)
    assert [export.left_out for export in focus_exports(AUTH)] == [(), (), None]


def test_without_the_permission_it_says_what_to_grant_and_that_nothing_else_needs_it(api: DataExportsApi) -> None:
    api.refuse = ("ListExports", "GetExport")
    grant = "Grant bcm-data-exports:ListExports and bcm-data-exports:GetExport"
    with pytest.raises(StoreError, match=grant) as refused:
        focus_exports(AUTH)
    assert "nothing else needs that" in str(refused.value)
    assert "unchecked" not in str(refused.value)


def pasted(printed: str) -> dict[str, dict]:
    """Path of each defs.yaml that is printed -> its content."""
    documents = printed.split("\n# ")[1:]
    return {one.partition("\n")[0]: yaml.safe_load(one.partition("\n")[2].partition("\n\n")[0]) for one in documents}


def test_check_prints_what_to_paste(api: DataExportsApi) -> None:
    console = Console(record=True, width=220)
    defined = Defined({}, ("acme",), ("s3://acme-billing/billing/focus-daily",))
    print_account_exports(AUTH, defined, console)
    printed = console.export_text()
    assert "focus-daily" in printed
    assert "connected" in printed
    assert "both are loaded" in printed
    assert "all but Tags, x_Discounts" in printed
    assert pasted(printed)["focus_pipeline/defs/focus_old/defs.yaml"] == {
        "type": "focus_pipeline.AwsDataExport",
        "attributes": {"name": "focus_old", "url": "s3://acme-billing/focus-old/", "focus_version": "1.0"},
    }


def test_what_is_pasted_is_a_connection_that_dagster_takes(
    api: DataExportsApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the export is called, and with the access of the connection that lists it, secrets by their names."""
    awkward = ("2024_focus", "focus", "acme", "yes", "-all!", "it's.(all)*")
    for name in awkward:
        api.add(name, "FOCUS_1_2_AWS", "DAILY")
    auth = {"role_arn": "arn:aws:iam::123456789012:role/FocusReader", "external_id": "{{ env.ACME_EXTERNAL_ID }}"}
    monkeypatch.setenv("ACME_EXTERNAL_ID", "hunter22-secret")
    console = Console(record=True, width=80)
    print_account_exports(AUTH, Defined({"name": "acme", "auth": auth}, ("acme",)), console)
    printed = console.export_text()
    assert "hunter22-secret" not in printed
    documents = pasted(printed)
    assert len(documents) == len(awkward) + 3
    for path, content in documents.items():
        attributes = content["attributes"]
        assert path == f"focus_pipeline/defs/{attributes['name']}/defs.yaml"
        assert attributes["auth"] == auth
        assert attributes["name"] != "acme"
        component = AwsDataExport.resolve_from_yaml(yaml.safe_dump(attributes))
        component.build_defs(None)
        assert component.focus_version in ("1.0", "1.2")
