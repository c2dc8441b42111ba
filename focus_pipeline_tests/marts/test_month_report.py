"""The report of a month says what the marts hold, in words that are true, on a page that needs nothing else."""

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from focus_pipeline.marts.mart import Mart
from focus_pipeline.month_report.report import NothingToReport, ReportBroken, page_of, report_of, reported_month
from focus_pipeline.month_report.writing import write_month
from focus_pipeline.pipeline.status import MonthStatus
from focus_pipeline.warehouse.warehouse import warehouse_of
from focus_pipeline_tests.marts.conftest import Table
from focus_pipeline_tests.month_files import Row, focus_row


def bill(month: str, **costs: str) -> list[Row]:
    """A charge of each service."""
    start, end = f"{month}-01T00:00:00Z", f"2025-0{int(month[-1]) + 1}-01T00:00:00Z"
    periods = {
        f"{kind}Period{side}": at for kind in ("Billing", "Charge") for side, at in (("Start", start), ("End", end))
    }
    return [
        focus_row(
            **periods,
            ServiceName=name,
            BilledCost=cost,
            EffectiveCost=cost,
            ListCost=cost,
            ResourceId=name,
            SkuPriceId="price",
        )
        for name, cost in costs.items()
    ]


@pytest.fixture
def table(make_table: Callable[[], Table], shipped_marts: list[Mart]) -> Table:
    made = make_table()
    for month, costs in {
        "2025-02": {"S3": "100", "EC2": "50", "Old": "7"},
        "2025-03": {"S3": "125", "EC2": "30", "New": "9"},
    }.items():
        # Part of EC2 has another price, and does not move.
        still = [row | {"SkuPriceId": "still", "ResourceId": "still"} for row in bill(month, EC2="30")]
        made.publish("first", month, bill(month, **costs) + still)
    made.marts = shipped_marts
    made.compute()
    return made


def text_of(page: str) -> str:
    class Texts(HTMLParser):
        said: list[str] = []  # noqa: RUF012

        def handle_data(self, data: str) -> None:
            self.said.append(data)

    parser = Texts()
    parser.said = []
    parser.feed(page)
    return " ".join(" ".join(parser.said).split())


def test_it_says_what_the_month_costs_and_what_moved(table: Table, shipped_marts: list[Mart]) -> None:
    statuses = [MonthStatus("colo", "2025-03", "rejected", "BilledCost-C-001-M: BilledCost is null")]
    with warehouse_of(table.data_dir).reading() as connection:
        assert reported_month(connection) == "2025-03"
        page = page_of(report_of(connection, "2025-03", shipped_marts, statuses))
    said = text_of(page)
    assert "194.00 USD" in said
    assert "+7.00 (+4 %) against 2025-02" in said
    assert "colo 2025-03 is rejected : BilledCost-C-001-M: BilledCost is null" in said
    assert re.search(r"S3 of \S+ rose by 25\.00 USD \(\+25 %\) to 125\.00 USD", said)
    assert re.search(r"EC2 of \S+ fell by 20\.00 USD \(-25 %\) to 60\.00 USD", said)
    assert re.search(r"New of \S+ is new: 9\.00 USD\.", said)
    assert re.search(r"Old of \S+ is gone; it was 7\.00 USD\.", said)
    assert page.count("<svg") > 5


def test_it_needs_no_network_and_runs_nothing(table: Table, shipped_marts: list[Mart]) -> None:
    name = "<img src=x onerror=alert(1)>"
    table.publish("first", "2025-03", bill("2025-03", **{name: "5"}))
    table.compute()
    path = write_month("2025-03", shipped_marts, ["first"], table.data_dir)
    page = path.read_text("utf-8")
    assert path.name == "2025-03.html"
    assert not re.search(r"<(script|link|img|iframe)\b", page)
    assert not re.search(r"(?:src|href)=\"(?!#)", page)
    assert "url(http" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_it_has_budgets_and_marks_those_that_are_exceeded(table: Table, shipped_marts: list[Mart]) -> None:
    listed = [
        '{"name": "All of it", "amount": 100, "currency": "USD"}',
        '{"name": "Far", "amount": 1e6, "currency": "USD"}',
    ]
    table.marts = [
        replace(mart, parameters={"budgets": listed}) if mart.name == "budgets" else mart for mart in shipped_marts
    ]
    table.compute()
    page = write_month("2025-03", table.marts, ["first"], table.data_dir).read_text("utf-8")
    said = text_of(page)
    assert "All of it month 100.00 194.00" in said
    assert "194 %" in said
    assert page.count('class="n state"') == 1


def test_a_month_that_is_not_there_is_named(table: Table, shipped_marts: list[Mart]) -> None:
    with pytest.raises(NothingToReport, match=r"the marts have nothing of 2024-01; load and publish the month"):
        write_month("2024-01", shipped_marts, [], table.data_dir)


def test_a_mart_that_somebody_has_changed_is_named_by_the_column_that_the_report_misses(
    table: Table, shipped_marts: list[Mart]
) -> None:
    def without_category(mart: Mart) -> Mart:
        lacking = [name for name in mart.columns if name != "ServiceCategory"]
        sql = f"SELECT * EXCLUDE (ServiceCategory) FROM ({mart.sql})"
        grain = tuple(name for name in mart.grain if name in lacking)
        return replace(mart, sql=sql, grain=grain, columns={name: mart.columns[name] for name in lacking})

    table.marts = [without_category(mart) if mart.name == "monthly_costs" else mart for mart in shipped_marts]
    table.compute()
    with pytest.raises(ReportBroken, match=r"the report of 2025-03 cannot be written, .*ServiceCategory"):
        write_month("2025-03", table.marts, ["first"], table.data_dir)


def test_before_anything_is_published_there_is_nothing_to_report(
    make_table: Callable[[], Table], shipped_marts: list[Mart]
) -> None:
    with pytest.raises(NothingToReport, match="nothing is published yet"):
        write_month(None, shipped_marts, [], make_table().data_dir)


def test_it_has_a_part_for_each_currency(table: Table, shipped_marts: list[Mart]) -> None:
    table.publish("second", "2025-03", [row | {"BillingCurrency": "EUR"} for row in bill("2025-03", S3="3")])
    table.compute()
    said = text_of(write_month(None, shipped_marts, [], table.data_dir).read_text("utf-8"))
    assert "3.00 EUR" in said
    assert "nothing to compare in 2025-02" in said
    assert "197.00" not in said, "currencies are never added up"
    _, euros = said.split("EffectiveCost by provider, EUR")
    assert "EC2" not in euros, "EUR has what was paid in EUR alone"
