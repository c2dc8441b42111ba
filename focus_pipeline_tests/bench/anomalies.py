"""What the mart anomalies finds of what is planted into 20 histories of two years, beside a median of 30 days."""

from collections import Counter

from rich.console import Console
from rich.table import Table

from focus_pipeline.components.connection_tree import ConnectionTree
from focus_pipeline.components.mart import marts
from focus_pipeline.settings import PROJECT_ROOT
from focus_pipeline_tests.marts.histories import ANOMALIES, Found, history, judged, mart_flags, plain_flags

# None of them was looked at while the method was made.
SEEDS = range(101, 121)


def main() -> None:
    (mart,) = [
        mart for mart in marts(ConnectionTree.for_project(PROJECT_ROOT / "focus_pipeline")) if mart.name == "anomalies"
    ]
    planted: Counter[str] = Counter()
    by_method: dict[str, list[Found]] = {"anomalies": [], "plain": []}
    for seed in SEEDS:
        made = history(seed)
        planted.update(event.kind for event in made.events if event.is_anomaly)
        by_method["anomalies"].append(judged(made, mart_flags(mart, made)))
        by_method["plain"].append(judged(made, plain_flags(made)))
    title = f"Anomalies planted into {len(SEEDS)} histories"
    table = Table("", "planted", "anomalies", "30-day median and MAD", title=title, title_justify="left")
    for kind in ANOMALIES:
        missed = [sum(event.kind == kind for one in found for event in one.missed) for found in by_method.values()]
        table.add_row(kind, str(planted[kind]), *(str(planted[kind] - count) for count in missed))
    shares = [sum(one.share for one in found) / len(found) for found in by_method.values()]
    worst = [min(one.share for one in found) for found in by_method.values()]
    false = [[one.false_per_thousand for one in found] for found in by_method.values()]
    table.add_row("found, of all", "", *(f"{share:.1%}" for share in shares))
    table.add_row("found, in the worst history", "", *(f"{share:.1%}" for share in worst))
    table.add_row("false per 1,000 days of a series", "", *(f"{sum(one) / len(one):.2f}" for one in false))
    table.add_row("the same, in the worst history", "", *(f"{max(one):.2f}" for one in false))
    Console().print(table)
