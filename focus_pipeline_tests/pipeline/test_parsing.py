"""What delivered files may look like, and what becomes of each: loaded exactly, or rejected by name."""

import gzip
import io
import json
import random
import zipfile
import zlib
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from focus_pipeline.pipeline.stage import AmountsTooLarge
from focus_pipeline.warehouse.warehouse import warehouse_of
from focus_pipeline_tests.conftest import LoadedMonth, LoadMonth
from focus_pipeline_tests.month_files import MONTH, Row, as_csv, focus_row, without, write_csv, write_parquet
from focus_pipeline_tests.warehouses import publish

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


def test_every_spelling_of_csv_gives_the_same_rows(folder: Path, load_month: LoadMonth) -> None:
    text = as_csv([focus_row(BilledCost="1.5"), focus_row(BilledCost="-2", ListCost="")])
    spellings = {
        "byte_order_mark": BOM + text,
        "byte_order_mark_and_quotes": BOM + text.replace(b"BilledCost", b'"BilledCost"', 1),
        "crlf": text.replace(b"\n", b"\r\n"),
        "cr": text.replace(b"\n", b"\r"),
        "no_newline_at_the_end": text.rstrip(b"\n"),
        "empty_lines_at_the_end": text + b"\n\n",
        "quotes": b"\n".join(b'"%b"' % line.replace(b",", b'","') for line in text.splitlines()),
    }
    for name, content in spellings.items():
        (folder / f"{name}.csv").write_bytes(content)
        (folder / f"{name}.csv.gz").write_bytes(gzip.compress(content))
    loaded = load_month(folder)
    assert loaded.rejections == {}
    assert [file.rows for file in loaded.staged.files] == [2] * 14
    assert loaded.values("BilledCost") == [Decimal("1.5"), Decimal("-2")] * 14
    assert loaded.values("ListCost") == [Decimal("1.50"), None] * 14
    assert loaded.values("ServiceName") == ["Colocation"] * 28


def test_quoted_newlines_commas_and_doubled_quotes_are_part_of_the_value(folder: Path, load_month: LoadMonth) -> None:
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


def test_a_broken_line_rejects_its_file_and_is_named(folder: Path, load_month: LoadMonth) -> None:
    header, row, *_ = as_csv([focus_row()]).split(b"\n")
    broken = {
        "long.csv": (row + b",more", "it has 24 values where the header has 23 columns"),
        "short.csv": (row.rpartition(b",")[0], "it has 22 values where the header has 23 columns"),
        "open_quote.csv": (row.replace(b"Colocation", b'"Colocation'), "a quote is not closed"),
        "text_after_quote.csv": (row.replace(b"Colocation", b'"Colo" 7'), "a quote is not closed, or text follows"),
        "latin_1.csv": (row.replace(b"Colocation", b"caf\xe9"), "it is not encoded as UTF-8"),
    }
    for name, (line, _) in broken.items():
        (folder / name).write_bytes(b"\n".join([header, row, line, *[row] * 50, b""]))
    write_csv(folder / "good.csv", [focus_row()])
    loaded = load_month(folder)
    assert set(loaded.rejections) == set(broken)
    for name, (_, said) in broken.items():
        reason = loaded.rejections[name]
        assert reason.startswith(f"line 3: {said}")
        assert "'1.25,acct-001," in reason
        assert reason.endswith("correct the file and upload it again")
        assert len(reason) < 300
    assert loaded.staged.rows == 1
    assert loaded.verdict.accepted
    assert not loaded.check("files_readable").passed


def test_mixed_line_ends_reject_the_file_with_that_reason(folder: Path, load_month: LoadMonth) -> None:
    header, row, *_ = as_csv([focus_row()]).split(b"\n")
    (folder / "mixed.csv").write_bytes(header + b"\r\n" + row + b"\n" + row + b"\r\n")
    assert "lines end in different ways" in load_month(folder).rejections["mixed.csv"]


def test_what_is_no_csv_file_is_rejected_with_what_it_is(folder: Path, load_month: LoadMonth) -> None:
    text = as_csv([focus_row()])
    others = {
        "semicolons.csv": (text.replace(b",", b";"), "its header is not separated by commas: 'BilledCost;Billing"),
        "sep.csv": (b"sep=,\n" + text, "column 2 of its header has no name: 'sep=,'"),
        "latin_1_header.csv": (text.replace(b"ServiceName", b"Servic\xe9"), "its header is not encoded as UTF-8"),
        "utf_16.csv": (text.decode().encode("utf-16"), "it is encoded as UTF-16; save it as UTF-8"),
        "utf_16_without_mark.csv": (text.decode().encode("utf-16-le"), "it is encoded as UTF-16; save it as UTF-8"),
        "workbook.csv": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "its header is not encoded as UTF-8"),
        "error.csv": (b"<html><body>Access Denied</body></html>\n", "it has no column BilledCost, BillingAccountId"),
    }
    for name, (content, _) in others.items():
        (folder / name).write_bytes(content)
    write_csv(folder / "good.csv", [focus_row()])
    loaded = load_month(folder)
    assert set(loaded.rejections) == set(others)
    for name, (_, said) in others.items():
        assert loaded.rejections[name].startswith(said)
    assert loaded.staged.rows == 1


# Empty and incomplete files


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("header_only.csv", as_csv([focus_row()]).split(b"\n")[0]),
        ("header_line_only.csv", as_csv([focus_row()]).split(b"\n")[0] + b"\r\n"),
        ("header_only.csv.gz", gzip.compress(as_csv([focus_row()]).split(b"\n")[0] + b"\n")),
    ],
)
def test_a_file_without_rows_adds_none_and_is_no_failure(
    folder: Path, load_month: LoadMonth, name: str, content: bytes
) -> None:
    (folder / name).write_bytes(content)
    alone = load_month(folder)
    assert (alone.staged.rows, alone.rejections, alone.verdict.accepted) == (0, {}, True)
    write_csv(folder / "good.csv", [focus_row()])
    beside = load_month(folder)
    assert (beside.staged.rows, beside.rejections, beside.verdict.accepted) == (1, {}, True)


def test_a_file_without_a_header_is_rejected_and_takes_nothing_away(folder: Path, load_month: LoadMonth) -> None:
    """An upload that broke off at its very beginning."""
    empty = {
        "nothing.csv": b"",
        "byte_order_mark_only.csv": BOM,
        "newline_only.csv": b"\n",
        "newlines_only.csv": b"\r\n\r\n",
        "gzip_of_nothing.csv.gz": gzip.compress(b""),
        "gzip_of_newlines.csv.gz": gzip.compress(b"\n\n"),
    }
    for name, content in empty.items():
        (folder / name).write_bytes(content)
    alone = load_month(folder)
    assert set(alone.rejections) == set(empty)
    assert all(reason.startswith("it is empty, without even a header") for reason in alone.rejections.values())
    assert not alone.verdict.accepted
    write_csv(folder / "good.csv", [focus_row()])
    beside = load_month(folder)
    assert (beside.staged.rows, set(beside.rejections), beside.verdict.accepted) == (1, set(empty), True)


