"""A place in a CSV file is told as the line that an editor shows, and in Parquet, which has none, as the row."""

import csv
import gzip
import io
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focus_pipeline.limits import USUAL_LIMITS
from focus_pipeline.pipeline import csv_lines
from focus_pipeline.pipeline.csv_files import look_at_csv
from focus_pipeline.pipeline.csv_lines import line_of_part, lines_of_rows
from focus_pipeline_tests.conftest import LoadMonth
from focus_pipeline_tests.month_files import MONTH, as_csv, focus_row, write_csv, write_parquet

PACKED = {"plain": bytes, "gzip": gzip.compress}

# As CSV files hold them: quotes where they need none, in the middle of a value, and doubled at every place of one.
plain_values = st.text("ab \"'é", max_size=4).filter(lambda text: not text.lstrip(" ").startswith('"'))
quoted_values = st.text('a,"\n\r é', max_size=8).map(lambda text: '"' + text.replace('"', '""') + '"')
records = st.lists(st.tuples(plain_values | quoted_values, plain_values | quoted_values), min_size=1, max_size=12)


@st.composite
def csv_files(draw) -> bytes:
    """A file with a header, whose line ends are all of one kind, with empty lines between records."""
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    lines = ["a,b", *(",".join(values) for values in draw(records))]
    empty = draw(st.lists(st.integers(0, 2), min_size=len(lines), max_size=len(lines)))
    text = "".join(line + end * (1 + more) for line, more in zip(lines, empty, strict=True))
    return (text if draw(st.booleans()) else text.removesuffix(end)).encode()


def lines_by_csv_reader(content: bytes) -> dict[int, int]:
    """Row -> line on which it begins, as Python's own reader counts them; it ends where the line of the next begins."""
    lines, ended = {}, 0
    reader = csv.reader(io.StringIO(content.decode(), newline=""))
    for record in reader:
        # An empty line is a record of no values.
        if record:
            lines[len(lines)] = ended + 1
        ended = reader.line_num
    del lines[0]
    return lines


@settings(max_examples=150, deadline=None)
@given(content=csv_files(), packed=st.booleans(), block=st.integers(1, 40))
def test_the_line_of_a_row_is_the_one_that_an_independent_reader_counts(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, packed: bool, block: int
) -> None:
    """Whatever stands at the border of what is read at a time."""
    path = tmp_path_factory.getbasetemp() / "generated.csv"
    path.write_bytes(gzip.compress(content) if packed else content)
    expected = lines_by_csv_reader(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_lines, "_BLOCK", block)
        assert lines_of_rows(path, packed, expected) == expected
        assert lines_of_rows(path, packed, [*expected][:1]) == dict([*expected.items()][:1])


