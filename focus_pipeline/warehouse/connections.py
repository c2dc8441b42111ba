"""What a warehouse has of connections: who delivers what twice, and renaming or removing one."""

from dataclasses import dataclass
from typing import NamedTuple

import duckdb

from focus_pipeline.sql import only_row, transaction

# Table -> its column that names the connection.
_NAMED_BY = {
    "cost_and_usage": "x_Connection",
    "data_source_months": "Connection",
    "loads": "Connection",
    "load_services": "Connection",
    "conformance": "Connection",
    "rejected_files": "Connection",
    "month_states": "Connection",
}


class Account(NamedTuple):
    """Of a provider, and the connections that deliver it. provider, sub_account: "" where the rows have none."""

    provider: str
    billing_account: str
    sub_account: str
    connections: list[str]


@dataclass(frozen=True)
class DeliveredTwice:
    """Accounts that more than one connection delivers of a month: how many, and the first of them."""

    count: int
    first: list[Account]


def delivered_twice(connection: duckdb.DuckDBPyConnection, month: str, shown: int) -> DeliveredTwice:
    """What several connections deliver of a month, and so is in it twice."""
    rows = connection.execute(
        """
        WITH accounts AS (
            SELECT
                coalesce(ServiceProviderName, '') AS provider,
                BillingAccountId,
                coalesce(SubAccountId, '') AS sub_account,
                list_sort(list(DISTINCT x_Connection)) AS connections
            FROM focus.cost_and_usage
            WHERE x_Month = $month
            GROUP BY ALL
            HAVING min(x_Connection) <> max(x_Connection)
        )
        SELECT (SELECT count(*) FROM accounts), accounts.* FROM accounts ORDER BY ALL LIMIT $shown
        """,
        {"month": month, "shown": shown},
    ).fetchall()
    return DeliveredTwice(rows[0][0] if rows else 0, [Account(*row[1:]) for row in rows])


def rows_of_connections(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, int]]:
    """Connection -> month -> rows that the table shows, of all that the warehouse names, be it with no row."""
    found: dict[str, dict[str, int]] = {}
    for table in ("loads", "conformance", "rejected_files"):
        for (name,) in connection.execute(f"SELECT DISTINCT Connection FROM focus.{table}").fetchall():
            found.setdefault(name, {})
    counted = connection.execute(
        'SELECT Connection, Month, CAST(sum("Rows") AS BIGINT) FROM focus.data_source_months GROUP BY ALL ORDER BY ALL'
    )
    for name, month, rows in counted.fetchall():
        found.setdefault(name, {})[month] = rows
    return found


def rename_in_tables(connection: duckdb.DuckDBPyConnection, old: str, new: str) -> None:
    """Everything of one connection is another's from now on, in one transaction.

    Of a month that the other one has published itself, its own rows stay, and those of the former go.
    """
    with transaction(connection):
        # Verdicts tell of the latest delivery, published or not.
        published, judged = (
            only_row(connection.execute(f"SELECT list(DISTINCT Month) FROM focus.{table} WHERE Connection = ?", [new]))[
                0
            ]
            for table in ("loads", "conformance")
        )
        for table, column in _NAMED_BY.items():
            month = "x_Month" if table == "cost_and_usage" else "Month"
            kept = judged if table in ("conformance", "rejected_files") else published
            connection.execute(
                f"DELETE FROM focus.{table} WHERE {column} = $old AND list_contains(CAST($kept AS VARCHAR[]), {month})",
                {"old": old, "kept": kept or []},
            )
            connection.execute(
                f"UPDATE focus.{table} SET {column} = $new WHERE {column} = $old", {"old": old, "new": new}
            )


def remove_from_tables(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Takes everything of a connection out, in one transaction."""
    with transaction(connection):
        for table, column in _NAMED_BY.items():
            connection.execute(f"DELETE FROM focus.{table} WHERE {column} = $name", {"name": name})
