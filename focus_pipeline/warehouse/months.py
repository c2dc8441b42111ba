"""Puts a month of a connection, and the verdict on it, in the place of what a warehouse has of it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import duckdb

from focus_pipeline.records.staged import StagedMonth
from focus_pipeline.records.verdicts import RuleVerdict
from focus_pipeline.sql import path_literal, quoted, transaction
from focus_pipeline.warehouse.faults import NotReconciled
from focus_pipeline.warehouse.warehouse import Warehouse

_SQL_TYPES: dict[object, str] = {str: "VARCHAR", int: "BIGINT"}


@dataclass(frozen=True)
class Replaced:
    """A month as it was replaced. Costs by BillingCurrency ("" where a row has none), exact."""

    connection: str
    month: str
    token: str
    rows_before: int
    rows_after: int
    billed_cost_before: dict[str, Decimal]
    billed_cost_after: dict[str, Decimal]


@dataclass(frozen=True)
class MonthState:
    """What a warehouse has of a month: the delivery that the table shows, and the one whose verdict it has.

    token, identity: of the former, see StagedMonth; None where it shows none. judged: identity of the latter.
    """

    token: str | None = None
    identity: str | None = None
    judged: str | None = None


def month_states(connection: duckdb.DuckDBPyConnection, months: Iterable[str]) -> dict[tuple[str, str], MonthState]:
    """(connection, month) -> what the warehouse has of it, of those that it has something of."""
    rows = connection.execute(
        """
        SELECT Connection, Month, Token, StagedIdentity, JudgedIdentity FROM focus.month_states
        WHERE list_contains(CAST($months AS VARCHAR[]), Month)
        """,
        {"months": list(months)},
    ).fetchall()
    return {(name, month): MonthState(*state) for name, month, *state in rows}


@dataclass(frozen=True)
class Shown:
    """What the table shows of a month of a connection in one currency. Exact costs."""

    connection: str
    token: str
    currency: str | None
    rows: int
    billed_cost: Decimal
    effective_cost: Decimal


def shown_of(connection: duckdb.DuckDBPyConnection, month: str) -> list[Shown]:
    """What the table shows of a month, by connection and currency."""
    rows = connection.execute(
        """
        SELECT Connection, Token, BillingCurrency, CAST(sum("Rows") AS BIGINT), sum(BilledCost), sum(EffectiveCost)
        FROM focus.data_source_months JOIN focus.month_states USING (Connection, Month)
        WHERE Month = $month
        GROUP BY ALL
        ORDER BY ALL
        """,
        {"month": month},
    ).fetchall()
    return [Shown(*row) for row in rows]


def forget_states(connection: duckdb.DuckDBPyConnection) -> None:
    """Has every month published again, as if the warehouse had none of them."""
    connection.execute("UPDATE focus.month_states SET StagedIdentity = NULL, JudgedIdentity = NULL")


def replace_month(warehouse: Warehouse, connection: duckdb.DuckDBPyConnection, staged: StagedMonth) -> Replaced:
    """Replaces the month of the staged delivery's connection, in one transaction: readers see the old or the new.

    connection: of warehouse.writing(). Raises NotReconciled, changing nothing, when the table would hold other rows or
    costs than were staged.
    """
    key = {"name": staged.connection, "month": staged.month}
    with transaction(connection):
        before = _totals(connection, key)
        connection.execute(f"CREATE OR REPLACE TEMP TABLE services_before AS {_SERVICES}", key)
        connection.execute("DELETE FROM focus.cost_and_usage WHERE x_Connection = $name AND x_Month = $month", key)
        warehouse.add_rows(connection, staged)
        connection.execute("DELETE FROM focus.data_source_months WHERE Connection = $name AND Month = $month", key)
        connection.execute(
            """
            INSERT INTO focus.data_source_months
            SELECT
                x_Connection, x_Month, SubAccountId, max(SubAccountName), BillingCurrency,
                count(*), coalesce(sum(BilledCost), 0), coalesce(sum(EffectiveCost), 0)
            FROM focus.cost_and_usage
            WHERE x_Connection = $name AND x_Month = $month
            GROUP BY x_Connection, x_Month, SubAccountId, BillingCurrency
            """,
            key,
        )
        after = _totals(connection, key)
        expected = {
            t.currency or "": (t.rows, Decimal(t.billed_cost), Decimal(t.effective_cost)) for t in staged.totals
        }
        if after != expected:
            raise NotReconciled(
                f"{staged.connection} {staged.month}: the table would hold {after}, staged is {expected}; "
                "nothing was published. Materialise cost_and_usage of this month again"
            )
        replaced = Replaced(
            connection=staged.connection,
            month=staged.month,
            token=staged.token,
            rows_before=sum(rows for rows, _, _ in before.values()),
            rows_after=sum(rows for rows, _, _ in after.values()),
            billed_cost_before={currency: billed for currency, (_, billed, _) in before.items()},
            billed_cost_after={currency: billed for currency, (_, billed, _) in after.items()},
        )
        _record_load(connection, replaced, staged)
        if before:
            connection.execute(_MOVED_SERVICES, key)
        connection.execute("DROP TABLE temp.services_before")
        _set_state(connection, staged, Token=staged.token, StagedIdentity=staged.identity)
    return replaced


_SERVICES = """
    SELECT
        ServiceName, BillingCurrency, count(*) AS "Rows",
        coalesce(sum(BilledCost), 0) AS BilledCost, coalesce(sum(EffectiveCost), 0) AS EffectiveCost
    FROM focus.cost_and_usage
    WHERE x_Connection = $name AND x_Month = $month
    GROUP BY ServiceName, BillingCurrency
