"""What is told about the unified table."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from focus_pipeline.demo.summary import (
    TOP_SERVICES,
    DemoSummary,
    MonthCosts,
    ProviderCosts,
    ServiceCosts,
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
