"""A month that moves, falls or keeps fewer rules is told apart from one that does what months do."""

from dataclasses import replace
from decimal import Decimal

import pytest

from focus_pipeline.limits import Limits
from focus_pipeline.pipeline.month_checks import CHECKS, suspicious
from focus_pipeline.pipeline.status import MonthStatus

RUNNING = "2025-03"


def month(
    of: str, before: str, after: str, *, rows: tuple[int, int] = (10, 10), currency: str = "USD", **more: object
) -> MonthStatus:
    costs = {"cost_before": ((currency, Decimal(before)),), "cost": ((currency, Decimal(after)),)}
    return MonthStatus("aws_main", of, "loaded", "", rows[1], rows[0], **costs, **more)


def found(*statuses: MonthStatus, of: str = RUNNING) -> dict[str, list[str]]:
    by_month = {(one.connection, one.month): one for one in statuses}
    checks = suspicious(of, RUNNING, by_month)
    assert checks.keys() == CHECKS.keys()
    return {check: list(said) for check, said in checks.items() if said}


def test_a_month_that_is_over_and_moves_by_more_than_its_share_is_named() -> None:
    said = found(month("2025-02", "1000", "1060"), of="2025-02")
    assert said == {
        "settled": ["aws_main 2025-02 is over, and its last load moved BilledCost from 1,000.00 to 1,060.00 USD"]
    }
    assert "settled" in found(month("2025-02", "1000", "900"), of="2025-02")
    one = month("2025-02", "1000", "1060")
    wide = suspicious("2025-02", RUNNING, {("aws_main", "2025-02"): one}, Limits(restatement=0.1))
    assert not wide["settled"]


@pytest.mark.parametrize(
    "one",
    [
        month("2025-02", "1000", "1050"),
        month("2025-02", "1000", "951"),
        month("2025-02", "0", "5000", rows=(0, 10)),  # its first load
        MonthStatus("aws_main", "2025-02", "missing"),
    ],
)
def test_small_restatements_and_first_loads_are_well(one: MonthStatus) -> None:
    assert found(one, of="2025-02") == {}


def test_a_currency_that_goes_is_a_move() -> None:
    one = replace(month("2025-02", "10", "10"), cost_before=(("EUR", Decimal(5)), ("USD", Decimal(10))))
    assert "from 5.00 to 0.00 EUR" in found(one, of="2025-02")["settled"][0]


def test_a_running_month_that_falls_is_named_and_one_that_grows_is_not() -> None:
    (said,) = found(month(RUNNING, "1000", "990", rows=(10, 9)))["grows"]
    assert said.endswith("is running, and its last load fell from 1,000.00 to 990.00 USD and from 10 to 9 rows")
    assert found(month(RUNNING, "1000", "5000")) == {}
    assert found(month("2025-02", "1000", "999"), of="2025-02") == {}


def test_a_connection_that_keeps_fewer_rules_than_the_month_before_is_named() -> None:
    february, march = month("2025-02", "1", "1", score=0.98), month(RUNNING, "1", "1", score=0.93)
    (said,) = found(february, march)["conformance_kept"]
    assert said.startswith("aws_main keeps 93.0% of the rules in 2025-03, and kept 98.0% in 2025-02; ")
    assert found(replace(february, score=0.94), march) == {}
    assert found(march) == {}
