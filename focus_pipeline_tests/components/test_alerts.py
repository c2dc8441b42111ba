"""Alerts in Dagster, over live servers on loopback: what is told, once, and what is not."""

import logging
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg
import pytest
from apprise.plugins.email import NotifyEmail
from click.testing import CliRunner
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable

from focus_pipeline import cli
from focus_pipeline.alerts import channels, outbox
from focus_pipeline.alerts.outbox import read_outbox
from focus_pipeline.components import ingestion, names, problems
from focus_pipeline.components.alerts import Alerts
from focus_pipeline.components.month_folders import MonthFolders
from focus_pipeline.components.not_loaded import NotLoaded
from focus_pipeline.components.policies import with_policies
from focus_pipeline.connections.store_errors import AccessDenied
from focus_pipeline.defs.focus.unified import unified_definitions
from focus_pipeline.months import months_back
from focus_pipeline.pipeline.verdict import CHECKS
from focus_pipeline.records import looks
from focus_pipeline.storage import DataDir
from focus_pipeline_tests.components.conftest import NAME, Site
from focus_pipeline_tests.fakes.alert_receivers import (
    MailServer,
    WebHook,
    mail_server,
    web_hook,
    web_hook_named,
)

TOKEN = "T0ken-that-is-secret"


@pytest.fixture
def hook() -> Iterator[WebHook]:
    with web_hook() as server:
        yield server


