"""Which months of a mart are computed, when, and what they replace: in each kind of warehouse."""

from dataclasses import replace
from decimal import Decimal

import pytest

from focus_pipeline.marts.mart import Figure, Mart, MartCheck, check_mart
from focus_pipeline.warehouse.move import move_warehouse
from focus_pipeline.warehouse.warehouse import warehouse_of
from focus_pipeline_tests.marts.conftest import Table
from focus_pipeline_tests.month_files import Row, charges_of

JANUARY, FEBRUARY, MARCH = "2025-01", "2025-02", "2025-03"

SERVICES = Mart(
    name="services",
    sql="""
        SELECT x_Month AS Month, ServiceName, BillingCurrency, sum(BilledCost) AS BilledCost,
            sum(EffectiveCost) AS EffectiveCost
        FROM focus.cost_and_usage WHERE x_Month = $month GROUP BY ALL
    """,
    description="Costs of each service.",
    grain=("Month", "ServiceName", "BillingCurrency"),
    columns={"ServiceName": "The service's name."},
    covers=True,
)
CHANGES = Mart(
    name="changes",
    sql="""
        SELECT $month AS Month, sum(BilledCost) FILTER (x_Month = $month) AS Cost,
            sum(BilledCost) FILTER (x_Month = $first_month) AS CostBefore
        FROM focus.cost_and_usage WHERE x_Month BETWEEN $first_month AND $month
    """,
    description="Cost of the month and of the one before.",
    grain=("Month",),
    months_back=1,
)


def costs(month: str, *amounts: str, **more: str) -> list[Row]:
    """A charge of each amount."""
    return [
        {**row, "BilledCost": amount, "EffectiveCost": amount} | more
        for row, amount in zip(charges_of(month, len(amounts)), amounts, strict=True)
    ]


@pytest.fixture
def months(table: Table) -> Table:
    """Three months of one connection, and both marts over them, computed."""
    for month, amount in ((JANUARY, "1"), (FEBRUARY, "2"), (MARCH, "4")):
        table.publish("colo_costs", month, costs(month, amount))
    table.marts = [SERVICES, CHANGES]
    assert {one.failed for one in table.compute()} == {None}
    return table


def test_a_mart_holds_each_month_that_the_table_shows(months: Table) -> None:
    found = months.query("SELECT Month, ServiceName, BilledCost FROM marts.services ORDER BY ALL")
    assert found == [(JANUARY, "Colocation", 1), (FEBRUARY, "Colocation", 2), (MARCH, "Colocation", 4)]
    found = months.query("SELECT Month, Cost, CostBefore FROM marts.changes ORDER BY ALL")
    assert found == [(JANUARY, 1, None), (FEBRUARY, 2, 1), (MARCH, 4, 2)]
    assert months.due() == []
    assert months.compute() == []


def test_only_what_reads_a_changed_month_is_computed_again(months: Table) -> None:
    months.publish("colo_costs", FEBRUARY, costs(FEBRUARY, "3"))
    due = [("services", FEBRUARY), ("changes", FEBRUARY), ("changes", MARCH)]
    assert months.due() == due
    assert [(one.mart, one.month) for one in months.compute()] == due
    found = months.query("SELECT Month, Cost, CostBefore FROM marts.changes ORDER BY ALL")
    assert found == [(JANUARY, 1, None), (FEBRUARY, 3, 1), (MARCH, 4, 3)]
    assert months.due() == []


def test_a_month_of_another_connection_makes_the_month_due(months: Table) -> None:
    months.publish("office", MARCH, costs(MARCH, "8", ServiceName="Desks"))
    assert months.due() == [("services", MARCH), ("changes", MARCH)]
    months.compute()
    found = months.query(f"SELECT ServiceName, BilledCost FROM marts.services WHERE Month = '{MARCH}' ORDER BY ALL")
    assert found == [("Colocation", 4), ("Desks", 8)]


def test_a_delivery_that_comes_back_is_computed_again(months: Table) -> None:
    """A -> B -> A: the rows are those of before, and the load is another one."""
    for amount in ("3", "2"):
        months.publish("colo_costs", FEBRUARY, costs(FEBRUARY, amount))
        months.compute()
        assert months.query(f"SELECT BilledCost FROM marts.services WHERE Month = '{FEBRUARY}'") == [(int(amount),)]


def test_a_month_that_is_asked_for_is_computed_though_it_is_not_due(months: Table) -> None:
    computed = months.compute(FEBRUARY)
    assert [(one.mart, one.month, one.rows) for one in computed] == [
        ("services", FEBRUARY, 1),
        ("changes", FEBRUARY, 1),
    ]


def test_a_mart_that_has_changed_is_computed_of_all_months(months: Table) -> None:
    changed = replace(SERVICES, sql=SERVICES.sql.replace("sum(BilledCost)", "2 * sum(BilledCost)"), covers=False)
    months.marts = [changed, CHANGES]
    assert months.due() == [("services", month) for month in (JANUARY, FEBRUARY, MARCH)]
    assert [one.month for one in months.compute(MARCH) if one.mart == "services"] == [JANUARY, FEBRUARY, MARCH]
    assert months.query("SELECT BilledCost FROM marts.services ORDER BY Month") == [(2,), (4,), (8,)]


