"""What one reader of a file does not see, another one does: such a file is rejected, and never loaded in part."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from focus_pipeline.pipeline import csv_files
from focus_pipeline.pipeline.examples import place
from focus_pipeline_tests.conftest import LoadMonth
from focus_pipeline_tests.month_files import as_csv, focus_row, write_csv, write_parquet

ROWS = as_csv([focus_row(ResourceId=f"cab-{number}") for number in range(1000)])
HEADER, _, BODY = ROWS.partition(b"\n")
LONG = 33 * 1024 * 1024


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("header", "place"),
    [
        (HEADER.replace(b"BillingAccountName", b'"Billing"AccountName'), "'\"Billing\"AccountName'"),
        (HEADER.replace(b"BillingAccountName", b'Billing"Account"Name'), "'Billing\"Account\"Name'"),
        (HEADER + b',"x_a"y', "'\"x_a\"y'"),
        (HEADER + b',x_"a', "'x_\"a'"),
        (HEADER + b',"x_a" ', "'\"x_a\" '"),
        (b'"' + HEADER, "'\"BilledCost'"),
        (HEADER + b',"x_open', "'\"x_open'"),
    ],
)
def test_a_stray_quote_in_a_header_is_pointed_at_and_loses_no_rows(
    folder: Path, load_month: LoadMonth, header: bytes, place: str, pack: Callable[[bytes], bytes]
) -> None:
    (folder / "bill.csv").write_bytes(pack(header + b"\n" + BODY))
    write_csv(folder / "good.csv", [focus_row()])
    loaded = load_month(folder)
    assert f"a quote stands in a wrong place of its header: {place}" in loaded.rejections["bill.csv"]
    assert (loaded.staged.rows, loaded.verdict.accepted) == (1, True)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("name", "tail"),
    [
        ("a few NUL bytes", bytes(3)),
        ("a block of NUL bytes", bytes(4096)),
        ("a NUL line", bytes(10) + b"\n"),
        ("NUL bytes in a broken line", b"1.25,acct\0\0\0"),
        ("text without the columns", b"Total: 1250.00"),
        ("text without the columns, and a line break", b"Total: 1250.00\n"),
    ],
)
def test_whatever_follows_the_last_row_rejects_the_file(
    folder: Path, load_month: LoadMonth, name: str, tail: bytes, pack: Callable[[bytes], bytes]
) -> None:
    (folder / "bill.csv").write_bytes(pack(ROWS + tail))
    loaded = load_month(folder)
    assert list(loaded.rejections) == ["bill.csv"]
    assert not loaded.verdict.accepted


@pytest.mark.slow
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("end", [b"", b"\n"], ids=["without a line break", "with a line break"])
def test_a_last_line_that_is_too_long_rejects_the_file_instead_of_getting_lost(
    folder: Path, load_month: LoadMonth, end: bytes, pack: Callable[[bytes], bytes]
) -> None:
    last = BODY.splitlines()[0].replace(b"A cabinet", b"x" * LONG)
    (folder / "bill.csv").write_bytes(pack(ROWS + last + end))
    loaded = load_month(folder)
    assert list(loaded.rejections) == ["bill.csv"]
    assert not loaded.verdict.accepted


@pytest.mark.slow
def test_long_lines_within_the_limit_are_counted_as_they_are_read(folder: Path, load_month: LoadMonth) -> None:
    long = '{"note": "' + "x" * (15 * 1024 * 1024) + '"}'
    write_csv(folder / "bill.csv", [focus_row(Tags=tags) for tags in ("{}", long, "{}") * 3])
    loaded = load_month(folder)
    assert (loaded.rejections, loaded.staged.rows) == ({}, 9)


def test_a_file_that_the_two_readers_count_differently_is_rejected(
    folder: Path, load_month: LoadMonth, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are told to read all files of a month together, where one that is in doubt must not harm the others."""
    counted = csv_files._counted_by_pyarrow

    def one_more(stream: csv_files._Measured, block: int) -> tuple[int | None, str]:
        records, doubt = counted(stream, block)
        return (records + 1, doubt) if records == 3 else (records, doubt)

    monkeypatch.setattr(csv_files, "_counted_by_pyarrow", one_more)
    for name, rows in {"a": 2, "b": 3, "c": 4}.items():
        write_csv(folder / f"{name}.csv", [focus_row(ResourceId=f"{name}-{number}") for number in range(rows)])
    loaded = load_month(folder)
    assert list(loaded.rejections) == ["b.csv"]
    assert "it has 4 records, and DuckDB reads 3 rows of it" in loaded.rejections["b.csv"]
    assert loaded.staged.rows == 6
    assert loaded.values("ResourceId") == [*(f"a-{n}" for n in range(2)), *(f"c-{n}" for n in range(4))]


