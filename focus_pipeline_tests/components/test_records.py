"""What is kept on disk survives damage: a record that cannot be read counts as absent, and harms no other month."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from focus_pipeline.components import names
from focus_pipeline.pipeline import land as landing
from focus_pipeline.records.landed import current_delivery
from focus_pipeline.records.staged import staged_month
from focus_pipeline_tests.components.conftest import NAME, Site

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "zeros": lambda content: b"\0" * len(content),
    "another": lambda content: b"[1, 2]\n",
    "no UTF-8": lambda content: b"\xff\xfe" + content,
}
RECORDS = (
    "landing/*/{month}/current.json",
    "landing/*/{month}/order.json",
    "landing/*/{month}/*/delivery.json",
    "landing/*/shown.json",
    "staged/*/{month}/accepted.json",
    "staged/*/{month}/*.staged.json",
    "staged/*/{month}/*.verdict.json",
    "staged/*/{month}/judged.json",
    "published/{month}.json",
    "cache/rules-*.json",
)


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site(NAME, "saas_tools")


@pytest.mark.parametrize(
    "damage", ["cut", *(pytest.param(name, marks=pytest.mark.slow) for name in DAMAGES if name != "cut")]
)
@pytest.mark.parametrize("record", RECORDS)
def test_a_damaged_record_stops_nobody_and_is_made_again(
    site: Site, recent: list[str], record: str, damage: str
) -> None:
    month = recent[-1]
    saas = Site(site.bucket.parent / "saas_tools", site.data_dir, site.instance, site.definitions)
    site.deliver(month, cost="1")
    saas.deliver(month, cost="10")
    for name in (NAME, "saas_tools"):
        assert site.ingest(month, name).success
    site.publish_accepted()
    of_own = record.replace("*", NAME, 1)
    place = record if record.startswith(("cache", "published")) else of_own
    damaged = list(site.data_dir.root.glob(place.format(month=month)))
    assert damaged
    for path in damaged:
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    saas.deliver(month, cost="20")
    assert site.ingest(month, "saas_tools").success, "the other connection's month"
    assert all(run.success for run in site.publish_accepted())
    assert site.billed(month) == Decimal(21), "the good month stays"
    site.deliver(month, cost="2")
    assert [run.success for run in site.tick_and_load()] == [True], "and the next delivery is loaded"
    assert site.billed(month) == Decimal(22)
    assert not site.tick().run_requests


def test_the_month_of_a_damaged_record_is_loaded_again_by_the_sensor(site: Site, recent: list[str]) -> None:
    """Though the provider shows nothing new."""
    site.deliver(recent[-1], cost="1")
    site.tick_and_load()
    site.tick()
    (current,) = site.data_dir.root.glob(f"landing/{NAME}/*/current.json")
    current.write_bytes(b"{")
    assert [run.success for run in site.tick_and_load()] == [True]
    assert site.billed(recent[-1]) == Decimal(1)
    assert not site.tick().run_requests


def test_an_unchanged_month_costs_six_readings_of_records_and_no_writing(
    site: Site, recent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site.deliver(recent[-1])
    assert site.run(recent[-1]).success
    read, written = [], []
    read_bytes, replace_file = Path.read_bytes, Path.replace

    def noted_reading(path: Path) -> bytes:
        read.extend([path.name] if path.suffix == ".json" else [])
        return read_bytes(path)

    def noted_writing(path: Path, target: Path) -> Path:
        written.append(target.name)
        return replace_file(path, target)

    monkeypatch.setattr(Path, "read_bytes", noted_reading)
    monkeypatch.setattr(Path, "replace", noted_writing)
    assert site.ingest(recent[-1]).success
    assert len(read) == 6, read
    assert written == []


# Data


def cut(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x01
    path.chmod(0o600)
    path.write_bytes(content)


def test_a_landed_file_that_was_cut_is_fetched_again_and_goes_into_no_delivery(site: Site, recent: list[str]) -> None:
    month = recent[-1]
    site.deliver(month, "a.csv", rows=300)
    site.tick_and_load()
    (kept,) = (file.path for file in current_delivery(NAME, month, site.data_dir).files)
    cut(kept)
    site.deliver(month, "b.csv", rows=100)
    assert [run.success for run in site.tick_and_load()] == [True]
    assert site.query("SELECT count(*) FROM focus.cost_and_usage") == [(400,)]
    for file in current_delivery(NAME, month, site.data_dir).files:
        assert not file.fault


@pytest.mark.parametrize(("damage", "said"), [(cut, "bytes, and"), (flip, "its content is not what was fetched")])
def test_a_landed_file_that_is_damaged_is_named_with_what_to_do_and_is_never_staged(
    site: Site, recent: list[str], damage: Callable[[Path], None], said: str
) -> None:
    """Staged anew, as after an upgrade, what is on disk would be another bill."""
    month = recent[-1]
    site.deliver(month, rows=300)
    site.tick_and_load()
    (kept,) = (file.path for file in current_delivery(NAME, month, site.data_dir).files)
    damage(kept)
    for path in site.data_dir.staged(NAME, month).glob("*.parquet"):
        path.unlink()
    run = site.ingest(month, asset_selection=[names.cost_and_usage(NAME)])
    assert not run.success
    (failure,) = [event.step_failure_data for event in run.all_events if event.is_step_failure]
    sentence = failure.user_failure_data.description
    assert sentence.startswith(f"{NAME} {month}: {kept} is damaged: ")
    assert said in sentence
    assert f"`focus-pipeline fetch-again {NAME} {month}` fetches the month anew" in sentence
    assert site.billed(month) == Decimal("375.00"), "the good month stays"
    assert site.run(month, tags={names.FETCH_AGAIN_TAG: "yes"}).success
    assert site.billed(month) == Decimal("375.00")


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink])
def test_a_staged_file_that_is_damaged_is_made_again_and_never_published(
    site: Site, recent: list[str], damage: Callable[[Path], None]
) -> None:
    month = recent[-1]
    saas = Site(site.bucket.parent / "saas_tools", site.data_dir, site.instance, site.definitions)
    site.deliver(month, cost="1")
    saas.deliver(month, cost="10")
    for name in (NAME, "saas_tools"):
        assert site.ingest(month, name).success
    token = current_delivery(NAME, month, site.data_dir).token
    (path,) = staged_month(NAME, month, token, site.data_dir).paths
    damage(path)
    (run,) = site.publish_accepted()
    assert not run.success
    (failure,) = [event.step_failure_data for event in run.all_events if event.is_step_failure]
    assert f"is damaged; materialise {NAME}/cost_and_usage of it" in failure.user_failure_data.description
    assert site.billed(month) == Decimal(10), "the other connection's month is published"
    assert site.ingest(month, asset_selection=[names.cost_and_usage(NAME)]).success
    published = site.definitions.resolve_job_def("focus_publish").execute_in_process(
        partition_key=month, instance=site.instance
    )
    assert published.success
    assert site.billed(month) == Decimal(11)


# Order


def test_a_clock_that_was_ahead_once_freezes_no_month(
    site: Site, recent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    month = recent[-1]

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:
            return datetime.now(UTC) + timedelta(days=4000)

    site.deliver(month, cost="1")
    with monkeypatch.context() as patch:
        patch.setattr(landing, "datetime", Ahead)
        site.tick_and_load()
    assert site.billed(month) == Decimal(1)
    site.deliver(month, cost="2")
    assert [run.success for run in site.tick_and_load()] == [True]
    assert site.billed(month) == Decimal(2)
    assert not site.tick().run_requests, "it is what the month consists of"


def test_after_landing_was_deleted_the_next_look_is_still_the_later_one(site: Site, recent: list[str]) -> None:
    """As docs tell those who want a month to consist of what is shown now."""
    month = recent[-1]
    for cost in ("1", "2", "3"):
        site.deliver(month, cost=cost)
        site.tick_and_load()
    shutil.rmtree(site.data_dir.landed(NAME, month))
    site.deliver(month, cost="4")
    assert site.run(month).success
    assert site.billed(month) == Decimal(4)


def test_what_an_earlier_version_has_recorded_is_read(site: Site, recent: list[str]) -> None:
    """Without order and SHA-256: the next delivery takes its place."""
    month = recent[-1]
    site.deliver(month, cost="1")
    site.tick_and_load()
    program = (
        "import json, pathlib, sys\n"
        "for path in pathlib.Path(sys.argv[1]).rglob('*.json'):\n"
        "    if path.name == 'order.json':\n"
        "        path.unlink()\n"
        "        continue\n"
        "    content = json.loads(path.read_text())\n"
        "    for entry in [content, *content.get('files', [])]:\n"
        "        for name in ('order', 'sha256'):\n"
        "            entry.pop(name, None)\n"
        "    path.write_text(json.dumps(content))\n"
    )
    for folder in ("landing", "staged"):
        subprocess.run([sys.executable, "-c", program, os.fspath(site.data_dir.root / folder)], check=True)
    assert not site.tick().run_requests
    assert not site.look_at_accepted().run_requests
    site.deliver(month, cost="2")
    assert [run.success for run in site.tick_and_load()] == [True]
    assert site.billed(month) == Decimal(2)
