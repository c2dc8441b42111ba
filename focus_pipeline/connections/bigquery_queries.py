"""The two queries over a bill in BigQuery: which months there are and which have changed, and the rows of a month."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from focus_pipeline.connections.gcp_detailed_usage import PARTITION_ALIAS, column_types
from focus_pipeline.connections.store_errors import StoreError
from focus_pipeline.focus.specification import contract
from focus_pipeline.months import month_bounds

if TYPE_CHECKING:
    from google.cloud import bigquery

# What tells a change in a view without x_ExportTime beside the columns of the contract, of those that it has.
_TELLING = ("ContractedCost", "SubAccountId", "SkuId")

# BigQuery type of a column -> its month, and the rows between two parameters, as SQL; {0} is the column.
_MONTH = {
    "TIMESTAMP": "FORMAT_TIMESTAMP('%Y-%m', {0}, 'UTC')",
    "DATETIME": "FORMAT_DATETIME('%Y-%m', {0})",
    "DATE": "FORMAT_DATE('%Y-%m', {0})",
    "STRING": "SUBSTR({0}, 1, 7)",
}
_WITHIN = {
    "TIMESTAMP": "{0} >= TIMESTAMP(@{1}, 'UTC') AND {0} < TIMESTAMP(@{2}, 'UTC')",
    "DATETIME": "{0} >= DATETIME(TIMESTAMP(@{1}, 'UTC')) AND {0} < DATETIME(TIMESTAMP(@{2}, 'UTC'))",
    "DATE": "{0} >= CAST(@{1} AS DATE) AND {0} < CAST(@{2} AS DATE)",
    "STRING": "SUBSTR({0}, 1, 7) = SUBSTR(@{1}, 1, 7)",
}
_PARTITION_TYPES = ("TIMESTAMP", "DATETIME", "DATE")
# BigQuery types that Parquet or DuckDB does not have, or not exactly: read as text.
_AS_TEXT = {
    "BIGNUMERIC": "CAST({0} AS STRING)",
    "JSON": "TO_JSON_STRING({0})",
    "BYTES": "TO_BASE64({0})",
    "GEOGRAPHY": "ST_ASTEXT({0})",
    "INTERVAL": "CAST({0} AS STRING)",
    "RANGE": "TO_JSON_STRING({0})",
}


@dataclass(frozen=True)
class Partition:
    """What a table is partitioned by. column: or pseudo column. type: its BigQuery type. sql: it, in the relation."""

    column: str
    type: str
    sql: str


@dataclass(frozen=True)
class Source:
    """What is queried. table: `project.dataset.table`. columns: name -> BigQuery type, lists as TYPE[].

    kind: in words. declares: the FOCUS version that it is known to have. select: the query that makes FOCUS of it, ""
    where it is. partition: None where none is known. defined_by: what other than its rows says what a month holds: a
    view's query, the columns that are read.
    """

    table: str
    columns: Mapping[str, str]
    kind: str
    declares: str | None = None
    select: str = ""
    partition: Partition | None = None
    defined_by: str = ""

    @property
    def relation(self) -> str:
        """SQL behind FROM."""
        return f"(\n{self.select}\n)" if self.select else f"`{self.table}`"

    @property
    def digest(self) -> str:
        """A mark of the select and of what defines it, for others may give other rows."""
        told = self.select + self.defined_by
        return hashlib.sha256(told.encode()).hexdigest()[:12] if told else ""

    def named(self, name: str) -> str | None:
        """The column of this name as it is spelled here, whatever its case."""
        return next((column for column in self.columns if column.lower() == name.lower()), None)

    @property
    def export_time(self) -> str | None:
        """The column that says when a row was exported."""
        name = self.named("x_ExportTime")
        return name if name and self.columns[name] == "TIMESTAMP" else None


def fingerprint_query(source: Source) -> str:
    """For each month: how many rows, what changes when they do, and which partitions hold them.

    Reads two columns where there is x_ExportTime, and that of the partitions.
    """
    if (exported := source.export_time) is not None:
        changed, unmarked = f"UNIX_MICROS(MAX(`{exported}`))", f"COUNTIF(`{exported}` IS NULL)"
    else:
        named = dict.fromkeys([*contract().required, *contract().expected, *_TELLING])
        telling = [name for name in map(source.named, named) if name is not None]
        values = ", ".join(f"CAST(`{name}` AS STRING)" for name in telling if not source.columns[name].endswith("[]"))
        # A sum, unlike an exclusive or, counts equal rows; of remainders, for it must not overflow.
        changed = f"SUM(MOD(FARM_FINGERPRINT(TO_JSON_STRING(STRUCT({values}))), 1000000007))"
        unmarked = "0"
    selected = [
        f"{_month(source)} AS month",
        "COUNT(*) AS row_count",
        f"{unmarked} AS unmarked",
        f"{changed} AS changed",
    ]
    if source.partition is not None:
        value = source.partition.sql
        selected += [f"MIN({value}) AS first_partition", f"MAX({value}) AS last_partition"]
        selected += [f"COUNTIF({value} IS NULL) AS in_no_partition"]
    return f"SELECT {', '.join(selected)}\nFROM {source.relation} AS focus\nGROUP BY 1"


def month_query(source: Source, partitions: tuple[str, str] | None = None) -> str:
    """The rows of the month from @start until before @end, every column by its name.

    partitions: where they are known, only those from @first until before @last are read, and billed.
    """
    column = source.named("BillingPeriodStart")
    selected = [
        f"{_AS_TEXT[kind].format(f'`{name}`')} AS `{name}`" if kind in _AS_TEXT else f"`{name}`"
        for name, kind in source.columns.items()
    ]
    within = _of_type(source, _WITHIN).format(f"`{column}`", "start", "end")
    if partitions:
        within += f"\n  AND {_WITHIN[source.partition.type].format(source.partition.sql, 'first', 'last')}"
    return f"SELECT\n  {', '.join(selected)}\nFROM {source.relation} AS focus\nWHERE {within}"


def _month(source: Source) -> str:
    return _of_type(source, _MONTH).format(f"`{source.named('BillingPeriodStart')}`")


def _of_type(source: Source, templates: Mapping[str, str]) -> str:
    kind = source.columns[source.named("BillingPeriodStart")]
    if kind not in templates:
        raise StoreError(
            f"BillingPeriodStart is of the type {kind}; it has to be one of {', '.join(templates)} to tell the month"
        )
    return templates[kind]


def month_parameters(month: str, partitions: tuple[str, str] | None) -> dict[str, str]:
    """The values of month_query's parameters."""
    start, end = month_bounds(month)
    of_partitions = {"first": partitions[0], "last": partitions[1]} if partitions else {}
    return {"start": f"{start:%Y-%m-%d}", "end": f"{end:%Y-%m-%d}"} | of_partitions


