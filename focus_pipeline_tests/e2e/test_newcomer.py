"""The first hour of somebody who cloned the project, by script in a real browser: README.md from top to bottom."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Page, expect

from focus_pipeline.months import current_month, months_back
from focus_pipeline_tests.e2e.chromium import needs_chromium, running_chromium
from focus_pipeline_tests.e2e.dagster_server import DagsterServer, await_true, months_of, running_dagster
from focus_pipeline_tests.e2e.deliveries import deliver_months
from focus_pipeline_tests.e2e.project import Project, clone_with_demo

OWN = "acme_datacentre"
DEMO_MONTHS = months_back(current_month(), 5)
OLDER = months_back(DEMO_MONTHS[0], 3)[:3]
MONTH = DEMO_MONTHS[-2]
WAIT = 60_000
# Two of each connection, the table, its data sources, the report, and the marts.
PARTITIONED = 6 * 2 + 3 + 15

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(1200), needs_chromium]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone after `make demo`."""
    project = clone_with_demo(tmp_path_factory.mktemp("newcomer") / "clone")
    made = subprocess.run(
        ["make", "demo"], cwd=project.root, env=project.environment, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stdout[-2000:] + made.stderr[-2000:]
    assert "Services with the highest EffectiveCost" in made.stdout
    assert "(marts.movers)" in made.stdout
    assert "claude" in made.stdout.lower()
    return project


@pytest.fixture
def page() -> Iterator[Page]:
    with running_chromium() as browser:
        page = browser.new_page(viewport={"width": 1500, "height": 3000})
        page.set_default_timeout(WAIT)
        expect.set_options(timeout=WAIT)
        yield page


def test_the_first_hour(project: Project, page: Page) -> None:
    with running_dagster(project, ("make", "dev", "PORT={port}")) as dagster:
        everything_is_green(dagster, page)
    connect_a_folder(project, project.root / "bucket")
    with running_dagster(project, ("make", "dev", "PORT={port}")) as dagster:
        older_months_are_loaded_by_a_backfill_and_published(project, dagster, page)
        a_rejected_month_says_why_and_is_green_again_once_it_is_restored(project, dagster, page)


def everything_is_green(dagster: DagsterServer, page: Page) -> None:
    """Every asset has all of its months, and no check is red."""
    page.goto(f"{dagster.url}/assets")
    expect(page.get_by_text(f"{len(DEMO_MONTHS)} partitions", exact=True)).to_have_count(PARTITIONED)
    expect(page.get_by_text("All", exact=True)).to_have_count(PARTITIONED)
    answer = dagster.query(
        "{ assetNodes { partitionStats { numPartitions numMaterialized numFailed } assetChecksOrError { ... on "
        "AssetChecks { checks { name executionForLatestMaterialization { status evaluation { severity } } } } } } }"
    )["assetNodes"]
    assert sum(node["partitionStats"] is not None for node in answer) == PARTITIONED
    for node in answer:
        if (stats := node["partitionStats"]) is not None:
            assert (stats["numMaterialized"], stats["numFailed"]) == (stats["numPartitions"], 0)
        for check in node["assetChecksOrError"].get("checks", []):
            latest = check["executionForLatestMaterialization"]
            assert latest["status"] == "SUCCEEDED" or latest["evaluation"]["severity"] == "WARN", check


def connect_a_folder(project: Project, bucket: Path) -> None:
    """A connection of the newcomer's own, with months before those of the demo."""
    deliver_months(bucket, OLDER, rows=3)
    folder = project.root / "focus_pipeline" / "defs" / OWN
    folder.mkdir()
    attributes = {"name": OWN, "url": str(bucket), "quiet_minutes": 0}
    (folder / "defs.yaml").write_text(yaml.safe_dump({"type": "focus_pipeline.MonthFolders", "attributes": attributes}))


def older_months_are_loaded_by_a_backfill_and_published(project: Project, dagster: DagsterServer, page: Page) -> None:
    """As the README has it; partitions begin with these months once the code location is loaded anew."""
    shown = project.data_dir / "landing" / OWN / "shown.json"
    await_true(shown.exists, 120, "the sensor did not look")
    group = f"{dagster.url}/locations/focus_pipeline/asset-groups/{OWN}"
    page.goto(group)
    page.get_by_role("button", name="Reload definitions").click()
    await_true(
        lambda: dagster.query("{ assetNodes { partitionKeys } }")["assetNodes"][0]["partitionKeys"][0] == OLDER[0],
        60,
        "partitions do not begin with the connection's months",
    )
    page.goto(group)
    page.get_by_role("button", name="Materialize all").click()
    expect(page.get_by_text(OLDER[0], exact=True).first).to_be_visible()
    launch(page, f"[{OLDER[0]}...{OLDER[-1]}]", "Launch backfill")
    await_true(
        lambda: {month for name, month in published(dagster) if name == "SUCCESS"} >= set(OLDER),
        240,
        "the older months were not published",
    )
    page.goto(f"{dagster.url}/assets/focus/cost_and_usage?view=partitions")
    expect(page.get_by_text(f"Materialized ({len(OLDER) + len(DEMO_MONTHS)})")).to_be_visible()
    expect(page.get_by_text("Failed (0)")).to_be_visible()


def a_rejected_month_says_why_and_is_green_again_once_it_is_restored(
    project: Project, dagster: DagsterServer, page: Page
) -> None:
    bill = project.data_dir / "demo" / "colo_costs" / MONTH / "expenses.csv"
    good = bill.read_bytes()
    lines = good.split(b"\n")
    lines[3] = re.sub(rb"^[0-9.]+", b"n/a", lines[3])
    for content, status, verdict in ((b"\n".join(lines), "FAILURE", "Failed"), (good, "SUCCESS", "Passed")):
        bill.write_bytes(content)
        before = len(dagster.statuses("colo_costs_ingest"))
        page.goto(f"{dagster.url}/locations/focus_pipeline/jobs/colo_costs_ingest")
        page.get_by_role("button", name="Materialize all").click()
        launch(page, MONTH, "Launch 1 run")
        await_true(
            lambda before=before, status=status: dagster.statuses("colo_costs_ingest")[:-before] == [status],
            120,
            f"the run did not end with {status}",
        )
        page.goto(f"{dagster.url}/assets/colo_costs/cost_and_usage?view=checks&checkDetail=accepted")
        page.get_by_text("Partitions", exact=True).nth(1).click()
        page.get_by_text(MONTH, exact=True).first.click()
        expect(page.get_by_text(verdict, exact=True).last).to_be_visible()
        if status == "FAILURE":
            why = page.get_by_text("FOCUS validation failed").first
            for named in ("BilledCost", "line 4 of", f"{MONTH}/expenses.csv", "'n/a'"):
                expect(why).to_contain_text(named)


def launch(page: Page, months: str, button: str) -> None:
    """Chooses months in the dialog that is open, and launches."""
    field = page.get_by_placeholder("ex: ")
    field.fill(months)
    field.blur()
    page.get_by_role("button", name=button).click()
    expect(field).to_be_hidden()


def published(dagster: DagsterServer) -> set[tuple[str, str]]:
    """Status and month of the runs that publish."""
    runs = [run for run in dagster.runs() if run["jobName"] == "focus_publish"]
    return {(run["status"], month) for run in runs for month in months_of(run)}