"""

_MOVED_SERVICES = f"""
    INSERT INTO focus.load_services
    SELECT
        $name, $month, (SELECT max(LoadNumber) FROM focus.loads),
        coalesce(former.ServiceName, present.ServiceName), coalesce(former.BillingCurrency, present.BillingCurrency),
        coalesce(former."Rows", 0), coalesce(present."Rows", 0),
        coalesce(former.BilledCost, 0), coalesce(present.BilledCost, 0),
        coalesce(former.EffectiveCost, 0), coalesce(present.EffectiveCost, 0)
    FROM temp.services_before AS former
    FULL JOIN ({_SERVICES}) AS present
        ON former.ServiceName IS NOT DISTINCT FROM present.ServiceName
        AND former.BillingCurrency IS NOT DISTINCT FROM present.BillingCurrency
    WHERE former.BilledCost IS DISTINCT FROM present.BilledCost
        OR former.EffectiveCost IS DISTINCT FROM present.EffectiveCost
"""


def record_verdict(connection: duckdb.DuckDBPyConnection, staged: StagedMonth, verdict: Path) -> None:
    """Puts the verdict on a delivery, from its JSON file, and its rejected files in the place of the month's former."""
    key = {"name": staged.connection, "month": staged.month}
    with transaction(connection):
        connection.execute("DELETE FROM focus.conformance WHERE Connection = $name AND Month = $month", key)
        connection.execute(
            f"""
            INSERT INTO focus.conformance
            SELECT
                connection, month, token, judged.rule, judged."column", judged."check", judged.level, judged.severity,
                judged.verdict, judged.violations, judged."rows", judged.gap, judged.examples
            FROM (
                SELECT connection, month, token, unnest(rules) AS judged
                FROM read_json({path_literal(verdict)}, columns = {_verdict_columns()})
            )
            """
        )
        connection.execute("DELETE FROM focus.rejected_files WHERE Connection = $name AND Month = $month", key)
        for file in staged.rejected_files:
            if file.rejection is None:
                continue
            connection.execute(
                """
                INSERT INTO focus.rejected_files
                VALUES ($name, $month, $token, $file, $bytes, $rule, $reason, $examples)
                """,
                {
                    "name": staged.connection,
                    "month": staged.month,
                    "token": staged.token,
                    "file": file.key,
                    "bytes": file.size,
                    "rule": file.rejection.rule,
                    "reason": file.rejection.reason,
                    "examples": json.dumps(file.rejection.examples),
                },
            )
        _set_state(connection, staged, JudgedToken=staged.token, JudgedIdentity=staged.identity)


def _verdict_columns() -> str:
    """How DuckDB reads the JSON of a Verdict; all but text and numbers stays JSON."""
    of_rule = ", ".join(f"{quoted(field.name)} {_SQL_TYPES.get(field.type, 'JSON')}" for field in fields(RuleVerdict))
    return f"{{connection: 'VARCHAR', month: 'VARCHAR', token: 'VARCHAR', rules: 'STRUCT({of_rule})[]'}}"


def _totals(connection: duckdb.DuckDBPyConnection, key: dict[str, str]) -> dict[str, tuple[int, Decimal, Decimal]]:
    """Currency -> rows and costs of a month, from the sums by sub-account, which are computed from the table."""
    rows = connection.execute(
        """
        SELECT coalesce(BillingCurrency, ''), CAST(sum("Rows") AS BIGINT), sum(BilledCost), sum(EffectiveCost)
        FROM focus.data_source_months WHERE Connection = $name AND Month = $month
        GROUP BY 1 ORDER BY 1
        """,
        key,
    ).fetchall()
    return {currency: (count, billed, effective) for currency, count, billed, effective in rows}


def _record_load(connection: duckdb.DuckDBPyConnection, replaced: Replaced, staged: StagedMonth) -> None:
    connection.execute(
        """
        INSERT INTO focus.loads
        SELECT
            $name, $month, $token, $identity, $at, $files, $rows_before, $rows_after,
            map(CAST($before_currencies AS VARCHAR[]), CAST($before_costs AS DECIMAL(38, 18)[])),
            map(CAST($after_currencies AS VARCHAR[]), CAST($after_costs AS DECIMAL(38, 18)[])),
            (SELECT coalesce(max(LoadNumber), 0) + 1 FROM focus.loads)
        """,
        {
            "name": replaced.connection,
            "month": replaced.month,
            "token": replaced.token,
            "identity": staged.identity,
            "at": datetime.now(UTC).replace(tzinfo=None),
            "files": len(staged.accepted_files),
            "rows_before": replaced.rows_before,
            "rows_after": replaced.rows_after,
            "before_currencies": list(replaced.billed_cost_before),
            "before_costs": list(map(str, replaced.billed_cost_before.values())),
            "after_currencies": list(replaced.billed_cost_after),
            "after_costs": list(map(str, replaced.billed_cost_after.values())),
        },
    )


def _set_state(connection: duckdb.DuckDBPyConnection, staged: StagedMonth, **values: str) -> None:
    """Sets columns of the month's row in focus.month_states, and makes the row where there is none."""
    key = {"name": staged.connection, "month": staged.month}
    of_month = "WHERE Connection = $name AND Month = $month"
    if not connection.execute(f"SELECT 1 FROM focus.month_states {of_month}", key).fetchone():
        connection.execute("INSERT INTO focus.month_states (Connection, Month) VALUES ($name, $month)", key)
    assigned = ", ".join(f"{column} = ${column}" for column in values)
    connection.execute(f"UPDATE focus.month_states SET {assigned} {of_month}", key | values)
