"""A data directory whose disk is full, at many points: no part of a month is loaded, and nothing is held against it.

The data directory is a small tmpfs. It is filled up to a few bytes before a run, or while it runs. The run ends well or
in a sentence; the table shows the former month or the new one, whole. Once there is space, the same run ends well.
"""

import os
import random
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline.focus.rules import predicates
from focus_pipeline.storage import DataDir
from focus_pipeline_tests.attack.children import Child, Ended, in_child
from focus_pipeline_tests.attack.kept_files import inconsistencies
from focus_pipeline_tests.attack.report import Illegal, Report, not_a_sentence
from focus_pipeline_tests.attack.steps import Shown, shown_after, take
from focus_pipeline_tests.month_files import MONTH, charges_of, write_csv, write_parquet

_CONNECTION = "colo_costs"
_MEGABYTES = 96
_VARIANTS = 2
_ROWS = 8_000
# A run after which there is space may have no more than this.
_BLOCK = 64 * 1024


def attack(count: int, seed: int, cache: Path, only: int | None = None) -> Report:
    """Fills the disk `count` times. Where no tmpfs may be mounted, it says so and does nothing."""
    report = Report("full-disk")
    with tempfile.TemporaryDirectory(prefix="attack-disk-") as name:
        root = Path(name)
        in_child(lambda: predicates(cache) and None)
        for variant in range(_VARIANTS):
            folder = root / "delivered" / str(variant) / MONTH
            folder.mkdir(parents=True)
            rows = charges_of(MONTH, _ROWS + variant, BilledCost=f"{variant + 1}.5")
            write_csv(folder / "expenses.csv", rows[: _ROWS // 2])
            write_parquet(folder / "additional.parquet", rows[_ROWS // 2 :])
        with _small_disk(root / "disk") as mounted:
            if not mounted:
                report.notes.append("skipped: no tmpfs may be mounted here")
                return report
            disk = Disk(root / "disk", cache)
            needed = disk.measure(root / "delivered")
            for number in [only] if only is not None else range(count):
                _fill(number, seed, count, disk, needed, root / "delivered", report)
    return report


@contextmanager
def _small_disk(path: Path) -> Iterator[bool]:
    path.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={_MEGABYTES}m,mode=0700", "tmpfs"]
    mounted = (
        shutil.which("mount") and not subprocess.run(["mount", *options, str(path)], capture_output=True).returncode
    )
    try:
        yield bool(mounted)
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(path)], check=True)


@dataclass(frozen=True)
class Needed:
    """bytes: more that the disk holds at most, and afterwards, while a month is replaced. shown: what it ends in."""

    at_most: int
    seconds: float
    shown: tuple[Shown, Shown]


class Disk:
    def __init__(self, path: Path, cache: Path) -> None:
        self.path = path
        self.data_dir = DataDir(path / "data", cache=cache)
        self._ballast = path / "ballast"

    def measure(self, delivered: Path) -> Needed:
        """Loads both variants undisturbed."""
        self.clear()
        first = self.load(delivered, 0)
        before = self.used()
        at_most = before
        child = Child(lambda say: self.take(delivered, 1))
        while child.running():
            at_most = max(at_most, self.used())
            time.sleep(0.002)
        second = child.wait()
        for ended in (first, second):
            if fault := ended.fault():
                raise RuntimeError(f"the undisturbed run failed: {fault}\n{ended.raised and ended.raised.trace}")
        return Needed(at_most - before, second.seconds, (first.value, second.value))

    def clear(self) -> None:
        self.free()
        shutil.rmtree(self.data_dir.root, ignore_errors=True)

    def load(self, delivered: Path, variant: int) -> Ended:
        return in_child(lambda: self.take(delivered, variant))

    def take(self, delivered: Path, variant: int) -> Shown:
        take(MonthFolders(_CONNECTION, (delivered / str(variant)).as_uri()), MONTH, self.data_dir)
        return shown_after(_CONNECTION, MONTH, self.data_dir)

    def shown(self) -> Ended:
        return in_child(lambda: shown_after(_CONNECTION, MONTH, self.data_dir))

    def used(self) -> int:
        status = os.statvfs(self.path)
        return (status.f_blocks - status.f_bfree) * status.f_frsize

    def fill(self, left: int) -> None:
        """Leaves that many bytes free."""
        status = os.statvfs(self.path)
        size = status.f_bavail * status.f_frsize - left
        with suppress(OSError), self._ballast.open("ab") as ballast:
            while size > 0:
                size -= ballast.write(bytes(min(size, _BLOCK)))

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)


def _fill(number: int, seed: int, count: int, disk: Disk, needed: Needed, delivered: Path, report: Report) -> None:
    chance = random.Random(f"disk {seed} {number}")
    while_running = number % 3 == 2
    part = chance.random()
    repeat = f"full-disk --seed {seed} --only {number}"
    how = f"full after {part:.0%} of a run's time" if while_running else f"with {part:.0%} of the space that it needs"

    def wrong(what: str, detail: str = "") -> None:
        report.illegal.append(Illegal(f"{how}: {what}", repeat, detail))

    disk.clear()
    if fault := disk.load(delivered, 0).fault():
        wrong(f"the first load: {fault}")
        return
    report.counts["runs on a full disk"] += 1
    if while_running:
        filling = threading.Timer(part * needed.seconds, disk.fill, [0])
        child = Child(lambda say: disk.take(delivered, 1))
        filling.start()
        ended = child.wait()
        filling.join()
    else:
        disk.fill(int(part * needed.at_most))
        ended = disk.load(delivered, 1)
    if ended.fault() is None:
        report.counts["ended well"] += 1
    elif ended.raised is not None and ended.raised.declared and not not_a_sentence(ended.raised.message):
        report.counts["ended in a sentence"] += 1
    else:
        report.counts["ended in a riddle"] += 1
        wrong(str(ended.fault()), ended.raised.trace[-1500:] if ended.raised else "")
    if rejected := _recorded_rejections(disk.data_dir):
        wrong(f"the full disk is held against a file: {rejected}")
    disk.free()
    seen = disk.shown()
    if seen.fault() or _without_token(seen.value) not in [_without_token(legal) for legal in needed.shown]:
        wrong(f"the table shows {seen.fault() or seen.value}")
    again = disk.load(delivered, 1)
    if again.fault() or _without_token(again.value) != _without_token(needed.shown[1]):
        wrong(f"with space again: {again.fault() or again.value}", again.raised.trace[-1500:] if again.raised else "")
    for what in inconsistencies(disk.data_dir.root):
        wrong(f"afterwards {what}")


def _without_token(seen: Shown) -> tuple:
    return seen.rows, seen.cost, seen.content


def _recorded_rejections(data_dir: DataDir) -> str:
    """Of any report on disk: no file of this attack is at fault."""
    found = [
        path.name
        for path in data_dir.root.glob("staged/*/*/*.staged.json")
        if '"rejection": {' in path.read_text("utf-8", "replace")
    ]
    return ", ".join(found)
