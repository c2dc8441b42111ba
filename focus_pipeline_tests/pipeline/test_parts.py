"""Of a month whose delivery changes only the files that are new to it are read; the rest is taken as it is staged."""

import os
import random
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline.focus.canonical import STAGED
from focus_pipeline.focus.fingerprint import code_fingerprint
from focus_pipeline.pipeline import parts
from focus_pipeline.pipeline.land import land
from focus_pipeline.pipeline.month import judge_month
from focus_pipeline.pipeline.staged_rows import rows_of_month
from focus_pipeline.records.staged import StagedMonth
from focus_pipeline.sql import quoted
from focus_pipeline.storage import DataDir
from focus_pipeline_tests.conftest import CONNECTION
from focus_pipeline_tests.month_files import MONTH, focus_row, write_csv, write_parquet

Staged = Callable[..., tuple[StagedMonth, list[str]]]


@pytest.fixture
def staged(folder: Path, tmp_path: Path, compiled_rules: Path, monkeypatch: pytest.MonkeyPatch) -> Staged:
    """Lands, stages and judges what the folder holds; also the files that were opened for it, by their names."""
    opened: list[str] = []
    open_source_file = parts.open_source_file

    def noted(path: Path, *rest: object) -> object:
        opened.append(path.name.partition("-")[2])
        return open_source_file(path, *rest)

    monkeypatch.setattr(parts, "open_source_file", noted)

    def take(data: str = "data", **settings: object) -> tuple[StagedMonth, list[str]]:
        opened.clear()
        connection = MonthFolders(CONNECTION, folder.parent.as_uri(), **settings)
        data_dir = DataDir(tmp_path / data, cache=compiled_rules)
        landed = land(connection, connection.discover([MONTH]).deliveries[MONTH], data_dir)
        return judge_month(connection, landed, data_dir).staged, list(opened)

    return take


