"""Each mart equals what plain Python works out of the staged rows, to the last decimal."""

import json
import random
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from focus_pipeline.marts.mart import Mart
from focus_pipeline_tests.marts.answers import ANSWERS, total
from focus_pipeline_tests.marts.conftest import DEMO_MONTHS, Table
from focus_pipeline_tests.month_files import Row, focus_row

MONTHS = ("2025-01", "2025-02", "2025-03")

# And rounded to 6 decimals.
WORKED_OUT_IN_FLOATING_POINT = (
    "QuantityChange",
    "PriceChange",
    "ExpectedCost",
    "Difference",
    "Forecast",
    "Low",
    "High",
)


def charge(generator: random.Random, month: str, number: int) -> Row:
    """A charge with whatever can mislead a sum: corrections of older months, two currencies, nothing where there may be
    nothing, zero and negative amounts, commitments that are bought, used and unused."""
    category = generator.choices(["Usage", "Purchase", "Tax", "Credit", "Adjustment"], [12, 2, 1, 1, 1])[0]
    is_correction = generator.random() < 0.15
    older = generator.choice(["2024-11", "2024-12"]) if is_correction else month
    day = generator.randrange(1, 28)
    committed = category in ("Usage", "Purchase") and generator.random() < 0.4
    status = generator.choice(["Used", "Used", "Unused"]) if committed and category == "Usage" else ""
    sign = -1 if category == "Credit" or generator.random() < 0.1 else 1

    def amount(chance_of_zero: float = 0.1) -> str:
        if generator.random() < chance_of_zero:
            return "0"
        return str(sign * Decimal(generator.randrange(1, 10**9)).scaleb(-generator.choice([2, 6, 10])))

    tags = generator.choice(
        [None, {}, {"team": "data"}, {"team": "shop", "environment": "live"}, {"team": " "}, {"environment": ""}]
    )
    charged = focus_row(
        BillingPeriodStart=f"{month}-01T00:00:00Z",
        BillingPeriodEnd=f"{_next(month)}-01T00:00:00Z",
        ChargePeriodStart=f"{older}-{day:02d}T0{generator.randrange(10)}:00:00Z",
        ChargePeriodEnd=f"{older}-{day + 1:02d}T00:00:00Z",
        ChargeCategory=category,
        ChargeClass="Correction" if is_correction else "",
        BillingCurrency=generator.choice(["USD", "USD", "EUR"]),
        BilledCost=amount(),
        EffectiveCost="0" if category == "Purchase" and committed else amount(),
        ListCost=generator.choice([amount(), amount(), "0", ""]),
        ContractedCost=generator.choice([amount(), amount(), ""]),
        PricingQuantity=generator.choice([amount(0.3), amount(0.3), ""]) if category == "Usage" else "",
        PricingCategory=generator.choice(["Standard", "Committed", "Dynamic", ""]),
        CommitmentDiscountId=generator.choice(["ri-1", "ri-2", "sp-1"]) if committed else "",
        CommitmentDiscountName=generator.choice(["Compute", "Compute 2", ""]) if committed else "",
        CommitmentDiscountType="Reserved" if committed else "",
        CommitmentDiscountCategory="Usage" if committed else "",
        CommitmentDiscountStatus=status,
        CommitmentDiscountQuantity=generator.choice([amount(), ""]) if status else "",
        CommitmentDiscountUnit=generator.choice(["Hours", "USD"]) if committed else "",
        CommitmentProgramEligibilityDetails=generator.choice(['{"Programs": ["sp"]}', ""]) if day % 7 == 0 else "",
        InvoiceId=generator.choice(["", f"INV-{month}-1", f"INV-{month}-2"]),
        InvoiceIssuerName=generator.choice(["Amazon Web Services, Inc.", "Reseller"]),
        ProviderName=generator.choice(["AWS", "Microsoft"]),
        PublisherName=generator.choice(["AWS", "Amazon Web Services, Inc.", "Microsoft", "Anthropic, PBC", "Reseller"]),
        RegionId=generator.choice(["", "eu-west-1", "us-east-1"]),
        RegionName=generator.choice(["", "Ireland"]),
        ServiceCategory=generator.choice(["Compute", "Storage"]),
        ServiceName=generator.choice(["EC2", "S3", "Support"]),
        SkuPriceId=generator.choice(["", "price-1", "price-2"]),
        SubAccountId=generator.choice(["", "111", "222"]),
        SubAccountName=generator.choice(["", "shop", "Shop"]),
        Tags="" if tags is None else json.dumps(tags),
        ResourceId=f"r-{number}",
    )
    return charged | ai_charge(generator)


