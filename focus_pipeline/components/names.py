"""Keys, partitions and the pool that the assets of all connections share."""

from functools import cache

import dagster as dg

from focus_pipeline.settings import load_settings

UNIFIED = dg.AssetKey(["focus", "cost_and_usage"])
DATA_SOURCES = dg.AssetKey(["focus", "data_sources"])

# One writer at a time into the DuckDB file; its limit is pools.default_limit in dagster.yaml.
WAREHOUSE_POOL = "warehouse"


def raw_files(connection: str) -> dg.AssetKey:
    return dg.AssetKey([connection, "raw_files"])


def cost_and_usage(connection: str) -> dg.AssetKey:
    return dg.AssetKey([connection, "cost_and_usage"])


@cache
def monthly() -> dg.MonthlyPartitionsDefinition:
    """One partition a month, `YYYY-MM`, from the start month of the settings to the running month."""
    return dg.MonthlyPartitionsDefinition(start_date=load_settings().start_month, fmt="%Y-%m", end_offset=1)
