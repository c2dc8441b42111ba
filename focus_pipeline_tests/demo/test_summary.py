"""What is told about the unified table."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from focus_pipeline.demo.summary import (
    TOP_SERVICES,
    AICosts,
    DemoSummary,
    MonthCosts,
    Mover,
    ProviderCosts,
    ServiceCosts,
    ai_costs,
    largest_movers,
    summarise,
)
from focus_pipeline_tests.warehouses import warehouse_at


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with warehouse_at(tmp_path / "warehouse.duckdb").writing() as connection:
        yield connection


def _add(warehouse: duckdb.DuckDBPyConnection, *rows: tuple) -> None:
    warehouse.executemany(
        """
        INSERT INTO focus.cost_and_usage
            (x_Month, ServiceProviderName, ServiceName, BillingCurrency, BilledCost, EffectiveCost)
        VALUES (?, ?, ?, ?, ?, ?)
        """,
        rows,
    )


def test_nothing_is_published_yet(warehouse: duckdb.DuckDBPyConnection) -> None:
    assert summarise(warehouse) == DemoSummary([], [], [])


def test_costs_are_exact_and_apart_by_currency(warehouse: duckdb.DuckDBPyConnection) -> None:
    tiny = Decimal("0.000000000000000001")
    _add(
        warehouse,
        ("2025-01", "Cloud", "Compute", "USD", Decimal("0.1"), Decimal("0.2")),
        ("2025-01", "Cloud", "Compute", "USD", Decimal("0.2"), tiny),
        ("2025-02", "Cloud", "Compute", "EUR", Decimal("-5"), Decimal("7")),
        ("2025-02", None, "Desk", "EUR", Decimal("1"), Decimal("1")),
    )
    assert summarise(warehouse) == DemoSummary(
        providers=[
            ProviderCosts("Cloud", "EUR", 1, Decimal("-5"), Decimal("7")),
            ProviderCosts("Cloud", "USD", 2, Decimal("0.3"), Decimal("0.2") + tiny),
            ProviderCosts(None, "EUR", 1, Decimal("1"), Decimal("1")),
        ],
        months=[
            MonthCosts("2025-01", "USD", 2, Decimal("0.3"), Decimal("0.2") + tiny),
            MonthCosts("2025-02", "EUR", 2, Decimal("-4"), Decimal("8")),
        ],
        services=[
            ServiceCosts("Cloud", "Compute", "EUR", 1, Decimal("-5"), Decimal("7")),
            ServiceCosts(None, "Desk", "EUR", 1, Decimal("1"), Decimal("1")),
            ServiceCosts("Cloud", "Compute", "USD", 2, Decimal("0.3"), Decimal("0.2") + tiny),
        ],
    )


def test_the_largest_services_come_first(warehouse: duckdb.DuckDBPyConnection) -> None:
    _add(warehouse, *[("2025-01", "Cloud", f"Service {n}", "USD", Decimal(0), Decimal(n)) for n in range(15)])
    services = summarise(warehouse).services
    assert [row.service for row in services] == [f"Service {n}" for n in range(14, 14 - TOP_SERVICES, -1)]


def test_the_services_that_moved_most_are_summed_over_their_prices(warehouse: duckdb.DuckDBPyConnection) -> None:
    warehouse.execute(
        "CREATE TABLE marts.movers (Month VARCHAR, Provider VARCHAR, ServiceName VARCHAR, SubAccountId VARCHAR, "
        "BillingCurrency VARCHAR, Change DECIMAL(38, 18), QuantityChange DECIMAL(38, 18), PriceChange DECIMAL(38, 18))"
    )
    warehouse.executemany(
        "INSERT INTO marts.movers VALUES (?, 'Cloud', ?, '1', 'USD', ?, ?, ?)",
        [
            ("2025-02", "Compute", 5, 3, 2),
            ("2025-02", "Compute", -15, -15, 0),
            ("2025-02", "Support", 7, None, None),
            ("2025-02", "Storage", -1, -1, 0),
            ("2025-02", "Queue", "0.5", "0.5", 0),
            ("2025-01", "Compute", 99, 99, 0),
        ],
    )
    assert largest_movers(warehouse, "2025-02") == [
        Mover("Cloud", "Compute", "1", "USD", Decimal(-10), Decimal(-12), Decimal(2)),
        Mover("Cloud", "Support", "1", "USD", Decimal(7), None, None),
        Mover("Cloud", "Storage", "1", "USD", Decimal(-1), Decimal(-1), Decimal(0)),
    ]


def test_ai_costs_are_summed_over_months_and_sub_accounts(warehouse: duckdb.DuckDBPyConnection) -> None:
    warehouse.execute(
        "CREATE TABLE marts.ai_costs (Month VARCHAR, Provider VARCHAR, Model VARCHAR, Direction VARCHAR, Unit VARCHAR, "
        "Quantity DECIMAL(38, 18), BillingCurrency VARCHAR, EffectiveCost DECIMAL(38, 18))"
    )
    warehouse.executemany(
        "INSERT INTO marts.ai_costs VALUES (?, 'Cloud', ?, ?, ?, ?, 'USD', ?)",
        [
            ("2025-01", "nova", "input", "tokens", 1_500_000, 3),
            ("2025-02", "nova", "input", "tokens", 500_000, 1),
            ("2025-02", "nova", "output", "tokens", 0, 2),
            ("2025-02", None, "not usage (credit)", None, None, -1),
        ],
    )
    assert ai_costs(warehouse) == [
        AICosts("Cloud", "nova", "input", "tokens", Decimal(2_000_000), "USD", Decimal(4), 2.0),
        AICosts("Cloud", "nova", "output", "tokens", Decimal(0), "USD", Decimal(2), None),
        AICosts("Cloud", None, "not usage (credit)", None, None, "USD", Decimal(-1), None),
    ]
