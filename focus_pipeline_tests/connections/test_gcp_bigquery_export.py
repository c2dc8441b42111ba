"""Google's bill in BigQuery over the real client, against bqemulator.

What the emulator cannot show is said in fakes/bigquery.py: above all how many bytes a real query reads, and the Storage
Read API on the results of queries.
"""

from __future__ import annotations

import json
import re
import secrets
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import dagster as dg
import duckdb
import grpc
import pyarrow.parquet as pq
import pytest
import yaml
from google.cloud.bigquery import SchemaField
from google.cloud.bigquery_storage import BigQueryReadClient
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport
from rich.console import Console

from focus_pipeline import connection_check
from focus_pipeline.components.gcp_bigquery_export import GcpBigQueryExport as GcpBigQueryExportComponent
from focus_pipeline.components.ingestion import named_failures
from focus_pipeline.connections import bigquery
from focus_pipeline.connections.delivery import Discovery, NoBillingPeriods
from focus_pipeline.connections.gcp_bigquery_export import GcpBigQueryExport
from focus_pipeline.connections.store_errors import AccessDenied, NotFound, ObjectChanged, StoreError
from focus_pipeline.further_connections import Defined
from focus_pipeline.months import current_month, months_back
from focus_pipeline.pipeline.land import land
from focus_pipeline.pipeline.plan import delivery_of
from focus_pipeline.storage import DataDir
from focus_pipeline_tests.connections.conftest import Loaded
from focus_pipeline_tests.fakes.bigquery import LEAST_BILLED, PROJECT, BigQueryServer
from focus_pipeline_tests.fakes.clean_months import VARIANTS, clean_rows
from focus_pipeline_tests.fakes.gcp_export import (
    DETAILED,
    DETAILED_SCHEMA,
    NATIVE,
    VIEW,
    GcpExport,
    detailed_row,
    schema_of,
)

MONTH, CLOSED = "2025-03", "2025-02"

# The emulator takes seconds to start, and a query over a nested table a tenth of one.
pytestmark = pytest.mark.slow

Load = Callable[..., Loaded]


@pytest.fixture
def new_export(bigquery: BigQueryServer) -> Iterator[Callable[..., GcpExport]]:
    """Makes an export in a dataset of its own."""
    yield lambda table=NATIVE, **options: GcpExport(bigquery, f"d{secrets.token_hex(4)}", table, **options)
    bigquery.denied.clear()
    bigquery.page_rows = 1_000_000


@pytest.fixture
def export(new_export: Callable[..., GcpExport]) -> GcpExport:
    """Google's own FOCUS export with a closed month and one that is running."""
    export = new_export()
    export.create([*clean_rows("gcp_1_2", CLOSED), *clean_rows("gcp_1_2", MONTH)])
    return export


def connected(export: GcpExport, **attributes: object) -> GcpBigQueryExport:
    return GcpBigQueryExport(
        "acme_google", PROJECT, export.dataset, export.table, endpoint_url=export.server.endpoint_url, **attributes
    )


def token(discovery: Discovery, month: str) -> str:
    return discovery.deliveries[month].token


# --- the three kinds of table --------------------------------------------------------------------------


def test_google_s_focus_export_loads_whole_and_exactly(export: GcpExport, load: Load) -> None:
    """NUMERIC and TIMESTAMP columns, records and lists of them."""
    rows = clean_rows("gcp_1_2", MONTH)
    discovery = connected(export).discover()
    assert discovery.months == (CLOSED, MONTH)
    assert discovery.deliveries[MONTH].rows == len(rows)
    loaded = load(connected(export), MONTH, discovery.deliveries[MONTH])
    assert loaded.verdict.accepted
    assert loaded.billed == export.billed(rows)
    assert loaded.staged.files[0].layout.focus_version == "1.2"
    broken = [rule for rule in loaded.verdict.rules if rule.severity in ("ERROR", "WARN")]
    assert {rule.gap for rule in broken} <= {"Google Cloud 1.2"}
    assert '{"team":"web"}' in values(loaded, "SELECT DISTINCT Tags FROM staged")
    assert values(loaded, "SELECT count(*) FROM staged WHERE x_ProviderColumns->>'$.x_Credits' IS NOT NULL") == [12]


