"""anomalies finds what is planted into two years of costs, and little else. docs/anomalies.md has the figures."""

import random
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest

from focus_pipeline.marts.mart import Mart
from focus_pipeline.months import months_back
from focus_pipeline_tests.marts import answers
from focus_pipeline_tests.marts.conftest import Table
from focus_pipeline_tests.marts.histories import (
    COLUMNS,
    DAYS,
    daily_costs,
    demo_costs,
    history,
    judged,
    mart_flags,
    plain_flags,
    replace_of,
    rows_of,
    usage,
)
from focus_pipeline_tests.month_files import focus_row


@pytest.fixture(scope="session")
def anomalies(shipped_marts: Sequence[Mart]) -> Mart:
    (mart,) = [mart for mart in shipped_marts if mart.name == "anomalies"]
    return mart


# 1 was looked at while the method was made, the others were not.
@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (101, 102, 103, 104, 105))]
)
def test_what_is_planted_is_found_within_two_days_and_little_else_is(anomalies: Mart, seed: int) -> None:
    planted = history(seed)
    found = judged(planted, mart_flags(anomalies, planted))
    assert found.share >= 0.95, found.missed
    assert found.false_per_thousand <= 1, found.false
    plain = judged(planted, plain_flags(planted))
    assert found.share > plain.share
    assert plain.false_per_thousand > 10


def steady(service: str = "EC2", days: int = 210, first: date = date(2025, 1, 1), level: float = 100) -> list[tuple]:
    """A service that costs less at weekends, with a little noise."""
    generator = random.Random(service)
    rows = []
    for number in range(days):
        day = first + timedelta(days=number)
        cost = level * (1 if day.weekday() < 5 else 0.3) * generator.uniform(0.93, 1.07)
        rows.append(usage(day, "AWS", service, "USD", round(cost, 4)))
    return rows


def changed(rows: list[tuple], **costs: float | None) -> list[tuple]:
    """Other costs on some days, which are spelled d20250704; None takes the row away."""
    by_day = {date.fromisoformat(f"{day[1:5]}-{day[5:7]}-{day[7:]}"): cost for day, cost in costs.items()}
    there = [row for row in rows if by_day.get(row[1], 0) is not None]
    return [replace_of(row)(EffectiveCost=by_day.get(row[1], row[-1])) for row in there]


def kinds(mart: Mart, rows: list[tuple], *months: str) -> list[tuple]:
    return [
        (row["ServiceName"], row["Day"].isoformat(), row["Kind"])
        for row in sorted(rows_of(daily_costs(rows), mart, months), key=lambda row: (row["Day"], str(row)))
    ]


def test_a_usual_weekend_is_none_and_a_weekend_that_costs_as_much_as_a_workday_is_one(anomalies: Mart) -> None:
    rows = steady()
    assert kinds(anomalies, rows, "2025-05", "2025-06", "2025-07") == []
    assert kinds(anomalies, changed(rows, d20250705=100), "2025-07") == [("EC2", "2025-07-05", "high")]


def test_a_workday_that_costs_as_little_as_a_weekend_is_one(anomalies: Mart) -> None:
    assert kinds(anomalies, changed(steady(), d20250709=30), "2025-07") == [("EC2", "2025-07-09", "low")]


def test_what_comes_back_every_month_is_none_from_the_second_time_on(anomalies: Mart) -> None:
    spikes = {f"d2025{month:02d}{day}": 500.0 for month, day in ((3, 31), (4, 30), (5, 30), (6, 30))}
    found = kinds(anomalies, changed(steady(), **spikes), "2025-03", "2025-04", "2025-05", "2025-06", "2025-07")
    assert found == [("EC2", "2025-03-31", "high")]


def test_purchases_tax_credits_and_corrections_are_apart(anomalies: Mart) -> None:
    rows = steady()
    other = [
        replace_of(rows[190])(ChargeCategory=category, EffectiveCost=9999) for category in ("Purchase", "Tax", "Credit")
    ]
    other.append(replace_of(rows[190])(IsCorrection=True, EffectiveCost=-9999))
    assert kinds(anomalies, rows + other, "2025-07") == []


def test_nothing_is_said_before_there_are_four_weeks(anomalies: Mart) -> None:
    assert kinds(anomalies, changed(steady(), d20250128=1000), "2025-01") == []
    assert kinds(anomalies, changed(steady(), d20250129=1000), "2025-01") == [("EC2", "2025-01-29", "high")]


