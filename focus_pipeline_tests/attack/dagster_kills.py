"""A machine that goes down while Dagster loads months: the whole tree of processes is killed, and started anew.

Afterwards every month is published once, all runs have ended and no slot of a pool is held.
"""

import tempfile
from pathlib import Path

from focus_pipeline_tests.attack.report import Illegal, Report
from focus_pipeline_tests.e2e.crashes import crash_and_recover


def attack(count: int, seed: int, cache: Path, only: int | None = None) -> Report:
    """Kills everything `count` times. cache, only: are not used; kills follow each other in one project."""
    report = Report("dagster-kills")
    with tempfile.TemporaryDirectory(prefix="attack-dagster-") as name:
        try:
            recovery = crash_and_recover(Path(name), count, seed)
        except (AssertionError, TimeoutError) as error:
            report.illegal.append(
                Illegal(f"after {count} kills of everything: {error}", f"dagster-kills --count {count} --seed {seed}")
            )
            return report
    report.counts["kills of the whole tree of processes"] += count
    for status, runs in sorted(recovery.killed.items()):
        report.counts[f"runs that were killed while {status}"] += runs
    report.notes.append(f"all months published, no run and no slot stuck {recovery.seconds:.0f} s after the last start")
    return report