@settings(max_examples=150, deadline=None)
@given(content=csv_files(), packed=st.booleans())
def test_where_lines_are_as_many_as_records_each_record_is_one(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, packed: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "counted.csv"
    path.write_bytes(gzip.compress(content) if packed else content)
    looked_at = look_at_csv(path, USUAL_LIMITS, packed=packed)
    assert looked_at.lines == len(io.StringIO(content.decode(), newline="").readlines())
    if looked_at.lines == looked_at.records + 1:
        assert lines_by_csv_reader(content) == {row: row + 1 for row in range(1, looked_at.records + 1)}


def test_lines_are_looked_for_in_bounded_memory_and_no_further_than_needed(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    line = b'1,"' + b"x" * 1000 + b'\n"\n'
    with path.open("wb") as file:
        file.write(b"a,b\n")
        for _ in range(40):
            file.write(line * 1000)
    tracemalloc.start()
    assert lines_of_rows(path, False, [40_000]) == {40_000: 79_999 + 1}
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * 1024 * 1024


def test_a_line_without_an_end_is_not_looked_for_an_end_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_lines, "_LONGEST", 1000)
    path = tmp_path / "endless.csv"
    path.write_bytes(b"a,b\n" + b"x" * 10_000_000 + b"\n1,2\n")
    assert lines_of_rows(path, False, [1, 2]) == {1: 2}
    assert line_of_part(path, False, 2) == 2
    assert line_of_part(path, False, 3) is None


# In what is reported


def bills() -> list[dict[str, object]]:
    """Three rows of which the last breaks rules; the first goes over three lines."""
    rows = [focus_row(ResourceId=f"r{number}") for number in range(3)]
    rows[0] |= {"ChargeDescription": "over\nthree\nlines"}
    return rows


@pytest.mark.parametrize("pack", PACKED.values(), ids=PACKED)
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
def test_what_breaks_a_rule_is_told_by_the_line_of_its_file(
    folder: Path, load_month: LoadMonth, pack: Callable[[bytes], bytes], end: bytes
) -> None:
    """A value that is wrong, text that is mended, a group of rows, and rows that are there twice."""
    rows = bills()
    rows[2] |= {"ListCost": "abc", "Tags": "none", "BillingCurrency": "usd"}
    content = as_csv([{"Tags": ""} | row for row in [*rows, rows[2]]]).replace(b"\n", end)
    (folder / "bill.csv").write_bytes(pack(content))
    month = load_month(folder)
    for rule in ("ListCost-C-001-M", "repeated-row", "BillingCurrency-C-006-M"):
        (first, *_) = month.failures[rule].examples
        assert first["line"] == 6
        assert "row" not in first
    assert f"the first is line 6 of {MONTH}/bill.csv" in month.check("values_readable").summary
    recorded = {rule.rule: rule.examples for rule in month.verdict.rules}
    assert recorded["ListCost-C-001-M"] == month.failures["ListCost-C-001-M"].examples


def test_rows_of_one_line_each_are_told_without_looking_for_them(
    folder: Path, load_month: LoadMonth, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_csv(folder / "bill.csv", [focus_row(), focus_row(ListCost="abc")])
    monkeypatch.setattr(csv_lines, "unpacked", None)
    (example,) = load_month(folder).failures["ListCost-C-001-M"].examples
    assert example == {"file": f"{MONTH}/bill.csv", "line": 3, "ListCost": "abc"}


def test_parquet_has_no_lines(folder: Path, load_month: LoadMonth) -> None:
    rows = bills()
    rows[2] |= {"ListCost": "abc"}
    write_parquet(folder / "bill.parquet", rows)
    month = load_month(folder)
    (example,) = month.failures["ListCost-C-001-M"].examples
    assert example == {"file": f"{MONTH}/bill.parquet", "row": 3, "ListCost": "abc"}
    assert f"the first is row 3 of {MONTH}/bill.parquet" in month.check("values_readable").summary


@pytest.mark.parametrize("together", [1, 3])
def test_a_row_of_another_month_is_told_by_its_line(folder: Path, load_month: LoadMonth, together: int) -> None:
    rows = bills()
    rows[2] |= {"ChargePeriodStart": "2025-02-28T00:00:00Z"}
    write_csv(folder / "a.csv", rows)
    write_parquet(folder / "a.parquet", rows)
    for number in range(1, together):
        write_csv(folder / f"good{number}.csv", [focus_row(ResourceId=f"good{number}")])
    month = load_month(folder)
    assert "the first is line 6 with 2025-02-28" in month.rejections["a.csv"]
    assert "the first is row 3 with 2025-02-28" in month.rejections["a.parquet"]
    examples = {file.key: file.rejection.examples for file in month.staged.rejected_files}
    start = {"ChargePeriodStart": "2025-02-28T00:00:00Z"}
    assert examples == {f"{MONTH}/a.csv": [{"line": 6} | start], f"{MONTH}/a.parquet": [{"row": 3} | start]}
    (failure,) = [one for one in month.check("charge_month").failures if one.file == f"{MONTH}/a.csv"]
    assert failure.examples == [{"file": f"{MONTH}/a.csv", "line": 6} | start]


@pytest.mark.parametrize("pack", PACKED.values(), ids=PACKED)
@pytest.mark.parametrize(
    ("broken", "said"),
    [(b"1,2,3", "it has 3 values where"), (b'"Co" 7,2', "a quote is not closed"), (b"caf\xe9" + b"," * 22, "UTF-8")],
)
def test_a_line_that_cannot_be_read_is_told_by_its_number(
    folder: Path, load_month: LoadMonth, broken: bytes, said: str, pack: Callable[[bytes], bytes]
) -> None:
    """Quoted line breaks and empty lines before it are counted."""
    content = as_csv(bills())
    (folder / "bill.csv").write_bytes(pack(content + b"\n\n" + broken + b"\n" + content.splitlines()[-1]))
    assert load_month(folder).rejections["bill.csv"].startswith(f"line {6 + 1 + 2}: ")
    assert said in load_month(folder).rejections["bill.csv"]
