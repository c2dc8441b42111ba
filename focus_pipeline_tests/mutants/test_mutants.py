"""What plants the bugs is held honest on a project of one function: none is called found that was not looked for."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from focus_pipeline_tests.mutants import __main__ as mutants

PROJECT = {
    "pyproject.toml": '[tool.pytest.ini_options]\naddopts = "-p no:bqemulator"\nmarkers = ["slow"]\n',
    "focus_pipeline/__init__.py": "",
    "focus_pipeline/costs.py": "def total(costs):\n    return sum(costs)\n",
    "focus_pipeline_tests/__init__.py": "",
    "focus_pipeline_tests/test_costs.py": """
import pytest
from focus_pipeline.costs import total

@pytest.fixture
def three():
    assert total([1, 2]) == 3
    return 3

def test_total(): assert total([1, 2]) == 3
def test_nothing(): total([])
def test_before_it_begins(three): pass
def test_wrong(): assert total([1]) == 2
@pytest.mark.slow
def test_at_length(): assert total([1, 2]) == 3
""",
}

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Run:
    """Plants one bug in a project of its own: in `return sum(costs)`, where nothing else is given."""
    for name, content in PROJECT.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    monkeypatch.setattr(mutants, "ROOT", tmp_path / "project")
    monkeypatch.setattr(mutants, "_TEST_SECONDS", 2)

    def run(*tests: str, **bug: str) -> tuple[int, str]:
        bug = {"name": "costs are doubled", "file": "costs.py", "find": "sum(costs)", "put": "2 * sum(costs)"} | bug
        lines = [f"{key} = {json.dumps(value)}" for key, value in bug.items()]
        tests_line = f"tests = {json.dumps([f'test_costs.py::{test}' for test in tests])}"
        path = tmp_path / "bugs.toml"
        path.write_text("\n".join(["[[bug]]", *lines, tests_line]))
        return mutants.main(["--list", str(path)]), capsys.readouterr().out

    return run


def test_a_bug_that_a_test_finds_is_killed(run: Run) -> None:
    status, said = run("test_total")
    assert status == 0
    assert "killed    costs are doubled: test_costs::test_total\n1 planted bugs, all found, in " in said


@pytest.mark.parametrize("tests", [(), ("test_nothing",)], ids=["no test", "a test that does not look"])
def test_a_bug_that_no_test_finds_has_survived(run: Run, tests: tuple[str, ...]) -> None:
    status, said = run(*tests)
    assert status == 1
    assert said.startswith(f"SURVIVED  costs are doubled: {'test_costs.py::test_nothing' if tests else 'it names no'}")


@pytest.mark.parametrize(
    ("stale", "said"),
    [
        ({"find": "max(costs)"}, "its text stands 0 times in costs.py"),
        ({"find": "costs"}, "its text stands 2 times in costs.py"),
        ({"file": "gone.py"}, "there is no gone.py"),
        ({"put": "sum(costs)"}, "it changes nothing in costs.py"),
    ],
)
def test_a_bug_that_can_no_longer_be_planted_is_named(run: Run, stale: dict[str, str], said: str) -> None:
    status, printed = run("test_total", **stale)
    assert status == 1
    assert printed.startswith(f"STALE     costs are doubled: {said}")


@pytest.mark.parametrize(
    ("test", "put", "said"),
    [
        ("test_wrong", "2 * sum(costs)", "without any bug: test_costs::test_wrong fails"),
        ("test_gone", "2 * sum(costs)", "without any bug: pytest ended with 4"),
        ("test_at_length", "2 * sum(costs)", "without any bug: pytest ended with 5"),
        ("test_total", "sum(costs", "costs are doubled: pytest ended with 4"),
        ("test_before_it_begins", "2 * sum(costs)", "costs are doubled: pytest ended with 1"),
        (
            "test_total",
            "sum(0 for _ in iter(int, 1))",
            "costs are doubled: test_costs::test_total takes more than 2 seconds",
        ),
    ],
    ids=["fails anyway", "not there", "slow", "no Python", "fails before the test", "no end"],
)
def test_what_says_nothing_of_the_bug_is_not_called_a_find(run: Run, test: str, put: str, said: str) -> None:
    status, printed = run(test, put=put)
    assert status == 1
    assert printed.startswith(f"UNFIT     {said}")


def test_a_bug_that_has_a_test_never_end_may_say_so(run: Run) -> None:
    status, said = run("test_total", put="sum(0 for _ in iter(int, 1))", ends="timeout")
    assert (status, said.splitlines()[0]) == (0, "killed    costs are doubled: test_costs::test_total")


def test_tests_that_would_get_another_package_than_the_copy_are_not_run(run: Run, tmp_path: Path) -> None:
    """Without its __init__.py the copy gives way to the package that is installed."""
    (tmp_path / "project" / "focus_pipeline" / "__init__.py").unlink()
    status, said = run("test_total")
    assert status == 1
    assert "the tests would get " in said


def test_every_bug_can_be_planted_and_names_a_test_that_is_there() -> None:
    """So that `make test` tells when the list is to be mended, not only `make mutants`."""
    bugs = mutants.planted_bugs(mutants.LIST)
    assert [fault for bug in bugs if (fault := mutants._stale(bug, mutants.ROOT))] == []
    assert len({bug.name for bug in bugs}) == len(bugs)
    for test in {test for bug in bugs for test in bug.tests}:
        path, _, name = test.partition("::")
        source = (mutants.ROOT / "focus_pipeline_tests" / path).read_text("utf-8")
        assert not name or f"def {name.partition('[')[0]}(" in source, test
