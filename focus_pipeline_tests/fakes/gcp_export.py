"""Google's bill in BigQuery, written as Google and its customers write it, into a BigQuery server.

The native FOCUS export has the types that its documentation names: NUMERIC costs of nine decimals, TIMESTAMP periods,
repeated records of labels. That the view of a customer has FLOAT64 costs is assumed: the detailed export, which it
reads, has them. The detailed export has the columns of its documentation; values are assumed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal

from google.cloud.bigquery import SchemaField

from focus_pipeline.focus.specification import columns
from focus_pipeline_tests.fakes.bigquery import BigQueryServer

NATIVE, VIEW, DETAILED = (
    "gcp_billing_export_focus_010101_F0FFF0_61C528",
    "focus_view",
    "gcp_billing_export_resource_v1_010101_F0FFF0_61C528",
)
_NUMBERS = ("x_CurrencyConversionRate", "x_PriceEffectivePriceDefault", "x_CostAtEffectivePriceDefault")


def _record(name: str, *fields: str | SchemaField, mode: str = "NULLABLE") -> SchemaField:
    """A record of STRING fields, where no other type is given as `name:TYPE`."""
    typed = [
        SchemaField(*(field.split(":") if ":" in field else (field, "STRING"))) if isinstance(field, str) else field
        for field in fields
    ]
    return SchemaField(name, "RECORD", mode, fields=typed)


_RECORDS = {
    field.name: field
    for field in (
        _record("x_Credits", "Name", "Amount:FLOAT64", "Type", mode="REPEATED"),
        *(
            _record(name, "Key", "Value", mode="REPEATED")
            for name in ("x_Labels", "x_ProjectLabels", "x_SystemLabels", "x_Tags")
        ),
        _record("x_Location", "Location", "Country"),
        _record("x_Project", "Id", "Name", "Number"),
        _record("Tags", "key", "value", "x_type", "x_inherited:BOOL", "x_namespace", mode="REPEATED"),
        SchemaField("ServiceCategory", "STRING", "REPEATED"),
    )
}

DETAILED_SCHEMA = (
    SchemaField("billing_account_id", "STRING"),
    _record("service", "id", "description"),
    _record("sku", "id", "description"),
    SchemaField("usage_start_time", "TIMESTAMP"),
    SchemaField("usage_end_time", "TIMESTAMP"),
    _record("project", "id", "number", "name", _record("labels", "key", "value", mode="REPEATED")),
    _record("labels", "key", "value", mode="REPEATED"),
    _record("system_labels", "key", "value", mode="REPEATED"),
    _record("location", "location", "country", "region", "zone"),
    _record("tags", "key", "value", "inherited:BOOL", "namespace", mode="REPEATED"),
    SchemaField("transaction_type", "STRING"),
    SchemaField("seller_name", "STRING"),
    SchemaField("export_time", "TIMESTAMP"),
    SchemaField("cost", "FLOAT64"),
    SchemaField("currency", "STRING"),
    SchemaField("currency_conversion_rate", "FLOAT64"),
    _record("usage", "amount:FLOAT64", "unit", "amount_in_pricing_units:FLOAT64", "pricing_unit"),
    _record("credits", "name", "amount:FLOAT64", "full_name", "id", "type", mode="REPEATED"),
    _record("invoice", "month", "publisher_type"),
    SchemaField("cost_type", "STRING"),
    _record("adjustment_info", "id", "description", "mode", "type"),
    _record("resource", "name", "global_name"),
    _record("price", "effective_price:NUMERIC", "tier_start_amount:NUMERIC", "unit", "pricing_unit_quantity:NUMERIC"),
    SchemaField("cost_at_list", "FLOAT64"),
)


def schema_of(rows: Sequence[Mapping[str, str]], *, decimals: str) -> list[SchemaField]:
    """The columns of rows as clean_rows gives them. decimals: the BigQuery type of costs, prices and quantities."""
    return [_field(name, decimals) for name in rows[0]]


def typed(rows: Sequence[Mapping[str, str]], *, decimals: str) -> list[dict[str, object]]:
    """The rows as they are inserted into a table of schema_of: nothing as null, nine decimals where it is NUMERIC."""
    fields = {field.name: field for field in schema_of(rows, decimals=decimals)} if rows else {}
    return [{name: _value(value, fields[name]) for name, value in row.items()} for row in rows]


class GcpExport:
    """One table of FOCUS rows in a dataset of its own."""

    def __init__(self, server: BigQueryServer, dataset: str, table: str = NATIVE, location: str = "EU") -> None:
        self.server, self.dataset, self.table = server, dataset, table
        self.decimals = "NUMERIC" if table == NATIVE else "FLOAT64"
        self.name = f"{dataset}.{table}"
        server.create_dataset(dataset, location)

    def create(self, rows: Sequence[Mapping[str, str]], partitioned_by: str | None = None) -> None:
        """Makes the table with the columns of these rows, and puts them in."""
        self.server.create_table(self.name, schema_of(rows, decimals=self.decimals), partitioned_by)
        self.append(rows)

    def append(self, rows: Sequence[Mapping[str, str]]) -> None:
        self.server.insert(self.name, typed(rows, decimals=self.decimals))

    def billed(self, rows: Sequence[Mapping[str, str]]) -> Decimal:
        """What the rows cost as the table holds them."""
        return sum((Decimal(str(row["BilledCost"])) for row in typed(rows, decimals=self.decimals)), Decimal(0))


def detailed_row(month: str, cost: float, **values: object) -> dict[str, object]:
    """A row of the detailed usage cost export: an hour of a machine. values: columns that are different."""
    return {
        "billing_account_id": "010101-F0FFF0-61C528",
        "service": {"id": "6F81-5844-456A", "description": "Compute Engine"},
        "sku": {"id": "0048-21CE-74C3", "description": "E2 Instance Core running in Netherlands"},
        "usage_start_time": f"{month}-02T00:00:00Z",
        "usage_end_time": f"{month}-02T01:00:00Z",
        "project": {"id": "shop-production", "number": "4242", "name": "Shop production", "labels": []},
        "labels": [{"key": "team", "value": "web"}],
        "system_labels": [{"key": "compute.googleapis.com/cores", "value": "2"}],
        "location": {
            "location": "europe-west4-a",
            "country": "NL",
            "region": "europe-west4",
            "zone": "europe-west4-a",
        },
        "tags": [],
        "transaction_type": "GOOGLE",
        "seller_name": "",
        "export_time": f"{month}-03T04:05:06.789Z",
        "cost": cost,
        "currency": "EUR",
        "currency_conversion_rate": 0.8,
        "usage": {"amount": 3600.0, "unit": "seconds", "amount_in_pricing_units": 1.0, "pricing_unit": "hour"},
        "credits": [],
        "invoice": {"month": month.replace("-", ""), "publisher_type": "GOOGLE"},
        "cost_type": "regular",
        "adjustment_info": None,
        "resource": {
            "name": "web-1",
            "global_name": "//compute.googleapis.com/projects/4242/zones/europe-west4-a/instances/1",
        },
        "price": {
            "effective_price": f"{cost:.9f}",
            "tier_start_amount": "0",
            "unit": "hour",
            "pricing_unit_quantity": "1",
        },
        "cost_at_list": cost,
    } | values


def _field(name: str, decimals: str) -> SchemaField:
    if name in _RECORDS:
        return _RECORDS[name]
    column = columns().get(name)
    if column is None:
        kinds = {"x_ExportTime": "TIMESTAMP"} | dict.fromkeys(_NUMBERS, "FLOAT64")
        return SchemaField(name, kinds.get(name, "STRING"))
    return SchemaField(name, {"Decimal": decimals, "DateTime": "TIMESTAMP"}.get(column.type, "STRING"))


def _value(value: str, field: SchemaField) -> object:
    if field.field_type == "RECORD" or field.mode == "REPEATED":
        return json.loads(value) if value else ([] if field.mode == "REPEATED" else None)
    if not value:
        return None
    if field.field_type == "NUMERIC":
        return str(round(Decimal(value), 9))
    if field.field_type == "FLOAT64":
        return float(value)
    return value.replace(" UTC", "+00:00") if field.field_type == "TIMESTAMP" else value
