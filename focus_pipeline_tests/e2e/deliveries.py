"""A clone of the project with one connection, whose provider delivers months on this machine."""

from collections.abc import Iterable
from pathlib import Path

from focus_pipeline_tests.month_files import charges_of, write_csv

CONNECTION = "colo_costs"
ASSETS = [
    [CONNECTION, "raw_files"],
    [CONNECTION, "cost_and_usage"],
    ["focus", "cost_and_usage"],
    ["focus", "data_sources"],
]


def deliver_months(bucket: Path, months: Iterable[str], broken: str | None = None, rows: int = 50) -> None:
    """A file of `rows` charges of 1.50 in each month's folder; in the `broken` month BilledCost is no number."""
    for month in months:
        folder = bucket / month
        folder.mkdir(parents=True)
        cost = "$5" if month == broken else "1.50"
        write_csv(folder / "expenses.csv", charges_of(month, rows, BilledCost=cost))
