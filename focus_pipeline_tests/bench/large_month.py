"""A month of any size that keeps every rule: the clean charges of AWS in FOCUS 1.2, 60 columns, many times over.

From copy to copy the accounts, resources, SKUs, invoices, tags, hours and amounts change.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from focus_pipeline.focus.specification import columns
from focus_pipeline.sql import literal, quoted
from focus_pipeline_tests.fakes.clean_months import VARIANTS, clean_rows

VARIANT = "aws_1_2"
COLUMNS = VARIANTS[VARIANT].columns
ROWS_PER_COPY = len(clean_rows(VARIANT))

# What grows with the charge; prices and everything else stay.
_AMOUNTS = (
    "BilledCost", "CommitmentDiscountQuantity", "ConsumedQuantity", "ContractedCost", "EffectiveCost", "ListCost",
    "PricingCurrencyEffectiveCost", "PricingQuantity",
)  # fmt: skip
_TYPES = {"Decimal": "DECIMAL(28, 12)", "DateTime": "TIMESTAMP"}


def write_parquet(path: Path, rows: int, broken: bool = False) -> None:
    """Costs as DECIMAL, moments as TIMESTAMP, tags as JSON text. broken: every row breaks many rules."""
    with charges(rows, broken) as connection:
        connection.execute(f"COPY charges TO {literal(str(path))} (FORMAT parquet)")


def write_csv(path: Path, rows: int) -> None:
    """As FOCUS writes it; compressed where the name ends in .gz."""
    with charges(rows, False) as connection:
        moments = [name for name in COLUMNS if name in columns() and columns()[name].type == "DateTime"]
        written = ", ".join(f"strftime({quoted(n)}, '%Y-%m-%dT%H:%M:%SZ') AS {quoted(n)}" for n in moments)
        connection.execute(
            f"COPY (SELECT * REPLACE ({written}) FROM charges) TO {literal(str(path))} (FORMAT csv, HEADER)"
        )


@contextmanager
def charges(rows: int, broken: bool) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        typed = ", ".join(
            f"CAST(nullif(row ->> '$.{name}', '') AS {_type(name)}) AS {quoted(name)}" for name in COLUMNS
        )
        connection.execute(
            f"CREATE TABLE clean AS SELECT {typed} FROM (SELECT unnest($rows::JSON[]) AS row)",
            {"rows": [json.dumps(row) for row in clean_rows(VARIANT)]},
        )
        # One half are hours of a day, the other half has amounts of its own each.
        times = "CASE WHEN copy % 2 = 0 THEN 1 + copy % 24 ELSE 1 + hash(copy) % 99991 END"
        amounts = ", ".join(f"CAST({quoted(n)} * ({times}) AS DECIMAL(28, 12)) AS {quoted(n)}" for n in _AMOUNTS)
        breaking = ", 'Bogus' AS PricingCategory, NULL AS RegionName, 'n/a' AS SkuMeter, -1 AS ListUnitPrice"
        connection.execute(
            f"""
            CREATE VIEW charges AS
            SELECT clean.* REPLACE (
                {amounts},
                CASE WHEN CommitmentDiscountId IS NULL THEN ResourceId || '-' || copy ELSE ResourceId END AS ResourceId,
                ChargeDescription || ', no. ' || copy AS ChargeDescription,
                '1' || lpad(CAST(copy % 311 AS VARCHAR), 11, '0') AS SubAccountId,
                'account-' || copy % 311 AS SubAccountName,
                ResourceName || '-' || copy AS ResourceName,
                SkuId || '-' || copy % 701 AS SkuId,
                SkuPriceId || '-' || copy % 701 AS SkuPriceId,
                InvoiceId || '-' || copy % 17 AS InvoiceId,
                ChargePeriodStart + INTERVAL (copy % 24) HOUR AS ChargePeriodStart,
                ChargePeriodEnd + INTERVAL (copy % 24) HOUR AS ChargePeriodEnd,
                CASE WHEN ResourceId IS NOT NULL
                    THEN '{{"team": "team-' || copy % 40 || '", "service": "service-' || copy % 900 || '"}}' END AS Tags
                {breaking if broken else ""}
            )
            FROM range((CAST($rows AS BIGINT) + {ROWS_PER_COPY - 1}) // {ROWS_PER_COPY}) AS copies(copy)
            CROSS JOIN clean
            LIMIT $rows
            """.replace("$rows", str(rows))
        )
        yield connection


def _type(name: str) -> str:
    return _TYPES.get(columns()[name].type, "VARCHAR") if name in columns() else "VARCHAR"
