"""Bills in zip archives, as portals and mail attachments bring them."""

import gzip
import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from focus_pipeline.limits import Limits
from focus_pipeline_tests.conftest import LoadMonth
from focus_pipeline_tests.month_files import MONTH, as_csv, focus_row, write_csv, write_parquet


def archive(contents: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as opened:
        for name, content in contents.items():
            opened.writestr(name, content)
    return packed.getvalue()


def bill(resource: str, **values: object) -> bytes:
    return as_csv([focus_row(ResourceId=resource, **values)])


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_the_files_of_a_zip_archive_are_files_of_the_month(
    folder: Path, load_month: LoadMonth, tmp_path: Path, compression: int
) -> None:
    write_parquet(tmp_path / "c.parquet", [focus_row(ResourceId="c")])
    contents = {
        "a.csv": bill("a"),
        "deep/er/b.csv.gz": gzip.compress(bill("b")),
        "c.parquet": (tmp_path / "c.parquet").read_bytes(),
        "bad.csv": b"BilledCost\n1\n",
        "again/a.csv": bill("a"),
        "__MACOSX/._a.csv": b"\x00\x05",
        "readme.txt": b"hello",
    }
    (folder / "bill.zip").write_bytes(archive(contents, compression))
    write_csv(folder / "plain.csv", [focus_row(ResourceId="d")])
    month = load_month(folder)
    assert sorted(month.values("ResourceId")) == ["a", "b", "c", "d"]
    assert set(month.values("x_SourceFile")) == {
        *(f"{MONTH}/bill.zip/{name}" for name in ("a.csv", "deep/er/b.csv.gz", "c.parquet")),
        f"{MONTH}/plain.csv",
    }
    assert list(month.rejections) == ["bad.csv"]
    fates = {file.key.removeprefix(f"{MONTH}/bill.zip/"): file for file in month.staged.files}
    assert fates["again/a.csv"].same_as == f"{MONTH}/bill.zip/a.csv"
    assert fates["readme.txt"].other
    assert fates["__MACOSX/._a.csv"].other
    assert month.verdict.accepted
    assert not list(month.data_dir.scratch.iterdir()), "nothing that was unpacked stays"


def encrypted() -> bytes:
    packed = bytearray(archive({"a.csv": bill("a")}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        packed[packed.index(signature) + offset] |= 1
    return bytes(packed)


def damaged() -> bytes:
    packed = bytearray(archive({"a.csv": bill("a") * 50}, zipfile.ZIP_STORED))
    packed[200] ^= 0xFF
    return bytes(packed)


def with_a_name_twice() -> bytes:
    """As archives are to which a file was added again."""
    return archive({"a.csv": bill("a"), "b.csv": bill("b")}).replace(b"b.csv", b"a.csv")


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        (encrypted, "the zip archive is encrypted; upload it without a password"),
        (damaged, "the zip archive is damaged or of an unknown kind (Bad CRC-32"),
        (lambda: archive({"a.csv": bill("a")})[:-30], "the zip archive is damaged or of an unknown kind (File is not"),
        (with_a_name_twice, "the zip archive holds several files of one name"),
        (lambda: archive({"in.zip": archive({"a.csv": bill("a")})}), "holds another one, in.zip; pack the files"),
        (lambda: archive({"readme.txt": b"x"}), "holds no file that ends in .csv, .csv.gz, .parquet"),
        (lambda: archive({}), "holds no file that ends in .csv, .csv.gz, .parquet"),
    ],
)
def test_an_archive_that_cannot_be_unpacked_is_rejected_and_the_others_are_loaded(
    folder: Path, load_month: LoadMonth, packed: Callable[[], bytes], said: str
) -> None:
    (folder / "bill.zip").write_bytes(packed())
    write_csv(folder / "plain.csv", [focus_row(ResourceId="d")])
    month = load_month(folder)
    assert month.values("ResourceId") == ["d"]
    assert said in month.rejections["bill.zip"]
    assert month.verdict.accepted


def test_an_archive_that_unpacks_to_more_than_the_limit_is_refused_before_it_is_unpacked(
    folder: Path, load_month: LoadMonth
) -> None:
    (folder / "bill.zip").write_bytes(archive({f"{n}.csv": bill("a") * 1_000 for n in range(4)}))
    month = load_month(folder, limits=Limits(unpacked=1_000_000))
    assert "it unpacks to more than 1,000,000 bytes" in month.rejections["bill.zip"]
    assert not month.verdict.accepted
