"""Ten publishers at once on one warehouse, which is not there yet: what they end in is what one after the other gives.

Other months; one month ten times; an old and a new delivery of one month. Each run lands, stages, judges and publishes.
"""

import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from focus_pipeline.connections.delivery import Delivery
from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline.focus.rules import predicates
from focus_pipeline.storage import DataDir
from focus_pipeline_tests.attack.children import Child, Ended, in_child
from focus_pipeline_tests.attack.kept_files import accepted_token, current_token, inconsistencies
from focus_pipeline_tests.attack.report import Illegal, Report, not_a_sentence
from focus_pipeline_tests.attack.steps import Shown, publish, shown_after, take
from focus_pipeline_tests.month_files import charges_of, write_csv, write_parquet

PUBLISHERS = 10
_CONNECTIONS = ("colo_costs", "saas_tools")
_MONTHS = tuple(f"2025-{month:02d}" for month in range(1, 6))
_VARIANTS = 2
_SECONDS = 180


@dataclass(frozen=True)
class Run:
    connection: str
    month: str
    variant: int

    def __str__(self) -> str:
        return f"{self.connection} {self.month}, {'old' if self.variant == 0 else 'new'} delivery"


def other_months(chance: random.Random) -> list[Run]:
    return [Run(name, month, 0) for name in _CONNECTIONS for month in _MONTHS]


def same_month(chance: random.Random) -> list[Run]:
    return [Run("colo_costs", "2025-01", 0)] * PUBLISHERS


def old_and_new(chance: random.Random) -> list[Run]:
    return [Run("colo_costs", "2025-01", variant) for variant in (0, 1) for _ in range(PUBLISHERS // 2)]


def mixed(chance: random.Random) -> list[Run]:
    return [
        Run(chance.choice(_CONNECTIONS), chance.choice(_MONTHS[:2]), chance.randrange(_VARIANTS))
        for _ in range(PUBLISHERS)
    ]


RACES: dict[str, Callable[[random.Random], list[Run]]] = {
    "an old and a new delivery": old_and_new,
    "other months": other_months,
    "the same month": same_month,
    "all mixed": mixed,
}


def attack(count: int, seed: int, cache: Path, only: int | None = None) -> Report:
    """Races `count` times, one kind after the other, each on an empty data directory."""
    report = Report("races")
    with tempfile.TemporaryDirectory(prefix="attack-races-") as name:
        root = Path(name)
        in_child(lambda: predicates(cache) and None)
        _deliver(root / "delivered")
        serial: dict[Run, Shown] = {}
        for number in [only] if only is not None else range(count):
            _race(number, seed, serial, root, cache, report)
    return report


def _deliver(root: Path) -> None:
    for name in _CONNECTIONS:
        for variant in range(_VARIANTS):
            for i, month in enumerate(_MONTHS):
                folder = root / name / str(variant) / month
                folder.mkdir(parents=True)
                rows = charges_of(month, 200 + 30 * i + variant, BilledCost=f"{variant + 1}.{i + 1:018d}")
                write_csv(folder / "expenses.csv", rows[:100])
                write_parquet(folder / "additional.parquet", rows[100:])


def _connection(root: Path, run: Run) -> MonthFolders:
    return MonthFolders(run.connection, (root / "delivered" / run.connection / str(run.variant)).as_uri())


def _serial(runs: list[Run], root: Path, cache: Path) -> dict[Run, Shown]:
    """What each of the deliveries gives when nobody else is there."""
    data_dir = DataDir(root / "serial", cache=cache)

    def load() -> dict[Run, Shown]:
        found = {}
        for run in runs:
            take(_connection(root, run), run.month, data_dir)
            found[run] = shown_after(run.connection, run.month, data_dir)
        return found

    ended = in_child(load, 300)
    if fault := ended.fault():
        raise RuntimeError(f"the serial runs failed: {fault}\n{ended.raised and ended.raised.trace}")
    return ended.value


def _race(number: int, seed: int, serial: dict[Run, Shown], root: Path, cache: Path, report: Report) -> None:
    chance = random.Random(f"race {seed} {number}")
    kind = list(RACES)[number % len(RACES)]
    runs = RACES[kind](chance)
    chance.shuffle(runs)
    serial |= _serial([run for run in dict.fromkeys(runs) if run not in serial], root, cache)
    data_dir = DataDir(root / "raced", cache=cache)
    shutil.rmtree(data_dir.root, ignore_errors=True)
    repeat = f"races --seed {seed} --only {number}"

    def wrong(what: str, detail: str = "") -> None:
        report.illegal.append(Illegal(f"{kind}: {what}", repeat, detail))

    report.counts[f"races of {PUBLISHERS} publishers: {kind}"] += 1
    for run, ended in zip(runs, _raced(runs, root, data_dir), strict=True):
        report.counts["runs"] += 1
        if ended.fault() is None:
            continue
        report.counts["runs that ended in an error"] += 1
        if ended.raised is None or not ended.raised.declared or not_a_sentence(ended.raised.message):
            wrong(f"{run}: {ended.fault()}", ended.raised.trace if ended.raised else "")
    for what in inconsistencies(data_dir.root):
        wrong(what)
    for name, month in dict.fromkeys((run.connection, run.month) for run in runs):
        seen = in_child(lambda name=name, month=month: _seen(name, month, data_dir))
        if fault := seen.fault():
            wrong(f"{name} {month} afterwards: {fault}", seen.raised.trace if seen.raised else "")
            continue
        left, settled = seen.value
        ended_in = current_token(data_dir.root, name, month)
        if settled.tokens != (ended_in,) or accepted_token(data_dir.root, name, month) != ended_in:
            wrong(f"{name} {month}: the table shows {settled.tokens}, current.json is of {ended_in}")
        if left != settled:
            # The run that was last is to publish, or to say why not.
            wrong(f"{name} {month}: the races leave {left}, another publishing makes it {settled}")
        legal = [serial[run] for run in dict.fromkeys(runs) if (run.connection, run.month) == (name, month)]
        if (left.rows, left.cost, left.content) not in [(s.rows, s.cost, s.content) for s in legal]:
            wrong(f"{name} {month}: the table shows {left}, not one of {legal}")


def _raced(runs: list[Run], root: Path, data_dir: DataDir) -> list[Ended]:
    deliveries = {run: _connection(root, run).discover([run.month]).deliveries[run.month] for run in runs}

    def take_one(run: Run, delivery: Delivery) -> None:
        take(_connection(root, run), run.month, data_dir, delivery=delivery)

    children = [Child(lambda say, run=run: take_one(run, deliveries[run])) for run in runs]
    return [child.wait(_SECONDS) for child in children]


def _seen(name: str, month: str, data_dir: DataDir) -> tuple[Shown, Shown]:
    """What the table shows now, and after the month is published once more."""
    left = shown_after(name, month, data_dir)
    publish(month, data_dir)
    return left, shown_after(name, month, data_dir)
