"""What the report of a month says, from the marts and the status of the months, and its page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Any

import duckdb
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from focus_pipeline.marts.mart import Mart
from focus_pipeline.marts.pictures import drawables
from focus_pipeline.months import current_month, months_back
from focus_pipeline.pictures.drawing import drawn
from focus_pipeline.pipeline.status import LOADED, MonthStatus
from focus_pipeline.pipeline.status_grid import drawn_grid, in_cells, worst_first
from focus_pipeline.sql import only_row

_MOVERS = 5
_SERVICES = 12
_MODELS = 15
_ANOMALIES = 10

Row = Mapping[str, Any]


class NothingToReport(Exception):
    """The table has nothing of the month, or the marts were not computed of it. The message says what to do."""


class ReportBroken(Exception):
    """A mart lacks a column that the report reads, or has it of another type. The message says which."""


@dataclass(frozen=True)
class InCurrency:
    """The month in one currency. Costs are EffectiveCost, but where a name says otherwise.

    providers, categories, services: rows of name, cost, before and change. movers, anomalies: sentences. models,
    forecast, budgets: rows of their tables. pictures: mart -> its pictures as SVG elements.
    """

    currency: str
    cost: float
    before: float | None
    billed: float
    providers: Sequence[Row]
    categories: Sequence[Row]
    services: Sequence[Row]
    movers: Sequence[str]
    models: Sequence[Row]
    savings: str
    anomalies: Sequence[str]
    forecast: Sequence[Row]
    budgets: Sequence[Row]
    pictures: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Report:
    """month: `YYYY-MM`. is_running: the month is not over. written: moment in UTC."""

    month: str
    before: str
    is_running: bool
    written: datetime
    currencies: Sequence[InCurrency]
    statuses: Sequence[MonthStatus]


def reported_month(connection: duckdb.DuckDBPyConnection) -> str:
    """The newest month of the table that is over; the newest one if none is. Raises NothingToReport."""
    months = [
        month for (month,) in connection.execute("SELECT DISTINCT Month FROM focus.data_source_months").fetchall()
    ]
    if not months:
        raise NothingToReport("the table has no months yet; load some, then publish them")
    return max((month for month in months if month < current_month()), default=max(months))


def report_of(
    connection: duckdb.DuckDBPyConnection, month: str, marts: Sequence[Mart], statuses: Sequence[MonthStatus]
) -> Report:
    """Reads the marts of a month. Raises NothingToReport."""
    rows = connection.execute("SELECT Mart FROM focus.mart_months WHERE Month = ?", [month]).fetchall()
    there = {name for (name,) in rows}
    if "monthly_costs" not in there:
        raise NothingToReport(
            f"the marts have nothing of {month}; load and publish the month, then materialise marts/monthly_costs"
        )
    before = months_back(month, 1)[0]
    rows = connection.execute(
        """
        SELECT BillingCurrency FROM marts.monthly_costs WHERE Month = ?
        GROUP BY BillingCurrency
        ORDER BY sum(EffectiveCost) DESC
        """,
        [month],
    ).fetchall()
    currencies = [currency for (currency,) in rows]
    pictures = _pictures(connection, month, [mart for mart in marts if mart.name in there])
    return Report(
        month,
        before,
        month >= current_month(),
        datetime.now(UTC),
        [_in_currency(connection, one, month, before, there, pictures) for one in currencies],
        statuses,
    )


def page_of(report: Report) -> str:
    """The report as an HTML page that needs nothing else."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters |= {"amount": _amount, "signed": _signed, "share": _share}
    template = environment.from_string(resources.files(__package__).joinpath("page.html.jinja").read_text("utf-8"))
    problems = [in_cells(one) for one in worst_first(report.statuses) if one.state != LOADED]
    grid = Markup(drawn_grid(report.statuses)) if report.statuses else ""
    return template.render(report=report, problems=problems, grid=grid)


def _in_currency(
    connection: duckdb.DuckDBPyConnection,
    currency: str,
    month: str,
    before: str,
    there: set[str],
    pictures: Mapping[str, Mapping[str, Sequence[str]]],
) -> InCurrency:
    given = {"currency": currency, "month": month}
    compared = given | {"before": before}
    cost, cost_before, billed = only_row(
        connection.execute(
            """
            SELECT
                CAST(sum(EffectiveCost) FILTER (Month = $month) AS DOUBLE),
                CAST(sum(EffectiveCost) FILTER (Month = $before) AS DOUBLE),
                CAST(sum(BilledCost) FILTER (Month = $month) AS DOUBLE)
            FROM marts.monthly_costs
            WHERE BillingCurrency IS NOT DISTINCT FROM $currency AND Month IN ($month, $before)
            """,
            compared,
        )
    )
    return InCurrency(
        currency or "without currency",
        cost,
        cost_before,
        billed,
        _compared(connection, "coalesce(Provider, 'none')", compared),
        _compared(connection, "coalesce(ServiceCategory, 'none')", compared),
        _compared(connection, "concat_ws(' · ', Provider, coalesce(ServiceName, 'none'))", compared)[:_SERVICES],
        _movers(connection, compared) if "movers" in there else [],
        _models(connection, given) if "ai_costs" in there else [],
        _savings(connection, given) if "savings" in there else "",
        _anomalies(connection, given) if "anomalies" in there else [],
        _forecast(connection, given) if "forecast" in there else [],
        _budgets(connection, given) if "budgets" in there else [],
        pictures.get(currency or "", {}),
    )


