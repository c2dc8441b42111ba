"""python -m focus_pipeline_tests.mutants [name …]: those of planted_bugs.toml with these words in their names, or all.

Prints a line for each bug: which test finds it, or that none does. Exits with 1 where one survives, or the list is
wrong: a text that stands no longer once in its file, a test that is not there, fails without the bug, or cannot start.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("planted_bugs.toml")

_AT_A_TIME = 2
_TEST_SECONDS = 60
# Of all tests of a bug together, and of the union of all tests.
_MOST_SECONDS = 5 * 60
_TIMED_OUT = "Timeout (>"

# Whatever pytest puts in front of the path: what is imported already is what the tests get.
_RUN_PYTEST = """
import sys
import focus_pipeline, pytest
if not (focus_pipeline.__file__ or "").startswith(sys.argv[1]):
    sys.exit(f"the tests would get {focus_pipeline.__file__}, and not the copy in {sys.argv[1]}")
sys.exit(pytest.main(sys.argv[2:]))
"""


@dataclass(frozen=True)
class Bug:
    """name: what goes wrong, in words of the field. file: of the package. find, put: its text, and what stands there
    instead. tests: node ids, below focus_pipeline_tests/. ends: how they find it, "failure" or "timeout".
    """

    name: str
    file: str
    find: str
    put: str
    tests: tuple[str, ...]
    ends: str = "failure"


@dataclass(frozen=True)
class Outcome:
    """Of a run of tests. failed: the first test that failed, "" where none did. timed_out: whether that was all.

    fault: why the run says nothing, with the end of what pytest printed; "" where it does.
    """

    failed: str = ""
    timed_out: bool = False
    fault: str = ""


def planted_bugs(path: Path) -> list[Bug]:
    listed = tomllib.loads(path.read_text("utf-8"))["bug"]
    return [Bug(**bug | {"tests": tuple(bug["tests"])}) for bug in listed]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m focus_pipeline_tests.mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help="words of the names of bugs; all without one")
    parser.add_argument("--list", type=Path, default=LIST, help="of the bugs; without it, that of this package")
    chosen = parser.parse_args(arguments)
    bugs = [
        bug
        for bug in planted_bugs(chosen.list)
        if not chosen.names or any(name.lower() in bug.name.lower() for name in chosen.names)
    ]
    if not bugs:
        parser.error(f"no bug is named {' or '.join(chosen.names)}")
    began = time.monotonic()
    wrong = [f"STALE     {bug.name}: {fault}" for bug in bugs if (fault := _stale(bug, ROOT))]
    if not wrong:
        with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
            wrong = _unfit_tests(bugs, Path(folder)) or _survivors(bugs, Path(folder))
    print(*wrong, sep="\n", end="\n" if wrong else "")
    verdict = f"{len(wrong)} are not" if wrong else "all"
    print(f"{len(bugs)} planted bugs, {verdict} found, in {time.monotonic() - began:.0f} seconds", flush=True)
    return 1 if wrong else 0


def _stale(bug: Bug, root: Path) -> str:
    """Why the bug cannot be planted; "" where it can."""
    path = root / "focus_pipeline" / bug.file
    if not path.is_file():
        return f"there is no {bug.file}"
    if (times := path.read_text("utf-8").count(bug.find)) != 1:
        return f"its text stands {times} times in {bug.file}, and has to stand there once: {bug.find.strip()!r}"
    return f"it changes nothing in {bug.file}" if bug.find == bug.put else ""


def _unfit_tests(bugs: list[Bug], folder: Path) -> list[str]:
    """What keeps the tests of the bugs from saying anything: without a bug, all of them have to pass."""
    tests = sorted({test for bug in bugs for test in bug.tests})
    files: dict[str, list[str]] = {}
    for test in tests:
        files.setdefault(test.partition("::")[0], []).append(test)
    shares = [share for number in range(_AT_A_TIME) if (share := list(files)[number::_AT_A_TIME])] or [[]]

    def run(number: int) -> Outcome:
        copy = _copied(ROOT, folder / f"unchanged-{number}")
        return _tested(copy, [test for file in shares[number] for test in files[file]])

    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        outcomes = list(pool.map(run, range(len(shares))))
    return [
        f"UNFIT     without any bug: {outcome.fault or f'{outcome.failed} fails'}"
        for outcome in outcomes
        if outcome.fault or outcome.failed
    ]


def _survivors(bugs: list[Bug], folder: Path) -> list[str]:
    """A line for each bug that is not found; those that are, are printed."""

    def run(number: int) -> str:
        bug = bugs[number]
        # Not of what may have been changed meanwhile, and with the rules that are compiled there.
        copy = _copied(folder / "unchanged-0", folder / str(number))
        planted = copy / "focus_pipeline" / bug.file
        planted.write_text(planted.read_text("utf-8").replace(bug.find, bug.put), "utf-8")
        outcome = _tested(copy, bug.tests)
        shutil.rmtree(copy, ignore_errors=True)
        if outcome.fault:
            return f"UNFIT     {bug.name}: {outcome.fault}"
        if not outcome.failed:
            return f"SURVIVED  {bug.name}: {', '.join(bug.tests) or 'it names no test'}"
        if outcome.timed_out and bug.ends != "timeout":
            return f"UNFIT     {bug.name}: {outcome.failed} takes more than {_TEST_SECONDS} seconds"
        print(f"killed    {bug.name}: {outcome.failed}", flush=True)
        return ""

    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        return [line for line in pool.map(run, range(len(bugs))) if line]


def _copied(project: Path, target: Path) -> Path:
    """The package, its tests, their settings, and compiled modules, which are valid for times are kept."""
    for name in ("focus_pipeline", "focus_pipeline_tests", "rules"):
        if (project / name).is_dir():
            shutil.copytree(project / name, target / name)
    shutil.copy2(project / "pyproject.toml", target)
    return target


def _tested(copy: Path, tests: Iterable[str]) -> Outcome:
    """Runs tests of a copy of the project up to the first that fails."""
    if not tests:
        return Outcome()
    report = copy / "report.xml"
    options = ["-m", "not slow", "-x", "-q", "-p", "no:cacheprovider", "-p", "pytest_timeout", "--tb=short"]
    command = [sys.executable, "-c", _RUN_PYTEST, str(copy), *options, f"--junitxml={report}"]
    # Loading the plugins that are installed and not used here, and compiling the rules, takes longer than most tests.
    environment = os.environ | {
        "PYTHONPATH": str(copy),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "FOCUS_TEST_RULES": str(copy / "rules"),
    }
    try:
        done = subprocess.run(
            [*command, f"--timeout={_TEST_SECONDS}", *(f"focus_pipeline_tests/{test}" for test in tests)],
            cwd=copy,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_MOST_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return Outcome(fault=f"its tests have not ended within {_MOST_SECONDS} seconds")
    failure = ElementTree.parse(report).find(".//failure/..") if report.is_file() else None
    # What fails before the test itself, or after it, says nothing of what the test looks at.
    if done.returncode not in (0, 1) or (done.returncode == 1 and failure is None):
        return Outcome(fault=f"pytest ended with {done.returncode}: {(done.stdout + done.stderr)[-800:]}")
    if failure is None:
        return Outcome()
    said = failure.find("failure").get("message", "")
    return Outcome(f"{failure.get('classname').rpartition('.')[2]}::{failure.get('name')}", _TIMED_OUT in said)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
