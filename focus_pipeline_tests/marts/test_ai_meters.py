"""Meters of AI services: 476 of real bills and price lists with what they mean, and the rules' own faults."""

import csv
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from focus_pipeline.marts.ai_meters import FIELDS, RulesUnusable, meter_of, own_rules
from focus_pipeline.marts.mart import Mart, check_mart
from focus_pipeline_tests.marts.conftest import Table
from focus_pipeline_tests.month_files import focus_row

METERS = Path(__file__).with_name("ai_meters.csv")


def meters() -> list[dict]:
    """charge: its fields. model, direction, unit, per: what it means, told by people who read price lists."""
    with METERS.open(encoding="utf-8") as file:
        return [row | {"charge": json.loads(row["charge"])} for row in csv.DictReader(file)]


def test_direction_unit_and_block_of_every_meter_are_right() -> None:
    wrong = []
    for row in meters():
        found = meter_of(row["charge"])
        if (found.direction, found.unit, str(found.per)) != (row["direction"], row["unit"], row["per"]):
            wrong.append((row["charge"], found))
    assert wrong == []


def test_the_model_of_97_in_100_meters_is_right() -> None:
    """What is wrong is a date that one list keeps and another leaves out, or a name that no meter has."""
    right = [row for row in meters() if meter_of(row["charge"]).model == row["model"]]
    assert len(right) / len(meters()) >= 0.97


def renamed(text: str, family: str, name: str) -> str:
    """The text with another name for a family of models, written as the family is."""

    def written(found: re.Match) -> str:
        return name.upper() if found[0].isupper() else name.capitalize() if found[0][0].isupper() else name

    return re.sub(rf"(?i)(?<![a-z]){family}(?![a-z])", written, text)


def test_families_that_no_list_has_are_read_as_well() -> None:
    """The rules were written with all meters at hand, so none of those is held out. This holds every family out: each
    meter is read again with a family that does not exist. What goes by the names of families is wrong here."""
    right, wrong = 0, []
    for row in meters():
        if not row["model"] or row["unit"] != "tokens":
            continue
        family = next(iter(re.findall("[a-z]+", row["model"].lower().removeprefix("fw-"))), "")
        fields = {name: value for name, value in row["charge"].items() if isinstance(value, str)}
        # Azure's subcategories of OpenAI are no family.
        theirs = {name: value for name, value in fields.items() if not value.startswith("Azure OpenAI")}
        other = {name: renamed(value, family, "zorvex") for name, value in theirs.items()}
        if other == theirs:
            continue
        found, model = meter_of(row["charge"] | other), renamed(row["model"], family, "zorvex")
        read = (found.model.lower(), found.direction, found.unit, str(found.per))
        if read == (model.lower(), row["direction"], row["unit"], row["per"]):
            right += 1
        else:
            wrong.append((other, found))
    assert right + len(wrong) > 250
    assert right / (right + len(wrong)) >= 0.93, wrong


@pytest.mark.parametrize(
    ("model", "named", "direction"),
    [
        ("gpt-4o", "gpt-4o", "input and output"),
        ("azure/gpt-4.1-mini", "gpt-4.1-mini", "input and output"),
        ("openai/text-embedding-3-small", "text-embedding-3-small", "embedding"),
        ("vertex_ai/gemini-2.5-flash", "gemini-2.5-flash", "input and output"),
    ],
)
def test_litellm_names_the_model_and_counts_nothing(
    make_table: Callable[[], Table], shipped_marts: list[Mart], model: str, named: str, direction: str
) -> None:
    """Each of its rows is one request, whatever it holds, and each day is a billing period."""
    table = make_table()
    table.marts = [mart for mart in shipped_marts if mart.name == "ai_costs"]
    of_model = dict.fromkeys(("ChargeDescription", "ResourceId", "ResourceName", "ResourceType"), model)
    requests = {"ConsumedQuantity": "1", "ConsumedUnit": "Requests", "PricingQuantity": "1", "PricingUnit": "Requests"}
    row = focus_row(
        ServiceCategory="AI and Machine Learning",
        ServiceName="chat",
        SkuMeter="",
        BillingPeriodStart="2026-03-05T00:00:00Z",
        BillingPeriodEnd="2026-03-06T00:00:00Z",
        ChargePeriodStart="2026-03-05T00:00:00Z",
        ChargePeriodEnd="2026-03-06T00:00:00Z",
        **of_model,
        **requests,
    )
    table.publish("litellm", "2026-03", [row])
    table.compute()
    asked = "SELECT Model, Direction, Unit, Quantity, CostPerMillionTokens, EffectiveCost > 0 FROM marts.ai_costs"
    assert table.query(asked) == [(named, direction, None, None, None, True)]


