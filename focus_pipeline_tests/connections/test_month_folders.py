"""Deliveries in month folders: what belongs to a month, what is left alone and why, and what is said of nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focus_pipeline.connections.auth import S3Auth
from focus_pipeline.connections.delivery import Delivery, Discovery, NoBillingPeriods, StoredObject
from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline.connections.store_errors import AccessDenied, NotFound
from focus_pipeline.connections.store_urls import InvalidUrl
from focus_pipeline.pipeline.land import land
from focus_pipeline.records.landed import LandedDelivery
from focus_pipeline.storage import DataDir
from focus_pipeline_tests.connections.conftest import Loaded
from focus_pipeline_tests.connections.places import Place
from focus_pipeline_tests.fakes.servers import S3Server
from focus_pipeline_tests.month_files import focus_row, write_csv

Load = Callable[..., Loaded]

MONTH = "2025-03"


def keys(discovery: Discovery, month: str = MONTH) -> list[str]:
    return [item.key for item in discovery.deliveries[month].objects]


def test_a_month_is_the_files_in_its_folder(place: Place) -> None:
    place.put_many(["2025-01/expenses.csv", "2025-01/additional.csv.gz", "2025-02/expenses.parquet"])
    discovery = place.connection().discover()
    assert discovery.months == ("2025-01", "2025-02")
    assert keys(discovery, "2025-01") == ["2025-01/additional.csv.gz", "2025-01/expenses.csv"]
    assert keys(discovery, "2025-02") == ["2025-02/expenses.parquet"]
    assert discovery.ignored == ()


def test_only_the_months_asked_for_are_listed(place: Place) -> None:
    """One request shows all months; each month's content costs another one, and years of history cost nothing."""
    place.put_many([f"exports/{year}-{month:02d}/x.csv" for year in range(2015, 2026) for month in range(1, 13)])
    discovery = place.connection("exports/").discover(["2025-03", "2025-04", "2031-01"])
    assert len(discovery.months) == 11 * 12
    assert sorted(discovery.deliveries) == ["2025-03", "2025-04"]
    if place.server is not None:
        assert len(place.listings()) == 3
        assert place.reads() == []


def test_a_monthly_file_takes_the_place_of_the_daily_ones(place: Place) -> None:
    """What overlaps is never added up. The file names are those of Alibaba's subscription to OSS."""
    days = ["2025-03/1234_BillingItemDetail_20250301.csv", "2025-03/1234_BillingItemDetail_20250302.csv"]
    whole = "2025-03/1234_BillingItemDetail_202503.csv"
    other = "2025-03/adjustments.parquet"
    daily, monthly = "*_" + "[0-9]" * 8 + ".csv", "*_" + "[0-9]" * 6 + ".csv"
    connection = replace(place.connection(), precedence=(monthly, daily))
    place.put_many([*days, other])
    before = connection.discover()
    assert keys(before) == [*days, other]
    place.put_many([whole])
    discovery = connection.discover()
    assert keys(discovery) == [whole, other], "a file that matches no pattern is always taken"
    assert [(item.key, item.reason) for item in discovery.ignored] == [
        (day, f"it gives way to the month's files named {monthly} (see precedence)") for day in days
    ]
    assert discovery.deliveries[MONTH].token != before.deliveries[MONTH].token
    assert keys(replace(connection, precedence=(monthly, "*")).discover()) == [whole]
    assert keys(replace(connection, precedence=(daily, "*")).discover()) == days


# --- T16: what is left alone, and why ------------------------------------------------------------------


NO_MONTHS = [
    "202503/",
    "March-2025/",
    "2025-13/",
    "2025-00/",
    "2025-3/",
    "2025-03-01/",
    " 2025-03/",
    "2025-03 /",
    "BILLING_PERIOD=2025-03/",
    "٢٠٢٥-٠٣/",  # digits, but not those of a month folder
]


def test_folders_that_are_no_months_are_ignored_and_named(place: Place) -> None:
    place.put_many(["2025-02/x.csv", *(f"{folder}x.csv" for folder in NO_MONTHS)])
    discovery = place.connection().discover()
    assert discovery.months == ("2025-02",)
    reason = "not a month folder; months are named YYYY-MM, such as 2025-03"
    assert {item.key: item.reason for item in discovery.ignored} == dict.fromkeys(NO_MONTHS, reason)


