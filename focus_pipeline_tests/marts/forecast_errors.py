"""How far forecasts are from what months cost, beside two methods that everyone has at hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from focus_pipeline.marts.mart import Mart
from focus_pipeline.months import month_bounds
from focus_pipeline_tests.marts.histories import daily_costs, rows_of


@dataclass(frozen=True)
class Errors:
    """Medians of absolute errors, as parts of the actual cost. line: the cost so far, over its days. covered: the share
    of months within the interval, of those with four past errors or more."""

    months: int
    forecast: float
    last_month: float
    line: float
    covered: float


def errors_of(mart: Mart, rows: Sequence[tuple], months: Sequence[str]) -> Errors:
    """Of all providers and months that are over, have a forecast and a month before, and cost 50 or more."""
    judged = [
        row
        for row in rows_of(daily_costs(rows), mart, months)
        if row["Forecast"] is not None and row["LastMonth"] and (row["Actual"] or 0) >= 50
    ]
    errors: dict[str, list[float]] = {"Forecast": [], "LastMonth": [], "Line": []}
    covered = []
    for row in judged:
        start, end = month_bounds(row["Month"])
        known = (row["KnownUntil"] - start.date()).days + 1
        row["Line"] = row["CostSoFar"] / known * (end - start).days
        for name, found in errors.items():
            found.append(abs(float(row[name] / row["Actual"]) - 1))
        if row["PastMonths"] >= 4:
            covered.append(row["Low"] <= row["Actual"] <= row["High"])
    return Errors(len(judged), *(median(found) for found in errors.values()), sum(covered) / len(covered))
