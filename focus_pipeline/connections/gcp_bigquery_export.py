"""Google Cloud's bill in BigQuery: a table or view whose rows are FOCUS, or Google's detailed usage cost export.

    gcp_billing_export_focus_<account>          Google's own FOCUS export: append-only, x_ExportTime says when
    a view of the customer's                    mostly Google's published FOCUS 1.0 view, mostly edited
    gcp_billing_export_resource_v1_<account>    detailed usage cost: FOCUS by a query of this project's

A month is the rows with its BillingPeriodStart in UTC. One aggregate query says which months there are and which have
changed; a changed one is read by a query of its own into one Parquet file.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from focus_pipeline.connections.auth import GoogleAuth, require_variables
from focus_pipeline.connections.bigquery_queries import (
    Source,
    fingerprint_query,
    month_parameters,
    month_query,
    partition_of,
    partitions_of,
)
from focus_pipeline.connections.delivery import (
    Delivery,
    Discovery,
    Ignored,
    NoBillingPeriods,
    StoredObject,
    printable,
)
from focus_pipeline.connections.gcp_detailed_usage import (
    DETAILED_USAGE_COLUMNS,
    PARTITION_ALIAS,
    column_types,
    focus_select,
)
from focus_pipeline.connections.store_errors import StoreError
from focus_pipeline.connections.stores import replaced
from focus_pipeline.focus.canonical import match_columns
from focus_pipeline.months import current_month, is_month, months_back
from focus_pipeline.secrets_filter import remember_environment
from focus_pipeline.sql import Sandbox, open_duckdb, path_literal, quoted

if TYPE_CHECKING:
    from focus_pipeline.connections.bigquery import BigQueryTable

# Google's own dataset for exports keeps rows for two years; of older months it may show a part.
_EXPIRING_DATASET = "gcp_billing_immutable_"
_KEPT_MONTHS = 23


@dataclass(frozen=True)
class MonthRows(StoredObject):
    """The rows of a month as one object. source: what they were seen in. partitions: values of @first and @last,
    between which its partitions hold them; None where that is not known.
    """

    source: Source = field(compare=False, repr=False)
    partitions: tuple[str, str] | None = None

    @property
    def month(self) -> str:
        return self.key.rpartition("/")[2].removesuffix(".parquet")

    @property
    def query(self) -> tuple[str, dict[str, str]]:
        """The query that reads them, and the values of its parameters."""
        return month_query(self.source, self.partitions), month_parameters(self.month, self.partitions)


@dataclass(frozen=True)
class GcpBigQueryExport:
    """A Connection (see delivery.py) over one table or view.

    project, dataset, table: where it is. billed_project: where queries run, default that of the table.
    location: of the dataset, default what BigQuery says. leave_out: columns that are not read.
    maximum_bytes_billed: a query that would be billed more fails. storage_api: see bigquery.BigQueryTable.
    """

    name: str
    project: str
    dataset: str
    table: str
    billed_project: str | None = None
    location: str | None = None
    auth: GoogleAuth | None = None
    endpoint_url: str | None = None
    maximum_bytes_billed: int | None = None
    leave_out: tuple[str, ...] = ()
    storage_api: bool = True
    month_rule: bool = False
    missing_month_is_empty: bool = False
    additive: bool = False
    quiet: timedelta = timedelta(0)
    focus_version: str | None = None

    @property
    def address(self) -> str:
        return f"{self.project}.{self.dataset}.{self.table}"

    def discover(self, months: Collection[str] | None = None) -> Discovery:
        source = self.source()
        sql = fingerprint_query(source)
        rows, billed = self.client.query(sql)
        shown = {row["month"]: row for row in rows if is_month(row["month"] or "")}
        if not shown:
            raise NoBillingPeriods(
                f"No billing periods found: {self.address} has no row with a BillingPeriodStart. Google fills a new "
                "export from the month in which it was switched on; that takes up to five days"
            )
        ignored = [
            Ignored(
                f"{row['row_count']:,} rows",
                f"their BillingPeriodStart is {printable(row['month'] or 'empty')}: no month",
            )
            for row in rows
            if row["month"] not in shown
        ]
        asked = {month: row for month, row in shown.items() if months is None or month in months}
        return Discovery(
            tuple(sorted(shown)),
            {month: self._delivery(month, row, source) for month, row in asked.items()},
            tuple(ignored),
            self.address,
            expiring=self._expiring(shown),
            cost=billed.described,
        )

    def download(self, item: MonthRows, path: Path) -> Mapping[str, str | int]:
        sql, parameters = item.query
        billed = self.client.write(sql, path, **parameters)
        # Rows that came between the two queries belong to the next token.
        if not _is_what_was_shown(path, item.source, item.etag):
            raise replaced(f"{self.address} {item.month}")
        return {
            "BigQuery job": billed.job,
            "Bytes billed": "not said" if billed.bytes is None else billed.bytes,
        }

    def estimated_bytes(self, delivery: Delivery) -> int:
        """What reading a month would be billed for; asking is free."""
        sql, parameters = delivery.objects[0].query
        return self.client.estimated_bytes(sql, **parameters)

    def source(self) -> Source:
        """What the table is, by its columns as they are now. Raises StoreError where it is none of the three."""
        table = self.client.table()
        partition = partition_of(table)
        left_out = {name.lower() for name in (*self.leave_out, PARTITION_ALIAS)}
        columns = {
            name: kind
            for name, kind in column_types(table.schema).items()
            if "." not in name and name.lower() not in left_out
        }
        folded = {name.lower() for name in columns}
        if "billingperiodstart" in folded:
            native = self.table.startswith("gcp_billing_export_focus_")
            if native:
                return Source(
                    self.address,
                    columns,
                    "Google's FOCUS export",
                    "1.2",
                    partition=partition,
                    # Google only adds columns, which are null in the rows before: no month is another one for that.
                    defined_by=json.dumps(sorted(self.leave_out)) if self.leave_out else "",
                )
            defined_by = json.dumps([sorted(columns.items()), table.view_query or table.mview_query])
            return Source(self.address, columns, "a FOCUS table or view", partition=partition, defined_by=defined_by)
        if folded >= DETAILED_USAGE_COLUMNS:
            select, given = focus_select(self.address, table.schema, partition and partition.sql)
            given = {name: kind for name, kind in given.items() if name.lower() not in left_out}
            inner = partition and replace(partition, sql=PARTITION_ALIAS)
            defined_by = json.dumps(sorted(self.leave_out)) if self.leave_out else ""
            return Source(self.address, given, "Google's detailed usage cost export", "1.2", select, inner, defined_by)
        raise StoreError(
            f"{self.address} is neither FOCUS (it has no BillingPeriodStart) nor Google's detailed usage cost export "
            f"(it has no {', '.join(sorted(DETAILED_USAGE_COLUMNS - folded))}). Its columns are "
            f"{', '.join(list(columns)[:20])}. Name a table gcp_billing_export_focus_… or "
            "gcp_billing_export_resource_v1_…, or a FOCUS view"
        )

    @cached_property
    def client(self) -> "BigQueryTable":
        """Opened at the first use: Google's libraries take a second to import."""
        remember_environment()
        auth = self.auth or GoogleAuth()
        places = ("project", "dataset", "table", "billed_project", "location", "endpoint_url")
        require_variables(auth, **{name: getattr(self, name) for name in places})
        try:
            from focus_pipeline.connections.bigquery import BigQueryTable
        except ImportError:
            raise StoreError(
                f"{self.address} is read with Google's library, which is not installed: install "
                "focus-pipeline[bigquery]"
            ) from None
        return BigQueryTable(
            self.project,
            self.dataset,
            self.table,
            auth,
            label=self.name,
            billed_project=self.billed_project,
            location=self.location,
            endpoint_url=self.endpoint_url,
            maximum_bytes_billed=self.maximum_bytes_billed,
            storage_api=self.storage_api,
        )

    def _delivery(self, month: str, row: Mapping[str, object], source: Source) -> Delivery:
        changed = row["changed"] if source.export_time else None
        item = MonthRows(
            key=f"{self.address}/{month}.parquet",
            etag=_etag(source, row["row_count"], row["unmarked"], row["changed"]),
            size=None,
            last_modified=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=changed or 0),
            source=source,
            partitions=partitions_of(row, source.partition),
        )
        return Delivery(month, (item,), source.declares, row["row_count"])

    def _expiring(self, shown: Collection[str]) -> tuple[str, ...]:
        if not self.dataset.startswith(_EXPIRING_DATASET):
            return ()
        whole = months_back(current_month(), _KEPT_MONTHS)
        return tuple(sorted(month for month in shown if month < whole[0]))


def _etag(source: Source, rows: int, unmarked: int, changed: int | None) -> str:
    return "/".join(str(part) for part in (rows, unmarked, changed, source.digest) if part not in ("", None))


def _is_what_was_shown(path: Path, source: Source, etag: str) -> bool:
    """Whether the written rows have this etag; of a source without x_ExportTime, whether they are as many."""
    relation = f"read_parquet({path_literal(path)})"
    with open_duckdb(Sandbox((path.parent,))) as connection:
        if (exported := source.export_time) is None:
            (rows,) = connection.execute(f"SELECT count(*) FROM {relation}").fetchone()
            return etag.startswith(f"{rows}/")
        exported = quoted(exported)
        written = connection.execute(
            f"SELECT count(*), count(*) FILTER ({exported} IS NULL), epoch_us(max({exported})) FROM {relation}"
        ).fetchone()
    return _etag(source, *written) == etag


def recognised(columns: Sequence[str]) -> tuple[list[str], list[str]]:
    """The FOCUS columns among them, and the others."""
    matched = match_columns(dict.fromkeys(columns, "VARCHAR"))
    return sorted(matched), [name for name in columns if name not in matched.values()]