UNREAD = {
    "_SUCCESS": "the extension is none of .csv, .csv.gz, .parquet, .zip",
    ".DS_Store": "a hidden or temporary file",
    "._expenses.csv": "a hidden or temporary file",
    "~$expenses.csv": "a hidden or temporary file",
    ".expenses.parquet": "a hidden or temporary file",
    "expenses.csv.gz.tmp": "a hidden or temporary file",
    "expenses.csv.part": "a hidden or temporary file",
    "expenses.xlsx": "the extension is none of .csv, .csv.gz, .parquet, .zip",
    "expenses.gz": "the extension is none of .csv, .csv.gz, .parquet, .zip",
    "expenses.rar": "the extension is none of .csv, .csv.gz, .parquet, .zip",
    "csv": "the extension is none of .csv, .csv.gz, .parquet, .zip",
    "EXPENSES.CSV": "the extension has capitals; rename it to end in .csv, .csv.gz, .parquet, .zip",
    "expenses.csv.GZ": "the extension has capitals; rename it to end in .csv, .csv.gz, .parquet, .zip",
    "expenses.Parquet": "the extension has capitals; rename it to end in .csv, .csv.gz, .parquet, .zip",
    "day-01/expenses.csv": "in a folder below the month folder; only files directly in YYYY-MM/ are read",
    "2025-03/expenses.csv": "in a folder below the month folder; only files directly in YYYY-MM/ are read",
}


def test_files_that_are_no_bills_are_ignored_and_named(place: Place) -> None:
    place.put_many(["2025-03/real.csv", *(f"2025-03/{name}" for name in UNREAD)])
    discovery = place.connection().discover()
    assert keys(discovery) == ["2025-03/real.csv"]
    assert {item.key: item.reason for item in discovery.ignored} == {
        f"2025-03/{name}": reason for name, reason in UNREAD.items()
    }


def test_placeholders_of_folders_are_ignored(bucket: Place) -> None:
    """Consoles make zero-byte objects with a slash at the end; a month of nothing else is an empty month."""
    for key in ["exports/", "exports/2025-02/", "exports/2025-03/", "exports/2025-03/sub/"]:
        bucket.put(key, b"")
    bucket.put("exports/2025-03/x.csv", b"x")
    discovery = bucket.connection("exports/").discover()
    assert discovery.months == ("2025-02", "2025-03")
    assert keys(discovery, "2025-02") == []
    assert keys(discovery) == ["exports/2025-03/x.csv"]
    assert {item.key: item.reason for item in discovery.ignored} == {
        "exports/": "an empty placeholder of the folder itself",
        "exports/2025-02/": "an empty placeholder of a folder",
        "exports/2025-03/": "an empty placeholder of a folder",
        "exports/2025-03/sub/": "an empty placeholder of a folder",
    }


def test_a_file_beside_the_month_folders_is_ignored_and_named(place: Place) -> None:
    place.put_many(["expenses.csv", "README.md", "2025-03/x.csv"])
    discovery = place.connection().discover()
    assert keys(discovery) == ["2025-03/x.csv"]
    reason = "a file outside of any month folder; put it into a folder named YYYY-MM"
    assert [(item.key, item.reason) for item in discovery.ignored] == [("README.md", reason), ("expenses.csv", reason)]


def test_a_doubled_slash_before_a_month_is_ignored_and_explained(bucket: Place) -> None:
    """`exports//2025-03/` is another folder than `exports/2025-03/`."""
    bucket.put_many(["exports//2025-03/x.csv", "exports/2025-02/x.csv"])
    discovery = bucket.connection("exports/").discover()
    assert discovery.months == ("2025-02",)
    [ignored] = discovery.ignored
    assert ignored.key == "exports//"
    assert "put the second slash into the connection's url" in ignored.reason