def test_what_is_no_ai_is_told_from_it() -> None:
    lines = [row for row in meters() if row["direction"] in ("not AI", "not usage (credit)")]
    assert len(lines) == 3
    assert [meter_of(row["charge"]).model for row in lines] == [""] * 3


@pytest.mark.parametrize(
    ("charge", "meant"),
    [
        (
            {"SkuMeter": "gpt 4o 1120 cached Inp glbl Tokens", "x_PricingUnitDescription": "1K"},
            ("gpt-4o-1120", "cache read", "tokens", 1000, "global"),
        ),
        (
            {"SkuMeter": "gpt-5-codex-ccchd-inp-dzone Tokens", "x_PricingUnitDescription": "1K"},
            ("gpt-5-codex", "cache read", "tokens", 1000, "data zone"),
        ),
        (
            {
                "x_UsageType": "USE1-MP:USE1_CacheWrite1hInputTokenCount_Global-Units",
                "ServiceName": "Claude Opus 4.8 (Amazon Bedrock Edition)",
            },
            ("Claude Opus 4.8", "cache write", "tokens", 1_000_000, "global,1h"),
        ),
        (
            {"SkuMeter": "EUC1-Mistral-Large-3-output-tokens-priority", "ServiceName": "Amazon Bedrock"},
            ("Mistral Large 3", "output", "tokens", 1000, "priority"),
        ),
        (
            {
                "SkuMeter": "Generate content cached input token count gemini 3.5 flash text",
                "ServiceName": "Gemini API",
            },
            ("gemini-3.5-flash", "cache read", "tokens", 1, "standard"),
        ),
        (
            {"SkuMeter": "Gemini 2.5 Pro Text Input Caching Storage", "ServiceName": "Vertex AI"},
            ("gemini-2.5-pro", "cache storage", "token hours", 1, "standard"),
        ),
        (
            {"ChargeDescription": "OCI Generative AI - Large Cohere"},
            ("large-cohere", "input and output", "transactions (characters)", 10_000, "standard"),
        ),
        (
            {"SkuMeter": "Kimi K3 glbl Tokens", "x_PricingUnitDescription": "1K"},
            ("kimi-k3", "input and output", "tokens", 1000, "global"),
        ),
        (
            {"line_item": "gpt-4o, cached input", "ServiceName": "OpenAI API"},
            ("gpt-4o", "cache read", "tokens", 1, "standard"),
        ),
        (
            {
                "SkuMeter": "Tokens",
                "PricingUnit": "1000000 Tokens",
                "SkuPriceDetails": {"ModelId": "m-1", "TokenDirection": "Output"},
            },
            ("m-1", "output", "tokens", 1_000_000, "standard"),
        ),
        (
            {
                "SkuMeter": "Input Tokens",
                "SkuPriceDetails": {"ModelId": "m-1", "TokenDirection": "Input", "TokenCacheAction": "Read"},
            },
            ("m-1", "cache read", "tokens", 1, "standard"),
        ),
    ],
)
def test_meters_that_no_list_has_go_by_their_grammar(charge: dict, meant: tuple) -> None:
    found = meter_of(charge)
    assert (found.model, found.direction, found.unit, found.per, found.tier) == meant


