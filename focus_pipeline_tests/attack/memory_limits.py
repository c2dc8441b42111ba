"""FOCUS_MEMORY_LIMIT from 40 MB up: a month is loaded whole, or its run ends in a sentence about memory.

What did not fit is never held against a file, and with more memory the same month is accepted.
"""

import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline.focus.rules import predicates
from focus_pipeline.storage import DataDir
from focus_pipeline_tests.attack.children import in_child
from focus_pipeline_tests.attack.report import Illegal, Report, not_a_sentence
from focus_pipeline_tests.attack.steps import Shown, shown_after, take
from focus_pipeline_tests.month_files import MONTH, charges_of, write_csv, write_parquet

MEGABYTES = (40, 50, 60, 70, 80, 100, 120, 160, 200, 280, 400, 640)
_ENOUGH = "2GB"
_CONNECTION = "colo_costs"
_SECONDS = 120


def attack(count: int, seed: int, cache: Path, only: int | None = None) -> Report:
    """Loads `count` months, each kind with each limit, from the smallest limit up. only: the one of that number."""
    report = Report("memory")
    tries = [(what, megabytes) for megabytes in MEGABYTES for what in MONTHS]
    # Evenly over the limits; the smallest alone would show the sentence alone.
    step = max(1, len(tries) // count)
    step += step > 1 and step % len(MONTHS) == 0
    numbers = list(range(0, len(tries), step))[:count] if only is None else [only]
    with tempfile.TemporaryDirectory(prefix="attack-memory-") as name:
        root = Path(name)
        in_child(lambda: predicates(cache) and None)
        references: dict[str, tuple] = {}
        for number in numbers:
            what, megabytes = tries[number]
            if what not in references:
                references[what] = _reference(what, seed, root, cache)
            _limited(what, megabytes, references[what], root, cache, report, f"memory --seed {seed} --only {number}")
    return report


def _reference(what: str, seed: int, root: Path, cache: Path) -> tuple:
    """Delivers a month of that kind, and loads it with enough memory."""
    folder = root / what / MONTH
    folder.mkdir(parents=True)
    # In a process of its own, so that its memory is its own.
    made = in_child(lambda: MONTHS[what](folder, random.Random(seed)))
    loaded = in_child(lambda: _load(root / what, root / "enough", cache, _ENOUGH))
    for ended in (made, loaded):
        if fault := ended.fault():
            raise RuntimeError(f"{what} with {_ENOUGH}: {fault}\n{ended.raised and ended.raised.trace}")
    shutil.rmtree(root / "enough")
    return loaded.value


def _load(delivered: Path, data: Path, cache: Path, limit: str) -> tuple[Shown, list[str], bool]:
    """What the table shows, the reasons of rejected files, and whether the month is accepted."""
    data_dir = DataDir(data, cache=cache, memory_limit=limit)
    staged, verdict = take(MonthFolders(_CONNECTION, delivered.as_uri()), MONTH, data_dir)
    rejected = [f"{file.key}: {file.rejection.reason}" for file in staged.rejected_files]
    return shown_after(_CONNECTION, MONTH, data_dir), rejected, verdict.accepted


def _limited(what: str, megabytes: int, reference: tuple, root: Path, cache: Path, report: Report, repeat: str) -> None:
    data = root / "limited"

    def wrong(said: str, detail: str = "") -> None:
        report.illegal.append(Illegal(f"{what} with {megabytes} MB: {said}", repeat, detail))

    ended = in_child(lambda: _load(root / what, data, cache, f"{megabytes}MB"), _SECONDS)
    report.counts["months loaded with little memory"] += 1
    if ended.fault() is None:
        report.counts["loaded whole"] += 1
        if ended.value != reference:
            wrong(f"it ends in {str(ended.value)[:600]}, not in {str(reference)[:300]}")
    else:
        report.counts["ended in a sentence about memory"] += 1
        said = ended.raised
        if said is None or not said.declared or not_a_sentence(said.message) or "memory" not in said.message.lower():
            report.counts["ended in a sentence about memory"] -= 1
            wrong(str(ended.fault()), said.trace[-1500:] if said else "")
    again = in_child(lambda: _load(root / what, data, cache, _ENOUGH), _SECONDS)
    if again.fault() or again.value != reference:
        wrong(f"with {_ENOUGH} afterwards it ends in {str(again.fault() or again.value)[:600]}")
    shutil.rmtree(data, ignore_errors=True)


def _many_rows(folder: Path, chance: random.Random) -> None:
    for number in range(4):
        write_csv(folder / f"{number}.csv", charges_of(MONTH, 15_000, ResourceName=f"r{chance.random()}"))
    write_csv(folder / "few.csv", charges_of(MONTH, 30))


def _long_values(folder: Path, chance: random.Random) -> None:
    rows = charges_of(MONTH, 40)
    for row in rows:
        row["Tags"] = '{"a": "' + f"{chance.random()}" * 50_000 + '"}'
    write_csv(folder / "long.csv", rows)
    write_csv(folder / "few.csv", charges_of(MONTH, 30))


def _many_columns(folder: Path, chance: random.Random) -> None:
    own = {f"x_own_{number}": f"{chance.random()}" for number in range(600)}
    write_csv(folder / "wide.csv", charges_of(MONTH, 3_000, **own))
    write_csv(folder / "few.csv", charges_of(MONTH, 30))


def _parquet(folder: Path, chance: random.Random) -> None:
    write_parquet(folder / "many.parquet", charges_of(MONTH, 60_000), {"ListCost": pa.string()}, compression="zstd")
    write_csv(folder / "few.csv", charges_of(MONTH, 30))


MONTHS: dict[str, Callable[[Path, random.Random], None]] = {
    "many rows": _many_rows,
    "Parquet": _parquet,
    "long values": _long_values,
    "many columns": _many_columns,
}