def test_google_s_view_of_focus_1_0_loads_with_its_quirks(new_export: Callable[..., GcpExport], load: Load) -> None:
    """Midnights of Los Angeles, inclusive ends, lower case, lists of categories and of tags."""
    export, rows = new_export(VIEW), clean_rows("gcp_view_1_0", MONTH)
    of_project = {"key": "team", "value": "shop", "x_type": "project", "x_inherited": True, "x_namespace": None}
    rows[0] |= {"Tags": json.dumps([*json.loads(rows[0]["Tags"]), of_project])}
    export.create(rows)
    loaded = load(connected(export), MONTH)
    assert loaded.verdict.accepted
    assert loaded.billed == export.billed(rows)
    assert set(values(loaded, 'SELECT "ServiceCategory" FROM staged')) == {"Compute", "Storage", "Security"}
    assert set(values(loaded, 'SELECT "ChargeCategory" FROM staged')) == {"Usage", "Tax", "Adjustment"}
    assert loaded.staged.files[0].changed["ServiceCategory"] == {"spelled as FOCUS does": len(rows)}
    assert '{"team":"web","team":"shop"}' in values(loaded, "SELECT Tags FROM staged"), "a key twice is kept twice"
    broken = [rule for rule in loaded.verdict.rules if rule.severity in ("ERROR", "WARN")]
    assert {rule.gap for rule in broken} <= {"Google Cloud 1.0"}, VARIANTS["gcp_view_1_0"].version


def test_a_view_is_read_like_a_table(export: GcpExport, load: Load) -> None:
    """As Google recommends, for the columns of its table change: with some renamed and one left out."""
    export.server.execute(
        f"CREATE VIEW `{export.dataset}.bill` AS SELECT * EXCEPT (x_SubscriptionInstanceId, ChargeDescription), "
        f"ChargeDescription AS x_What FROM `{export.name}`"
    )
    loaded = load(replace(connected(export), table="bill"), MONTH)
    assert loaded.verdict.accepted
    assert values(loaded, "SELECT count(x_ProviderColumns->>'$.x_What') FROM staged") == [12]


def test_the_detailed_usage_cost_export_becomes_focus(new_export: Callable[..., GcpExport], load: Load) -> None:
    """A credit, a tax, a correction, a commitment's fee; costs are the shortest decimals of their FLOAT64."""
    export = new_export(DETAILED)
    export.server.create_table(export.name, DETAILED_SCHEMA)
    credit = {"name": "SUD", "amount": -0.1, "full_name": "", "id": "x", "type": "SUSTAINED_USAGE_DISCOUNT"}
    fee = {"id": "FEE", "description": "Commitment v1: Cpu in Netherlands for 1 Year"}
    negation = {"id": "a", "description": "", "mode": "COMPLETE_NEGATION", "type": "GENERAL_ADJUSTMENT"}
    rows = [
        detailed_row(MONTH, 0.3, credits=[credit, credit]),
        detailed_row(MONTH, 1.2345e-05),
        detailed_row(MONTH, 0.19, cost_type="tax", resource=None, project=None),
        detailed_row(MONTH, -7.1, cost_type="adjustment", adjustment_info=negation),
        detailed_row(MONTH, 20.0, sku=fee, resource=None),
        detailed_row(MONTH, 5.0, service={"id": "0", "description": "A New Service"}),
        detailed_row(CLOSED, 100.0),
    ]
    export.server.insert(export.name, rows)
    loaded = load(connected(export), MONTH)
    assert loaded.verdict.accepted
    assert loaded.billed == Decimal("0.3") - Decimal("0.2") + Decimal("0.000012345") + Decimal("18.09")
    found = values(loaded, 'SELECT "BilledCost" || \' \' || "ChargeCategory" FROM staged ORDER BY "BilledCost"')
    assert found == [
        "-7.100000000000000000 Adjustment",
        "0.000012345000000000 Usage",
        "0.100000000000000000 Usage",
        "0.190000000000000000 Tax",
        "5.000000000000000000 Usage",
        "20.000000000000000000 Purchase",
    ]
    assert values(loaded, 'SELECT "ChargeClass" FROM staged WHERE "BilledCost" < 0') == ["Correction"]
    categories = values(
        loaded, 'SELECT DISTINCT "ServiceCategory" || \'/\' || "ServiceSubcategory" FROM staged ORDER BY 1'
    )
    assert categories == ["Compute/Virtual Machines", "Other/Other (Other)"]
    assert values(loaded, 'SELECT DISTINCT "Tags" FROM staged') == ['{"team":"web"}']
    # The emulator, unlike BigQuery, writes the names of a nested query in lower case.
    assert {rule.rule for rule in loaded.verdict.rules if rule.severity == "ERROR"} <= {"ColumnHandling-A-001-M"}


