"""Which months a bill in BigQuery has, when they change, and which rows each has: the real queries, run by DuckDB.

What only BigQuery itself, or its emulator, can show is in test_gcp_bigquery_export.py, which takes a minute.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pyarrow.parquet as pq
import pytest
import sqlglot

from focus_pipeline.connections.bigquery import Billed
from focus_pipeline.connections.gcp_bigquery_export import GcpBigQueryExport
from focus_pipeline.connections.store_errors import ObjectChanged
from focus_pipeline.months import current_month, months_back

MONTH = "2025-03"
FREE = Billed(0, False, "job")
# BigQuery type -> that of DuckDB.
TYPES = {"TIMESTAMP": "TIMESTAMPTZ", "DATETIME": "TIMESTAMP", "DATE": "DATE", "STRING": "VARCHAR", "NUMERIC": "DECIMAL"}


@dataclass
class Bill:
    """A table `p.d.t` with these columns, and the part of bigquery.BigQueryTable that the connection uses."""

    columns: Mapping[str, str]
    partitioned_by: str | None = None
    database: duckdb.DuckDBPyConnection = field(default_factory=duckdb.connect)

    def __post_init__(self) -> None:
        columns = ", ".join(f"{name} {TYPES[kind]}" for name, kind in self.columns.items())
        self.database.execute("SET TimeZone = 'UTC'; ATTACH ':memory:' AS p; CREATE SCHEMA p.d")
        self.database.execute(f"CREATE TABLE p.d.t ({columns})")
        self.database.execute("CREATE MACRO farm_fingerprint(text) AS hash(text) // 2")

    def insert(self, *rows: tuple) -> None:
        self.database.executemany(f"INSERT INTO p.d.t VALUES ({', '.join('?' * len(self.columns))})", rows)

    def connection(self, dataset: str = "d") -> GcpBigQueryExport:
        connection = GcpBigQueryExport("acme_google", "p", dataset, "t")
        connection.__dict__["client"] = self
        return connection

    def table(self) -> SimpleNamespace:
        schema = [
            SimpleNamespace(name=name, field_type=kind, mode="NULLABLE", fields=())
            for name, kind in self.columns.items()
        ]
        by = self.partitioned_by and SimpleNamespace(field=self.partitioned_by)
        return SimpleNamespace(schema=schema, time_partitioning=by, view_query=None, mview_query=None)

    def query(self, sql: str) -> tuple[list[dict], Billed]:
        return self._read(sql, {}).to_pylist(), FREE

    def write(self, sql: str, path: Path, **parameters: str) -> Billed:
        pq.write_table(self._read(sql, parameters), path)
        return FREE

    def _read(self, sql: str, parameters: Mapping[str, str]):
        (translated,) = sqlglot.transpile(sql, read="bigquery", write="duckdb")
        # BigQuery takes parameters that a query does not name.
        named = {name: value for name, value in parameters.items() if f"${name}" in translated}
        return self.database.execute(translated, named).to_arrow_table()


def costs_of(bill: Bill, month: str, path: Path) -> list[int]:
    """BilledCost of the rows that are read of a month."""
    connection = bill.connection()
    (item,) = connection.discover([month]).deliveries[month].objects
    connection.download(item, path / "month.parquet")
    return sorted(map(int, pq.read_table(path / "month.parquet")["BilledCost"].to_pylist()))


def token(bill: Bill) -> str:
    return bill.connection().discover().deliveries[MONTH].token


@pytest.mark.parametrize("kind", ["TIMESTAMP", "DATETIME", "DATE", "STRING"])
def test_a_month_has_the_rows_from_its_first_moment_until_that_of_the_next(kind: str, tmp_path: Path) -> None:
    bill = Bill({"BillingPeriodStart": kind, "BilledCost": "NUMERIC"})
    end = "" if kind == "DATE" else " 23:59:59.999999"
    bill.insert(("2025-02-28" + end, 1), ("2025-03-01", 2), ("2025-03-31" + end, 3), ("2025-04-01", 4))
    discovery = bill.connection().discover()
    rows = {month: delivery.rows for month, delivery in discovery.deliveries.items()}
    assert rows == {"2025-02": 1, MONTH: 2, "2025-04": 1}
    assert costs_of(bill, MONTH, tmp_path) == [2, 3]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE p.d.t SET x_ExportTime = '2025-04-03'",
        "UPDATE p.d.t SET x_ExportTime = NULL WHERE BilledCost = 1",
        "DELETE FROM p.d.t WHERE BilledCost = 1",
    ],
    ids=["exported anew", "a row without an export time", "a row less"],
)
def test_whatever_changes_in_a_month_gives_it_another_token(change: str) -> None:
    bill = Bill({"BillingPeriodStart": "TIMESTAMP", "BilledCost": "NUMERIC", "x_ExportTime": "TIMESTAMP"})
    bill.insert(("2025-03-01", 1, "2025-04-01"), ("2025-03-01", 2, "2025-04-02"))
    before = token(bill)
    assert token(bill) == before
    bill.database.execute(change)
    assert token(bill) != before


@pytest.mark.parametrize("column", ["BilledCost", "ServiceName"])
def test_equal_rows_that_change_alike_are_a_change_of_a_view_without_export_times(column: str) -> None:
    """They would cancel each other out in an exclusive or."""
    bill = Bill({"BillingPeriodStart": "TIMESTAMP", "BilledCost": "NUMERIC", "ServiceName": "STRING"})
    bill.insert(*[("2025-03-01", 1, "1")] * 2)
    before = token(bill)
    bill.database.execute(f"UPDATE p.d.t SET {column} = '2'")
    assert token(bill) != before


def test_a_month_is_read_from_all_partitions_that_hold_it(tmp_path: Path) -> None:
    """Corrections come into the partitions of later days, and what is being streamed in is in none yet."""
    bill = Bill({"BillingPeriodStart": "TIMESTAMP", "BilledCost": "NUMERIC", "day": "DATE"}, partitioned_by="day")
    bill.insert(("2025-03-01", 1, "2025-03-05"), ("2025-03-01", 2, "2025-04-02"), ("2025-04-01", 3, "2025-04-03"))
    (item,) = bill.connection().discover().deliveries[MONTH].objects
    assert item.partitions == ("2025-03-05", "2025-04-03")
    assert costs_of(bill, MONTH, tmp_path) == [1, 2]
    bill.insert(("2025-03-01", 4, None))
    assert costs_of(bill, MONTH, tmp_path) == [1, 2, 4]


def test_rows_that_come_between_the_look_and_the_reading_end_the_attempt(tmp_path: Path) -> None:
    bill = Bill({"BillingPeriodStart": "TIMESTAMP", "BilledCost": "NUMERIC", "x_ExportTime": "TIMESTAMP"})
    bill.insert(("2025-03-01", 1, "2025-04-01"))
    connection = bill.connection()
    (item,) = connection.discover().deliveries[MONTH].objects
    bill.insert(("2025-03-01", 2, "2025-04-02"))
    with pytest.raises(ObjectChanged, match=f"p.d.t {MONTH} was replaced after it was listed"):
        connection.download(item, tmp_path / "month.parquet")


def test_of_google_s_own_dataset_the_months_that_are_past_its_two_years_expire() -> None:
    months = months_back(current_month(), 25)
    bill = Bill({"BillingPeriodStart": "TIMESTAMP", "BilledCost": "NUMERIC"})
    bill.insert(*((f"{month}-01", 1) for month in months))
    assert bill.connection().discover().expiring == ()
    dataset = "gcp_billing_immutable_x"
    bill.database.execute(f"CREATE SCHEMA p.{dataset}; CREATE VIEW p.{dataset}.t AS FROM p.d.t")
    expiring = bill.connection(dataset).discover().expiring
    assert expiring == tuple(months[:2]), "23 months before the running one are kept whole"
