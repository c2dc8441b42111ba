"""Charges that look odd and break nothing: what narrow rules leave alone."""

from pathlib import Path

import pytest

from focus_pipeline_tests.conftest import LoadMonth
from focus_pipeline_tests.fakes.clean_months import VARIANTS, clean_charges
from focus_pipeline_tests.month_files import write_csv

AWS = "aws_1_2"


def reported(load_month: LoadMonth, folder: Path, variant: str, rows: list[dict[str, str]]) -> set[str]:
    """The rules that are reported of rows and not of the clean month."""
    write_csv(folder / "bill.csv", rows)
    verdict = load_month(folder, month_rule=False, focus_version=VARIANTS[variant].version).verdict
    return {rule.rule for rule in verdict.rules if rule.violations and rule.verdict == "failed"}


@pytest.mark.parametrize("sent", ["X_Team", "Provider", "Publisher"])
def test_a_column_of_one_s_own_at_the_end_is_one_without_its_mark_and_no_column_of_focus(
    sent: str, folder: Path, load_month: LoadMonth
) -> None:
    rows = [row | {sent: "Platform"} for row in clean_charges(AWS).values()]
    assert reported(load_month, folder, AWS, rows) == {"ColumnHandling-A-010-M"}
