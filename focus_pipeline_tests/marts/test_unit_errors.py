"""Prices per token that are 1,000 times off are named; discounts, tiers and unknown models are not."""

import random
from collections.abc import Callable
from decimal import Decimal

import pytest

from focus_pipeline.marts.mart import Mart
from focus_pipeline.marts.public_prices import public_price
from focus_pipeline_tests.marts.conftest import Table
from focus_pipeline_tests.month_files import Row, focus_row

# USD per million tokens, as the sellers' own price pages have them.
LIST_PRICES = {
    "USE1-NovaPro-input-tokens": "0.8",
    "USE1-NovaPro-output-tokens": "3.2",
    "USE1-MP:USE1_InputTokenCount_Global-Units": "3",
    "USE1-MP:USE1_OutputTokenCount_Global-Units": "15",
    "gpt 4o 1120 Inp glbl Tokens": "2.5",
    "gpt 4o 1120 cached Inp glbl Tokens": "1.25",
    "gpt 4o 1120 Outp glbl Tokens": "10",
    "gpt 4.1 nano Batch Inp DZone Tokens": "0.05",
    "gpt 4.1 nano Outp glbl Tokens": "0.4",
    "o4-mini 0416 Outp glbl Tokens": "4.4",
    "text-embedding-3-small glbl Tokens": "0.02",
    "Gemini 2.5 Flash Lite Text Input - Predictions": "0.1",
    "Gemini 2.5 Flash Text Output - Predictions": "2.5",
}


def charge(meter: str, number: int, generator: random.Random) -> Row:
    """A charge at its list price, or at a discount from it."""
    price = Decimal(LIST_PRICES[meter]) * generator.choice([1, 1, Decimal("0.85"), Decimal("1.1"), Decimal("0.5")])
    tokens = generator.randrange(1000, 10**9)
    fields: Row = {"SkuMeter": meter, "SkuId": f"sku-{number}", "ResourceId": f"r-{number}"}
    fields |= {"x_UsageType": "", "x_PricingUnitDescription": ""}
    if "MP:" in meter:
        # A marketplace has no list price.
        fields |= {"ServiceName": "Claude Sonnet 4.6 (Amazon Bedrock Edition)", "x_UsageType": meter}
        fields |= {"PricingUnit": "Units", "PricingQuantity": str(Decimal(tokens) / 1_000_000), "ListCost": ""}
    elif meter.startswith("USE1"):
        fields |= {"ServiceName": "Amazon Bedrock", "x_UsageType": meter}
        fields |= {"PricingUnit": "1K tokens", "PricingQuantity": str(Decimal(tokens) / 1000)}
    elif meter.startswith("Gemini"):
        fields |= {"ServiceName": "Vertex AI", "PricingUnit": "count", "PricingQuantity": str(tokens)}
    else:
        fields |= {"ServiceName": "Azure AI Services", "x_PricingUnitDescription": "1K", "PricingUnit": "Units"}
        fields |= {"PricingQuantity": str(Decimal(tokens) / 1000)}
    cost = str((price * tokens / 1_000_000).quantize(Decimal("1e-12")))
    costs = dict.fromkeys(("BilledCost", "EffectiveCost", "ContractedCost"), cost)
    return focus_row(BillingCurrency="USD", **costs, **({"ListCost": cost} | fields))


def off_by_a_thousand(row: Row, generator: random.Random) -> Row:
    """The same charge with a unit of 1K where it is 1M, or the other way round."""
    thousand = generator.choice([1000, Decimal("0.001")])
    units = {"1K tokens": "1M tokens", "1K": "1M"}
    for column in ("PricingUnit", "x_PricingUnitDescription"):
        if thousand == 1000 and row.get(column) in units:
            return row | {column: units[row[column]]}
    return row | {"PricingQuantity": str(Decimal(row["PricingQuantity"]) * thousand)}


@pytest.fixture
def ai_costs(shipped_marts: list[Mart]) -> Mart:
    (mart,) = [mart for mart in shipped_marts if mart.name == "ai_costs"]
    return mart