@pytest.fixture(autouse=True)
def files_apart(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file is a part of its own, as large ones are."""
    if "together" not in request.keywords:
        monkeypatch.setattr(parts, "_BATCH_FILES", 1)


def content(staged: StagedMonth) -> list[tuple]:
    columns = ", ".join(f"CAST({quoted(name)} AS VARCHAR)" for name in STAGED)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return connection.execute(f"SELECT {columns} FROM {rows_of_month(staged)} ORDER BY ALL").fetchall()


def deliver(folder: Path, name: str, cost: str, rows: int = 2) -> None:
    write = write_parquet if name.endswith(".parquet") else write_csv
    write(folder / name, [focus_row(BilledCost=cost, ResourceId=f"{name}-{n}") for n in range(rows)])


def test_of_a_month_one_changed_file_is_the_only_one_that_is_read(folder: Path, staged: Staged) -> None:
    for number in range(9):
        deliver(folder, f"{number}.csv", str(number))
    before, opened = staged()
    assert len(opened) == 9
    deliver(folder, "4.csv", "400")
    after, opened = staged()
    assert opened == ["4.csv"]
    assert len(set(before.paths) & set(after.paths)) == 8
    assert [file.key for file in after.files] == [f"{MONTH}/{number}.csv" for number in range(9)]
    fresh, _ = staged("elsewhere")
    assert (content(after), after.totals, after.files) == (content(fresh), fresh.totals, fresh.files)


@pytest.mark.together
def test_small_files_are_one_part_and_are_read_again_together(folder: Path, staged: Staged) -> None:
    for name in "abc":
        deliver(folder, f"{name}.csv", "1")
    before, _ = staged()
    assert len(before.paths) == 1
    deliver(folder, "b.csv", "2")
    after, opened = staged()
    assert opened == ["a.csv", "b.csv", "c.csv"]
    assert len(after.paths) == 1
    assert before.paths[0].exists(), "the table may show it"


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "a.csv").rename(folder / "z.csv"),  # x_SourceFile is another one
        lambda folder: deliver(folder, "a.csv", "1", rows=3),
    ],
    ids=["name", "bytes"],
)
def test_a_file_of_another_name_or_other_bytes_is_another_one(
    folder: Path, staged: Staged, change: Callable[[Path], None]
) -> None:
    deliver(folder, "a.csv", "1")
    deliver(folder, "b.csv", "1")
    staged()
    change(folder)
    after, opened = staged()
    assert len(opened) == 1
    assert content(after) == content(staged("elsewhere")[0])


def test_a_rejected_file_that_has_not_changed_is_not_read_again_and_stays_rejected(
    folder: Path, staged: Staged
) -> None:
    (folder / "bad.csv").write_bytes(b"Some,Header\n1,2\n")
    (folder / "no.parquet").write_bytes(b"PAR1 is how it begins")
    deliver(folder, "a.csv", "1")
    staged()
    deliver(folder, "a.csv", "2")
    after, opened = staged()
    assert opened == ["a.csv"]
    assert [file.key.rpartition("/")[2] for file in after.rejected_files] == ["bad.csv", "no.parquet"]
    assert after.files == staged("elsewhere")[0].files


def test_what_other_code_or_another_setting_has_staged_is_read_again(
    folder: Path, staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(folder, "a.csv", "1")
    deliver(folder, "b.csv", "1")
    staged()
    deliver(folder, "b.csv", "2")
    assert staged(month_rule=False)[1] == ["a.csv", "b.csv"]
    monkeypatch.setattr("focus_pipeline.pipeline.stage.code_fingerprint", lambda *more: code_fingerprint("new", *more))
    deliver(folder, "b.csv", "3")
    assert staged()[1] == ["a.csv", "b.csv"]


def test_a_part_that_is_damaged_is_made_again(folder: Path, staged: Staged) -> None:
    deliver(folder, "a.csv", "1")
    deliver(folder, "b.csv", "1")
    before, _ = staged()
    damaged = before.paths[0]
    bytes_of_it = bytearray(damaged.read_bytes())
    bytes_of_it[len(bytes_of_it) // 2] ^= 1
    damaged.write_bytes(bytes_of_it)
    deliver(folder, "b.csv", "2")
    after, opened = staged()
    assert opened == ["a.csv", "b.csv"]
    assert after.is_intact
    assert content(after) == content(staged("elsewhere")[0])


def test_a_file_that_has_become_a_copy_of_another_is_counted_once(folder: Path, staged: Staged) -> None:
    deliver(folder, "a.csv", "1")
    deliver(folder, "b.csv", "2")
    staged()
    (folder / "b.csv").write_bytes((folder / "a.csv").read_bytes())
    after, opened = staged()
    assert opened == []
    assert [file.same_as for file in after.files] == ["", f"{MONTH}/a.csv"]
    assert after.rows == 2


def test_a_month_that_grows_file_by_file_does_not_end_in_small_parts(
    folder: Path, staged: Staged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "_BATCH_FILES", 1_000)
    monkeypatch.setattr(parts, "_SMALL_PARTS", 5)
    counts = []
    for number in range(9):
        deliver(folder, f"{number}.csv", "1")
        month, _ = staged()
        counts.append(len(month.paths))
    assert counts == [1, 2, 3, 4, 5, 6, 1, 2, 3]
    assert content(month) == content(staged("elsewhere")[0])


def test_rows_of_several_parts_know_their_file_and_their_place_in_it(folder: Path, staged: Staged) -> None:
    for name, rows in {"a.csv": 3, "b.parquet": 2, "c.csv": 4}.items():
        deliver(folder, name, "1", rows)
    month, _ = staged()
    with duckdb.connect() as connection:
        rows = connection.execute(f"SELECT x_Row, ResourceId FROM {rows_of_month(month)}").fetchall()
    for number, resource in rows:
        file, row = month.source_of(number)
        assert f"{file.key.rpartition('/')[2]}-{row - 1}" == resource
    with pytest.raises(LookupError):
        month.source_of(9)


@pytest.mark.together
def test_a_file_that_stands_in_two_earlier_parts_is_counted_once(folder: Path, staged: Staged) -> None:
    for name in "ab":
        deliver(folder, f"{name}.csv", "1")
    staged()
    (folder / "b.csv").rename(folder.parent / "kept.csv")
    staged()
    (folder.parent / "kept.csv").rename(folder / "b.csv")
    deliver(folder, "c.csv", "1")
    month, opened = staged()
    assert opened == ["c.csv"]
    assert month.rows == 6
    assert content(month) == content(staged("elsewhere")[0])


@pytest.mark.parametrize("seed", range(6))
def test_whatever_the_deliveries_before_a_month_is_staged_as_if_it_were_the_first(
    folder: Path, staged: Staged, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(parts, "_BATCH_FILES", chance.choice([1, 2, 3]))
    monkeypatch.setattr(parts, "_SMALL_PARTS", chance.choice([1, 3, 48]))
    names = ["a.csv", "b.csv", "c.parquet", "d.csv", "e.parquet"]
    for turn in range(7):
        for name in chance.sample(names, 2):
            what = chance.random()
            if what < 0.2:
                (folder / name).unlink(missing_ok=True)
            elif what < 0.3:
                (folder / name).write_bytes(b"x\n" * chance.randint(1, 3))
            elif what < 0.4 and (folder / "a.csv").exists() and name != "a.csv":
                (folder / name).write_bytes((folder / "a.csv").read_bytes())
            else:
                deliver(folder, name, str(chance.randint(1, 3)), chance.randint(1, 3))
        if not os.listdir(folder):
            deliver(folder, "a.csv", "1")
        month, _ = staged()
        fresh, _ = staged(f"fresh-{turn}")
        assert content(month) == content(fresh)
        assert (month.totals, month.files) == (fresh.totals, fresh.files)
        assert month.rows == sum(file.rows for file in month.accepted_files)
        assert sum(Decimal(total.billed_cost) for total in month.totals) == sum(
            Decimal(cost) for file in month.accepted_files for cost in file.billed_cost.values()
        )