def _compared(connection: duckdb.DuckDBPyConnection, name: str, given: Mapping[str, str]) -> list[Row]:
    return _rows(
        connection,
        f"""
        SELECT
            {name} AS name,
            CAST(coalesce(sum(EffectiveCost) FILTER (Month = $month), 0) AS DOUBLE) AS cost,
            CAST(coalesce(sum(EffectiveCost) FILTER (Month = $before), 0) AS DOUBLE) AS before,
            cost - before AS change
        FROM marts.monthly_costs
        WHERE BillingCurrency IS NOT DISTINCT FROM $currency AND Month IN ($month, $before)
        GROUP BY 1
        ORDER BY cost DESC, name
        """,
        given,
    )


def _movers(connection: duckdb.DuckDBPyConnection, given: Mapping[str, str]) -> list[str]:
    """The services that moved most. What of a service did not move is in its costs, and not in marts.movers."""
    rows = _rows(
        connection,
        """
        WITH costs AS (
            SELECT
                Provider,
                ServiceName,
                CAST(coalesce(sum(EffectiveCost) FILTER (Month = $before), 0) AS DOUBLE) AS cost_before,
                CAST(coalesce(sum(EffectiveCost) FILTER (Month = $month), 0) AS DOUBLE) AS cost_after
            FROM marts.monthly_costs
            WHERE Month IN ($month, $before) AND BillingCurrency IS NOT DISTINCT FROM $currency
            GROUP BY Provider, ServiceName
        ),
        parts AS (
            SELECT
                Provider,
                ServiceName,
                CAST(sum(Change) AS DOUBLE) AS difference,
                CAST(sum(QuantityChange) AS DOUBLE) AS by_quantity,
                CAST(sum(PriceChange) AS DOUBLE) AS by_price
            FROM marts.movers
            WHERE Month = $month AND BillingCurrency IS NOT DISTINCT FROM $currency
            GROUP BY Provider, ServiceName
        )
        SELECT
            concat_ws(' of ', coalesce(parts.ServiceName, 'What has no ServiceName'), parts.Provider) AS name,
            difference,
            cost_before,
            cost_after,
            by_quantity,
            by_price
        FROM parts
        JOIN costs
            ON parts.Provider IS NOT DISTINCT FROM costs.Provider
            AND parts.ServiceName IS NOT DISTINCT FROM costs.ServiceName
        WHERE difference <> 0
        ORDER BY abs(difference) DESC, name
        LIMIT $count
        """,
        {**given, "count": _MOVERS},
    )
    return [_moved(row, given["currency"]) for row in rows]


def _moved(row: Mapping, currency: str) -> str:
    """One sentence.

    >>> _moved({"name": "Amazon S3 of AWS", "difference": -20.0, "cost_before": 80.0, "cost_after": 60.0,
    ...         "by_quantity": -20.0, "by_price": 0.0}, "USD")
    'Amazon S3 of AWS fell by 20.00 USD (-25 %) to 60.00 USD, by quantity.'
    """
    change, before, cost = row["difference"], row["cost_before"], row["cost_after"]
    if not before:
        return f"{row['name']} is new: {_amount(cost)} {currency}."
    if not cost:
        return f"{row['name']} is gone; it was {_amount(before)} {currency}."
    went = "rose" if change > 0 else "fell"
    quantity, price = row["by_quantity"] or 0.0, row["by_price"] or 0.0
    reason = ""
    if abs(quantity) + abs(price) > 0.5 * abs(change):
        larger, smaller = ("quantity", price) if abs(quantity) >= abs(price) else ("price", quantity)
        reason = f", {'mostly ' if abs(smaller) > 0.1 * abs(change) else ''}by {larger}"
    return (
        f"{row['name']} {went} by {_amount(abs(change))} {currency} ({_share(change / before)}) to {_amount(cost)} "
        f"{currency}{reason}."
    )


def _models(connection: duckdb.DuckDBPyConnection, given: Mapping[str, str]) -> list[Row]:
    return _rows(
        connection,
        """
        SELECT
            coalesce(Model, 'no model') AS model,
            concat(Direction, CASE WHEN Unit <> 'tokens' THEN ', ' || Unit ELSE '' END) AS counted,
            CAST(sum(Quantity) AS DOUBLE) AS quantity,
            CAST(sum(EffectiveCost) AS DOUBLE) AS cost,
            CASE WHEN Unit = 'tokens'
                THEN CAST(sum(EffectiveCost) AS DOUBLE) / nullif(CAST(sum(Quantity) AS DOUBLE), 0) * 1000000
            END AS per_million
        FROM marts.ai_costs
        WHERE Month = $month AND BillingCurrency IS NOT DISTINCT FROM $currency
        GROUP BY Model, Direction, Unit
        ORDER BY cost DESC, model, counted
        LIMIT $count
        """,
        {**given, "count": _MODELS},
    )