def partition_of(table: "bigquery.Table") -> Partition | None:
    """What a table is partitioned by, or a view says that its table is; None where it is not by time."""
    types = column_types(table.schema)
    if (by := table.time_partitioning) is not None:
        name = by.field or "_PARTITIONTIME"
        return Partition(name, types.get(name, "TIMESTAMP"), f"`{name}`" if by.field else name)
    # A view can hand on that of its table.
    handed_on = next((kind for name, kind in types.items() if name.lower() == PARTITION_ALIAS.lower()), None)
    return Partition(PARTITION_ALIAS, handed_on, PARTITION_ALIAS) if handed_on in _PARTITION_TYPES else None


def partitions_of(row: Mapping[str, object], partition: Partition | None) -> tuple[str, str] | None:
    """The partitions that hold a month's rows, of its row of the fingerprint query.

    Rows that are still being streamed in are in none yet: then all are read.
    """
    if partition is None or row["in_no_partition"]:
        return None
    try:
        # The end is exclusive.
        return _spelled(row["first_partition"]), _spelled(row["last_partition"] + timedelta(days=1))
    except OverflowError:
        # 9999-12-31, as some write for "no end": there is no day after it.
        return None


def _spelled(value: date) -> str:
    # Not by a format: that of a year before 1000 has no leading zeros.
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")
    return value.isoformat()
