"""The sensor: one run for every changed month, none for the others."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal

import dagster as dg
import pytest

from focus_pipeline.components import accepted_months_sensor, deliveries_sensor, names, runs
from focus_pipeline.defs.focus import unified
from focus_pipeline.focus.fingerprint import code_fingerprint
from focus_pipeline.months import current_month, in_words, months_back
from focus_pipeline.records.landed import current_token
from focus_pipeline.records.staged import staged_month
from focus_pipeline_tests.components.conftest import NAME, Site
from focus_pipeline_tests.warehouses import file_of


def months_of(result: dg.SensorResult) -> list[str]:
    return [request.partition_key for request in result.run_requests or []]


def make_run(site: Site, request: dg.RunRequest, status: dg.DagsterRunStatus, job: str = "colo_costs_ingest") -> None:
    """A run that was asked for, and is in this state without having done anything."""
    of_month = {"dagster/partition": request.partition_key} if request.partition_key else {}
    tags = {**request.tags, **of_month}
    site.instance.create_run_for_job(site.definitions.resolve_job_def(job), tags=tags, status=status)


def test_a_new_month_within_the_look_back_is_loaded_and_an_older_one_is_named(site: Site, recent: list[str]) -> None:
    older = months_back(recent[0], 1)[0]
    for month in (older, *recent):
        site.deliver(month)
    first = site.tick()
    assert months_of(first) == recent
    for request in first.run_requests:
        assert site.load(request).success
    second = site.tick()
    assert not second.run_requests
    assert f"{older} before the look-back (load them with a backfill)" in second.skip_reason.skip_message


def test_the_advice_on_a_month_that_is_not_watched_is_one_that_can_be_followed(site: Site, recent: list[str]) -> None:
    """A month before the first partition cannot be backfilled, and one that has not begun is not before anything."""
    (year, rest) = recent[-1].split("-")
    coming = [f"{int(year) + 1}-{rest}", f"{int(year) + 2}-{rest}"]
    for month in ("2023-11", "2023-12", "2024-01", *coming):
        site.deliver(month)
    said = site.tick().skip_reason.skip_message
    assert "2023-11 to 2023-12 before the first partition, which is 2024-01 (to load them, reload" in said
    assert f"{coming[0]}, {coming[1]} not begun yet" in said
    assert "2024-01 before the look-back (load them with a backfill)" in said
    for advised, possible in {"2023-12": False, "2024-01": True, coming[0]: False}.items():
        assert (advised in names.monthly().get_partition_keys()) == possible


def test_the_same_token_never_runs_twice(site: Site, recent: list[str]) -> None:
    site.deliver(recent[-1])
    request = site.tick().run_requests[0]
    assert site.load(request).success
    for _ in range(3):
        result = site.tick()
        assert not result.run_requests
    assert "unchanged" in result.skip_reason.skip_message
    site.cursors.clear()
    assert not site.tick().run_requests, "a lost cursor does not load a published month again"


def test_a_month_being_loaded_is_not_asked_for_again(site: Site, recent: list[str]) -> None:
    site.deliver(recent[-1])
    request = site.tick().run_requests[0]
    make_run(site, request, dg.DagsterRunStatus.STARTED)
    result = site.tick()
    assert not result.run_requests
    assert f"{recent[-1]} being loaded" in result.skip_reason.skip_message


def test_a_rejected_month_waits_for_a_new_delivery_and_holds_up_no_other(site: Site, recent: list[str]) -> None:
    """A poisoned month."""
    site.deliver(recent[0], cost="$5")
    site.deliver(recent[1])
    outcomes = {request.partition_key: site.load(request).success for request in site.tick().run_requests}
    assert outcomes == {recent[0]: False, recent[1]: True}
    assert site.billed(recent[1]) == Decimal("1.25")

    waiting = site.tick()
    assert not waiting.run_requests
    assert f"{recent[0]} rejected, see its checks; waiting for a new delivery" in waiting.skip_reason.skip_message

    site.deliver(recent[0], cost="7.5")
    assert [run.success for run in site.tick_and_load()] == [True]
    assert site.billed(recent[0]) == Decimal("7.5")


def test_a_run_that_failed_before_a_verdict_is_tried_again_after_a_while_and_then_left_to_people(
    site: Site, recent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attempt is in the run key, for Dagster never starts a key twice."""
    site.deliver(recent[-1])

    def ask_and_fail() -> str:
        (request,) = site.tick().run_requests
        make_run(site, request, dg.DagsterRunStatus.FAILURE)
        return request.run_key

    keys = {ask_and_fail()}
    waiting = site.tick()
    assert not waiting.run_requests
    assert f"{recent[-1]} failed, next attempt after" in waiting.skip_reason.skip_message
    monkeypatch.setattr(deliveries_sensor, "RETRY_AFTER", (timedelta(0), timedelta(0)))
    keys |= {ask_and_fail(), ask_and_fail()}
    assert len(keys) == 3
    given_up = site.tick()
    assert not given_up.run_requests
    assert "failed 3 times before it was judged; materialise it in the UI" in given_up.skip_reason.skip_message


