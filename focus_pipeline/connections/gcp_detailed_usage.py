"""FOCUS out of Google's detailed usage cost export, for those who have neither its FOCUS export nor a view.

The query is made of gcp_detailed_usage.toml, column by column, and runs in BigQuery.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from focus_pipeline.focus.specification import columns

if TYPE_CHECKING:
    from google.cloud.bigquery import SchemaField

# Without these, in lower case, a table is no detailed usage cost export.
DETAILED_USAGE_COLUMNS = frozenset(
    ("billing_account_id", "service", "sku", "usage_start_time", "project", "cost", "currency", "credits", "invoice")
)

# Not a column of the bill: that of the partitions, handed on by a view or a query.
PARTITION_ALIAS = "x_PartitionTime"

_UNKNOWN = "Other (Other)"
# The REST API has the names of the former SQL dialect.
_TYPES = {"INTEGER": "INT64", "FLOAT": "FLOAT64", "BOOLEAN": "BOOL", "RECORD": "STRUCT"}


def focus_select(
    table: str, schema: "Sequence[SchemaField]", partition: str | None = None
) -> tuple[str, dict[str, str]]:
    """The GoogleSQL SELECT that reads a detailed usage cost table as FOCUS 1.2, and its columns and their types.

    table: `project.dataset.table`. schema: of that table; columns that it lacks are left out or have a substitute.
    partition: what the table is partitioned by, as SQL; it is handed on as x_PartitionTime, to read few partitions.
    """
    facts = _facts()
    there = column_types(schema)
    fragments = facts["fragments"] | {
        "service_category": _by_service({s: _category(sub) for s, sub in facts["services"].items()}, "Other"),
        "service_subcategory": _by_service(facts["services"], _UNKNOWN),
    }
    selected, given = [f"  {partition} AS {PARTITION_ALIAS}"] if partition else [], {}
    for column in facts["columns"]:
        whole = all(name in there for name in column.get("needs", ()))
        sql = column["sql"] if whole else column.get("otherwise")
        if sql is not None:
            selected.append(f"  {sql.format(**fragments)} AS {column['name']}")
            given[column["name"]] = _type(column["name"], sql, there)
    return "SELECT\n" + ",\n".join(selected) + f"\nFROM `{table}`", given


@cache
def _facts() -> dict:
    return tomllib.loads(resources.files(__package__).joinpath("gcp_detailed_usage.toml").read_text("utf-8"))


def _category(subcategory: str) -> str:
    return columns()["ServiceSubcategory"].parents[subcategory]


def _by_service(values: Mapping[str, str], otherwise: str) -> str:
    """A CASE of the service's name, a WHEN for all services of one value."""
    services: dict[str, list[str]] = {}
    for service, value in values.items():
        services.setdefault(value, []).append(_text(service))
    whens = "".join(
        f"\n    WHEN service.description IN ({', '.join(names)}) THEN {_text(value)}"
        for value, names in sorted(services.items())
    )
    return f"CASE{whens}\n    ELSE {_text(otherwise)}\n  END"


def _text(value: str) -> str:
    # GoogleSQL has the escapes of JSON in double quotes.
    return json.dumps(value, ensure_ascii=False)


def _type(name: str, sql: str, there: Mapping[str, str]) -> str:
    if sql in there:
        return there[sql]
    specified = columns().get(name)
    kinds = {"Decimal": "BIGNUMERIC", "DateTime": "TIMESTAMP"}
    return kinds.get(specified.type, "STRING") if specified else "STRING"


def column_types(schema: "Sequence[SchemaField]", prefix: str = "") -> dict[str, str]:
    """Types by name, of every column and, as `usage.amount`, every field of a record; lists are TYPE[]."""
    found = {}
    for field in schema:
        kind = _TYPES.get(field.field_type, field.field_type)
        found[f"{prefix}{field.name}"] = f"{kind}[]" if field.mode == "REPEATED" else kind
        found |= column_types(field.fields, f"{prefix}{field.name}.")
    return found
