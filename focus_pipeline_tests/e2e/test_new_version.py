"""A FOCUS version that does not exist, added to a clone by data alone: what reads, judges, shows and tells knows it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from focus_pipeline_tests.e2e.project import Project, clone_project
from focus_pipeline_tests.fakes.clean_months import MONTH, clean_rows
from focus_pipeline_tests.month_files import write_csv

pytestmark = pytest.mark.slow

# SkuPriceSheetId is new, BillingAccountType has another name, and a price sheet is in US dollars.
NEW_COLUMNS = """

[BillingAccountKind]
type = "String"
kind = "Dimension"
level = "Conditional"
nullable = true
introduced = "1.5"
description = "What BillingAccountType was before 1.5."
filled_from = "BillingAccountType"

[SkuPriceSheetId]
type = "String"
kind = "Dimension"
level = "Mandatory"
nullable = false
introduced = "1.5"
description = "Price sheet that the prices were taken from."
"""
NEW_RULE = """

[rules.SkuPriceSheetId-C-004-C]
level = "MUST"
check = "prices"
when = { SkuPriceSheetId = { null = false } }
must = { PricingCurrency = "GBP" }
sentence = "a price sheet is in US dollars"
"""

LOAD = """
import json, sys
from pathlib import Path
from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline.pipeline.judge import judge
from focus_pipeline.storage import DataDir
from focus_pipeline.pipeline.land import land
from focus_pipeline.pipeline.publish import publish_months
from focus_pipeline.pipeline.stage import stage
from focus_pipeline.warehouse.warehouse import warehouse_of

data_dir = DataDir(Path(sys.argv[2]))
connection = MonthFolders("vendor", sys.argv[1])
((month, delivery),) = connection.discover().deliveries.items()
staged = stage(land(connection, delivery, data_dir), data_dir, month_rule=False)
judge(staged, data_dir, month_rule=False)
publish_months([month], data_dir, warehouse_of(data_dir))
with warehouse_of(data_dir).reading() as warehouse:
    print(json.dumps([
        warehouse.execute(
            "SELECT DISTINCT BillingAccountKind, SkuPriceSheetId, x_FocusVersion FROM focus.cost_and_usage_v1_5"
        ).fetchall(),
        [column[0] for column in warehouse.execute("DESCRIBE focus.cost_and_usage_v1_5").fetchall()],
        warehouse.execute(
            "SELECT RuleId, Violations FROM focus.conformance WHERE Verdict = 'failed' ORDER BY 1"
        ).fetchall(),
    ]))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = clone_project(tmp_path_factory.mktemp("new") / "clone", {})
    data = project.root / "focus_pipeline" / "focus"
    columns = (data / "columns.toml").read_text()
    was = '[BillingAccountType]\ntype = "String"\n'
    assert columns.count(was) == 1
    (data / "columns.toml").write_text(columns.replace(was, f'{was}removed = "1.5"\n') + NEW_COLUMNS)
    with (data / "rules.toml").open("a") as rules:
        rules.write(NEW_RULE)
    return project


def run(project: Project, *command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=project.root,
        env=project.environment,
        capture_output=True,
        text=True,
        check=False,
    )


def rows_of_1_5() -> list[dict[str, str]]:
    rows = [dict(row) for row in clean_rows("complete_1_4")]
    for row in rows:
        row["BillingAccountKind"] = row.pop("BillingAccountType")
        row["SkuPriceSheetId"] = "2025-03"
        row["PricingCurrency"] = "GBP"
    return rows


def validated(project: Project, rows: list[dict[str, str]]) -> dict:
    write_csv(project.root / "bill.csv", rows)
    result = run(project, "focus-pipeline", "validate", "bill.csv", "--format", "json")
    return json.loads(result.stdout)


def broken(report: dict) -> set[str]:
    return {rule["rule"] for rule in report["rules"] if rule["severity"] in ("ERROR", "WARN")}


def test_a_clean_file_of_it_is_recognised_and_keeps_every_rule(project: Project) -> None:
    report = validated(project, rows_of_1_5())
    assert [file["focus_version"] for file in report["files"]] == ["1.5"]
    assert broken(report) == set()
    judged = {rule["rule"] for rule in report["rules"] if rule["verdict"] == "passed"}
    assert judged >= {"SkuPriceSheetId-C-004-C", "SkuPriceSheetId-present", "SkuPriceSheetId-not-null"}


def test_its_rules_are_broken_by_what_breaks_them(project: Project) -> None:
    rows = rows_of_1_5()
    rows[0]["PricingCurrency"] = "EUR"
    rows[1]["SkuPriceSheetId"] = ""
    assert broken(validated(project, rows)) == {"SkuPriceSheetId-C-004-C", "SkuPriceSheetId-not-null"}


def test_a_file_of_an_older_version_does_not_need_its_columns(project: Project) -> None:
    report = validated(project, clean_rows("complete_1_4"))
    assert [file["focus_version"] for file in report["files"]] == ["1.4"]
    assert broken(report) == set()


@pytest.mark.parametrize("version", ["1.4", "1.5"])
def test_the_table_has_its_columns_and_each_reader_the_names_that_it_knows(
    version: str, project: Project, tmp_path: Path
) -> None:
    rows = rows_of_1_5() if version == "1.5" else clean_rows("complete_1_4")
    folder = tmp_path / "delivered" / MONTH
    folder.mkdir(parents=True)
    write_csv(folder / "bill.csv", rows)
    result = run(project, sys.executable, "-c", LOAD, folder.parent, tmp_path / "data")
    values, names, failed = json.loads(result.stdout.splitlines()[-1])
    assert values == [["Contract", "2025-03" if version == "1.5" else None, version]]
    assert "BillingAccountType" not in names
    assert failed == []


def test_the_page_of_the_specification_knows_it(project: Project) -> None:
    page = run(project, "focus-pipeline", "specification").stdout
    assert "versions 1.0, 1.1, 1.2, 1.3, 1.4, 1.5." in page
    assert "| `SkuPriceSheetId` | String |  |  |  |  |  | M! | Price sheet that the prices were taken from. |" in page
    assert "| `SkuPriceSheetId-C-004-C` | MUST | all | a price sheet is in US dollars |" in page
