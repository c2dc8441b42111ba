"""Delivery histories of AWS, Azure and Oracle on live servers, replayed step by step in front of their sensors."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pytest

from focus_pipeline.components.aws_data_export import AwsDataExport
from focus_pipeline.components.azure_cost_export import AzureCostExport
from focus_pipeline.components.connection import ConnectionComponent
from focus_pipeline.components.gcp_bigquery_export import GcpBigQueryExport
from focus_pipeline.components.names import raw_files
from focus_pipeline.components.oci_reports import OciReports
from focus_pipeline.connections.auth import S3Auth
from focus_pipeline.defs.focus.unified import unified_definitions
from focus_pipeline.focus.canonical import CANONICAL
from focus_pipeline.months import current_month, months_back
from focus_pipeline.storage import DataDir
from focus_pipeline_tests.components.conftest import Site
from focus_pipeline_tests.connections.places import Place
from focus_pipeline_tests.connections.secrets_kept import assert_holds_none
from focus_pipeline_tests.fakes.aws_export import AwsExport
from focus_pipeline_tests.fakes.azure_export import AzureExport
from focus_pipeline_tests.fakes.bigquery import LEAST_BILLED, PROJECT, BigQueryServer
from focus_pipeline_tests.fakes.clean_months import clean_rows
from focus_pipeline_tests.fakes.gcp_export import GcpExport
from focus_pipeline_tests.fakes.oci_export import OciExport

OLDER, BEFORE, LAST, NOW = months_back(current_month(), 3)
NAME = "provider"
SECRET = "wJalrXUtnFEMI/SECRETKEY"

pytestmark = pytest.mark.slow


@pytest.fixture
def site_of(tmp_path: Path, compiled_rules: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Site]]:
    """A real Dagster instance with these connections."""
    with dg.DagsterInstance.ephemeral() as instance:

        def make(*components: ConnectionComponent) -> Site:
            data_dir = DataDir(tmp_path / "data")
            data_dir.root.mkdir()
            (data_dir.root / "cache").symlink_to(compiled_rules)
            monkeypatch.setenv("FOCUS_DATA_DIR", str(data_dir.root))
            definitions = dg.Definitions.merge(
                *(component.build_defs(None) for component in components),
                unified_definitions([component.name for component in components]),
                dg.Definitions(executor=dg.in_process_executor),
            )
            return Site(tmp_path, data_dir, instance, definitions)

        yield make


def loaded_months(site: Site) -> list[str]:
    """One tick of the sensor, and the runs that it asks for."""
    runs = site.tick_and_load(NAME)
    assert all(run.success for run in runs)
    return sorted(run.dagster_run.tags["dagster/partition"] for run in runs)


def said(site: Site) -> str:
    return site.tick(NAME).skip_reason.skip_message


def assert_nothing_keeps(site: Site, *secrets: str) -> None:
    """Neither what Dagster has recorded (events, metadata, config, tags) nor a file of the data directory."""
    recorded = "".join(
        f"{record.dagster_run}{site.instance.all_logs(record.dagster_run.run_id)}"
        for record in site.instance.get_run_records()
    )
    assert "ASSET_MATERIALIZATION" in recorded
    assert_holds_none(recorded, *secrets)
    for path in site.data_dir.root.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert not [secret for secret in secrets if secret.encode() in content], path


def billed(rows: list[dict[str, str]]) -> Decimal:
    return sum((Decimal(row["BilledCost"]) for row in rows), Decimal(0))


def test_a_history_of_aws(make_place: Callable[[str], Place], site_of: Callable[..., Site]) -> None:
    """Delivery, refresh, restatement, shrinking, empty month, broken one, retention."""
    place = replace(make_place("s3"), auth=S3Auth(access_key_id="AKIAEXAMPLE", secret_access_key=SECRET))
    export = AwsExport(place.put, bucket=place.url[5:-1], file_format="csv.gz")
    site = site_of(
        AwsDataExport(
            name=NAME,
            url=f"{place.url}{export.folder}",
            auth=place.auth,
            endpoint_url=place.endpoint_url,
            lookback_months=2,
        )
    )
    rows = {month: clean_rows("aws_1_2", month) for month in (OLDER, BEFORE, LAST, NOW)}
    for month in (OLDER, BEFORE, LAST):
        export.deliver(month, rows[month], chunks=2)
    assert loaded_months(site) == [BEFORE, LAST]
    assert f"{OLDER} before the look-back" in said(site)

    export.deliver_data(NOW, rows[NOW][:3])
    place.put(f"{export.folder}metadata/billing_period={NOW}/", b"")
    assert f"{NOW} pending: its manifest is not there yet" in said(site)
    export.deliver(NOW, rows[NOW][:3])
    assert loaded_months(site) == [NOW]
    export.deliver(NOW, rows[NOW])
    assert loaded_months(site) == [NOW]
    assert site.billed(NOW) == billed(rows[NOW])

    assert site.run(OLDER, NAME).success
    export.deliver(OLDER, [*rows[OLDER], rows[OLDER][0]])
    assert loaded_months(site) == [OLDER], "a month that is held is restated long after the look-back"
    assert site.billed(OLDER) == billed([*rows[OLDER], rows[OLDER][0]])

    export.deliver(LAST, rows[LAST][:4], chunks=1)
    assert loaded_months(site) == [LAST]
    assert site.billed(LAST) == billed(rows[LAST][:4])
    export.deliver_manifest(LAST, ["s3://nowhere/at/all.csv.gz"])
    assert "which is not a file of this export" in said(site)
    assert site.billed(LAST) == billed(rows[LAST][:4]), "what was loaded stays"
    export.deliver_manifest(LAST, [])
    assert loaded_months(site) == [LAST]
    assert site.billed(LAST) is None

    for item in list(place.store().list(f"{export.folder}metadata/billing_period={BEFORE}/")):
        place.delete(item.key)
    assert loaded_months(site) == []
    assert site.billed(BEFORE) == billed(rows[BEFORE]), "a provider that deletes takes nothing from the table"
    assert_nothing_keeps(site, SECRET)


def test_a_history_of_azure(make_place: Callable[[str], Place], site_of: Callable[..., Site]) -> None:
    place = make_place("azure")
    export = AzureExport(place.put, place.delete, variant="azure_1_2", version="1.2")
    site = site_of(
        AzureCostExport(
            name=NAME,
            url=f"{place.url}focus-costs/",
            auth=place.auth,
            endpoint_url=place.endpoint_url,
            lookback_months=2,
        )
    )
    rows = {month: clean_rows("azure_1_2", month) for month in (OLDER, LAST, NOW)}
    export.run(LAST, rows[LAST][:5], submitted="2025-03-10T05:00:00Z", days=(1, 10))
    assert loaded_months(site) == [LAST]
    export.run(LAST, rows[LAST], submitted="2025-03-11T05:00:00Z", days=(1, 11), parts=2)
    export.run(LAST, rows[LAST][:1], submitted="2025-03-12T05:00:00Z", days=(1, 3))
    assert loaded_months(site) == [LAST]
    assert site.billed(LAST) == billed(rows[LAST])
    assert site.query("SELECT DISTINCT x_FocusVersion FROM focus.cost_and_usage") == [("1.2",)]

    export.run(NOW, rows[NOW][:3], submitted="2025-04-01T05:00:00Z", days=(1, 2))
    export.run(LAST, rows[LAST][:8], submitted="2025-04-01T06:00:00Z")
    assert loaded_months(site) == [LAST, NOW], "the previous month is delivered again in the first days of the next"
    replaced = site.query("SELECT RowsBefore, RowsAfter FROM focus.loads ORDER BY PublishedAt, rowid")
    assert (len(rows[LAST]), 8) in replaced

    export.run(
        NOW,
        submitted="2025-04-02T05:00:00Z",
        days=(1, 3),
        change=lambda manifest: manifest["blobs"][0].update(byteCount=1),
    )
    assert f"{NOW} pending" in said(site)
    export.run(NOW, [], submitted="2025-04-03T05:00:00Z", days=(1, 28))
    assert loaded_months(site) == [NOW]
    assert site.billed(NOW) is None
    assert_nothing_keeps(site, place.auth.sas_token, re.search("sig=([^&]+)", place.auth.sas_token)[1])


def test_a_history_of_oracle(make_place: Callable[[str], Place], site_of: Callable[..., Site]) -> None:
    place = replace(make_place("s3"), auth=S3Auth(access_key_id="AKIAEXAMPLE", secret_access_key=SECRET))
    export = OciExport(place.put)
    site = site_of(OciReports(name=NAME, url=place.url, auth=place.auth, endpoint_url=place.endpoint_url))
    rows = clean_rows("oci_1_0_preview", LAST)
    first = export.deliver(LAST, 1, rows[:5])
    assert loaded_months(site) == [LAST]
    export.deliver(LAST, 2, rows[5:])
    assert loaded_months(site) == [LAST]
    place.delete(first)
    assert loaded_months(site) == []
    assert site.billed(LAST) == billed(rows)
    assert_nothing_keeps(site, SECRET)


def test_a_history_of_google(bigquery: BigQueryServer, site_of: Callable[..., Site]) -> None:
    """Months come, a closed one gains rows, one expires; what asking costs stands in every tick."""
    export = GcpExport(bigquery, "history")
    rows = {month: clean_rows("gcp_1_2", month) for month in (OLDER, LAST, NOW)}
    export.create([*rows[OLDER], *rows[LAST]])
    site = site_of(google(export))
    assert loaded_months(site) == [LAST]
    assert f"{OLDER} before the look-back" in said(site)
    assert said(site).endswith("0 bytes billed by BigQuery (from its cache, for nothing has changed)")

    export.append(rows[NOW])
    assert loaded_months(site) == [NOW]
    export.append(rows[LAST][:2])
    assert loaded_months(site) == [LAST]
    assert site.billed(LAST) == export.billed([*rows[LAST], *rows[LAST][:2]])
    latest = dg.AssetRecordsFilter(asset_key=raw_files(NAME), asset_partitions=[LAST])
    [loaded] = site.instance.fetch_materializations(latest, limit=1).records
    assert loaded.asset_materialization.metadata["Bytes billed"].value == LEAST_BILLED

    assert site.run(OLDER, NAME).success
    export.server.execute(f"DELETE FROM `{export.name}` WHERE BillingPeriodStart < TIMESTAMP('{LAST}-01')")
    assert loaded_months(site) == []
    assert f"{OLDER} no longer shown whole by the provider and kept" in said(site)
    assert site.billed(OLDER) == export.billed(rows[OLDER])


def test_four_providers_are_one_table(
    make_place: Callable[[str], Place], bigquery: BigQueryServer, site_of: Callable[..., Site]
) -> None:
    """One schema, currencies apart, and each provider's total that of its source to the last decimal."""
    s3, azure = make_place("s3"), make_place("azure")
    aws = AwsExport(s3.put, bucket=s3.url[5:-1], file_format="csv.gz")
    rows = {
        name: clean_rows(variant, LAST)
        for name, variant in {
            "aws": "aws_1_2", "azure": "azure_1_2", "google": "gcp_1_2", "oracle": "oci_1_0_preview"
        }.items()
    }  # fmt: skip
    aws.deliver(LAST, rows["aws"])
    AzureExport(azure.put, azure.delete, variant="azure_1_2", version="1.2").run(LAST, rows["azure"])
    export = GcpExport(bigquery, "together")
    export.create(rows["google"])
    OciExport(s3.put).deliver(LAST, 1, rows["oracle"])
    in_s3 = {"auth": s3.auth, "endpoint_url": s3.endpoint_url}
    site = site_of(
        AwsDataExport(name="aws", url=f"{s3.url}{aws.folder}", **in_s3),
        AzureCostExport(name="azure", url=f"{azure.url}focus-costs/", auth=azure.auth, endpoint_url=azure.endpoint_url),
        google(export, name="google"),
        OciReports(name="oracle", url=s3.url, **in_s3),
    )
    for name in rows:
        assert site.run(LAST, name).success
    totals = site.query(
        "SELECT x_Connection, BillingCurrency, count(*), sum(BilledCost) FROM focus.cost_and_usage GROUP BY ALL"
    )
    sources = Counter()
    for name, of_provider in rows.items():
        for row in of_provider:
            cost = export.billed([row]) if name == "google" else Decimal(row["BilledCost"])
            sources[name, row["BillingCurrency"]] += cost
    assert {(name, currency): cost for name, currency, _, cost in totals} == sources
    assert {name: sum(n for one, _, n, _ in totals if one == name) for name in rows} == {
        name: len(of_provider) for name, of_provider in rows.items()
    }
    assert len({currency for _, currency, *_ in totals}) > 1
    columns = [column for column, *_ in site.query("DESCRIBE focus.cost_and_usage")]
    assert columns == list(CANONICAL)
    providers = site.query("SELECT DISTINCT ServiceProviderName FROM focus.cost_and_usage ORDER BY 1")
    assert providers == [("AWS",), ("Google Cloud",), ("Microsoft",), ("Oracle",)]


def google(export: GcpExport, name: str = NAME) -> GcpBigQueryExport:
    return GcpBigQueryExport(
        name=name,
        project=PROJECT,
        dataset=export.dataset,
        table=export.table,
        endpoint_url=export.server.endpoint_url,
        lookback_months=2,
    )