def test_a_local_name_that_is_not_utf_8_harms_no_other(make_place: Callable[[str], Place]) -> None:
    """A file from a machine with another character set, in a month folder, beside one, and as a folder."""
    place = make_place("local")
    place.put_many(["2025-03/x.csv"])
    root = os.fsencode(place.url.removeprefix("file://"))
    latin = "Kosten_März".encode("latin-1")
    for path in (b"2025-03/" + latin + b".csv", latin + b".csv"):
        Path(os.fsdecode(root + path)).write_bytes(b"x")
    Path(os.fsdecode(root + b"folder_" + latin)).mkdir()
    discovery = place.connection().discover()
    assert keys(discovery) == ["2025-03/x.csv"]
    assert {item.key: item.reason for item in discovery.ignored} == {
        "2025-03/Kosten_M\\udce4rz.csv": "the name is not UTF-8; rename the file",
        "Kosten_M\\udce4rz.csv": "the name is not UTF-8; rename the file",
        "folder_Kosten_M\\udce4rz/": "not a month folder; months are named YYYY-MM, such as 2025-03",
    }
    # What is reported is written to logs and JSON.
    "".join(item.key for item in discovery.ignored).encode()


# --- T19: prefixes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["exports/", "exports"])
def test_the_slash_at_the_end_of_the_url_does_not_matter(place: Place, folder: str) -> None:
    """And a folder that only starts with the same letters is another one."""
    place.put_many(["exports/2025-03/x.csv", "exports-old/2025-04/x.csv", "2025-05/x.csv"])
    discovery = place.connection(folder).discover()
    assert discovery.months == ("2025-03",)
    assert discovery.looked_in.endswith("/exports/")


def test_no_prefix_means_the_root(place: Place) -> None:
    place.put_many(["2025-03/x.csv"])
    assert place.connection().discover().months == ("2025-03",)
    without_slash = replace(place.connection(), url=place.url.removesuffix("/"))
    assert without_slash.discover().months == ("2025-03",)


def test_odd_prefixes_are_taken_as_they_are_written(bucket: Place) -> None:
    """`s3://bucket//exports/` has keys that start with a slash, and `%20` is three characters."""
    folders = ["/exports/", "exports//", "a b/c+d/", "a%20b/", "it's [x] $y/", "k=v/", "Größe/日本語/", "/", "exports/"]
    bucket.put_many([f"{folder}2025-{number:02d}/x.csv" for number, folder in enumerate(folders, 1)])
    for number, folder in enumerate(folders, 1):
        discovery = bucket.connection(folder).discover()
        month = f"2025-{number:02d}"
        assert discovery.months == (month,)
        assert keys(discovery, month) == [f"{folder}{month}/x.csv"]


def test_a_local_url_may_be_encoded_and_a_path_may_not(make_place: Callable[[str], Place]) -> None:
    place = make_place("local")
    place.put_many(["FOCUS Reports/2025-03/x.csv", "100%20/2025-04/x.csv"])
    assert place.connection("FOCUS%20Reports/").discover().months == ("2025-03",)
    path = f"{place.url.removeprefix('file://')}100%20"
    assert MonthFolders("colo_costs", path).discover().months == ("2025-04",)


# --- T15, T20: what changes a month --------------------------------------------------------------------


def landed(place: Place, data_dir: DataDir) -> LandedDelivery:
    """Discovers and lands the month as a run does; a month that is not shown any more is empty."""
    connection = place.connection()
    delivery = Delivery(MONTH, ())
    with suppress(NoBillingPeriods):
        delivery = connection.discover([MONTH]).deliveries.get(MONTH, delivery)
    return land(connection, delivery, data_dir)


def content(delivery: LandedDelivery) -> dict[str, bytes]:
    return {file.key.rsplit("/", 1)[-1]: file.path.read_bytes() for file in delivery.files}


@pytest.fixture
def data_dir(tmp_path: Path) -> DataDir:
    return DataDir(tmp_path / "data")


@pytest.fixture
def two_files(place: Place) -> Place:
    """A month of two files, and another month."""
    place.put("2025-03/a.csv", b"a")
    place.put("2025-03/b.csv", b"b")
    place.put("2025-02/a.csv", b"older")
    return place