def test_each_of_a_thousand_unit_errors_is_named_and_nothing_else(
    make_table: Callable[[], Table], ai_costs: Mart
) -> None:
    generator = random.Random(1)
    meters = [generator.choice(list(LIST_PRICES)) for _ in range(1500)]
    clean = [charge(meter, number, generator) for number, meter in enumerate(meters)]
    planted = set(generator.sample(range(len(clean)), 1000))
    table = make_table()
    table.marts = [ai_costs]
    table.publish("first", "2026-03", clean)
    table.publish(
        "first",
        "2026-04",
        [off_by_a_thousand(row, generator) if number in planted else row for number, row in enumerate(clean)],
    )
    march, april = table.compute()
    checks = {(one.month, check.name): check for one in (march, april) for check in one.checks}
    assert checks["2026-03", "unit_errors"].passed
    assert checks["2026-04", "unit_errors"].count == 1000
    assert checks["2026-04", "unit_errors"].examples[0]["SkuId"].startswith("sku-")
    named = table.query("SELECT SkuId FROM marts.ai_costs WHERE Month = '2026-04' AND UnitErrors = 1")
    assert {sku for (sku,) in named} == {f"sku-{number}" for number in planted}
    factors = table.query("SELECT PriceFactor FROM marts.ai_costs WHERE UnitErrors > 0")
    assert all(200 < max(factor, 1 / factor) < 5000 for (factor,) in factors)


def test_one_wrong_charge_among_many_of_its_sku_is_found(make_table: Callable[[], Table], ai_costs: Mart) -> None:
    """The sum of the group would hide it: its price per token is 10 % up."""
    generator = random.Random(2)
    rows = [charge("gpt 4o 1120 Outp glbl Tokens", 7, generator) | {"ResourceId": str(n)} for n in range(10)]
    rows[3] = rows[3] | {"PricingQuantity": str(Decimal(rows[3]["PricingQuantity"]) / 1000)}
    table = make_table()
    table.marts = [ai_costs]
    table.publish("first", "2026-03", rows)
    table.compute()
    assert table.query("SELECT SkuId, UnitErrors FROM marts.ai_costs") == [("sku-7", 1)]


@pytest.mark.parametrize(
    ("change", "compared"),
    [
        ({}, True),
        ({"BillingCurrency": "JPY"}, False),
        ({"BillingCurrency": "JPY", "PricingCurrency": "USD"}, True),
        ({"ListCost": "0", "EffectiveCost": "0"}, False),
        ({"PricingQuantity": "0"}, False),
        ({"SkuMeter": "zorvex 9 Outp glbl Tokens"}, False),
    ],
)
def test_only_prices_in_usd_of_models_that_are_listed_are_compared(
    make_table: Callable[[], Table], ai_costs: Mart, change: Row, compared: bool
) -> None:
    table = make_table()
    table.marts = [ai_costs]
    row = charge("gpt 4o 1120 Outp glbl Tokens", 1, random.Random(3))
    in_usd = {"PricingCurrencyEffectiveCost": row["EffectiveCost"] if "PricingCurrency" in change else ""}
    table.publish("first", "2026-03", [row | in_usd | change])
    table.compute()
    ((factor, errors),) = table.query("SELECT PriceFactor, UnitErrors FROM marts.ai_costs")
    assert (factor is not None, errors) == (compared, 0)


def test_a_public_price_is_that_of_the_month() -> None:
    assert public_price("gpt-4o-1120", "input", "2026-03") == Decimal("2.5")
    assert public_price("Claude Sonnet 4.6", "cache read", "2026-03") == Decimal("0.3")
    assert public_price("Llama 3.2 1B", "output", "2026-03") == Decimal("0.1")
    assert public_price("gpt-4o-1120", "output", "2026-03") == Decimal("10")
    assert public_price("gpt-4o-1120", "provisioned", "2026-03") is None
    assert public_price("zorvex-9", "input", "2026-03") is None
    earlier, later = (public_price("deepseek-v4-flash", "input", month) for month in ("2026-05", "2026-11"))
    assert (earlier, later) == (Decimal("0.14"), Decimal("0.15"))