@pytest.mark.parametrize("value", [1e22, 3e300])
def test_a_quantity_beyond_all_measure_is_kept_aside_and_the_month_loads(
    new_export: Callable[..., GcpExport], load: Load, value: float
) -> None:
    """As that of a file is: no money depends on it."""
    export = new_export(DETAILED)
    export.server.create_table(export.name, DETAILED_SCHEMA)
    usage = {"amount": value, "unit": "seconds", "amount_in_pricing_units": value, "pricing_unit": "hour"}
    export.server.insert(export.name, [detailed_row(MONTH, 0.3), detailed_row(MONTH, 0.5, usage=usage)])
    loaded = load(connected(export), MONTH)
    assert loaded.verdict.accepted
    assert loaded.billed == Decimal("0.8")
    assert values(loaded, "SELECT count(*) FROM staged WHERE ConsumedQuantity IS NULL AND PricingQuantity IS NULL") == [
        1
    ]
    kept = values(loaded, "SELECT x_ProviderColumns->>'$.ConsumedQuantity' FROM staged WHERE ConsumedQuantity IS NULL")
    assert [float(text) for text in kept] == [value]
    broken = {rule.column for rule in loaded.verdict.rules if rule.check == "values_readable" and rule.severity}
    assert broken == {"ConsumedQuantity", "PricingQuantity"}


def test_an_older_detailed_export_lacks_columns_and_is_read_all_the_same(
    new_export: Callable[..., GcpExport], load: Load
) -> None:
    """Without resource, price, cost_at_list, adjustment_info, seller_name and tags."""
    export = new_export(DETAILED)
    lacking = ("resource", "price", "cost_at_list", "adjustment_info", "seller_name", "tags", "system_labels")
    export.server.create_table(export.name, [field for field in DETAILED_SCHEMA if field.name not in lacking])
    row = {name: value for name, value in detailed_row(MONTH, 0.3).items() if name not in lacking}
    export.server.insert(export.name, [row])
    loaded = load(connected(export), MONTH)
    assert loaded.billed == Decimal("0.3")
    assert values(loaded, 'SELECT "ListCost" FROM staged') == [Decimal("0.3")]


def test_another_table_is_refused_by_what_it_lacks(new_export: Callable[..., GcpExport]) -> None:
    export = new_export("orders")
    export.server.create_table(export.name, [SchemaField("cost", "FLOAT64"), SchemaField("when", "DATE")])
    with pytest.raises(StoreError, match=r"neither FOCUS \(it has no BillingPeriodStart\) nor") as refused:
        connected(export).discover()
    assert "Its columns are cost, when" in str(refused.value)


# --- what has changed ----------------------------------------------------------------------------------


def test_a_closed_month_that_gains_rows_is_loaded_again_and_no_other(export: GcpExport, tmp_path: Path) -> None:
    """Even when the newest export time stays what it was."""
    data_dir, connection = DataDir(tmp_path / "data"), connected(export)
    before = connection.discover()
    for month in (CLOSED, MONTH):
        land(connection, before.deliveries[month], data_dir)
    export.append(clean_rows("gcp_1_2", CLOSED)[:1])
    after = connection.discover([CLOSED, MONTH])
    assert token(after, MONTH) == token(before, MONTH)
    assert token(after, CLOSED) != token(before, CLOSED)
    export.server.forget_requests()
    landed = [land(connection, after.deliveries[month], data_dir) for month in (CLOSED, MONTH)]
    assert [delivery.downloaded for delivery in landed] == [1, 0]
    assert len([target for method, target in export.server.requests() if method == "POST"]) == 1, "one query"


def test_rows_without_an_export_time_count_too(export: GcpExport, load: Load) -> None:
    connection = connected(export)
    before = connection.discover()
    export.append([row | {"x_ExportTime": ""} for row in clean_rows("gcp_1_2", MONTH)[:2]])
    after = connection.discover()
    assert token(after, MONTH) != token(before, MONTH)
    assert load(connection, MONTH, after.deliveries[MONTH]).staged.rows == 14


def test_a_month_that_vanishes_takes_nothing_from_the_table(export: GcpExport, tmp_path: Path) -> None:
    data_dir, connection = DataDir(tmp_path / "data"), connected(export)
    land(connection, connection.discover().deliveries[CLOSED], data_dir)
    export.server.execute(f"DELETE FROM `{export.name}` WHERE BillingPeriodStart < TIMESTAMP('{MONTH}-01')")
    discovery = connection.discover([CLOSED])
    assert discovery.months == (MONTH,)
    assert delivery_of(CLOSED, discovery, connection, 2, data_dir) is None


def test_a_month_that_google_lets_expire_row_by_row_is_kept_as_it_was(
    new_export: Callable[..., GcpExport], bigquery: BigQueryServer, tmp_path: Path
) -> None:
    """Google's own dataset keeps rows for two years: a month of then shrinks from day to day."""
    old, recent = months_back(current_month(), 24)[0], current_month()
    export = GcpExport(bigquery, f"gcp_billing_immutable_{secrets.token_hex(4)}_eu")
    export.create([*clean_rows("gcp_1_2", old), *clean_rows("gcp_1_2", recent)])
    data_dir, connection = DataDir(tmp_path / "data"), connected(export)
    first = connection.discover()
    delivery = delivery_of(old, first, connection, 2, data_dir)
    assert delivery == first.deliveries[old], "nothing is held of it: what is left is better than nothing"
    land(connection, delivery, data_dir)
    export.server.execute(f"DELETE FROM `{export.name}` WHERE SkuId = 'SKU-vm2'")
    shrunk = connection.discover()
    assert delivery_of(old, shrunk, connection, 2, data_dir) is None
    assert delivery_of(recent, shrunk, connection, 2, data_dir) == shrunk.deliveries[recent]