def test_a_file_that_is_added_adds_to_the_month(two_files: Place, data_dir: DataDir) -> None:
    """Files on later days of the same month add up, and the former ones are not read again."""
    before = landed(two_files, data_dir)
    two_files.put("2025-03/c.csv", b"c")
    after = landed(two_files, data_dir)
    assert after.token != before.token
    assert content(after) == {"a.csv": b"a", "b.csv": b"b", "c.csv": b"c"}
    assert (after.downloaded, after.reused) == (1, 2)
    if two_files.server is not None:
        assert sorted(two_files.reads()) == ["2025-03/a.csv", "2025-03/b.csv", "2025-03/c.csv"]


def test_a_file_that_is_removed_leaves_the_month(two_files: Place, data_dir: DataDir) -> None:
    """Its rows must not stay in the table."""
    before = landed(two_files, data_dir)
    two_files.delete("2025-03/b.csv")
    after = landed(two_files, data_dir)
    assert after.token != before.token
    assert content(after) == {"a.csv": b"a"}
    assert after.downloaded == 0


def test_a_file_that_is_delivered_again_replaces_only_itself(two_files: Place, data_dir: DataDir) -> None:
    before = landed(two_files, data_dir)
    two_files.put("2025-03/b.csv", b"B")
    after = landed(two_files, data_dir)
    assert after.token != before.token
    assert content(after) == {"a.csv": b"a", "b.csv": b"B"}
    assert (after.downloaded, after.reused) == (1, 1)
    # What it was is kept beside it.
    assert content(before) == {"a.csv": b"a", "b.csv": b"b"}


def test_a_month_whose_files_are_all_removed_is_empty(two_files: Place, data_dir: DataDir) -> None:
    """In a bucket, the folder is gone with its last file."""
    landed(two_files, data_dir)
    two_files.delete("2025-03/a.csv")
    two_files.delete("2025-03/b.csv")
    discovery = two_files.connection().discover([MONTH])
    assert MONTH not in discovery.months or discovery.deliveries[MONTH].objects == ()
    after = landed(two_files, data_dir)
    assert after.files == ()
    assert after.token == Delivery(MONTH, ()).token


def test_an_unchanged_month_is_not_read(bucket: Place, data_dir: DataDir) -> None:
    """The server counts."""
    bucket.put_many([f"2025-03/{number}.csv" for number in range(5)])
    before = landed(bucket, data_dir)
    assert len(bucket.reads()) == 5
    for _ in range(3):
        after = landed(bucket, data_dir)
    assert after.token == before.token
    assert (after.downloaded, after.reused) == (0, 0)
    assert len(bucket.reads()) == 5


def test_providers_are_only_read(bucket: Place, data_dir: DataDir) -> None:
    """All requests of looking, landing, and landing a change."""
    bucket.put("2025-03/a.csv", b"a")
    bucket.put("2025-03/b.csv", b"")
    landed(bucket, data_dir)
    bucket.put("2025-03/a.csv", b"A")
    landed(bucket, data_dir)
    assert len(bucket.requests()) >= 5
    assert {method for method, _ in bucket.requests()} <= {"GET", "HEAD"}


# --- what is said when there is nothing ----------------------------------------------------------------


def nothing_found(place: Place, folder: str = "") -> str:
    with pytest.raises(NoBillingPeriods) as error:
        place.connection(folder).discover()
    return str(error.value)


def test_no_billing_periods_says_what_is_there_instead(place: Place) -> None:
    """The document's own case: `202503/` and `March-2025/`."""
    place.put_many(["exports/202503/x.csv", "exports/March-2025/x.csv", "exports/notes.txt"])
    message = nothing_found(place, "exports/")
    where = "exports/" if place.kind == "local" else f"{place.store().address}/exports/"
    assert message.startswith("No billing periods found: ")
    assert f"{where} has no folder named YYYY-MM (such as 2025-03)." in message
    assert "Found there instead: 'notes.txt', '202503/', 'March-2025/'." in message
    assert message.endswith("Rename the folders, or correct the connection's url.")


def test_no_billing_periods_names_only_the_first_of_many(place: Place) -> None:
    place.put_many([f"report-{number}/x.csv" for number in range(8)])
    message = nothing_found(place)
    assert "'report-0/', 'report-1/', 'report-2/', 'report-3/', 'report-4/' and 3 more" in message


