"""AWS Data Exports in a live S3 server, delivery by delivery."""

import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from focus_pipeline.connections.aws_data_export import AwsDataExport
from focus_pipeline.connections.delivery import NoBillingPeriods
from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline.connections.store_errors import ObjectChanged
from focus_pipeline_tests.connections.conftest import Loaded
from focus_pipeline_tests.connections.places import Place
from focus_pipeline_tests.fakes.aws_export import AwsExport
from focus_pipeline_tests.fakes.clean_months import clean_rows
from focus_pipeline_tests.fakes.servers import S3Server
from focus_pipeline_tests.month_files import as_csv

MONTH, NEXT = "2025-03", "2025-04"

Load = Callable[..., Loaded]


@pytest.fixture
def bucket_of_aws(make_place: Callable[[str], Place]) -> Place:
    return make_place("s3")


def export_in(place: Place, **options: object) -> AwsExport:
    return AwsExport(place.put, bucket=place.url.removeprefix("s3://").rstrip("/"), **options)


def connection_to(place: Place, export: AwsExport, **options: object) -> AwsDataExport:
    return AwsDataExport("aws_main", f"{place.url}{export.folder}", None, place.auth, place.endpoint_url, **options)


def billed(rows: list[dict[str, str]], file_format: str = "csv.gz") -> Decimal:
    """As the file holds it: of a DOUBLE, the shortest decimal that names it."""
    costs = [row["BilledCost"] if file_format == "csv.gz" else repr(float(row["BilledCost"])) for row in rows]
    return sum(map(Decimal, costs), Decimal(0))


@pytest.mark.parametrize("file_format", ["parquet", "csv.gz"])
@pytest.mark.parametrize("overwrite", [True, False], ids=["overwrite", "create_new"])
def test_a_month_is_what_its_manifest_names(
    overwrite: bool, file_format: str, bucket_of_aws: Place, load: Load
) -> None:
    export = export_in(bucket_of_aws, overwrite=overwrite, file_format=file_format)
    export.deliver(MONTH, chunks=3)
    loaded = load(connection_to(bucket_of_aws, export), MONTH)
    rows = clean_rows("aws_1_2", MONTH)
    assert (loaded.staged.rows, loaded.verdict.accepted) == (len(rows), True)
    assert loaded.billed == billed(rows, file_format)
    assert [file.layout.focus_version for file in loaded.staged.files] == ["1.2"] * 3


def test_a_month_without_a_manifest_is_pending_and_not_empty(bucket_of_aws: Place) -> None:
    export = export_in(bucket_of_aws)
    export.deliver(MONTH)
    export.deliver_data(NEXT)
    bucket_of_aws.put(f"{export.folder}metadata/billing_period={NEXT}/", b"")
    discovery = connection_to(bucket_of_aws, export).discover()
    assert list(discovery.deliveries) == [MONTH]
    assert discovery.held_back[NEXT].startswith("pending")


def test_of_three_executions_only_the_manifest_s_files_count(bucket_of_aws: Place, load: Load) -> None:
    """And the folders of the others are not even listed."""
    export = export_in(bucket_of_aws, overwrite=False, file_format="csv.gz")
    rows = clean_rows("aws_1_2", MONTH)
    for number in (4, 9, 12):
        export.deliver(MONTH, rows[:number], chunks=2)
    connection = connection_to(bucket_of_aws, export)
    assert load(connection, MONTH).billed == billed(rows[:12])
    assert sum("-000000000001/" in listing for listing in bucket_of_aws.listings()) == 0


def test_zero_byte_chunks_of_a_month_that_shrank_are_left_aside(bucket_of_aws: Place, load: Load) -> None:
    export = export_in(bucket_of_aws)
    rows = clean_rows("aws_1_2", MONTH)
    connection = connection_to(bucket_of_aws, export)
    export.deliver(MONTH, rows, chunks=3)
    before = load(connection, MONTH)
    export.deliver(MONTH, rows[:5], chunks=2)
    after = load(connection, MONTH)
    assert (before.staged.rows, after.staged.rows) == (len(rows), 5)
    assert [ignored.key.rpartition("/")[2] for ignored in connection.discover().ignored] == [
        "focus-daily-00003.snappy.parquet"
    ]


