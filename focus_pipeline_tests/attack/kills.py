"""Steps that are killed at random points, with a reader who looks at the table all the while.

After each kill the month in the table is the former one or the new one, whole. The step that is run again then ends in
the table of an undisturbed run. Kills are at the boundary of a call of Python into C (a query, a file that is opened,
renamed, removed …), within such a call, or at any time.
"""

import json
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import BuiltinFunctionType, FrameType

import pyarrow as pa

from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline.focus.canonical import quoted
from focus_pipeline.focus.rules import predicates
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse.warehouse import warehouse_of
from focus_pipeline_tests.attack.children import Child, in_child, in_shares
from focus_pipeline_tests.attack.kept_files import accepted_token, current_token, inconsistencies, left_over
from focus_pipeline_tests.attack.report import Illegal, Report
from focus_pipeline_tests.attack.steps import STEPS, Shown, shown_after, take
from focus_pipeline_tests.month_files import charges_of, write_csv, write_parquet
from focus_pipeline_tests.warehouses import urls_of

VARIANTS = 3
READS_PER_KILL = 10
_KILLS_PER_DATA_DIR = 40
_TWO_DAYS = 2 * 24 * 3600
# Between two reads, and until a warehouse is looked for again.
_PAUSE_SECONDS, _SHORT_PAUSE_SECONDS = 0.06, 0.01

# Calls into C at which something is seen from outside, or is about to be.
_BOUNDARIES = frozenset(
    [
        "execute",
        "fetchall",
        "fetchone",
        "connect",
        "close",
        "open",
        "write",
        "rename",
        "replace",
        "unlink",
        "remove",
        "mkdir",
        "rmdir",
        "link",
        "symlink",
        "scandir",
        "sendfile",
        "copyfile",
        "utime",
        "fsync",
        "stat",
    ]
)


@dataclass(frozen=True)
class Month:
    """A month of a connection that is delivered again and again. rows: of its first variant."""

    connection: str
    month: str
    rows: int

    @property
    def key(self) -> str:
        return f"{self.connection} {self.month}"


MONTHS = (
    Month("colo_costs", "2025-01", 40),
    Month("colo_costs", "2025-02", 3_000),
    Month("saas_tools", "2025-02", 90),
    Month("saas_tools", "2025-03", 40_000),
)
# The large one takes seconds: it is killed less often. The first kills, all that a short form has, are of one month.
_WEIGHTS = (4, 3, 3, 1)
_OF_ONE_MONTH = 10


@dataclass(frozen=True)
class Reference:
    """An undisturbed run. calls: how many boundaries each step has. seconds: that each takes."""

    shown: Shown
    calls: dict[str, int]
    seconds: dict[str, float]


@dataclass(frozen=True)
class Kill:
    """where: part of the step's calls, or of its time, from 0 to 1."""

    number: int
    month: Month
    variant: int
    step: str
    how: str
    where: float

    def __str__(self) -> str:
        return f"{self.step} of {self.month.key}, variant {self.variant}, killed {self.how} {self.where:.3f}"


def planned(seed: int, number: int) -> Kill:
    chance = random.Random(f"kill {seed} {number}")
    return Kill(
        number,
        chance.choices(MONTHS, _WEIGHTS)[0] if number >= _OF_ONE_MONTH else MONTHS[0],
        chance.randrange(VARIANTS),
        chance.choice(STEPS),
        chance.choices(("at call", "within call", "at time"), (2, 1, 1))[0],
        chance.random(),
    )


def attack(count: int, seed: int, cache: Path, only: int | None = None, kind: str = "duckdb") -> Report:
    """Kills `count` times. only: the one kill of that number, on a new data directory. kind: of the warehouse."""
    report = Report("kills" if kind == "duckdb" else f"kills-{kind}")
    with tempfile.TemporaryDirectory(prefix="attack-kills-") as name, urls_of(kind, Path(name)) as url_in:
        root = Path(name)
        numbers = [only] if only is not None else list(range(count))
        months = list(dict.fromkeys(planned(seed, number).month for number in numbers))
        deliver(root / "delivered", months)
        ended = in_child(lambda: references(root, cache, months), 600)
        if fault := ended.fault():
            raise RuntimeError(f"the undisturbed runs failed: {fault}\n{ended.raised and ended.raised.trace}")
        reference: dict[tuple[str, int], Reference] = ended.value

        def share(worker: int, part: list[int]) -> Report:
            return _share(seed, part, reference, root, root / str(worker), cache, url_in, report.part)

        for ended in in_shares(numbers, share):
            if fault := ended.fault():
                report.illegal.append(
                    Illegal(fault, f"{report.part} --seed {seed}", ended.raised.trace if ended.raised else "")
                )
            else:
                report.add(ended.value)
    return report


