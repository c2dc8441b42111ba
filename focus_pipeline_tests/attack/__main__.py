"""python -m focus_pipeline_tests.attack [part …] [--count N] [--seed S] [--only NUMBER]: all parts without an argument.

Prints what each part counted, and each illegal state with what repeats it. Exits with 1 where there is one.
"""

import argparse
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

from focus_pipeline_tests.attack import (
    bombs,
    dagster_kills,
    full_disk,
    fuzzed_files,
    fuzzed_manifests,
    kills,
    memory_limits,
    races,
)
from focus_pipeline_tests.attack.children import Child
from focus_pipeline_tests.attack.report import Report

_MOST_SECONDS = 30 * 60

# How many of each make up the whole attack. The kills of both ways of running are 1,000. Those of Dagster are waits for
# the most part: they go on beside what follows, which has one process at a time.
_BESIDE = "dagster-kills"
PARTS: dict[str, tuple[int, Callable[[int, int, Path, int | None], Report]]] = {
    "kills": (990, kills.attack),
    "kills-sqlite": (100, partial(kills.attack, kind="sqlite")),
    "kills-postgres": (100, partial(kills.attack, kind="postgres")),
    "files": (20_000, fuzzed_files.attack),
    "manifests": (20_000, fuzzed_manifests.attack),
    "dagster-kills": (10, dagster_kills.attack),
    "races": (12, races.attack),
    "bombs": (len(bombs.BOMBS), bombs.attack),
    "full-disk": (45, full_disk.attack),
    "memory": (len(memory_limits.MEGABYTES) * len(memory_limits.MONTHS), memory_limits.attack),
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m focus_pipeline_tests.attack", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)}; all without one")
    parser.add_argument("--count", type=int, help="how many kills, races, files …")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, metavar="NUMBER", help="the one of that number alone")
    parser.add_argument("--rules-cache", type=Path, help="of compiled rules; without it they are compiled anew")
    chosen = parser.parse_args(arguments)
    if unknown := [part for part in chosen.parts if part not in PARTS]:
        parser.error(f"there is no part {unknown[0]}; there are {', '.join(PARTS)}")
    # Thousands of files are rejected here, each with a line of its own.
    logging.disable(logging.CRITICAL)
    until = time.monotonic() + _MOST_SECONDS
    illegal = 0
    with tempfile.TemporaryDirectory(prefix="attack-", ignore_cleanup_errors=True) as folder:
        tempfile.tempdir = folder
        cache = chosen.rules_cache or Path(folder) / "rules"
        with ExitStack() as stack:
            beside: list[Attack] = []
            for part in chosen.parts or PARTS:
                count, attack = PARTS[part]
                started = Attack(part, partial(attack, chosen.count or count, chosen.seed, cache, chosen.only))
                stack.callback(started.stop)
                if part == _BESIDE:
                    beside.append(started)
                else:
                    illegal += started.ended(until)
            illegal += sum(started.ended(until) for started in beside)
    print(f"{illegal:,} illegal states" if illegal else "no illegal state", flush=True)
    return 1 if illegal else 0


class Attack:
    """One part, in a group of processes of its own."""

    def __init__(self, part: str, attack: Callable[[], Report]) -> None:
        def run(say: Callable[[str], None]) -> Report:
            os.setpgid(0, 0)
            return attack()

        self._part = part
        self._stopped = False
        self._child = Child(run)

    def ended(self, until: float) -> int:
        """Waits for it, and prints its report; how many illegal states it has. It is killed when it takes too long."""
        ended = self._child.wait(max(0.0, until - time.monotonic()))
        self.stop()
        if ended.value is None:
            late = f"it has not ended within the {_MOST_SECONDS / 60:.0f} minutes of the whole attack"
            why = late if ended.signal else ended.fault()
            print(f"{self._part}: {why}", ended.raised.trace if ended.raised else "", sep="\n", flush=True)
            return 1
        report: Report = ended.value
        report.seconds = ended.seconds
        print(*report.lines(), sep="\n", flush=True)
        return len(report.illegal)

    def stop(self) -> None:
        """Kills what is left of it, once."""
        if not self._stopped:
            self._stopped = True
            with suppress(ProcessLookupError):
                os.killpg(self._child.process_id, signal.SIGKILL)


if __name__ == "__main__":
    # DuckDB, pyarrow and all else is loaded by now, once for every process that is forked.
    sys.exit(main(sys.argv[1:]))