def test_a_view_without_an_export_time_is_told_by_its_costs(new_export: Callable[..., GcpExport], load: Load) -> None:
    """Two equal rows are two, and a cost that moves from row to row is a change."""
    export = new_export("bill")
    rows = [{k: v for k, v in row.items() if k != "x_ExportTime"} for row in clean_rows("gcp_1_2", MONTH)]
    export.create(rows)
    connection = connected(export)
    seen = [connection.discover().deliveries[MONTH]]
    assert load(connection, MONTH, seen[0]).staged.rows == len(rows)
    for change in (
        lambda: export.append(rows[:1]),
        lambda: export.append(rows[:1]),
        lambda: export.server.execute(f"UPDATE `{export.name}` SET EffectiveCost = 5 WHERE SkuId = 'SKU-vm2'"),
    ):
        change()
        seen.append(connection.discover().deliveries[MONTH])
    assert len({delivery.token for delivery in seen}) == 4
    assert token(connection.discover(), MONTH) == seen[-1].token


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE `{0}` SET BillingCurrency = 'USD' WHERE SkuId = 'SKU-vm2'",
        "UPDATE `{0}` SET ChargePeriodEnd = TIMESTAMP_ADD(ChargePeriodEnd, INTERVAL 1 HOUR) WHERE SkuId = 'SKU-vm2'",
        "UPDATE `{0}` SET ResourceId = 'other' WHERE SkuId = 'SKU-vm2'",
    ],
)
def test_a_change_in_any_column_of_the_contract_is_noticed_without_an_export_time(
    new_export: Callable[..., GcpExport], change: str
) -> None:
    export = new_export("bill")
    export.create([{k: v for k, v in row.items() if k != "x_ExportTime"} for row in clean_rows("gcp_1_2", MONTH)])
    before = token(connected(export).discover(), MONTH)
    export.server.execute(change.format(export.name))
    assert token(connected(export).discover(), MONTH) != before


def test_a_view_that_was_mended_is_read_again(export: GcpExport, load: Load) -> None:
    """Neither its number of rows nor their time of export is another one."""
    view = replace(connected(export), table="bill")
    statement = f"CREATE OR REPLACE VIEW `{export.dataset}.bill` AS SELECT * REPLACE ('{{}}' AS BillingCurrency)"
    export.server.execute(f"{statement.format('XXL')} FROM `{export.name}`")
    assert not load(view, MONTH).verdict.accepted
    export.server.execute(f"{statement.format('EUR')} FROM `{export.name}`")
    loaded = load(view, MONTH)
    assert loaded.verdict.accepted, loaded.verdict.checks[0].summary


def test_a_column_that_a_view_gains_is_read_in_every_month(export: GcpExport, load: Load) -> None:
    view = replace(connected(export), table="bill")
    statement = f"CREATE OR REPLACE VIEW `{export.dataset}.bill` AS SELECT *"
    export.server.execute(f"{statement} FROM `{export.name}`")
    before = view.discover()
    export.server.execute(f"{statement}, 'shop' AS x_Team FROM `{export.name}`")
    assert all(token(view.discover(), month) != token(before, month) for month in (CLOSED, MONTH))
    assert "x_Team" in load(view, CLOSED).staged.files[0].layout.own


def test_a_column_that_is_no_longer_left_out_is_read_in_every_month(export: GcpExport) -> None:
    narrow = replace(connected(export), leave_out=("x_Labels",))
    assert token(narrow.discover(), CLOSED) != token(connected(export).discover(), CLOSED)


def test_rows_that_come_between_listing_and_reading_end_the_attempt(export: GcpExport, tmp_path: Path) -> None:
    """Nothing is kept under the token of other rows."""
    connection, data_dir = connected(export), DataDir(tmp_path / "data")
    listed = connection.discover().deliveries[MONTH]
    export.append([row | {"x_ExportTime": "2025-05-01T00:00:00Z"} for row in clean_rows("gcp_1_2", MONTH)[:1]])
    with pytest.raises(ObjectChanged, match=f"{NATIVE} {MONTH} was replaced after it was listed"):
        land(connection, listed, data_dir)
    assert not list(data_dir.landed(connection.name, MONTH).glob("*/delivery.json"))


