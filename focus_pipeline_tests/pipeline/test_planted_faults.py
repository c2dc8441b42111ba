"""Every rule is broken once in a month that is clean otherwise: that rule is found, and nothing that is not broken."""

from collections.abc import Callable
from pathlib import Path

import pytest

from focus_pipeline.focus.specification import rule_data
from focus_pipeline.records.verdicts import Verdict
from focus_pipeline_tests.conftest import LoadMonth
from focus_pipeline_tests.fakes.clean_months import VARIANTS, clean_rows
from focus_pipeline_tests.focus.planted_faults import FAULTS, Fault, faulty_rows
from focus_pipeline_tests.month_files import write_csv

Broken = dict[tuple[str, str], int]

# A text in CSV is never an empty one; test_parsing.py breaks it in Parquet. An unreadable file breaks the other.
NOT_IN_A_CSV_FILE = {"NullHandling-A-002-M/empty", "StringHandling-A-001-M"}


def test_each_rule_has_a_fault() -> None:
    planted = {fault.rule for fault in FAULTS} | {rule for fault in FAULTS for rule in fault.also}
    assert set(rule_data()["rules"]) - planted == NOT_IN_A_CSV_FILE


@pytest.fixture(scope="module")
def broken_when_clean(tmp_path_factory: pytest.TempPathFactory, compiled_rules: Path) -> Callable[[str], Broken]:
    """What is broken in the clean month of a variant: the provider's known gaps."""
    known: dict[str, Broken] = {}

    def of(variant: str, judged: Callable[[list[dict]], Verdict]) -> Broken:
        if variant not in known:
            known[variant] = broken(judged(clean_rows(variant)))
        return known[variant]

    return of


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.rule}: {fault.text}")
def test_a_planted_fault_is_found_by_its_rule_alone(
    fault: Fault, folder: Path, load_month: LoadMonth, broken_when_clean: Callable
) -> None:
    def judged(rows: list[dict]) -> Verdict:
        write_csv(folder / "bill.csv", rows)
        return load_month(folder, month_rule=False, focus_version=VARIANTS[fault.variant].version).verdict

    before = broken_when_clean(fault.variant, judged)
    after = broken(judged(faulty_rows(fault)))
    assert {rule for (rule, column), count in after.items() if count > before.get((rule, column), 0)} == {
        fault.rule,
        *fault.also,
    }


def broken(verdict: Verdict) -> Broken:
    """Rule and column -> violations."""
    return {(one.rule, one.column): one.violations for one in verdict.rules if one.violations}