def test_two_casings_of_a_month_are_one_and_the_newer_manifest_counts(
    bucket_of_aws: Place, load: Load, tick: Callable[[], None]
) -> None:
    rows = clean_rows("aws_1_2", MONTH)
    export_in(bucket_of_aws, partition="BILLING_PERIOD").deliver(MONTH, rows[:3])
    tick()
    export = export_in(bucket_of_aws)
    export.deliver(MONTH, rows[:7])
    connection = connection_to(bucket_of_aws, export)
    assert connection.discover().months == (MONTH,)
    assert load(connection, MONTH).staged.rows == 7


def test_other_manifests_are_not_taken_for_the_month_s(bucket_of_aws: Place) -> None:
    export = export_in(bucket_of_aws, overwrite=False)
    keys = export.deliver(MONTH)
    beside = f"{export.folder}metadata/billing_period={MONTH}/{export.name}-Manifest-FOCUS.json"
    bucket_of_aws.put(beside, b"{}")
    discovery = connection_to(bucket_of_aws, export).discover()
    assert [item.key for item in discovery.deliveries[MONTH].objects] == keys
    assert [ignored.key for ignored in discovery.ignored] == [beside]


def test_two_exports_below_one_prefix_are_named_and_not_summed(bucket_of_aws: Place) -> None:
    for name in ("focus-daily", "focus-hourly"):
        export_in(bucket_of_aws, name=name).deliver(MONTH)
    above = AwsDataExport("aws", f"{bucket_of_aws.url}billing/", None, bucket_of_aws.auth, bucket_of_aws.endpoint_url)
    with pytest.raises(NoBillingPeriods, match=r"focus-daily, focus-hourly\. Set export_name to one"):
        above.discover()
    one = AwsDataExport(
        "aws", f"{bucket_of_aws.url}billing/", "focus-hourly", bucket_of_aws.auth, bucket_of_aws.endpoint_url
    )
    assert [item.key.split("/")[1] for item in one.discover().deliveries[MONTH].objects] == ["focus-hourly"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["s3://{bucket}/billing/focus-daily/data/billing_period=2025-04/absent.parquet"], "which is not there"),
        (["s3://elsewhere/other/place.parquet"], "which is not a file of this export"),
        (
            ["s3://{bucket}/billing/focus-daily/data/billing_period=2025-04/../../secret"],
            "which leads out of the export",
        ),
        (["s3://{bucket}/billing/focus-daily/data/billing_period=2025-03/other.parquet"], "is of another month"),
        ([17], "its dataFiles.0: a file is named in an unknown way"),
        (None, "its dataFiles: Input should be a valid array"),
    ],
)
def test_a_manifest_that_cannot_be_right_holds_back_its_month_alone(
    files: list | None, message: str, bucket_of_aws: Place
) -> None:
    export = export_in(bucket_of_aws)
    export.deliver(MONTH)
    named = None if files is None else [f.format(bucket=export.bucket) if isinstance(f, str) else f for f in files]
    key = f"{export.folder}metadata/billing_period={NEXT}/{export.name}-Manifest.json"
    bucket_of_aws.put(key, json.dumps({"dataFiles": named}).encode())
    discovery = connection_to(bucket_of_aws, export).discover()
    assert list(discovery.deliveries) == [MONTH]
    assert message in discovery.held_back[NEXT]


def test_a_manifest_that_is_not_json_holds_back_its_month_alone(bucket_of_aws: Place) -> None:
    export = export_in(bucket_of_aws)
    export.deliver(MONTH)
    bucket_of_aws.put(f"{export.folder}metadata/billing_period={NEXT}/{export.name}-Manifest.json", b"<html>")
    discovery = connection_to(bucket_of_aws, export).discover()
    assert list(discovery.deliveries) == [MONTH]
    assert "is not JSON" in discovery.held_back[NEXT]


def test_a_file_that_is_named_twice_is_loaded_once(bucket_of_aws: Place, load: Load) -> None:
    export = export_in(bucket_of_aws)
    (key,) = export.deliver_data(MONTH)
    export.deliver_manifest(MONTH, [f"s3://{export.bucket}/{key}", {"key": key}])
    assert load(connection_to(bucket_of_aws, export), MONTH).staged.rows == len(clean_rows("aws_1_2", MONTH))


