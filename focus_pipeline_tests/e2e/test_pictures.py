"""Pictures on the assets' pages and the report of a month, as a person sees them: light, dark, and on a phone."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from focus_pipeline.components.connection_tree import ConnectionTree
from focus_pipeline.components.mart import marts
from focus_pipeline.months import current_month, months_back
from focus_pipeline_tests.e2e.chromium import needs_chromium, running_chromium
from focus_pipeline_tests.e2e.dagster_server import DagsterServer, running_dagster
from focus_pipeline_tests.e2e.project import REPOSITORY, Project, clone_with_demo
from focus_pipeline_tests.e2e.test_report_page import CONTRASTS

# The demo has no budgets.
MARTS = [
    mart
    for mart in marts(ConnectionTree.for_project(REPOSITORY / "focus_pipeline"))
    if mart.pictures and mart.name != "budgets"
]
CLOSED = months_back(current_month(), 1)[0]
LARGEST = 100_000
WAIT = 60_000
IMAGES = """() => [...document.querySelectorAll("img[src^='data:image/svg']")].map(image => ({
    bytes: image.src.length, drawn: image.naturalWidth, left: image.getBoundingClientRect().left,
    right: image.getBoundingClientRect().right, said: image.alt}))"""

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(900), needs_chromium]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A clone after `make demo`."""
    project = clone_with_demo(tmp_path_factory.mktemp("pictures") / "clone")
    made = subprocess.run(
        ["make", "demo"], cwd=project.root, env=project.environment, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr[-2000:]
    assert f"The report of {CLOSED}: " in made.stdout
    return project


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as browser:
        expect.set_options(timeout=WAIT)
        yield browser


@pytest.fixture(scope="module")
def dagster(project: Project) -> Iterator[DagsterServer]:
    with running_dagster(project) as server:
        yield server


@pytest.fixture(params=[("light", 1280), ("dark", 1280), ("dark", 390)], ids=["light", "dark", "phone"])
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    scheme, width = request.param
    context = browser.new_context(viewport={"width": width, "height": 1000}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(WAIT)
    yield page
    context.close()


def test_every_mart_shows_its_pictures_by_one_click(dagster: DagsterServer, page: Page) -> None:
    for mart in MARTS:
        images = pictures_of(page, f"{dagster.url}/assets/marts/{mart.name}?view=events")
        titles = {picture.title for picture in mart.pictures}
        assert {title for title in titles if any(image["said"].startswith(title) for image in images)} == titles


def test_the_table_shows_what_providers_cost_and_how_each_month_stands(dagster: DagsterServer, page: Page) -> None:
    address = f"{dagster.url}/assets/focus/cost_and_usage?view=events"
    said = [image["said"] for image in pictures_of(page, address)]
    assert said == ["EffectiveCost by provider, EUR", "EffectiveCost by provider, USD"]
    (grid,) = pictures_of(page, address, entry=1)
    assert grid["said"] == "Status of each month: 36 loaded"


def pictures_of(page: Page, address: str, entry: int = 0) -> list[dict]:
    """The images of an entry of the latest event. They fit into the page, but on a phone, whose dialogs are wider."""
    page.goto(address)
    shown = page.get_by_text("[Show Markdown]")
    expect(shown.first).to_be_visible()
    # On a phone, Dagster's list of events lies over the entries.
    shown.nth(entry).dispatch_event("click")
    expect(page.locator("img[src^='data:image/svg']").first).to_be_visible()
    images = page.evaluate(IMAGES)
    for image in images:
        assert image["bytes"] < LARGEST
        assert image["drawn"] > 300
        if page.viewport_size["width"] > 1000:
            assert image["left"] >= 0
            assert image["right"] <= page.viewport_size["width"]
    return images


def test_the_report_reads_well_everywhere(project: Project, page: Page) -> None:
    page.goto((project.data_dir / "reports" / f"{CLOSED}.html").as_uri())
    expect(page.get_by_role("heading", name=f"Costs of {CLOSED}")).to_be_visible()
    wide, seen = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert wide <= seen, "nothing sticks out"
    assert [(ratio, where) for ratio, where in page.evaluate(CONTRASTS) if ratio < 4.5] == []
    assert page.locator("svg").count() > 20
    for heading in ("What moved", "AI", "Savings and commitments", "Status of the months"):
        expect(page.get_by_role("heading", name=heading, exact=True).first).to_be_visible()


def test_the_report_prints_on_pages(project: Project, page: Page, tmp_path: Path) -> None:
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.goto((project.data_dir / "reports" / f"{CLOSED}.html").as_uri())
    page.pdf(path=tmp_path / "report.pdf", format="A4")
    assert (tmp_path / "report.pdf").stat().st_size > 50_000
    assert [url for url in requested if not url.startswith("file:")] == []