def test_a_parquet_file_without_rows_adds_none(folder: Path, load_month: LoadMonth) -> None:
    table = pa.table({name: pa.array([], pa.string()) for name in focus_row()})
    pq.write_table(table, folder / "empty.parquet")
    loaded = load_month(folder)
    assert (loaded.staged.rows, loaded.rejections, loaded.verdict.accepted) == (0, {}, True)


def test_a_gzip_file_cut_anywhere_is_rejected_and_the_others_load(folder: Path, load_month: LoadMonth) -> None:
    """At every length from nothing to the last byte missing, a line's end and the missing trailer included."""
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


def test_a_damaged_gzip_file_is_rejected(folder: Path, load_month: LoadMonth) -> None:
    whole = gzip.compress(as_csv([focus_row()]))
    (folder / "flipped.csv.gz").write_bytes(whole[:-6] + bytes([whole[-6] ^ 1]) + whole[-5:])
    (folder / "tail.csv.gz").write_bytes(whole + b"tail")
    (folder / "padded.csv.gz").write_bytes(whole + bytes(512))
    write_csv(folder / "good.csv", [focus_row()])
    loaded = load_month(folder)
    assert set(loaded.rejections) == {"flipped.csv.gz", "tail.csv.gz", "padded.csv.gz"}
    assert loaded.staged.rows == 1


def test_every_member_of_a_gzip_file_is_read(folder: Path, load_month: LoadMonth) -> None:
    """Uploads in parts are concatenated gzip streams."""
    text = as_csv([focus_row(BilledCost=str(cost)) for cost in range(100)])
    members = [text[:1000], text[1000:1001], b"", text[1001:]]
    (folder / "parts.csv.gz").write_bytes(b"".join(map(gzip.compress, members)))
    assert sum(load_month(folder).values("BilledCost")) == 4950