def test_a_column_that_appears_in_mid_month_is_kept(export: GcpExport, load: Load) -> None:
    """Google adds columns to its table; rows before them are null there, and no month is loaded for it alone."""
    connection = connected(export)
    before = connection.discover()
    export.server.add_column(export.name, SchemaField("x_Carbon", "NUMERIC"))
    assert token(connection.discover(), CLOSED) == token(before, CLOSED)
    row = clean_rows("gcp_1_2", MONTH)[0]
    export.server.execute(
        f"INSERT INTO `{export.name}` ({', '.join(row)}, x_Carbon) "
        f"SELECT {', '.join(row)}, NUMERIC '1.5' FROM `{export.name}` "
        f"WHERE BillingPeriodStart = TIMESTAMP('{MONTH}-01') LIMIT 1"
    )
    loaded = load(connection, MONTH)
    assert loaded.staged.rows == 13
    assert values(loaded, "SELECT count(x_ProviderColumns->>'$.x_Carbon') FROM staged") == [1]
    assert "x_Carbon" in loaded.staged.files[0].layout.own


def test_rows_without_a_billing_period_are_named(export: GcpExport) -> None:
    export.append([row | {"BillingPeriodStart": ""} for row in clean_rows("gcp_1_2", MONTH)[:3]])
    discovery = connected(export).discover()
    assert discovery.months == (CLOSED, MONTH)
    assert [(i.key, i.reason) for i in discovery.ignored] == [("3 rows", "their BillingPeriodStart is empty: no month")]


def test_a_new_export_without_rows_says_to_wait(new_export: Callable[..., GcpExport]) -> None:
    export = new_export()
    export.create(clean_rows("gcp_1_2", MONTH))
    export.server.execute(f"DELETE FROM `{export.name}` WHERE true")
    with pytest.raises(NoBillingPeriods, match=r"No billing periods found: .* takes up to five days"):
        connected(export).discover()


@pytest.mark.parametrize("kind", ["DATE", "DATETIME", "STRING"])
def test_the_period_may_be_a_date_or_a_text(export: GcpExport, load: Load, kind: str) -> None:
    """Views of customers have what they like."""
    moment = {
        "DATE": "DATE(BillingPeriodStart)",
        "DATETIME": "DATETIME(BillingPeriodStart)",
        "STRING": "FORMAT_TIMESTAMP('%Y-%m-%dT%H:%M:%SZ', BillingPeriodStart)",
    }[kind]
    export.server.execute(
        f"CREATE VIEW `{export.dataset}.bill` AS SELECT * EXCEPT (BillingPeriodStart), {moment} AS BillingPeriodStart "
        f"FROM `{export.name}`"
    )
    connection = replace(connected(export), table="bill")
    assert connection.discover().months == (CLOSED, MONTH)
    loaded = load(connection, MONTH)
    assert loaded.staged.rows == 12
    assert {str(v) for v in values(loaded, 'SELECT DISTINCT "BillingPeriodStart" FROM staged')} == {
        f"{MONTH}-01 00:00:00"
    }


def test_columns_named_as_our_query_names_its_own_change_nothing(export: GcpExport, load: Load) -> None:
    """GoogleSQL takes a name in GROUP BY for that of a column, where there is one."""
    export.server.execute(
        f"CREATE VIEW `{export.dataset}.bill` AS SELECT *, SkuId AS month, ServiceName AS row_count, 1 AS changed "
        f"FROM `{export.name}`"
    )
    connection = replace(connected(export), table="bill")
    assert connection.discover().months == (CLOSED, MONTH)
    assert load(connection, MONTH).billed == export.billed(clean_rows("gcp_1_2", MONTH))


# --- how it is read ------------------------------------------------------------------------------------


def test_rows_come_page_by_page(export: GcpExport, tmp_path: Path) -> None:
    rows = clean_rows("gcp_1_2", MONTH) * 209
    export.append(rows)
    export.server.page_rows = 500
    connection = connected(export)
    [item] = connection.discover().deliveries[MONTH].objects
    export.server.forget_requests()
    connection.download(item, tmp_path / "month.parquet")
    pages = [target for _, target in export.server.requests() if "maxResults=500" in target]
    assert len(pages) >= 6
    with pq.ParquetFile(tmp_path / "month.parquet") as written:
        assert written.metadata.num_rows == 210 * 12
        assert written.num_row_groups == 1, "however small the pages are"


