"""The Dagster UI as a person sees it, in a headless chromium."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from focus_pipeline.months import current_month, months_back
from focus_pipeline_tests.e2e.chromium import needs_chromium, running_chromium
from focus_pipeline_tests.e2e.dagster_server import DagsterServer, await_true, months_of, running_dagster
from focus_pipeline_tests.e2e.deliveries import CONNECTION, deliver_months
from focus_pipeline_tests.e2e.project import clone_project

MONTHS = months_back(current_month(), 5)
BROKEN = MONTHS[-2]
WAIT = 60_000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.timeout(600),
    needs_chromium,
]


@pytest.fixture
def dagster(tmp_path: Path) -> Iterator[DagsterServer]:
    """A running Dagster whose sensor has loaded the look-back: one month of it is rejected."""
    bucket = tmp_path / "bucket"
    deliver_months(bucket, MONTHS, broken=BROKEN)
    project = clone_project(tmp_path / "clone", {CONNECTION: {"url": str(bucket), "check_every_seconds": 5}})
    with running_dagster(project) as server:

        def loaded() -> bool:
            ingested = sorted(server.statuses(f"{CONNECTION}_ingest")) == ["FAILURE", "SUCCESS", "SUCCESS"]
            return ingested and published(server) == set(MONTHS[-3:])

        await_true(loaded, 180, "the sensor's three months were not loaded")
        yield server


@pytest.fixture
def page(dagster: DagsterServer) -> Iterator[Page]:
    with running_chromium() as browser:
        page = browser.new_page(viewport={"width": 1500, "height": 1000})
        page.set_default_timeout(WAIT)
        expect.set_options(timeout=WAIT)
        yield page


def test_a_person_sees_the_assets_reads_why_a_month_was_rejected_and_launches_a_backfill(
    dagster: DagsterServer, page: Page
) -> None:
    page.goto(f"{dagster.url}/asset-groups")
    for group in (CONNECTION, "focus"):
        expect(page.get_by_text(group, exact=True).first).to_be_visible()

    page.goto(f"{dagster.url}/assets/{CONNECTION}/cost_and_usage?view=checks&checkDetail=accepted")
    # The first tab of this name is the asset's, the second the check's.
    page.get_by_text("Partitions", exact=True).nth(1).click()
    page.get_by_text(BROKEN, exact=True).first.click()
    message = page.get_by_text("FOCUS validation failed").first
    expect(message).to_be_visible()
    expect(message).to_contain_text(f"line 2 of {BROKEN}/expenses.csv, where BilledCost is '$5'")
    expect(message).to_contain_text("the last good month stays in the table")

    page.goto(f"{dagster.url}/locations/focus_pipeline/jobs/{CONNECTION}_ingest")
    page.get_by_role("button", name="Materialize all").click()
    page.get_by_placeholder("ex: 2024-01").fill(f"[{MONTHS[0]}...{MONTHS[1]}]")
    page.get_by_placeholder("ex: 2024-01").blur()
    page.get_by_role("button", name="Launch backfill").click()

    def launched() -> dict[str, str]:
        backfilled = [run for run in dagster.runs() if "dagster/backfill" in run["tags"]]
        return {month: run["status"] for run in backfilled for month in months_of(run)}

    await_true(
        lambda: launched() == {MONTHS[0]: "SUCCESS", MONTHS[1]: "SUCCESS"}, 180, "the backfill did not load both months"
    )
    loaded = {*MONTHS[:2], *MONTHS[-3:]}
    await_true(lambda: published(dagster) == loaded, 180, "both months were not published")
    page.goto(f"{dagster.url}/assets/focus/cost_and_usage?view=partitions")
    expect(page.get_by_text(f"Materialized ({len(loaded)})")).to_be_visible()
    expect(page.get_by_text("Failed (0)")).to_be_visible()


def published(dagster: DagsterServer) -> set[str]:
    """The months of runs that published and ended well; that of a rejected month has published its verdict."""
    runs = [run for run in dagster.runs() if run["jobName"] == "focus_publish"]
    return {month for run in runs if run["status"] == "SUCCESS" for month in months_of(run)}
