"""SQL functions for marts, beside DuckDB's own."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path

import duckdb
from duckdb.func import FunctionNullHandling

from focus_pipeline.marts.ai_meters import meter_of
from focus_pipeline.marts.public_prices import edition_of_public_prices, public_price

AI_METER = "ai_meter"
AI_PUBLIC_PRICE = "ai_public_price"

_METER = "STRUCT(Model VARCHAR, ModelFamily VARCHAR, Direction VARCHAR, Tier VARCHAR, Unit VARCHAR, Per BIGINT)"


def calls_functions(sql: str) -> bool:
    """Whether an SQL text may call one of these."""
    return AI_METER in sql or AI_PUBLIC_PRICE in sql


@contextmanager
def functions(connection: duckdb.DuckDBPyConnection, own_rules: Path | None = None) -> Iterator[None]:
    """Defines for this connection, as long as the block lasts:

    ai_meter(charge VARCHAR): what a charge of an AI service is for, see meter_of(). charge: a JSON object of its
    fields. own_rules: see meter_of().

    ai_public_price(model VARCHAR, direction VARCHAR, month VARCHAR): see public_price(), a DOUBLE.

    They run in Python: call them once for each kind of charge, not for each row.
    """

    @cache
    def ai_meter(charge: str) -> dict[str, object]:
        meter = meter_of(json.loads(charge), own_rules)
        return {
            "Model": meter.model or None,
            "ModelFamily": meter.family or None,
            "Direction": meter.direction,
            "Tier": meter.tier or None,
            "Unit": meter.unit or None,
            "Per": meter.per,
        }

    @cache
    def ai_public_price(model: str, direction: str, month: str) -> float | None:
        price = public_price(model, direction, month)
        return None if price is None else float(price)

    # DuckDB takes None from a function only if the function takes NULL, too.
    connection.create_function(AI_METER, ai_meter, ["VARCHAR"], _METER)
    connection.create_function(
        AI_PUBLIC_PRICE,
        ai_public_price,
        ["VARCHAR", "VARCHAR", "VARCHAR"],
        "DOUBLE",
        null_handling=FunctionNullHandling.SPECIAL,
    )
    try:
        yield
    finally:
        connection.remove_function(AI_METER)
        connection.remove_function(AI_PUBLIC_PRICE)


def fingerprint_of_functions(own_rules: Path | None = None) -> str:
    """Changes with what the functions return."""
    own = own_rules.read_text("utf-8") if own_rules is not None and own_rules.exists() else ""
    made_of = [*_own_sources(), edition_of_public_prices(), own]
    return hashlib.sha256("\0".join(made_of).encode()).hexdigest()[:20]


@cache
def _own_sources() -> tuple[str, ...]:
    package = resources.files(__package__)
    return tuple(
        package.joinpath(name).read_text("utf-8") for name in ("ai_meters.py", "ai_meters.toml", "public_prices.py")
    )