@pytest.mark.parametrize(
    ("real", "given"),
    [
        ("exports/", "/exports/"),
        ("exports/", "exports//"),
        ("/exports/", "exports/"),
        ("exports//", "exports/"),
        ("/", ""),
        ("Billing-Exports/", "billing-exports/"),
        ("a/Billing-Exports/", "a/billing-exports/"),
        ("FOCUS Reports/", "FOCUS%20Reports/"),
    ],
)
def test_no_billing_periods_suggests_the_spelling_that_has_some(
    make_place: Callable[[str], Place], real: str, given: str
) -> None:
    """What is easily mistaken when a path is copied."""
    bucket = make_place("s3")
    bucket.put_many([f"{real}2025-03/x.csv"])
    message = nothing_found(bucket, given)
    address = bucket.store().address
    assert f"{address}/{given} has no folder named YYYY-MM" in message
    assert message.endswith(f"There are month folders in {address}/{real}: set the connection's url to that.")


def test_no_billing_periods_says_what_is_beside_a_wrong_prefix(bucket: Place) -> None:
    bucket.put_many(["exports/focus/2025-03/x.csv", "exports/cur/2025-03/x.csv"])
    message = nothing_found(bucket, "exports/fokus/")
    address = bucket.store().address
    assert message.endswith(
        f"Nothing is there; {address}/exports/ has 'exports/cur/', 'exports/focus/'. Correct the connection's url."
    )


def test_no_billing_periods_of_an_empty_place(place: Place) -> None:
    assert nothing_found(place).endswith(
        "Nothing at all is there; check the bucket and the prefix of the connection's url."
    )


@pytest.mark.parametrize("folder", ["2025-03", "exports/2025-03/"])
def test_a_url_that_is_a_month_folder_itself_is_told(place: Place, folder: str) -> None:
    place.put_many([f"{folder.rstrip('/')}/x.csv"])
    message = nothing_found(place, folder)
    above = folder.rstrip("/").removesuffix("2025-03")
    assert "It is a month's folder itself: set the connection's url to " in message
    address = place.url.rstrip("/") if place.kind == "local" else place.store().address
    assert message.endswith(f"{address}/{above}.")


def test_no_billing_periods_is_said_where_the_policy_shows_no_other_prefix(
    s3: S3Server, make_place: Callable[[str], Place]
) -> None:
    """A role that may list its own prefix only: looking for a suggestion must not become the error."""
    place = make_place("s3")
    role = s3.create_reader_role(place.url.split("/")[2], "exports/", "right-external-id")
    auth = S3Auth(
        access_key_id=role.access_key_id,
        secret_access_key=role.secret_access_key,
        role_arn=role.role_arn,
        external_id="right-external-id",
    )
    with s3.enforce_iam():
        message = nothing_found(replace(place, auth=auth), "exports/")
    assert message.startswith("No billing periods found: ")


def test_access_denied_is_said_as_that(s3: S3Server, make_place: Callable[[str], Place]) -> None:
    """The document's third message: the role may not list outside of its prefix."""
    place = make_place("s3")
    place.put_many(["other/2025-03/x.csv"])
    role = s3.create_reader_role(place.url.split("/")[2], "exports/", "right-external-id")
    auth = S3Auth(
        access_key_id=role.access_key_id,
        secret_access_key=role.secret_access_key,
        role_arn=role.role_arn,
        external_id="right-external-id",
    )
    with s3.enforce_iam(), pytest.raises(AccessDenied) as error:
        replace(place, auth=auth).connection("other/").discover()
    message = str(error.value)
    assert message.startswith(f"Access Denied: s3:ListBucket on {place.url}other/ is not allowed for the role arn:aws:")
    assert "right-external-id" not in message


def test_a_missing_place_is_not_an_empty_one(make_place: Callable[[str], Place]) -> None:
    """Which a month with all of its files removed would be."""
    with pytest.raises(NotFound):
        make_place("local").connection("missing/").discover()


# --- tokens ------------------------------------------------------------------------------------------

