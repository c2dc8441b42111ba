"""What tidying removes, and what it never touches."""

import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from focus_pipeline.pipeline.tidy import tidy
from focus_pipeline.records.accepted import accepted_delivery
from focus_pipeline.records.landed import current_delivery, current_token
from focus_pipeline.records.staged import staged_month
from focus_pipeline_tests.conftest import CONNECTION, LoadMonth
from focus_pipeline_tests.month_files import MONTH, focus_row, write_csv


@pytest.fixture
def deliver(folder: Path, load_month: LoadMonth) -> Callable[..., object]:
    def take(cost: str) -> object:
        write_csv(folder / "bill.csv", [focus_row(BilledCost=cost)])
        return load_month(folder)

    return take


def landed(data_dir) -> set[str]:
    return {path.name for path in data_dir.landed(CONNECTION, MONTH).iterdir() if path.is_dir()}


def age(data_dir) -> None:
    """Nobody can be at work with any of it."""
    for path in data_dir.staged(CONNECTION, MONTH).iterdir():
        os.utime(path, (0, 0))


def test_landing_keeps_the_latest_deliveries_and_says_what_goes(deliver: Callable[..., object]) -> None:
    tokens = [deliver(str(cost)).staged.token for cost in range(1, 6)]
    data_dir = deliver("6").data_dir
    tokens.append(current_token(CONNECTION, MONTH, data_dir))
    removed = list(tidy(data_dir, 3))
    assert landed(data_dir) == set(tokens[-3:])
    gone = [one.path.name for one in removed if one.path.parent.parent.parent.name == "landing"]
    assert gone == tokens[:3]
    assert all(one.size > 0 for one in removed)
    assert list(tidy(data_dir, 3)) == []


def test_what_is_published_stays_however_old_it_is(deliver: Callable[..., object]) -> None:
    good = deliver("1").staged
    for cost in ("1,1", "1,2", "1,3", "1,4", "1,5"):
        rejected = deliver(cost)
        assert not rejected.verdict.accepted
    data_dir = rejected.data_dir
    age(data_dir)
    list(tidy(data_dir, 2))
    assert accepted_delivery(CONNECTION, MONTH, data_dir).token == good.token
    assert good.token in landed(data_dir)
    assert len(landed(data_dir)) == 3
    assert staged_month(CONNECTION, MONTH, good.token, data_dir).is_intact
    assert staged_month(CONNECTION, MONTH, rejected.staged.token, data_dir).is_intact


def test_of_staged_the_current_delivery_stays_and_what_a_run_may_be_at_work_with(
    deliver: Callable[..., object],
) -> None:
    first = deliver("1")
    second = deliver("2")
    assert not [one for one in tidy(first.data_dir, 3) if one.path.suffix == ".parquet"], "it was made a moment ago"
    age(first.data_dir)
    removed = {one.path.name for one in tidy(first.data_dir, 3)}
    token = first.staged.token
    assert removed == {f"{token}.staged.json", f"{token}.verdict.json", *(path.name for path in first.staged.paths)}
    assert second.staged.is_intact


def test_a_delivery_that_was_removed_and_is_shown_again_is_fetched_again(
    folder: Path, deliver: Callable[..., object], load_month: LoadMonth, tmp_path: Path
) -> None:
    first = deliver("1")
    kept = (folder / "bill.csv").rename(tmp_path / "kept.csv")
    for cost in ("2", "3", "4"):
        deliver(cost)
    age(first.data_dir)
    list(tidy(first.data_dir, 1))
    assert first.staged.token not in landed(first.data_dir)
    kept.rename(folder / "bill.csv")
    again = load_month(folder)
    assert again.staged.token == first.staged.token
    assert again.values("BilledCost") == [Decimal(1)]
    assert not current_delivery(CONNECTION, MONTH, again.data_dir).files[0].fault


def test_of_one_delivery_at_least_the_current_one_is_kept(deliver: Callable[..., object]) -> None:
    month = deliver("1")
    assert list(tidy(month.data_dir, 0)) == []
