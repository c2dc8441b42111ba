"""What delivered files may look like, and what becomes of each: loaded exactly, or rejected by name."""

import gzip
import io
import json
import random
import zipfile
import zlib
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from focus_pipeline.pipeline.normalise import AmountsTooLarge
from focus_pipeline.warehouse import open_warehouse, replace_month
from focus_pipeline_tests.conftest import LoadedMonth, LoadMonth
from focus_pipeline_tests.month_files import Row, as_csv, focus_row, without, write_csv, write_parquet

BOM = b"\xef\xbb\xbf"


def provider_columns(loaded: LoadedMonth) -> list[dict | None]:
    return [value and json.loads(value) for value in loaded.values("x_ProviderColumns")]


def tags(loaded: LoadedMonth) -> list[object]:
    return [value and json.loads(value) for value in loaded.values("Tags")]


def write_line_by_line(path: Path, rows: list[Row]) -> list[int]:
    """A gzip CSV file that can be cut at the end of every line; returns where."""
    packer = zlib.compressobj(wbits=31)
    content, ends = b"", []
    for line in as_csv(rows).splitlines(keepends=True):
        content += packer.compress(line) + packer.flush(zlib.Z_FULL_FLUSH)
        ends.append(len(content))
    path.write_bytes(content + packer.flush())
    return ends


# The contract's example, as its documentation prints it.


CONTRACT_EXAMPLE = """\
BilledCost,BillingAccountId,BillingCurrency,BillingPeriodStart,BillingPeriodEnd,ChargeCategory,ChargeFrequency,\
ChargePeriodStart,ChargePeriodEnd,EffectiveCost,ListCost,Provider,ResourceId,ServiceCategory,ServiceName
150.00,acct-001,USD,2025-03-01T00:00:00Z,2025-03-31T23:59:59Z,Usage,Recurring,2025-03-01T00:00:00Z,\
2025-03-02T00:00:00Z,150.00,180.00,Equinix,cab-42,Networking,Colocation
0.50,acct-001,USD,2025-03-01T00:00:00Z,2025-03-31T23:59:59Z,Usage,Usage-based,2025-03-01T00:00:00Z,\
2025-03-02T00:00:00Z,0.50,,Internal,,Compute,Shared GPU Cluster
-25.00,acct-001,USD,2025-03-01T00:00:00Z,2025-03-31T23:59:59Z,Credit,One-Time,2025-03-01T00:00:00Z,\
2025-03-31T23:59:59Z,-25.00,,Vendor,,Others,Promotional Credit
"""


def test_the_contracts_own_example_loads_whole(folder: Path, load_month: LoadMonth) -> None:
    (folder / "expenses.csv").write_text(CONTRACT_EXAMPLE)
    loaded = load_month(folder)
    assert loaded.verdict.accepted
    assert loaded.values("BilledCost") == [Decimal("150.00"), Decimal("0.50"), Decimal("-25.00")]
    assert loaded.values("EffectiveCost") == loaded.values("BilledCost")
    assert loaded.values("ListCost") == [Decimal("180.00"), None, None]
    assert loaded.values("ResourceId") == ["cab-42", None, None]
    assert loaded.values("ServiceName") == ["Colocation", "Shared GPU Cluster", "Promotional Credit"]
    (total,) = loaded.staged.totals
    assert (total.currency, total.rows, Decimal(total.billed_cost)) == ("USD", 3, Decimal("125.50"))


def test_the_contracts_own_example_becomes_canonical(folder: Path, load_month: LoadMonth) -> None:
    (folder / "expenses.csv").write_text(CONTRACT_EXAMPLE)
    loaded = load_month(folder)
    assert loaded.values("ProviderName") == ["Equinix", "Internal", "Vendor"]
    assert loaded.values("ServiceProviderName") == ["Equinix", "Internal", "Vendor"]
    assert loaded.values("ChargeFrequency") == ["Recurring", "Usage-Based", "One-Time"]
    assert loaded.values("ServiceCategory") == ["Networking", "Compute", "Other"]
    assert loaded.values("BillingPeriodEnd") == [datetime(2025, 4, 1)] * 3
    assert loaded.values("ChargePeriodEnd") == [datetime(2025, 3, 2), datetime(2025, 3, 2), datetime(2025, 4, 1)]
    assert loaded.values("x_ProviderColumns") == [None] * 3
    assert "ServiceProviderName" not in str(loaded.remarks)