def deliver(root: Path, months: list[Month]) -> None:
    """Every variant of the months, as folders that connections can be made over."""
    for month in months:
        for variant in range(VARIANTS):
            folder = root / month.connection / str(variant) / month.month
            folder.mkdir(parents=True)
            rows = charges_of(
                month.month, month.rows + 7 * variant, BilledCost=f"{variant + 1}.000000000000000{variant + 1}"
            )
            third = len(rows) // 3
            write_csv(folder / "expenses.csv", rows[:third])
            write_parquet(folder / "additional.parquet", rows[third:], {}, compression="zstd")
            write_parquet(folder / "few.parquet", rows[:3], {"ListCost": pa.string()})


def references(root: Path, cache: Path, months: list[Month]) -> dict[tuple[str, int], Reference]:
    """What undisturbed runs of the months end in, and what they take when there is something to replace."""
    predicates(cache)
    data_dir = DataDir(root / "undisturbed", cache=cache)
    found = {}
    for month in months:
        for variant in [VARIANTS - 1, *range(VARIANTS)]:
            _touched(root / "delivered", month, variant)
            calls: Counter[str] = Counter()
            began: dict[str, float] = {}

            def before(step: str, calls: Counter[str] = calls, began: dict[str, float] = began) -> None:
                began[step] = time.perf_counter()
                _at_each_boundary(lambda: calls.update([step]))

            staged, verdict = take(connection(root / "delivered", month, variant), month.month, data_dir, before=before)
            _at_each_boundary(None)
            if not verdict.accepted or staged.rejected_files:
                raise AssertionError(f"{month.key} is not accepted: {verdict.checks[0].summary}")
            ends = [*began.values(), time.perf_counter()]
            seconds = {step: ends[i + 1] - ends[i] for i, step in enumerate(STEPS)}
            found[month.key, variant] = Reference(
                shown_after(month.connection, month.month, data_dir), dict(calls), seconds
            )
    return found


def connection(delivered: Path, month: Month, variant: int) -> MonthFolders:
    return MonthFolders(month.connection, (delivered / month.connection / str(variant)).as_uri())


def _at_each_boundary(act: Callable[[], None] | None) -> None:
    """Has `act` called before and after each call into C that is a boundary, in this thread and those to come."""

    def look(frame: FrameType, event: str, called: BuiltinFunctionType) -> None:
        if event not in ("c_call", "c_return") or called.__name__ not in _BOUNDARIES:
            return
        if not isinstance(called.__self__, str | bytes):  # replace() of a text
            act()

    threading.setprofile(None if act is None else look)
    sys.setprofile(None if act is None else look)


def _share(
    seed: int,
    numbers: list[int],
    reference: dict[tuple[str, int], Reference],
    root: Path,
    own: Path,
    cache: Path,
    url_in: Callable[[Path], str],
    part: str,
) -> Report:
    """The kills of one worker, with a reader of its own. url_in: folder -> URL of a new warehouse."""
    report = Report(part)
    shutil.copytree(root / "delivered", own / "delivered")
    expected = Expected(own / "expected.json")
    expected.say(DataDir(own / "0"), {})
    reads = READS_PER_KILL * len(numbers)
    reader = Child(lambda say: _read_on(own / "expected.json", cache, reads))
    for i in range(0, len(numbers), _KILLS_PER_DATA_DIR):
        data_dir = DataDir(own / str(i), cache=cache, warehouse=url_in(own / str(i)))
        some = numbers[i : i + _KILLS_PER_DATA_DIR]
        _kill_in(
            data_dir, [planned(seed, number) for number in some], reference, own / "delivered", expected, report, seed
        )
        expected.say(data_dir, None)
        months = list(dict.fromkeys(planned(seed, number).month for number in some))
        _look_for_litter(
            data_dir, own / "delivered", months, report, f"{report.part} --seed {seed} --count {some[-1] + 1}"
        )
        if i:
            shutil.rmtree(own / str(i - _KILLS_PER_DATA_DIR))
    expected.end()
    ended = reader.wait(300)
    if fault := ended.fault():
        trace = ended.raised.trace if ended.raised else ""
        report.illegal.append(Illegal(f"a reader: {fault}", f"{report.part} --seed {seed}", trace))
    else:
        counts, wrong = ended.value
        report.counts.update(counts)
        report.illegal += [Illegal(f"a reader saw {what}", f"{report.part} --seed {seed}") for what in wrong]
    return report