def ai_charge(generator: random.Random) -> Row:
    """What a charge of an AI service has, or nothing of it: some are, and some only look like one."""
    nothing = dict.fromkeys(
        ("ConsumedQuantity", "ConsumedUnit", "SkuMeter", "x_Operation", "x_PricingUnitDescription", "x_UsageType"), ""
    )
    amazon = {"ServiceName": "Amazon Bedrock", "PricingUnit": "1K tokens"}
    charges = {
        "USE1-NovaPro-cache-read-input-token-count": amazon,
        "USE1-MP:USE1_OutputTokenCount-Units": {
            "ServiceName": "",
            "PricingUnit": "Units",
            "x_Operation": "InvokeModelStreamingInference",
        },
        "gpt 4.1 nano Batch Inp DZone Tokens": {
            "ServiceName": "Azure AI Services",
            "PricingUnit": "Units",
            "ConsumedUnit": "Units",
            "ConsumedQuantity": "123456",
            "x_PricingUnitDescription": "1K",
        },
        "Gemini 2.5 Flash Lite Text Input - Predictions": {"ServiceName": "Vertex AI", "PricingUnit": "count"},
        "cache_creation": {
            "ServiceName": "claude-opus-4-6",
            "PricingUnit": "1M tokens",
            "ConsumedUnit": "tokens",
            "ConsumedQuantity": str(generator.randrange(10**8)),
            "SkuPriceId": "claude-opus-4-6|cache_creation",
        },
        "USE1-Host:ml.m5.xlarge": {"ServiceName": "Amazon SageMaker", "PricingUnit": "Hrs"},
        "Widget Hours": {"ServiceName": "Frobnicator", "ServiceCategory": "AI and Machine Learning"},
        "USE1-M2MTokenRequestsFull": {"ServiceName": "Amazon Cognito", "PricingUnit": "Requests"},
        "Access Token": {"ServiceName": "Directory", "ServiceCategory": "Identity", "PricingUnit": "1K"},
        "Gemini Widgets": {"ServiceName": "Toys", "ServiceCategory": "Other", "PricingUnit": "Pieces"},
    }
    if generator.random() < 0.6:
        return nothing
    meter = generator.choice(list(charges))
    usage_type = {"x_UsageType": meter} if meter.startswith("USE1-") else {}
    return nothing | {"SkuMeter": meter} | usage_type | charges[meter]


def _next(month: str) -> str:
    year, number = map(int, month.split("-"))
    return f"{year + number // 12}-{number % 12 + 1:02d}"


def published(table: Table, seed: int) -> Table:
    generator = random.Random(seed)
    for connection in ("first", "second"):
        for month in MONTHS:
            table.publish(connection, month, [charge(generator, month, number) for number in range(150)])
    return table


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)])
def test_every_mart_gives_the_answer_that_is_worked_out_by_hand(
    make_table: Callable[[], Table], shipped_marts: Sequence[Mart], seed: int
) -> None:
    table = published(make_table(), seed)
    table.marts = list(shipped_marts)
    computed = table.compute()
    assert [str(one.failed) for one in computed if one.failed] == []
    broken = [(one.mart, one.month, check.said) for one in computed for check in one.checks if not check.passed]
    # The rows of a service that nobody knows are more than 5 %, and prices are at random.
    assert {(mart, said.partition(",")[0].partition(":")[0]) for mart, _, said in broken} == {
        ("ai_costs", "No more than 5 % of the EffectiveCost in a currency is unclassified"),
        ("ai_costs", "No price per token is 100 times the public one or a hundredth of it; near 1"),
        ("anomalies", "No anomaly began in the last three days of a provider"),
    }
    assert ANSWERS.keys() == {mart.name for mart in shipped_marts}
    rows = table.staged_rows()
    for mart in shipped_marts:
        for month in MONTHS:
            assert_equal(table, mart, month, ANSWERS[mart.name](rows, month))


@pytest.mark.slow
def test_every_mart_gives_the_answer_of_the_demos_data(demo_table: Table, shipped_marts: Sequence[Mart]) -> None:
    """What its meters mean is tested apart: of ai_costs the sum is held against all rows of AI services."""
    table, rows = demo_table, demo_table.staged_rows()
    for mart in shipped_marts:
        for month in DEMO_MONTHS:
            if mart.name not in ("ai_costs", "restatements"):
                assert_equal(table, mart, month, ANSWERS[mart.name](rows, month))
    # Google sends no ServiceCategory.
    of_ai = [row for row in rows if "AI" in (row["ServiceCategory"] or row["ServiceName"])]
    assert table.query("SELECT sum(EffectiveCost), sum(BilledCost) FROM marts.ai_costs") == [
        (total(of_ai, "EffectiveCost"), total(of_ai, "BilledCost"))
    ]
    models = {model for (model,) in table.query("SELECT DISTINCT Model FROM marts.ai_costs WHERE Model IS NOT NULL")}
    named = {"Claude Sonnet 4.6", "Nova Pro", "gemini-2.5-flash", "gpt-4o-1120", "large-cohere"}
    assert models == named | {"lark-large", "lark-small"}
    # The late invoice.
    asked = "SELECT Month, Connection, ServiceName, RowsAfter - RowsBefore, BilledCostChange FROM marts.restatements"
    assert table.query(asked) == [(DEMO_MONTHS[-2], "colo_costs", "Cross Connect", 1, 95)]