def test_without_the_storage_read_api_s_permission_rows_come_page_by_page(
    export: GcpExport, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """roles/bigquery.dataViewer and jobUser do not hold bigquery.readsessions.create. Said once, in the log.

    The emulator has no results of queries for this API, so it is refused by a server that does nothing else.
    """
    export.append(clean_rows("gcp_1_2", MONTH) * 99)
    export.server.page_rows = 500
    connection = connected(export)
    [item] = connection.discover().deliveries[MONTH].objects
    with storage_read_api_that_refuses() as (client, asked):
        connection.client._storage = client
        for name in ("one.parquet", "two.parquet"):
            connection.download(item, tmp_path / name)
            assert pq.read_metadata(tmp_path / name).num_rows == 100 * 12
    assert len(asked) == 1, "it is not asked for again"
    [said] = [record.getMessage() for record in caplog.records if "Storage Read API" in record.getMessage()]
    assert "roles/bigquery.readSessionUser" in said


@contextmanager
def storage_read_api_that_refuses() -> Iterator[tuple[BigQueryReadClient, list[str]]]:
    asked: list[str] = []

    class Refusal(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            asked.append(details.method)
            return grpc.unary_unary_rpc_method_handler(
                lambda _, context: context.abort(
                    grpc.StatusCode.PERMISSION_DENIED,
                    "request failed: the user does not have 'bigquery.readsessions.create' permission for "
                    f"'projects/{PROJECT}'",
                )
            )

    server = grpc.server(ThreadPoolExecutor(1), handlers=[Refusal()])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        yield BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel)), asked
    finally:
        server.stop(None)


def test_queries_run_where_the_dataset_is(new_export: Callable[..., GcpExport]) -> None:
    export = new_export(location="europe-west6")
    export.create(clean_rows("gcp_1_2", MONTH))
    assert connected(export).discover().months == (MONTH,)
    assert connected(export, location="europe-west6").discover().months == (MONTH,)
    with pytest.raises(NotFound, match=f"there is no dataset {PROJECT}.{export.dataset} in EU; .*location"):
        connected(export, location="EU").discover()


def test_what_was_billed_is_told_and_an_unchanged_table_costs_nothing(export: GcpExport, tmp_path: Path) -> None:
    connection = connected(export)
    assert connection.discover().cost == f"{LEAST_BILLED:,} bytes billed"
    assert connection.discover().cost == "0 bytes billed by BigQuery (from its cache, for nothing has changed)"
    landed = land(connection, connection.discover().deliveries[MONTH], DataDir(tmp_path / "data"))
    assert landed.facts["Bytes billed"] == LEAST_BILLED
    assert re.fullmatch(rf"{PROJECT}:\w+\.[\w-]+", landed.facts["BigQuery job"])
    assert connection.estimated_bytes(connection.discover().deliveries[MONTH]) == LEAST_BILLED


def test_a_query_over_the_limit_is_not_run(export: GcpExport) -> None:
    connection = connected(export, maximum_bytes_billed=1_000_000)
    with (
        pytest.raises(
            dg.Failure, match=r"more than maximum_bytes_billed \(1,000,000\): .* 10485760 or higher"
        ) as failed,
        named_failures(connection.name, MONTH),
    ):
        connection.discover()
    assert not failed.value.allow_retries, "it would be too much the next time, too"
    month = connected(export).discover().deliveries[MONTH]
    assert connection.estimated_bytes(month) == LEAST_BILLED, "asking what it would be is not refused"


@pytest.mark.parametrize("partitioned_by", ["x_ExportTime", "_PARTITIONTIME", "BillingPeriodStart"])
def test_a_month_is_read_from_the_partitions_that_hold_it(
    new_export: Callable[..., GcpExport],
    checked: Callable[..., tuple[bool, str]],
    load: Load,
    tmp_path: Path,
    partitioned_by: str,
) -> None:
    """Else a month would be billed as much as the whole table. The emulator has no partitions; it reads the same."""
    export, rows = new_export(), clean_rows("gcp_1_2", MONTH)
    export.create([*clean_rows("gcp_1_2", CLOSED), *rows], partitioned_by)
    connection = connected(export)
    listed = connection.discover().deliveries[MONTH]
    facts = connection.download(listed.objects[0], tmp_path / "month.parquet")
    asked = export.server.query_of(facts["BigQuery job"])
    assert f"partitioned by {partitioned_by}: reading a month reads only" in checked(export)[1]
    assert f"{partitioned_by} >= TIMESTAMP(@first, 'UTC')" in asked.replace("`", "")
    assert load(connection, MONTH, listed).billed == export.billed(rows)


@pytest.mark.parametrize("kind", ["DATE", "DATETIME"])
def test_a_table_may_be_partitioned_by_a_date(new_export: Callable[..., GcpExport], load: Load, kind: str) -> None:
    export = new_export()
    rows = [row | {"x_Day": f"{row['BillingPeriodStart'][:7]}-15"} for row in clean_rows("gcp_1_2", MONTH)]
    typed_schema = [*schema_of(clean_rows("gcp_1_2", MONTH), decimals="NUMERIC"), SchemaField("x_Day", kind)]
    export.server.create_table(export.name, typed_schema, "x_Day")
    export.append(rows)
    listed = connected(export).discover().deliveries[MONTH]
    assert [bound[:10] for bound in listed.objects[0].partitions] == [f"{MONTH}-15", f"{MONTH}-16"]
    assert load(connected(export), MONTH, listed).billed == export.billed(rows)