def test_a_replicated_export_names_the_bucket_that_it_comes_from(bucket_of_aws: Place, load: Load) -> None:
    """And another prefix."""
    export = AwsExport(bucket_of_aws.put, prefix="copies/", bucket="the-payers-bucket")
    keys = export.deliver_data(MONTH)
    named = [f"s3://the-payers-bucket/original/prefix/{key.removeprefix('copies/')}" for key in keys]
    export.deliver_manifest(MONTH, named)
    assert load(connection_to(bucket_of_aws, export), MONTH).staged.rows == len(clean_rows("aws_1_2", MONTH))


@pytest.mark.parametrize("prefix", ["", "/", "/focus/", "a//b/", "with space/ü'[$]%20+/"])
def test_prefixes_are_taken_as_they_are(prefix: str, bucket_of_aws: Place, load: Load) -> None:
    export = export_in(bucket_of_aws, prefix=prefix, overwrite=False)
    export.deliver(MONTH)
    assert load(connection_to(bucket_of_aws, export), MONTH).verdict.accepted


def test_an_empty_month_is_empty_and_neither_missing_nor_a_failure(bucket_of_aws: Place, load: Load) -> None:
    export = export_in(bucket_of_aws)
    connection = connection_to(bucket_of_aws, export)
    export.deliver(MONTH)
    assert load(connection, MONTH).staged.rows > 0
    export.deliver_manifest(MONTH, [])
    emptied = load(connection, MONTH)
    assert (emptied.staged.rows, emptied.verdict.accepted) == (0, True)


def test_a_chunk_that_is_replaced_after_it_was_listed_ends_the_attempt(bucket_of_aws: Place, load: Load) -> None:
    export = export_in(bucket_of_aws)
    connection = connection_to(bucket_of_aws, export)
    export.deliver(MONTH, chunks=2)
    listed = connection.discover().deliveries[MONTH]
    export.deliver_data(MONTH, clean_rows("aws_1_2", MONTH)[:4], chunks=2)
    with pytest.raises(ObjectChanged):
        load(connection, MONTH, listed)
    export.deliver(MONTH, clean_rows("aws_1_2", MONTH)[:4], chunks=2)
    assert load(connection, MONTH).staged.rows == 4


def test_a_month_that_is_being_overwritten_waits_for_its_manifest(
    bucket_of_aws: Place, load: Load, tick: Callable[[], None]
) -> None:
    """Chunks of two deliveries are never one month."""
    export = export_in(bucket_of_aws)
    connection = connection_to(bucket_of_aws, export)
    export.deliver(MONTH, chunks=2)
    assert list(connection.discover().deliveries) == [MONTH]
    tick()
    rows = clean_rows("aws_1_2", MONTH)[:6]
    keys = export.deliver_data(MONTH, rows, chunks=2)
    discovery = connection.discover()
    assert not discovery.deliveries
    assert "is newer than the manifest, so AWS is writing the month anew" in discovery.held_back[MONTH]
    export.deliver_manifest(MONTH, [f"s3://{export.bucket}/{key}" for key in keys])
    assert load(connection, MONTH).staged.rows == 6


def test_only_the_months_that_are_asked_for_are_looked_into(bucket_of_aws: Place) -> None:
    export = export_in(bucket_of_aws)
    for month in ("2025-01", "2025-02", MONTH):
        export.deliver(month)
    discovery = connection_to(bucket_of_aws, export).discover([MONTH])
    assert discovery.months == ("2025-01", "2025-02", MONTH)
    assert list(discovery.deliveries) == [MONTH]
    assert not any("2025-01" in listing for listing in bucket_of_aws.listings())


def test_a_manifest_that_was_read_is_not_read_again(bucket_of_aws: Place) -> None:
    export = export_in(bucket_of_aws)
    export.deliver(MONTH)
    connection = connection_to(bucket_of_aws, export)
    for _ in range(3):
        connection.discover()
    assert len(bucket_of_aws.reads()) == 1


