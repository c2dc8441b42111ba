"""Problems that were told, and messages that are on their way. What is here was written before anything is sent.

alerts/outbox.json     Outbox
alerts/lock            held by the process that tells

A message stays until every channel has taken it. A process that ends at any moment leaves the state before a step or
the one after it: a message that no channel was asked to take is sent once; one that a channel took in the very moment
in which the process ended, before that was written down, is sent to that channel again.
"""

import os
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

from focus_pipeline.alerts.messages import Told, Wording, wordings
from focus_pipeline.alerts.problems import Found
from focus_pipeline.files import alone_with, make_folder, replacing
from focus_pipeline.json_records import Record, read_record
from focus_pipeline.storage import DataDir

# A channel that did not take a message is asked again after the first of these, then after twice as long each time.
FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(minutes=30)

LOCKED_SECONDS = 1.0


class Message(Record):
    """id: the same however often it is sent. number: counts them. waiting: names of the channels that have not taken
    it. resolved: see Wording.
    """

    id: str
    number: int
    title: str
    text: str
    resolved: bool
    at: datetime
    waiting: tuple[str, ...]


class ChannelState(Record):
    """Of a channel that did not take the last message. failures: how often in a row. again_at: before then it is not
    asked. said: why it did not.
    """

    failures: int
    again_at: datetime
    said: str


class Outbox(Record):
    """told: by key. messages: in the order in which they are sent. channels: those that fail, by name."""

    number: int = 0
    told: dict[str, Told] = {}  # noqa: RUF012  (pydantic copies defaults)
    messages: tuple[Message, ...] = ()
    channels: dict[str, ChannelState] = {}  # noqa: RUF012

    def waiting_for(self, channel: str) -> list[Message]:
        """The messages that a channel has not taken, in order."""
        return [message for message in self.messages if channel in message.waiting]


Send = Callable[[Message], str]
"""Sends a message over a channel; "" where it was taken, else why it was not."""


def alone(data_dir: DataDir) -> AbstractContextManager[None]:
    """No other process tells until the block ends. Raises TimeoutError where another one does."""
    make_folder(data_dir.alerts)
    return alone_with(data_dir.alerts / "lock", LOCKED_SECONDS)


def read_outbox(data_dir: DataDir) -> Outbox:
    """What is written down; an empty one where there is none, or none that can be read."""
    return read_record(_path(data_dir), Outbox) or Outbox()


def write_outbox(outbox: Outbox, data_dir: DataDir) -> None:
    """Replaces what is written down; it is on the disk when this returns. No other process may be in alone()."""
    make_folder(data_dir.alerts)
    with replacing(_path(data_dir)) as temporary:
        with temporary.open("wb") as file:
            file.write(outbox.model_dump_json(indent=1).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def noted(
    outbox: Outbox, found: Found, channels: Collection[str], *, most: int, ui_url: str, now: datetime | None = None
) -> Outbox:
    """The outbox after a look: with messages for what has begun and what is over since the one before.

    most: how many messages at once are not a digest yet. What waits for channels that are no more goes.
    """
    now = now or datetime.now(UTC)
    problems = {problem.key: problem for problem in found.problems}
    begun = [problem for key, problem in problems.items() if key not in outbox.told]
    over = [key for key in outbox.told if key not in problems and found.decides(key, outbox.told[key].place)]
    others = {key: told for key, told in outbox.told.items() if key not in over}
    said = wordings(begun, [outbox.told[key] for key in over], list(others.values()), most=most, ui_url=ui_url, now=now)
    told = others | {
        problem.key: Told(place=problem.place, month=problem.month, title=problem.title, since=now) for problem in begun
    }
    kept = [
        message.model_copy(update={"waiting": waiting})
        for message in outbox.messages
        if (waiting := tuple(name for name in message.waiting if name in channels))
    ]
    new = [_message(outbox.number + place, wording, channels, now) for place, wording in enumerate(said, start=1)]
    return Outbox(
        number=outbox.number + len(new),
        told=told,
        messages=(*kept, *new),
        channels={name: state for name, state in outbox.channels.items() if name in channels},
    )


def deliver(outbox: Outbox, channels: Mapping[str, Send], data_dir: DataDir, seconds: float) -> Outbox:
    """Sends what waits, and writes down what was taken, message by message. The outbox afterwards.

    Each channel gets its messages in order; one that does not take a message is not asked for the next, and holds up no
    other channel. No message is begun after so many seconds.
    """
    until = time.monotonic() + seconds
    # Those that failed come last: what they take to fail is nobody else's time.
    for name in sorted(channels, key=lambda one: _failures(outbox, one)):
        for message in outbox.waiting_for(name):
            state = outbox.channels.get(name)
            if time.monotonic() > until or (state and state.again_at > datetime.now(UTC)):
                break
            # Written before it is sent, as if it had failed: where nothing can be written down, nothing is sent.
            outbox = _failed(outbox, name, "it did not answer before the process ended")
            write_outbox(outbox, data_dir)
            said = channels[name](message)
            outbox = _failed(outbox, name, said, counts=False) if said else _taken(outbox, name, message)
            write_outbox(outbox, data_dir)
            if said:
                break
    return outbox


def _failures(outbox: Outbox, channel: str) -> int:
    """How often in a row a channel did not take a message."""
    state = outbox.channels.get(channel)
    return state.failures if state else 0


def _message(number: int, wording: Wording, channels: Collection[str], now: datetime) -> Message:
    return Message(
        id=uuid4().hex,
        number=number,
        title=wording.title,
        text=wording.text,
        resolved=wording.resolved,
        at=now,
        waiting=tuple(channels),
    )


def _failed(outbox: Outbox, channel: str, said: str, *, counts: bool = True) -> Outbox:
    failures = _failures(outbox, channel) + counts
    wait = min(FIRST_WAIT * 2 ** min(failures - 1, 20), LONGEST_WAIT)
    state = ChannelState(failures=failures, again_at=datetime.now(UTC) + wait, said=said)
    return outbox.model_copy(update={"channels": outbox.channels | {channel: state}})


def _taken(outbox: Outbox, channel: str, message: Message) -> Outbox:
    messages = [
        one
        if one.id != message.id
        else one.model_copy(update={"waiting": tuple(n for n in one.waiting if n != channel)})
        for one in outbox.messages
    ]
    return outbox.model_copy(
        update={
            "messages": tuple(one for one in messages if one.waiting),
            "channels": {name: state for name, state in outbox.channels.items() if name != channel},
        }
    )


def _path(data_dir: DataDir) -> Path:
    return data_dir.alerts / "outbox.json"
