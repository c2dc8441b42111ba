"""The HTML report of `focus-pipeline validate` as a person sees it, in a headless chromium."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from playwright.sync_api import Browser, Page

from focus_pipeline.cli import main
from focus_pipeline_tests.e2e.chromium import needs_chromium, running_chromium
from focus_pipeline_tests.month_files import as_csv, focus_row, write_csv, write_parquet

LONG = "arn:aws:bcm-data-exports:eu-central-1:" + "0123456789abcdef" * 14
# Of every text on the page: the contrast with what is behind it, as WCAG 2 defines it.
CONTRASTS = """() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number);
  const light = text => {
    const [r, g, b] = rgb(text).map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (rgb(colour)[3] !== 0) return colour;
    }
  };
  document.querySelectorAll("details").forEach(details => details.open = true);
  return [...document.querySelectorAll("main *")]
    .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
    .map(e => {
      const [a, b] = [light(getComputedStyle(e).color), light(behind(e))];
      return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.tagName + "." + e.className];
    });
}"""

pytestmark = [pytest.mark.slow, pytest.mark.browser, needs_chromium]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory, compiled_rules: Path) -> Path:
    """Of files that break rules of every severity, with names and values without a place to break them."""
    folder = tmp_path_factory.mktemp("validated")
    (folder / "data").mkdir()
    (folder / "data" / "cache").symlink_to(compiled_rules)
    rows = [focus_row(ResourceId=LONG, x_Note="over\nlines") for _ in range(3)]
    rows[1] |= {"ListCost": "123456789012345678901", "ServiceCategory": LONG, "BilledCost": "1234567.00000000000000012"}
    rows[2] |= {"ChargeCategory": LONG}
    write_csv(folder / f"{LONG[-200:]}.csv", [*rows, rows[0]])
    write_parquet(folder / "bill.parquet", [focus_row(BillingCurrency="JPY", EffectiveCost="12345678901234567890")])
    (folder / "zipped.csv").write_bytes(b"PK\x03\x04")
    (folder / "ragged.csv").write_bytes(as_csv([focus_row()]) + LONG.encode() + b"\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("FOCUS_DATA_DIR", str(folder / "data"))
        files = [f"{LONG[-200:]}.csv", "bill.parquet", "zipped.csv", "ragged.csv"]
        CliRunner().invoke(main, ["validate", *files, "--format", "html", "--output", "report.html"])
    return folder / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as browser:
        yield browser


def opened(browser: Browser, report: Path, width: int = 1100, scheme: str = "light") -> Page:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto(report.as_uri())
    return page


@pytest.mark.parametrize("width", [320, 390, 700, 780, 1100])
def test_the_page_fits_a_screen_of_any_width(browser: Browser, report: Path, width: int) -> None:
    page = opened(browser, report, width)
    page.evaluate("document.querySelectorAll('details').forEach(details => details.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    beyond = "[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > innerWidth).length"
    assert page.evaluate(beyond) == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1100])
def test_the_page_can_be_read_in_the_light_and_in_the_dark(
    browser: Browser, report: Path, scheme: str, width: int
) -> None:
    page = opened(browser, report, width, scheme)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(245, 246, 248)", "dark": "rgb(14, 18, 23)"}[scheme]
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light dark"
    contrasts = page.evaluate(CONTRASTS)
    assert len(contrasts) > 100
    assert [found for found in contrasts if found[0] < 4.5] == [], "WCAG AA asks for 4.5"


def test_the_verdict_is_first_the_contract_next_and_what_is_kept_is_folded(browser: Browser, report: Path) -> None:
    page = opened(browser, report)
    first, *_ = page.locator("main").inner_text().splitlines()
    verdict = "The files cannot be loaded as they are: 2 rules of the contract are broken and 2 files are rejected."
    assert (first, page.title()) == (verdict, verdict.removesuffix("."))
    assert "can be loaded" not in page.locator("body").inner_text()
    assert page.locator("h2").all_inner_texts() == ["Broken rules", "Files", "Totals", "Rules that are kept"]
    groups = page.locator(".group").all_inner_texts()
    assert groups == ["The contract: this keeps the files out", "Rejected files", "Errors", "Warnings"]
    assert page.locator(".broken").first.inner_text().startswith("ERROR ChargeCategory")
    details = page.locator("details")
    # A check of which a rule is broken does not say that all is well.
    assert "of 2 kept" in details.filter(has_text="files_readable").locator("summary").inner_text()
    assert details.count() > 5
    assert page.locator("details[open]").count() == 0
    assert not details.first.locator("table").is_visible()
    details.first.locator("summary").click()
    assert details.first.locator("table").is_visible()


def test_places_are_lines_and_costs_have_separators_and_a_currency(browser: Browser, report: Path) -> None:
    page = opened(browser, report)
    assert f"line 4 of {LONG[-200:]}.csv" in page.locator(".broken", has_text="ListCost").first.inner_text()
    totals = page.locator("section", has=page.get_by_role("heading", name="Totals"))
    assert "12,345,678,901,234,567,890.00 JPY" in totals.inner_text()
    assert "1,234,570.75 USD\nexactly 1,234,570.75000000000000012" in totals.inner_text()
    assert totals.locator("data").all()[2].get_attribute("value") == "1234570.750000000000000120"
    assert page.locator("script").count() == 0