@pytest.fixture
def mail(monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    monkeypatch.setattr(NotifyEmail, "request_rate_per_sec", 0)
    with mail_server() as server:
        yield server


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel that failed is asked again at the next look."""
    monkeypatch.setattr(outbox, "FIRST_WAIT", timedelta(0))


def tell(site: Site, hook: WebHook | None = None, **more: object) -> Site:
    """The site with alerts, as after a start of its code location: it remembers nothing of an earlier one."""
    options = {"channels": {"hook": hook.url}} if hook else {}
    alerts = Alerts.resolve_from_dict(options | more).build_defs(None)
    return Site(site.bucket, site.data_dir, site.instance, dg.Definitions.merge(site.definitions, alerts), site.cursors)


def test_a_rejected_month_is_told_once_and_its_recovery_once_over_servers_that_fail(
    site: Site, recent: list[str], hook: WebHook, mail: MailServer
) -> None:
    month, urls = recent[-1], {"hook": hook.url, "mail": mail.url}
    told = tell(site, channels=urls)
    assert told.look_for_problems() == "no problem is open"
    site.deliver(month, rows=3, cost="abc")
    (run,) = site.tick_and_load()
    hook.answers, mail.refuses = [503, 503], 1
    assert "1 message waits for hook: Failed to send JSON POST" in told.look_for_problems()
    assert (hook.taken, mail.taken) == ([], [])
    told = tell(site, channels=urls)  # the daemon and the code location are started again
    told.look_for_problems()
    assert (hook.taken, len(mail.taken)) == ([], 1), "a channel that is down holds up no other"
    for _ in range(3):
        assert told.look_for_problems() == "2 problems are open"
    # Tried again: by the sensor, which waits, and by a person.
    assert site.tick_and_load() == []
    assert not site.ingest(month).success
    told.look_for_problems()
    (message,) = hook.taken
    assert message["title"] == f"{NAME} {month}: not accepted"
    said = message["message"]
    assert said.startswith("FOCUS validation failed: BilledCost is a decimal number")
    assert f"3 of 3 rows break this, the first is line 2 of {month}/expenses.csv, where BilledCost is 'abc'" in said
    assert "write BilledCost as a decimal number" in said
    assert "The check values_readable fails." in said
    assert "Delivered: 1 file; what can be read of it is 3 rows, BilledCost 0.00 USD." in said
    assert f"\nhttp://localhost:3000/runs/{run.run_id}\n" in said
    (letter,) = mail.taken
    assert letter["Subject"] == message["title"]
    assert run.run_id in letter.get_content()
    assert letter["X-Alert-Id"] == hook.ids[0]

    site.deliver(month, rows=3, cost="1.25")
    site.tick_and_load()
    for _ in range(3):
        assert told.look_for_problems() == "no problem is open"
        told = tell(site, channels=urls)
    assert hook.titles == [message["title"], f"{NAME} {month}: resolved"]
    assert [one["type"] for one in hook.taken] == ["warning", "success"]
    assert "not accepted; the check values_readable fails." in hook.taken[1]["message"]
    assert [one["Subject"] for one in mail.taken] == hook.titles


def test_a_run_that_fails_is_told_once_however_often_it_is_tried_until_one_succeeds(
    site: Site, recent: list[str], hook: WebHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, month = tell(site, hook), recent[-1]
    site.deliver(month)

    def refused(*args: object, **more: object) -> None:
        raise AccessDenied("Access Denied: the role may not read; grant s3:GetObject")

    with monkeypatch.context() as patched:
        patched.setattr(ingestion, "fetch_month", refused)
        site.ingest(month)
        told.look_for_problems()
        (message,) = hook.taken
        assert message["title"] == f"{NAME} {month}: not loaded"
        assert "Access Denied: the role may not read; grant s3:GetObject" in message["message"]
        site.ingest(month)
        told.look_for_problems()
    # The next attempt is at work: its result is not known.
    job = site.definitions.resolve_job_def(f"{NAME}_ingest")
    waiting = site.instance.create_run_for_job(job, tags={"dagster/partition": month})
    assert told.look_for_problems() == "1 problem is open"
    site.instance.report_run_canceled(waiting)
    assert told.look_for_problems() == "1 problem is open", "a person has ended it; the month is not loaded"
    assert len(hook.taken) == 1
    site.ingest(month)
    told.look_for_problems()
    assert hook.titles[1:] == [f"{NAME} {month}: resolved"]


def test_a_crashed_run_that_dagster_takes_up_again_is_not_told_before_its_retry_has_failed(
    site: Site, recent: list[str], hook: WebHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, month = tell(site, hook), recent[-1]
    job = site.definitions.resolve_job_def(f"{NAME}_ingest")
    tags = {"dagster/partition": month, "dagster/will_retry": "true"}
    run = site.instance.create_run_for_job(job, tags=tags)
    site.instance.report_run_failed(run, "The process of the run is gone")
    site.instance.add_run_tags(run.run_id, {"dagster/will_retry": "true"})
    assert told.look_for_problems() == "no problem is open"
    monkeypatch.setattr(problems, "_RETRIED_WITHIN", timedelta(0))
    assert told.look_for_problems() == "1 problem is open"
    assert "The process of the run is gone" in hook.taken[0]["message"]


def test_months_that_fail_in_one_run_are_told_each_with_its_own_reason(
    site: Site, recent: list[str], hook: WebHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tell(site, hook)
    for month in recent:
        site.deliver(month)
    fetch = ingestion.fetch_month

    def partly(connection: object, month: str, *args: object, **more: object) -> object:
        if month != recent[1]:
            raise AccessDenied(f"Access Denied to {month}/")
        return fetch(connection, month, *args, **more)

    monkeypatch.setattr(ingestion, "fetch_month", partly)
    job = site.definitions.resolve_job_def(f"{NAME}_ingest")
    job.execute_in_process(instance=site.instance, tags=names.range_tags(recent[0], recent[2]), raise_on_error=False)
    told.look_for_problems()
    assert sorted(hook.titles) == [f"{NAME} {recent[0]}: not loaded", f"{NAME} {recent[2]}: not loaded"]
    for one in hook.taken:
        month = one["title"].split()[1].rstrip(":")
        (other,) = {recent[0], recent[2]} - {month}
        assert f"Access Denied to {month}/" in one["message"]
        assert other not in one["message"]


def test_what_is_held_back_is_told_with_its_amounts_and_what_to_do(
    site: Site, recent: list[str], hook: WebHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, month = tell(site, hook), recent[-1]
    site.deliver(month, rows=10)
    site.tick_and_load()
    site.deliver(month, rows=4)
    site.tick_and_load()
    told.look_for_problems()
    (message,) = hook.taken
    assert message["title"] == f"{NAME} {month}: held back"
    assert "from 10 rows to 4 and from 12.50 to 5.00 USD" in message["message"]
    assert f"`focus-pipeline accept {NAME} {month}`" in message["message"]
    assert "what can be read of it is 4 rows, BilledCost 5.00 USD" in message["message"]
    monkeypatch.setenv("FOCUS_LOSS_WAIT_HOURS", "0")
    site.tick_and_load()
    told.look_for_problems()
    assert hook.titles[1:] == [f"{NAME} {month}: resolved"]


def test_a_month_that_cannot_be_published_is_told_and_so_is_a_job_whose_run_failed(
    site: Site, recent: list[str], hook: WebHook
) -> None:
    @dg.op
    def tidies() -> None:
        raise dg.Failure("the disk is full: free space, then run it again", allow_retries=False)

    @dg.op
    def tidies_well() -> None:
        pass

    @dg.job(name="own_job")
    def fails() -> None:
        tidies()

    @dg.job(name="own_job")
    def succeeds() -> None:
        tidies_well()

    site.definitions = dg.Definitions.merge(site.definitions, dg.Definitions(jobs=[fails]))
    told, month = tell(site, hook), recent[-1]
    site.deliver(month)
    site.ingest(month)
    for staged in site.data_dir.staged(NAME, month).glob("*.parquet"):
        staged.write_bytes(b"damaged")
    (published,) = site.publish_accepted()
    assert not published.success
    fails.execute_in_process(instance=site.instance, raise_on_error=False)
    told.look_for_problems()
    by_title = {one["title"]: one["message"] for one in hook.taken}
    assert sorted(by_title) == [f"focus/cost_and_usage {month}: not published", "own_job: its run failed"]
    assert NAME in by_title[f"focus/cost_and_usage {month}: not published"]
    assert "the disk is full: free space" in by_title["own_job: its run failed"]
    succeeds.execute_in_process(instance=site.instance)
    told.look_for_problems()
    assert hook.titles[2:] == ["own_job: resolved"]


# Looks at providers


def passed(monkeypatch: pytest.MonkeyPatch, site: Site, hook: WebHook, **elapsed: float) -> Site:
    """The site as it is so much later."""

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.now(UTC) + timedelta(**elapsed)

    monkeypatch.setattr("focus_pipeline.components.alerts.datetime", Later)
    return tell(site, hook)


def test_a_sensor_that_fails_is_told_after_a_while_and_so_is_its_end(
    site: Site, recent: list[str], hook: WebHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.bucket.parent.mkdir(parents=True, exist_ok=True)
    for _ in range(2):
        with pytest.raises(dg.Failure, match="there is no folder"):
            site.tick()
    assert tell(site, hook).look_for_problems() == "no problem is open", "it may pass by itself"
    later = passed(monkeypatch, site, hook, minutes=16)
    assert later.look_for_problems() == "1 problem is open"
    (message,) = hook.taken
    assert message["title"] == f"{NAME}: its sensor fails"
    assert "there is no folder" in message["message"]
    assert f"http://localhost:3000/locations/focus_pipeline/sensors/{NAME}_deliveries" in message["message"]
    site.deliver(recent[-1])
    site.tick()
    later.look_for_problems()
    assert hook.titles[1:] == [f"{NAME}: resolved"]


def test_a_month_that_the_provider_keeps_back_is_told_once_it_lasts(
    site: Site, recent: list[str], hook: WebHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.deliver(recent[-1])
    site.tick()
    held = {recent[-1]: "the manifest names a file that is not there"}
    looks.record_look(NAME, held, site.data_dir)
    looks.record_look(NAME, held, site.data_dir)
    assert tell(site, hook).look_for_problems() == "no problem is open", "it may be delivered right now"
    later = passed(monkeypatch, site, hook, hours=3)
    later.look_for_problems()
    assert hook.titles == [f"{NAME} {recent[-1]}: held back"]
    assert "the manifest names a file that is not there" in hook.taken[0]["message"]
    looks.record_failed_look(NAME, "out of reach", site.data_dir)
    later.look_for_problems()
    assert len(hook.titles) == 2, "a look that fails says nothing of it"
    looks.record_look(NAME, {}, site.data_dir)
    later.look_for_problems()
    assert sorted(hook.titles[2:]) == [f"{NAME} {recent[-1]}: resolved", f"{NAME}: resolved"]


def test_a_connection_is_stale_when_dagster_shows_it_as_overdue(
    site: Site, recent: list[str], hook: WebHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    component = MonthFolders(name=NAME, url=str(site.bucket), stale_after_hours=72)
    site.definitions = with_policies(site.definitions, {NAME: component}, {})
    assert tell(site, hook).look_for_problems() == "no problem is open", "it has not begun to deliver"
    site.deliver(recent[-1])
    site.tick_and_load()
    assert passed(monkeypatch, site, hook, hours=71).look_for_problems() == "no problem is open"
    told = passed(monkeypatch, site, hook, hours=73)
    told.look_for_problems()
    assert told.look_for_problems() == "1 problem is open"
    assert hook.titles == [f"{NAME}: stale"]
    assert "for longer than the 72 hours of `stale_after_hours`" in hook.taken[0]["message"]
    assert f"`focus-pipeline check {NAME}` shows what it delivers" in hook.taken[0]["message"]
    assert f"http://localhost:3000/assets/{NAME}/latest_delivery" in hook.taken[0]["message"]
    site.deliver(recent[-1], cost="1.5")
    site.tick_and_load()
    passed(monkeypatch, site, hook, hours=1).look_for_problems()
    assert hook.titles[1:] == [f"{NAME}: resolved"]


# Which checks


def evaluated(site: Site, asset: dg.AssetKey, check: str, month: str, *, severity: str, passed: bool = False) -> None:
    site.instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=asset,
            check_name=check,
            passed=passed,
            severity=dg.AssetCheckSeverity[severity],
            description=f"1,250.00 USD of {check}",
            partition=month,
        )
    )


def test_warnings_are_told_of_the_checks_that_are_named_and_nothing_of_what_is_ignored(
    site: Site, recent: list[str], hook: WebHook
) -> None:
    own = names.cost_and_usage(NAME)
    evaluated(site, own, "prices", recent[0], severity="WARN")
    evaluated(site, own, "periods", recent[1], severity="ERROR")
    evaluated(site, names.UNIFIED, "defined", recent[2], severity="WARN")
    assert tell(site, hook).look_for_problems() == "1 problem is open"
    assert hook.titles == [f"{NAME} {recent[1]}: the check periods fails"]
    more = tell(site, hook, warnings=["focus/*"], ignore=[f"{NAME}/*/periods"])
    assert more.look_for_problems() == "1 problem is open"
    assert hook.titles[1:] == [
        f"focus/cost_and_usage {recent[2]}: the check defined fails",
        f"{NAME} {recent[1]}: resolved",
    ]


def test_what_was_told_of_a_connection_is_not_over_while_its_yaml_cannot_be_used(
    site: Site, recent: list[str], hook: WebHook
) -> None:
    site.deliver(recent[-1], cost="abc")
    site.tick_and_load()
    tell(site, hook).look_for_problems()
    bad = NotLoaded(folder=(NAME,), name=NAME, sentences=("defs/colo_costs/defs.yaml:4: `url` is empty",))
    without = Site(
        site.bucket,
        site.data_dir,
        site.instance,
        dg.Definitions.merge(unified_definitions([], [NAME]), bad.build_defs(None)),
    )
    told = tell(without, hook)
    (event,) = told.definitions.get_sensor_def(f"{NAME}_not_loaded")(
        dg.build_sensor_context(instance=site.instance)
    ).asset_events
    site.instance.report_runless_asset_event(event)
    told.look_for_problems()
    assert hook.titles[1:] == [f"defs/{NAME}: not loaded"]
    assert "defs/colo_costs/defs.yaml:4: `url` is empty" in hook.taken[1]["message"]
    tell(site, hook).look_for_problems()
    assert hook.titles[2:] == [f"defs/{NAME}: resolved"]


def test_500_problems_at_once_are_one_digest_read_within_two_seconds_and_then_not_at_all(
    site: Site, hook: WebHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    months = names.monthly().get_partition_keys()[:33]
    checks = [key for key in site.definitions.resolve_asset_graph().asset_check_keys if key.asset_key != names.UNIFIED]
    for key in checks:
        for month in months:
            evaluated(site, key.asset_key, key.name, month, severity="ERROR")
    count = len(checks) * len(months)
    assert count >= 500
    told = tell(site, hook)
    begun = time.process_time()
    assert told.look_for_problems() == f"{count} problems are open"
    assert time.process_time() - begun < 4, "two seconds on a machine of its own"
    assert hook.titles == [f"{count} problems began"]
    message = hook.taken[0]["message"]
    assert f"Began: {NAME} {count}." in message
    assert f"{NAME} {months[0]}: not accepted. 1,250.00 USD of accepted" in message
    assert f"And {count - 8} more" in message

    def asked(*args: object, **more: object) -> None:
        raise AssertionError("nothing has happened since")

    monkeypatch.setattr(type(site.instance.event_log_storage), "get_asset_check_partition_info", asked)
    assert told.look_for_problems() == f"{count} problems are open"
    assert len(hook.taken) == 1


def test_a_look_at_ten_connections_of_three_years_takes_a_second_and_then_milliseconds(
    tmp_path: Path,
) -> None:
    """Measured: 0.8 s, then 6 ms. 160 checks of 36 months, one month of which fails them all."""
    months = months_back("2025-12", 35)
    checks = [dg.AssetCheckKey(names.cost_and_usage(f"acme{n}"), name) for n in range(10) for name in CHECKS]
    jobs = frozenset(f"acme{number}_ingest" for number in range(10)) | {"focus_publish", "focus_marts", "focus_tidy"}
    watched = problems.Watched(dict.fromkeys(checks, True), jobs)
    looker = problems.Looker(problems.Chosen(), DataDir(tmp_path / "data"))
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        failed = dg.AssetCheckEvaluation(
            asset_key=checks[0].asset_key, check_name=checks[0].name, passed=False, partition=months[7]
        )
        instance.report_runless_asset_event(failed)
        with instance.event_log_storage.index_connection() as connection:
            (first,) = connection.execute(AssetCheckExecutionsTable.select()).mappings()
            rows = [
                {
                    **first,
                    "id": number,
                    "asset_key": check.asset_key.to_string(),
                    "check_name": check.name,
                    "partition": month,
                    "execution_status": "FAILED" if month == months[7] else "SUCCEEDED",
                }
                for number, (check, month) in enumerate(product(checks, months), start=first["id"])
                if (check, month) != (checks[0], months[7])
            ]
            connection.execute(AssetCheckExecutionsTable.delete())
            connection.execute(AssetCheckExecutionsTable.insert(), [dict(first) | {"id": 10**6}, *rows])
        seconds = []
        for _ in range(2):
            begun = time.process_time()
            assert len(looker.look(instance, watched, datetime.now(UTC)).problems) == len(checks)
            seconds.append(time.process_time() - begun)
    assert seconds[0] < 3
    assert seconds[1] < 0.1


def test_what_a_run_that_died_did_not_come_to_is_as_it_was(site: Site, recent: list[str], hook: WebHook) -> None:
    """Dagster plans the checks of a run, and leaves them planned where it dies."""
    told, month = tell(site, hook), recent[-1]
    site.deliver(month, cost="abc")
    site.tick_and_load()
    told.look_for_problems()
    job = site.definitions.resolve_job_def(f"{NAME}_ingest")
    run = site.instance.create_run_for_job(job, tags={"dagster/partition": month})
    site.instance.report_run_failed(run, "The process of the run is gone")
    assert told.look_for_problems() == "3 problems are open", "the rejected month, and the run that died"
    assert hook.titles == [f"{NAME} {month}: not accepted", f"{NAME} {month}: not loaded"]
    assert "Still open: not accepted" in hook.taken[1]["message"]


# Secrets


def test_no_secret_of_a_channel_is_in_messages_logs_errors_or_on_disk(
    site: Site,
    recent: list[str],
    hook: WebHook,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HOOK_TOKEN", TOKEN)
    caplog.set_level(logging.DEBUG)
    url = f"json://127.0.0.1:{hook.port}/{{{{ env.HOOK_TOKEN }}}}"
    urls = {
        "hook": url,
        "gone": "json://user:{{ env.HOOK_TOKEN }}@127.0.0.1:9/{{ env.HOOK_TOKEN }}",
        "none": "nothing://{{ env.HOOK_TOKEN }}",
    }
    told = tell(site, channels=urls)
    site.deliver(recent[-1], cost="abc", ServiceName=TOKEN)
    site.tick_and_load()
    hook.answers = [500]
    said = [told.look_for_problems(), told.look_for_problems()]
    assert hook.asked == [f"/{TOKEN}"] * 2, "it is used"
    assert "Apprise does not know the URL of the channel none" in said[0]
    answer = CliRunner().invoke(cli.main, ["alert"])
    kept = (site.data_dir.alerts / "outbox.json").read_text()
    everything = [*said, kept, caplog.text, *capfd.readouterr(), str(hook.taken), answer.output]
    assert not any(TOKEN in text for text in everything)

    def raises(*args: object, **more: object) -> None:
        raise RuntimeError(f"POST http://user:{TOKEN}@127.0.0.1/")

    monkeypatch.setattr(problems.Looker, "look", raises)
    with pytest.raises(Exception, match="POST") as failed:
        told.look_for_problems()
    assert TOKEN not in str(failed.getrepr(chain=True))


def test_tokens_within_a_url_that_is_a_variable_are_kept_out_of_what_a_library_says(
    site: Site, recent: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = ("T1JJ3T3L2", "A1BRTD4JD", "short-but-Secret1")
    monkeypatch.setenv("ALERTS_URL", f"slack://{'/'.join(tokens)}")
    caplog.set_level(logging.DEBUG)
    site.deliver(recent[-1], cost="abc")
    site.tick_and_load()
    said = tell(site, channels={"slack": "{{ env.ALERTS_URL }}"}).look_for_problems()
    assert "1 message waits for slack: Apprise does not know the URL of the channel slack" in said
    assert "An invalid Slack (third) Token ([secret URL of the channel slack]) was specified" in caplog.text
    assert not any(token in text for token in tokens for text in (said, caplog.text))


@pytest.mark.slow
def test_a_server_that_never_answers_holds_up_no_other_channel_and_no_look(
    site: Site, recent: list[str], hook: WebHook, mail: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "MESSAGE_SECONDS", 2.0)
    monkeypatch.setattr(outbox, "FIRST_WAIT", timedelta(minutes=1))
    released = threading.Event()
    hook.before = lambda: released.wait(60)
    told = tell(site, channels={"hook": hook.url, "mail": mail.url})
    site.deliver(recent[-1], cost="abc")
    site.tick_and_load()
    begun = time.monotonic()
    assert "1 message waits for hook: Service 'JSON' did not finish within" in told.look_for_problems()
    assert time.monotonic() - begun < 15
    assert len(mail.taken) == 1
    assert len(hook.asked) == 1
    told.look_for_problems()
    assert len(hook.asked) == 1, "it is left alone for a while"
    released.set()


def test_what_waits_is_sent_although_a_look_fails(
    site: Site, recent: list[str], hook: WebHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tell(site, hook)
    site.deliver(recent[-1], cost="abc")
    site.tick_and_load()
    hook.answers = [500]
    told.look_for_problems()

    def raises(*args: object, **more: object) -> None:
        raise RuntimeError("database is locked")

    with monkeypatch.context() as patched:
        patched.setattr(problems.Looker, "look", raises)
        with pytest.raises(RuntimeError, match="database is locked"):
            told.look_for_problems()
    assert len(hook.taken) == 1


def test_messages_wait_for_a_channel_whose_variable_is_not_set(
    site: Site, recent: list[str], hook: WebHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = {"hook": hook.url, "other": f"json://127.0.0.1:{hook.port}/{{{{ env.OTHER_TOKEN }}}}"}
    site.deliver(recent[-1], cost="abc")
    site.tick_and_load()
    said = tell(site, channels=urls).look_for_problems()
    assert "the environment lacks OTHER_TOKEN (for the channel other)" in said
    assert hook.asked == ["/hook"]
    monkeypatch.setenv("OTHER_TOKEN", TOKEN)
    tell(site, channels=urls).look_for_problems()
    assert hook.asked == ["/hook", f"/{TOKEN}"]


SLACK = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7F"
TEAMS = (
    "https://default0123456789abcdef.01.environment.api.powerplatform.com:443/powerautomate/automations/direct/"
    "workflows/643e69f83c8944438d68119179a10a64/triggers/manual/paths/invoke?api-version=1&sp=%2Ftriggers%2Fmanual%2F"
    "run&sv=1.0&sig=KODuebWbDGYFr0z0eu-6Rj8aUKz7108W3wrNJZxFE5A"
)


@pytest.mark.parametrize(("url", "kind"), [(SLACK, "slack"), (TEAMS, "teams")])
def test_slack_and_teams_get_their_own_json_at_the_url_as_they_show_it_and_a_bill_calls_nobody(
    site: Site, recent: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str, kind: str
) -> None:
    site.deliver(recent[-1], cost="<!channel>")
    site.tick_and_load()
    address = urlsplit(url)
    with web_hook_named(address.hostname, tmp_path) as service:
        service.place.use(monkeypatch)
        assert "waits" not in tell(site, channels={kind: url}).look_for_problems()
    assert [path.partition("?")[0] for path in service.asked] == [address.path]
    (sent,) = service.taken
    title = f"{NAME} {recent[-1]}: not accepted"
    if kind == "slack":
        (attachment,) = sent["attachments"]
        assert attachment["title"].startswith(title)
        assert "BilledCost is '&lt;!channel&gt;'" in attachment["text"]
    else:
        (attachment,) = sent["attachments"]
        assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
        texts = [block.get("text", "") for block in attachment["content"]["body"]]
        assert any(text.startswith(title) for text in texts)
        assert any("FOCUS validation failed: BilledCost" in text for text in texts)


@pytest.mark.parametrize(
    "url",
    [
        "mailtos://dagster:pass%2Fword@mail.example.com?from=dagster@example.com&to=finops@example.com",
        "mailtos://dagster:word@mail.example.com?from=dagster@example.com&to=finops@example.com&mode=ssl",
        "mailto://mail.example.com:25?from=dagster@example.com&to=finops@example.com",
        "jsons://hooks.example.com/path",
        "json://hooks.example.com:8080/path?:message=text",
        "mmosts://chat.example.com/hook1234567890",
    ],
)
def test_the_urls_of_the_page_are_those_of_apprise(url: str) -> None:
    assert channels._service("one", url) is not None


# The command


def test_the_command_says_what_each_channel_answers_and_fails_where_one_does_not_take_it(
    site: Site, hook: WebHook, mail: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerts = Alerts(channels={"hook": hook.url, "mail": mail.url})

    class Tree:
        def get_all_components(self, of_type: type) -> list[Alerts]:
            return [alerts]

        def not_loaded(self) -> list:
            return []

    monkeypatch.setattr("focus_pipeline.cli.alerts.connection_tree", Tree)
    answer = CliRunner().invoke(cli.main, ["alert", "--test"])
    assert (answer.exit_code, answer.output) == (0, "hook: it took the message\nmail: it took the message\n")
    assert hook.titles == [mail.taken[0]["Subject"]] == ["focus_pipeline: this is a test"]
    mail.refuses = 1
    answer = CliRunner().invoke(cli.main, ["alert", "--test"])
    assert answer.exit_code == 1
    assert "mail: Sending email to" in answer.output or "mail: Connection error" in answer.output
    assert read_outbox(site.data_dir) == outbox.Outbox(), "a test leaves nothing behind"


def test_the_command_says_how_alerts_are_set_up_where_they_are_not() -> None:
    answer = CliRunner().invoke(cli.main, ["alert", "--test"])
    assert answer.exit_code == 1
    assert "`dg scaffold defs focus_pipeline.Alerts alerts` writes their YAML" in answer.output