def assert_equal(table: Table, mart: Mart, month: str, expected: list[Row]) -> None:
    columns = [column for column, *_ in table.query(f"DESCRIBE {mart.table}")]
    found = [dict(zip(columns, row, strict=True)) for row in table.query(f"FROM {mart.table} WHERE Month = '{month}'")]
    by_grain = [{tuple(row[name] for name in mart.grain): row for row in rows} for rows in (found, expected)]
    assert len(by_grain[0]) == len(found), f"{mart.name} {month}"
    assert by_grain[0].keys() == by_grain[1].keys(), f"{mart.name} {month}"
    for key, row in by_grain[1].items():
        assert row.keys() == set(columns), mart.name
        for name, value in row.items():
            given = by_grain[0][key][name]
            if isinstance(value, Fraction):
                assert given == pytest.approx(float(value), rel=1e-9, abs=1e-12), (mart.name, month, key, name)
            elif name in WORKED_OUT_IN_FLOATING_POINT and value is not None:
                assert abs(given - value) <= max(Decimal("1e-6"), abs(value) * Decimal("1e-11")), (key, name)
            else:
                assert given == value, (mart.name, month, key, name)


def test_the_parts_of_a_change_add_up_to_it(make_table: Callable[[], Table], shipped_marts: Sequence[Mart]) -> None:
    table = published(make_table(), 4)
    table.marts = [mart for mart in shipped_marts if mart.name == "movers"]
    table.compute()
    wrong = "SELECT * FROM marts.movers WHERE QuantityChange + PriceChange <> Change OR Cost - CostBefore <> Change"
    assert table.query(wrong) == []
    for month, before in (("2025-02", "2025-01"), ("2025-03", "2025-02")):
        ((moved,),) = table.query(f"SELECT sum(Change) FROM marts.movers WHERE Month = '{month}'")
        ((now, former),) = table.query(
            f"SELECT sum(EffectiveCost) FILTER (x_Month = '{month}'), sum(EffectiveCost) FILTER (x_Month = '{before}') "
            "FROM focus.cost_and_usage"
        )
        assert moved == now - former


def test_restatements_name_the_services_that_moved_the_bill(table: Table, shipped_marts: Sequence[Mart]) -> None:
    def bill(**costs: str) -> list[Row]:
        return [
            focus_row(ServiceName=service, BilledCost=cost, EffectiveCost=cost, ResourceId=service)
            for service, cost in costs.items()
        ]

    table.marts = [mart for mart in shipped_marts if mart.name == "restatements"]
    table.publish("first", "2025-03", bill(S3="1", EC2="2", Support="3"))
    table.publish("second", "2025-03", bill(S3="100"))
    table.compute()
    assert table.query("FROM marts.restatements") == []
    table.publish("first", "2025-03", bill(S3="1", EC2="5", Lambda="0.5"))
    table.publish("first", "2025-03", bill(S3="1", EC2="2", Support="3"))
    table.compute()
    asked = "SELECT Connection, ServiceName, BilledCostBefore, BilledCostAfter, BilledCostChange, EffectiveCostChange, "
    asked += "RowsBefore, RowsAfter FROM marts.restatements ORDER BY LoadNumber, ServiceName"
    half = Decimal("0.5")
    assert table.query(asked) == [
        ("first", "EC2", 2, 5, 3, 3, 1, 1),
        ("first", "Lambda", 0, half, half, half, 0, 1),
        ("first", "Support", 3, 0, -3, -3, 1, 0),
        ("first", "EC2", 5, 2, -3, -3, 1, 1),
        ("first", "Lambda", half, 0, -half, -half, 1, 0),
        ("first", "Support", 0, 3, 3, 3, 0, 1),
    ]


def test_every_column_of_every_mart_is_described(
    make_table: Callable[[], Table], shipped_marts: Sequence[Mart]
) -> None:
    table = make_table()
    table.publish("first", "2025-03", [focus_row()])
    table.marts = list(shipped_marts)
    for one in table.compute():
        (mart,) = [mart for mart in shipped_marts if mart.name == one.mart]
        assert list(one.columns) == list(mart.columns)


def test_each_mart_says_by_which_month_a_row_goes(shipped_marts: Sequence[Mart]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "marts.md").read_text("utf-8")
    for mart in shipped_marts:
        assert "billed" in mart.description, mart.name
        assert f"`{mart.name}`" in page
