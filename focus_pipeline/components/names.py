"""Keys, partitions and the pool that the assets of all connections share."""

from functools import cache

import dagster as dg

from focus_pipeline.settings import load_settings

UNIFIED = dg.AssetKey(["focus", "cost_and_usage"])
DATA_SOURCES = dg.AssetKey(["focus", "data_sources"])
REPORT = dg.AssetKey(["focus", "report"])
EXCHANGE_RATES = dg.AssetKey(["focus", "exchange_rates"])

DELIVERY_TAG = "focus_pipeline/delivery"
SINCE_TAG = "focus_pipeline/since"
ATTEMPT_TAG = "focus_pipeline/attempt"
ACCEPT_LOSS_TAG = "focus_pipeline/accept_loss"
FETCH_AGAIN_TAG = "focus_pipeline/fetch_again"
DUE_TAG = "focus_pipeline/due"
CONNECTION_TAG = "focus_pipeline/connection"
"""Tags of runs, and of the assets of a connection.

With accept_loss, `yes` or the token of a delivery, a run takes what is held back for its losses; with fetch_again,
`yes`, it fetches what the provider shows although it is kept; with due, `yes`, it computes the marts that are due.
"""

# One publication at a time; its limit is pools.default_limit in dagster.yaml.
WAREHOUSE_POOL = "warehouse"


def published_tag(month: str) -> str:
    """Tag of a run that publishes a month; its value is the fingerprint of what there was to publish."""
    return f"focus_pipeline/published/{month}"


def range_tags(first: str, last: str) -> dict[str, str]:
    """Tags of a run over several months, as Dagster gives them to the runs of a backfill."""
    return {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}


def raw_files(connection: str) -> dg.AssetKey:
    return dg.AssetKey([connection, "raw_files"])


def latest_delivery(connection: str) -> dg.AssetKey:
    return dg.AssetKey([connection, "latest_delivery"])


def cost_and_usage(connection: str) -> dg.AssetKey:
    return dg.AssetKey([connection, "cost_and_usage"])


def mart(name: str) -> dg.AssetKey:
    return dg.AssetKey(["marts", name])


@cache
def monthly() -> dg.MonthlyPartitionsDefinition:
    """One partition a month, `YYYY-MM`, from the start month of the settings to the running month."""
    return dg.MonthlyPartitionsDefinition(start_date=load_settings().start_month, fmt="%Y-%m", end_offset=1)
