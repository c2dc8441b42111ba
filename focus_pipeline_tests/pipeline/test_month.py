"""A month is run without Dagster, as from a notebook."""

import gzip
from decimal import Decimal
from pathlib import Path

import pytest

from focus_pipeline.connections.delivery import NoBillingPeriods
from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline.connections.oci_reports import OciReports
from focus_pipeline.pipeline.month import ingest_month
from focus_pipeline.pipeline.publish import publish_months
from focus_pipeline.records.landed import current_delivery
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse.warehouse import warehouse_of
from focus_pipeline_tests.conftest import CONNECTION
from focus_pipeline_tests.month_files import MONTH, as_csv, focus_row, write_csv


@pytest.fixture
def data_dir(tmp_path: Path, compiled_rules: Path) -> DataDir:
    return DataDir(tmp_path / "data", cache=compiled_rules)


def billed(data_dir: DataDir) -> Decimal:
    publish_months([MONTH], data_dir, warehouse_of(data_dir))
    with warehouse_of(data_dir).reading() as connection:
        return connection.execute("SELECT sum(BilledCost) FROM focus.cost_and_usage").fetchone()[0]


def test_a_month_is_fetched_judged_and_published(folder: Path, data_dir: DataDir) -> None:
    write_csv(folder / "a.csv", [focus_row(BilledCost="7")])
    outcome = ingest_month(MonthFolders(CONNECTION, folder.parent.as_uri()), MONTH, data_dir)
    assert outcome.accepted
    assert billed(data_dir) == Decimal(7)


def test_a_rejected_month_raises_nothing_and_says_why(folder: Path, data_dir: DataDir) -> None:
    write_csv(folder / "a.csv", [focus_row(BilledCost="1,5")])
    outcome = ingest_month(MonthFolders(CONNECTION, folder.parent.as_uri()), MONTH, data_dir)
    assert not outcome.accepted
    assert "where BilledCost is '1,5'" in outcome.judged.verdict.checks[0].summary
    assert outcome.fetched.landed.files == current_delivery(CONNECTION, MONTH, data_dir).files, "its bytes are kept"


def test_what_a_provider_deletes_stays_where_its_files_only_ever_add_up(tmp_path: Path, data_dir: DataDir) -> None:
    """Oracle's bucket keeps a report for a year; a month run from a notebook must not lose its first days."""
    year, number = MONTH.split("-")
    place = tmp_path / "bucket" / "FOCUS Reports" / year / number
    for day in ("01", "02"):
        (place / day).mkdir(parents=True)
        packed = gzip.compress(as_csv([focus_row(BilledCost="1", ResourceId=day)]))
        (place / day / "report.csv.gz").write_bytes(packed)
    connection = OciReports("oracle", (tmp_path / "bucket").as_uri())
    assert ingest_month(connection, MONTH, data_dir).accepted
    (place / "01" / "report.csv.gz").unlink()
    assert ingest_month(connection, MONTH, data_dir).accepted
    assert billed(data_dir) == Decimal(2)


def test_a_provider_that_shows_nothing_is_an_error(folder: Path, data_dir: DataDir) -> None:
    folder.rmdir()
    with pytest.raises(NoBillingPeriods):
        ingest_month(MonthFolders(CONNECTION, folder.parent.as_uri()), MONTH, data_dir)
