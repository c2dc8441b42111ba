"""How each month stands, told from the records and the warehouse."""

from decimal import Decimal
from pathlib import Path

import pytest

from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline.pipeline.month import ingest_month
from focus_pipeline.pipeline.status import MonthStatus, status_of
from focus_pipeline.pipeline.status_grid import drawn_grid, in_cells, worst_first
from focus_pipeline.storage import DataDir
from focus_pipeline_tests.month_files import Row, charges_of, write_csv
from focus_pipeline_tests.pictures.test_drawing import texts
from focus_pipeline_tests.warehouses import publish


class Bills:
    """What a connection delivers, and what is loaded of it."""

    def __init__(self, folder: Path, compiled_rules: Path) -> None:
        self.data_dir = DataDir(folder / "data", cache=compiled_rules)
        self.delivered = folder / "delivered"
        self.delivered.mkdir()

    def deliver(self, month: str, rows: list[Row]) -> None:
        (self.delivered / month).mkdir(exist_ok=True)
        write_csv(self.delivered / month / "bill.csv", rows)

    def load(self, month: str, *, accept_loss: str = "yes", published: bool = True) -> None:
        connection = MonthFolders("colo", self.delivered.as_uri(), month_rule=False)
        ingest_month(connection, month, self.data_dir, accept_loss=accept_loss)
        if published:
            publish(month, self.data_dir)

    def status(self, last_month: str = "2025-03") -> dict[str, MonthStatus]:
        return {one.month: one for one in status_of(["colo"], self.data_dir, last_month)}


@pytest.fixture
def bills(tmp_path: Path, compiled_rules: Path) -> Bills:
    return Bills(tmp_path, compiled_rules)


def test_before_anything_was_fetched_there_is_nothing(bills: Bills) -> None:
    assert bills.status() == {}


def test_a_loaded_month_has_its_rows_costs_and_conformance(bills: Bills) -> None:
    bills.deliver("2025-01", charges_of("2025-01", 3))
    bills.load("2025-01")
    one = bills.status()["2025-01"]
    assert (one.state, one.rows, one.rows_before) == ("loaded", 3, 0)
    assert one.cost == (("USD", Decimal("3.75")),)
    assert 0.9 < one.score <= 1
    bills.deliver("2025-01", charges_of("2025-01", 4))
    bills.load("2025-01")
    one = bills.status()["2025-01"]
    assert (one.rows_before, one.rows, one.cost_before) == (3, 4, (("USD", Decimal("3.75")),))
    assert in_cells(one)["rows"] == "3 → 4"
    assert in_cells(one)["BilledCost"] == "3.75 USD → 5.00 USD"


def test_what_is_not_loaded_says_why(bills: Bills) -> None:
    for month in ("2025-01", "2025-02"):
        bills.deliver(month, charges_of(month, 3))
    bills.load("2025-01")
    bills.load("2025-02", published=False)
    assert bills.status()["2025-02"].state == "pending"
    bills.load("2025-02")
    bills.deliver("2025-02", charges_of("2025-02", 4))
    bills.load("2025-02", published=False)
    assert (bills.status()["2025-02"].state, bills.status()["2025-02"].rows) == ("pending", 3)
    bills.load("2025-02")
    bills.deliver("2025-01", [row | {"BilledCost": ""} for row in charges_of("2025-01", 3)])
    bills.load("2025-01")
    bills.deliver("2025-02", charges_of("2025-02", 1))
    bills.load("2025-02", accept_loss="")
    found = bills.status()
    rejected, held = found["2025-01"], found["2025-02"]
    assert rejected.state == "rejected"
    assert "BilledCost" in rejected.why
    assert rejected.rows == 3, "the table keeps the former delivery"
    assert held.state == "held back"
    assert "2025-02" in held.why or "rows" in held.why
    assert found["2025-03"].state == "missing"
    assert [one.state for one in worst_first(list(found.values()))] == ["rejected", "held back", "missing"]


def test_a_month_that_was_emptied_is_no_missing_one(bills: Bills) -> None:
    bills.deliver("2025-01", charges_of("2025-01", 2))
    bills.deliver("2025-02", charges_of("2025-02", 2))
    bills.load("2025-01")
    bills.load("2025-02")
    (bills.delivered / "2025-01" / "bill.csv").unlink()
    bills.load("2025-01")
    one = bills.status()["2025-01"]
    assert (one.state, one.rows, one.rows_before) == ("emptied", 0, 2)


def test_the_grid_shows_each_state_and_the_newest_months(bills: Bills) -> None:
    states = ["loaded", "emptied", "pending", "held back", "rejected", "missing"]
    statuses = [MonthStatus("colo", f"2025-{number:02d}", state, score=0.987) for number, state in enumerate(states, 1)]
    old = [MonthStatus("colo", f"2022-{number:02d}", "loaded") for number in range(1, 13)]
    old += [MonthStatus("colo", f"2023-{number:02d}", "loaded") for number in range(1, 13)]
    said = texts(drawn_grid(old + statuses))
    assert {"98", "0", "…", "‖", "×", "–", "colo", "2025-06", "×  rejected"} <= set(said)
    assert "2022-01" not in said