def test_a_mart_with_other_columns_takes_the_place_of_the_former_table(months: Table) -> None:
    wider = SERVICES.sql.replace("ServiceName,", "ServiceName, count(*) AS Charges,", 1)
    months.marts = [replace(SERVICES, sql=wider, columns={"Charges": "How many charges."})]
    assert {one.failed for one in months.compute()} == {None}
    assert months.query("SELECT Month, Charges FROM marts.services ORDER BY ALL") == [
        (JANUARY, 1),
        (FEBRUARY, 1),
        (MARCH, 1),
    ]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT $month AS Month, Nonsense FROM focus.cost_and_usage", 'Referenced column "Nonsense" not found'),
        ("SELECT $month AS Month, error('no rate') AS ServiceName FROM focus.cost_and_usage", "no rate"),
        ("SELECT $month AS Period, ServiceName FROM focus.cost_and_usage", "gives no column Month"),
        ("SELECT $month || 'x' AS Month, ServiceName FROM focus.cost_and_usage", "rows of another month"),
        ("SELECT $month AS Month, SkuId FROM focus.cost_and_usage", "gives no column ServiceName"),
    ],
)
def test_a_broken_mart_stays_as_it_was_and_stops_no_other(months: Table, sql: str, said: str) -> None:
    months.marts = [replace(SERVICES, sql=sql, grain=("Month", "ServiceName"), covers=False), CHANGES]
    months.publish("colo_costs", MARCH, costs(MARCH, "5"))
    computed = {(one.mart, one.month): one for one in months.compute()}
    broken = computed["services", MARCH].failed
    assert said in str(broken)
    assert str(broken).startswith("the mart services cannot be computed of 2025-")
    assert computed["changes", MARCH].failed is None
    assert months.query("SELECT Month, BilledCost FROM marts.services ORDER BY ALL") == [
        (JANUARY, 1),
        (FEBRUARY, 2),
        (MARCH, 4),
    ]
    assert months.query(f"SELECT Cost FROM marts.changes WHERE Month = '{MARCH}'") == [(5,)]


def test_checks_name_what_breaks_the_grain_and_the_sums(months: Table) -> None:
    months.publish("colo_costs", MARCH, costs(MARCH, "4", "6"))
    check = MartCheck("no_cost_above_5", "No cost is above 5", "FROM marts.services WHERE Month = $month AND Cost > 5")
    sql = "SELECT x_Month AS Month, ServiceName, BilledCost AS Cost, BilledCost, EffectiveCost, BillingCurrency "
    sql += "FROM focus.cost_and_usage WHERE x_Month = $month AND BilledCost > 1"
    months.marts = [replace(SERVICES, sql=sql, grain=("Month", "ServiceName"), checks=(check,))]
    by_month = {one.month: {check.name: check for check in one.checks} for one in months.compute()}
    grain, covers, own = (by_month[MARCH][name] for name in ("grain", "covers", "no_cost_above_5"))
    assert (grain.passed, grain.severity, grain.examples[0]["Rows"]) == (False, "ERROR", "2")
    assert (own.passed, own.severity, own.count) == (False, "WARN", 1)
    assert covers.passed
    missing = by_month[JANUARY]["covers"]
    assert not missing.passed
    assert Decimal(missing.examples[0]["BilledCostOfTable"]) == 1
    assert by_month[FEBRUARY]["grain"].passed


def test_a_mart_is_computed_after_those_that_it_reads_and_whenever_they_change(months: Table) -> None:
    totals = Mart(
        name="a_total",  # its name comes before theirs
        sql="SELECT $month AS Month, sum(BilledCost) AS Cost FROM marts.services "
        "WHERE Month BETWEEN $first_month AND $month",
        description="Cost of two months.",
        grain=("Month",),
        months_back=1,
        reads=("services",),
    )
    months.marts = [totals, SERVICES]
    computed = [(one.mart, one.month) for one in months.compute()]
    assert computed[-3:] == [("a_total", JANUARY), ("a_total", FEBRUARY), ("a_total", MARCH)]
    assert months.query("FROM marts.a_total ORDER BY Month") == [(JANUARY, 1), (FEBRUARY, 3), (MARCH, 6)]
    months.publish("colo_costs", FEBRUARY, costs(FEBRUARY, "20"))
    computed = [(one.mart, one.month) for one in months.compute()]
    assert computed == [("services", FEBRUARY), ("a_total", FEBRUARY), ("a_total", MARCH)]
    assert months.query("FROM marts.a_total ORDER BY Month") == [(JANUARY, 1), (FEBRUARY, 21), (MARCH, 24)]
    twice = SERVICES.sql.replace("sum(BilledCost)", "2 * sum(BilledCost)")
    months.marts = [totals, replace(SERVICES, sql=twice, covers=False)]
    months.compute()
    assert months.query("FROM marts.a_total ORDER BY Month") == [(JANUARY, 2), (FEBRUARY, 42), (MARCH, 48)]
    assert months.due() == []


