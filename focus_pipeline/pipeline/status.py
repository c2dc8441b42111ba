"""How every month of every connection stands: loaded, rejected, held back, pending, emptied or missing."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from decimal import Decimal

import duckdb

from focus_pipeline.months import current_month, months_back, months_between
from focus_pipeline.records.accepted import accepted_delivery, held_back
from focus_pipeline.records.landed import current_token, held_months
from focus_pipeline.records.verdicts import judged_delivery, recorded_verdict, verdict_path
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse.warehouse import Warehouse, warehouse_of

LOADED, EMPTIED, PENDING, HELD_BACK, REJECTED, MISSING = (
    "loaded",
    "emptied",
    "pending",
    "held back",
    "rejected",
    "missing",
)

STATES = {
    LOADED: "the table shows the latest delivery",
    EMPTIED: "the latest delivery has no rows, and the table none either",
    PENDING: "a delivery was fetched and is not in the table yet",
    HELD_BACK: "the latest delivery would take too much away and waits",
    REJECTED: "the latest delivery breaks the contract; the table keeps the former one",
    MISSING: "nothing was ever fetched, though later and earlier months were",
}


@dataclass(frozen=True)
class MonthStatus:
    """How a month of a connection stands.

    why: of a month that is rejected or held back. rows, cost: what the table shows, BilledCost by currency; rows is
    None if it shows nothing. cost_before: before the last load. score: share of the judged rules that are kept, 0 to 1;
    None where none was judged.
    """

    connection: str
    month: str
    state: str
    why: str = ""
    rows: int | None = None
    rows_before: int | None = None
    cost: tuple[tuple[str, Decimal], ...] = ()
    cost_before: tuple[tuple[str, Decimal], ...] = ()
    score: float | None = None


@dataclass(frozen=True)
class _Loaded:
    token: str
    rows: int
    rows_before: int
    cost: tuple[tuple[str, Decimal], ...]
    cost_before: tuple[tuple[str, Decimal], ...]
    score: float | None


def statuses_now(connections: Collection[str], data_dir: DataDir) -> list[MonthStatus]:
    """status_of() up to the newest month that is over."""
    return status_of(connections, data_dir, months_back(current_month(), 1)[0])


def status_of(connections: Collection[str], data_dir: DataDir, last_month: str) -> list[MonthStatus]:
    """Every month of each connection, from the first that was fetched of it to `last_month` (`YYYY-MM`), in order.

    Raises WarehouseUnusable and MachineFault. A warehouse that is not there yet shows nothing.
    """
    loaded = _loaded(warehouse_of(data_dir))
    found = []
    for name in sorted(connections):
        held = held_months(name, data_dir)
        of_connection = {month for connection, month in loaded if connection == name}
        if first := min([*held, *of_connection], default=None):
            months = months_between(first, max(last_month, *held, *of_connection))
            found += [_status(name, month, loaded.get((name, month)), data_dir) for month in months]
    return found


def _status(name: str, month: str, loaded: _Loaded | None, data_dir: DataDir) -> MonthStatus:
    token = current_token(name, month, data_dir)
    state, why = _state(name, month, token, loaded, data_dir)
    if loaded is None:
        return MonthStatus(name, month, state, why)
    return MonthStatus(
        name, month, state, why, loaded.rows, loaded.rows_before, loaded.cost, loaded.cost_before, loaded.score
    )


def _state(name: str, month: str, token: str | None, loaded: _Loaded | None, data_dir: DataDir) -> tuple[str, str]:
    if token is None:
        return (MISSING, "") if loaded is None else (LOADED if loaded.rows else EMPTIED, "")
    if sentence := held_back(name, month, token, data_dir):
        return HELD_BACK, sentence
    judged = judged_delivery(name, month, data_dir)
    if judged is not None and judged.token == token and not judged.accepted:
        return REJECTED, _why(name, month, token, data_dir) or ", ".join(judged.failing)
    accepted = accepted_delivery(name, month, data_dir)
    if loaded is None or accepted is None or accepted.token != token or loaded.token != token:
        return PENDING, ""
    return (LOADED if loaded.rows else EMPTIED), ""


def _why(name: str, month: str, token: str, data_dir: DataDir) -> str:
    """The first rule that rejects the delivery, and the number of others."""
    verdict = recorded_verdict(verdict_path(name, month, token, data_dir))
    if verdict is None:
        return ""
    blocking = [failure for check in verdict.checks for failure in check.failures if failure.blocks]
    if not blocking:
        return next((check.summary for check in verdict.checks if not check.passed), "")
    first = blocking[0]
    more = f"; {len(blocking) - 1:,} more rules" if len(blocking) > 1 else ""
    return f"{first.rule}: {first.sentence}{more}"


def _loaded(warehouse: Warehouse) -> dict[tuple[str, str], _Loaded]:
    """Connection and month -> what the table shows of it."""
    try:
        with warehouse.reading() as connection:
            rows = connection.execute(
                """
                WITH last AS (
                    SELECT Connection, Month, RowsAfter, RowsBefore, BilledCostAfter, BilledCostBefore
                    FROM focus.loads
                    QUALIFY row_number() OVER (PARTITION BY Connection, Month ORDER BY LoadNumber DESC) = 1
                ),
                judged AS (
                    SELECT
                        Connection,
                        Month,
                        count(*) FILTER (Verdict = 'passed') / count(*) AS score
                    FROM focus.conformance
                    WHERE Verdict NOT IN ('not applicable', 'note')
                    GROUP BY Connection, Month
                )
                SELECT
                    Connection, Month, Token, RowsAfter, RowsBefore,
                    map_entries(BilledCostAfter), map_entries(BilledCostBefore), score
                FROM focus.month_states
                JOIN last USING (Connection, Month)
                LEFT JOIN judged USING (Connection, Month)
                WHERE Token IS NOT NULL
                """
            ).fetchall()
    except (FileNotFoundError, duckdb.CatalogException):
        return {}
    return {
        (name, month): _Loaded(token, after, before, _costs(billed_after), _costs(billed_before), score)
        for name, month, token, after, before, billed_after, billed_before, score in rows
    }


def _costs(entries: Sequence[dict]) -> tuple[tuple[str, Decimal], ...]:
    return tuple(sorted((entry["key"] or "", entry["value"]) for entry in entries or ()))
