"""A thousand real charges of AWS, Microsoft and Oracle, published by the FinOps Foundation (CC BY 4.0)."""

import csv
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from focus_pipeline_tests.components.conftest import NAME, Site

SAMPLE = Path(__file__).resolve().parents[3] / "shared" / "samples" / "focus_sample_1.0.csv"
MONTH = "2024-09"

pytestmark = pytest.mark.skipif(not SAMPLE.exists(), reason=f"the sample is not at {SAMPLE}")


@pytest.fixture
def loaded(site: Site) -> Site:
    """The sample, delivered as a month folder and brought into the table by a run."""
    (site.bucket / MONTH).mkdir(parents=True)
    (site.bucket / MONTH / SAMPLE.name).write_bytes(SAMPLE.read_bytes())
    assert site.run(MONTH).success
    return site


def read_as_text() -> list[dict[str, str]]:
    with SAMPLE.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_every_row_and_every_cent_is_in_the_table(loaded: Site) -> None:
    rows = read_as_text()
    assert len(rows) == 1000
    in_file = {name: sum(Decimal(row[name]) for row in rows) for name in ("BilledCost", "EffectiveCost")}
    (in_table,) = loaded.query(
        "SELECT count(*), sum(BilledCost), sum(EffectiveCost), any_value(x_Connection), any_value(x_FocusVersion) "
        "FROM focus.cost_and_usage"
    )
    assert in_table == (1000, in_file["BilledCost"], in_file["EffectiveCost"], NAME, "1.0")


def test_its_null_tokens_are_null_and_its_moments_utc(loaded: Site) -> None:
    rows = read_as_text()
    text_columns = ["AvailabilityZone", "ChargeClass", "CommitmentDiscountId", "ResourceName", "SubAccountName"]
    expected = tuple(sum(row[name] in ("NULL", "") for row in rows) for name in text_columns)
    nulls = ", ".join(f"count_if({name} IS NULL)" for name in text_columns)
    assert loaded.query(f"SELECT {nulls} FROM focus.cost_and_usage") == [expected]
    first, last = loaded.query("SELECT min(ChargePeriodStart), max(ChargePeriodEnd) FROM focus.cost_and_usage")[0]
    assert first == min(datetime.fromisoformat(row["ChargePeriodStart"]) for row in rows)
    assert last == max(datetime.fromisoformat(row["ChargePeriodEnd"]) for row in rows)


def test_its_own_column_is_kept_and_pointed_out(loaded: Site) -> None:
    ids = loaded.query("SELECT x_ProviderColumns ->> '$.Id' FROM focus.cost_and_usage")
    assert sorted(row[0] for row in ids) == sorted(row["Id"] for row in read_as_text())