def test_marts_that_read_each_other_are_refused(months: Table) -> None:
    months.marts = [replace(SERVICES, reads=("changes",)), replace(CHANGES, reads=("services",))]
    with pytest.raises(ValueError, match=r"marts read each other: (services, changes|changes, services)"):
        months.compute()


def test_figures_are_numbers_of_the_month_one_or_one_by_currency(months: Table) -> None:
    rows = Figure("Rows", "SELECT count(*) FROM marts.services WHERE Month = $month")
    by_currency = Figure(
        "Cost", "SELECT BillingCurrency, sum(BilledCost) FROM marts.services WHERE Month = $month GROUP BY ALL"
    )
    nothing = Figure("Nothing", "SELECT NULL")
    months.marts = [replace(SERVICES, figures=(rows, by_currency, nothing))]
    figures = {one.month: one.figures for one in months.compute()}
    assert figures[FEBRUARY] == {"Rows": 1.0, "Cost USD": 2.0}
    months.marts = [replace(SERVICES, figures=(Figure("Broken", "SELECT 'a', 'b'"),))]
    assert "its figure Broken cannot be worked out: could not convert string to float" in str(
        months.compute()[0].failed
    )


@pytest.mark.parametrize("cost", ["BilledCost", "EffectiveCost"])
def test_a_mart_that_says_it_covers_the_table_is_held_to_both_costs(months: Table, cost: str) -> None:
    sql = SERVICES.sql.replace(f"sum({cost}) AS", f"sum({cost}) + 0.000000000000000001 AS")
    months.marts = [replace(SERVICES, sql=sql)]
    covers = [check for one in months.compute() for check in one.checks if check.name == "covers"]
    assert [check.passed for check in covers] == [False] * 3
    assert "do not add up" in covers[0].said


def test_the_warehouse_says_what_a_mart_and_its_columns_mean(months: Table) -> None:
    found = months.query(
        "SELECT comment FROM duckdb_tables() WHERE schema_name = 'marts' AND table_name = 'services' "
        "AND database_name = current_database()"
    )
    assert found == [("Costs of each service.",)]
    months.marts = [replace(SERVICES, columns={"ServiceName": "What it is called."})]
    months.compute()
    found = months.query(
        "SELECT comment FROM duckdb_columns() WHERE schema_name = 'marts' AND column_name = 'ServiceName' "
        "AND table_name = 'services' AND database_name = current_database()"
    )
    assert found == [("What it is called.",)]


def test_months_that_the_table_has_no_more_leave_the_marts(months: Table) -> None:
    with warehouse_of(months.data_dir).writing() as connection:
        for table in ("cost_and_usage WHERE x_Month", "month_states WHERE Month", "data_source_months WHERE Month"):
            connection.execute(f"DELETE FROM focus.{table} = '{MARCH}'")
    months.compute()
    assert months.query("SELECT Month FROM marts.services ORDER BY ALL") == [(JANUARY,), (FEBRUARY,)]


def test_marts_are_computed_anew_in_a_warehouse_that_was_moved(months: Table) -> None:
    root = months.data_dir.root
    moved = replace(months.data_dir, warehouse=f"duckdb:{root / 'moved.duckdb'}")
    move_warehouse(warehouse_of(months.data_dir), warehouse_of(moved), root, lambda _: None)
    months.data_dir = moved
    assert len(months.due()) == 6
    months.compute()
    assert months.query("SELECT BilledCost FROM marts.services ORDER BY Month") == [(1,), (2,), (4,)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sql": "SELECT 1 AS Month"}, "has no $month"),
        ({"sql": "SELECT $month AS Month; SELECT 2"}, "has to be one SELECT"),
        ({"sql": "DROP TABLE marts.services"}, "has to be one SELECT"),
        ({"sql": "SELECT FROM WHERE $month"}, "cannot be read: Parser Error"),
        ({"sql": "SELECT $month AS Month, $key AS Key"}, "takes $key, which is none of its `parameters`"),
        ({"months_back": 2}, "has no $first_month"),
        ({"parameters": {"key": "team"}}, "does not use its parameter $key"),
        ({"parameters": {"month": "2025-01"}}, "the pipeline gives it"),
        ({"checks": (MartCheck("grain", "", "SELECT 1"),)}, "two checks named 'grain'"),
        ({"checks": (MartCheck("own", "", "SELECT $year"),)}, "takes $year; it has $month alone"),
        ({"figures": (Figure("Rows", "SELECT $year"),)}, "takes $year; it has $month alone"),
    ],
)
def test_a_mart_that_could_not_be_computed_is_refused(change: dict, said: str) -> None:
    with pytest.raises(ValueError, match="services") as refused:
        check_mart(replace(SERVICES, **change))
    assert said in str(refused.value)
