"""A check that nobody has seen fail is no check: each one fails here, with its sentence, and passes on a good month."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from focus_pipeline.pipeline.verdict import CHECKS
from focus_pipeline.sql import literal
from focus_pipeline_tests.conftest import LoadMonth
from focus_pipeline_tests.month_files import MONTH, Row, as_csv, focus_row, without, write_csv

GOOD = focus_row(
    CommitmentDiscountId="",
    CommitmentDiscountStatus="",
    HostProviderName="Equinix",
    PricingCategory="Standard",
    SkuId="sku-1",
    SkuPriceId="price-1",
    SubAccountId="team-a",
    SubAccountName="Team A",
    Tags="{}",
)

# Check -> rows that break it, and what its summary says of them.
BREAKING_ROWS: dict[str, tuple[list[Row], str]] = {
    "accepted": ([GOOD | {"BillingCurrency": ""}], "FOCUS validation failed"),
    "required_columns": ([without(GOOD, "ChargeDescription")], "has no column ChargeDescription"),
    "column_names": ([GOOD | {"MyOwn": "1"}], "MyOwn"),
    "charge_month": ([GOOD | {"ChargePeriodStart": "2025-05-01T00:00:00Z"}], "outside of 2025-03"),
    "values_readable": ([GOOD | {"ListCost": "a lot"}], "ListCost is 'a lot'"),
    "text_format": ([GOOD | {"PricingQuantity": "+24"}], "PricingQuantity is '+24'"),
    "not_null": ([GOOD | {"ListCost": ""}], "ListCost is empty"),
    "conditional_nulls": ([GOOD | {"SkuId": ""}], "usage and purchases have a SkuId"),
    "allowed_values": ([GOOD | {"ServiceCategory": "Gardening"}], "'Gardening'"),
    "currency_codes": ([GOOD | {"BillingCurrency": "XYZ"}], "'XYZ'"),
    "periods": ([GOOD | {"ChargePeriodEnd": "2025-03-01T00:00:00Z"}], "ChargePeriodEnd"),
    "prices": ([GOOD | {"ListUnitPrice": "-1"}], "ListUnitPrice is '-1'"),
    "commitments": ([GOOD | {"CommitmentDiscountStatus": "Used"}], "without CommitmentDiscountId there is no"),
    "consistency": ([GOOD, GOOD | {"ServiceCategory": "Compute"}], "a ServiceName has one ServiceCategory"),
}


def test_a_good_month_passes_every_check(folder: Path, load_month: LoadMonth) -> None:
    write_csv(folder / "good.csv", [GOOD])
    loaded = load_month(folder)
    unexpected = [check.summary for check in loaded.verdict.checks if check.severity == "ERROR" and not check.passed]
    assert unexpected == []
    assert {check.name for check in loaded.verdict.checks} == set(CHECKS)


@pytest.mark.parametrize("name", BREAKING_ROWS)
def test_each_check_fails_where_its_rows_are_wrong(folder: Path, load_month: LoadMonth, name: str) -> None:
    rows, said = BREAKING_ROWS[name]
    write_csv(folder / "bill.csv", rows)
    check = load_month(folder).check(name)
    assert not check.passed
    assert said in check.summary


def test_files_readable_fails_where_a_file_is_not(folder: Path, load_month: LoadMonth) -> None:
    (folder / "bill.csv").write_bytes(as_csv([GOOD]) + b'"')
    check = load_month(folder).check("files_readable")
    assert not check.passed
    assert f"{MONTH}/bill.csv is rejected" in check.summary


def staged_otherwise(select: str) -> Callable[[duckdb.DuckDBPyConnection, str, Path], None]:
    """A fault of ours: what is staged is not what the files hold."""

    def write(connection: duckdb.DuckDBPyConnection, canonical: str, path: Path) -> None:
        connection.execute(f"COPY ({select.format(rows=f'({canonical})')}) TO {literal(str(path))} (FORMAT parquet)")

    return write


@pytest.mark.parametrize(
    ("select", "said"),
    [
        ("SELECT * FROM {rows} LIMIT 2", "rows: the files hold 3, the staged month 2"),
        ("SELECT * FROM {rows} UNION ALL (SELECT * FROM {rows} LIMIT 1)", "rows: the files hold 3, the staged month 4"),
        ("SELECT * FROM {rows} WHERE false", "rows: the files hold 3, the staged month 0"),
        (
            "SELECT * REPLACE (BilledCost + 0.000000000000000001 AS BilledCost) FROM {rows}",
            "BilledCost in USD: the files hold 2.500000000000000000, the staged month 2.500000000000000002",
        ),
        (
            "SELECT * REPLACE (EffectiveCost - 0.000000000000000001 AS EffectiveCost) FROM {rows}",
            "EffectiveCost in USD: the files hold 2.500000000000000000, the staged month 2.499999999999999998",
        ),
        (
            "SELECT * REPLACE ('USD' AS BillingCurrency) FROM {rows}",
            "BilledCost in EUR: the files hold 7.000000000000000000, the staged month 0",
        ),
        (
            "SELECT * REPLACE (CASE WHEN BillingCurrency <> 'EUR' THEN BillingCurrency END AS BillingCurrency) "
            "FROM {rows}",
            "BilledCost in no currency: the files hold 0, the staged month 7.000000000000000000",
        ),
    ],
    ids=[
        "a row lost",
        "a row doubled",
        "all rows lost",
        "the last decimal",
        "the last decimal of EffectiveCost",
        "a currency lost",
        "a currency made up",
    ],
)
def test_reconciliation_fails_where_the_staged_month_is_not_what_the_files_hold(
    folder: Path, load_month: LoadMonth, monkeypatch: pytest.MonkeyPatch, select: str, said: str
) -> None:
    write_csv(folder / "dollars.csv", [GOOD, GOOD | {"ResourceId": "other"}])
    write_csv(folder / "euros.csv", [GOOD | {"BilledCost": "7", "BillingCurrency": "EUR"}])
    monkeypatch.setattr("focus_pipeline.pipeline.parts.write_canonical", staged_otherwise(select))
    loaded = load_month(folder)
    check = loaded.check("reconciliation")
    assert (check.passed, check.severity) == (False, "ERROR")
    assert said in " ".join(failure.sentence for failure in check.failures)
    assert "this is a fault of the pipeline" in check.summary
    assert not loaded.verdict.accepted
    assert said.partition(":")[0] in loaded.check("accepted").summary


def test_reconciliation_passes_on_what_is_staged_whole(folder: Path, load_month: LoadMonth) -> None:
    write_csv(folder / "dollars.csv", [GOOD, GOOD | {"ResourceId": "other"}])
    write_csv(folder / "euros.csv", [GOOD | {"BilledCost": "7", "BillingCurrency": "EUR"}])
    loaded = load_month(folder)
    assert loaded.check("reconciliation").passed
    totals = {total.currency: Decimal(total.billed_cost) for total in loaded.staged.totals}
    assert totals == {"USD": Decimal("2.50"), "EUR": Decimal(7)}


def test_every_check_is_among_those_that_are_seen_to_fail() -> None:
    assert set(BREAKING_ROWS) | {"files_readable", "reconciliation"} == set(CHECKS)
