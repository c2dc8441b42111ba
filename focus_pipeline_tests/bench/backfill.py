"""Backfills from the click to the end, in a running Dagster: 24 months of one connection, and 36 months of five;
and what a process costs before it does anything."""

import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import dagster as dg
from rich.console import Console
from rich.table import Table

from focus_pipeline.months import current_month, months_back
from focus_pipeline.sql import only_row
from focus_pipeline_tests.e2e.dagster_server import await_true, running_dagster
from focus_pipeline_tests.e2e.deliveries import ASSETS, CONNECTION, deliver_months
from focus_pipeline_tests.e2e.project import Project, clone_project
from focus_pipeline_tests.warehouses import warehouse_at

REPEATS = 5
MONTHS = months_back(current_month(), 23)
CODE_LOCATION = "from focus_pipeline.definitions import defs; defs().get_repository_def()"


def main() -> None:
    table = Table("figure", "median", "min", "max", title="seconds", title_justify="left")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        bucket = root / "bucket"
        deliver_months(bucket, MONTHS, broken=MONTHS[7])
        project = clone_project(
            root / "clone", {CONNECTION: {"url": str(bucket), "lookback_months": 0, "check_every_seconds": 3600}}
        )
        row(
            table,
            "Python starts and imports dagster",
            [process_seconds("import dagster", project) for _ in range(REPEATS)],
        )
        row(table, "code location is ready", [process_seconds(CODE_LOCATION, project) for _ in range(REPEATS)])
        backfill(table, project)
        many_backfills(table, root / "many")
    Console().print(table)


def process_seconds(code: str, project: Project) -> float:
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", code], env=project.environment, cwd=project.root, check=True, capture_output=True
    )
    return time.perf_counter() - start


def backfill(table: Table, project: Project) -> None:
    """24 months, one of them broken, from the click to the end, in a running Dagster."""
    with running_dagster(project) as dagster:
        click = time.time()
        backfill = dagster.launch_backfill(ASSETS, MONTHS)
        await_true(
            lambda: dagster.backfill_status(backfill).startswith("COMPLETED"), 600, "the backfill did not end", every=2
        )
        completed = time.time() - click
        runs = [run for run in dagster.runs() if run["tags"].get("dagster/backfill") == backfill]
    row(table, "backfill of 24 months: click to first run", [min(run["startTime"] for run in runs) - click])
    row(table, "backfill of 24 months: click to last month", [max(run["endTime"] for run in runs) - click])
    row(table, "backfill of 24 months: click to COMPLETED_FAILED", [completed])
    row(table, "one of its runs, first step to last", [run["endTime"] - run["startTime"] for run in runs])
    row(table, "one of its runs, process start to first step", process_starts(project))


def many_backfills(table: Table, root: Path) -> None:
    """36 months of 5 connections, clicked one after the other, to the last month that is published."""
    # Partitions begin with 2024-01 until a sensor has seen what the provider shows.
    months = [month for month in months_back(current_month(), 35) if month >= "2024-01"]
    connections = [f"connection_{number}" for number in range(5)]
    for name in connections:
        deliver_months(root / name, months)
    quiet = {"lookback_months": 0, "check_every_seconds": 3600}
    project = clone_project(root / "clone", {name: quiet | {"url": str(root / name)} for name in connections})
    with running_dagster(project) as dagster:
        click = time.time()
        backfills = [
            dagster.launch_backfill([[name, "raw_files"], [name, "cost_and_usage"]], months) for name in connections
        ]
        await_true(
            lambda: all(dagster.backfill_status(one).startswith("COMPLETED") for one in backfills), 900, "not loaded", 2
        )
        loaded = max(run["endTime"] for run in dagster.runs() if run["jobName"] == "__ASSET_JOB" and run["endTime"])
        await_true(lambda: published_months(project) == len(months) * len(connections), 300, "not published", 1)
        row(table, f"backfill of {len(months)} months of 5 connections: click to last month loaded", [loaded - click])
        row(table, "… to last month published", [time.time() - click])


def published_months(project: Project) -> int:
    """Months of connections that the table shows."""
    with suppress(FileNotFoundError), warehouse_at(project.data_dir / "warehouse.duckdb").reading() as connection:
        return only_row(connection.execute("SELECT count(*) FROM focus.month_states WHERE Token IS NOT NULL"))[0]
    return 0


def process_starts(project: Project) -> list[float]:
    """From handing a run to the launcher to its process beginning with the run."""
    seconds = []
    with dg.DagsterInstance.from_config(str(project.root / ".dagster")) as instance:
        for run in instance.get_runs():
            at = {
                entry.dagster_event.event_type: entry.timestamp
                for entry in instance.all_logs(
                    run.run_id, of_type={dg.DagsterEventType.RUN_STARTING, dg.DagsterEventType.RUN_START}
                )
            }
            seconds.append(at[dg.DagsterEventType.RUN_START] - at[dg.DagsterEventType.RUN_STARTING])
    return seconds


def row(table: Table, figure: str, seconds: list[float]) -> None:
    shown = (statistics.median(seconds), min(seconds), max(seconds)) if len(seconds) > 1 else (seconds[0],)
    table.add_row(figure, *(f"{value:.1f}" for value in shown))


if __name__ == "__main__":
    main()
