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


def found_by_hand() -> dict[str, int]:
    """Rule -> violations, each counted here anew from the text of the file."""
    rows = [{name: None if value in ("NULL", "") else value for name, value in row.items()} for row in read_as_text()]
    text = read_as_text()
    moments = ("BillingPeriodEnd", "BillingPeriodStart", "ChargePeriodEnd", "ChargePeriodStart")
    charged = [row for row in rows if row["ChargeCategory"] in ("Usage", "Purchase") and not row["ChargeClass"]]

    def number(row: dict[str, str | None], name: str) -> Decimal | None:
        return None if row[name] is None else Decimal(row[name])

    def differs(row: dict[str, str | None], price: str, cost: str) -> bool:
        factors = (number(row, price), number(row, "PricingQuantity"), number(row, cost))
        if None in factors or row["ChargeClass"]:
            return False
        unit_price, quantity, total = factors
        return abs(unit_price * quantity - total) > max(abs(total), 1) * Decimal("1e-6")

    categories: dict[tuple[str, str], set[str]] = {}
    for row in rows:
        categories.setdefault((row["ProviderName"], row["ServiceName"]), set()).add(row["ServiceCategory"])
    return {
        "ColumnHandling-A-010-M": 1,  # the column Id
        "ColumnHandling-A-012-O": 1,  # it stands first
        "DateTimeFormat-A-004-M": sum("T" not in row[name] for row in text for name in moments),
        "DateTimeFormat-A-006-M": sum(not row[name].endswith("Z") for row in text for name in moments),
        "NullHandling-A-002-M/NULL": sum(
            value == "NULL" for row in text for name, value in row.items() if name != "Id"
        ),
        "ChargeFrequency-C-003-M": sum(row["ChargeFrequency"] == "Usage-based" for row in rows),
        "ContractedCost-C-003-M": sum(row["ContractedCost"] is None for row in rows),
        "ContractedUnitPrice-C-006-C": sum(row["ContractedUnitPrice"] is None for row in charged),
        "PricingCategory-C-004-C": sum(row["PricingCategory"] is None for row in charged),
        "SkuPriceId-C-005-C": sum(row["SkuPriceId"] is None for row in charged),
        "ConsumedQuantity-C-004-C": sum(
            row["ChargeCategory"] != "Usage" and row["ConsumedQuantity"] is not None for row in rows
        ),
        "ContractedUnitPrice-C-009-C": sum((number(row, "ContractedUnitPrice") or 0) < 0 for row in rows),
        "ContractedUnitPrice-C-011-C": sum(differs(row, "ContractedUnitPrice", "ContractedCost") for row in rows),
        "ListCost-C-009-C": sum(differs(row, "ListUnitPrice", "ListCost") for row in rows),
        **{
            rule: sum(
                row["ChargeCategory"] == "Credit" and number(row, cost) != number(row, "BilledCost") for row in rows
            )
            for rule, cost in {
                "ContractedCost-C-008-C": "ContractedCost",
                "EffectiveCost-C-010-C": "EffectiveCost",
            }.items()
        },
        "ServiceName-C-005-C": sum(len(found) > 1 for found in categories.values()),
    }


def test_its_deviations_are_found_and_nothing_else(loaded: Site) -> None:
    of_month = "FROM focus.conformance WHERE Severity IN ('ERROR', 'WARN')"
    found = dict(loaded.query(f"SELECT RuleId, CAST(sum(Violations) AS INTEGER) {of_month} GROUP BY 1"))
    assert found == found_by_hand()
    assert found["ListCost-C-009-C"] == 25, "of Microsoft's 51 rows"
    assert loaded.query(f"SELECT RuleId, Violations, KnownGap {of_month} AND Verdict = 'known gap' ORDER BY 1") == [
        ("ChargeFrequency-C-003-M", 7, "Oracle 1.0"),
        ("ContractedCost-C-003-M", 7, "Oracle 1.0"),
    ]
