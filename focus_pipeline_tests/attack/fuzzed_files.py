"""Damaged and odd files, many to a delivery, held against a reading that is not the project's.

Legal: the file is rejected with a sentence; or its rows and the sum of BilledCost per BillingCurrency are those of the
independent reading; or its rows are, and the month is not accepted, for a cost cannot be read. Never: an exception, a
process that dies, hangs or takes much memory, or a file that changes what the files beside it give.
"""

import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from decimal import Context, Decimal
from pathlib import Path

import pyarrow.parquet as pq

from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline.focus.rules import predicates
from focus_pipeline.pipeline.judge import judge
from focus_pipeline.pipeline.land import land
from focus_pipeline.pipeline.stage import stage
from focus_pipeline.storage import DataDir
from focus_pipeline_tests.attack import independent_reading
from focus_pipeline_tests.attack.children import Ended, in_child, in_shares
from focus_pipeline_tests.attack.file_mutators import Fuzzed, fuzzed, healthy
from focus_pipeline_tests.attack.report import Illegal, Report, not_a_sentence
from focus_pipeline_tests.month_files import MONTH

FILES_PER_DELIVERY = 100
_HEALTHY = (healthy(0, 5), healthy(1, 11))
_MEMORY_LIMIT = "1GB"
# Of the process: DuckDB's limit, and what Python and its libraries take.
_MOST_MEGABYTES = 1_800
_SECONDS_PER_FILE, _SECONDS_PER_DELIVERY = 0.5, 20.0
_ALONE_EVERY = 100
_EXACT = Context(prec=200)


@dataclass(frozen=True)
class Outcome:
    """What the pipeline made of one file. rejected: why. without_cost: rows without a BilledCost."""

    rejected: str | None
    rows: int
    costs: dict[str, Decimal]
    without_cost: int
    readable: int

    def __str__(self) -> str:
        if self.rejected is not None:
            return f"rejected: {self.rejected}"
        costs = ", ".join(f"{cost} {currency}" for currency, cost in self.costs.items())
        return f"{self.rows} rows, {costs}, {self.without_cost} without a cost"


@dataclass(frozen=True)
class Delivered:
    """What came of one delivery: of each file by name, and whether the month was accepted."""

    files: dict[str, Outcome]
    accepted: bool


def attack(count: int, seed: int, cache: Path, only: int | None = None) -> Report:
    """Fuzzes `count` files. only: the one file of that number, beside healthy ones."""
    report = Report("files")
    numbers = [only] if only is not None else list(range(count))
    with tempfile.TemporaryDirectory(prefix="attack-files-") as name:
        in_child(lambda: predicates(cache) and None)

        def share(worker: int, part: list[int]) -> Report:
            return _share(seed, part, Path(name) / str(worker), cache)

        for ended in in_shares(numbers, share):
            if fault := ended.fault():
                raise RuntimeError(f"the attack itself failed: {fault}\n{ended.raised and ended.raised.trace}")
            report.add(ended.value)
    return report


def _share(seed: int, numbers: list[int], root: Path, cache: Path) -> Report:
    report = Report("files")
    for i in range(0, len(numbers), FILES_PER_DELIVERY):
        files = [fuzzed(seed, number) for number in numbers[i : i + FILES_PER_DELIVERY]]
        outcomes = _outcomes(files, root, cache, seed, report)
        for file in files:
            if file.number in outcomes:
                _hold_against(file, outcomes[file.number], root, seed, report)
        for file in files:
            if file.number % _ALONE_EVERY == 0 and file.number in outcomes and len(files) > 1:
                report.counts["files loaded alone, too"] += 1
                alone = _outcomes([file], root, cache, seed, Report("files")).get(file.number)
                if alone != outcomes[file.number]:
                    report.illegal.append(
                        _illegal(file, seed, f"alone it is {alone}, beside others {outcomes[file.number]}")
                    )
    return report


def _outcomes(files: list[Fuzzed], root: Path, cache: Path, seed: int, report: Report) -> dict[int, Outcome]:
    """What came of each file; those that are at fault when a delivery fails are found, and the rest is loaded again."""
    ended = _loaded(files, root, cache)
    fault = ended.fault()
    if fault is None and ended.megabytes > _MOST_MEGABYTES:
        fault = f"it took {ended.megabytes:,.0f} MB"
    if fault is None:
        report.counts["deliveries"] += 1
        report.counts["most megabytes of a delivery"] = max(
            report.counts["most megabytes of a delivery"], int(ended.megabytes)
        )
        return _of_files(files, ended.value, seed, report)
    if len(files) == 1 and f"costs of {MONTH}/{files[0].name} add up to more than" in fault:
        report.counts["named, for costs that are too large to add up, and their months not loaded"] += 1
        return {}
    if len(files) == 1:
        report.illegal.append(_illegal(files[0], seed, fault, ended.raised.trace if ended.raised else ""))
        report.counts["files that ended a delivery"] += 1
        return {}
    half = len(files) // 2
    found = _outcomes(files[:half], root, cache, seed, report) | _outcomes(files[half:], root, cache, seed, report)
    return found