def test_a_parquet_file_cut_or_damaged_anywhere_is_rejected_or_read_and_never_stops_the_month(
    folder: Path, load_month: LoadMonth
) -> None:
    write_parquet(folder / "whole.parquet", [focus_row(ResourceId=f"vm-{n}") for n in range(20)])
    content = (folder / "whole.parquet").read_bytes()
    cuts = range(0, len(content), len(content) // 15)
    for cut in cuts:
        (folder / f"cut_{cut}.parquet").write_bytes(content[:cut])
    place = random.Random(20)
    for number in range(25):
        damaged = bytearray(content)
        damaged[place.randrange(4, len(content))] ^= 0xFF
        (folder / f"damaged_{number}.parquet").write_bytes(damaged)
    loaded = load_month(folder)
    assert {f"cut_{cut}.parquet" for cut in cuts} <= set(loaded.rejections)
    assert "whole.parquet" not in loaded.rejections
    assert sum(name.startswith("damaged") for name in loaded.rejections) > 5
    assert all("LINE 1" not in reason for reason in loaded.rejections.values())


@pytest.mark.parametrize("name", ["nothing.csv.gz", "nothing.parquet"])
def test_a_month_of_nothing_but_an_incomplete_file_is_not_accepted(
    folder: Path, load_month: LoadMonth, name: str
) -> None:
    (folder / name).write_bytes(b"")
    loaded = load_month(folder)
    assert not loaded.verdict.accepted
    assert "none of the 1 files of 2025-03 can be loaded: it ends after 0 bytes" in loaded.check("accepted").summary


# What a file is


def test_a_file_is_what_its_first_bytes_say(folder: Path, load_month: LoadMonth) -> None:
    write_csv(folder / "plain.csv.gz", [focus_row(BilledCost="1")])
    (folder / "packed.csv").write_bytes(gzip.compress(as_csv([focus_row(BilledCost="2")])))
    write_parquet(folder / "table.csv", [focus_row(BilledCost="3")])
    write_csv(folder / "text.parquet", [focus_row(BilledCost="4")])
    loaded = load_month(folder)
    assert loaded.rejections == {}
    assert loaded.values("BilledCost") == [2, 1, 3, 4]
    assert [file.layout.format for file in loaded.staged.files] == ["csv.gz", "csv", "parquet", "csv"]


def test_archives_within_are_rejected_with_what_they_are(folder: Path, load_month: LoadMonth) -> None:
    """A zip archive is unpacked whatever it is called, see test_zip_files.py; one within a gzip file is not."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("bill.csv", as_csv([focus_row()]))
    write_parquet(folder / "good.parquet", [focus_row()])
    (folder / "zip.csv").write_bytes(archive.getvalue())
    (folder / "zip_within.csv.gz").write_bytes(gzip.compress(archive.getvalue()))
    (folder / "twice.csv.gz").write_bytes(gzip.compress(gzip.compress(as_csv([focus_row()]))))
    (folder / "parquet_within.csv.gz").write_bytes(gzip.compress((folder / "good.parquet").read_bytes()))
    loaded = load_month(folder)
    assert {name: reason.partition(";")[0] for name, reason in loaded.rejections.items()} == {
        "zip_within.csv.gz": "it is a zip archive",
        "twice.csv.gz": "it is compressed with gzip twice",
        "parquet_within.csv.gz": "it is a Parquet file within a gzip file",
    }
    assert loaded.staged.rows == 2


# Ids


def test_ids_stay_as_they_were_written(folder: Path, load_month: LoadMonth) -> None:
    ids = ["000123", "1e5", "0x10", "12345678901234567890123", "1.10", " 7 ", "true", "2025-03-01", "+5"]
    write_csv(folder / "bill.csv", [focus_row(BillingAccountId=i, SubAccountId=i, SkuId=i) for i in ids])
    write_parquet(folder / "bill.parquet", [focus_row(BillingAccountId=i, SubAccountId=i, SkuId=i) for i in ids])
    loaded = load_month(folder)
    for column in ("BillingAccountId", "SubAccountId", "SkuId"):
        assert loaded.values(column) == [*ids, *ids]


def test_numeric_ids_in_parquet_become_text(folder: Path, load_month: LoadMonth) -> None:
    """With a gap in a column of numbers, some writers store all of them as floating point."""
    kinds = {
        "1_integer": (pa.int64(), [123456789012, None], ["123456789012", None]),
        "2_decimal": (pa.decimal128(20, 0), [Decimal("98765432109876543210")], ["98765432109876543210"]),
        "3_floating": (
            pa.float64(),
            [123456789012.0, None, 100.0, 1e17],
            ["123456789012", None, "100", "1" + "0" * 17],
        ),
    }
    for name, (kind, sent, _) in kinds.items():
        write_parquet(folder / f"{name}.parquet", [focus_row(SubAccountId=i) for i in sent], {"SubAccountId": kind})
    assert load_month(folder).values("SubAccountId") == [text for *_, texts in kinds.values() for text in texts]


# Decimals


def test_decimals_are_read_exactly(folder: Path, load_month: LoadMonth) -> None:
    sent = [
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
    ]
    write_csv(folder / "bill.csv", [focus_row(ListCost=value) for value in sent])
    loaded = load_month(folder)
    assert dict(zip(sent, loaded.values("ListCost"), strict=True)) == {value: Decimal(value) for value in sent}
    assert loaded.check("values_readable").passed


def test_what_is_no_exact_decimal_is_reported_as_sent_and_not_rounded(folder: Path, load_month: LoadMonth) -> None:
    sent = [
        *["0.1234567890123456789", "1234567890123456789e-19", "100000000000000001e-19", "1e-99999999999", "1e999"],
        *["100000000000000000000", "0.000000000000000000x1", "0.0000000000000000001.", "0.00012000000000000002 USD"],
        *["NaN", "inf", "-Infinity", "1,234.5", "$5", "5 USD", "1_000", "1 000", "0x1F", "0b11", "true", "n/a", "٣"],
        *["e5", ".", "-", "--5", "5-", "1.2.3", "1e", "1e2.5", " ", "'5'"],
        *["41 .461818138", "41. 461818138", "4 1.461818138", "41\t.461818138", "41 .4618181381234567"],
    ]
    write_csv(folder / "bill.csv", [focus_row(BilledCost=value) for value in sent])
    loaded = load_month(folder)
    assert dict(zip(sent, loaded.values("BilledCost"), strict=True)) == dict.fromkeys(sent)
    assert loaded.values("x_Unreadable") == [["BilledCost"]] * len(sent)
    assert provider_columns(loaded) == [{"BilledCost": value} for value in sent]
    assert loaded.failures["BilledCost-C-001-M"].violations == len(sent)
    assert not loaded.verdict.accepted


def test_text_of_binary_floating_point_is_rounded_counted_and_reported_as_that_is(
    folder: Path, load_month: LoadMonth
) -> None:
    """17 digits are all that such a number has, and no money is told in them past the 18th decimal."""
    sent = {
        "0.00012000000000000002": "0.00012",
        "-0.00012000000000000002": "-0.00012",
        "+000.000120000000000000020": "0.00012",
        ".0000000000000000015": "0.000000000000000002",
        "-0.0000000000000000015": "-0.000000000000000002",
        "0.0000000000000000014999999999999999": "0.000000000000000001",
        "1.2000000000000002e-04": "0.00012",
        "1.7999999999999998E-05": "0.000018",
        "1e-19": "0",
        "5e-324": "0",
    }
    exact = ["0.012345678901234567", "0.041666666666666664", "1.5E-7", "12345678901234567.123456789012345678", "0E-30"]
    rows = [focus_row(BilledCost=value, ListCost=value) for value in [*sent, *exact]]
    write_csv(folder / "bill.csv", rows)
    write_parquet(folder / "bill.parquet", rows)
    loaded = load_month(folder)
    expected = [Decimal(value) for value in [*sent.values(), *exact]] * 2
    assert loaded.values("BilledCost") == expected
    assert loaded.values("ListCost") == expected
    assert [file.rounded for file in loaded.staged.files] == [dict.fromkeys(("BilledCost", "ListCost"), len(sent))] * 2
    check = loaded.check("values_readable")
    assert (check.passed, check.severity) == (False, "WARN")
    assert f"rounded to 18: BilledCost in {len(sent)} rows, ListCost in {len(sent)} rows" in check.summary
    assert loaded.verdict.accepted


def test_decimals_of_parquet_beyond_the_18th_are_real_and_not_rounded(folder: Path, load_month: LoadMonth) -> None:
    """Few digits of a DECIMAL are as exact as many."""
    cost = Decimal("0.00012000000000000002")
    write_parquet(folder / "bill.parquet", [focus_row(BilledCost=cost)], {"BilledCost": pa.decimal128(38, 20)})
    loaded = load_month(folder)
    assert loaded.values("BilledCost") == [None]
    assert provider_columns(loaded) == [{"BilledCost": str(cost)}]
    assert not loaded.verdict.accepted


def test_null_tokens_and_empty_fields_are_no_value_and_no_failure(folder: Path, load_month: LoadMonth) -> None:
    empty = {"ListCost": "", "PricingQuantity": "NULL", "ResourceId": "null", "Tags": "NULL", "x_Team": "NULL"}
    write_csv(folder / "bill.csv", [focus_row(**empty)])
    write_parquet(folder / "bill.parquet", [focus_row(**dict.fromkeys(empty, ""))])
    loaded = load_month(folder)
    for column in ("ListCost", "PricingQuantity", "ResourceId", "Tags", "x_ProviderColumns", "x_Unreadable"):
        assert loaded.values(column) == [None, None]
    assert loaded.check("values_readable").passed


@pytest.mark.parametrize(("precision", "scale"), [(9, 2), (18, 6), (28, 12), (38, 18), (38, 30)])
def test_the_costs_of_a_file_are_added_up_exactly_whatever_decimal_they_are_stored_as(
    folder: Path, load_month: LoadMonth, precision: int, scale: int
) -> None:
    costs = [Decimal("1234567.89"), Decimal("-0.01"), Decimal("-7654321.5"), Decimal("0.07")]
    rows = [focus_row(BilledCost=cost, EffectiveCost=-cost) for cost in costs]
    kind = pa.decimal128(precision, scale)
    write_parquet(folder / "a.parquet", rows, {"BilledCost": kind, "EffectiveCost": kind})
    loaded = load_month(folder)
    (file,) = loaded.staged.files
    assert Decimal(file.billed_cost["USD"]) == Decimal("-6419753.55")
    assert Decimal(file.effective_cost["USD"]) == Decimal("6419753.55")
    assert loaded.check("reconciliation").passed


@pytest.mark.slow
def test_a_million_times_a_tenth_is_a_hundred_thousand(folder: Path, load_month: LoadMonth) -> None:
    """Half of them as text, half as binary floating point, whose own sum would be 100000.00000133288."""
    half = 500_000
    row = without(focus_row(BilledCost="0.1"), "ChargeFrequency", "ProviderName", "ResourceId", "ServiceCategory")
    header, line = as_csv([row]).splitlines(keepends=True)
    (folder / "text.csv").write_bytes(header + line * half)
    constant = pa.array([0] * half, pa.int8())
    columns = {name: pa.DictionaryArray.from_arrays(constant, pa.array([value])) for name, value in row.items()}
    pq.write_table(pa.table(columns | {"BilledCost": pa.array([0.1] * half)}), folder / "floating.parquet")
    loaded = load_month(folder)
    (total,) = loaded.staged.totals
    assert (total.rows, Decimal(total.billed_cost)) == (1_000_000, Decimal("100000.0"))
    assert [file.billed_cost for file in loaded.staged.files] == [{"USD": "50000.000000000000000000"}] * 2
    assert loaded.verdict.accepted


def test_floating_point_costs_mean_their_shortest_decimal(folder: Path, load_month: LoadMonth) -> None:
    sent = [0.1, 1 / 3, 1e-7, 1.5e-17, -2.675, 123456789.12, 1e19, 0.0]
    write_parquet(folder / "bill.parquet", [focus_row(BilledCost=v) for v in sent], {"BilledCost": pa.float64()})
    write_parquet(folder / "single.parquet", [focus_row(BilledCost=0.1)], {"BilledCost": pa.float32()})
    loaded = load_month(folder)
    assert loaded.values("BilledCost") == [*(Decimal(repr(value)) for value in sent), Decimal("0.1")]
    assert loaded.verdict.accepted


def test_floating_point_costs_past_the_18th_decimal_are_rounded_counted_and_reported(
    folder: Path, load_month: LoadMonth
) -> None:
    sent = [1.23456789e-12, 5e-324, 4.5e-19, 5.5e-19, 0.1]
    write_parquet(folder / "bill.parquet", [focus_row(BilledCost=v) for v in sent], {"BilledCost": pa.float64()})
    loaded = load_month(folder)
    assert loaded.values("BilledCost") == [Decimal(v) for v in ("0.000000000001234568", "0", "0", "1e-18", "0.1")]
    assert [file.rounded for file in loaded.staged.files] == [{"BilledCost": 4}]
    check = loaded.check("values_readable")
    assert (check.passed, check.severity) == (False, "WARN")
    assert "2025-03/bill.parquet" in check.summary
    assert "rounded to 18: BilledCost in 4 rows" in check.summary
    assert loaded.verdict.accepted


def test_floating_point_costs_that_are_no_number_are_reported(folder: Path, load_month: LoadMonth) -> None:
    sent = [float("nan"), float("inf"), 1e20, 1.0]
    write_parquet(folder / "bill.parquet", [focus_row(BilledCost=v) for v in sent], {"BilledCost": pa.float64()})
    loaded = load_month(folder)
    assert loaded.values("BilledCost") == [None, None, None, Decimal(1)]
    assert [example["BilledCost"] for example in loaded.failures["BilledCost-C-001-M"].examples] == [
        "nan",
        "inf",
        "1e+20",
    ]
    assert not loaded.verdict.accepted


def test_decimals_of_parquet_are_read_exactly_or_reported(folder: Path, load_month: LoadMonth) -> None:
    kinds = {
        pa.decimal128(38, 20): ["1.12345678901234567800", "-0.00000000000000000100", "1.12345678901234567890"],
        pa.decimal128(38, 18): ["12345678901234567890.123456789012345678", "0.000000000000000001", "0"],
        pa.decimal128(38, 0): ["99999999999999999999", "100000000000000000000", "1"],
        pa.int64(): ["9223372036854775807", "-1", "0"],
    }
    for number, (kind, sent) in enumerate(kinds.items()):
        rows = [focus_row(ListCost=int(v) if pa.types.is_integer(kind) else Decimal(v)) for v in sent]
        write_parquet(folder / f"{number}.parquet", rows, {"ListCost": kind})
    loaded = load_month(folder)
    beyond = {"1.12345678901234567890", "100000000000000000000"}
    sent = [value for values in kinds.values() for value in values]
    assert loaded.values("ListCost") == [None if value in beyond else Decimal(value) for value in sent]
    assert {example["ListCost"] for example in loaded.failures["ListCost-C-001-M"].examples} == beyond


@pytest.mark.parametrize("write", [write_csv, write_parquet], ids=["csv", "parquet"])
@pytest.mark.parametrize(
    "amount",
    ["123456789012345678901", "-00123456789012345678901.5", "1E20", "-1.5e+30", "1e999", "1" * 40 + "." + "1" * 20],
)
def test_a_number_with_too_many_digits_before_its_point_is_told_as_that(
    folder: Path, load_month: LoadMonth, amount: str, write: Callable
) -> None:
    """And not as one with too many decimals."""
    write(folder / f"bill.{write.__name__.removeprefix('write_')}", [focus_row(), focus_row(ListCost=amount)])
    failure = load_month(folder).failures["ListCost-C-001-M"]
    assert failure.sentence == "ListCost has at most 20 digits before the point, as many as the table holds"
    assert failure.remedy == "look for an amount that is far too large, and correct it"
    assert (failure.violations, failure.examples[0]["ListCost"]) == (1, amount)


@pytest.mark.parametrize("other", ["abc", "0.1234567890123456789", "99999999999999999999.1234567890123456789"])
def test_numbers_that_cannot_be_read_for_several_reasons_are_told_by_what_holds_for_all(
    folder: Path, load_month: LoadMonth, other: str
) -> None:
    write_csv(folder / "bill.csv", [focus_row(ListCost="123456789012345678901"), focus_row(ListCost=other)])
    failure = load_month(folder).failures["ListCost-C-001-M"]
    meaning = "a decimal number such as -1234.5 or 1.5E-7, with at most 20 digits before the point and 18 after it"
    assert (failure.violations, failure.sentence) == (2, f"ListCost is {meaning}")
    assert failure.remedy == f"write ListCost as {meaning}"


def test_a_parquet_decimal_too_wide_to_be_read_exactly_rejects_its_file(folder: Path, load_month: LoadMonth) -> None:
    """DuckDB reads it as floating point without a word."""
    cost = Decimal("1234567890123456789012345678901234567890.12")
    write_parquet(folder / "wide.parquet", [focus_row(x_Cost=cost)], {"x_Cost": pa.decimal256(50, 2)})
    write_csv(folder / "good.csv", [focus_row()])
    loaded = load_month(folder)
    assert "its column x_Cost is a decimal of more than 38 digits" in loaded.rejections["wide.parquet"]
    assert loaded.staged.rows == 1


@pytest.mark.parametrize("files", [1, 2], ids=["within_a_file", "across_files"])
def test_costs_that_add_up_to_more_than_the_table_holds_fail_the_month_by_name(
    folder: Path, load_month: LoadMonth, files: int
) -> None:
    rows = [focus_row(BilledCost="99999999999999999999")] * 2
    for number in range(files):
        write_csv(folder / f"{number}.csv", [row | {"ResourceId": f"r{number}"} for row in rows[number::files]])
    write_csv(folder / "good.csv", [focus_row()])
    what = "the costs of 2025-03/0.csv" if files == 1 else "its costs"
    with pytest.raises(AmountsTooLarge, match=rf"colo_costs 2025-03: {what} add up to more than .* correct its file"):
        load_month(folder)


# Currencies


def test_a_currency_code_in_another_case_is_mended_and_told(folder: Path, load_month: LoadMonth) -> None:
    """As every other slip in the case of a value is."""
    sent = ["usd", "Usd", " USD ", "USD", "eur"]
    write_csv(folder / "bill.csv", [focus_row(BillingCurrency=code, PricingCurrency=code) for code in sent])
    write_parquet(folder / "bill.parquet", [focus_row(BillingCurrency=code, PricingCurrency=code) for code in sent])
    loaded = load_month(folder)
    meant = [code.strip().upper() for code in sent] * 2
    assert loaded.values("BillingCurrency") == meant
    assert loaded.values("PricingCurrency") == meant
    assert {total.currency: total.rows for total in loaded.staged.totals} == {"USD": 8, "EUR": 2}
    assert loaded.check("reconciliation").passed
    assert loaded.failures["BillingCurrency-C-006-M"].violations == 8
    assert "spelled otherwise than ISO 4217 spells it; it is mended" in loaded.check("currency_codes").summary
    assert loaded.verdict.accepted


def test_virtual_currencies_are_for_prices_and_no_bill_is_in_one(folder: Path, load_month: LoadMonth) -> None:
    for name in ("Token", "Credits", "DBU", "USDC", "AI credits"):
        write_csv(folder / "bill.csv", [focus_row(PricingCurrency=name)])
        loaded = load_month(folder)
        assert loaded.values("PricingCurrency") == [name]
        assert loaded.check("currency_codes").passed is (len(name) != 3)
        assert loaded.verdict.accepted
        write_csv(folder / "bill.csv", [focus_row(BillingCurrency=name)])
        assert not load_month(folder).verdict.accepted


# Moments


def test_moments_are_utc_however_they_are_written(folder: Path, load_month: LoadMonth) -> None:
    five = datetime(2025, 3, 1, 5)
    sent = {
        "2025-03-01T05:00:00Z": five,
        "2025-03-01T05:00Z": five,
        "2025-03-01T05:00:00.000Z": five,
        "2025-03-01T05:00:00.000000000Z": five,
        "2025-03-01 05:00:00": five,
        "2025-03-01 05:00:00Z": five,
        "2025-03-01 05:00": five,
        "2025-03-01T05:00:00": five,
        "2025-03-01T05:00": five,
        "2025-03-01 05:00:00 UTC": five,
        "2025-03-01 05:00 UTC": five,
        "2025-03-01 05:00:00.000 UTC": five,
        "2025-03-01T05:00:00+00:00": five,
        "2025-03-01T07:00:00+02:00": five,
        "2025-03-01T07:00+02:00": five,
        "2025-03-01 07:00:00+02": five,
        "2025-03-01T07:00:00+0200": five,
        "2025-03-01 07:00:00 +02:00": five,
        "2025-03-01 07:00:00.0000000 +02:00": five,
        "2025-03-01T10:30:00+05:30": five,
        "2025-02-28T21:00:00-08:00": five,
        "2025-02-28T21:00-08:00": five,
        " 2025-03-01T05:00:00Z ": five,
        "2025-03-01": datetime(2025, 3, 1),
        "2025-03-01T05:00:00.1234567Z": five.replace(microsecond=123456),
        "2025-03-01T05:00:00.9999999": five.replace(microsecond=999999),
        "2025-03-01T07:00:00.123456789+02:00": five.replace(microsecond=123456),
    }
    write_csv(folder / "bill.csv", [focus_row(ChargePeriodStart=value) for value in sent])
    loaded = load_month(folder)
    assert dict(zip(sent, loaded.values("ChargePeriodStart"), strict=True)) == sent
    assert loaded.check("values_readable").passed


def test_what_is_no_unmistakable_moment_is_reported_as_sent(folder: Path, load_month: LoadMonth) -> None:
    sent = [
        *["03/01/2025", "3/1/2025", "03/01/2025 00:00:00", "03-01-2025", "03-01-25", "03/04/05", "1.3.2025"],
        *["2025-02-30T00:00:00Z", "2025-13-01", "20255-03-01T00:00:00Z", "2025-03", "20250301", "1740787200"],
        *["2025-03-01T00:00:00 PST", "2025-03-01 00:00:00 America/Los_Angeles", "2025-03-01T25:00:00Z"],
        *["infinity", "-infinity", "epoch", "today", "now", "Mar 1, 2025"],
    ]
    write_csv(folder / "bill.csv", [focus_row(BillingPeriodStart=value) for value in sent])
    loaded = load_month(folder)
    assert dict(zip(sent, loaded.values("BillingPeriodStart"), strict=True)) == dict.fromkeys(sent)
    assert provider_columns(loaded) == [{"BillingPeriodStart": value} for value in sent]
    assert loaded.failures["BillingPeriodStart-C-001-M"].violations == len(sent)
    assert not loaded.verdict.accepted


def test_every_kind_of_moment_in_parquet_is_utc(folder: Path, load_month: LoadMonth) -> None:
    five = datetime(2025, 3, 1, 5, 0, 0, 250000)
    aware = five.replace(tzinfo=UTC)
    kinds = {
        "naive": (pa.timestamp("us"), five, {}),
        "millis": (pa.timestamp("ms"), five, {}),
        "nanos": (pa.timestamp("ns"), five, {}),
        "utc": (pa.timestamp("us", "UTC"), aware, {}),
        "zone": (pa.timestamp("us", "America/New_York"), aware, {}),
        "int96": (pa.timestamp("ns"), five, {"use_deprecated_int96_timestamps": True}),
        "int96_zone": (pa.timestamp("us", "America/New_York"), aware, {"use_deprecated_int96_timestamps": True}),
        "text": (pa.string(), "2025-03-01T07:00:00.25+02:00", {}),
    }
    for name, (kind, value, options) in kinds.items():
        rows = [focus_row(ChargePeriodStart=value)]
        write_parquet(folder / f"{name}.parquet", rows, {"ChargePeriodStart": kind}, **options)
    write_parquet(
        folder / "date.parquet", [focus_row(ChargePeriodStart=date(2025, 3, 1))], {"ChargePeriodStart": pa.date32()}
    )
    loaded = load_month(folder)
    found = dict(
        zip((file.key.rsplit("/")[-1] for file in loaded.staged.files), loaded.values("ChargePeriodStart"), strict=True)
    )
    assert found == {"date.parquet": datetime(2025, 3, 1)} | {f"{name}.parquet": five for name in kinds}


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [(pa.int64(), 1740787200, "1740787200"), (pa.bool_(), True, "true"), (pa.time64("us"), None, None)],
    ids=["integer", "boolean", "empty_time"],
)
def test_a_parquet_type_that_is_no_moment_is_reported_and_stops_nothing(
    folder: Path, load_month: LoadMonth, kind: pa.DataType, value: object, said: str | None
) -> None:
    write_parquet(folder / "bill.parquet", [focus_row(BillingPeriodStart=value)], {"BillingPeriodStart": kind})
    loaded = load_month(folder)
    assert loaded.values("BillingPeriodStart") == [None]
    assert provider_columns(loaded) == [said and {"BillingPeriodStart": said}]
    assert not loaded.verdict.accepted


def test_inclusive_ends_of_a_day_become_exclusive_and_only_those(folder: Path, load_month: LoadMonth) -> None:
    ends = {
        "2025-03-31T23:59:59Z": datetime(2025, 4, 1),
        "2025-03-31T23:59:59.999Z": datetime(2025, 4, 1),
        "2025-03-31T23:59:59.999999Z": datetime(2025, 4, 1),
        "2025-04-01T00:00:00Z": datetime(2025, 4, 1),
        "2025-03-01T23:00:00Z": datetime(2025, 3, 1, 23),
        "2025-03-01T00:59:59Z": datetime(2025, 3, 1, 0, 59, 59),
        "2025-12-31T23:59:59Z": datetime(2026, 1, 1),
    }
    start = "2025-03-01T23:59:59Z"
    write_csv(
        folder / "bill.csv",
        [focus_row(BillingPeriodEnd=sent, ChargePeriodEnd=sent, ChargePeriodStart=start) for sent in ends],
    )
    loaded = load_month(folder)
    assert dict(zip(ends, loaded.values("BillingPeriodEnd"), strict=True)) == ends
    assert dict(zip(ends, loaded.values("ChargePeriodEnd"), strict=True)) == ends
    assert loaded.values("ChargePeriodStart") == [datetime(2025, 3, 1, 23, 59, 59)] * len(ends)


# Columns


def test_parts_may_have_other_columns_in_another_order(folder: Path, load_month: LoadMonth) -> None:
    row = focus_row(BilledCost="1", ResourceName="first")
    write_csv(folder / "1.csv", [row])
    write_csv(folder / "2.csv", [dict(reversed(focus_row(BilledCost="2", RegionId="eu", x_New="later").items()))])
    write_parquet(folder / "3.parquet", [without(focus_row(BilledCost="3"), "ListCost") | {"ListCost": "9"}])
    loaded = load_month(folder)
    assert loaded.rejections == {}
    assert loaded.values("BilledCost") == [1, 2, 3]
    assert loaded.values("ResourceName") == ["first", None, None]
    assert loaded.values("RegionId") == [None, "eu", None]
    assert loaded.values("ListCost") == [Decimal("1.5"), Decimal("1.5"), Decimal("9")]
    assert provider_columns(loaded) == [None, {"x_New": "later"}, None]


def test_names_of_columns_are_read_without_case_and_surrounding_spaces(folder: Path, load_month: LoadMonth) -> None:
    write_csv(folder / "lower.csv", [{name.lower(): value for name, value in focus_row().items()}])
    write_csv(folder / "upper.csv", [{name.upper(): value for name, value in focus_row().items()}])
    write_csv(folder / "spaced.csv", [{f"  {name} ": value for name, value in focus_row(x_Team="a").items()}])
    write_parquet(folder / "lower.parquet", [{f"{name.lower()} ": value for name, value in focus_row().items()}])
    loaded = load_month(folder)
    assert loaded.rejections == {}
    assert loaded.values("ServiceName") == ["Colocation"] * 4
    assert [value for value in provider_columns(loaded) if value] == [{"x_Team": "a"}]
    assert len(loaded.remarks) == 4
    assert all("columns of FOCUS spelled otherwise" in remark for remark in loaded.remarks)


@pytest.mark.parametrize(
    ("first", "second"), [("BilledCost", "BilledCost"), ("BilledCost", " billedcost"), ("x_Team", "X_TEAM")]
)
def test_a_column_that_stands_twice_rejects_the_file(
    folder: Path, load_month: LoadMonth, first: str, second: str
) -> None:
    row = without(focus_row(x_Team="a"), first) | {first: "1", f"{second}@": "2"}
    (folder / "doubled.csv").write_bytes(as_csv([row]).replace(b"@", b""))
    arrays = [pa.array([str(value)]) for value in row.values()]
    doubled = pa.Table.from_arrays(arrays, names=[name.removesuffix("@") for name in row])
    pq.write_table(doubled, folder / "doubled.parquet")
    write_csv(folder / "good.csv", [focus_row()])
    loaded = load_month(folder)
    assert set(loaded.rejections) == {"doubled.csv", "doubled.parquet"}
    for reason in loaded.rejections.values():
        assert reason.lower().startswith(f"it has the column {first.lower()} twice")
    assert loaded.staged.rows == 1


@pytest.mark.parametrize("line_break", ["\r", "\n", "\r\n"])
def test_a_column_name_with_a_line_break_rejects_the_file_instead_of_losing_a_row(
    folder: Path, load_month: LoadMonth, line_break: str
) -> None:
    (folder / "broken.csv").write_bytes(as_csv([focus_row(**{f"x_Team{line_break}Name": "a"})], quote_all=True))
    write_csv(folder / "good.csv", [focus_row()])
    loaded = load_month(folder)
    assert "of its header holds a line break" in loaded.rejections["broken.csv"]
    assert loaded.staged.rows == 1


def test_a_former_name_beside_the_present_one_is_kept_aside(folder: Path, load_month: LoadMonth) -> None:
    write_csv(folder / "bill.csv", [{"Provider": "old"} | focus_row(ProviderName="new", Region="r1")])
    loaded = load_month(folder)
    assert loaded.values("ProviderName") == ["new"]
    assert loaded.values("RegionId") == ["r1"]
    assert provider_columns(loaded) == [{"Provider": "old"}]
    assert "columns that are neither of FOCUS nor named x_…: Provider" in loaded.check("column_names").summary


def test_columns_of_a_providers_own_are_kept_without_a_remark(folder: Path, load_month: LoadMonth) -> None:
    own = {"x_Team": "web", "x_Region": "cn", "x_CompartmentId": "c1", "x_Empty": "", "x_Zeros": "007"}
    write_csv(folder / "bill.csv", [focus_row(**own), focus_row(**dict.fromkeys(own, ""))])
    loaded = load_month(folder)
    assert provider_columns(loaded) == [{name: value for name, value in own.items() if value}, None]
    assert loaded.remarks == []
    assert loaded.verdict.accepted


def test_an_unknown_column_is_kept_and_pointed_out(folder: Path, load_month: LoadMonth) -> None:
    write_csv(folder / "bill.csv", [focus_row(Id="11472", CostCentre="7")])
    loaded = load_month(folder)
    assert provider_columns(loaded) == [{"Id": "11472", "CostCentre": "7"}]
    check = loaded.check("column_names")
    assert (check.passed, check.severity) == (False, "ERROR")
    assert "2025-03/bill.csv has columns that are neither of FOCUS nor named x_…: Id, CostCentre" in check.summary
    assert loaded.verdict.accepted


@pytest.mark.parametrize("name", ["X_Team", "X_team", "x-Team", "xTeam", "oci_Team"])
def test_a_column_of_a_providers_own_begins_with_a_small_x(folder: Path, load_month: LoadMonth, name: str) -> None:
    write_csv(folder / "bill.csv", [focus_row(**{name: "web"})])
    loaded = load_month(folder)
    assert provider_columns(loaded) == [{name: "web"}]
    assert f"named x_…: {name}" in loaded.check("column_names").summary


def test_names_of_a_providers_columns_are_only_names(folder: Path, load_month: LoadMonth) -> None:
    """Not SQL, and none of the names that the pipeline's own SQL uses."""
    names = ["aside", "value", "pair", "name", "moment", "number", "sent BilledCost", "x_Token", "x_Month", "filename"]
    names += [
        "file_row_number",
        "rowid",
        "quo'te",
        'dou"ble',
        "back\\slash",
        "se;mi",
        "x_Größe",
        "日本",
        "{}",
        "%s",
        "SELECT",
    ]
    row = focus_row(BilledCost="?", Tags='[{"key": "a", "value": "b"}]') | {name: f"of {name}" for name in names}
    write_csv(folder / "bill.csv", [row])
    write_parquet(folder / "bill.parquet", [row])
    loaded = load_month(folder)
    assert loaded.rejections == {}
    assert provider_columns(loaded) == [{name: f"of {name}" for name in names} | {"BilledCost": "?"}] * 2
    assert tags(loaded) == [{"a": "b"}] * 2
    assert loaded.values("x_Month") == ["2025-03"] * 2


def test_a_providers_typed_columns_are_kept_exactly(folder: Path, load_month: LoadMonth) -> None:
    """Numbers that JSON readers would round are written as text."""
    sent = {
        "x_Cost": (pa.decimal128(38, 22), Decimal("0.1234567890123456789012")),
        "x_Credits": (
            pa.list_(pa.struct({"name": pa.string(), "amount": pa.decimal128(38, 9)})),
            [{"name": "promo", "amount": Decimal("-12345678901234567890.123456789")}],
        ),
        "x_Labels": (pa.map_(pa.string(), pa.string()), [("team", "web"), ("untagged", None)]),
        "x_Rate": (pa.float64(), 0.1),
        "x_Count": (pa.int64(), 9007199254740993),
        "x_Exported": (pa.timestamp("us", "UTC"), datetime(2025, 3, 1, 5, tzinfo=UTC)),
        "x_Flag": (pa.bool_(), False),
        "x_Empty": (pa.decimal128(10, 2), None),
    }
    row = focus_row(**{name: value for name, (_, value) in sent.items()})
    write_parquet(folder / "bill.parquet", [row], {name: kind for name, (kind, _) in sent.items()})
    assert provider_columns(load_month(folder)) == [
        {
            "x_Cost": "0.1234567890123456789012",
            "x_Credits": [{"name": "promo", "amount": "-12345678901234567890.123456789"}],
            "x_Labels": {"team": "web", "untagged": None},
            "x_Rate": 0.1,
            "x_Count": 9007199254740993,
            "x_Exported": "2025-03-01 05:00:00+00",
            "x_Flag": False,
        }
    ]


# Parts of one month that differ in type


def test_parts_of_a_month_may_differ_in_type(folder: Path, load_month: LoadMonth) -> None:
    """Cast before they are brought together, a cost stays exact beside a floating-point one."""
    exact, tagged = Decimal("12345678901234567.123456789012345678"), {"team": "web"}
    pairs = pa.list_(pa.struct({"key": pa.string(), "value": pa.string()}))
    text_map = pa.map_(pa.string(), pa.string())
    parts = {
        "1": (pa.float64(), 0.1, text_map, [("team", "web")]),
        "2": (pa.decimal128(38, 18), exact, pa.string(), '{"team": "web"}'),
        "3": (pa.string(), "0.2", pairs, [{"key": "team", "value": "web"}]),
        "4": (pa.int32(), 3, pa.struct({"team": pa.string()}), {"team": "web"}),
        "5": (pa.float64(), 0.3, pa.null(), None),
    }
    for name, (cost_type, cost, tags_type, sent_tags) in parts.items():
        row = focus_row(BilledCost=cost, Tags=sent_tags)
        write_parquet(folder / f"{name}.parquet", [row], {"BilledCost": cost_type, "Tags": tags_type})
    write_csv(folder / "6.csv", [focus_row(BilledCost="0.4", Tags='{"team": "web"}')])
    loaded = load_month(folder)
    assert loaded.rejections == {}
    assert loaded.values("BilledCost") == [Decimal("0.1"), exact, *map(Decimal, ("0.2", "3", "0.3", "0.4"))]
    assert tags(loaded) == [tagged, tagged, tagged, tagged, None, tagged]
    assert loaded.verdict.accepted


# Tags


def test_tags_become_one_json_object(folder: Path, load_month: LoadMonth) -> None:
    sent = {
        "{}": {},
        "[]": {},
        "": None,
        "null": None,
        "NULL": None,
        '"{}"': {},
        r'"{\"a\": \"b\"}"': {"a": "b"},
        '{"a": "b"}': {"a": "b"},
        '{"user:team": "web", "aws:createdBy": "x"}': {"user:team": "web", "aws:createdBy": "x"},
        '{"a": {"b": [1, true, null]}, "c": 1.50}': {"a": {"b": [1, True, None]}, "c": 1.5},
        '[{"key": "a", "value": "b"}, {"key": "c", "value": null}]': {"a": "b", "c": None},
        '[{"Key": "a", "Value": "b"}]': {"a": "b"},
        "{'a': 'b', 'c d': ''}": {"a": "b", "c d": ""},
        r'{"größe": "日本 \u00e9 \"q\""}': {"größe": '日本 é "q"'},
        '{"a": "it\'s"}': {"a": "it's"},
    }
    write_csv(folder / "bill.csv", [focus_row(Tags=value) for value in sent])
    loaded = load_month(folder)
    assert dict(zip(sent, tags(loaded), strict=True)) == sent
    assert loaded.check("values_readable").passed


def test_keys_that_stand_twice_are_both_kept(folder: Path, load_month: LoadMonth) -> None:
    sent = ['{"a": 1, "a": 2}', '[{"key": "a", "value": 1}, {"key": "a", "value": 2}]']
    write_csv(folder / "bill.csv", [focus_row(Tags=value) for value in sent])
    kept = [json.loads(value, object_pairs_hook=list) for value in load_month(folder).values("Tags")]
    assert kept == [[("a", 1), ("a", 2)]] * 2


def test_tags_that_are_no_object_are_reported_as_sent(folder: Path, load_month: LoadMonth) -> None:
    sent = [
        *["team=web", '{"a": 1', "[1, 2]", '"text"', "5", "true", "{a: 1}", "{'a': None}", "{'a': \"it's\"}"],
        *["{'a': \"x', 'b': 'y\"}", '[{"key": null, "value": 1}, {"key": "a", "value": 2}]', '[{"name": "a"}]'],
        '[{"key": "a", "Key": "b"}, {"x": 1}]',
    ]
    write_csv(folder / "bill.csv", [focus_row(Tags=value) for value in sent])
    loaded = load_month(folder)
    assert dict(zip(sent, tags(loaded), strict=True)) == dict.fromkeys(sent)
    assert provider_columns(loaded) == [{"Tags": value} for value in sent]
    assert loaded.failures["Tags-type"].violations == len(sent)
    assert loaded.verdict.accepted


# What is no JSON to a strict reader; DuckDB's json_valid() lets most of it pass.
MENDED = {
    '{"a": "b",}': {"a": "b"},
    '{"a": "b",\n}': {"a": "b"},
    '{"a": {"b": 1,}, "c": ", }",}': {"a": {"b": 1}, "c": ", }"},
    '[{"key": "a", "value": "b"},]': {"a": "b"},
    r'"{\"a\": 1,}"': {"a": 1},
    "{'a': ',}',}": {"a": ",}"},
}
NO_JSON = [
    *['{"env": NaN}', '{"a": 1, "env":nan}', '{"env": Infinity}', '{"env":-Infinity}', '{"env": inf}', '{"a": [-NAN]}'],
    *['[{"key": "env", "value": NaN}]', r'"{\"env\": NaN}"', "{'env': NaN}", '{"a": NaN,}', '{"a": 1', '{"a": 1,,}'],
    *['{"a": .5}', '{"a": 01}', '{"a": "\t"}', '{"a": 1} // b', '{"a": True}', '{"a": None}', '{"a": 1}{"b": 2}'],
]


def test_what_is_no_strict_json_is_told_and_none_of_it_gets_into_a_json_column(
    folder: Path, load_month: LoadMonth
) -> None:
    """Commas that mean nothing are left out, and what stands for nothing that JSON has is kept aside."""
    kept = ['{"env": "NaN"}', '{"note": "a, }", "b": ": inf", "c": "[nan"}', r'{"a": "\", NaN"}', '{"a": 1.50e3}']
    sent = [*MENDED, *NO_JSON, *kept]
    write_csv(folder / "bill.csv", [focus_row(Tags=value) for value in sent])
    write_parquet(folder / "bill.parquet", [focus_row(Tags=value) for value in sent])
    loaded = load_month(folder)
    expected = [*MENDED.values(), *[None] * len(NO_JSON), *map(json.loads, kept)]
    assert [value and strict(value) for value in loaded.values("Tags")] == expected * 2
    aside = [value and strict(value) for value in loaded.values("x_ProviderColumns")]
    assert (
        aside == [None if value is not None else {"Tags": text} for text, value in zip(sent, expected, strict=True)] * 2
    )
    assert loaded.failures["KeyValueFormat-A-001-M"].violations == 2 * (len(MENDED) + len(NO_JSON))
    assert loaded.failures["Tags-type"].violations == 2 * len(NO_JSON)


def test_what_is_kept_of_typed_columns_is_json_even_where_a_number_is_none(folder: Path, load_month: LoadMonth) -> None:
    nan, inf = float("nan"), float("inf")
    record = pa.struct({"rate": pa.float64(), "unit": pa.string()})
    sent = {
        "Tags": (pa.map_(pa.string(), pa.float64()), [("env", nan), ("size", 1.5)]),
        "x_Rate": (pa.float64(), nan),
        "x_Single": (pa.float32(), -inf),
        "x_Rates": (pa.list_(pa.float64()), [0.5, -inf]),
        "x_Record": (record, {"rate": nan, "unit": "GB, nan"}),
        "x_Fine": (record, {"rate": 0.5, "unit": ": nan"}),
        "x_Json": (pa.json_(), '{"a": NaN}'),
        "x_JsonFine": (pa.json_(), '{"a": 1}'),
    }
    row = focus_row(**{name: value for name, (_, value) in sent.items()})
    write_parquet(folder / "bill.parquet", [row], {name: kind for name, (kind, _) in sent.items()})
    loaded = load_month(folder)
    assert [strict(value) for value in loaded.values("Tags")] == [{"env": "nan", "size": "1.5"}]
    assert [strict(value) for value in loaded.values("x_ProviderColumns")] == [
        {
            "x_Rate": "nan",
            "x_Single": "-inf",
            "x_Rates": ["0.5", "-inf"],
            "x_Record": {"rate": "nan", "unit": "GB, nan"},
            "x_Fine": {"rate": 0.5, "unit": ": nan"},
            "x_Json": '{"a": NaN}',
            "x_JsonFine": {"a": 1},
        }
    ]


def strict(text: str) -> object:
    """JSON as the standard has it: Python reads NaN and Infinity, too."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in {text}"))


# Parquet text that is not said to be text


def test_parquet_bytes_that_are_not_said_to_be_text_are_read_as_it(folder: Path, load_month: LoadMonth) -> None:
    """As Spark of old, Impala and Athena write them."""
    row = focus_row(
        BilledCost="0.10",
        ServiceName="Wolkendienst Müller",
        Tags='{"größe": "日本"}',
        x_Team="Süd",
        ResourceId="",
        ChargeCategory="usage",
    )
    as_bytes = {name: str(value).encode() for name, value in row.items()}
    for kind in (pa.binary(), pa.large_binary()):
        write_parquet(folder / f"{kind}.parquet", [as_bytes], dict.fromkeys(row, kind))
    pairs = pa.list_(pa.struct({"key": pa.binary(), "value": pa.binary()}))
    sent = {
        "map": (pa.map_(pa.binary(), pa.binary()), [("größe".encode(), "日本".encode())]),
        "pairs": (pairs, [{"key": "größe".encode(), "value": "日本".encode()}]),
    }
    for name, (kind, value) in sent.items():
        write_parquet(folder / f"{name}.parquet", [row | {"Tags": value}], {"Tags": kind})
    loaded = load_month(folder)
    assert loaded.rejections == {}
    assert loaded.values("BilledCost") == [Decimal("0.1")] * 4
    assert loaded.values("ServiceName") == ["Wolkendienst Müller"] * 4
    assert tags(loaded) == [{"größe": "日本"}] * 4
    assert provider_columns(loaded) == [{"x_Team": "Süd"}] * 4
    assert loaded.values("ResourceId") == [None] * 4
    assert loaded.failures["ChargeCategory-C-003-M"].violations == 4
    assert loaded.verdict.accepted


@pytest.mark.parametrize("column", ["ServiceName", "Tags", "BilledCost", "ChargePeriodStart", "ResourceName"])
def test_bytes_of_a_focus_column_that_are_no_utf_8_reject_the_file_by_name(
    folder: Path, load_month: LoadMonth, column: str
) -> None:
    rows = [focus_row(ResourceName="", Tags="") | {column: sent} for sent in (b"M\xfcller", b"x")]
    write_parquet(folder / "latin.parquet", rows, {column: pa.binary()})
    write_parquet(
        folder / "nested.parquet", [focus_row(Tags=[(b"k", b"M\xfc")])], {"Tags": pa.map_(pa.string(), pa.binary())}
    )
    write_csv(folder / "good.csv", [focus_row()])
    loaded = load_month(folder)
    said = "its column {} holds bytes that are no UTF-8; write it as text in UTF-8"
    assert loaded.rejections == {"latin.parquet": said.format(column), "nested.parquet": said.format("Tags")}
    assert loaded.staged.rows == 1


def test_a_providers_own_bytes_are_kept_in_base64_and_stop_nothing(folder: Path, load_month: LoadMonth) -> None:
    row = focus_row(ServiceName="Müller".encode(), x_Hash=bytes(range(250, 256)), x_Team="Süd".encode())
    for name in ("1", "2"):
        kinds = dict.fromkeys(("ServiceName", "x_Hash", "x_Team"), pa.binary())
        write_parquet(folder / f"{name}.parquet", [row, row | {"x_Hash": None, "ResourceId": name}], kinds)
    loaded = load_month(folder)
    assert loaded.rejections == {}
    assert loaded.values("ServiceName") == ["Müller"] * 4
    assert provider_columns(loaded) == [{"x_Hash": "+vv8/f7/", "x_Team": "Süd"}, {"x_Team": "Süd"}] * 2
    assert loaded.verdict.accepted


# Rows


def test_identical_rows_are_all_kept(folder: Path, load_month: LoadMonth) -> None:
    """Within a file and across files, in the table too."""
    write_csv(folder / "1.csv", [focus_row()] * 3)
    write_csv(folder / "2.csv", [focus_row()] * 2)
    loaded = load_month(folder)
    assert loaded.values("BilledCost") == [Decimal("1.25")] * 5
    publish(MONTH, loaded.data_dir)
    with warehouse_of(loaded.data_dir).reading() as warehouse:
        table = warehouse.execute("SELECT count(*), sum(BilledCost) FROM focus.cost_and_usage").fetchone()
    assert table == (5, Decimal("6.25"))


def test_rows_know_where_they_come_from(folder: Path, load_month: LoadMonth) -> None:
    write_csv(folder / "1.csv", [focus_row()])
    write_csv(folder / "2.csv", [focus_row(ResourceId="cab-2")])
    loaded = load_month(folder)
    assert loaded.values("x_SourceFile") == ["2025-03/1.csv", "2025-03/2.csv"]
    assert loaded.values("x_Connection") == ["colo_costs"] * 2