def test_rows_that_come_into_a_later_partition_meanwhile_are_left_for_the_next_time(
    new_export: Callable[..., GcpExport], load: Load
) -> None:
    export, rows = new_export(), clean_rows("gcp_1_2", MONTH)
    export.create(rows, "x_ExportTime")
    connection = connected(export)
    listed = connection.discover()
    export.append([row | {"x_ExportTime": "2025-06-01T00:00:00Z"} for row in rows[:1]])
    assert load(connection, MONTH, listed.deliveries[MONTH]).billed == export.billed(rows)
    assert token(connection.discover(), MONTH) != token(listed, MONTH)


def test_rows_in_no_partition_yet_are_read_too(new_export: Callable[..., GcpExport], load: Load) -> None:
    """A row without x_ExportTime is in the partition of nulls, one that is streamed in is in none for a while."""
    export, rows = new_export(), clean_rows("gcp_1_2", MONTH)
    rows[0] |= {"x_ExportTime": ""}
    export.create(rows, "x_ExportTime")
    listed = connected(export).discover().deliveries[MONTH]
    assert listed.objects[0].partitions is None
    assert load(connected(export), MONTH, listed).billed == export.billed(rows)


def test_the_detailed_usage_cost_export_is_read_by_partition(
    new_export: Callable[..., GcpExport], load: Load, tmp_path: Path
) -> None:
    export = new_export(DETAILED)
    export.server.create_table(export.name, DETAILED_SCHEMA, "_PARTITIONTIME")
    export.server.insert(export.name, [detailed_row(MONTH, 1.25), detailed_row(CLOSED, 2.5)])
    connection = connected(export)
    listed = connection.discover().deliveries[MONTH]
    facts = connection.download(listed.objects[0], tmp_path / "month.parquet")
    asked = export.server.query_of(facts["BigQuery job"])
    assert "_PARTITIONTIME AS x_PartitionTime" in asked
    assert "x_PartitionTime >= TIMESTAMP(@first, 'UTC') AND x_PartitionTime < TIMESTAMP(@last, 'UTC')" in asked
    assert "x_PartitionTime" not in pq.read_schema(tmp_path / "month.parquet").names
    assert load(connection, MONTH, listed).billed == Decimal("1.25")


def test_columns_that_are_left_out_are_not_asked_for(export: GcpExport, tmp_path: Path) -> None:
    connection = connected(export, leave_out=("x_systemlabels", "X_Credits"))
    connection.download(connection.discover().deliveries[MONTH].objects[0], tmp_path / "month.parquet")
    names = {name.lower() for name in pq.read_schema(tmp_path / "month.parquet").names}
    assert "x_labels" in names
    assert not names & {"x_systemlabels", "x_credits"}


def test_the_table_is_only_read(export: GcpExport, load: Load) -> None:
    connection = connected(export)
    export.server.forget_requests()
    load(connection, MONTH)
    for method, target in export.server.requests():
        assert method == "GET" or (method == "POST" and re.search(r"/projects/[^/]+/jobs\b", target)), target


# --- before it is switched on --------------------------------------------------------------------------


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[bool, str]]:
    """Runs `focus-pipeline check` on a connection; gives whether it can be used, and what was printed."""

    def check(export: GcpExport, view: str | None = None) -> tuple[bool, str]:
        monkeypatch.setenv("FOCUS_DATA_DIR", str(tmp_path / "data"))
        console = Console(record=True, width=200)
        monkeypatch.setattr(connection_check, "console", console)
        component = GcpBigQueryExportComponent(
            name="acme_google",
            project=PROJECT,
            dataset=export.dataset,
            table=export.table,
            endpoint_url=export.server.endpoint_url,
        )
        written = {"name": "acme_google", "endpoint_url": export.server.endpoint_url}
        defined = Defined(written, ("acme_google",))
        return connection_check.check_connection(component, view=view, defined=defined), console.export_text()

    return check


def test_check_tells_what_the_table_is_and_what_reading_costs(
    export: GcpExport, checked: Callable[..., tuple[bool, str]]
) -> None:
    export.server.create_table(f"{export.dataset}.{DETAILED}", DETAILED_SCHEMA)
    usable, said = checked(export)
    assert usable
    assert "Google's FOCUS export, in EU" in said
    assert "not known to be partitioned by time" in said
    assert "38 columns of FOCUS and 17 of its own" in said
    assert f"asking for changes: {LEAST_BILLED:,} bytes billed" in said
    assert re.search(rf"{CLOSED} +12 +{LEAST_BILLED:,} +before the look-back", said)
    assert f"  table: {DETAILED}" in said, "what else could be connected"
    assert "type: focus_pipeline.GcpBigQueryExport" in said


