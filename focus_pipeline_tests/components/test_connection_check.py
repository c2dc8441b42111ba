"""`focus-pipeline check`: what it says of each month is what the sensor and its runs then do."""

from collections.abc import Callable

import pytest
from rich.console import Console

from focus_pipeline import connection_check
from focus_pipeline.components import names
from focus_pipeline.components.month_folders import MonthFolders
from focus_pipeline.months import months_back
from focus_pipeline_tests.components.conftest import NAME, Site
from focus_pipeline_tests.month_files import charges_of, write_csv


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[bool, str]]:
    """Checks the connection of a site; gives whether it can be used, and what was printed."""

    def check(site: Site, **attributes: object) -> tuple[bool, str]:
        console = Console(record=True, width=300)
        monkeypatch.setattr(connection_check, "console", console)
        component = MonthFolders(name=NAME, url=str(site.bucket), quiet_minutes=0, **attributes)
        return connection_check.check_connection(component), console.export_text()

    return check


def fates(said: str) -> dict[str, str]:
    """Month -> what happens, in the order of the lines."""
    rows = [line.split(maxsplit=3) for line in said.splitlines()]
    return {row[0]: row[3].strip() for row in rows if len(row) == 4 and row[0][:2] == "20" and row[0][4:5] == "-"}


def test_every_month_is_told_with_what_comes_of_it(
    site: Site, recent: list[str], check: Callable[..., tuple[bool, str]]
) -> None:
    (older, *_) = months_back(recent[0], 1)
    emptied, changed, rejected = recent
    for month in (changed, rejected, older, emptied, "2023-12", "2099-01"):
        site.deliver(month, cost="$5" if month == rejected else "1.25")
    before = fates(check(site)[1])
    assert list(before) == sorted(before), "months are in their order"
    assert before == {
        "2023-12": before["2023-12"],
        older: "before the look-back (load them with a backfill)",
        **dict.fromkeys(recent, "new; the sensor loads it"),
        "2099-01": before["2099-01"],
    }
    assert before["2023-12"].startswith("before the first partition")
    assert before["2099-01"].startswith("not begun yet")
    site.tick_and_load()
    after = fates(check(site)[1])
    assert after[emptied] == after[changed] == "unchanged since it was loaded"
    assert after[rejected] == "unchanged since it was rejected; its checks say why"
    (site.bucket / emptied / "expenses.csv").unlink()
    site.deliver(changed, "more.csv")
    after = fates(check(site)[1])
    assert after[emptied].startswith("emptied: the provider shows no file of it any more; taken from the table once")
    assert after[changed] == "changed; the sensor loads it again"
    site.tick_and_load()
    assert fates(check(site)[1])[emptied].startswith("unchanged and held back for what it takes away")


def test_what_was_fetched_and_not_judged_is_told_as_such(
    site: Site, recent: list[str], check: Callable[..., tuple[bool, str]]
) -> None:
    site.deliver(recent[-1])
    site.run(recent[-1], asset_selection=[names.raw_files(NAME)])
    assert fates(check(site)[1])[recent[-1]] == "fetched and not judged yet; the sensor loads it"


def test_the_file_is_judged_as_the_version_that_the_connection_declares(
    site: Site, recent: list[str], check: Callable[..., tuple[bool, str]]
) -> None:
    """As the load does: a verdict of another version would be of other rules."""
    site.deliver(recent[-1])
    assert "can be loaded, as FOCUS 1.0" in check(site)[1]
    usable, said = check(site, focus_version="1.2")
    assert usable
    assert "can be loaded, as FOCUS 1.2" in said
    assert "required_columns: " in said, "1.2 asks for columns that the file does not have"


def test_the_month_rule_holds_for_a_month_s_own_folder(
    site: Site, recent: list[str], check: Callable[..., tuple[bool, str]]
) -> None:
    (site.bucket / recent[-1]).mkdir(parents=True)
    write_csv(site.bucket / recent[-1] / "expenses.csv", charges_of(recent[0], 2))
    usable, said = check(site)
    assert not usable
    assert "✗ charge_month: " in said
    assert check(site, month_rule=False)[0]


def test_nothing_is_kept_of_a_check_and_no_rule_is_compiled_twice(
    site: Site, recent: list[str], check: Callable[..., tuple[bool, str]]
) -> None:
    site.deliver(recent[-1])
    before = {path: path.stat().st_mtime_ns for path in site.data_dir.root.rglob("*")}
    assert any("cache" in path.parts for path in before)
    assert check(site)[0]
    assert {path: path.stat().st_mtime_ns for path in site.data_dir.root.rglob("*")} == before
