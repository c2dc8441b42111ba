"""SQL functions for marts, beside DuckDB's own."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from pathlib import Path

import duckdb

from focus_pipeline.marts.ai_meters import meter_of

AI_METER = "ai_meter"

_METER = "STRUCT(Model VARCHAR, ModelFamily VARCHAR, Direction VARCHAR, Tier VARCHAR, Unit VARCHAR, Per BIGINT)"


def calls_functions(sql: str) -> bool:
    """Whether an SQL text may call one of these."""
    return AI_METER in sql


@contextmanager
def functions(connection: duckdb.DuckDBPyConnection, own_rules: Path | None = None) -> Iterator[None]:
    """Defines for this connection, as long as the block lasts:

    ai_meter(charge VARCHAR): what a charge of an AI service is for, see meter_of(). charge: a JSON object of its
    fields. It runs in Python: call it once for each kind of charge, not for each row. own_rules: see meter_of().
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

    connection.create_function(AI_METER, ai_meter, ["VARCHAR"], _METER)
    try:
        yield
    finally:
        connection.remove_function(AI_METER)


def fingerprint_of_functions(own_rules: Path | None = None) -> str:
    """Changes with what the functions return."""
    own = own_rules.read_text("utf-8") if own_rules is not None and own_rules.exists() else ""
    return hashlib.sha256("\0".join([*_own_sources(), own]).encode()).hexdigest()[:20]


@cache
def _own_sources() -> tuple[str, ...]:
    package = resources.files(__package__)
    return tuple(package.joinpath(name).read_text("utf-8") for name in ("ai_meters.py", "ai_meters.toml"))
