"""Judging a month: each rule is broken once, on purpose, and has to be found."""

from pathlib import Path

import pytest

from focus_pipeline.focus.rules import ROW, Rule, compile_predicates, predicates, rules
from focus_pipeline.focus.specification import rule_data
from focus_pipeline_tests.conftest import LoadMonth
from focus_pipeline_tests.fakes.clean_months import VARIANTS, clean_charges
from focus_pipeline_tests.month_files import MONTH, focus_row, without, write_csv

FAULTS = {
    "values_readable": "unreadable",
    "not_null": "",
    "allowed_values": "Bogus",
    "currency_codes": "XYZ",
}

# Those of rules.toml have planted faults of their own, see test_planted_faults.py.
RULES_OF_COLUMNS = [rule for rule in rules().values() if rule.kind == ROW and rule.id not in rule_data()["rules"]]


@pytest.mark.slow
@pytest.mark.parametrize("rule", RULES_OF_COLUMNS, ids=lambda rule: rule.id)
def test_a_bad_value_among_good_ones_is_found_by_its_rule(rule: Rule, folder: Path, load_month: LoadMonth) -> None:
    """T48: a check that checks nothing would pass."""
    variant = next(v for v in ("complete_1_4", "complete_1_3") if rule.column in VARIANTS[v].columns)
    charges = clean_charges(variant)
    number = list(charges).index("usage") + 1
    charges["usage"] |= {rule.column: FAULTS[rule.check]}
    write_csv(folder / "a.csv", charges.values())
    month = load_month(folder, month_rule=False)
    failure = month.failures[rule.id]
    assert (failure.column, failure.violations, failure.rows) == (rule.column, 1, len(charges))
    (example,) = failure.examples
    assert (example["file"], example["row"]) == (f"{MONTH}/a.csv", number)
    assert not month.check(rule.check).passed
    assert month.verdict.accepted is (rule.level != "contract")


def test_rows_of_a_file_without_the_column_do_not_break_its_rule(folder: Path, load_month: LoadMonth) -> None:
    """T28: that it is absent is said of the file."""
    write_csv(folder / "with.csv", [focus_row(), focus_row(ChargeFrequency="")])
    write_csv(folder / "without.csv", [without(focus_row(), "ChargeFrequency")] * 3)
    month = load_month(folder)
    failure = month.failures["ChargeFrequency-C-002-M"]
    assert (failure.violations, failure.rows) == (1, 2)
    assert [(example["file"], example["row"]) for example in failure.examples] == [(f"{MONTH}/with.csv", 2)]
    assert f"{MONTH}/without.csv has no column ChargeFrequency" in month.remarks


def test_the_kept_predicates_are_those_that_are_compiled_anew(compiled_rules: Path) -> None:
    assert predicates(compiled_rules) == compile_predicates()
