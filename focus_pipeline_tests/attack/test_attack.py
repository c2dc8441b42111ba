"""A short form of each part of `make attack`, in a process of its own: it forks, and must not have DuckDB open."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SEED = 7


def attacked(part: str, count: int, rules: Path) -> dict[str, int]:
    """What the part counted. Fails where it found an illegal state, with what repeats it."""
    command = [sys.executable, "-m", "focus_pipeline_tests.attack", part, "--count", str(count), "--seed", str(SEED)]
    done = subprocess.run([*command, "--rules-cache", str(rules)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    counted = re.findall(r"^ +([\d,]+)  (\S.*)$", done.stdout, re.MULTILINE)
    return {what: int(count.replace(",", "")) for count, what in counted}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_that_is_killed_anywhere_leaves_the_former_month_or_the_new_one(compiled_rules: Path) -> None:
    counted = attacked("kills", 2, compiled_rules)
    assert counted["reads of the whole table by a concurrent reader"] >= 60
    assert all(counted[f"runs into a warehouse of {kind}"] == 2 for kind in ("duckdb", "sqlite", "postgres"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_that_is_killed_anywhere_leaves_the_former_month_or_the_new_one_with_large_months(
    compiled_rules: Path,
) -> None:
    counted = attacked("kills", 8, compiled_rules)
    assert all(counted[f"kills in {step}"] for step in ("land", "stage", "judge", "publish"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_publishers_at_once_end_in_what_one_after_the_other_gives(compiled_rules: Path) -> None:
    assert attacked("races", 1, compiled_rules)["runs"] == 10


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_publishers_of_old_and_new_deliveries_at_once_end_in_what_one_after_the_other_gives(
    compiled_rules: Path,
) -> None:
    assert attacked("races", 8, compiled_rules)["runs"] == 80


def test_a_damaged_file_is_rejected_with_a_sentence_or_read_as_others_read_it(compiled_rules: Path) -> None:
    counted = attacked("files", 120, compiled_rules)
    assert counted["accepted with the rows and costs that others read"] > 10
    assert counted["rejected with a sentence"] > 10


@pytest.mark.slow
def test_damaged_files_are_rejected_with_a_sentence_or_read_as_others_read_them(compiled_rules: Path) -> None:
    attacked("files", 1_500, compiled_rules)


def test_a_damaged_manifest_is_the_fault_of_its_own_month(compiled_rules: Path) -> None:
    counted = attacked("manifests", 160, compiled_rules)
    assert counted["months delivered in spite of it"] > 10
    assert counted["months held back with a sentence"] > 10


@pytest.mark.slow
def test_damaged_manifests_are_the_fault_of_their_own_months(compiled_rules: Path) -> None:
    attacked("manifests", 2_000, compiled_rules)


def test_a_small_file_that_unpacks_to_far_too_much_ends_in_a_sentence(compiled_rules: Path) -> None:
    assert attacked("bombs", 3, compiled_rules)["bombs"] == 3


@pytest.mark.slow
def test_small_files_that_unpack_to_far_too_much_end_in_a_sentence(compiled_rules: Path) -> None:
    attacked("bombs", 10, compiled_rules)


@pytest.mark.slow
def test_a_full_disk_loads_no_part_of_a_month(compiled_rules: Path) -> None:
    counted = attacked("full-disk", 1, compiled_rules)
    if not counted.get("runs on a full disk"):
        pytest.skip("no tmpfs may be mounted here")


@pytest.mark.slow
def test_a_disk_that_fills_up_at_any_time_loads_no_part_of_a_month(compiled_rules: Path) -> None:
    attacked("full-disk", 12, compiled_rules)


@pytest.mark.slow
def test_little_memory_is_said_and_held_against_no_file(compiled_rules: Path) -> None:
    assert attacked("memory", 1, compiled_rules)["ended in a sentence about memory"] == 1


@pytest.mark.slow
def test_a_month_is_loaded_whole_or_said_not_to_fit_into_memory(compiled_rules: Path) -> None:
    assert attacked("memory", 9, compiled_rules)["loaded whole"]