text = st.text(max_size=8) | st.sampled_from(["a\0b", 'a"b', "a,b", "a\nb", "", "\udce4"])
moments = st.datetimes(timezones=st.just(UTC))
objects = st.builds(StoredObject, key=text, etag=text, size=st.integers(0, 2**50), last_modified=moments)
months = st.lists(objects, max_size=6, unique_by=lambda item: item.key)


@given(months, st.randoms())
def test_a_token_does_not_depend_on_the_order(found: list[StoredObject], random) -> None:
    shuffled = found.copy()
    random.shuffle(shuffled)
    assert Delivery(MONTH, tuple(shuffled)).token == Delivery(MONTH, tuple(found)).token


@given(months, months)
def test_two_deliveries_have_one_token_only_if_they_are_the_same(
    one: list[StoredObject], other: list[StoredObject]
) -> None:
    """Keys, ETags and sizes, whatever characters they have."""

    def told(found: list[StoredObject]) -> list[tuple[str, str, int]]:
        return sorted((item.key, item.etag, item.size) for item in found)

    same = Delivery(MONTH, tuple(one)).token == Delivery(MONTH, tuple(other)).token
    assert same == (told(one) == told(other))


@given(months.filter(bool), st.data())
def test_a_token_changes_with_any_key_etag_or_size(found: list[StoredObject], data: st.DataObject) -> None:
    """Also with an object more or less."""
    before = Delivery(MONTH, tuple(found)).token
    place = data.draw(st.integers(0, len(found) - 1))
    item, others = found[place], found[:place] + found[place + 1 :]
    for changed in (
        replace(item, key=item.key + "x"),
        replace(item, etag=item.etag + "x"),
        replace(item, size=item.size + 1),
        # What belongs to one field must not read as a part of the next one.
        replace(item, key=item.key + item.etag + "x", etag=""),
    ):
        assert Delivery(MONTH, (*others, changed)).token != before
    assert Delivery(MONTH, tuple(others)).token != before
    assert Delivery(MONTH, (*found, replace(item, key=item.key + "y"))).token != before


@given(months, st.timedeltas(min_value=timedelta(days=-300), max_value=timedelta(days=300)))
def test_a_token_never_depends_on_a_clock(found: list[StoredObject], shift: timedelta) -> None:
    moved = [replace(item, last_modified=datetime(2025, 1, 1, tzinfo=UTC) + shift) for item in found]
    assert Delivery(MONTH, tuple(moved)).token == Delivery(MONTH, tuple(found)).token


def test_a_token_does_not_mistake_two_objects_for_one() -> None:
    """A key may hold what stands between fields."""
    moment = datetime(2025, 1, 1, tzinfo=UTC)
    two = (StoredObject("a", "1", 1, moment), StoredObject("b", "2", 2, moment))
    for between in ("\0", ",", '", "', "\n"):
        one = (StoredObject(f"a{between}1{between}1\nb", "2", 2, moment),)
        assert Delivery(MONTH, one).token != Delivery(MONTH, two).token


# Months that are told otherwise


@pytest.mark.parametrize(
    ("month_path", "keys"),
    [
        ("billing_period=YYYY-MM/", ["billing_period=2025-03/a.csv", "billing_period=2025-03/b.parquet"]),
        ("month=YYYY-MM/", ["month=2025-03/a.csv", "month=2025-03/b.csv"]),
        ("YYYY/MM/", ["2025/03/a.csv", "2025/03/b.csv.gz"]),
        ("YYYY/MM/DD/", ["2025/03/01/a.csv", "2025/03/31/b.csv"]),
        ("YYYYMM/", ["202503/a.csv", "202503/b.csv"]),
        ("*_focus_YYYYMM.csv", ["UID_focus_202503.csv", "other_focus_202503.csv"]),
        ("costs-YYYYMMDD.csv.gz", ["costs-20250301.csv.gz", "costs-20250331.csv.gz"]),
        ("YYYY/costs-MM*.csv", ["2025/costs-03.csv", "2025/costs-03-late.csv"]),
    ],
)
def test_months_are_told_by_folders_or_names_of_any_form(tmp_path: Path, month_path: str, keys: list[str]) -> None:
    others = [key.replace("03", "04", 1) for key in keys]
    noise = ["readme.txt", "2025-03/x.csv", "billing_period=2025-13/a.csv", "x/y/z.csv", "UID_focus_2025.csv"]
    for key in (*keys, *others, *noise):
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_text("x")
    discovery = MonthFolders("colo", tmp_path.as_uri(), month_path=month_path).discover()
    assert discovery.months == ("2025-03", "2025-04")
    delivered = {month: [item.key for item in d.objects] for month, d in discovery.deliveries.items()}
    assert delivered == {"2025-03": sorted(keys), "2025-04": sorted(others)}
    named = {ignored.key for ignored in discovery.ignored}
    assert {"readme.txt"} <= named
    assert not named & {*keys, *others}
    only = MonthFolders("colo", tmp_path.as_uri(), month_path=month_path).discover(["2025-04"])
    assert list(only.deliveries) == ["2025-04"]


