"""Amounts in one currency: by the rate of the month from a file, and never by a rate that nobody gave."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from focus_pipeline.connections.store_errors import NotFound
from focus_pipeline.connections.store_urls import InvalidUrl
from focus_pipeline.marts.exchange_rates import RatesFile, RatesUnusable, take_over
from focus_pipeline.marts.mart import Mart, check_mart
from focus_pipeline.marts.slices import ComputedSlice
from focus_pipeline_tests.marts.answers import ANSWERS
from focus_pipeline_tests.marts.conftest import Table
from focus_pipeline_tests.marts.test_answers import published
from focus_pipeline_tests.month_files import focus_row

RATES = "month,from,to,rate\n2025-03,EUR,USD,1.0812\n2025-04,EUR,USD,1.1\n"


@pytest.fixture
def rates(tmp_path: Path) -> RatesFile:
    file = tmp_path / "rates" / "rates.csv"
    file.parent.mkdir()
    file.write_text(RATES)
    return RatesFile(file.as_uri())


@pytest.fixture
def months(make_table: Callable[[], Table], shipped_marts: list[Mart]) -> Table:
    """March and April, each with a charge in EUR, in USD and in GBP."""
    table = make_table()
    for month in ("2025-03", "2025-04"):
        periods = {"BillingPeriodStart": f"{month}-01T00:00:00Z", "ChargePeriodStart": f"{month}-02T00:00:00Z"}
        periods |= {"BillingPeriodEnd": f"2025-0{int(month[-1]) + 1}-01T00:00:00Z"}
        periods |= {"ChargePeriodEnd": f"{month}-03T00:00:00Z"}
        costs = dict.fromkeys(("BilledCost", "EffectiveCost"), "10.5")
        table.publish(
            "first",
            month,
            [focus_row(**periods, **costs, BillingCurrency=one, ResourceId=one) for one in ("EUR", "USD", "GBP")],
        )
    (mart,) = [mart for mart in shipped_marts if mart.name == "monthly_costs"]
    table.marts = [replace(mart, convert_to="USD")]
    return table


def write(rates: RatesFile, content: str) -> None:
    Path(rates.url.removeprefix("file://")).write_text(content)


def costs_of(table: Table, month: str) -> dict[str, tuple]:
    rows = table.query(
        f"SELECT BillingCurrency, BilledCost, BilledCostUSD FROM marts.monthly_costs WHERE Month = '{month}'"
    )
    return {currency: costs for currency, *costs in rows}


def check_of(one: ComputedSlice, name: str):
    return next(check for check in one.checks if check.name == name)


def test_amounts_are_converted_by_the_rate_of_their_month_beside_the_original(months: Table, rates: RatesFile) -> None:
    taken = take_over(rates, "USD", months.data_dir)
    assert (taken.rows, taken.first, taken.last, taken.changed) == (2, "2025-03", "2025-04", 2)
    march, april = months.compute()
    half = Decimal("10.5")
    assert costs_of(months, "2025-03") == {"EUR": [half, Decimal("11.3526")], "USD": [half, half], "GBP": [half, None]}
    assert costs_of(months, "2025-04")["EUR"] == [half, Decimal("11.55")]
    assert list(march.columns)[-4:] == ["BilledCost", "BilledCostUSD", "EffectiveCost", "EffectiveCostUSD"]
    for one in (march, april):
        check = check_of(one, "rates")
        assert (check.passed, check.severity, check.count) == (False, "WARN", 1)
        assert check.said == "no rate to USD for GBP in this month; add it to the file of exchange rates"
    ((said,),) = months.query("SELECT comment FROM duckdb_columns() WHERE column_name = 'BilledCostUSD'")
    assert said == "BilledCost in USD, at the rate of the month, rounded to 6 decimals; null without one."


def test_without_rates_there_is_no_converted_column(months: Table, rates: RatesFile) -> None:
    take_over(rates, "USD", months.data_dir)
    months.marts = [replace(months.marts[0], convert_to=None)]
    march, _ = months.compute()
    assert not [name for name in march.columns if name.endswith("USD")]
    assert "rates" not in {check.name for check in march.checks}


def test_only_months_whose_rates_have_changed_are_computed_again(months: Table, rates: RatesFile) -> None:
    take_over(rates, "USD", months.data_dir)
    months.compute()
    assert take_over(rates, "USD", months.data_dir).changed == 0
    assert months.due() == []
    write(rates, RATES.replace("1.1\n", "1.2\n") + "2025-03,EUR,CHF,0.95\n")
    assert take_over(rates, "USD", months.data_dir).changed == 2
    assert months.due() == [("monthly_costs", "2025-04")]
    months.compute()
    assert costs_of(months, "2025-04")["EUR"][1] == Decimal("12.6")
    write(rates, "month,from,to,rate\n2025-03,EUR,USD,1.0812\n")
    assert take_over(rates, "USD", months.data_dir).changed == 2
    months.compute()
    assert costs_of(months, "2025-04")["EUR"][1] is None, "a rate that is gone converts nothing"


def test_every_amount_of_every_mart_is_converted(
    make_table: Callable[[], Table], shipped_marts: list[Mart], rates: RatesFile
) -> None:
    table = published(make_table(), 5)
    rate = Decimal("0.9137")
    write(rates, f"month,from,to,rate\n2025-03,USD,EUR,{rate}\n")
    table.marts = [replace(mart, convert_to="EUR") for mart in shipped_marts]
    take_over(rates, "EUR", table.data_dir)
    # All months: some marts read what others have of the months before.
    for one in table.compute():
        assert one.failed is None
    rows = table.staged_rows()
    for mart in table.marts:
        assert mart.amounts, mart.name
        check_mart(mart)
        found = table.query(f"SELECT {', '.join(mart.grain)}, {', '.join(mart.converted.values())} FROM {mart.table}")
        by_grain = {row[: len(mart.grain)]: row[len(mart.grain) :] for row in found}
        for expected in ANSWERS[mart.name](rows, "2025-03"):
            factor = {"USD": rate, "EUR": 1}[expected["BillingCurrency"]]
            for name, value in zip(mart.amounts, by_grain[tuple(expected[one] for one in mart.grain)], strict=True):
                amount = expected[name]
                assert (value is None) == (amount is None)
                if amount is not None:
                    assert abs(value - amount * factor) <= max(Decimal("1e-6"), abs(value) * Decimal("1e-12"))


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_what_spreadsheets_write_is_read(months: Table, rates: RatesFile, delimiter: str) -> None:
    write(rates, "\ufeff" + RATES.replace(",", delimiter).replace("\n", "\r\n"))
    assert take_over(rates, "USD", months.data_dir).rows == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("month,from,to,rate\n2025-3,EUR,USD,1\n", "has 1 wrong lines of 1: line 2: month is 2025-3; write it as 2025"),
        ("month,from,to,rate\n2025-13,EUR,USD,1\n", "line 2: month is 2025-13"),
        ("month,from,to,rate\n2025-03,EUR,USD,1\n2025-03,,USD,1\n", "line 3: from is empty"),
        ("month,from,to,rate\n2025-03,EUR,,1\n", "line 2: to is empty"),
        ('month,from,to,rate\n2025-03,EUR,USD,"1,08"\n', "line 2: rate is 1,08; write a number with a point"),
        ("month,from,to,rate\n2025-03,EUR,USD,0\n", "line 2: rate is 0, and has to be more than 0"),
        ("month,from,to,rate\n2025-03,EUR,USD,-1\n", "line 2: rate is -1, and has to be more than 0"),
        ("month,from,to,rate\n2025-03,EUR,USD,nan\n", "line 2: rate is nan; write a number"),
        ("month,from,to,rate\n2025-03,USD,USD,1.1\n", "line 2: a rate from USD to itself is 1.1"),
        (RATES + "2025-03,eur,USD,1.09\n", "line 2: 2025-03 EUR to USD stands in several lines; line 4: 2025-03 EUR"),
        ("month,from,to\n2025-03,EUR,USD\n", "has no column rate; its first line has to be month,from,to,rate"),
        ("month,from,to,rate\n", "has no rates"),
        ("month,from,to,rate\n2025-03,EUR\n", "cannot be read as CSV"),
        ("", "has no column month"),
        ("month,from,to,rate\n2025-03,EUR,CHF,0.95\n", "has rates to CHF, and none to USD"),
        (RATES + "".join(f"2025-03,X{n},USD,0\n" for n in range(5)), "has 5 wrong lines of 7: line 4: rate is 0"),
    ],
)
def test_a_file_with_a_fault_is_refused_and_the_former_rates_stay(
    months: Table, rates: RatesFile, content: str, said: str
) -> None:
    take_over(rates, "USD", months.data_dir)
    kept = months.query("FROM focus.exchange_rates ORDER BY ALL")
    write(rates, content)
    with pytest.raises(RatesUnusable) as refused:
        take_over(rates, "USD", months.data_dir)
    assert str(refused.value).startswith("rates.csv ")
    assert said in str(refused.value)
    assert months.query("FROM focus.exchange_rates ORDER BY ALL") == kept
    assert (months.data_dir.exchange_rates / "rates.csv").read_text() == RATES


def test_columns_stand_in_any_order_and_others_are_no_fault(months: Table, rates: RatesFile) -> None:
    write(rates, "Source,RATE, To ,From,Month\nECB,1.08 , usd,EUR,2025-03\n")
    take_over(rates, "USD", months.data_dir)
    assert months.query("FROM focus.exchange_rates") == [("2025-03", "EUR", "USD", Decimal("1.08"))]


def test_a_place_without_the_file_says_so(months: Table, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"there is no file none\.csv in "):
        take_over(RatesFile((tmp_path / "none.csv").as_uri()), "USD", months.data_dir)
    with pytest.raises(InvalidUrl, match="the url has to be that of the file"):
        RatesFile("s3://bucket/folder/")


def test_a_mart_with_amounts_has_a_currency(months: Table) -> None:
    mart = months.marts[0]
    with pytest.raises(ValueError, match="has `amounts`, and no Profit among its `columns`"):
        check_mart(replace(mart, amounts=("Profit",)))