# CSV syntax


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("byte_order_mark", lambda text: BOM + text),
        ("byte_order_mark_and_quoted_header", lambda text: BOM + text.replace(b"BilledCost", b'"BilledCost"', 1)),
        ("crlf", lambda text: text.replace(b"\n", b"\r\n")),
        ("old_macintosh", lambda text: text.replace(b"\n", b"\r")),
        ("no_newline_at_the_end", lambda text: text.rstrip(b"\n")),
        ("empty_lines_at_the_end", lambda text: text + b"\n\n"),
        ("everything_quoted", lambda text: b"\n".join(b'"%b"' % line.replace(b",", b'","') for line in text.split())),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_every_spelling_of_csv_gives_the_same_rows(
    folder: Path, load_month: LoadMonth, name: str, spelled: object, pack: object
) -> None:
    """T22"""
    text = as_csv([focus_row(BilledCost="1.5"), focus_row(BilledCost="-2", ListCost="")])
    (folder / f"{name}.csv").write_bytes(pack(spelled(text)))
    loaded = load_month(folder)
    assert loaded.rejections == {}
    assert loaded.values("BilledCost") == [Decimal("1.5"), Decimal("-2")]
    assert loaded.values("ListCost") == [Decimal("1.50"), None]
    assert loaded.values("ServiceName") == ["Colocation"] * 2


def test_quoted_newlines_commas_and_doubled_quotes_are_part_of_the_value(folder: Path, load_month: LoadMonth) -> None:
    """T22"""
    names = ['two\nlines, and a "quote"', "crlf\r\nwithin", '""', ",,,", "\n", "last"]
    write_csv(folder / "bill.csv", [focus_row(ResourceName=name) for name in names])
    (folder / "crlf.csv").write_bytes(
        as_csv([focus_row(ResourceName="@"), focus_row(ResourceName="end")])
        .replace(b"\n", b"\r\n")
        .replace(b"@", b'"lf\nwithin"')
    )
    loaded = load_month(folder)
    assert loaded.values("ResourceName") == [*names, "lf\nwithin", "end"]


def test_a_tag_of_three_megabytes_is_kept(folder: Path, load_month: LoadMonth) -> None:
    """T30, T31"""
    long = {"note": "x" * 3_000_000}
    write_csv(folder / "bill.csv", [focus_row(Tags=json.dumps(long)), focus_row(Tags='{"short": "1"}')])
    assert tags(load_month(folder)) == [long, {"short": "1"}]


def test_a_file_that_starts_with_an_empty_line_is_rejected_and_not_taken_for_an_empty_one(
    folder: Path, load_month: LoadMonth
) -> None:
    (folder / "bill.csv").write_bytes(b"\n" + as_csv([focus_row()]))
    write_csv(folder / "good.csv", [focus_row()])
    loaded = load_month(folder)
    assert list(loaded.rejections) == ["bill.csv"]
    assert "first line is empty" in loaded.rejections["bill.csv"]


@pytest.mark.parametrize(
    ("change", "line", "said"),
    [
        (lambda line: line + b",more", 3, "it has 16 values where the header has 15 columns"),
        (lambda line: line.rpartition(b",")[0], 3, "it has 14 values where the header has 15 columns"),
        (lambda line: line.replace(b"Colocation", b'"Colocation'), 3, "a quote is not closed"),
        (lambda line: line.replace(b"Colocation", b'"Colo" cation'), 3, "a quote is not closed, or text follows"),
        (lambda line: line.replace(b"Colocation", b"caf\xe9"), 3, "it is not encoded as UTF-8"),
    ],
    ids=["long", "short", "open_quote", "text_after_quote", "latin_1"],
)
def test_a_broken_line_rejects_its_file_and_is_named(
    folder: Path, load_month: LoadMonth, change: object, line: int, said: str
) -> None:
    """T28"""
    header, row, *_ = as_csv([focus_row()]).split(b"\n")
    (folder / "broken.csv").write_bytes(b"\n".join([header, row, change(row), *[row] * 50, b""]))
    write_csv(folder / "good.csv", [focus_row()])
    loaded = load_month(folder)
    assert list(loaded.rejections) == ["broken.csv"]
    reason = loaded.rejections["broken.csv"]
    assert f"line {line}: {said}" in reason
    assert "'1.25,acct-001," in reason
    assert reason.endswith("correct the file and upload it again")
    assert len(reason) < 300
    assert loaded.staged.rows == 1
    assert loaded.verdict.accepted
    assert not loaded.check("files_readable").passed


