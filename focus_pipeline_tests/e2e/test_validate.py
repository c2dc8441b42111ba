"""`focus-pipeline validate` as whoever produces FOCUS files types it."""

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from focus_pipeline.cli import main
from focus_pipeline_tests.fakes.clean_months import VARIANTS, clean_rows
from focus_pipeline_tests.month_files import as_csv, write_csv, write_parquet


@pytest.fixture
def typed(tmp_path: Path, compiled_rules: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs the command in a folder of its own."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cache").symlink_to(compiled_rules)
    monkeypatch.setenv("FOCUS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["validate", *arguments])

    return run


def broken_rows() -> list[dict[str, str]]:
    rows = [dict(row) for row in clean_rows("complete_1_4")]
    rows[3]["PricingCategory"] = "Foo"
    return rows


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_clean_file_of_each_provider_and_version_passes(variant: str, typed) -> None:
    write_csv(Path("bill.csv"), clean_rows(variant))
    result = typed("bill.csv", "--focus-version", VARIANTS[variant].version)
    assert result.exit_code == 0, result.output
    assert "The file can be loaded" in result.output


def test_a_broken_rule_is_told_with_its_line_its_value_and_what_to_do(typed) -> None:
    write_csv(Path("bill.csv"), broken_rows())
    result = typed("bill.csv")
    assert result.exit_code == 1
    report = result.output
    assert "ERROR PricingCategory-C-007-M (MUST), 1 violation in 16 rows" in report
    assert "line 5 of bill.csv: PricingCategory = Foo" in report
    assert "→ use one of the allowed values of PricingCategory" in report


@pytest.mark.parametrize(
    ("fault", "fail_on", "status"),
    [
        ({}, "warn", 0),
        ({"SkuMeter": ""}, "warn", 1),
        ({"SkuMeter": ""}, "error", 0),
        ({"PricingCategory": "Foo"}, "error", 1),
        ({"PricingCategory": "Foo"}, "contract", 0),
        ({"BilledCost": "a lot"}, "contract", 1),
    ],
)
def test_the_exit_status_is_that_of_the_mildest_severity_that_counts(
    fault: dict[str, str], fail_on: str, status: int, typed
) -> None:
    first, *rest = clean_rows("complete_1_4")
    write_csv(Path("bill.csv"), [first | fault, *rest])
    assert typed("bill.csv", "--fail-on", fail_on).exit_code == status


def test_several_files_are_judged_as_one_delivery(typed) -> None:
    rows = clean_rows("complete_1_4")
    write_csv(Path("first.csv"), rows[:5])
    Path("rest.csv.gz").write_bytes(gzip.compress(as_csv(rows[5:])))
    write_parquet(Path("again.parquet"), rows[:1])
    report = json.loads(typed("first.csv", "rest.csv.gz", "again.parquet", "--format", "json").stdout)
    assert [(file["file"], file["format"], file["rows"]) for file in report["files"]] == [
        ("first.csv", "csv", 5),
        ("rest.csv.gz", "csv.gz", 11),
        ("again.parquet", "parquet", 1),
    ]
    (repeated,) = [rule for rule in report["rules"] if rule["rule"] == "repeated-row"]
    assert (repeated["violations"], repeated["examples"]) == (1, [{"file": "first.csv", "line": 2}])


def test_json_has_every_rule_with_counts_and_examples_and_exact_totals(typed) -> None:
    write_csv(Path("bill.csv"), broken_rows())
    report = json.loads(typed("bill.csv", "--format", "json").stdout)
    (rule,) = [rule for rule in report["rules"] if rule["severity"] == "ERROR"]
    assert (rule["rule"], rule["column"], rule["violations"], rule["rows"]) == (
        "PricingCategory-C-007-M",
        "PricingCategory",
        1,
        16,
    )
    assert rule["examples"] == [{"file": "bill.csv", "line": 5, "PricingCategory": "Foo"}]
    assert [total["currency"] for total in report["totals"]] == ["USD"]
    assert isinstance(report["totals"][0]["billed_cost"], str)
    assert len(report["rules"]) > 400


def test_junit_has_a_case_for_each_rule_and_fails_the_broken_ones(typed) -> None:
    write_csv(Path("bill.csv"), broken_rows())
    suites = ElementTree.fromstring(typed("bill.csv", "--format", "junit").stdout)
    failed = [case for case in suites.iter("testcase") if case.find("failure") is not None]
    assert [(case.get("name"), case.get("classname")) for case in failed] == [
        ("PricingCategory-C-007-M", "allowed_values.PricingCategory")
    ]
    assert "Foo" in failed[0].find("failure").text
    assert sum(int(suite.get("failures")) for suite in suites) == 1


def test_html_is_one_page_in_which_values_are_text(typed) -> None:
    rows = broken_rows()
    rows[3]["PricingCategory"] = "<script>alert(1)</script>"
    write_csv(Path("bill.csv"), rows)
    assert typed("bill.csv", "--format", "html", "--output", "report.html").exit_code == 1
    page = Path("report.html").read_text()
    assert "PricingCategory-C-007-M" in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page


def test_a_file_that_is_not_there_is_named(typed) -> None:
    result = typed("missing.csv")
    assert result.exit_code == 2
    assert "missing.csv" in result.output


def test_a_file_that_cannot_be_read_is_a_failure_that_says_what_to_do(typed) -> None:
    Path("bill.parquet").write_bytes(b"PAR1 is all there is")
    result = typed("bill.parquet")
    assert result.exit_code == 1
    assert "bill.parquet is rejected: it is not a whole Parquet file" in result.output
    assert "The file cannot be loaded as it is: it is rejected." in result.output


def rejected_files() -> dict[str, str]:
    """Writes two files that are rejected: name -> why."""
    Path("zipped.csv").write_bytes(b"PK\x03\x04 and more")
    Path("ragged.csv").write_bytes(as_csv(clean_rows("complete_1_4")[:2]) + b"1,2,3\n")
    return {
        "zipped.csv": "the zip archive is damaged or of an unknown kind",
        "ragged.csv": "it has 3 values where the header has",
    }


@pytest.mark.slow
@pytest.mark.parametrize("report", ["text", "html", "junit"])
def test_a_report_tells_once_why_a_file_is_rejected(tmp_path: Path, compiled_rules: Path, typed, report: str) -> None:
    """On both streams of a process: what is logged is told, too."""
    reasons = rejected_files()
    write_csv(Path("bill.csv"), clean_rows("complete_1_4"))
    command = [Path(sys.executable).with_name("focus-pipeline"), "validate", "--format", report, "bill.csv", *reasons]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    for name, reason in reasons.items():
        assert (result.stdout + result.stderr).count(reason) == 1
        assert f"{name} is rejected: " in result.stdout
    if report != "junit":
        assert result.stdout.count("correct the file and upload it again") == len(reasons)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "rejected", "said", "status"),
    [
        ({}, False, "The file can be loaded", 0),
        ({"SkuMeter": ""}, False, "The file can be loaded, with 1 warning", 0),
        ({"PricingCategory": "Foo"}, False, "The file can be loaded, with 1 error", 1),
        ({"BilledCost": "a lot"}, False, "The file cannot be loaded as it is: 1 rule of the contract is broken", 1),
        ({}, True, "The files can be loaded without 2 rejected files", 1),
        ({"PricingCategory": "Foo"}, True, "The files can be loaded without 2 rejected files, and with 1 error", 1),
        (
            {"BilledCost": "a lot"},
            True,
            "The files cannot be loaded as they are: 1 rule of the contract is broken and 2 files are rejected",
            1,
        ),
        (None, True, "The files cannot be loaded as they are: all 2 are rejected", 1),
    ],
)
def test_the_verdict_says_what_is_left_out_and_fits_the_exit_status(
    fault: dict[str, str] | None, rejected: bool, said: str, status: int, typed
) -> None:
    files = list(rejected_files()) if rejected else []
    if fault is not None:
        first, *rest = clean_rows("complete_1_4")
        write_csv(Path("bill.csv"), [first | fault, *rest])
        files.append("bill.csv")
    result = typed(*files)
    assert result.exit_code == status
    *_, verdict = result.output.strip().splitlines()
    assert re.fullmatch(rf"{re.escape(said)}\S* .*", verdict.replace(", and no rule is broken", ""))
    assert json.loads(typed(*files, "--format", "json").stdout)["verdict"].startswith(said)
    page = typed(*files, "--format", "html").output
    assert said in page
    assert ("can be loaded" in page) is ("can be loaded" in said)


