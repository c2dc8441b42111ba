"""Small FOCUS files for tests: a valid row to vary, and writers of rows as CSV and Parquet files."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from focus_pipeline.months import month_bounds

MONTH = "2025-03"

Row = dict[str, object]


def focus_row(**overrides: object) -> Row:
    """One charge of MONTH that keeps every rule, as a CSV file would spell it; overrides replace or add columns."""
    return {
        "BilledCost": "1.25",
        "BillingAccountId": "acct-001",
        "BillingAccountName": "Acme",
        "BillingCurrency": "USD",
        "BillingPeriodStart": "2025-03-01T00:00:00Z",
        "BillingPeriodEnd": "2025-04-01T00:00:00Z",
        "ChargeCategory": "Usage",
        "ChargeClass": "",
        "ChargeDescription": "A cabinet",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodStart": "2025-03-01T00:00:00Z",
        "ChargePeriodEnd": "2025-03-02T00:00:00Z",
        "ContractedCost": "1.25",
        "EffectiveCost": "1.25",
        "InvoiceIssuerName": "Equinix",
        "ListCost": "1.50",
        "PricingQuantity": "24",
        "PricingUnit": "Hours",
        "ProviderName": "Equinix",
        "PublisherName": "Equinix",
        "ResourceId": "cab-42",
        "ServiceCategory": "Networking",
        "ServiceName": "Colocation",
    } | overrides


def charges_of(month: str, rows: int, **overrides: object) -> list[Row]:
    """Charges of the first day of a month, each for a resource of its own."""
    start, end = (moment.strftime("%Y-%m-%dT%H:%M:%SZ") for moment in month_bounds(month))
    periods = {
        "BillingPeriodStart": start,
        "BillingPeriodEnd": end,
        "ChargePeriodStart": start,
        "ChargePeriodEnd": f"{month}-02T00:00:00Z",
    }
    return [focus_row(**periods | {"ResourceId": f"cab-{number}"} | overrides) for number in range(rows)]


def without(row: Row, *columns: str) -> Row:
    """The row without these columns."""
    return {name: value for name, value in row.items() if name not in columns}


def as_csv(rows: Iterable[Row], *, quote_all: bool = False) -> bytes:
    """Rows with the same columns as the bytes of a CSV file; None becomes an empty field."""
    rows = list(rows)
    text = io.StringIO(newline="")
    quoting = csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n", quoting=quoting)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def write_csv(path: Path, rows: Iterable[Row]) -> None:
    path.write_bytes(as_csv(rows))


def write_parquet(
    path: Path, rows: Iterable[Row], types: Mapping[str, pa.DataType] | None = None, **options: object
) -> None:
    """Rows with the same columns as a Parquet file: text, but for the columns in `types`.

    options: of pyarrow.parquet.write_table.
    """
    rows = list(rows)
    types = types or {}
    columns = {name: pa.array([row[name] for row in rows], types.get(name, pa.string())) for name in rows[0]}
    pq.write_table(pa.table(columns), path, **options)