def test_mixed_line_ends_reject_the_file_with_that_reason(folder: Path, load_month: LoadMonth) -> None:
    """T22"""
    header, row, *_ = as_csv([focus_row()]).split(b"\n")
    (folder / "mixed.csv").write_bytes(header + b"\r\n" + row + b"\n" + row + b"\r\n")
    assert "lines end in different ways" in load_month(folder).rejections["mixed.csv"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (as_csv([focus_row()]).replace(b",", b";"), "not separated by commas: 'BilledCost;Billing"),
        (b"sep=,\n" + as_csv([focus_row()]), "column 2 of its header has no name: 'sep=,'"),
        (as_csv([focus_row()]).replace(b"ServiceName", b"Servic\xe9"), "its header is not encoded as UTF-8"),
        (as_csv([focus_row()]).decode().encode("utf-16"), "it is encoded as UTF-16; save it as UTF-8"),
        (as_csv([focus_row()]).decode().encode("utf-16-le"), "it is encoded as UTF-16; save it as UTF-8"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 an Excel workbook", "its header is not encoded as UTF-8"),
        (b"<html><body>Access Denied</body></html>\n", "it has no column BilledCost"),
    ],
    ids=["semicolons", "sep", "latin_1_header", "utf_16", "utf_16_without_mark", "excel", "html"],
)
def test_what_is_no_csv_file_is_rejected_with_what_it_is(
    folder: Path, load_month: LoadMonth, content: bytes, said: str
) -> None:
    (folder / "bill.csv").write_bytes(content)
    write_csv(folder / "good.csv", [focus_row()])
    loaded = load_month(folder)
    assert list(loaded.rejections) == ["bill.csv"]
    assert said in loaded.rejections["bill.csv"]
    assert loaded.staged.rows == 1


# Empty and incomplete files


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("header_only.csv", as_csv([focus_row()]).split(b"\n")[0]),
        ("header_line_only.csv", as_csv([focus_row()]).split(b"\n")[0] + b"\r\n"),
        ("header_only.csv.gz", gzip.compress(as_csv([focus_row()]).split(b"\n")[0] + b"\n")),
        ("nothing.csv", b""),
        ("byte_order_mark_only.csv", BOM),
        ("newline_only.csv", b"\n"),
        ("gzip_of_nothing.csv.gz", gzip.compress(b"")),
    ],
)
def test_a_file_without_rows_adds_none_and_is_no_failure(
    folder: Path, load_month: LoadMonth, name: str, content: bytes
) -> None:
    """T23, T32"""
    (folder / name).write_bytes(content)
    alone = load_month(folder)
    assert (alone.staged.rows, alone.rejections, alone.verdict.accepted) == (0, {}, True)
    write_csv(folder / "good.csv", [focus_row()])
    beside = load_month(folder)
    assert (beside.staged.rows, beside.rejections, beside.verdict.accepted) == (1, {}, True)


def test_a_parquet_file_without_rows_adds_none(folder: Path, load_month: LoadMonth) -> None:
    """T23"""
    table = pa.table({name: pa.array([], pa.string()) for name in focus_row()})
    pq.write_table(table, folder / "empty.parquet")
    loaded = load_month(folder)
    assert (loaded.staged.rows, loaded.rejections, loaded.verdict.accepted) == (0, {}, True)


