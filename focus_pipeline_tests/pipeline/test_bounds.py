"""Files that are far larger inside than a bill is: each is refused with a sentence, in bounded time and memory."""

import json
import zlib
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from focus_pipeline import limits
from focus_pipeline.limits import Limits, bytes_of
from focus_pipeline.records.verdicts import verdict_path
from focus_pipeline.settings import load_settings
from focus_pipeline.warehouse.months import record_verdict
from focus_pipeline_tests.conftest import LoadedMonth, LoadMonth
from focus_pipeline_tests.month_files import as_csv, focus_row, write_csv, write_parquet
from focus_pipeline_tests.warehouses import warehouse_at

MEGABYTE = 1024 * 1024
ROWS = as_csv([focus_row()])
HEADER = ROWS.partition(b"\n")[0]


def write_gzip(path: Path, parts: Iterable[bytes]) -> None:
    packer = zlib.compressobj(wbits=31)
    with path.open("wb") as file:
        for part in parts:
            file.write(packer.compress(part))
        file.write(packer.flush())


def beside_a_good_file(folder: Path, load_month: LoadMonth) -> LoadedMonth:
    write_csv(folder / "good.csv", [focus_row()])
    loaded = load_month(folder)
    assert (loaded.staged.rows, loaded.verdict.accepted) == (1, True)
    return loaded


def test_a_header_without_an_end_is_refused(folder: Path, load_month: LoadMonth) -> None:
    write_gzip(folder / "one_line.csv.gz", [b"x" * MEGABYTE] * 50)
    write_gzip(folder / "quoted.csv.gz", [b'"', *[b"x" * MEGABYTE] * 50])
    write_gzip(folder / "names.csv.gz", [b"a," * MEGABYTE] * 25)
    (folder / "plain.csv").write_bytes(b"x" * (3 * MEGABYTE))
    rejections = beside_a_good_file(folder, load_month).rejections
    assert len(rejections) == 4
    for name in ("one_line.csv.gz", "names.csv.gz", "plain.csv"):
        assert "its header is longer than 1,048,576 bytes; it begins with" in rejections[name]
    assert "its header" in rejections["quoted.csv.gz"]
    assert all(len(reason) < 300 for reason in rejections.values())


def test_empty_lines_before_a_header_are_refused_however_many(folder: Path, load_month: LoadMonth) -> None:
    write_gzip(folder / "lines.csv.gz", [b"\n" * MEGABYTE] * 300)
    write_gzip(folder / "crlf.csv.gz", [b"\r\n" * MEGABYTE] * 50)
    rejections = beside_a_good_file(folder, load_month).rejections
    assert set(rejections) == {"lines.csv.gz", "crlf.csv.gz"}
    assert all("its first line is empty" in reason for reason in rejections.values())


@pytest.mark.slow
def test_empty_lines_between_rows_are_read_over(folder: Path, load_month: LoadMonth) -> None:
    write_gzip(folder / "bill.csv.gz", [ROWS, *[b"\n" * MEGABYTE] * 100, ROWS.partition(b"\n")[2]])
    loaded = load_month(folder)
    assert loaded.rejections or loaded.staged.rows == 2


