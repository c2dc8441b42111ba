"""No message is lost on its way, and none is doubled, whatever channels and processes do."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from focus_pipeline.alerts import outbox as outboxes
from focus_pipeline.alerts.outbox import Message, Outbox, alone, deliver, noted, read_outbox, write_outbox
from focus_pipeline.alerts.problems import Found, Problem
from focus_pipeline.storage import DataDir
from focus_pipeline_tests.fakes.alert_receivers import web_hook


class Killed(BaseException):
    """Stands for the end of the process, at this very place."""


@dataclass
class Channel:
    """fails: how often it does not take a message. ends_process: "before" or "after" it has taken one."""

    fails: int = 0
    ends_process: str = ""
    taken: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)

    def __call__(self, message: Message) -> str:
        if self.fails:
            self.fails -= 1
            return "503"
        if self.ends_process == "before":
            raise Killed
        self.taken.append(message.title)
        self.ids.append(message.id)
        if self.ends_process == "after":
            raise Killed
        return ""


@pytest.fixture
def data_dir(tmp_path: Path) -> DataDir:
    return DataDir(tmp_path)


@pytest.fixture
def without_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outboxes, "FIRST_WAIT", timedelta(0))


def problem(month: str, check: str = "accepted", text: str = "cost is 'abc'") -> Problem:
    return Problem(
        name=f"acme/cost_and_usage/{check}",
        place="acme",
        month=month,
        title=f"{check} fails",
        text=text,
        link="/runs/1",
    )


def look(
    data_dir: DataDir, channels: dict[str, Channel], *problems: Problem, undecided: tuple[str, ...] = ()
) -> Outbox:
    """As the sensor does it, after a start of its process."""
    found = Found(problems, frozenset(undecided))
    with alone(data_dir):
        outbox = noted(read_outbox(data_dir), found, list(channels), most=10, ui_url="http://ui")
        write_outbox(outbox, data_dir)
        return deliver(outbox, channels, data_dir, 10)


def test_a_problem_is_told_when_it_begins_and_when_it_ends(data_dir: DataDir) -> None:
    chat = Channel()
    for _ in range(3):
        look(data_dir, {"chat": chat}, problem("2025-03"))
    assert chat.taken == ["acme 2025-03: accepted fails"]
    for _ in range(3):
        look(data_dir, {"chat": chat})
    assert chat.taken == ["acme 2025-03: accepted fails", "acme 2025-03: resolved"]
    look(data_dir, {"chat": chat}, problem("2025-03"))
    assert chat.taken[2:] == ["acme 2025-03: accepted fails"], "one that comes back is a new one"


def test_a_problem_that_is_not_decided_is_neither_over_nor_told(data_dir: DataDir) -> None:
    chat, key = Channel(), problem("2025-03").key
    look(data_dir, {"chat": chat}, undecided=(key,))
    assert chat.taken == []
    look(data_dir, {"chat": chat}, problem("2025-03"))
    look(data_dir, {"chat": chat}, undecided=(key,))
    look(data_dir, {"chat": chat}, problem("2025-03"))
    assert chat.taken == ["acme 2025-03: accepted fails"]


def test_a_channel_that_is_down_for_ten_looks_gets_everything_afterwards_in_order(
    data_dir: DataDir, without_waits: None
) -> None:
    down, well = Channel(fails=10), Channel()
    months = [f"2025-{number:02d}" for number in range(1, 11)]
    for count in range(1, 11):
        look(data_dir, {"down": down, "well": well}, *map(problem, months[:count]))
    assert down.taken == []
    assert well.taken == [f"acme {month}: accepted fails" for month in months], "no other channel is held up"
    look(data_dir, {"down": down, "well": well}, *map(problem, months))
    assert (down.taken, down.ids) == (well.taken, well.ids)
    assert read_outbox(data_dir).messages == ()


def test_a_channel_that_fails_is_left_alone_for_longer_each_time_and_never_for_more_than_half_an_hour(
    data_dir: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat, waits = Channel(fails=99), []
    for _ in range(8):
        outbox = look(data_dir, {"chat": chat}, problem("2025-03"))
        assert look(data_dir, {"chat": chat}, problem("2025-03")) == outbox, "it is not asked meanwhile"
        waits.append(outbox.channels["chat"].again_at - datetime.now(UTC))
        due = outbox.channels["chat"].model_copy(update={"again_at": datetime.now(UTC)})
        write_outbox(outbox.model_copy(update={"channels": {"chat": due}}), data_dir)
    assert [round(wait.total_seconds(), -1) for wait in waits] == [30, 60, 120, 240, 480, 960, 1800, 1800]
    assert chat.fails == 99 - 8


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_process_that_ends_as_it_sends_loses_nothing(data_dir: DataDir, without_waits: None, place: str) -> None:
    """Only what a channel took in that very moment is sent once more, under the same id."""
    chat = Channel(ends_process=place)
    with pytest.raises(Killed):
        look(data_dir, {"chat": chat}, problem("2025-03"), problem("2025-04"))
    chat.ends_process = ""
    look(data_dir, {"chat": chat}, problem("2025-03"), problem("2025-04"))
    look(data_dir, {"chat": chat}, problem("2025-03"), problem("2025-04"))
    assert list(dict.fromkeys(chat.taken)) == ["acme 2025-03: accepted fails", "acme 2025-04: accepted fails"]
    assert len(chat.taken) == (2 if place == "before" else 3)
    assert len(set(chat.ids)) == 2


def test_a_process_that_ends_after_it_wrote_a_message_down_has_it_sent_once_by_the_next(data_dir: DataDir) -> None:
    outbox = noted(Outbox(), Found((problem("2025-03"),)), ["chat"], most=10, ui_url="")
    write_outbox(outbox, data_dir)
    chat = Channel()
    for _ in range(2):
        look(data_dir, {"chat": chat}, problem("2025-03"))
    assert chat.taken == ["acme 2025-03: accepted fails"]


def test_where_nothing_can_be_written_nothing_is_sent(data_dir: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a full disk would have it sent again with every look."""
    chat = Channel()
    outbox = noted(Outbox(), Found((problem("2025-03"),)), ["chat"], most=10, ui_url="")

    def full(*args: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(outboxes, "write_outbox", full)
    with pytest.raises(OSError, match="no space left"):
        deliver(outbox, {"chat": chat}, data_dir, 10)
    assert chat.taken == []


def test_no_message_is_begun_after_the_time_is_up_and_the_next_look_goes_on(data_dir: DataDir) -> None:
    chat = Channel()
    outbox = noted(Outbox(), Found((problem("2025-03"),)), ["chat"], most=10, ui_url="")
    assert deliver(outbox, {"chat": chat}, data_dir, -1) == outbox
    deliver(outbox, {"chat": chat}, data_dir, 10)
    assert len(chat.taken) == 1


def test_a_new_channel_gets_what_is_new_and_what_waits_for_one_that_was_removed_goes(data_dir: DataDir) -> None:
    down, new = Channel(fails=99), Channel()
    look(data_dir, {"down": down}, problem("2025-03"))
    outbox = look(data_dir, {"new": new}, problem("2025-03"), problem("2025-04"))
    assert new.taken == ["acme 2025-04: accepted fails"]
    assert (outbox.messages, outbox.channels) == ((), {})


def test_two_processes_do_not_tell_at_once(data_dir: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outboxes, "LOCKED_SECONDS", 0)
    with alone(data_dir), pytest.raises(TimeoutError, match=str(os.getpid())), alone(data_dir):
        pass


# What is told


@pytest.mark.parametrize("limit", [10, 499, 500])
def test_more_messages_at_once_than_the_limit_are_one_digest(limit: int) -> None:
    problems = [problem(f"20{year}-{month:02d}") for year in range(10, 60) for month in range(1, 11)]
    outbox = noted(Outbox(), Found(tuple(problems)), ["chat"], most=limit, ui_url="http://ui")
    if limit == 500:
        assert len(outbox.messages) == 500
        return
    (digest,) = outbox.messages
    assert digest.title == "500 problems began"
    assert "Began: acme 500." in digest.text
    assert "acme 2010-01: accepted fails. cost is 'abc'" in digest.text
    assert "And 492 more; `focus-pipeline alert` lists them." in digest.text
    assert digest.text.endswith("http://ui")
    assert len(outbox.told) == 500
    ended = noted(outbox, Found(), ["chat"], most=limit, ui_url="http://ui").messages[-1]
    assert (ended.title, ended.resolved) == ("500 problems resolved", True)


def test_what_begins_and_ends_in_one_month_is_one_message() -> None:
    before = noted(Outbox(), Found((problem("2025-03", "run", "timed out"),)), ["chat"], most=9, ui_url="")
    found = Found((problem("2025-03"), problem("2025-03", "values", "'abc'"), problem("2025-03", "prices", "none")))
    message = noted(before, found, ["chat"], most=9, ui_url="http://ui/").messages[-1]
    assert message.title == "acme 2025-03: accepted fails, and 1 more problem"
    assert message.text.splitlines() == [
        "cost is 'abc'",
        "Values fails.",
        "Prices fails: none",
        "Over after 1 minute: run fails.",
        "http://ui/runs/1",
    ]
    left = noted(before, Found((problem("2025-03"),)), ["chat"], most=9, ui_url="")
    message = noted(left, Found((problem("2025-03", "run"),)), ["chat"], most=9, ui_url="").messages[-1]
    assert "Over after 1 minute: accepted fails." in message.text


def test_the_end_of_one_problem_says_which_ones_go_on() -> None:
    both = Found((problem("2025-03"), problem("2025-03", "prices")))
    before = noted(Outbox(), both, ["chat"], most=9, ui_url="")
    message = noted(before, Found((problem("2025-03"),)), ["chat"], most=9, ui_url="").messages[-1]
    assert message.title == "acme 2025-03: 1 problem resolved"
    assert "Still open: accepted fails." in message.text


def test_a_message_is_no_longer_than_channels_take_and_its_link_stays_whole() -> None:
    long = [problem("2025-03", f"check{number}", f"{number}" + "x" * 5_000) for number in range(30)]
    (message,) = noted(Outbox(), Found(tuple(long)), ["chat"], most=9, ui_url="http://ui").messages
    assert len(message.text) <= 1_900
    assert message.text.endswith("…\nhttp://ui/runs/1")


def test_what_a_bill_holds_is_shown_and_not_obeyed() -> None:
    evil = problem("2025-03", text="the file is a\r\nBcc: everybody@example.com\x1b[31m\u202e")
    (message,) = noted(Outbox(), Found((evil,)), ["chat"], most=9, ui_url="").messages
    assert "\\r\\nBcc: everybody" in message.text
    assert message.text.isprintable() or "\n" in message.text
    assert "\x1b" not in message.text


# A process that is killed

TELLS = """
import os, signal, sys
from datetime import timedelta
from pathlib import Path
from focus_pipeline.alerts import outbox
from focus_pipeline.alerts.channels import sender
from focus_pipeline.alerts.problems import Found, Problem
from focus_pipeline.storage import DataDir

data_dir, url, dies_at, place = DataDir(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3]), sys.argv[4]
outbox.FIRST_WAIT = timedelta(0)
write, writes = outbox.write_outbox, 0

def counted(*args):
    global writes
    writes += 1
    if writes == dies_at and place == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    write(*args)
    if writes == dies_at:
        os.kill(os.getpid(), signal.SIGKILL)

outbox.write_outbox = counted
problems = [
    Problem(name=f"acme/cost_and_usage/{month}", place="acme", month=f"2025-0{month}", title="fails", text="it does")
    for month in (1, 2, 3)
]
with outbox.alone(data_dir):
    state = outbox.noted(outbox.read_outbox(data_dir), Found(tuple(problems)), ["chat"], most=9, ui_url="")
    counted(state, data_dir)
    outbox.deliver(state, {"chat": sender("chat", url)}, data_dir, 20)
"""


@pytest.mark.slow
@pytest.mark.parametrize("place", ["before", "after"])
def test_a_process_that_is_killed_at_any_write_loses_nothing_and_doubles_only_what_was_just_taken(
    tmp_path: Path, place: str
) -> None:
    """Seven writes for three messages: what there is to tell, and two for each message."""
    for number in range(1, 8):
        with web_hook() as hook:
            command = [sys.executable, "-c", TELLS, str(tmp_path / str(number)), hook.url]
            killed = subprocess.run([*command, str(number), place], check=False)
            assert killed.returncode == -signal.SIGKILL
            subprocess.run([*command, "0", place], check=True)
            subprocess.run([*command, "0", place], check=True)
            titles = list(dict.fromkeys(hook.titles))
            assert titles == [f"acme 2025-0{month}: fails" for month in (1, 2, 3)]
            assert len(set(hook.ids)) == 3
            # Killed before it could write down that a message was taken.
            assert len(hook.ids) == (4 if place == "before" and number in (3, 5, 7) else 3)


def test_a_damaged_outbox_counts_as_empty_and_what_is_open_is_told_again(data_dir: DataDir) -> None:
    chat = Channel()
    look(data_dir, {"chat": chat}, problem("2025-03"))
    (data_dir.alerts / "outbox.json").write_bytes(b"{")
    look(data_dir, {"chat": chat}, problem("2025-03"))
    assert len(chat.taken) == 2
    assert json.loads((data_dir.alerts / "outbox.json").read_text())["told"]