def _loaded(files: list[Fuzzed], root: Path, cache: Path) -> Ended:
    shutil.rmtree(root, ignore_errors=True)
    folder = root / "delivered" / MONTH
    folder.mkdir(parents=True)
    # First and last in the order of the names.
    for file, name in [*((file, file.name) for file in files), (_HEALTHY[0], "#first.csv"), (_HEALTHY[1], "~last.csv")]:
        (folder / name).write_bytes(file.content)
    return in_child(lambda: _delivered(root, cache), _SECONDS_PER_DELIVERY + _SECONDS_PER_FILE * len(files))


def _delivered(root: Path, cache: Path) -> Delivered:
    connection = MonthFolders("colo_costs", (root / "delivered").as_uri(), month_rule=False)
    data_dir = DataDir(root / "data", cache=cache, memory_limit=_MEMORY_LIMIT)
    staged = stage(
        land(connection, connection.discover([MONTH]).deliveries[MONTH], data_dir), data_dir, month_rule=False
    )
    verdict = judge(staged, data_dir, month_rule=False)
    table = pq.read_table(list(staged.paths), columns=["x_SourceFile", "BilledCost", "BillingCurrency"])
    rows: Counter[str] = Counter()
    without: Counter[str] = Counter()
    costs: dict[str, dict[str, Decimal]] = {}
    for source, cost, currency in zip(*(column.to_pylist() for column in table.columns), strict=True):
        rows[source] += 1
        without[source] += cost is None
        of_file = costs.setdefault(source, {})
        of_file[currency or ""] = _EXACT.add(of_file.get(currency or "", Decimal(0)), cost or Decimal(0))
    files = {
        file.key.rpartition("/")[2]: Outcome(
            None if file.rejection is None else file.rejection.reason,
            rows[file.key],
            costs.get(file.key, {}),
            without[file.key],
            rows[file.key] - without[file.key],
        )
        for file in staged.files
    }
    for file in staged.files:
        # The same bytes under another name are counted once, and what becomes of them is told there.
        if file.same_as:
            files[file.key.rpartition("/")[2]] = files[file.same_as.rpartition("/")[2]]
    return Delivered(files, verdict.accepted)


def _of_files(files: list[Fuzzed], delivered: Delivered, seed: int, report: Report) -> dict[int, Outcome]:
    """The outcomes by number, after a look at what concerns the delivery as a whole."""
    numbers = [file.number for file in files]
    for file, name in zip(_HEALTHY, ("#first.csv", "~last.csv"), strict=True):
        outcome = delivered.files.get(name)
        with tempfile.NamedTemporaryFile(suffix=".csv") as written:
            written.write(file.content)
            written.flush()
            reading = independent_reading.read(Path(written.name))
        if outcome is None or outcome.rejected is not None or not reading.agrees(outcome.rows, outcome.costs):
            report.illegal.append(
                Illegal(
                    f"the healthy file beside {numbers[:3]} … gives {outcome}, not {reading}",
                    f"files --seed {seed} --only {numbers[0]}",
                )
            )
    blank = [
        file for file in files if (of := delivered.files.get(file.name)) and of.rejected is None and of.without_cost
    ]
    if blank and delivered.accepted:
        report.illegal.append(_illegal(blank[0], seed, "the month is accepted though a row has no cost"))
    for file in files:
        if file.name not in delivered.files:
            report.illegal.append(_illegal(file, seed, "the staged month does not speak of it"))
    return {file.number: delivered.files[file.name] for file in files if file.name in delivered.files}


def _hold_against(file: Fuzzed, outcome: Outcome, root: Path, seed: int, report: Report) -> None:
    report.counts["files"] += 1
    if outcome.rejected is not None:
        report.counts["rejected with a sentence"] += 1
        if why := not_a_sentence(outcome.rejected):
            report.illegal.append(_illegal(file, seed, f"it is rejected with {outcome.rejected!r}: {why}", kind=why))
        elif not file.mutations:
            report.illegal.append(_illegal(file, seed, f"it is healthy, and {outcome}"))
        return
    path = root / "read" / ("file" + "".join(Path(file.name).suffixes))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(file.content)
    second = "" if file.content[:4] == b"PAR1" else independent_reading.second_opinion(path)

    def wrong(what: str, readings: object) -> None:
        report.counts[what] += 1
        detail = f"Python's strict reader of CSV: {second}" if second else ""
        report.illegal.append(_illegal(file, seed, f"{what}: {outcome}; by Arrow {readings}", detail, what))

    try:
        reading = independent_reading.read(path)
    except independent_reading.CannotRead as error:
        wrong("accepted, and not readable by others", error)
        return
    others = [reading, *([second] if isinstance(second, independent_reading.Reading) else [])]
    if any(other.rows != outcome.rows for other in others):
        wrong("accepted with other rows", reading)
    elif outcome.without_cost:
        report.counts["rows as read by others, held back for a cost that is none"] += 1
    elif any(other.unreadable or not other.agrees(outcome.rows, outcome.costs) for other in others):
        wrong("accepted with other costs", reading)
    elif not reading.others:
        report.counts["accepted with the rows and costs that others read, who cannot read another column"] += 1
    else:
        report.counts["accepted with the rows and costs that others read"] += 1


def _illegal(file: Fuzzed, seed: int, what: str, detail: str = "", kind: str = "") -> Illegal:
    done = ", ".join(file.mutations) or "nothing"
    return Illegal(f"{file.name} ({done}): {what}", f"files --seed {seed} --only {file.number}", detail, kind)
