"""forecast says what a month will cost, and how far it was off before. docs/forecast.md has the figures."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

import pytest

from focus_pipeline.marts.mart import Mart
from focus_pipeline.months import months_back, months_between
from focus_pipeline_tests.marts.forecast_errors import errors_of
from focus_pipeline_tests.marts.histories import daily_costs, demo_costs, history, replace_of, rows_of
from focus_pipeline_tests.marts.test_anomalies import steady

TWO_YEARS = months_between("2024-01", "2025-12")


@pytest.fixture(scope="session")
def forecast(shipped_marts: Sequence[Mart]) -> Mart:
    (mart,) = [mart for mart in shipped_marts if mart.name == "forecast"]
    return mart


def one(mart: Mart, rows: list[tuple], month: str) -> dict:
    (row,) = rows_of(daily_costs(rows), mart, [month])
    return row


def total(rows: list[tuple], month: str) -> float:
    return sum(row[-1] for row in rows if row[0] == month)


@pytest.mark.parametrize(
    "seed", [1, pytest.param(101, marks=pytest.mark.slow), pytest.param(102, marks=pytest.mark.slow)]
)
def test_on_the_tenth_it_is_nearer_than_last_month_and_than_a_straight_line(forecast: Mart, seed: int) -> None:
    errors = errors_of(forecast, history(seed).rows(), TWO_YEARS)
    assert errors.months > 100
    assert errors.forecast < 0.03
    assert errors.forecast < errors.last_month / 2
    assert errors.forecast < errors.line / 2
    assert errors.covered >= 0.75


@pytest.mark.slow
def test_of_the_demo_it_is_nearer_as_well(forecast: Mart) -> None:
    months = months_back("2026-03", 14)
    errors = errors_of(forecast, demo_costs(months), months)
    assert errors.forecast < 0.02
    assert errors.forecast < errors.last_month / 2
    assert errors.forecast < errors.line / 2
    assert errors.covered >= 0.75


def test_a_running_month_is_forecast_from_its_complete_days_and_has_no_actual_cost(forecast: Mart) -> None:
    rows = steady()
    running = [
        replace_of(row)(EffectiveCost=row[-1] * {date(2025, 7, 16): 0.4, date(2025, 7, 17): 0.01}.get(row[1], 1))
        for row in rows
        if row[1] <= date(2025, 7, 17)
    ]
    found = one(forecast, running, "2025-07")
    assert found["KnownUntil"] == date(2025, 7, 15)
    assert float(found["CostSoFar"]) == pytest.approx(
        sum(row[-1] for row in rows if date(2025, 7, 1) <= row[1] <= date(2025, 7, 15))
    )
    july = steady(days=212)
    assert float(found["Forecast"]) == pytest.approx(total(july, "2025-07"), rel=0.02)
    assert found["Low"] < found["Forecast"] < found["High"]
    assert found["PastMonths"] == 5
    assert 0 < found["PastError"] < 0.02
    assert (found["Actual"], found["Error"]) == (None, None)
    assert float(found["LastMonth"]) == pytest.approx(total(rows, "2025-06"))


def test_a_month_that_is_over_has_the_forecast_of_the_tenth_beside_what_it_cost(forecast: Mart) -> None:
    rows = steady(days=212)
    found = one(forecast, rows, "2025-07")
    assert found["KnownUntil"] == date(2025, 7, 10)
    assert float(found["Actual"]) == pytest.approx(total(rows, "2025-07"))
    assert found["Error"] == pytest.approx(abs(float(found["Forecast"] / found["Actual"]) - 1), abs=1e-9)
    # What came after the tenth is not known.
    later = [replace_of(row)(EffectiveCost=row[-1] * (5 if row[1] > date(2025, 7, 10) else 1)) for row in rows]
    assert one(forecast, later, "2025-07")["Forecast"] == found["Forecast"]


def test_steady_growth_goes_on(forecast: Mart) -> None:
    rows = [
        replace_of(row)(EffectiveCost=row[-1] * 1.06 ** ((row[1] - date(2025, 1, 1)).days / 30))
        for row in steady(days=212)
    ]
    found = one(forecast, rows, "2025-07")
    assert float(found["Forecast"]) == pytest.approx(float(found["Actual"]), rel=0.02)


def test_fees_that_come_every_month_are_forecast_and_one_purchase_is_not_repeated(forecast: Mart) -> None:
    rows = steady(days=212)
    fees = [
        replace_of(row)(ServiceName="Support", ChargeCategory="Purchase", EffectiveCost=700.0)
        for row in rows
        if row[1].day == 20
    ]
    once = [
        replace_of(row)(ServiceName="Training", ChargeCategory="Purchase", EffectiveCost=9000.0)
        for row in rows
        if row[1] == date(2025, 6, 20)
    ]
    without, with_fees = one(forecast, rows, "2025-07"), one(forecast, rows + fees + once, "2025-07")
    assert with_fees["Forecast"] - without["Forecast"] == 700
    spikes = [replace_of(row)(EffectiveCost=900) if row[1].day == 28 else row for row in rows]
    assert float(one(forecast, spikes, "2025-07")["Forecast"]) == pytest.approx(total(spikes, "2025-07"), rel=0.03)
    accident = [replace_of(row)(EffectiveCost=9000) if row[1] == date(2025, 6, 28) else row for row in rows]
    assert float(one(forecast, accident, "2025-07")["Forecast"]) == pytest.approx(total(rows, "2025-07"), rel=0.03)


def test_a_provider_that_bills_once_a_month_is_known_from_its_first_day_on(forecast: Mart) -> None:
    rows = [row for row in steady(days=212) if row[1].day == 1]
    found = one(forecast, rows, "2025-07")
    assert float(found["Forecast"]) == float(found["Actual"]) == pytest.approx(rows[-1][-1])


def test_without_four_weeks_there_is_no_forecast_and_with_few_months_a_wide_interval(forecast: Mart) -> None:
    rows = steady(days=59)
    first, second = (one(forecast, rows, month) for month in ("2025-01", "2025-02"))
    assert (first["Forecast"], first["Low"], first["High"], first["PastError"]) == (None, None, None, None)
    assert second["Forecast"] is not None
    assert (second["PastError"], second["PastMonths"]) == (None, 0)
    assert float(second["High"] / second["Forecast"]) == pytest.approx(1.25)


def test_corrections_are_left_out_and_currencies_are_apart(forecast: Mart) -> None:
    rows = steady(days=212)
    corrections = [replace_of(rows[190])(IsCorrection=True, EffectiveCost=-5000)]
    assert one(forecast, rows + corrections, "2025-07")["Actual"] == one(forecast, rows, "2025-07")["Actual"]
    euros = [replace_of(row)(BillingCurrency="EUR", EffectiveCost=row[-1] / 2) for row in rows]
    by_currency = {row["BillingCurrency"]: row for row in rows_of(daily_costs(rows + euros), forecast, ["2025-07"])}
    half = by_currency["USD"]["Forecast"] / 2
    assert by_currency["EUR"]["Forecast"] == pytest.approx(half, abs=Decimal("0.00001"))
