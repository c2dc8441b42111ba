"""budgets holds costs and forecasts against amounts that a person has set."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from focus_pipeline.marts.mart import Mart
from focus_pipeline.marts.slices import ComputedSlice
from focus_pipeline_tests.marts.conftest import Table
from focus_pipeline_tests.marts.histories import replace_of
from focus_pipeline_tests.marts.test_anomalies import charge, steady

MONTHS = ("2025-01", "2025-02", "2025-03")
METER = "USE1-NovaPro-cache-read-input-token-count"
READ = ("daily_costs", "ai_costs", "forecast", "budgets")


@pytest.fixture
def compute(make_table: Callable[[], Table], shipped_marts: Sequence[Mart]) -> Callable[..., dict[str, ComputedSlice]]:
    """Publishes three months of AWS, the last of them up to the 17th, and computes these budgets: month -> slice."""
    table = make_table()
    marts = [mart for mart in shipped_marts if mart.name in READ]
    rows = steady(days=76)
    half = [replace_of(row)(SubAccountId="other", EffectiveCost=row[-1] / 2) for row in rows]
    model = [replace_of(row)(ServiceName="Amazon Bedrock", EffectiveCost=7.0) for row in rows]
    plain = {"Tags": "", "SkuMeter": ""}
    of_model = {"ServiceCategory": "AI and Machine Learning", "SkuMeter": METER, "PricingUnit": "1K tokens"}
    for month in MONTHS:
        charges = [charge(row) | plain | {"Tags": '{"team": "shop"}'} for row in rows if row[0] == month]
        charges += [charge(row) | plain for row in half if row[0] == month]
        charges += [charge(row) | plain | of_model for row in model if row[0] == month]
        table.publish("aws", month, charges)

    def compute(*budgets: dict) -> dict[str, ComputedSlice]:
        given = {"budgets": [json.dumps(budget) for budget in budgets]}
        table.marts = [replace(mart, parameters=given) if mart.name == "budgets" else mart for mart in marts]
        return {one.month: one for one in table.compute() if one.mart == "budgets"}

    compute.table = table  # type: ignore[attr-defined]
    return compute


def budget(name: str, amount: int, **fields: str) -> dict:
    return {"name": name, "amount": amount, "currency": "USD", "period": "month"} | fields


def held(compute: Callable, month: str = "2025-03") -> dict[str, tuple[Decimal, Decimal]]:
    rows = compute.table.query(f"SELECT Budget, Actual, Forecast FROM marts.budgets WHERE Month = '{month}'")
    return {name: (actual, forecast) for name, actual, forecast in rows}


def failing(one: ComputedSlice) -> dict[str, tuple[str, list[str]]]:
    return {
        check.name: (check.severity, [row["Budget"] for row in check.examples])
        for check in one.checks
        if not check.passed
    }


def test_without_budgets_the_mart_is_empty_and_its_checks_pass(compute: Callable) -> None:
    computed = compute()
    assert {month: (one.failed, one.rows, failing(one)) for month, one in computed.items()} == {
        month: (None, 0, {}) for month in MONTHS
    }


def test_a_budget_that_is_exceeded_is_an_error_and_one_that_will_be_is_a_warning(compute: Callable) -> None:
    computed = compute(budget("gone", 1000), budget("will be", 3000), budget("fine", 9000))
    assert computed["2025-03"].failed is None
    assert failing(computed["2025-03"]) == {
        "actual_within_budget": ("ERROR", ["gone"]),
        "forecast_within_budget": ("WARN", ["gone", "will be"]),
    }
    # 17 days of 31 are there, at about 125 a day; all of it is over in February.
    actual, forecast = held(compute)["fine"]
    assert 1.6 < forecast / actual < 2.1
    actual, forecast = held(compute, "2025-02")["fine"]
    assert actual == forecast


def test_a_budget_counts_what_fits_all_of_its_fields(compute: Callable) -> None:
    computed = compute(
        budget("all", 1),
        budget("provider", 1, provider="AWS"),
        budget("other provider", 1, provider="Microsoft"),
        budget("sub-account", 1, sub_account="other"),
        budget("tag", 1, tag_key="team", tag_value="shop"),
        budget("tag and sub-account", 1, tag_key="team", tag_value="shop", sub_account="other"),
        budget("model", 1, ai_model="Nova Pro"),
        budget("euros", 1, currency="EUR"),
    )
    assert computed["2025-03"].failed is None
    actual = {name: float(cost) for name, (cost, _) in held(compute).items()}
    shop = sum(row[-1] for row in steady(days=76) if row[1] >= date(2025, 3, 1))
    assert actual == pytest.approx(
        {
            "all": shop * 1.5 + 17 * 7,
            "provider": shop * 1.5 + 17 * 7,
            "other provider": 0,
            "sub-account": shop / 2,
            "tag": shop,
            "tag and sub-account": 0,
            "model": 17 * 7,
            "euros": 0,
        },
        abs=0.01,
    )


def test_a_budget_of_a_year_counts_from_january_on_and_expects_the_months_to_come(compute: Callable) -> None:
    computed = compute(budget("month", 1), budget("year", 1, period="year"))
    assert computed["2025-03"].failed is None
    months = [held(compute, month)["month"] for month in MONTHS]
    actual, forecast = held(compute)["year"]
    assert actual == sum(cost for cost, _ in months)
    assert float(forecast) == pytest.approx(float(months[0][0] + months[1][0] + 10 * months[2][1]), abs=0.001)


@pytest.mark.parametrize(
    "wrong",
    [{"period": "week"}, {"account": "x"}, {"tag_key": "team"}, {"currency": None}, {"amount": None}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_budget_that_cannot_be_read_is_named(compute: Callable, wrong: dict) -> None:
    computed = compute(budget("broken", 1) | wrong)
    said = str(computed["2025-03"].failed)
    assert "a budget needs name, amount and currency" in said
    assert '"broken"' in said