def _savings(connection: duckdb.DuckDBPyConnection, given: Mapping[str, str]) -> str:
    listed, negotiated, committed, effective = only_row(
        connection.execute(
            """
            SELECT
                CAST(sum(ListCost) AS DOUBLE),
                CAST(sum(NegotiatedSavings) AS DOUBLE),
                CAST(sum(CommitmentSavings) AS DOUBLE),
                CAST(sum(EffectiveCost) AS DOUBLE)
            FROM marts.savings
            WHERE Month = $month AND BillingCurrency IS NOT DISTINCT FROM $currency
            """,
            given,
        )
    )
    if not listed:
        return ""
    currency = given["currency"]
    return (
        f"At list prices, usage would have cost {_amount(listed)} {currency}. It cost {_amount(effective)} {currency}: "
        f"an effective savings rate of {_share((listed - effective) / listed, signed=False)}. Negotiated prices saved "
        f"{_amount(negotiated)} {currency}, commitments {_amount(committed)} {currency}."
    )


def _anomalies(connection: duckdb.DuckDBPyConnection, given: Mapping[str, str]) -> list[str]:
    rows = _rows(
        connection,
        """
        SELECT
            concat_ws(' of ', coalesce(ServiceName, 'What has no ServiceName'), Provider) AS name,
            SubAccountId AS sub_account,
            CAST(Day AS VARCHAR) AS day,
            Kind AS kind,
            CAST(Cost AS DOUBLE) AS cost,
            CAST(ExpectedCost AS DOUBLE) AS expected
        FROM marts.anomalies
        WHERE Month = $month AND BillingCurrency IS NOT DISTINCT FROM $currency AND Day = Since
        ORDER BY abs(Difference) DESC, name, sub_account
        LIMIT $count
        """,
        {**given, "count": _ANOMALIES},
    )
    return [
        f"{row['day']}: {row['name']}{' in ' + str(row['sub_account']) if row['sub_account'] else ''} cost "
        f"{_amount(row['cost'])} {given['currency']}, and {_amount(row['expected'])} was expected ({row['kind']})."
        for row in rows
    ]


def _forecast(connection: duckdb.DuckDBPyConnection, given: Mapping[str, str]) -> list[Row]:
    return _rows(
        connection,
        """
        SELECT
            coalesce(Provider, 'none') AS name,
            CAST(KnownUntil AS VARCHAR) AS known_until,
            CAST(CostSoFar AS DOUBLE) AS so_far,
            CAST(Forecast AS DOUBLE) AS forecast,
            CAST(Low AS DOUBLE) AS low,
            CAST(High AS DOUBLE) AS high,
            PastError AS past_error,
            CAST(Actual AS DOUBLE) AS actual
        FROM marts.forecast
        WHERE Month = $month AND BillingCurrency IS NOT DISTINCT FROM $currency AND Forecast IS NOT NULL
        ORDER BY marts.forecast.Forecast DESC, name
        """,
        given,
    )


def _budgets(connection: duckdb.DuckDBPyConnection, given: Mapping[str, str]) -> list[Row]:
    return _rows(
        connection,
        """
        SELECT
            Budget AS name,
            Period AS period,
            CAST(Amount AS DOUBLE) AS amount,
            CAST(Actual AS DOUBLE) AS actual,
            CAST(Forecast AS DOUBLE) AS forecast,
            UsedShare AS used
        FROM marts.budgets
        WHERE Month = $month AND BillingCurrency IS NOT DISTINCT FROM $currency
        ORDER BY used DESC, name
        """,
        given,
    )


def _pictures(
    connection: duckdb.DuckDBPyConnection, month: str, marts: Sequence[Mart]
) -> dict[str, dict[str, list[str]]]:
    """Currency -> mart -> SVG elements."""
    found: dict[str, dict[str, list[str]]] = {}
    for mart in marts:
        for picture in mart.pictures:
            has_currency = "BillingCurrency" in mart.columns
            for one in drawables(connection, picture, mart.name, month, has_currency=has_currency):
                if not one.fault and one.points:
                    of_currency = found.setdefault(one.currency, {})
                    of_currency.setdefault(mart.name, []).append(Markup(drawn(one)))
    return found


def _rows(connection: duckdb.DuckDBPyConnection, sql: str, given: Mapping[str, object]) -> list[Row]:
    found = connection.execute(sql, given)
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _amount(value: float | None) -> str:
    return "" if value is None else f"{value:,.2f}"


def _signed(value: float) -> str:
    return f"{value:+,.2f}"


def _share(value: float, signed: bool = True) -> str:
    return f"{value:+.0%}".replace("%", " %") if signed else f"{value:.0%}".replace("%", " %")
