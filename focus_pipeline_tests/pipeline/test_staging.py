"""When a month is staged anew and when it is not, and which of the staged rows are whose."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from importlib import resources
from pathlib import Path

import duckdb
import pytest

from focus_pipeline.focus import fingerprint
from focus_pipeline.focus.canonical import LINEAGE, canonical_select, create_macros
from focus_pipeline.focus.fingerprint import code_fingerprint
from focus_pipeline.limits import USUAL_LIMITS
from focus_pipeline.pipeline.source_files import PARQUET_OPTIONS, open_source_file, read_together
from focus_pipeline.pipeline.stage import stage
from focus_pipeline.records.accepted import accepted_delivery
from focus_pipeline.records.landed import current_delivery
from focus_pipeline.sql import literal
from focus_pipeline.warehouse.warehouse import warehouse_of
from focus_pipeline_tests.conftest import CONNECTION, LoadMonth
from focus_pipeline_tests.fakes.clean_months import clean_rows
from focus_pipeline_tests.month_files import MONTH, focus_row, write_csv, write_parquet
from focus_pipeline_tests.warehouses import publish


@pytest.fixture
def older_code(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """The month is staged and judged by another version of this code, until the returned function is called."""
    monkeypatch.setattr(
        "focus_pipeline.pipeline.stage.code_fingerprint", lambda *more: code_fingerprint("older", *more)
    )
    return lambda: monkeypatch.setattr("focus_pipeline.pipeline.stage.code_fingerprint", code_fingerprint)


# When


def test_a_delivery_that_is_shown_again_takes_the_place_of_the_one_between(
    folder: Path, load_month: LoadMonth, tmp_path: Path
) -> None:
    """A -> B -> A: what is staged of A is there already, and is the latest again."""
    bill = folder / "bill.csv"
    write_csv(bill, [focus_row(BilledCost="1")])
    first = load_month(folder)
    kept = bill.rename(tmp_path / "kept.csv")
    write_csv(bill, [focus_row(BilledCost="2")])
    between = load_month(folder)
    kept.rename(bill)
    again = load_month(folder)
    assert again.staged.token == first.staged.token != between.staged.token
    assert again.staged.order > between.staged.order > first.staged.order
    accepted = accepted_delivery(CONNECTION, MONTH, again.data_dir)
    assert (accepted.token, accepted.order) == (first.staged.token, again.staged.order)


def test_a_month_that_is_staged_is_not_read_again(folder: Path, load_month: LoadMonth) -> None:
    write_csv(folder / "bill.csv", [focus_row()])
    (written,) = load_month(folder).staged.paths
    before = written.stat().st_ino
    (again,) = load_month(folder).staged.paths
    assert (again, again.stat().st_ino) == (written, before)


@pytest.mark.parametrize("missing", [".parquet", ".staged.json"])
def test_what_is_missing_of_a_staged_month_is_made_again(folder: Path, load_month: LoadMonth, missing: str) -> None:
    """As after a crash between the two, or where somebody has cleared up."""
    write_csv(folder / "bill.csv", [focus_row(BilledCost="7")])
    staged = load_month(folder).staged
    (path,) = staged.folder.glob(f"*{missing}")
    path.unlink()
    assert load_month(folder).values("BilledCost") == [Decimal(7)]


def test_a_month_is_staged_and_judged_anew_when_the_code_changes(
    folder: Path, load_month: LoadMonth, monkeypatch: pytest.MonkeyPatch, older_code: Callable[[], None]
) -> None:
    """An upgrade with a month that is published: the older code found nothing wrong, and lost a row."""
    write_csv(folder / "bill.csv", [focus_row(ListCost=""), focus_row(ListCost="", ResourceId="other")])
    with monkeypatch.context() as older:
        write = sys.modules["focus_pipeline.pipeline.parts"].write_canonical
        older.setattr(
            "focus_pipeline.pipeline.parts.write_canonical",
            lambda connection, select, path: write(connection, f"SELECT * FROM ({select}) LIMIT 1", path),
        )
        older.setattr("focus_pipeline.pipeline.judge.row_failures", lambda *_: [])
        older.setattr("focus_pipeline.pipeline.judge._reconciliation_failures", lambda *_: [])
        before = load_month(folder)
    assert (before.staged.rows, before.verdict.accepted) == (1, True)
    publish(MONTH, before.data_dir)
    older_code()
    after = load_month(folder)
    assert (after.staged.token, after.staged.rows) == (before.staged.token, 2)
    assert after.failures["ListCost-C-003-M"].violations == 2
    publish(MONTH, after.data_dir)
    with warehouse_of(after.data_dir).reading() as warehouse:
        assert warehouse.execute("SELECT count(*) FROM focus.cost_and_usage").fetchone() == (2,)


def test_a_verdict_of_older_code_is_not_used_again_although_the_rows_are_the_same(
    folder: Path, load_month: LoadMonth, monkeypatch: pytest.MonkeyPatch, older_code: Callable[[], None]
) -> None:
    write_csv(folder / "bill.csv", [focus_row(ListCost="")])
    with monkeypatch.context() as older:
        older.setattr("focus_pipeline.pipeline.judge.row_failures", lambda *_: [])
        assert load_month(folder).failures == {}
    older_code()
    assert list(load_month(folder).failures) == ["ListCost-C-003-M"]


UPGRADES = {
    # name of what changes: (before, after, whether months are staged and judged again)
    "a line of a step": ("pipeline/parts.py", "x = 1\n", "x = 2\n", True),
    "a rule": ("focus/rules.toml", "a = 1\n", "a = 2\n", True),
    "a macro": ("focus/canonical.sql", "SELECT 1", "SELECT 2", True),
    "a comment": ("pipeline/parts.py", "x = 1  # why\n", "# why\n\nx = 1\n", False),
    "a docstring": (
        "pipeline/judge.py",
        'def f():\n    """Old."""\n    return 1\n',
        'def f():\n    """New."""\n    return 1\n',
        False,
    ),
    "publishing": ("pipeline/publish.py", "x = 1\n", "x = 2\n", False),
    "a provider": ("connections/bigquery.py", "x = 1\n", "x = 2\n", False),
    "notes": ("focus/notes.md", "a", "b", False),
}


@pytest.mark.parametrize("change", UPGRADES)
def test_after_an_upgrade_months_are_staged_again_where_what_reads_or_judges_them_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    place, before, after, again = UPGRADES[change]
    shutil.copytree(resources.files("focus_pipeline"), tmp_path / "package", ignore=shutil.ignore_patterns("*.pyc"))
    monkeypatch.setattr(fingerprint.resources, "files", lambda package: tmp_path / "package")
    mark = fingerprint._own_sources.__wrapped__
    (tmp_path / "package" / place).write_text(before)
    former = mark()
    (tmp_path / "package" / place).write_text(after)
    assert (mark() != former) is again


def test_another_duckdb_stages_months_again(monkeypatch: pytest.MonkeyPatch) -> None:
    mark = fingerprint._own_sources.__wrapped__
    before = mark()
    monkeypatch.setattr(duckdb, "__version__", "9.9.9")
    assert mark() != before


def test_of_every_step_it_is_said_whether_it_has_a_say_in_what_is_staged() -> None:
    has_none = {
        "__init__.py", "land.py", "losses.py", "month.py", "plan.py", "publish.py", "rebuild.py",
        "renamed_and_removed.py", "tidy.py", "status.py", "status_grid.py", "month_checks.py", "provider_costs.py",
    }  # fmt: skip
    has_a_say = {name.partition("/")[2] for name in fingerprint.READS_AND_JUDGES if name.startswith("pipeline/")}
    steps = {file.name for file in resources.files("focus_pipeline.pipeline").iterdir() if file.name.endswith(".py")}
    assert has_a_say | has_none == steps
    assert not has_a_say & has_none


def test_a_month_is_staged_anew_when_its_connection_is_set_otherwise(folder: Path, load_month: LoadMonth) -> None:
    write_csv(folder / "good.csv", [focus_row()])
    write_csv(folder / "late.csv", [focus_row(ChargePeriodStart="2025-02-28T00:00:00Z")])
    assert list(load_month(folder, month_rule=True).rejections) == ["late.csv"]
    assert load_month(folder, month_rule=False).staged.rows == 2
    assert list(load_month(folder, month_rule=True).rejections) == ["late.csv"]
    declared = load_month(folder, focus_version="1.2").staged.accepted_files
    assert [file.layout.focus_version for file in declared] == ["1.2"]


def test_the_version_that_a_connection_declares_outdoes_that_of_a_manifest(folder: Path, load_month: LoadMonth) -> None:
    write_csv(folder / "bill.csv", [focus_row()])
    data_dir = load_month(folder).data_dir
    delivery = replace(current_delivery(CONNECTION, MONTH, data_dir), focus_version="1.2")
    for declared, version in {None: "1.2", "1.0": "1.0"}.items():
        (file,) = stage(delivery, data_dir, month_rule=True, focus_version=declared).files
        assert file.layout.focus_version == version


# Which rows


def test_the_first_moment_of_a_month_is_of_it_and_that_of_the_next_is_not(folder: Path, load_month: LoadMonth) -> None:
    """Files are told apart although they are read together, and rows by their number in their own."""
    inside = [focus_row(ChargePeriodStart=moment) for moment in ("2025-03-01T00:00:00Z", "2025-03-31T23:59:59Z")]
    write_csv(folder / "a.csv", inside)
    write_csv(folder / "b.csv", [inside[0], focus_row(ChargePeriodStart="2025-04-01T00:00:00Z")])
    write_csv(folder / "c.csv", [*inside, focus_row(ChargePeriodStart="2025-02-28T23:59:59Z")])
    loaded = load_month(folder)
    assert loaded.staged.rows == 2
    said = {name: reason.split("; ")[0] for name, reason in loaded.rejections.items()}
    outside = "1 row has a ChargePeriodStart outside of 2025-03, the first is line"
    assert said == {
        "b.csv": f"{outside} 3 with 2025-04-01T00:00:00Z",
        "c.csv": f"{outside} 4 with 2025-02-28T23:59:59Z",
    }


def test_rows_after_a_rejected_file_keep_their_numbers(folder: Path, load_month: LoadMonth) -> None:
    write_csv(folder / "a.csv", [focus_row(ChargePeriodStart="2025-05-01T00:00:00Z")] * 3)
    write_parquet(folder / "b.parquet", [focus_row(), focus_row(ListCost="1,0")])
    loaded = load_month(folder)
    assert list(loaded.rejections) == ["a.csv"]
    (example,) = loaded.failures["ListCost-C-001-M"].examples
    assert (example["file"], example["row"]) == (f"{MONTH}/b.parquet", 2)


def test_rows_of_files_of_several_kinds_keep_their_numbers(folder: Path, load_month: LoadMonth) -> None:
    """Files of one kind are read together, so that rows are staged in another order than files are delivered."""
    for number, name in enumerate(("a.csv", "b.parquet", "c.csv"), 1):
        write = write_parquet if name.endswith("parquet") else write_csv
        good = [focus_row(ResourceId=f"{name}-{row}") for row in range(number)]
        write(folder / name, [*good, focus_row(ListCost="1,0"), *good])
    examples = load_month(folder).failures["ListCost-C-001-M"].examples
    assert [{name: example[name] for name in example if name in ("file", "line", "row")} for example in examples] == [
        {"file": f"{MONTH}/a.csv", "line": 3},
        {"file": f"{MONTH}/c.csv", "line": 5},
        {"file": f"{MONTH}/b.parquet", "row": 3},
    ]


def test_a_flipped_bit_in_a_parquet_page_with_a_checksum_rejects_its_file(folder: Path, load_month: LoadMonth) -> None:
    """It would be another cost, and nothing else in the file says so."""
    options = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    write_parquet(folder / "bill.parquet", [focus_row(BilledCost="1.25")], write_page_checksum=True, **options)
    write_parquet(folder / "good.parquet", [focus_row(BilledCost="3.25")], write_page_checksum=True, **options)
    content = (folder / "bill.parquet").read_bytes()
    (folder / "bill.parquet").write_bytes(content.replace(b"1.25", b"9.25", 1))
    loaded = load_month(folder)
    assert list(loaded.rejections) == ["bill.parquet"]
    assert loaded.values("BilledCost") == [Decimal("3.25")]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_canonical_rows_keep_their_order_and_are_written_by_several_threads(tmp_path: Path, suffix: str) -> None:
    """An operator that loses the order of its rows, such as a join, makes DuckDB write on one thread."""
    path = tmp_path / f"a{suffix}"
    (write_csv if suffix == ".csv" else write_parquet)(path, clean_rows("aws_1_2"))
    with duckdb.connect(config={"threads": 2}) as connection:
        create_macros(connection)
        opened = open_source_file(path, connection, USUAL_LIMITS)
        source = read_together([opened], tmp_path / "parsed.parquet", connection)
        select = canonical_select(source.columns, source.relation, dict.fromkeys(LINEAGE, ""))
        copy = f"COPY ({select}) TO {literal(str(tmp_path / 'rows.parquet'))} ({PARQUET_OPTIONS})"
        ((_, plan),) = connection.execute(f"EXPLAIN {copy}").fetchall()
    assert "BATCH_COPY_TO_FILE" in plan