@pytest.mark.parametrize("count", [5_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_columns_by_the_thousand_are_refused(folder: Path, load_month: LoadMonth, count: int) -> None:
    names = [*focus_row(), *(f"x_{number}" for number in range(count))]
    (folder / "bill.csv").write_text(f"{','.join(names)}\n")
    values = {name: pa.array(["1"]) for name in names}
    pq.write_table(pa.table(values), folder / "bill.parquet")
    rejections = beside_a_good_file(folder, load_month).rejections
    assert rejections.keys() == {"bill.csv", "bill.parquet"}
    for reason in rejections.values():
        assert f"it has {len(names):,} columns, more than 2,000" in reason or "its header is longer than" in reason


@pytest.mark.slow
def test_a_thousand_columns_of_its_own_are_loaded(folder: Path, load_month: LoadMonth) -> None:
    own = {f"x_tag_{number}": str(number) for number in range(1_000)}
    write_csv(folder / "bill.csv", [focus_row(**own)] * 20)
    loaded = load_month(folder)
    assert (loaded.rejections, loaded.staged.rows) == ({}, 20)
    assert json.loads(loaded.values("x_ProviderColumns")[19]) == own


def test_a_file_that_unpacks_to_more_than_the_limit_is_refused(folder: Path, load_month: LoadMonth) -> None:
    line = ROWS.partition(b"\n")[2]
    write_gzip(folder / "packed.csv.gz", [ROWS, *[line * 100] * 100])
    (folder / "plain.csv").write_bytes(ROWS + line * 10_000)
    write_parquet(folder / "table.parquet", [focus_row()] * 6_000)
    write_csv(folder / "good.csv", [focus_row()])
    loaded = load_month(folder, limits=Limits(MEGABYTE))
    assert set(loaded.rejections) == {"packed.csv.gz", "plain.csv", "table.parquet"}
    for reason in loaded.rejections.values():
        assert "it unpacks to more than 1,048,576 bytes; split it, or raise FOCUS_UNPACKED_LIMIT" in reason
    assert (loaded.staged.rows, loaded.verdict.accepted) == (1, True)


def test_a_broken_line_at_the_beginning_hides_nothing_of_what_a_file_unpacks_to(
    folder: Path, load_month: LoadMonth
) -> None:
    """The second reader stops there; the limit is for whoever reads on."""
    line = ROWS.partition(b"\n")[2]
    write_gzip(folder / "packed.csv.gz", [HEADER, b"\nbroken\n", *[line * 5_000] * 20])
    write_csv(folder / "good.csv", [focus_row()])
    loaded = load_month(folder, limits=Limits(10 * MEGABYTE))
    assert "it unpacks to more than 10,485,760 bytes" in loaded.rejections["packed.csv.gz"]
    assert loaded.staged.rows == 1


def test_a_file_that_unpacks_beyond_what_any_bill_does_is_refused(
    folder: Path, load_month: LoadMonth, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bomb keeps below the limit of bytes; what tells it is that nothing in it differs."""
    monkeypatch.setattr(limits, "_RATIO_COUNTS_FROM", 30 * MEGABYTE)
    write_gzip(folder / "bomb.csv.gz", [ROWS, *[b"x" * MEGABYTE] * 200])
    constant = pa.DictionaryArray.from_arrays(pa.array([0] * 3_000_000, pa.int8()), pa.array(["1"]))
    pq.write_table(pa.table(dict.fromkeys(focus_row(), constant)), folder / "bomb.parquet")
    rejections = beside_a_good_file(folder, load_month).rejections
    assert set(rejections) == {"bomb.csv.gz", "bomb.parquet"}
    assert all("over 500 times as many, as no bill does" in reason for reason in rejections.values())


@pytest.mark.parametrize(("amount", "size"), [("100GB", 10**11), ("1.5 GB", 1_500_000_000), ("2KiB", 2048)])
def test_the_limit_is_a_setting(monkeypatch: pytest.MonkeyPatch, amount: str, size: int) -> None:
    monkeypatch.setenv("FOCUS_UNPACKED_LIMIT", amount)
    assert load_settings().storage.limits == Limits(size)
    assert bytes_of(amount) == size


@pytest.mark.parametrize("amount", ["much", "1", "GB", "1e9B", "-1GB"])
def test_a_limit_that_is_no_amount_is_named(monkeypatch: pytest.MonkeyPatch, amount: str) -> None:
    monkeypatch.setenv("FOCUS_UNPACKED_LIMIT", amount)
    with pytest.raises(ValueError, match=f"FOCUS_UNPACKED_LIMIT is '{amount}'; set it to an amount such as 1GB"):
        load_settings()


# Names and values that a report has to repeat


def test_a_nul_in_a_column_name_rejects_its_file_alone(folder: Path, load_month: LoadMonth) -> None:
    table = pa.table({name: pa.array([value]) for name, value in focus_row(**{"x_a\0b": "1"}).items()})
    pq.write_table(table, folder / "nul.parquet")
    (folder / "nul.csv").write_bytes(as_csv([focus_row(**{"x_a\0b": "1"})]))
    rejections = beside_a_good_file(folder, load_month).rejections
    assert set(rejections) == {"nul.parquet", "nul.csv"}
    assert all("the column name 'x_a\\x00b' holds a NUL character" in reason for reason in rejections.values())


@pytest.mark.parametrize(
    "name", ["x\x01", "x\x1b[31m", "x\n", "x\u2028", "x'\";--", "x{0}", "{", "%s", "$x", "\u202ex"]
)
def test_whatever_else_is_in_a_column_name_is_kept(folder: Path, load_month: LoadMonth, name: str) -> None:
    write_parquet(folder / "bill.parquet", [focus_row(**{name: "1"})])
    loaded = load_month(folder)
    assert loaded.rejections == {}
    assert json.loads(loaded.values("x_ProviderColumns")[0]) == {name.strip(): "1"}


@pytest.mark.slow
def test_a_verdict_is_small_however_large_the_values_are_that_it_shows(
    folder: Path, load_month: LoadMonth, tmp_path: Path
) -> None:
    long = "no JSON " * 400_000
    rows = [focus_row(Tags=long, ListCost=long, ServiceCategory=long, ResourceId=f"{long}{n}") for n in range(5)]
    write_csv(folder / "bill.csv", rows)
    write_parquet(folder / "bill.parquet", rows)
    loaded = load_month(folder)
    staged = loaded.staged
    path = verdict_path(staged.connection, staged.month, staged.token, loaded.data_dir)
    assert path.stat().st_size < MEGABYTE
    assert path.with_name(f"{staged.token}.staged.json").stat().st_size < MEGABYTE
    example = loaded.failures["KeyValueFormat-A-001-M"].examples[0]
    assert example["Tags"] == f"{long[:200]}…"
    with warehouse_at(tmp_path / "data" / "warehouse.duckdb").writing() as warehouse:
        record_verdict(warehouse, staged, path)
        (broken,) = warehouse.execute(
            "SELECT Violations FROM focus.conformance WHERE RuleId = 'KeyValueFormat-A-001-M' AND ColumnId = 'Tags'"
        ).fetchone()
    assert broken == 10
