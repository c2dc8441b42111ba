"""Files that BigQuery's EXPORT DATA has written to Cloud Storage, over a live server."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from focus_pipeline.connections.bigquery_shards import LONGEST_RUN, stale_shards
from focus_pipeline.connections.delivery import StoredObject
from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline_tests.connections.conftest import Loaded
from focus_pipeline_tests.connections.places import Place
from focus_pipeline_tests.fakes.clean_months import clean_rows
from focus_pipeline_tests.month_files import as_csv

MONTH = "2025-03"
ROWS = clean_rows("gcp_1_2", MONTH)


@pytest.fixture
def bucket(make_place: Callable[[str], Place]) -> Place:
    return make_place("gcs")


def connected(bucket: Place) -> MonthFolders:
    return replace(bucket.connection(), month_rule=False)


def exported_parquet(path: Path, rows: list[dict[str, str]]) -> bytes:
    """As BigQuery writes it: NUMERIC as DECIMAL(38, 9), TIMESTAMP in UTC, repeated records as lists."""
    source = path.with_suffix(".csv")
    source.write_bytes(as_csv(rows))
    labels = """'[{"Key": "VARCHAR", "Value": "VARCHAR"}]'"""
    duckdb.sql(
        f"""
        COPY (
            SELECT * REPLACE (
                CAST(BilledCost AS DECIMAL(38, 9)) AS BilledCost,
                CAST(EffectiveCost AS DECIMAL(38, 9)) AS EffectiveCost,
                CAST(BillingPeriodStart AS TIMESTAMPTZ) AS BillingPeriodStart,
                CAST(ChargePeriodStart AS TIMESTAMPTZ) AS ChargePeriodStart,
                from_json(x_Labels, {labels}) AS x_Labels
            )
            FROM read_csv('{source}', all_varchar = true)
        ) TO '{path}' (FORMAT parquet)
        """
    )
    return path.read_bytes()


def test_shards_of_lists_of_records_are_a_month(bucket: Place, load: Callable[..., Loaded], tmp_path: Path) -> None:
    """Costs of nine decimals, labels as a list of records; the folder is that of the billing period."""
    for number, rows in enumerate((ROWS[:5], ROWS[5:])):
        bucket.put(f"{MONTH}/focus-{number:012d}.parquet", exported_parquet(tmp_path / f"{number}.parquet", rows))
    loaded = load(connected(bucket), MONTH)
    assert loaded.verdict.accepted
    assert loaded.billed == sum(round(Decimal(row["BilledCost"]), 9) for row in ROWS)
    with duckdb.connect() as connection:
        tags = connection.read_parquet(list(map(str, loaded.staged.paths))).query(
            "staged", "SELECT DISTINCT Tags FROM staged"
        )
        assert ('{"team":"web"}',) in tags.fetchall()


def test_a_month_without_rows_is_one_file_with_a_header(bucket: Place, load: Callable[..., Loaded]) -> None:
    """EXPORT DATA of nothing writes a file all the same."""
    bucket.put(f"{MONTH}/focus-000000000000.csv", as_csv(ROWS).splitlines(keepends=True)[0])
    loaded = load(connected(bucket), MONTH)
    assert loaded.verdict.accepted
    assert loaded.staged.rows == 0


def test_all_files_of_one_export_are_taken(bucket: Place) -> None:
    keys = [f"{MONTH}/focus-{number:012d}.csv" for number in range(3)]
    for key in keys:
        bucket.put(key, as_csv(ROWS))
    discovery = connected(bucket).discover()
    assert [item.key for item in discovery.deliveries[MONTH].objects] == keys


def test_files_that_a_shorter_export_has_left_there_are_stale() -> None:
    """overwrite=true replaces what it writes; the end of a longer one before it stays."""
    now = datetime(2025, 4, 2, 12, tzinfo=UTC)

    def shard(number: int, written: datetime, name: str = "focus-", suffix: str = ".csv.gz") -> StoredObject:
        return StoredObject(f"{MONTH}/{name}{number:012d}{suffix}", "1", 10, written)

    yesterday, before = now - timedelta(days=1), now - LONGEST_RUN
    new = [shard(0, now), shard(1, before), shard(2, now + timedelta(minutes=5))]
    old = [shard(3, yesterday), shard(4, before - timedelta(seconds=1))]
    others = [
        shard(3, yesterday, name="other-"),
        shard(0, yesterday, suffix=".parquet"),
        shard(1, yesterday, suffix=".parquet"),
        StoredObject(f"{MONTH}/extra.csv", "1", 10, yesterday),
    ]
    assert stale_shards([*new, *old, *others]) == old