def test_nothing_but_listings_and_reads_is_asked_of_the_bucket(bucket_of_aws: Place, load: Load) -> None:
    export = export_in(bucket_of_aws)
    export.deliver(MONTH, chunks=2)
    before = len(bucket_of_aws.requests())
    load(connection_to(bucket_of_aws, export), MONTH)
    assert {method for method, _ in bucket_of_aws.requests()[before:]} <= {"GET", "HEAD"}


def test_a_manifest_that_a_life_cycle_rule_has_archived_holds_back_its_month_alone(
    bucket_of_aws: Place, s3: S3Server
) -> None:
    """Of a month that is held for long, it would have stopped every other month for ever."""
    export = export_in(bucket_of_aws)
    for month in (MONTH, NEXT):
        export.deliver(month)
    key = f"{export.folder}metadata/billing_period={MONTH}/{export.name}-Manifest.json"
    client = s3.client("s3")
    body = client.get_object(Bucket=export.bucket, Key=key)["Body"].read()
    client.put_object(Bucket=export.bucket, Key=key, Body=body, StorageClass="GLACIER")
    discovery = connection_to(bucket_of_aws, export).discover()
    assert list(discovery.deliveries) == [NEXT]
    assert "is in an archive storage class and cannot be read; restore it" in discovery.held_back[MONTH]


# Copies without metadata/


def test_data_without_metadata_says_how_it_is_read_and_is(bucket_of_aws: Place, load: Load) -> None:
    """A replication of data/ alone, as the Cloud Intelligence Dashboards make it."""
    rows = clean_rows("aws_1_2", MONTH)
    export = export_in(bucket_of_aws, file_format="csv.gz")
    export.deliver(MONTH, rows, chunks=2)
    for item in list(bucket_of_aws.store().list(f"{export.folder}metadata/")):
        bucket_of_aws.delete(item.key)
    with pytest.raises(NoBillingPeriods) as refused:
        connection_to(bucket_of_aws, export).discover()
    told = re.search(
        r"focus_pipeline.MonthFolders, with the url (\S+), month_path: (\S+) and month_rule: false", str(refused.value)
    )
    assert told is not None
    connection = MonthFolders(
        "copy", told[1], bucket_of_aws.auth, bucket_of_aws.endpoint_url, month_rule=False, month_path=told[2]
    )
    loaded = load(connection, MONTH)
    assert (loaded.staged.rows, loaded.billed) == (len(rows), billed(rows))


def test_the_payers_below_one_prefix_are_one_connection(bucket_of_aws: Place, load: Load) -> None:
    rows = clean_rows("aws_1_2", MONTH)
    for number, payer in enumerate(("111111111111", "222222222222")):
        content = as_csv(rows[number::2])
        bucket_of_aws.put(f"copies/{payer}/data/billing_period={MONTH}/focus-00001.csv", content)
    connection = MonthFolders(
        "copies",
        f"{bucket_of_aws.url}copies/",
        bucket_of_aws.auth,
        bucket_of_aws.endpoint_url,
        month_rule=False,
        month_path="*/data/billing_period=YYYY-MM/",
    )
    loaded = load(connection, MONTH)
    assert (loaded.staged.rows, loaded.billed) == (len(rows), billed(rows))


@pytest.mark.parametrize("named", ["key", "url", "s3Uri", "s3Key", "filePath", "relativePath"])
def test_entries_of_a_manifest_may_be_objects(bucket_of_aws: Place, load: Load, tmp_path: Path, named: str) -> None:
    export = export_in(bucket_of_aws, file_format="csv.gz")
    export.deliver(MONTH)
    (item,) = [item for item in bucket_of_aws.store().list(f"{export.folder}metadata/") if item.key.endswith(".json")]
    bucket_of_aws.store().download(item, tmp_path / "manifest.json")
    manifest = json.loads((tmp_path / "manifest.json").read_bytes())
    manifest["dataFiles"] = [{named: uri, "size": 1} for uri in manifest["dataFiles"]]
    bucket_of_aws.put(item.key, json.dumps(manifest).encode())
    assert load(connection_to(bucket_of_aws, export), MONTH).billed == billed(clean_rows("aws_1_2", MONTH))