class Expected:
    """Tells the reader what the table may show: of each month token -> rows and cost, "" where it may show nothing.

    months: None where it may show anything.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.content: dict = {}

    def say(self, data_dir: DataDir, months: dict[str, dict[str, list | None]] | None) -> None:
        self.content = {
            "data_dir": str(data_dir.root),
            "warehouse": data_dir.warehouse,
            "months": months,
            "ended": False,
        }
        self._write()

    def end(self) -> None:
        self.content |= {"ended": True}
        self._write()

    def _write(self) -> None:
        temporary = self._path.with_suffix(".new")
        temporary.write_text(json.dumps(self.content))
        temporary.replace(self._path)


def _kill_in(
    data_dir: DataDir,
    kills: list[Kill],
    reference: dict[tuple[str, int], Reference],
    delivered: Path,
    expected: Expected,
    report: Report,
    seed: int,
) -> None:
    """Loads every month of the kills once, undisturbed, then kills one after the other in the same data directory."""
    former: dict[str, tuple[str, Reference]] = {}
    for month in dict.fromkeys(kill.month for kill in kills):
        before = reference[month.key, VARIANTS - 1]
        token = _touched(delivered, month, VARIANTS - 1)
        first = {month.key: _legal({month.key: (token, before)})[month.key] | {"": None}}
        expected.say(data_dir, _legal(former) | first)
        ended = in_child(
            lambda month=month: take(connection(delivered, month, VARIANTS - 1), month.month, data_dir) and None
        )
        if fault := ended.fault():
            report.illegal.append(Illegal(f"{month.key} undisturbed: {fault}", f"{report.part} --seed {seed}"))
            return
        former[month.key] = (token, before)
        expected.say(data_dir, _legal(former))
    for kill in kills:
        after = reference[kill.month.key, kill.variant]
        token = _touched(delivered, kill.month, kill.variant)
        old = former[kill.month.key]
        both = _legal(former)
        both[kill.month.key] |= _legal({kill.month.key: (token, after)})[kill.month.key]
        expected.say(data_dir, both)
        repeat = f"{report.part} --seed {seed} --only {kill.number}"
        happened = _killed(kill, after, delivered, data_dir)
        report.counts[f"kills in {kill.step}" if happened else "ended before the kill came"] += 1
        ended = in_child(lambda kill=kill: _recovered(kill, delivered, data_dir))
        if fault := ended.fault():
            trace = ended.raised.trace if ended.raised else ""
            report.illegal.append(Illegal(f"{kill}: run again, it ends in {fault}", repeat, trace))
            # What comes next is looked at on its own.
            report.illegal += [Illegal(f"{kill}: {what}", repeat) for what in inconsistencies(data_dir.root)]
            continue
        between, found, wrong = ended.value
        report.counts["reads between a kill and the next run"] += 1
        for what, state, legal in (
            ("after the kill", between, (_with_token(old[1].shown, old[0]), _with_token(after.shown, token))),
            ("after the next run", found, (_with_token(after.shown, token),)),
        ):
            if state not in legal:
                report.illegal.append(Illegal(f"{kill}: {what} the table shows {state}, not one of {legal}", repeat))
        report.illegal += [Illegal(f"{kill}: {what}", repeat) for what in wrong]
        for what, kept in (
            ("current.json", current_token(data_dir.root, kill.month.connection, kill.month.month)),
            ("accepted.json", accepted_token(data_dir.root, kill.month.connection, kill.month.month)),
        ):
            if kept != token:
                report.illegal.append(Illegal(f"{kill}: {what} names {kept}, delivered is {token}", repeat))
        former[kill.month.key] = (token, after)
        expected.say(data_dir, _legal(former))


def _legal(former: dict[str, tuple[str, Reference]]) -> dict[str, dict]:
    return {key: {token: [seen.shown.rows, seen.shown.cost]} for key, (token, seen) in former.items()}


def _with_token(seen: Shown, token: str) -> Shown:
    return Shown(seen.rows, seen.cost, seen.content, (token,))


def _touched(delivered: Path, month: Month, variant: int) -> str:
    """Delivers a variant as if anew: its files have other ETags. The token of that delivery."""
    source = connection(delivered, month, variant)
    for path in (delivered / month.connection / str(variant) / month.month).iterdir():
        os.utime(path)
    return source.discover([month.month]).deliveries[month.month].token


def _killed(kill: Kill, reference: Reference, delivered: Path, data_dir: DataDir) -> bool:
    """Runs the kill's month and kills it in the kill's step; whether it came to that before the end."""
    at = 1 + int(kill.where * reference.calls[kill.step])

    def run(say: Callable[[str], None]) -> None:
        left = at

        def count_down() -> None:
            nonlocal left
            left -= 1
            if left == 0 and kill.how == "at call":
                os.kill(os.getpid(), 9)
            elif left == 0:
                say("here")

        def before(step: str) -> None:
            _at_each_boundary(count_down if step == kill.step and kill.how != "at time" else None)
            if step == kill.step and kill.how == "at time":
                say("here")

        take(connection(delivered, kill.month, kill.variant), kill.month.month, data_dir, before=before)

    child = Child(run)
    if kill.how != "at call" and child.heard():
        longest = reference.seconds[kill.step]
        # Most of a step's time is in a few of its calls.
        time.sleep(kill.where * longest if kill.how == "at time" else (kill.where * 97 % 1) * longest / 4)
        child.kill()
    return child.wait().signal == 9


def _recovered(kill: Kill, delivered: Path, data_dir: DataDir) -> tuple[Shown, Shown, list[str]]:
    """What the table shows after the kill, and after the run that follows; what is inconsistent after either."""
    wrong = [f"after the kill {what}" for what in inconsistencies(data_dir.root)]
    between = shown_after(kill.month.connection, kill.month.month, data_dir)
    take(connection(delivered, kill.month, kill.variant), kill.month.month, data_dir)
    wrong += [f"after the next run {what}" for what in inconsistencies(data_dir.root)]
    return between, shown_after(kill.month.connection, kill.month.month, data_dir), wrong


def _look_for_litter(data_dir: DataDir, delivered: Path, months: list[Month], report: Report, repeat: str) -> None:
    """Temporary files of killed processes are gone when they are two days old and each month was run once more."""
    left = left_over(data_dir.root)
    report.counts["temporary files and folders that killed processes left"] += len(left)
    long_ago = time.time() - _TWO_DAYS
    for path in left:
        for each in [path, *path.rglob("*")]:
            os.utime(each, (long_ago, long_ago), follow_symlinks=False)
    for month in months:
        _touched(delivered, month, 0)
        ended = in_child(lambda month=month: take(connection(delivered, month, 0), month.month, data_dir) and None)
        if fault := ended.fault():
            report.illegal.append(Illegal(f"{month.key} after all kills: {fault}", repeat))
    still = [path for path in left if path.exists()]
    report.counts["of them, still there two days and a run later"] += len(still)
    if still:
        names = ", ".join(path.relative_to(data_dir.root).as_posix() for path in still[:3])
        report.illegal.append(Illegal(f"{len(still)} temporary files pile up for ever, such as {names}", repeat))


def _read_on(expected: Path, cache: Path, reads: int) -> tuple[Counter[str], list[str]]:
    """Reads until all kills are over and there were so many reads. What was counted, and what it must not have seen."""
    counts: Counter[str] = Counter()
    wrong: dict[str, None] = {}
    while True:
        before = json.loads(expected.read_text())
        if before["ended"] and counts["reads of the whole table by a concurrent reader"] >= reads:
            return counts, list(wrong)
        data_dir = DataDir(Path(before["data_dir"]), cache=cache, warehouse=before["warehouse"])
        try:
            with warehouse_of(data_dir).reading() as warehouse:
                found = _months_in(warehouse)
        except FileNotFoundError:
            counts["the reader found no warehouse yet"] += 1
            time.sleep(_SHORT_PAUSE_SECONDS)
            if before["ended"]:
                return counts, list(wrong)
            continue
        counts["reads of the whole table by a concurrent reader"] += 1
        after = json.loads(expected.read_text())
        if after["data_dir"] == before["data_dir"] and None not in (before["months"], after["months"]):
            wrong |= dict.fromkeys(_illegally_shown(found, before["months"], after["months"]))
        time.sleep(_PAUSE_SECONDS)


def _months_in(warehouse) -> dict[str, dict[str, list]]:
    rows = warehouse.execute(
        f"""
        SELECT
            x_Connection || ' ' || x_Month, x_Token, count(*),
            CAST(CAST(sum({quoted("BilledCost")}) AS DECIMAL(38, 18)) AS VARCHAR)
        FROM focus.cost_and_usage
        GROUP BY ALL
        """
    ).fetchall()
    found: dict[str, dict[str, list]] = {}
    for key, token, count, cost in rows:
        found.setdefault(key, {})[token] = [count, cost]
    return found


def _illegally_shown(found: dict[str, dict[str, list]], before: dict, after: dict) -> Iterator[str]:
    for key in before.keys() | after.keys() | found.keys():
        legal = before.get(key, {"": None}) | after.get(key, {"": None})
        seen = found.get(key, {})
        if not seen and "" in legal:
            continue
        if len(seen) != 1 or any(legal.get(token) != what for token, what in seen.items()):
            yield f"{key} as {seen}; legal are {legal}"