def test_a_new_level_is_one_episode_and_normal_after_some_weeks(anomalies: Mart) -> None:
    rows = [replace_of(row)(EffectiveCost=row[-1] * (3 if row[1] >= date(2025, 5, 28) else 1)) for row in steady()]
    found = rows_of(daily_costs(rows), anomalies, ["2025-05", "2025-06", "2025-07"])
    assert {row["Since"] for row in found} == {date(2025, 5, 28)}
    assert sum(row["Day"] == row["Since"] for row in found) == 1
    assert max(row["Day"] for row in found) < date(2025, 7, 28)


def test_a_slow_doubling_is_told_by_the_time_that_it_is_reached(anomalies: Mart) -> None:
    rows = [
        replace_of(row)(EffectiveCost=row[-1] * (1 + min(60, max(0, (row[1] - date(2025, 5, 1)).days)) / 60))
        for row in steady()
    ]
    found = rows_of(daily_costs(rows), anomalies, ["2025-05", "2025-06", "2025-07"])
    assert {row["Kind"] for row in found} >= {"rising"}
    assert date(2025, 5, 15) < min(row["Since"] for row in found) <= date(2025, 7, 1)


def test_a_new_service_and_another_currency_are_named_as_such(anomalies: Mart) -> None:
    rows = steady() + steady("Bedrock", days=10, first=date(2025, 7, 10))
    assert kinds(anomalies, rows, "2025-07")[0] == ("Bedrock", "2025-07-10", "new")
    rows = [replace_of(row)(BillingCurrency="EUR" if row[1] >= date(2025, 7, 10) else "USD") for row in steady()]
    assert kinds(anomalies, rows, "2025-07")[:2] == [
        ("EC2", "2025-07-10", "new currency"),
        ("EC2", "2025-07-10", "missing"),
    ]


def test_a_missing_day_of_a_running_month_is_found_and_days_that_are_being_delivered_are_not(anomalies: Mart) -> None:
    """Today is 11 July: of 10 July a part is there, of 11 July a little."""
    services = ("EC2", "S3", "RDS")
    until = [row for name in services for row in steady(name) if row[1] <= date(2025, 7, 11)]
    late = [
        replace_of(row)(EffectiveCost=row[-1] * {date(2025, 7, 10): 0.5, date(2025, 7, 11): 0.05}.get(row[1], 1))
        for row in until
    ]
    assert kinds(anomalies, late, "2025-07") == []
    without = [row for row in late if (row[1], row[3]) != (date(2025, 7, 9), "S3")]
    assert kinds(anomalies, without, "2025-07") == [("S3", "2025-07-09", "missing")]
    # The other services are there: this one is not late.
    there = [row for row in until if (row[1], row[3]) != (date(2025, 7, 11), "S3")]
    assert kinds(anomalies, there, "2025-07") == [("S3", "2025-07-11", "missing")]
    # What is high on an incomplete day is no less high when it is complete.
    dear = [replace_of(row)(EffectiveCost=900) if row[1:4] == late[191][1:4] else row for row in late]
    assert kinds(anomalies, dear, "2025-07") == [("EC2", "2025-07-11", "high")]


def test_a_day_that_was_flagged_stays_flagged_as_later_days_arrive(anomalies: Mart) -> None:
    rows = changed(steady(), d20250703=700, d20250708=None)
    expected = [("EC2", "2025-07-03", "high"), ("EC2", "2025-07-08", "missing")]
    for last in range(3, 29):
        known = [row for row in rows if row[1] <= date(2025, 7, last)]
        assert kinds(anomalies, known, "2025-07") == [
            one for one in expected if one[1] < f"2025-07-{last + 1:02d}" and (last >= 10 or one[2] == "high")
        ]


def test_a_large_sub_account_is_looked_at_by_itself(anomalies: Mart) -> None:
    large = [replace_of(row)(SubAccountId="large") for row in steady("EC2", level=100)]
    rest = [replace_of(row)(SubAccountId="rest") for row in steady("EC2", level=900)]
    small = [replace_of(row)(SubAccountId="small") for row in steady("EC2", level=15)]
    rows = changed(large, d20250709=0) + rest + changed(small, d20250711=0)
    found = rows_of(daily_costs(rows), anomalies, ["2025-07"])
    assert [(row["SubAccountId"], row["Day"], row["Kind"]) for row in found] == [("large", date(2025, 7, 9), "missing")]


