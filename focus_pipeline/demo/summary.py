"""What the unified table holds, and what marts say of it. Costs are exact and never added up over currencies."""

from dataclasses import dataclass
from decimal import Decimal

import duckdb

TOP_SERVICES = 10
TOP_MOVERS = 3


@dataclass(frozen=True)
class ProviderCosts:
    """Costs are in `currency` (ISO 4217). provider: ServiceProviderName, None where rows have none."""

    provider: str | None
    currency: str
    rows: int
    billed_cost: Decimal
    effective_cost: Decimal


@dataclass(frozen=True)
class MonthCosts:
    """month: `YYYY-MM`, under which the rows were delivered. Costs are in `currency`."""

    month: str
    currency: str
    rows: int
    billed_cost: Decimal
    effective_cost: Decimal


@dataclass(frozen=True)
class ServiceCosts:
    """Costs are in `currency`. service: ServiceName, None where rows have none."""

    provider: str | None
    service: str | None
    currency: str
    rows: int
    billed_cost: Decimal
    effective_cost: Decimal


@dataclass(frozen=True)
class DemoSummary:
    """
    providers: by name and currency. months: oldest first, by currency.
    services: the TOP_SERVICES with the largest EffectiveCost, as a number: amounts in different currencies are listed
        side by side, not converted.
    """

    providers: list[ProviderCosts]
    months: list[MonthCosts]
    services: list[ServiceCosts]


@dataclass(frozen=True)
class Mover:
    """A service of one sub-account whose EffectiveCost changed from the month before. Costs are in `currency`.

    quantity_change, price_change: the parts of `change`, of usage that can be split; None where nothing of it can.
    """

    provider: str | None
    service: str | None
    sub_account: str | None
    currency: str
    change: Decimal
    quantity_change: Decimal | None
    price_change: Decimal | None


@dataclass(frozen=True)
class AICosts:
    """A model and what was counted of it. quantity: in `unit`. per_million: EffectiveCost of a million tokens."""

    provider: str | None
    model: str | None
    direction: str
    unit: str | None
    quantity: Decimal | None
    currency: str
    effective_cost: Decimal
    per_million: float | None


def ai_costs(warehouse: duckdb.DuckDBPyConnection) -> list[AICosts]:
    """What marts.ai_costs has of all months, by model and direction, the dearest first in each currency."""
    rows = warehouse.execute(
        """
        SELECT
            Provider, Model, Direction, Unit, sum(Quantity), BillingCurrency, sum(EffectiveCost),
            CASE WHEN Unit = 'tokens' AND sum(Quantity) <> 0
                THEN CAST(sum(EffectiveCost) AS DOUBLE) / CAST(sum(Quantity) AS DOUBLE) * 1000000 END
        FROM marts.ai_costs
        GROUP BY Provider, Model, Direction, Unit, BillingCurrency
        ORDER BY BillingCurrency, sum(EffectiveCost) DESC, Provider, Model, Direction, Unit
        """
    ).fetchall()
    return [AICosts(*row) for row in rows]


def largest_movers(warehouse: duckdb.DuckDBPyConnection, month: str) -> list[Mover]:
    """The TOP_MOVERS services of marts.movers that changed most, by the number: currencies are not converted."""
    rows = warehouse.execute(
        """
        SELECT
            Provider, ServiceName, SubAccountId, BillingCurrency, sum(Change), sum(QuantityChange), sum(PriceChange)
        FROM marts.movers
        WHERE Month = $month
        GROUP BY Provider, ServiceName, SubAccountId, BillingCurrency
        ORDER BY abs(sum(Change)) DESC, Provider, ServiceName, SubAccountId, BillingCurrency
        LIMIT $count
        """,
        {"month": month, "count": TOP_MOVERS},
    ).fetchall()
    return [Mover(*row) for row in rows]


def summarise(warehouse: duckdb.DuckDBPyConnection) -> DemoSummary:
    """Reads focus.cost_and_usage of an open warehouse. Every list is empty while nothing is published."""
    services = _costs_by(warehouse, "ServiceProviderName, ServiceName, BillingCurrency")
    largest = sorted(services, key=lambda row: row[-1], reverse=True)[:TOP_SERVICES]
    return DemoSummary(
        providers=[ProviderCosts(*row) for row in _costs_by(warehouse, "ServiceProviderName, BillingCurrency")],
        months=[MonthCosts(*row) for row in _costs_by(warehouse, "x_Month, BillingCurrency")],
        services=[ServiceCosts(*row) for row in largest],
    )


def _costs_by(warehouse: duckdb.DuckDBPyConnection, columns: str) -> list[tuple]:
    """One row for every combination of `columns`, in their order, with rows, BilledCost and EffectiveCost behind."""
    return warehouse.execute(
        f"""
        SELECT {columns}, count(*), sum(BilledCost), sum(EffectiveCost)
        FROM focus.cost_and_usage
        GROUP BY {columns}
        ORDER BY {columns}
        """
    ).fetchall()