def test_the_waits_are_a_quarter_of_an_hour_and_two_hours_from_the_end_of_the_run(
    site: Site, recent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the run took that failed."""
    now = datetime.now(UTC)
    ended = now

    class Clock(datetime):
        @classmethod
        def now(cls, zone: tzinfo | None = None) -> datetime:
            return now

    def latest_run(*wanted: object) -> dg.RunRecord | None:
        run = runs.latest_run(*wanted)
        return run and run._replace(end_time=ended.timestamp())

    monkeypatch.setattr(deliveries_sensor, "datetime", Clock)
    monkeypatch.setattr(deliveries_sensor, "latest_run", latest_run)
    site.deliver(recent[-1])
    for attempt, wait in enumerate((timedelta(minutes=15), timedelta(hours=2)), 1):
        (request,) = site.tick().run_requests
        assert request.tags[names.ATTEMPT_TAG] == str(attempt)
        make_run(site, request, dg.DagsterRunStatus.FAILURE)
        ended = now + timedelta(hours=6)
        now = ended + wait - timedelta(minutes=1)
        assert not site.tick().run_requests
        now = ended + wait + timedelta(minutes=1)
    assert len(site.tick().run_requests) == 1


def test_a_run_that_died_between_the_verdict_and_its_acceptance_is_asked_for_again(
    site: Site, recent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is accepted is still the delivery before, which stands for the kill here."""
    month = recent[-1]
    site.deliver(month, cost="5")
    site.tick_and_load()
    record = site.data_dir.staged(NAME, month) / "accepted.json"
    before = record.read_bytes()
    site.deliver(month, cost="7")
    (request,) = site.tick().run_requests
    site.ingest(month, tags=dict(request.tags))
    record.write_bytes(before)
    monkeypatch.setattr(deliveries_sensor, "RETRY_AFTER", (timedelta(0),))
    assert [run.success for run in site.tick_and_load()] == [True]
    assert site.billed(month) == Decimal(7)


def test_a_month_that_newer_code_has_staged_is_published_although_its_delivery_is_the_same(
    site: Site, recent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upgrade with data present: other code may have read other rows."""
    site.deliver(recent[-1])
    site.tick_and_load()
    site.publish_accepted()
    assert site.publish_accepted() == []
    monkeypatch.setattr(
        "focus_pipeline.pipeline.stage.code_fingerprint", lambda *more: code_fingerprint("newer", *more)
    )
    assert site.ingest(recent[-1]).success
    assert [run.success for run in site.publish_accepted()] == [True]
    assert site.query("SELECT count(*) FROM focus.loads") == [(2,)]


def test_months_before_the_start_are_not_asked_for(
    make_site: Callable[..., Site], recent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are no partitions: Dagster would refuse the run of one that is within the look-back, or was held."""
    monkeypatch.setenv("FOCUS_START_MONTH", recent[1])
    monkeypatch.setattr(names, "monthly", names.monthly.__wrapped__)
    site = make_site("colo_costs")
    for month in recent:
        site.deliver(month)
    asked = site.tick()
    assert months_of(asked) == recent[1:]
    assert [site.load(request).success for request in asked.run_requests] == [True, True]
    assert f"{recent[0]} before the first partition, which is {recent[1]}" in site.tick().skip_reason.skip_message


def test_a_changed_added_or_removed_file_loads_its_month_again_and_only_it(site: Site, recent: list[str]) -> None:
    for month in recent[:2]:
        site.deliver(month)
    site.tick_and_load()
    site.deliver(recent[0], cost="2.5")
    assert [run.success for run in site.tick_and_load()] == [True]
    assert site.billed(recent[0]) == Decimal("2.5")
    site.deliver(recent[0], "additional.csv", cost="10")
    assert len(site.tick_and_load()) == 1
    assert site.billed(recent[0]) == Decimal("12.5")
    (site.bucket / recent[0] / "expenses.csv").unlink()
    assert len(site.tick_and_load()) == 1
    assert site.billed(recent[0]) == Decimal("10")
    assert site.billed(recent[1]) == Decimal("1.25")


def test_a_month_within_the_look_back_whose_files_stay_gone_is_emptied(
    site: Site, recent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for month in recent[:2]:
        site.deliver(month)
    site.tick_and_load()
    (site.bucket / recent[0] / "expenses.csv").unlink()
    (site.bucket / recent[0]).rmdir()
    assert [run.success for run in site.tick_and_load()] == [False]
    assert site.billed(recent[0]) == Decimal("1.25")
    monkeypatch.setenv("FOCUS_LOSS_WAIT_HOURS", "0")
    assert [run.success for run in site.tick_and_load()] == [True]
    assert site.billed(recent[0]) is None
    assert site.billed(recent[1]) == Decimal("1.25")


def test_a_bucket_that_shows_no_month_at_all_empties_nothing(site: Site, recent: list[str]) -> None:
    site.deliver(recent[0])
    site.tick_and_load()
    (site.bucket / recent[0] / "expenses.csv").unlink()
    (site.bucket / recent[0]).rmdir()
    result = site.tick()
    assert not result.run_requests
    assert "No billing periods found" in result.skip_reason.skip_message
    assert site.billed(recent[0]) == Decimal("1.25")


def test_a_restated_month_that_is_held_is_noticed_before_the_look_back(site: Site, recent: list[str]) -> None:
    old = months_back(recent[0], 6)[0]
    site.deliver(old)
    site.deliver(recent[-1])
    assert site.run(old).success
    site.tick_and_load()
    assert not site.tick().run_requests
    site.deliver(old, cost="99.99")
    result = site.tick()
    assert months_of(result) == [old]
    site.load(result.run_requests[0])
    assert site.billed(old) == Decimal("99.99")


def test_a_month_that_the_provider_no_longer_keeps_stays_in_the_table(site: Site, recent: list[str]) -> None:
    old = months_back(recent[0], 6)[0]
    site.deliver(old)
    site.deliver(recent[-1])
    site.run(old)
    site.tick_and_load()
    (site.bucket / old / "expenses.csv").unlink()
    (site.bucket / old).rmdir()
    result = site.tick()
    assert not result.run_requests
    assert f"{old} no longer shown whole by the provider and kept" in result.skip_reason.skip_message
    assert site.run(old).success, "materialising it by hand keeps it as well"
    assert site.billed(old) == Decimal("1.25")


def test_what_another_connections_failure_left_unpublished_is_published_by_the_next_tick(make_site, recent) -> None:
    """A run of everything: one month of the one is rejected, which blocks that run's publishing."""
    site: Site = make_site("colo_costs", "saas_tools")
    site.deliver(recent[0], cost="$5")
    saas = Site(site.bucket.parent / "saas_tools", site.data_dir, site.instance, site.definitions)
    saas.deliver(recent[0], cost="3")
    everything = site.definitions.get_implicit_global_asset_job_def()
    run = everything.execute_in_process(partition_key=recent[0], instance=site.instance, raise_on_error=False)
    assert not run.success
    assert [run.success for run in site.publish_accepted()] == [True]
    assert site.billed(recent[0]) == Decimal("3")
    assert not site.tick("colo_costs").run_requests
    assert not site.tick("saas_tools").run_requests


def test_the_cursor_is_one_token_a_month_and_an_unreadable_one_is_survived(site: Site, recent: list[str]) -> None:
    for month in recent:
        site.deliver(month)
    site.tick_and_load()
    site.tick()
    tokens = json.loads(site.cursors["colo_costs_deliveries"])
    assert list(tokens) == recent
    assert len(site.cursors["colo_costs_deliveries"]) < 50 * len(recent)
    site.cursors["colo_costs_deliveries"] = "not JSON"
    assert not site.tick().run_requests


def test_a_bucket_that_refuses_fails_the_tick_and_says_so(site: Site) -> None:
    with pytest.raises(Exception, match=r"there is no folder .*; check the connection's url"):
        site.tick()


def test_the_running_month_is_looked_at(site: Site) -> None:
    site.deliver(current_month())
    assert months_of(site.tick()) == [current_month()]


# Deliveries that come back


def failed_checks(site: Site, run: dg.ExecuteInProcessResult) -> set[str]:
    return {e.check_name for e in site.evaluations(run) if not e.passed}


def test_a_delivery_that_comes_back_is_loaded_again_at_once(site: Site, recent: list[str]) -> None:
    """A -> B -> A: a file is added and removed again."""
    month = recent[-1]
    site.deliver(month)
    (first,) = site.tick().run_requests
    assert site.load(first).success
    for _ in range(2):
        site.deliver(month, "additional.csv", cost="1")
        assert [run.success for run in site.tick_and_load()] == [True]
        assert site.billed(month) == Decimal("2.25")
        (site.bucket / month / "additional.csv").unlink()
        (again,) = site.tick().run_requests
        assert again.run_key != first.run_key
        assert site.load(again).success
        assert site.billed(month) == Decimal("1.25")
        assert not site.tick().run_requests


def test_the_former_good_delivery_after_a_rejected_one_shows_its_own_checks(site: Site, recent: list[str]) -> None:
    month = recent[-1]
    good = site.bucket / month / "expenses.csv"
    site.deliver(month, cost="5")
    site.tick_and_load()
    content, stat = good.read_bytes(), good.stat()
    kept = good.rename(site.bucket.parent / "kept.csv")
    site.deliver(month, cost="$5")
    (run,) = site.tick_and_load()
    assert "accepted" in failed_checks(site, run)
    assert not site.tick().run_requests
    kept.rename(good)
    assert (good.read_bytes(), good.stat().st_ino) == (content, stat.st_ino)
    (run,) = site.tick_and_load()
    assert run.success
    assert failed_checks(site, run) == set()
    tokens = site.query("SELECT DISTINCT Token, count(*) FILTER (Verdict = 'failed') FROM focus.conformance GROUP BY 1")
    assert [failed for _, failed in tokens] == [0]
    assert site.billed(month) == Decimal(5)
    assert "accepted" in site.tick().skip_reason.skip_message


def test_attempts_are_counted_since_the_last_change(
    site: Site, recent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries_sensor, "RETRY_AFTER", ())
    month = recent[-1]
    site.deliver(month)
    kept = (site.bucket / month / "expenses.csv").read_bytes()

    def ask_and_fail() -> None:
        (request,) = site.tick().run_requests
        make_run(site, request, dg.DagsterRunStatus.FAILURE)

    ask_and_fail()
    assert not site.tick().run_requests
    site.deliver(month, "additional.csv", cost="10")
    ask_and_fail()
    (site.bucket / month / "additional.csv").unlink()
    assert (site.bucket / month / "expenses.csv").read_bytes() == kept
    assert [run.success for run in site.tick_and_load()] == [True], "it failed once, and is shown anew"


@pytest.mark.slow
def test_an_accepted_delivery_that_cannot_be_published_is_asked_for_as_long_as_that_lasts(
    site: Site, recent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The words name who holds the file; the verdict is on record as soon as the file is free."""
    site.deliver(recent[0])
    site.tick_and_load()
    site.deliver(recent[1], cost="7")
    script = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); input()"
    writer = subprocess.Popen(
        [sys.executable, "-c", script, str(file_of(site.data_dir))], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with writer:
        assert writer.stdout.readline() == b"open\n"
        (request,) = site.tick().run_requests
        run = site.ingest(recent[1], tags=dict(request.tags))
        assert run.success, "what it has to do is done: the month is fetched, judged and accepted"
        assert "accepted" in site.tick().skip_reason.skip_message
        (request,) = site.look_at_accepted().run_requests
        assert not site.publish(request).success
        waiting = site.look_at_accepted()
        assert not waiting.run_requests
        said = waiting.skip_reason.skip_message
        assert f"{recent[1]} judged and not published yet (" in said
        assert f"is open for writing in the process {writer.pid}" in said
        assert "next attempt after" in said
        monkeypatch.setattr(accepted_months_sensor, "RETRY_AFTER", timedelta(0))
        for attempt in range(2, 6):
            (request,) = site.look_at_accepted().run_requests
            assert request.tags[names.ATTEMPT_TAG] == str(attempt)
            make_run(site, request, dg.DagsterRunStatus.FAILURE, "focus_publish")
        (request,) = site.look_at_accepted().run_requests
        writer.stdin.close()
    assert site.publish(request).success
    assert site.billed(recent[1]) == Decimal(7)
    judged = site.query(f"SELECT count(*) > 100 FROM focus.conformance WHERE Month = '{recent[1]}'")
    assert judged == [(True,)]
    assert f"{recent[0]} to {recent[1]} published" in site.look_at_accepted().skip_reason.skip_message


def test_a_month_is_published_once_for_all_that_was_accepted_of_it(make_site, recent: list[str]) -> None:
    """And again only once something else is accepted, whatever became of the sensor's cursor."""
    site: Site = make_site("colo_costs", "saas_tools")
    assert site.look_at_accepted().skip_reason.skip_message == "nothing is judged yet"
    saas = replace(site, bucket=site.bucket.parent / "saas_tools")
    site.deliver(recent[1])
    saas.deliver(recent[1], cost="3")
    for name in ("colo_costs", "saas_tools"):
        assert site.ingest(recent[1], name).success
    (run,) = site.publish_accepted()
    assert run.success
    assert site.billed(recent[1]) == Decimal("4.25")
    assert f"{recent[1]} published" in site.look_at_accepted().skip_reason.skip_message
    for lost in ("", "not JSON", "[1]"):
        site.cursors["focus_accepted_months"] = lost
        assert not site.look_at_accepted().run_requests
    saas.deliver(recent[1], cost="5")
    assert site.ingest(recent[1], "saas_tools").success
    assert [run.success for run in site.publish_accepted()] == [True]
    assert site.billed(recent[1]) == Decimal("6.25")


def test_what_is_accepted_while_a_month_is_published_is_published_too(
    site: Site, recent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    month = recent[1]
    site.deliver(month)
    assert site.ingest(month).success
    (request,) = site.look_at_accepted().run_requests
    make_run(site, request, dg.DagsterRunStatus.STARTED, "focus_publish")
    waiting = site.look_at_accepted()
    assert (waiting.run_requests or [], "being published" in waiting.skip_reason.skip_message) == ([], True)
    published = unified.publish_months

    def and_another_is_accepted(*arguments: object) -> object:
        shown = published(*arguments)
        site.deliver(month, cost="9")
        assert site.ingest(month).success
        return shown

    monkeypatch.setattr(unified, "publish_months", and_another_is_accepted)
    assert site.publish(request).success
    monkeypatch.undo()
    assert site.billed(month) == Decimal("1.25")
    assert [run.success for run in site.publish_accepted()] == [True]
    assert site.billed(month) == Decimal(9)


def test_a_connection_that_fails_makes_nothing_of_the_table_red(make_site, recent: list[str]) -> None:
    """Rejected, or not fetched at all: what other connections deliver is published, and is not what is wrong."""
    site: Site = make_site("colo_costs", "saas_tools")
    saas = replace(site, bucket=site.bucket.parent / "saas_tools")
    saas.deliver(recent[0], cost="3")
    site.deliver(recent[0], cost="$5")
    assert [run.success for run in (*site.tick_and_load("saas_tools"), *site.tick_and_load())] == [True, False]
    shutil.rmtree(site.bucket)
    assert not site.run(recent[0]).success
    failed = {
        event.asset_key
        for run in site.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
        for event in (
            record.event_log_entry.dagster_event
            for record in site.instance.get_records_for_run(
                run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
            ).records
        )
    }
    assert failed == {names.raw_files("colo_costs"), names.cost_and_usage("colo_costs")}
    assert site.billed(recent[0]) == Decimal(3)


def test_what_was_found_in_a_month_that_is_rejected_is_published_too(site: Site, recent: list[str]) -> None:
    site.deliver(recent[0])
    site.deliver(recent[1], cost="$5")
    site.tick_and_load()
    rejected = f"SELECT count(*) FROM focus.conformance WHERE Month = '{recent[1]}' AND Verdict = 'failed'"
    assert site.query(rejected) != [(0,)]
    assert site.billed(recent[1]) is None
    assert not site.look_at_accepted().run_requests


def test_a_month_is_published_anew_when_another_warehouse_is_set(site: Site, recent: list[str]) -> None:
    """Though its run said that it was published, and nothing else has changed."""
    site.deliver(recent[0])
    site.tick_and_load()
    assert not site.look_at_accepted().run_requests
    moved = replace(site.data_dir, warehouse=f"duckdb:{site.data_dir.root / 'another.duckdb'}")
    site.cursors.clear()
    sensor = unified.accepted_months_sensor(
        site.definitions.resolve_job_def("focus_publish"), moved, unified.MONTHS_PER_RUN
    )
    context = dg.build_sensor_context(instance=site.instance, definitions=site.definitions)
    assert len(sensor(context).run_requests) == 1


def test_months_that_follow_one_another_are_published_by_one_run(site: Site, recent: list[str]) -> None:
    for month in recent:
        site.deliver(month)
        assert site.ingest(month).success
    (request,) = site.look_at_accepted().run_requests
    assert request.partition_key is None
    assert site.publish(request).success
    assert [site.billed(month) for month in recent] == [Decimal("1.25")] * 3
    for month in (recent[0], recent[2]):
        site.deliver(month, cost="2")
        assert site.ingest(month).success
    assert len(site.look_at_accepted().run_requests) == 2, "the month between them has not changed"


def test_a_month_that_cannot_be_published_harms_no_other_of_its_run(site: Site, recent: list[str]) -> None:
    for month in recent:
        site.deliver(month)
        assert site.ingest(month).success
    token = current_token(NAME, recent[1], site.data_dir)
    staged_month(NAME, recent[1], token, site.data_dir).paths[0].write_bytes(b"PAR1")
    (run,) = site.publish_accepted()
    assert not run.success
    assert [site.billed(month) for month in recent] == [Decimal("1.25"), None, Decimal("1.25")]
    (failure,) = [event.step_failure_data for event in run.all_events if event.is_step_failure]
    said = failure.user_failure_data.description
    assert said.startswith(f"1 of 3 months failed, {recent[1]}; the others are done.")
    assert "is damaged; materialise" in said


# While the sensor was off


def test_months_missed_while_the_sensor_was_off_are_loaded(
    site: Site, recent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held until eight months ago, then nothing looked: what lies between is not left out for good."""
    months = months_back(recent[-1], 8)
    site.deliver(months[0])
    assert site.run(months[0]).success
    for month in months[1:]:
        site.deliver(month)
    assert months_of(site.tick()) == months[1:]


@pytest.mark.parametrize(
    ("months", "said"),
    [
        (["2026-01"], "2026-01"),
        (["2026-01", "2026-02", "2026-03"], "2026-01 to 2026-03"),
        (["2025-12", "2026-01", "2026-03", "2026-09"], "2025-12 to 2026-01, 2026-03, 2026-09"),
        (["2026-01", "2026-02", "2026-03", "2026-09"], "2026-01 to 2026-03, 2026-09"),
        ([f"20{year}-01" for year in range(10, 20)], "2010-01, 2011-01, 2012-01, 2013-01, 2014-01 and 5 more months"),
    ],
)
def test_months_are_told_with_their_gaps(months: list[str], said: str) -> None:
    assert in_words(months) == said


AGAIN = {names.FETCH_AGAIN_TAG: "yes"}


def test_what_was_mended_where_no_listing_shows_it_is_fetched_again_by_a_person(site: Site, recent: list[str]) -> None:
    """As of a view whose table was corrected, or an object that kept its ETag."""
    site.deliver(recent[1], BillingCurrency="XXL")
    assert not site.tick_and_load()[0].success
    site.change_unnoticed(recent[1], "XXL", "EUR")
    assert not site.tick().run_requests
    assert not site.run(recent[1]).success, "an unchanged delivery is not fetched by itself"
    assert site.run(recent[1], tags=AGAIN).success
    assert site.query("SELECT BillingCurrency FROM focus.cost_and_usage") == [("EUR",)]
    after = site.tick()
    assert not after.run_requests
    assert f"{recent[1]} accepted" in after.skip_reason.skip_message
    assert "unchanged" in site.tick().skip_reason.skip_message


def test_of_a_file_that_was_fetched_again_every_later_delivery_has_the_new_bytes(site: Site, recent: list[str]) -> None:
    site.deliver(recent[1], cost="1.25")
    site.tick_and_load()
    site.change_unnoticed(recent[1], "\n1.25,", "\n3.75,")
    assert site.run(recent[1], tags=AGAIN).success
    assert site.billed(recent[1]) == Decimal("3.75")
    site.deliver(recent[1], "more.csv", cost="1")
    assert [run.success for run in site.tick_and_load()] == [True]
    assert site.billed(recent[1]) == Decimal("4.75")
    (site.bucket / recent[1] / "more.csv").unlink()
    assert [run.success for run in site.tick_and_load()] == [True]
    assert site.billed(recent[1]) == Decimal("3.75"), "and so has the former delivery that comes back"
    former = {token.partition("-")[0] for (token,) in site.query("SELECT Token FROM focus.loads")}
    kept = [path.parent for path in site.data_dir.landed("colo_costs", recent[1]).glob("*/delivery.json")]
    assert len(former) == 2
    assert len(kept) == 3, "what was fetched first is kept, too"


def test_the_same_bytes_fetched_again_change_nothing(site: Site, recent: list[str]) -> None:
    site.deliver(recent[1])
    site.tick_and_load()
    for _ in range(2):
        assert site.run(recent[1], tags=AGAIN).success
    assert len(site.query("SELECT * FROM focus.loads")) == 1
    kept = list(site.data_dir.landed("colo_costs", recent[1]).iterdir())
    assert sorted(path.name for path in kept if path.is_file()) == ["current.json", "order.json"]
    assert sum(path.is_dir() for path in kept) == 1, "one delivery, fetched once"


def test_what_was_fetched_again_and_no_more_is_judged_and_published_by_the_sensor(
    site: Site, recent: list[str]
) -> None:
    site.deliver(recent[1], cost="1.25")
    site.tick_and_load()
    site.tick()
    site.change_unnoticed(recent[1], "\n1.25,", "\n3.75,")
    raw_files = names.raw_files("colo_costs")
    landed = site.run(recent[1], tags=AGAIN, asset_selection=[raw_files])
    assert landed.success
    assert not site.evaluations(landed)
    assert [run.success for run in site.tick_and_load()] == [True]
    assert site.billed(recent[1]) == Decimal("3.75")
