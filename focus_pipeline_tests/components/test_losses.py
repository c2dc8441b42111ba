"""What takes much of a month away is held back until it is sure; what may still be written is not taken yet."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import dagster as dg
import pytest
from click.testing import CliRunner

from focus_pipeline import cli
from focus_pipeline.components import names
from focus_pipeline.components.month_folders import MonthFolders
from focus_pipeline.connections import month_folders
from focus_pipeline.connections.delivery import Delivery
from focus_pipeline.connections.month_folders import MonthFolders as MonthFoldersConnection
from focus_pipeline.pipeline.judge import judge
from focus_pipeline.pipeline.land import land
from focus_pipeline.pipeline.stage import stage
from focus_pipeline.records.accepted import accepted_delivery, held_back
from focus_pipeline.records.landed import current_token
from focus_pipeline_tests.components.conftest import NAME, Site


def summary_of_accepted(site: Site, run: dg.ExecuteInProcessResult) -> tuple[bool, str]:
    (check,) = [e for e in site.evaluations(run) if e.check_name == "accepted"]
    return check.passed, check.description


def vanish(site: Site, month: str) -> None:
    for path in (site.bucket / month).iterdir():
        path.unlink()
    (site.bucket / month).rmdir()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda site, month: site.deliver(month, rows=4), "from 10 rows to 4"),
        (lambda site, month: site.deliver(month, rows=10, cost="0.5"), "from 12.50 to 5.00 USD"),
        (lambda site, month: site.deliver(month, rows=10, cost="-1.25"), "from 12.50 to -12.50 USD"),
        (lambda site, month: site.deliver(month, rows=10, BillingCurrency="EUR"), "from 12.50 to 0.00 USD"),
        (lambda site, month: (site.bucket / month / "expenses.csv").write_text(HEADER), "from 10 rows to 0"),
        (vanish, "from 10 rows to 0"),
    ],
    ids=["rows", "cost", "cost of another sign", "a currency", "a header alone", "every file"],
)
def test_a_delivery_that_takes_most_of_a_month_away_is_held_back_and_the_good_month_stays(
    site: Site, recent: list[str], change: Callable[[Site, str], None], said: str
) -> None:
    month = recent[-1]
    site.deliver(recent[0])
    site.deliver(month, rows=10)
    site.tick_and_load()
    change(site, month)
    (run,) = site.tick_and_load()
    assert not run.success
    passed, summary = summary_of_accepted(site, run)
    assert not passed
    assert summary.startswith(f"held back: it would take {NAME} {month} {said}")
    assert f"`focus-pipeline accept {NAME} {month}`" in summary
    assert site.billed(month) == Decimal("12.5")
    waiting = site.tick()
    assert not waiting.run_requests
    assert f"{month} held back: it would take" in waiting.skip_reason.skip_message


HEADER = ",".join(("BilledCost", "BillingAccountId", "BillingCurrency", "BillingPeriodStart", "BillingPeriodEnd",
                   "ChargeCategory", "ChargeFrequency", "ChargePeriodStart", "ChargePeriodEnd", "EffectiveCost",
                   "ListCost", "Provider", "ResourceId", "ServiceCategory", "ServiceName"))  # fmt: skip


@pytest.mark.parametrize(("rows", "cost"), [(5, "1.25"), (11, "0.6"), (10, "0.625"), (100, "1.25")])
def test_what_is_within_the_limit_is_taken_at_once(site: Site, recent: list[str], rows: int, cost: str) -> None:
    month = recent[-1]
    site.deliver(month, rows=10)
    site.tick_and_load()
    site.deliver(month, rows=rows, cost=cost)
    assert [run.success for run in site.tick_and_load()] == [True]
    assert site.billed(month) == rows * Decimal(cost)


def test_the_limit_is_a_setting(make_site, recent: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOCUS_LOSS_LIMIT", "100")
    site: Site = make_site(NAME)
    site.deliver(recent[-1], rows=10)
    site.tick_and_load()
    site.deliver(recent[-1], rows=1)
    assert [run.success for run in site.tick_and_load()] == [True]


def test_what_the_provider_still_shows_after_a_while_is_taken(
    site: Site, recent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    month = recent[-1]
    site.deliver(month, rows=10)
    site.tick_and_load()
    site.deliver(month, rows=1)
    site.tick_and_load()
    assert not site.tick().run_requests
    monkeypatch.setenv("FOCUS_LOSS_WAIT_HOURS", "0")
    (request,) = site.tick().run_requests
    assert names.ACCEPT_LOSS_TAG in request.tags
    assert site.load(request).success
    assert site.billed(month) == Decimal("1.25")
    assert "accepted" in site.tick().skip_reason.skip_message


def test_delete_then_export_never_empties_the_table(site: Site, recent: list[str]) -> None:
    month = recent[-1]
    site.deliver(recent[0])
    site.deliver(month, rows=10)
    site.tick_and_load()
    vanish(site, month)
    site.tick_and_load()
    assert site.billed(month) == Decimal("12.5")
    site.deliver(month, rows=3)
    site.tick_and_load()
    assert site.billed(month) == Decimal("12.5")
    site.deliver(month, rows=12)
    assert [run.success for run in site.tick_and_load()] == [True]
    assert site.billed(month) == Decimal("15")
    assert held_back(NAME, month, "", site.data_dir) == ""
    assert not (site.data_dir.staged(NAME, month) / "held_back.json").exists()


def test_what_was_held_back_says_nothing_of_the_next_delivery(site: Site, recent: list[str]) -> None:
    month = recent[-1]
    site.deliver(month, rows=10)
    site.tick_and_load()
    accepted = accepted_delivery(NAME, month, site.data_dir).token
    site.deliver(month, rows=1)
    site.tick_and_load()
    said = held_back(NAME, month, current_token(NAME, month, site.data_dir), site.data_dir)
    assert said == f"it would take {NAME} {month} from 10 rows to 1 and from 12.50 to 1.25 USD"
    assert held_back(NAME, month, accepted, site.data_dir) == ""


@pytest.mark.parametrize("how", ["the command", "a tag of the run"])
def test_a_person_takes_what_is_held_back(
    site: Site, recent: list[str], monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    month = recent[-1]
    site.deliver(month, rows=10)
    site.tick_and_load()
    site.deliver(month, rows=1)
    site.tick_and_load()
    if how == "a tag of the run":
        assert site.run(month, tags={names.ACCEPT_LOSS_TAG: "yes"}).success
    else:
        accepted = CliRunner().invoke(cli.main, ["accept", NAME, month])
        assert accepted.exit_code == 0, accepted.output
        assert f"accepted, although it would take {NAME} {month} from 10 rows to 1" in accepted.output
        again = CliRunner().invoke(cli.main, ["accept", NAME, month])
        assert (again.exit_code, again.output) == (1, f"Error: nothing of {NAME} {month} is held back\n")
        assert not site.tick().run_requests
        assert [run.success for run in site.publish_accepted()] == [True]
    assert site.billed(month) == Decimal("1.25")


def test_a_manifest_that_says_empty_is_believed(site: Site, recent: list[str]) -> None:
    month = recent[-1]
    site.deliver(month, rows=10)
    site.tick_and_load()
    connection = MonthFoldersConnection(NAME, site.bucket.as_uri())
    declared = Delivery(month, (), declared=True)
    assert declared.token != Delivery(month, ()).token
    staged = stage(land(connection, declared, site.data_dir), site.data_dir, month_rule=True)
    verdict = judge(staged, site.data_dir, month_rule=True)
    assert verdict.accepted
    assert verdict.checks[0].summary == "no rows: the provider says that it is empty"
    assert accepted_delivery(NAME, month, site.data_dir).token == declared.token


def test_a_manifest_that_says_less_is_believed_unless_a_file_of_it_is_rejected(site: Site, recent: list[str]) -> None:
    month = recent[-1]
    connection = MonthFoldersConnection(NAME, site.bucket.as_uri())

    def judged(*rows: int) -> bool:
        for number, count in enumerate(rows):
            site.deliver(month, f"{number}.csv", rows=count or 1, ResourceName=f"file {number} of {rows}")
            if not count:
                (site.bucket / month / f"{number}.csv").write_text("broken\n1,2\n")
        delivery = replace(connection.discover([month]).deliveries[month], declared=True)
        staged = stage(land(connection, delivery, site.data_dir), site.data_dir, month_rule=True)
        return judge(staged, site.data_dir, month_rule=True).accepted

    assert judged(10, 10)
    assert judged(1, 1)
    assert judged(10, 10)
    assert not judged(3, 0)


def test_a_month_that_the_provider_does_not_show_is_no_perfect_one(site: Site, recent: list[str]) -> None:
    site.deliver(recent[-1])
    run = site.run(recent[0])
    assert run.success
    assert summary_of_accepted(site, run) == (True, "no rows: the provider shows nothing of it")
    metadata = site.metadata(run, names.cost_and_usage(NAME))
    assert "Conformance score (%)" not in metadata


# What may still be written


def age(site: Site, month: str, minutes: int) -> None:
    for path in (site.bucket / month).iterdir():
        os.utime(path, (time.time() - 60 * minutes,) * 2)


def test_a_month_that_changed_a_short_while_ago_is_not_taken_yet(make_site, recent: list[str]) -> None:
    site: Site = make_site(NAME, quiet_minutes=10)
    month = recent[-1]
    site.deliver(month)
    waiting = site.tick()
    assert not waiting.run_requests
    assert f"{month} changed a short while ago, taken once unchanged until" in waiting.skip_reason.skip_message
    age(site, month, 11)
    assert [run.success for run in site.tick_and_load()] == [True]
    site.deliver(month, "more.csv")
    assert not site.tick().run_requests


def test_what_was_removed_counts_from_when_it_was_noticed(
    make_site, recent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site: Site = make_site(NAME, quiet_minutes=10)
    month = recent[-1]
    for file in ("a.csv", "b.csv", "c.csv"):
        site.deliver(month, file, ResourceId=file)
    age(site, month, 60)
    site.tick_and_load()
    (site.bucket / month / "c.csv").unlink()
    assert not site.tick().run_requests, "the other files are old, and more may go"
    cursor = site.cursors[f"{NAME}_deliveries"]
    for moment in ("+00:00",):
        assert moment in cursor
    site.cursors[f"{NAME}_deliveries"] = cursor.replace(cursor[cursor.index('"since": "') + 10 :][:10], "2020-01-01")
    assert [run.success for run in site.tick_and_load()] == [True]
    assert site.billed(month) == Decimal("2.5")


def test_a_run_takes_no_other_state_than_the_one_that_was_seen(make_site, recent: list[str]) -> None:
    site: Site = make_site(NAME, quiet_minutes=10)
    month = recent[-1]
    site.deliver(month)
    age(site, month, 11)
    (first,) = site.tick().run_requests
    site.deliver(month, "half.csv", cost="100")
    run = site.load(first)
    assert not run.success, "there is nothing of the month yet that could be kept"
    (site.bucket / month / "half.csv").unlink()
    assert site.load(first).success
    site.deliver(month, "more.csv", cost="10", ResourceId="more")
    age(site, month, 11)
    (second,) = site.tick().run_requests
    site.deliver(month, "half.csv", cost="100")
    assert site.load(second).success
    assert site.billed(month) == Decimal("1.25"), "what was landed before is kept"


def test_a_marker_says_when_a_month_is_whole(tmp_path) -> None:
    folder = tmp_path / "2025-03"
    folder.mkdir()
    (folder / "bill.csv").write_text("x")
    (tmp_path / "2025-02").mkdir()
    (tmp_path / "2025-02" / "_SUCCESS").touch()
    (tmp_path / "2025-02" / "bill.csv").write_text("x")
    connection = MonthFoldersConnection(NAME, tmp_path.as_uri(), marker="_SUCCESS")
    discovery = connection.discover()
    assert list(discovery.deliveries) == ["2025-02"]
    assert [item.key for item in discovery.deliveries["2025-02"].objects] == ["2025-02/bill.csv"]
    assert discovery.ignored == ()
    assert discovery.held_back["2025-03"] == f"pending: 2025-03 in {discovery.looked_in} has no _SUCCESS yet"
    (folder / "_SUCCESS").touch()
    assert list(connection.discover().deliveries) == ["2025-02", "2025-03"]


def test_with_a_marker_nothing_else_is_waited_for() -> None:
    component = MonthFolders(name=NAME, url="/tmp/x", marker="_SUCCESS")
    assert not component.connection().quiet
    assert MonthFolders(name=NAME, url="/tmp/x").connection().quiet.total_seconds() == 600
    assert month_folders.MonthFolders(NAME, "/tmp/x").quiet.total_seconds() == 0