def test_files_of_the_patterns_of_ignore_are_not_fetched(tmp_path: Path) -> None:
    """By name or by key; an ignored file has no precedence over others, and is told."""
    for name in ("bill.csv", "bill_commitments_1.csv", "old/x.csv", "total.csv"):
        path = tmp_path / "2025-03" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    (tmp_path / "2025-04").mkdir()
    (tmp_path / "2025-04" / "bill.csv").write_text("x")
    connection = MonthFolders(
        "colo",
        tmp_path.as_uri(),
        precedence=("total.csv", "*"),
        ignore=("*_commitments_*.csv", "2025-04/*", "tot?l.csv"),
    )
    discovery = connection.discover()
    assert {month: [item.key for item in d.objects] for month, d in discovery.deliveries.items()} == {
        "2025-03": ["2025-03/bill.csv"],
        "2025-04": [],
    }
    told = {one.key for one in discovery.ignored if one.reason == "it is named by one of the patterns of `ignore`"}
    assert told == {"2025-03/bill_commitments_1.csv", "2025-03/total.csv", "2025-04/bill.csv"}


def test_days_that_are_billing_periods_of_their_own_are_parts_of_their_month(tmp_path: Path, load: Load) -> None:
    """As LiteLLM exports them, its folders and its late rows of the day before included."""
    for day, start, end in (("30", "05-30", "05-31"), ("31", "05-31", "06-01"), ("01", "05-31", "06-01")):
        folder = tmp_path / f"date=2026-{'06' if day == '01' else '05'}-{day}"
        folder.mkdir()
        period = {"Start": f"2026-{start}T00:00:00Z", "End": f"2026-{end}T00:00:00Z"}
        periods = {f"{kind}Period{side}": moment for kind in ("Billing", "Charge") for side, moment in period.items()}
        write_csv(folder / f"usage_2026{folder.name[-5:-3]}{day}T000000Z.csv", [focus_row(**periods, ResourceId=day)])
    connection = MonthFolders("litellm", tmp_path.as_uri(), month_path="date=YYYY-MM-DD/", month_rule=False)
    may, june = load(connection, "2026-05"), load(connection, "2026-06")
    assert (may.verdict.accepted, may.staged.rows, may.billed) == (True, 2, Decimal("2.50"))
    assert (june.verdict.accepted, june.staged.rows) == (True, 1)
    assert {rule.rule for rule in may.verdict.rules if rule.check == "periods" and rule.severity} == {
        "BillingPeriodEnd-C-004-M/month"
    }
    assert not load(replace(connection, month_rule=True), "2026-06").verdict.accepted, "a late row is of May"


@pytest.mark.parametrize("month_path", ["", "MM/", "YYYY/", "YYYY-MM-YYYY/", "year/month/"])
def test_a_path_that_tells_no_month_is_refused(month_path: str) -> None:
    with pytest.raises(InvalidUrl, match=r"month_path is .*, and has to hold (YYYY|MM) once"):
        MonthFolders("colo", "/tmp/x", month_path=month_path)


def test_a_place_without_such_months_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "2025-03").mkdir()
    with pytest.raises(NoBillingPeriods, match=r"has nothing named month=YYYY-MM/ \(see month_path\)\..*'2025-03/'"):
        MonthFolders("colo", tmp_path.as_uri(), month_path="month=YYYY-MM/").discover()