@pytest.mark.parametrize("meter", ["Widget Hours", "Token Requests"])
def test_what_nothing_names_is_unclassified(meter: str) -> None:
    found = meter_of({"ServiceName": "Frobnicator", "SkuMeter": meter})
    assert (found.direction, found.model, found.unit, found.per) == ("unclassified", "", "", 0)


RULE = '[[rules]]\nname = "gateway"\nwhen = { SkuMeter = "^(?P<model>.+) out$" }\n'
REST = 'model = "{model}"\ndirection = "output"\nunit = "tokens"\nper = 1000\nexamples = [{ SkuMeter = "m-1 out" }]\n'


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            RULE + REST.replace("m-1 out", "m-1 in"),
            "the rule 'gateway' does not fit its example {'SkuMeter': 'm-1 in'}",
        ),
        (RULE + REST.partition("examples")[0], "the rule 'gateway' has no examples"),
        (RULE + REST + 'colour = "red"\n', "the rule 'gateway' has colour, which no rule has"),
        (RULE.replace("SkuMeter", "Sku") + REST, "the rule 'gateway' asks for the field Sku; there are meter, Charge"),
        (RULE.replace("(?P<model>", "(?P<model") + REST, "is no regular expression"),
        ("[[rules]", "own.toml cannot be read: "),
        (None, "there is no file own.toml beside the defs.yaml"),
    ],
)
def test_a_file_of_rules_with_a_fault_is_refused(tmp_path: Path, written: str | None, said: str) -> None:
    file = tmp_path / "own.toml"
    if written is not None:
        file.write_text(written)
    with pytest.raises(RulesUnusable) as refused:
        own_rules(file)
    assert said in str(refused.value)
    assert "own.toml" in str(refused.value)


def test_rules_of_ones_own_are_asked_first_and_a_change_of_them_computes_the_mart_anew(
    make_table: Callable[[], Table], tmp_path: Path, shipped_marts: list[Mart]
) -> None:
    table = make_table()
    row = focus_row(ServiceName="Our AI", ServiceCategory="AI and Machine Learning", SkuMeter="llama-3 out")
    table.publish("first", "2025-03", [row | {"PricingQuantity": "2"}])
    (mart,) = [mart for mart in shipped_marts if mart.name == "ai_costs"]
    asked = "SELECT Model, Direction, Unit, Quantity FROM marts.ai_costs"
    table.marts = [mart]
    table.compute()
    assert table.query(asked) == [("llama-3", "output", "tokens", 2)]
    file = tmp_path / "own.toml"
    for per in ("1000", "1"):
        file.write_text(RULE + REST.replace("1000", per))
        own_rules.cache_clear()
        table.marts = [replace(mart, ai_rules=file)]
        check_mart(table.marts[0])
        assert table.due() == [("ai_costs", "2025-03")]
        table.compute()
        assert table.query(asked) == [("llama-3", "output", "tokens", 2 * int(per))]


def test_the_mart_gives_every_field_that_is_read(shipped_marts: list[Mart]) -> None:
    (mart,) = [mart for mart in shipped_marts if mart.name == "ai_costs"]
    # Tax and credits are told in the SQL.
    lacking = [name for name in FIELDS if f"'{name}'" not in mart.sql]
    assert lacking == ["ChargeCategory"]


def test_a_rule_of_ones_own_wins_over_one_that_comes_with_the_pipeline(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text(
        '[[rules]]\nname = "searches"\nwhen = { SkuMeter = "^Grounding" }\n'
        'direction = "search"\nunit = "calls"\nper = 1\n'
        'examples = [{ SkuMeter = "Grounding with Google Search" }]\n'
    )
    charge = {"SkuMeter": "Grounding with Google Search on Gemini 3", "ServiceName": "Vertex AI"}
    assert (meter_of(charge).direction, meter_of(charge).unit) == ("grounding", "requests")
    assert (meter_of(charge, file).direction, meter_of(charge, file).unit) == ("search", "calls")