def test_a_file_that_the_second_reader_cannot_read_is_rejected(
    folder: Path, load_month: LoadMonth, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many rows DuckDB reads of it, and whatever is read together with it."""
    counted = csv_files._counted_by_pyarrow

    def in_doubt(stream: csv_files._Measured, block: int) -> tuple[int | None, str]:
        records, doubt = counted(stream, block)
        return (None, "an odd quote") if records == 3 else (records, doubt)

    monkeypatch.setattr(csv_files, "_counted_by_pyarrow", in_doubt)
    for name, rows in {"a": 2, "b": 3, "c": 4}.items():
        write_csv(folder / f"{name}.csv", [focus_row(ResourceId=f"{name}-{number}") for number in range(rows)])
    loaded = load_month(folder)
    assert list(loaded.rejections) == ["b.csv"]
    said = "a second reader cannot read it (an odd quote), so none can be sure of its 3 rows"
    assert said in loaded.rejections["b.csv"]
    assert loaded.staged.rows == 6


def test_a_parquet_file_whose_parts_do_not_add_up_is_rejected(folder: Path, load_month: LoadMonth) -> None:
    path = folder / "bill.parquet"
    table = pa.table({name: pa.array([value] * 2000) for name, value in focus_row().items()})
    pq.write_table(table, path, row_group_size=1000, store_schema=False)
    content = path.read_bytes()
    # The number of rows stands once in the footer, as Thrift writes a 64-bit integer: zigzag, seven bits a byte.
    told, other = bytes([0x16, 0xA0, 0x1F]), bytes([0x16, 0x9E, 0x1F])
    (length,) = struct.unpack("<I", content[-8:-4])
    footer = content[-8 - length : -8]
    assert footer.count(told) >= 1
    path.write_bytes(content[: -8 - length] + footer.replace(told, other, 1) + content[-8:])
    write_parquet(folder / "good.parquet", [focus_row()])
    loaded = load_month(folder)
    assert "it says that it has 1,999 rows, and its row groups have 2,000" in loaded.rejections["bill.parquet"]
    assert loaded.staged.rows == 1


def test_rows_of_files_that_are_read_together_know_their_file_and_their_place_in_it(
    folder: Path, load_month: LoadMonth
) -> None:
    for name in ("a", "b", "c"):
        rows = [focus_row(ResourceId=f"{name}-{number}") for number in range(4)]
        rows[2] |= {"ListCost": "1,0" if name == "b" else "1.0", "Tags": "no object" if name == "c" else "{}"}
        rows = [{"Tags": "{}"} | row for row in rows]
        write_csv(folder / f"{name}.csv", rows)
        write_parquet(folder / f"{name}.parquet", rows)
    loaded = load_month(folder)
    for rule, name in {"ListCost-C-001-M": "b", "KeyValueFormat-A-001-M": "c"}.items():
        places = [place(example) for example in loaded.failures[rule].examples]
        assert places == [f"line 4 of 2025-03/{name}.csv", f"row 3 of 2025-03/{name}.parquet"]
    assert [file.rows for file in loaded.staged.files] == [4] * 6


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_files_by_the_thousand_are_read_together(folder: Path, load_month: LoadMonth, suffix: str) -> None:
    """One of them cannot be read, one is of another month, one has a column of its own: each is told apart."""
    for number in range(1200):
        row = focus_row(BilledCost=f"{number}.5", ResourceId=f"r-{number}")
        if number == 700:
            row["ChargePeriodStart"] = "2025-05-01T00:00:00Z"
        if number == 900:
            row["x_Own"] = "own"
        path = folder / f"{number:05d}{suffix}"
        if suffix == ".parquet":
            write_parquet(path, [row, row])
        else:
            content = as_csv([row, row])
            content = content.replace(b"Colocation", b'"Colo" 7', 1) if number == 800 else content
            path.write_bytes(gzip.compress(content) if suffix == ".csv.gz" else content)
        if number == 800 and suffix == ".parquet":
            path.write_bytes(path.read_bytes()[:-100])
    loaded = load_month(folder)
    assert set(loaded.rejections) == {f"00700{suffix}", f"00800{suffix}"}
    assert loaded.staged.rows == 2 * 1198
    expected = [f"r-{number}" for number in range(1200) if number not in (700, 800) for _ in range(2)]
    assert loaded.values("ResourceId") == expected
    assert len(loaded.staged.layouts) == (3 if suffix == ".parquet" else 2)
