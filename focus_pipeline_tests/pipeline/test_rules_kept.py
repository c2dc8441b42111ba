"""Charges that look odd and break nothing: what narrow rules leave alone."""

from pathlib import Path

import pytest

from focus_pipeline_tests.conftest import LoadMonth
from focus_pipeline_tests.fakes.clean_months import VARIANTS, clean_charges
from focus_pipeline_tests.month_files import write_csv

AWS, COMPLETE, COMPLETE_1_3 = "aws_1_2", "complete_1_4", "complete_1_3"

ALLOCATED_ROWS = ("allocated_web", "allocated_batch")


def details(*ratios: object) -> str:
    return '{"Elements": [' + ", ".join(f'{{"AllocatedRatio": {ratio}}}' for ratio in ratios) + "]}"


def reported(load_month: LoadMonth, folder: Path, variant: str, rows: list[dict[str, str]]) -> set[str]:
    """The rules that are reported of rows and not of the clean month."""
    write_csv(folder / "bill.csv", rows)
    verdict = load_month(folder, month_rule=False, focus_version=VARIANTS[variant].version).verdict
    return {rule.rule for rule in verdict.rules if rule.violations and rule.verdict == "failed"}


@pytest.mark.parametrize(
    ("variant", "row", "change"),
    [
        (AWS, "usage", {"PricingCurrencyEffectiveCost": "1.8984000000001"}),
        (AWS, "correction", {"PricingCurrencyListUnitPrice": "0.1"}),
        (AWS, "usage", {"BillingCurrency": "EUR", "InvoiceId": "EU-7654321", "PricingCurrencyEffectiveCost": "2"}),
        (AWS, "usage", {"BillingAccountType": "Standalone Account"}),
        (AWS, "usage", {"PricingUnit": "1000 Hours", "ConsumedUnit": "10.000 Hours"}),
        (AWS, "usage", {"SkuPriceDetails": '{"x_CoreCount": 2, "CoreCount": 2, "x_BlockSize": 8, "x_ÜberFast": "no"}'}),
        (AWS, "usage", {"AvailabilityZone": ""}),
        (COMPLETE, "usage", {"PricingCurrency": "Token"}),
        (COMPLETE, "allocated_web", {"AllocatedTags": ""}),
        (COMPLETE_1_3, "allocated_web", {"AllocatedResourceName": "pod/web"}),
        # What of a charge is given to no workload.
        (COMPLETE, "allocated_web", {"AllocatedResourceId": "", "AllocatedResourceName": "", "AllocatedTags": ""}),
        (COMPLETE, "allocated_web", {"AllocatedMethodDetails": details(0.2, '0.4, "UsageUnit": "CPU"')}),
        (COMPLETE, "allocated_web", {"AllocatedMethodDetails": details("0.5999")}),
        (COMPLETE, "allocated_web", {"AllocatedMethodDetails": details('"0.6"')}),
    ],
    ids=lambda value: " ".join(map("=".join, value.items())) if isinstance(value, dict) else value,
)  # fmt: skip
def test_what_is_odd_and_conformant_is_not_reported(
    variant: str, row: str, change: dict[str, str], folder: Path, load_month: LoadMonth
) -> None:
    charges = clean_charges(variant)
    charges[row] |= change
    assert reported(load_month, folder, variant, list(charges.values())) == set()


def test_two_charges_of_a_resource_that_were_split_alike_have_shares_of_two(
    folder: Path, load_month: LoadMonth
) -> None:
    charges = clean_charges(COMPLETE)
    further = [charges[row] | {"ChargeDescription": "Disk of the node"} for row in ALLOCATED_ROWS]
    assert reported(load_month, folder, COMPLETE, [*charges.values(), *further]) == set()


def test_the_correction_of_one_share_is_not_all_shares_of_a_charge(folder: Path, load_month: LoadMonth) -> None:
    charges = clean_charges(COMPLETE)
    correction = charges["allocated_web"] | {"ChargeClass": "Correction", "ChargePeriodStart": "2025-02-10T00:00:00Z"}
    assert reported(load_month, folder, COMPLETE, [*charges.values(), correction]) == set()


@pytest.mark.parametrize("ratio", ['"a half"', "1e400", "null", "{}", "true"])
def test_a_share_that_is_no_number_is_told_and_stops_nothing(ratio: str, folder: Path, load_month: LoadMonth) -> None:
    charges = clean_charges(COMPLETE)
    charges["allocated_web"] |= {"AllocatedMethodDetails": details(ratio)}
    told = reported(load_month, folder, COMPLETE, list(charges.values()))
    assert ("CAU-AllocatedMethodDetailsObject-O-012-M" in told) is (ratio != "1e400")


@pytest.mark.parametrize("sent", ["X_Team", "Provider", "Publisher"])
def test_a_column_of_one_s_own_at_the_end_is_one_without_its_mark_and_no_column_of_focus(
    sent: str, folder: Path, load_month: LoadMonth
) -> None:
    rows = [row | {sent: "Platform"} for row in clean_charges(AWS).values()]
    assert reported(load_month, folder, AWS, rows) == {"ColumnHandling-A-010-M"}