@pytest.mark.parametrize("month", ["2024-08", pytest.param("2025-06", marks=pytest.mark.slow)])
def test_the_mart_equals_what_plain_python_works_out(anomalies: Mart, month: str) -> None:
    planted = history(7, series=20, events=50)
    rows = planted.rows()
    of_mart = rows_of(daily_costs(rows), anomalies, [month])
    assert len(of_mart) > 10
    charges = [
        {
            "x_Month": row[0],
            "ChargePeriodStart": datetime(row[1].year, row[1].month, row[1].day),
            "ServiceProviderName": row[2],
            "ServiceName": row[3],
            "SubAccountId": row[4],
            "ChargeCategory": row[5],
            "ChargeClass": "Correction" if row[6] else None,
            "BillingCurrency": row[7],
            "EffectiveCost": Decimal(repr(float(row[8]))),
        }
        for row in rows
    ]
    by_hand = {
        (row["Day"], row["ServiceName"], row["BillingCurrency"]): row for row in answers.anomalies(charges, month)
    }
    assert len(by_hand) == len(of_mart)
    for row in of_mart:
        expected = by_hand[row["Day"], row["ServiceName"], row["BillingCurrency"]]
        for name, value in expected.items():
            if isinstance(value, Decimal | Fraction):
                assert float(row[name]) == pytest.approx(float(value), rel=1e-8, abs=1e-5), (row, name)
            else:
                assert row[name] == value, (row, name)


def test_the_check_says_in_a_sentence_what_began_in_the_last_days(
    make_table: Callable[[], Table], shipped_marts: Sequence[Mart]
) -> None:
    table = make_table()
    table.marts = [mart for mart in shipped_marts if mart.name in ("daily_costs", "anomalies")]
    rows = changed(steady(days=72), d20250303=900, d20250311=1000)
    for month in ("2025-01", "2025-02", "2025-03"):
        table.publish("aws", month, [charge(row) for row in rows if row[0] == month])
    computed = {(one.mart, one.month): one for one in table.compute()}
    assert all(check.passed for check in computed["anomalies", "2025-02"].checks)
    march = computed["anomalies", "2025-03"]
    assert march.figures == {"Anomalies": 2}
    (check,) = [check for check in march.checks if not check.passed]
    assert (check.name, check.severity, check.count) == ("anomalies", "WARN", 1)
    said = check.examples[0]["Anomaly"]
    assert said.startswith("EC2 of AWS cost 1000.00 USD on 2025-03-11, and ")
    assert said.endswith(" was expected (high)")


def charge(row: tuple) -> dict:
    month, day, provider, service, account, _, _, currency, cost = row
    following = (date.fromisoformat(f"{month}-01") + timedelta(days=32)).replace(day=1)
    return focus_row(
        BillingPeriodStart=f"{month}-01T00:00:00Z",
        BillingPeriodEnd=f"{following}T00:00:00Z",
        ChargePeriodStart=f"{day}T00:00:00Z",
        ChargePeriodEnd=f"{day + timedelta(days=1)}T00:00:00Z",
        ProviderName=provider,
        ServiceName=service,
        SubAccountId=account,
        BillingCurrency=currency,
        BilledCost=str(cost),
        EffectiveCost=str(cost),
    )


def test_the_generator_plants_what_it_says() -> None:
    planted = history(1)
    assert len(planted.series) == 50
    assert len(planted.events) == 100
    assert sum(event.is_anomaly for event in planted.events) == 67
    assert {row[COLUMN["ChargeCategory"]] for row in planted.rows()} == {"Usage", "Purchase"}
    assert (DAYS[-1] - DAYS[0]).days == 730


COLUMN = {name: place for place, name in enumerate(COLUMNS)}


@pytest.mark.slow
def test_of_the_demo_only_its_days_of_more_traffic_are_listed(anomalies: Mart) -> None:
    months = months_back("2026-03", 14)
    found = rows_of(daily_costs(demo_costs(months)), anomalies, months)
    assert {(row["ServiceName"], row["Kind"]) for row in found} == {("Amazon CloudFront", "high")}
    assert len(found) == 3
