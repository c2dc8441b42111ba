"""Judging a month: each rule is broken once, on purpose, and has to be found."""

from collections.abc import Callable
from pathlib import Path

import pytest

from focus_pipeline.focus.rules import Rule, compile_predicates, predicates, rules
from focus_pipeline.focus.specification import columns
from focus_pipeline_tests.month_files import MONTH, focus_row, without, write_csv

# A row with every column of FOCUS, so that each rule has something to judge.
WHOLE_ROW = focus_row(
    **{
        name: {"Decimal": "1", "DateTime": "2025-03-01T00:00:00Z", "JSON": '{"a": "b"}'}.get(column.type, "text")
        for name, column in columns().items()
        if name not in focus_row()
    }
    | {name: column.allowed[0] for name, column in columns().items() if column.allowed}
    | {"PricingCurrency": "USD", "ChargeFrequency": "Usage-Based", "ChargeCategory": "Usage"}
)

FAULTS = {
    "values_readable": lambda rule: {rule.column: "unreadable"},
    "not_null": lambda rule: {rule.column: ""},
    "allowed_values": lambda rule: {rule.column: "Bogus"},
    "currency_codes": lambda rule: {rule.column: "XYZ"},
    "period_order": lambda rule: {rule.column: "2025-02-01T00:00:00Z"},
}


def test_a_row_with_every_column_keeps_every_rule(folder: Path, load_month: Callable) -> None:
    write_csv(folder / "a.csv", [WHOLE_ROW])
    month = load_month(folder)
    assert not month.failures
    assert month.verdict.accepted


@pytest.mark.parametrize("rule", rules().values(), ids=lambda rule: rule.id)
def test_a_bad_value_among_good_ones_is_found_by_its_rule(rule: Rule, folder: Path, load_month: Callable) -> None:
    """T48: a check that checks nothing would pass."""
    fault = FAULTS[rule.check](rule)
    write_csv(folder / "a.csv", [WHOLE_ROW, WHOLE_ROW | fault, WHOLE_ROW])
    month = load_month(folder)
    failure = month.failures[rule.id]
    assert (failure.violations, failure.rows) == (1, 3)
    (example,) = failure.examples
    assert (example["file"], example["row"]) == (f"{MONTH}/a.csv", 2)
    assert not month.check(rule.check).passed
    assert month.verdict.accepted is (rule.level != "contract")


def test_rows_of_a_file_without_the_column_do_not_break_its_rule(folder: Path, load_month: Callable) -> None:
    """T28: that it is absent is said of the file."""
    write_csv(folder / "with.csv", [focus_row(), focus_row(ChargeFrequency="")])
    write_csv(folder / "without.csv", [without(focus_row(), "ChargeFrequency")] * 3)
    month = load_month(folder)
    failure = month.failures["ChargeFrequency-not-null"]
    assert failure.violations == 1
    assert [(example["file"], example["row"]) for example in failure.examples] == [(f"{MONTH}/with.csv", 2)]
    assert f"{MONTH}/without.csv has no column ChargeFrequency" in month.remarks


def test_the_kept_predicates_are_those_that_are_compiled_anew(compiled_rules: Path) -> None:
    assert predicates(compiled_rules) == compile_predicates()