def test_a_month_that_cannot_be_queried_is_told_in_words_by_check(
    new_export: Callable[..., GcpExport], checked: Callable[..., tuple[bool, str]]
) -> None:
    export = new_export(DETAILED)
    export.server.create_table(export.name, DETAILED_SCHEMA)
    export.server.insert(export.name, [detailed_row(MONTH, 1e22)])
    usable, said = checked(export)
    assert not usable
    assert f"✗ could not query {PROJECT}.{export.name}: BigQuery refuses it: " in said
    assert '"1e+22"' in said
    assert "A value of the table, or the statement of a view, is at fault; correct it there" in said


def test_check_tells_which_columns_of_a_view_are_missing(
    export: GcpExport, checked: Callable[..., tuple[bool, str]]
) -> None:
    export.server.execute(
        f"CREATE VIEW `{export.dataset}.bill` AS SELECT * EXCEPT (ListCost, x_ExportTime) FROM `{export.name}`"
    )
    export.table = "bill"
    usable, said = checked(export)
    assert not usable
    assert "✗ it has no ListCost: no month of it can be accepted" in said
    assert "it has no x_ExportTime" in said


def test_check_prints_a_view_of_the_detailed_export_that_reads_the_same(
    new_export: Callable[..., GcpExport], checked: Callable[..., tuple[bool, str]], load: Load
) -> None:
    export = new_export(DETAILED)
    export.server.create_table(export.name, DETAILED_SCHEMA, "_PARTITIONTIME")
    export.server.insert(export.name, [detailed_row(MONTH, 0.3), detailed_row(MONTH, 0.19, cost_type="tax")])
    _, said = checked(export, view="focus_bill")
    statement, _, told = said[said.index("CREATE VIEW") :].partition(";\n")
    export.server.execute(statement)
    export.table = "focus_bill"
    written = yaml.safe_load(told[told.index("# focus_pipeline/defs/focus_bill/defs.yaml") :])["attributes"]
    assert {name: written[name] for name in ("project", "dataset", "table", "endpoint_url")} == {
        "project": PROJECT,
        "dataset": export.dataset,
        "table": "focus_bill",
        "endpoint_url": export.server.endpoint_url,
    }
    component = GcpBigQueryExportComponent.resolve_from_yaml(yaml.safe_dump(written))
    loaded = load(component.connection(), MONTH, focus_version=component.focus_version)
    assert loaded.billed == Decimal("0.49")
    assert loaded.staged.files[0].layout.focus_version == "1.2", "and not what its columns look like"
    assert "partitioned by x_PartitionTime: reading a month reads only" in checked(export)[1]


# --- what it may not do --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("permission", "role", "place"),
    [
        ("bigquery.datasets.get", "roles/bigquery.dataViewer", "on the dataset"),
        ("bigquery.tables.get", "roles/bigquery.dataViewer", "on the dataset"),
        ("bigquery.tables.getData", "roles/bigquery.dataViewer", "on the dataset, and on those that its view reads"),
        ("bigquery.jobs.create", "roles/bigquery.jobUser", f"on the project that is billed, {PROJECT}"),
    ],
)
def test_a_missing_permission_is_named_with_the_role_that_grants_it(
    export: GcpExport, permission: str, role: str, place: str
) -> None:
    export.server.denied.add(permission)
    with pytest.raises(AccessDenied) as refused:
        connected(export).discover()
    message = str(refused.value)
    assert f"it lacks the permission {permission}. Grant {role} {place}" in message
    assert f"{PROJECT}.{export.dataset}.{NATIVE}" in message


def test_a_table_that_is_not_there_is_told(export: GcpExport) -> None:
    with pytest.raises(NotFound, match=r"there is no table or view .*gone"):
        replace(connected(export), table="gone").discover()
    with pytest.raises(NotFound, match="check project, dataset and table"):
        replace(connected(export), dataset="gone").discover()


@pytest.mark.slow
def test_an_address_that_nobody_answers_is_told(export: GcpExport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bigquery, "_RETRY", bigquery.DEFAULT_RETRY.with_timeout(0.5))
    connection = replace(connected(export), endpoint_url="http://127.0.0.1:9", location="EU")
    with pytest.raises(StoreError, match="BigQuery cannot be reached or broke off"):
        connection.discover()


def test_an_address_that_takes_calls_and_never_answers_is_told(
    export: GcpExport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bigquery, "_ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(bigquery, "_RETRY", bigquery.DEFAULT_RETRY.with_timeout(0.5))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint_url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        connection = replace(connected(export), endpoint_url=endpoint_url, location="EU")
        with pytest.raises(StoreError, match=r"BigQuery cannot be reached or broke off \(ReadTimeout\)"):
            connection.discover()


def values(loaded: Loaded, sql: str) -> list:
    """The first column of a query over the staged month, as `staged`."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        staged = connection.read_parquet(list(map(str, loaded.staged.paths)))
        return [row[0] for row in staged.query("staged", sql).fetchall()]
