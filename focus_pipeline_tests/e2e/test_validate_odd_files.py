"""`focus-pipeline validate` on files that are named, placed or written in ways that nobody expects."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from focus_pipeline.cli import main
from focus_pipeline_tests.month_files import as_csv, focus_row, write_csv, write_parquet

pytestmark = pytest.mark.slow

COMMAND = Path(sys.executable).with_name("focus-pipeline")
ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202etxt"
WRITTEN_OUT = r"\x1b[2J\x1b]0;owned\x07\x9b31m\u202etxt"


@pytest.fixture
def here(tmp_path: Path, compiled_rules: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with the rules compiled."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cache").symlink_to(compiled_rules)
    monkeypatch.setenv("FOCUS_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "300")
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def typed(here: Path) -> Callable[..., Result]:
    return lambda *arguments: CliRunner().invoke(main, ["validate", *map(str, arguments)])


def in_a_process(*arguments: str | bytes, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run([COMMAND, "validate", *arguments], env=os.environ | environment, capture_output=True)


@pytest.mark.parametrize(
    "name", ["bill[1].csv", "s*.csv", "why?.csv", "back\\slash.csv", "it's.csv", "--x.csv", "😀.csv"]
)
def test_the_file_that_is_named_is_judged_and_no_other(here: Path, typed: Callable[..., Result], name: str) -> None:
    for other in ("bill1.csv", "s2.csv", "s3.csv", "why1.csv", "backslash.csv"):
        write_csv(here / other, [focus_row()] * 7)
    write_csv(here / name, [focus_row()] * 2)
    result = typed("--format", "json", "--fail-on", "contract", "--", name)
    assert result.exit_code == 0, result.output
    report = json.loads(result.output)
    assert [(file["file"], file["rows"]) for file in report["files"]] == [(name, 2)]


def test_a_link_is_judged_as_the_file_that_it_leads_to(here: Path, typed: Callable[..., Result]) -> None:
    (here / "elsewhere").mkdir()
    write_parquet(here / "elsewhere" / "bill.parquet", [focus_row()])
    (here / "link.parquet").symlink_to("elsewhere/bill.parquet")
    result = typed("--fail-on", "contract", "link.parquet")
    assert result.exit_code == 0, result.output
    assert "link.parquet: 1 rows of FOCUS" in result.output


def test_a_file_that_is_named_twice_counts_once(here: Path, typed: Callable[..., Result]) -> None:
    write_csv(here / "bill.csv", [focus_row()])
    report = json.loads(typed("--format", "json", "bill.csv", "bill.csv").output)
    assert report["rows"] == 1


@pytest.mark.parametrize("report", ["text", "json", "junit", "html"])
def test_a_name_that_is_not_utf_8_is_judged_and_shown(here: Path, report: str) -> None:
    name = b"bill-\xe9\xff.csv"
    Path(os.fsdecode(bytes(here) + b"/" + name)).write_bytes(as_csv([focus_row(BillingCurrency="")]))
    ended = in_a_process("--format", report, name)
    assert ended.returncode == 1, ended.stderr.decode()
    shown = ended.stdout.decode("utf-8")
    assert r"bill-\xe9\xff.csv" in (json.loads(shown)["files"][0]["file"] if report == "json" else shown)
    assert "Traceback" not in ended.stderr.decode()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_pipe_is_judged_like_the_file_that_comes_through_it(here: Path, kind: str) -> None:
    (write_csv if kind == "csv" else write_parquet)(here / f"bill.{kind}", [focus_row()] * 3)
    os.mkfifo(here / "pipe")
    sender = threading.Thread(target=lambda: (here / "pipe").write_bytes((here / f"bill.{kind}").read_bytes()))
    sender.start()
    ended = in_a_process("--format", "json", "--fail-on", "contract", "pipe")
    sender.join()
    assert ended.returncode == 0, ended.stderr.decode()
    (file,) = json.loads(ended.stdout)["files"]
    assert (file["file"], file["format"], file["rows"]) == ("pipe", kind, 3)


def test_standard_input_is_judged(here: Path) -> None:
    ended = subprocess.run(
        [COMMAND, "validate", "--format", "json", "--fail-on", "contract", "/dev/stdin"],
        input=as_csv([focus_row()] * 3),
        capture_output=True,
    )
    assert ended.returncode == 0, ended.stderr.decode()
    assert json.loads(ended.stdout)["rows"] == 3


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["bill.csv", "--output", "no/such/folder/report.html"], "no/such/folder; create it first"),
        (["bill.csv", "--output", "."], "is a directory"),
        (["."], "is a directory"),
        (["missing.csv"], "does not exist"),
        (["bill.csv", "--output", "bill.csv/report"], "bill.csv; create it first"),
    ],
)
def test_what_cannot_be_read_or_written_is_an_error_of_usage(
    here: Path, typed: Callable[..., Result], arguments: list[str], said: str
) -> None:
    write_csv(here / "bill.csv", [focus_row()])
    result = typed(*arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_a_machine_without_memory_is_no_verdict_on_the_file(
    here: Path, typed: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOCUS_MEMORY_LIMIT", "1MB")
    write_csv(here / "bill.csv", [focus_row()] * 100)
    result = typed("bill.csv")
    assert result.exit_code == 2
    assert "DuckDB ran out of memory: FOCUS_MEMORY_LIMIT is 1MB; raise it" in result.output


# Values and names that a terminal would obey


def escaping_rows() -> list[dict[str, object]]:
    return [focus_row(ServiceCategory=f"A{ESCAPES}", Tags="{}", **{f"Own{ESCAPES}": "1"})]


@pytest.mark.parametrize("report", ["text", "junit", "html"])
def test_escapes_in_names_and_values_are_shown_and_not_obeyed(here: Path, report: str) -> None:
    write_csv(here / f"bill{ESCAPES}.csv", escaping_rows())
    (here / "broken.csv").write_bytes(as_csv(escaping_rows()).replace(b"Colocation", f'"Co{ESCAPES}" 7'.encode()))
    ended = in_a_process("--format", report, f"bill{ESCAPES}.csv", "broken.csv")
    shown = ended.stdout.decode() + ended.stderr.decode()
    assert not {character for character in shown if not character.isprintable()} - {"\n", "\x1b"}
    assert "\x1b[2J" not in shown
    assert "\x1b]" not in shown
    assert "\u202e" not in shown
    assert f"bill{WRITTEN_OUT}.csv" in shown
    assert f"A{WRITTEN_OUT}" in shown
    if report == "junit":
        assert ElementTree.fromstring(ended.stdout).tag == "testsuites"


def test_json_repeats_what_was_written_and_a_terminal_obeys_none_of_it(here: Path) -> None:
    write_csv(here / "bill.csv", escaping_rows())
    ended = in_a_process("--format", "json", "bill.csv")
    assert not {c for c in ended.stdout.decode() if not c.isprintable()} - {"\n"}
    failures = json.loads(ended.stdout)["failures"]
    assert f"A{ESCAPES}" in [value for f in failures for example in f["examples"] for value in example.values()]


@pytest.mark.parametrize("report", ["text", "json", "junit", "html"])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_unicode_gets_the_whole_report(here: Path, report: str, encoding: str) -> None:
    write_csv(here / "bill-é😀.csv", [focus_row(ServiceCategory="Gärtnerei 😀")])
    ended = in_a_process("--format", report, "bill-é😀.csv", PYTHONIOENCODING=encoding, LC_ALL="C", PYTHONUTF8="0")
    assert ended.returncode == 1, ended.stderr.decode("latin-1")
    assert b"Traceback" not in ended.stderr
    assert b"rtnerei" in ended.stdout
