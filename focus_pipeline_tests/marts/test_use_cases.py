"""The queries of docs/use-cases.md: each runs, gives rows and no wrong answer, and none has a known fault."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path

import duckdb
import pytest
import sqlglot
from sqlglot import exp

from focus_pipeline.marts.mart import Mart
from focus_pipeline.warehouse.schema import VERSION_VIEWS
from focus_pipeline.warehouse.warehouse import warehouse_of
from focus_pipeline_tests.marts.conftest import DEMO_MONTHS, Table
from focus_pipeline_tests.marts.use_case_answers import USE_CASE_ANSWERS
from focus_pipeline_tests.month_files import Row, focus_row

PAGE = Path(__file__).parents[2] / "docs" / "use-cases.md"
MONTH = DEMO_MONTHS[-1]


@dataclass(frozen=True)
class UseCase:
    """no_rows: why its query gives none of the demo's data, if the page says that it does not."""

    question: str
    sql: str
    no_rows: str | None


@cache
def page() -> tuple[str, tuple[UseCase, ...]]:
    """The SQL that the page asks its reader to run first, and its questions."""
    head, *questions = re.split(r"^### ", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    (first,) = _blocks(head)
    return first, tuple(map(_use_case, questions))


def _use_case(text: str) -> UseCase:
    (sql,) = _blocks(text)
    said = re.search(r"^\*\*No rows in the demo:\*\* (.+)$", text, re.MULTILINE)
    return UseCase(text.splitlines()[0], sql, said[1] if said else None)


def _blocks(text: str) -> list[str]:
    return re.findall(r"^```sql\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


USE_CASES = page()[1]
of_each = pytest.mark.parametrize("use_case", USE_CASES, ids=lambda use_case: use_case.question)


@pytest.fixture(scope="module")
def warehouse(demo_table: Table) -> Iterator[duckdb.DuckDBPyConnection]:
    """The demo's warehouse, after the SQL at the head of the page."""
    with warehouse_of(demo_table.data_dir).reading() as connection:
        connection.execute(page()[0])
        yield connection


def rows_of(connection: duckdb.DuckDBPyConnection, sql: str) -> list[Row]:
    found = connection.execute(sql)
    names = [column[0] for column in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def unlimited(sql: str) -> str:
    return re.sub(r"\nLIMIT \d+;\n\Z", ";\n", sql)


def test_the_page_asks_the_questions_of_the_library_once_each() -> None:
    questions = [use_case.question for use_case in USE_CASES]
    assert len(questions) == len(set(questions)) == 59
    assert len([use_case for use_case in USE_CASES if use_case.no_rows]) <= 5
    assert USE_CASE_ANSWERS.keys() <= set(questions)


@pytest.mark.slow
@of_each
def test_a_query_gives_rows_of_the_demos_data_unless_the_page_says_why_not(
    use_case: UseCase, warehouse: duckdb.DuckDBPyConnection
) -> None:
    assert bool(warehouse.execute(use_case.sql).fetchall()) == (use_case.no_rows is None)


@pytest.mark.slow
@pytest.mark.parametrize("question", USE_CASE_ANSWERS)
def test_a_query_gives_the_answer_that_is_worked_out_by_hand(
    question: str, demo_table: Table, demo_rows: list[Row], warehouse: duckdb.DuckDBPyConnection
) -> None:
    (use_case,) = [one for one in USE_CASES if one.question == question]
    found = rows_of(warehouse, unlimited(use_case.sql))
    expected = USE_CASE_ANSWERS[question](demo_rows, MONTH)
    assert expected
    assert all(row.keys() == found[0].keys() for row in expected)
    # What tells the rows apart: all that is compared exactly.
    inexact = {name for row in expected for name, value in row.items() if isinstance(value, Fraction)}
    exact = [name for name in found[0] if name not in inexact]
    by_values = [{tuple(row[name] for name in exact): row for row in rows} for rows in (found, expected)]
    assert by_values[0].keys() == by_values[1].keys()
    assert len(by_values[0]) == len(found) == len(expected)
    for values, row in by_values[1].items():
        for name in inexact:
            given, value = by_values[0][values][name], row[name]
            assert (given is None) == (value is None), (values, name)
            if value is not None:
                assert float(given) == pytest.approx(float(value), rel=1e-9, abs=1e-9), (values, name)


@pytest.fixture(scope="module")
def demo_rows(demo_table: Table) -> list[Row]:
    return demo_table.staged_rows()


@pytest.mark.slow
@of_each
def test_the_order_of_the_rows_is_never_left_to_chance(use_case: UseCase, warehouse: duckdb.DuckDBPyConnection) -> None:
    """No two rows are equal in what the query orders them by, even where two amounts are."""
    rows = rows_of(warehouse, unlimited(use_case.sql))
    keys = [tuple(key(row) for key in order_of(use_case.sql)) for row in rows]
    assert len(set(keys)) == len(keys)


def order_of(sql: str) -> list[Callable[[Row], object]]:
    """What orders the rows of a query, as functions of a row. Amounts come first and DESC, and are left out here."""
    query = sqlglot.parse_one(sql, read="duckdb")
    order = query.args["order"].expressions
    if order[0].this.sql() == "ALL":
        return [lambda row: tuple(row.values())]
    return [_key_of(ordered) for ordered in order if not ordered.args.get("desc")]


def _key_of(ordered: exp.Expression) -> Callable[[Row], object]:
    return lambda row: row[ordered.this.name]


@pytest.mark.slow
@of_each
def test_a_query_reads_marts_and_the_view_of_the_first_version_that_has_its_columns(
    use_case: UseCase, warehouse: duckdb.DuckDBPyConnection, shipped_marts: Sequence[Mart]
) -> None:
    views = [f"focus.{view}" for view in VERSION_VIEWS.values()]
    read = re.findall(r"\b(?:focus|marts)\.\w+", use_case.sql)
    assert read
    assert set(read) <= {*views, *(f"marts.{mart.name}" for mart in shipped_marts)}
    for view in set(read) - {views[0]}:
        if view in views:
            former = views[views.index(view) - 1]
            with pytest.raises(duckdb.BinderException):
                warehouse.execute(use_case.sql.replace(view, former))


NOT_IN_THE_DEMO = focus_row(
    AllocatedMethodId="by-requests",
    AllocatedResourceId="pod-1",
    AllocatedResourceName="Pod 1",
    CapacityReservationId="reserved-1",
    CapacityReservationStatus="Unused",
    ContractApplied='{"Elements": [{"ContractId": "c-1", "ContractCommitmentId": "c-1-a", '
    '"ContractCommitmentAppliedCost": 0.75}, {"ContractId": "c-1", "ContractCommitmentId": "c-1-b", '
    '"ContractCommitmentAppliedQuantity": 24, "ContractCommitmentAppliedUnit": "Hours"}]}',
    ServiceProviderName="Equinix",
)


def test_a_query_without_rows_in_the_demo_has_rows_of_a_bill_that_has_them(make_table: Callable[[], Table]) -> None:
    table = make_table()
    credits_bought = focus_row(
        ChargeCategory="Purchase", PricingUnit="CREDITS", PricingQuantity="500", ResourceId="", BilledCost="900"
    )
    table.publish(
        "first", "2025-03", [NOT_IN_THE_DEMO, NOT_IN_THE_DEMO | {"AllocatedResourceId": "pod-2"}, credits_bought]
    )
    with warehouse_of(table.data_dir).reading() as connection:
        connection.execute(page()[0])
        found = {one.question: rows_of(connection, one.sql) for one in USE_CASES if one.no_rows}
    assert {
        question: [[str(row[column]).rstrip("0") for column in columns] for row in found.pop(question)]
        for question, columns in {
            "What do the shares of a split resource cost, and what does it cost in total?": (
                "AllocatedResourceId",
                "EffectiveCost",
                "ResourceCost",
            ),
            "Which costs did the provider split, and by which method?": ("AllocatedMethodId", "EffectiveCost"),
            "Which charges does a contract commitment cover?": ("ContractCommitmentId", "AppliedCost"),
            "Which reserved capacity does nobody use?": ("CapacityReservationId", "EffectiveCost"),
            "Which credits did we buy, and for how much?": ("PricingQuantity", "BilledCost"),
        }.items()
    } == {
        "What do the shares of a split resource cost, and what does it cost in total?": [
            ["pod-1", "1.25", "2.5"],
            ["pod-2", "1.25", "2.5"],
        ],
        "Which costs did the provider split, and by which method?": [["by-requests", "2.5"]],
        "Which charges does a contract commitment cover?": [["c-1-a", "1.5"], ["c-1-b", "None"]],
        "Which reserved capacity does nobody use?": [["reserved-1", "2.5"]],
        "Which credits did we buy, and for how much?": [["500.", "900."]],
    }
    assert not found


@of_each
def test_no_query_has_a_fault_that_published_ones_have(use_case: UseCase) -> None:
    assert faults(use_case.sql) == []


@pytest.mark.parametrize(
    ("fault", "sql"),
    [
        ("ChargeClass", "SELECT 1 FROM focus.v WHERE ChargeClass <> 'Correction' ORDER BY ALL"),
        ("ChargeClass", "SELECT 1 FROM focus.v WHERE NOT ChargeClass = 'Correction' ORDER BY ALL"),
        ("ChargeClass", "SELECT 1 FROM focus.v WHERE ChargeClass NOT IN ('Correction') ORDER BY ALL"),
        ("period", "SELECT 1 FROM focus.v WHERE BillingPeriodEnd < '2025-04-01' ORDER BY ALL"),
        ("period", "SELECT 1 FROM focus.v WHERE ChargePeriodEnd < $last ORDER BY ALL"),
        ("currency", "SELECT ServiceName, sum(BilledCost) FROM focus.v GROUP BY ALL ORDER BY ALL"),
        (
            "currency",
            "SELECT ServiceName, sum(BilledCost), max(BillingCurrency) FROM v GROUP BY ServiceName ORDER BY ALL",
        ),
        ("currency", "SELECT BillingCurrency, sum(EffectiveCost) OVER (PARTITION BY ServiceName) FROM v ORDER BY ALL"),
        (
            "currency",
            "WITH a AS (SELECT BillingCurrency, sum(BilledCost) AS Paid FROM v GROUP BY ALL) "
            "SELECT sum(Paid) FROM a ORDER BY ALL",
        ),
        ("unit price", "SELECT (ContractedCost - EffectiveCost) / ContractedUnitPrice FROM focus.v ORDER BY ALL"),
        ("rounding", "SELECT CAST(ConsumedQuantity AS DECIMAL(10, 2)) FROM focus.v ORDER BY ALL"),
        ("rounding", "SELECT BillingCurrency, round(sum(BilledCost), 2) FROM focus.v GROUP BY ALL ORDER BY ALL"),
        ("cash and accrual", "SELECT EffectiveCost / BilledCost FROM focus.v ORDER BY ALL"),
        (
            "cash and accrual",
            "WITH a AS (SELECT BilledCost AS b, EffectiveCost AS e FROM v) SELECT b - e FROM a ORDER BY ALL",
        ),
        ("twice", "SELECT BillingCurrency, sum(ListCost) FROM focus.v GROUP BY ALL ORDER BY ALL"),
        ("twice", "SELECT PurchaseCost + UsedCost FROM marts.commitment_use ORDER BY ALL"),
        ("order", "SELECT ServiceName FROM focus.v"),
    ],
)
def test_a_planted_fault_is_found(fault: str, sql: str) -> None:
    assert fault in faults(sql)


def faults(sql: str) -> list[str]:
    """Which of the known faults the text of a query shows."""
    query = sqlglot.parse_one(sql, read="duckdb")
    sources = _sources(query)
    found = []
    if not query.args.get("order"):
        found.append("order")
    for compared in query.find_all(exp.NEQ, exp.Not):
        # `IS NOT NULL` is Not, too.
        is_null_test = isinstance(compared, exp.Not) and isinstance(compared.this, exp.Is)
        if not is_null_test and "ChargeClass" in _columns(compared):
            found.append("ChargeClass")
    for compared in query.find_all(exp.LT, exp.LTE):
        of_a_row = "ChargePeriodStart" in _columns(compared.expression)
        if _columns(compared.this) & {"ChargePeriodEnd", "BillingPeriodEnd"} and not of_a_row:
            found.append("period")
    for aggregate in _money(query, sources):
        if not _keeps_currencies_apart(aggregate, sources):
            found.append("currency")
    for quotient in query.find_all(exp.Div):
        if any(name.endswith("UnitPrice") for name in _columns(quotient.expression)):
            found.append("unit price")
    scales = [int(kind.expressions[1].name) for kind in query.find_all(exp.DataType) if len(kind.expressions) == 2]
    if list(query.find_all(exp.Round)) or any(scale < 18 for scale in scales):
        found.append("rounding")
    for left, right in _operands(query):
        of_both = [{source for name in side for source in sources.get(name, {name})} for side in (left, right)]
        for one, other in (of_both, reversed(of_both)):
            if "BilledCost" in one and "EffectiveCost" in other:
                found.append("cash and accrual")
    for added in query.find_all(exp.Add):
        if {"PurchaseCost"} <= _columns(added) and _columns(added) & {"UsedCost", "UnusedCost"}:
            found.append("twice")
    for total in query.find_all(exp.Sum):
        select = total.find_ancestor(exp.Select)
        if _columns(total) & {"ListCost", "ContractedCost"} and not _is_of_usage(select):
            found.append("twice")
    return found


def _columns(node: exp.Expression | None) -> set[str]:
    return set() if node is None else {column.name for column in node.find_all(exp.Column)}


def _sources(query: exp.Expression) -> dict[str, set[str]]:
    """Alias -> the columns of tables that it is made of, through all parts of the query."""
    made_of: dict[str, set[str]] = {}
    for alias in query.find_all(exp.Alias):
        made_of.setdefault(alias.alias, set()).update(_columns(alias.this))

    def resolved(name: str, seen: frozenset[str]) -> set[str]:
        if name in seen or not made_of.get(name):
            return {name}
        return set().union(*(resolved(one, seen | {name}) for one in made_of[name]))

    return {name: resolved(name, frozenset()) for name in made_of}


def _money(query: exp.Expression, sources: dict[str, set[str]]) -> Iterator[exp.Expression]:
    """Sums, averages and trends of anything but quantities and counts."""
    for node in query.find_all(exp.AggFunc, exp.Anonymous):
        name = node.name if isinstance(node, exp.Anonymous) else node.sql_name()
        if not name.lower().startswith(("sum", "avg", "regr_")):
            continue
        first = node.expressions[0] if isinstance(node, exp.Anonymous) else node.this
        columns = {source for column in _columns(first) for source in sources.get(column, {column})}
        if any(column.endswith(("Cost", "Change")) for column in columns):
            yield node


def _keeps_currencies_apart(aggregate: exp.Expression, sources: dict[str, set[str]]) -> bool:
    select = aggregate.find_ancestor(exp.Select)
    assert select is not None
    window = aggregate.find_ancestor(exp.Window, exp.Select)
    if isinstance(window, exp.Window):
        named = {one.name: one for one in select.args.get("windows") or []}
        window = named.get(window.alias, window)
        groups = set().union(*map(_columns, window.args.get("partition_by") or []))
    elif (group := select.args.get("group")) and group.args.get("all"):
        groups = set().union(*(_columns(one) for one in select.expressions if not one.find(exp.AggFunc, exp.Anonymous)))
    else:
        groups = _columns(group)
    columns = {source for column in _columns(aggregate) for source in sources.get(column, {column})}
    in_pricing_currency = all(column.startswith("PricingCurrency") for column in columns)
    return "BillingCurrency" in groups or (in_pricing_currency and "PricingCurrency" in groups)


def _operands(query: exp.Expression) -> Iterator[tuple[set[str], set[str]]]:
    for operation in query.find_all(exp.Add, exp.Sub, exp.Mul, exp.Div):
        yield _columns(operation.this), _columns(operation.expression)


def _is_of_usage(select: exp.Select | None) -> bool:
    """Of the mart savings, or filtered: the purchase of a commitment has a list price as well as its usage."""
    assert select is not None
    if any(table.name == "savings" for table in select.find_all(exp.Table)):
        return True
    where = select.args.get("where")
    return where is not None and any(
        equal.sql(dialect="duckdb") == "ChargeCategory = 'Usage'" for equal in where.find_all(exp.EQ)
    )


@pytest.mark.slow
@pytest.mark.parametrize("page", ["anomalies.md", "forecast.md"])
def test_the_queries_of_the_pages_on_marts_can_be_pasted(page: str, warehouse: duckdb.DuckDBPyConnection) -> None:
    queries = re.findall(r"```sql\n(.*?)```", (PAGE.parent / page).read_text("utf-8"), re.DOTALL)
    assert queries
    for query in queries:
        warehouse.sql(query).fetchall()
