"""Child processes of one that has everything loaded: forked in milliseconds, killed at will, measured.

The parent must not have DuckDB open: its threads are not there in the child.
"""

import os
import pickle
import select
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

_WORKERS = 2
_LONGEST_SHARE_SECONDS = 30 * 60.0

_HANGS_AFTER_SECONDS = 120.0


@dataclass(frozen=True)
class Raised:
    """An exception that ended a child. declared: one of the project's own, which are meant to be read."""

    kind: str
    declared: bool
    message: str
    trace: str

    @classmethod
    def of(cls, error: BaseException) -> "Raised":
        kind = type(error)
        return cls(
            f"{kind.__module__}.{kind.__qualname__}",
            kind.__module__.partition(".")[0] == "focus_pipeline",
            str(error),
            "".join(traceback.format_exception(error)),
        )


@dataclass(frozen=True)
class Ended:
    """How a child ended. signal: that killed it, 0 where none did. megabytes: the most memory that it had."""

    value: Any
    raised: Raised | None
    signal: int
    seconds: float
    megabytes: float

    def fault(self) -> str | None:
        """What is wrong with the way it ended, in a line; None where it returned."""
        if self.signal:
            return f"the process was ended by {signal.Signals(self.signal).name} after {self.seconds:.0f} s"
        if self.raised is not None:
            return f"{self.raised.kind}: {self.raised.message[:300]}"
        return None


class Child:
    """A function in a process of its own. It is given `say`, which sends a word to the parent, see `heard()`."""

    def __init__(self, function: Callable[[Callable[[str], None]], object]) -> None:
        self._answer, answer = os.pipe()
        self._words, words = os.pipe()
        self.began = time.perf_counter()
        self.process_id = os.fork()
        if not self.process_id:
            os.close(self._answer)
            os.close(self._words)
            _work(function, answer, words)
        os.close(answer)
        os.close(words)

    def heard(self, seconds: float = _HANGS_AFTER_SECONDS) -> str | None:
        """The next word of the child; None when it ended without one, or said none in time."""
        ready, _, _ = select.select([self._words], [], [], seconds)
        word = b""
        while ready and (character := os.read(self._words, 1)) not in (b"", b"\n"):
            word += character
        return word.decode() or None

    def running(self) -> bool:
        """Whether it has not said yet what came of it."""
        return not select.select([self._answer], [], [], 0)[0]

    def kill(self) -> None:
        os.kill(self.process_id, signal.SIGKILL)

    def wait(self, seconds: float = _HANGS_AFTER_SECONDS) -> Ended:
        """Waits for its end, and makes one after that many seconds."""
        parts: list[bytes] = []
        until = time.perf_counter() + seconds
        while select.select([self._answer], [], [], max(0.0, until - time.perf_counter()))[0]:
            if not (part := os.read(self._answer, 1 << 20)):
                break
            parts.append(part)
        else:
            self.kill()
        _, status, usage = os.wait4(self.process_id, 0)
        os.close(self._answer)
        os.close(self._words)
        value, raised = pickle.loads(b"".join(parts)) if parts and os.WIFEXITED(status) else (None, None)
        return Ended(
            value,
            raised,
            os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
            time.perf_counter() - self.began,
            usage.ru_maxrss / 1024,
        )


def in_child(function: Callable[[], object], seconds: float = _HANGS_AFTER_SECONDS) -> Ended:
    """Runs a function in a child to its end."""
    return Child(lambda say: function()).wait(seconds)


def _work(function: Callable[[Callable[[str], None]], object], answer: int, words: int) -> None:
    """The child's whole life: it never returns into what the parent was doing."""
    try:
        try:
            outcome = (function(lambda word: os.write(words, f"{word}\n".encode())), None)
        except BaseException as error:
            outcome = (None, Raised.of(error))
        with os.fdopen(answer, "wb") as file:
            pickle.dump(outcome, file)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def in_shares(numbers: list[int], share: Callable[[int, list[int]], Any]) -> Iterator[Ended]:
    """Runs `share`, which takes the number of a worker and its part of the numbers, in a child for each worker."""
    parts = [numbers[worker::_WORKERS] for worker in range(_WORKERS)]
    running = [
        Child(lambda say, worker=worker, part=part: share(worker, part)) for worker, part in enumerate(parts) if part
    ]
    for child in running:
        yield child.wait(_LONGEST_SHARE_SECONDS)