def test_a_gzip_file_cut_anywhere_is_rejected_and_the_others_load(folder: Path, load_month: LoadMonth) -> None:
    """T23: at every length from nothing to the last byte missing, a line's end and the missing trailer included."""
    whole = folder / "whole.csv.gz"
    line_ends = write_line_by_line(whole, [focus_row(), focus_row(BilledCost="2")])
    content = whole.read_bytes()
    cuts = {*range(len(content)), *line_ends, len(content) - 8} - {len(content)}
    for cut in cuts:
        (folder / f"cut_{cut}.csv.gz").write_bytes(content[:cut])
    loaded = load_month(folder)
    assert set(loaded.rejections) == {f"cut_{cut}.csv.gz" for cut in cuts}
    assert all("the upload did not finish; upload it again" in reason for reason in loaded.rejections.values())
    assert loaded.values("BilledCost") == [Decimal("1.25"), Decimal("2")]
    assert loaded.verdict.accepted
    assert f"without {len(cuts)} rejected files" in loaded.check("accepted").summary


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("flipped.csv.gz", lambda whole: whole[:-6] + bytes([whole[-6] ^ 1]) + whole[-5:]),
        ("tail.csv.gz", lambda whole: whole + b"tail"),
        ("padded.csv.gz", lambda whole: whole + bytes(512)),
    ],
)
def test_a_damaged_gzip_file_is_rejected(folder: Path, load_month: LoadMonth, name: str, content: object) -> None:
    """T23"""
    (folder / name).write_bytes(content(gzip.compress(as_csv([focus_row()]))))
    write_csv(folder / "good.csv", [focus_row()])
    loaded = load_month(folder)
    assert list(loaded.rejections) == [name]
    assert loaded.staged.rows == 1


def test_every_member_of_a_gzip_file_is_read(folder: Path, load_month: LoadMonth) -> None:
    """T23: uploads in parts are concatenated gzip streams."""
    text = as_csv([focus_row(BilledCost=str(cost)) for cost in range(100)])
    members = [text[:1000], text[1000:1001], b"", text[1001:]]
    (folder / "parts.csv.gz").write_bytes(b"".join(map(gzip.compress, members)))
    assert sum(load_month(folder).values("BilledCost")) == 4950


