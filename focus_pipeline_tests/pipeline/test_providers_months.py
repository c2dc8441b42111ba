"""A month of each provider and version, spelled as it spells it, from its file to its verdict."""

from decimal import Decimal
from pathlib import Path

import pytest

from focus_pipeline_tests.conftest import LoadMonth
from focus_pipeline_tests.fakes.clean_months import MONTH, VARIANTS, clean_charges, clean_rows
from focus_pipeline_tests.month_files import write_csv


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_month_loads_whole_and_exactly(variant: str, folder: Path, load_month: LoadMonth) -> None:
    rows = clean_rows(variant, MONTH)
    write_csv(folder / "bill.csv", rows)
    month = load_month(folder, month_rule=False)
    assert month.verdict.accepted
    assert not month.rejections
    assert month.staged.rows == len(rows)
    assert sum(Decimal(total.billed_cost) for total in month.staged.totals) == sum(
        Decimal(row["BilledCost"]) for row in rows
    )
    assert month.check("values_readable").passed
    assert month.check("reconciliation").passed


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_clean_month_breaks_nothing_but_the_provider_s_known_gaps(
    variant: str, folder: Path, load_month: LoadMonth
) -> None:
    described = VARIANTS[variant]
    write_csv(folder / "bill.csv", clean_rows(variant, MONTH))
    verdict = load_month(folder, month_rule=False, focus_version=described.version).verdict
    broken = {rule.rule: rule for rule in verdict.rules if rule.severity in ("ERROR", "WARN")}
    assert {rule.verdict for rule in broken.values()} <= {"known gap"}
    provider = {"AWS": "AWS", "Microsoft": "Azure", "Google Cloud": "Google Cloud", "Oracle": "Oracle"}
    assert {rule.gap for rule in broken.values()} <= {f"{provider.get(described.provider.name)} {described.version}"}
    on_rows = {rule for gap in described.gaps for rule in gap.rules}
    elsewhere = {*described.gaps_of_spelling, *described.gaps_everywhere, *described.gaps_of_header}
    assert on_rows <= set(broken) <= on_rows | elsewhere


def test_what_the_preview_before_1_0_says_in_other_columns_is_taken_over(folder: Path, load_month: LoadMonth) -> None:
    charges = clean_charges("oci_1_0_preview")
    write_csv(folder / "bill.csv", charges.values())
    month = load_month(folder, month_rule=False)
    status = dict(zip(charges, month.values("CommitmentDiscountStatus"), strict=True))
    assert {key: value for key, value in status.items() if value} == {"used": "Used", "unused": "Unused"}
    assert month.values("RegionId") == [row["Region"] or None for row in charges.values()]
    (file,) = month.staged.files
    assert file.changed["RegionId"] == {"read from Region": len(charges)}
    assert file.changed["BillingPeriodEnd"] == {"moved to the first moment after it": len(charges)}


def test_columns_of_azure_s_own_are_taken_over_and_kept_aside(folder: Path, load_month: LoadMonth) -> None:
    rows = clean_rows("azure_1_0")
    write_csv(folder / "bill.csv", rows)
    month = load_month(folder, month_rule=False)
    for name, own in {
        "InvoiceId": "x_InvoiceId", "PricingCurrency": "x_PricingCurrency", "SkuMeter": "x_SkuMeterName",
    }.items():  # fmt: skip
        assert month.values(name) == [row[own] or None for row in rows]
        assert all(
            f'"{own}"' in kept for row, kept in zip(rows, month.values("x_ProviderColumns"), strict=True) if row[own]
        )


def test_google_s_view_is_read_as_it_is_meant(folder: Path, load_month: LoadMonth) -> None:
    rows = clean_rows("gcp_view_1_0")
    write_csv(folder / "bill.csv", rows)
    month = load_month(folder, month_rule=False)
    assert set(month.values("ServiceCategory")) == {"Compute", "Storage", "Security"}
    assert set(month.values("ChargeCategory")) == {"Usage", "Tax", "Adjustment"}
    assert month.staged.files[0].changed["ServiceCategory"] == {"spelled as FOCUS does": len(rows)}


def test_labels_of_google_s_table_are_tags(folder: Path, load_month: LoadMonth) -> None:
    charges = clean_charges("gcp_1_2")
    write_csv(folder / "bill.csv", charges.values())
    tags = dict(zip(charges, load_month(folder, month_rule=False).values("Tags"), strict=True))
    assert tags["usage"] == '{"team":"web"}'


def test_a_row_that_is_there_twice_is_kept_twice_and_pointed_out(folder: Path, load_month: LoadMonth) -> None:
    rows = clean_rows("aws_1_2")
    write_csv(folder / "bill.csv", [*rows, rows[0]])
    month = load_month(folder, month_rule=False)
    assert month.staged.rows == len(rows) + 1
    failure = month.failures["repeated-row"]
    assert (failure.violations, failure.severity) == (1, "WARN")
    assert [example["line"] for example in failure.examples] == [2]
    assert "the first is line 2 of 2025-03/bill.csv: look whether" in month.check("consistency").summary
