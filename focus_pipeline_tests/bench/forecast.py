"""How far the mart forecast is off on the tenth of a month: over the demo's data and 20 histories of two years."""

from statistics import median

from rich.console import Console
from rich.table import Table

from focus_pipeline.components.connection_tree import ConnectionTree
from focus_pipeline.components.mart import marts
from focus_pipeline.months import months_back, months_between
from focus_pipeline.settings import PROJECT_ROOT
from focus_pipeline_tests.bench.anomalies import SEEDS
from focus_pipeline_tests.marts.forecast_errors import Errors, errors_of
from focus_pipeline_tests.marts.histories import demo_costs, history


def main() -> None:
    (mart,) = [
        one for one in marts(ConnectionTree.for_project(PROJECT_ROOT / "focus_pipeline")) if one.name == "forecast"
    ]
    demo, two_years = months_back("2026-03", 14), months_between("2024-01", "2025-12")
    found: dict[str, list[Errors]] = {
        "the demo, 15 months": [errors_of(mart, demo_costs(demo), demo)],
        f"{len(SEEDS)} histories": [errors_of(mart, history(seed, events=0).rows(), two_years) for seed in SEEDS],
        "the same, with 100 events": [errors_of(mart, history(seed).rows(), two_years) for seed in SEEDS],
    }
    table = Table("", "months", "forecast", "last month", "straight line", "within the interval")
    for what, errors in found.items():
        shares = [
            f"{median(getattr(one, name) for one in errors):.1%}"
            for name in ("forecast", "last_month", "line", "covered")
        ]
        table.add_row(what, str(sum(one.months for one in errors)), *shares)
    Console().print(table)