def test_a_parquet_file_cut_or_damaged_anywhere_is_rejected_or_read_and_never_stops_the_month(
    folder: Path, load_month: LoadMonth
) -> None:
    """T23"""
    write_parquet(folder / "whole.parquet", [focus_row(ResourceId=f"vm-{n}") for n in range(20)])
    content = (folder / "whole.parquet").read_bytes()
    cuts = range(0, len(content), len(content) // 40)
    for cut in cuts:
        (folder / f"cut_{cut}.parquet").write_bytes(content[:cut])
    place = random.Random(20)
    for number in range(60):
        damaged = bytearray(content)
        damaged[place.randrange(4, len(content))] ^= 0xFF
        (folder / f"damaged_{number}.parquet").write_bytes(damaged)
    loaded = load_month(folder)
    assert {f"cut_{cut}.parquet" for cut in cuts} <= set(loaded.rejections)
    assert "whole.parquet" not in loaded.rejections
    assert sum(name.startswith("damaged") for name in loaded.rejections) > 10
    assert all("LINE 1" not in reason for reason in loaded.rejections.values())


@pytest.mark.parametrize("name", ["nothing.csv.gz", "nothing.parquet"])
def test_a_month_of_nothing_but_an_incomplete_file_is_not_accepted(
    folder: Path, load_month: LoadMonth, name: str
) -> None:
    """T23"""
    (folder / name).write_bytes(b"")
    loaded = load_month(folder)
    assert not loaded.verdict.accepted
    assert "none of the 1 files of 2025-03 can be loaded: it ends after 0 bytes" in loaded.check("accepted").summary


# What a file is


def test_a_file_is_what_its_first_bytes_say(folder: Path, load_month: LoadMonth) -> None:
    """T24"""
    write_csv(folder / "plain.csv.gz", [focus_row(BilledCost="1")])
    (folder / "packed.csv").write_bytes(gzip.compress(as_csv([focus_row(BilledCost="2")])))
    write_parquet(folder / "table.csv", [focus_row(BilledCost="3")])
    write_csv(folder / "text.parquet", [focus_row(BilledCost="4")])
    loaded = load_month(folder)
    assert loaded.rejections == {}
    assert loaded.values("BilledCost") == [2, 1, 3, 4]
    assert [file.format for file in loaded.staged.files] == ["csv.gz", "csv", "parquet", "csv"]


def test_archives_within_are_rejected_with_what_they_are(folder: Path, load_month: LoadMonth) -> None:
    """T24"""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("bill.csv", as_csv([focus_row()]))
    write_parquet(folder / "good.parquet", [focus_row()])
    (folder / "zip.csv").write_bytes(archive.getvalue())
    (folder / "zip.csv.gz").write_bytes(archive.getvalue())
    (folder / "zip_within.csv.gz").write_bytes(gzip.compress(archive.getvalue()))
    (folder / "twice.csv.gz").write_bytes(gzip.compress(gzip.compress(as_csv([focus_row()]))))
    (folder / "parquet_within.csv.gz").write_bytes(gzip.compress((folder / "good.parquet").read_bytes()))
    loaded = load_month(folder)
    assert {name: reason.partition(";")[0] for name, reason in loaded.rejections.items()} == {
        "zip.csv": "it is a zip archive",
        "zip.csv.gz": "it is a zip archive",
        "zip_within.csv.gz": "it is a zip archive",
        "twice.csv.gz": "it is compressed with gzip twice",
        "parquet_within.csv.gz": "it is a Parquet file within a gzip file",
    }
    assert loaded.staged.rows == 1


# Ids


def test_ids_stay_as_they_were_written(folder: Path, load_month: LoadMonth) -> None:
    """T25"""
    ids = ["000123", "1e5", "0x10", "12345678901234567890123", "1.10", " 7 ", "true", "2025-03-01", "+5"]
    write_csv(folder / "bill.csv", [focus_row(BillingAccountId=i, SubAccountId=i, SkuId=i) for i in ids])
    write_parquet(folder / "bill.parquet", [focus_row(BillingAccountId=i, SubAccountId=i, SkuId=i) for i in ids])
    loaded = load_month(folder)
    for column in ("BillingAccountId", "SubAccountId", "SkuId"):
        assert loaded.values(column) == [*ids, *ids]


@pytest.mark.parametrize(
    ("kind", "sent", "text"),
    [
        (pa.int64(), [123456789012, None], ["123456789012", None]),
        (pa.decimal128(20, 0), [Decimal("98765432109876543210"), None], ["98765432109876543210", None]),
        (pa.float64(), [123456789012.0, None], ["123456789012", None]),
        (pa.float64(), [1e17, 100.0], ["100000000000000000", "100"]),
    ],
    ids=["integer", "decimal", "floating_point", "large_floating_point"],
)
def test_numeric_ids_in_parquet_become_text(
    folder: Path, load_month: LoadMonth, kind: pa.DataType, sent: list, text: list
) -> None:
    """T25"""
    write_parquet(folder / "bill.parquet", [focus_row(SubAccountId=value) for value in sent], {"SubAccountId": kind})
    assert load_month(folder).values("SubAccountId") == text


# Decimals


@pytest.mark.parametrize(
    "sent",
    [
        "0.0000004000",  # AWS: 10 decimals
        "0.041666666666666664",  # Azure: 16 and more
        "1.5E-7",
        "-1.5e-07",
        "1E+3",
        "0.123456789012345678",
        "9999999999999999999.999999999999999999",
        "-99999999999999999999",
        "0.50",
        ".5",
        "5.",
        "+5",
        "00012.10",
        "0",
        "-0.0",
        "0.1234567890123456780000",
        "123456789012345678901e-10",
        "0.0000000000000000000000000000000000000001e30",
        "1000e-21",
        "0E-30",
    ],
)
def test_a_decimal_is_read_exactly(canonical_costs: dict[str, Decimal | None], sent: str) -> None:
    """T26"""
    assert canonical_costs[sent] == Decimal(sent)


UNREADABLE_COSTS = [
    "0.1234567890123456789",
    "1e-19",
    "12e-19",
    "1e-999",
    "1e-99999999999",
    "1e999",
    "100000000000000000000",
    "NaN",
    "inf",
    "-Infinity",
    "1,234.5",
    "$5",
    "5 USD",
    "1_000",
    "1 000",
    "0x1F",
    "0b11",
    "true",
    "e5",
    ".",
    "-",
    "--5",
    "5-",
    "1.2.3",
    "1e",
    "1e2.5",
    "n/a",
    "٣",
]


@pytest.mark.parametrize("sent", UNREADABLE_COSTS)
def test_what_is_no_exact_decimal_is_not_read_and_not_rounded(
    canonical_costs: dict[str, Decimal | None], sent: str
) -> None:
    """T26"""
    assert canonical_costs[sent] is None


@pytest.fixture
def canonical_costs(cost_table: dict[str, Decimal | None]) -> dict[str, Decimal | None]:
    return cost_table