@pytest.mark.slow
def test_it_runs_as_a_process_and_leaves_nothing_behind(tmp_path: Path) -> None:
    write_csv(tmp_path / "bill.csv", broken_rows())
    (tmp_path / "tmp").mkdir()
    result = subprocess.run(
        [Path(sys.executable).with_name("focus-pipeline"), "validate", "bill.csv"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path / "tmp"), "FOCUS_DATA_DIR": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "PricingCategory-C-007-M" in result.stdout
    assert list((tmp_path / "tmp").iterdir()) == []


def test_with_a_month_the_rule_of_its_folder_holds(typed) -> None:
    rows = clean_rows("complete_1_4", "2025-03")
    write_csv(Path("bill.csv"), rows)
    write_csv(Path("late.csv"), [rows[0] | {"ChargePeriodStart": "2025-02-28T00:00:00Z"}])
    assert typed("bill.csv", "--fail-on", "contract").exit_code == 0
    assert typed("bill.csv", "late.csv", "--fail-on", "contract").exit_code == 0
    result = typed("bill.csv", "late.csv", "--month", "2025-03", "--fail-on", "contract")
    assert result.exit_code == 1
    assert "late.csv is rejected: 1 row has a ChargePeriodStart outside of 2025-03" in result.output


@pytest.mark.parametrize(
    ("with_bill", "said", "status"),
    [
        (True, "The files can be loaded without 1 file that is no bill", 0),
        (False, "The file cannot be loaded as it is: it is no bill of FOCUS", 1),
    ],
)
def test_a_file_of_another_dataset_is_no_part_of_what_can_be_loaded(
    typed, with_bill: bool, said: str, status: int
) -> None:
    Path("commitments.csv").write_text("ContractId,ContractCommitmentId\n1,2\n")
    write_csv(Path("bill.csv"), clean_rows("complete_1_4"))
    files = ["commitments.csv", *(["bill.csv"] if with_bill else [])]
    result = typed(*files)
    assert (result.exit_code, said in result.output) == (status, True)
    page = typed(*files, "--format", "html").stdout
    assert f"<h1>{said}." in page
    assert "left out" in page


def test_a_file_that_would_not_be_loaded_fails_whatever_is_asked_for(typed) -> None:
    write_csv(Path("bill.csv"), clean_rows("complete_1_4"))
    Path("broken.csv").write_bytes(b"no,bill\n1,2\n")
    for fail_on in ("contract", "error", "warn"):
        assert typed("bill.csv", "broken.csv", "--fail-on", fail_on).exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--focus-version", "9.9"], "'9.9' is none of 1.0, 1.1, 1.2, 1.3, 1.4"),
        (["--focus-version", "1"], "'1' is none of"),
        (["--focus-version", "latest"], "'latest' is none of"),
        (["--month", "2025-13"], "'2025-13' is no month such as 2025-03"),
        (["--month", "March"], "'March' is no month such as 2025-03"),
    ],
)
def test_a_version_or_month_that_is_none_is_an_error_of_usage(typed, arguments: list[str], said: str) -> None:
    write_csv(Path("bill.csv"), clean_rows("complete_1_4"))
    result = typed("bill.csv", *arguments)
    assert result.exit_code == 2
    assert said in result.output


@pytest.mark.parametrize("version", ["1.0", "1.0r2", "1.2-preview", "v1.4"])
def test_versions_as_providers_declare_them_are_known(typed, version: str) -> None:
    write_csv(Path("bill.csv"), clean_rows("complete_1_4"))
    assert typed("bill.csv", "--focus-version", version).exit_code in (0, 1)
