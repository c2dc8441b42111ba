"""Landing over live servers: what is kept is used again, and no crash and no second run leaves half of a month."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from focus_pipeline.connections.delivery import Delivery, StoredObject
from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline.connections.store_errors import AccessDenied, ObjectChanged
from focus_pipeline.pipeline.land import IncompleteDownload, land
from focus_pipeline.records.landed import LandedDelivery, current_delivery, current_token, held_months
from focus_pipeline.storage import DataDir
from focus_pipeline_tests.connections.places import Place
from focus_pipeline_tests.fakes.faulty_front import faulty_front
from focus_pipeline_tests.fakes.servers import GcsServer

NAME, MONTH = "colo_costs", "2025-03"
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def data_dir(tmp_path: Path) -> DataDir:
    return DataDir(tmp_path / "data")


@pytest.fixture
def place(make_place: Callable[[str], Place]) -> Place:
    """A bucket of S3 with a month of three files."""
    place = make_place("s3")
    for name in ("a", "b", "c"):
        place.put(f"2025-03/{name}.csv", name.encode() * 1_000)
    return place


def landed(place: Place, data_dir: DataDir) -> LandedDelivery:
    connection = place.connection()
    return land(connection, connection.discover([MONTH]).deliveries[MONTH], data_dir)


def content(delivery: LandedDelivery) -> dict[str, bytes]:
    return {file.key: file.path.read_bytes() for file in delivery.files}


def left_over(data_dir: DataDir) -> list[str]:
    """Names in the month's folder that are no delivery and no record."""
    folder = data_dir.landed(NAME, MONTH)
    records = ("current.json", "order.json")
    return sorted(
        path.name for path in folder.iterdir() if path.name not in records and not (path / "delivery.json").exists()
    )


# --- what is kept --------------------------------------------------------------------------------------


def test_bytes_are_kept_as_they_were_delivered(bucket: Place, data_dir: DataDir) -> None:
    """Whatever is in them: nothing is unpacked, decoded or translated."""
    bodies = {
        "2025-03/bom.csv": b"\xef\xbb\xbfa,b\r\n1,2\r\n",
        "2025-03/nothing.csv": b"",
        "2025-03/zipped.csv.gz": b"\x1f\x8b\x08\x00" + os.urandom(500),
        "2025-03/table.parquet": os.urandom(5 * 1024 * 1024),
        "2025-03/ü '$[1] +%20:.csv": "日本語".encode(),
    }
    for key, body in bodies.items():
        bucket.put(key, body)
    delivery = landed(bucket, data_dir)
    assert content(delivery) == bodies
    assert delivery.size == sum(map(len, bodies.values()))
    assert (delivery.downloaded, delivery.reused) == (5, 0)
    assert current_delivery(NAME, MONTH, data_dir).files == delivery.files


def test_objects_stored_with_an_encoding_are_kept_encoded(
    gcs: GcsServer, make_place: Callable[[str], Place], data_dir: DataDir
) -> None:
    """Google would unpack an object that is marked as gzip while it is read: other bytes than were listed."""
    place = make_place("gcs")
    body = gzip.compress(b"a,b\n" * 1_000)
    blob = gcs.client().bucket(place.url.split("/")[2]).blob("2025-03/x.csv.gz")
    blob.content_encoding = "gzip"
    blob.upload_from_string(body, content_type="text/csv")
    assert content(landed(place, data_dir)) == {"2025-03/x.csv.gz": body}


def test_an_unchanged_object_is_the_same_file_on_disk(place: Place, data_dir: DataDir) -> None:
    """A hard link: a re-delivered month costs the changed files only, on the network and on the disk."""
    before = landed(place, data_dir)
    place.put("2025-03/b.csv", b"B" * 1_000)  # of the same size, with another ETag
    after = landed(place, data_dir)
    assert content(after)["2025-03/b.csv"] == b"B" * 1_000
    inodes = [{file.key[-5]: file.path.stat().st_ino for file in delivery.files} for delivery in (before, after)]
    assert inodes[0]["a"] == inodes[1]["a"]
    assert inodes[0]["c"] == inodes[1]["c"]
    assert inodes[0]["b"] != inodes[1]["b"]
    assert (after.downloaded, after.reused) == (1, 2)
    assert sorted(place.reads()) == ["2025-03/a.csv", "2025-03/b.csv", "2025-03/b.csv", "2025-03/c.csv"]


def test_going_back_to_an_earlier_delivery_reads_nothing(place: Place, data_dir: DataDir) -> None:
    """The provider puts the former file back: S3's ETag tells that it is the same."""
    first = landed(place, data_dir)
    place.put("2025-03/b.csv", b"wrong")
    second = landed(place, data_dir)
    place.put("2025-03/b.csv", b"b" * 1_000)
    reads = len(place.reads())
    third = landed(place, data_dir)
    assert third.token == first.token != second.token
    assert len(place.reads()) == reads
    assert (third.downloaded, third.reused) == (0, 0)
    assert current_token(NAME, MONTH, data_dir) == first.token
    # Later than the second one, though its bytes were there before it.
    assert third.listed_at > second.listed_at
    assert current_delivery(NAME, MONTH, data_dir).listed_at == third.listed_at


def test_two_keys_with_one_basename_are_two_files(data_dir: DataDir) -> None:
    """As a connection of manifests has them: every run writes `part_0.csv`. Odd characters bring no two together."""
    bodies = {
        "run-1/part_0.csv": b"1",
        "run-2/part_0.csv": b"2",
        "run-2/part 0.csv": b"3",
        "run-2/part:0.csv": b"4",
        "..": b"5",
        "x" * 300 + ".csv": b"6",
    }
    landed_delivery = land(InMemory(bodies), delivery_of(bodies), data_dir)
    assert content(landed_delivery) == bodies
    folder = data_dir.landed(NAME, MONTH) / landed_delivery.token
    assert {file.path.parent for file in landed_delivery.files} == {folder}


class InMemory:
    """A connection whose objects are the items of a dict; what is missing or longer than listed is a fault."""

    name = NAME
    month_rule = True

    def __init__(self, bodies: dict[str, bytes]) -> None:
        self.bodies = bodies

    def download(self, item: StoredObject, path: Path) -> None:
        if item.key not in self.bodies:
            raise AccessDenied(f"Access Denied: {item.key}")
        path.write_bytes(self.bodies[item.key])


def delivery_of(bodies: dict[str, bytes]) -> Delivery:
    moment = datetime(2025, 3, 1, tzinfo=UTC)
    return Delivery(MONTH, tuple(StoredObject(key, f"etag-{key}", len(body), moment) for key, body in bodies.items()))


# --- what fails leaves the former state ----------------------------------------------------------------


@pytest.fixture
def former(place: Place, data_dir: DataDir) -> LandedDelivery:
    """The month as it was landed before its files a and b changed."""
    former = landed(place, data_dir)
    place.put("2025-03/a.csv", b"A")
    place.put("2025-03/b.csv", b"B")
    return former


def assert_still(former: LandedDelivery, data_dir: DataDir) -> None:
    now = current_delivery(NAME, MONTH, data_dir)
    assert (now.token, now.files) == (former.token, former.files)
    assert content(now)["2025-03/a.csv"] == b"a" * 1_000
    tokens = [path.parent.name for path in data_dir.landed(NAME, MONTH).glob("*/delivery.json")]
    assert tokens == [former.token]


def test_an_object_that_changes_meanwhile_leaves_the_former_month(
    place: Place, data_dir: DataDir, former: LandedDelivery
) -> None:
    """Never a mixture of two listings; the next look gets what is there then."""
    connection = place.connection()
    delivery = connection.discover([MONTH]).deliveries[MONTH]
    place.put("2025-03/b.csv", b"B again")
    with pytest.raises(ObjectChanged):
        land(connection, delivery, data_dir)
    assert_still(former, data_dir)
    assert left_over(data_dir) == []
    assert content(landed(place, data_dir))["2025-03/b.csv"] == b"B again"


def test_an_object_that_vanishes_meanwhile_leaves_the_former_month(
    place: Place, data_dir: DataDir, former: LandedDelivery
) -> None:
    connection = place.connection()
    delivery = connection.discover([MONTH]).deliveries[MONTH]
    place.delete("2025-03/b.csv")
    with pytest.raises(ObjectChanged):
        land(connection, delivery, data_dir)
    assert_still(former, data_dir)
    assert left_over(data_dir) == []


@pytest.mark.parametrize("arrived", [b"123", b"1234567"])
def test_a_body_of_another_size_than_listed_is_not_kept(data_dir: DataDir, arrived: bytes) -> None:
    bodies = {"2025-03/x.csv": b"12345"}
    connection = InMemory({"2025-03/x.csv": arrived})
    with pytest.raises(IncompleteDownload, match=rf"2025-03/x\.csv: {len(arrived)} of 5 bytes arrived; run it again"):
        land(connection, delivery_of(bodies), data_dir)
    assert current_delivery(NAME, MONTH, data_dir) is None
    assert left_over(data_dir) == []


def test_the_result_of_a_query_has_the_size_that_arrived(data_dir: DataDir) -> None:
    """Nobody knows it before."""
    bodies = {"2025-03/x.parquet": b"12345"}
    item = replace(delivery_of(bodies).objects[0], size=None)
    assert land(InMemory(bodies), Delivery(MONTH, (item,)), data_dir).size == 5
    assert current_delivery(NAME, MONTH, data_dir).size == 5


def test_a_month_that_could_never_be_landed_is_not_held(data_dir: DataDir) -> None:
    """What is held is looked at for ever and kept when the provider does not show it any more."""
    with pytest.raises(AccessDenied):
        land(InMemory({}), delivery_of({"2025-03/x.csv": b"x"}), data_dir)
    assert held_months(NAME, data_dir) == []
    land(InMemory({"2025-03/x.csv": b"x"}), delivery_of({"2025-03/x.csv": b"x"}), data_dir)
    assert held_months(NAME, data_dir) == [MONTH]


def test_the_first_failure_ends_a_large_delivery(data_dir: DataDir) -> None:
    """Not after all the others were read for nothing."""
    bodies = {f"2025-03/{number:03d}.csv": b"x" for number in range(500)}

    class Counting(InMemory):
        reads = 0

        def download(self, item: StoredObject, path: Path) -> None:
            Counting.reads += 1
            if item.key == "2025-03/000.csv":
                raise ObjectChanged(item.key)
            time.sleep(0.005)
            super().download(item, path)

    with pytest.raises(ObjectChanged):
        land(Counting(bodies), delivery_of(bodies), data_dir)
    assert Counting.reads < 100


def test_an_older_listing_that_ends_later_does_not_replace_a_newer_one(data_dir: DataDir) -> None:
    """Two runs at once: the one that looked first has the larger file to read."""
    old, new = {"2025-03/x.csv": b"old"}, {"2025-03/x.csv": b"newer"}
    newer: list[LandedDelivery] = []

    class Overtaken(InMemory):
        def download(self, item: StoredObject, path: Path) -> None:
            newer.append(land(InMemory(new), delivery_of(new), data_dir))
            super().download(item, path)

    given = land(Overtaken(old), delivery_of(old), data_dir)
    assert (given.token, given.order) == (newer[0].token, newer[0].order), "the run goes on with the later one"
    assert current_token(NAME, MONTH, data_dir) == newer[0].token
    assert content(current_delivery(NAME, MONTH, data_dir)) == new


# --- processes that are killed, and that run at once -----------------------------------------------------

_LAND = """
import sys
from pathlib import Path
from focus_pipeline.connections.auth import S3Auth
from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline.storage import DataDir
from focus_pipeline.pipeline.land import land
name, month, url, endpoint, root = sys.argv[1:]
auth = S3Auth(access_key_id="unchecked", secret_access_key="unchecked")
connection = MonthFolders(name, url, auth, endpoint)
print(land(connection, connection.discover([month]).deliveries[month], DataDir(Path(root))).token)
"""


@contextmanager
def landing_process(place: Place, data_dir: DataDir) -> Iterator[subprocess.Popen[str]]:
    """Another process that lands the month."""
    command = [sys.executable, "-c", _LAND, NAME, MONTH, place.url, place.endpoint_url or "", str(data_dir.root)]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_process_that_is_killed_leaves_the_former_month(
    place: Place, data_dir: DataDir, former: LandedDelivery
) -> None:
    """In the middle of the delivery, with one of its files there and one on its way."""
    with faulty_front(place.endpoint_url or "") as front:
        held = front.hold("b.csv")
        with landing_process(place.behind(front.url), data_dir) as process:
            assert held.reached.wait(30)
            started = await_files(data_dir, "*a.csv", "*b.csv")
            process.send_signal(signal.SIGKILL)
            process.wait()
        held.release.set()
    assert_still(former, data_dir)
    assert left_over(data_dir) == [started.name]
    after = landed(place, data_dir)
    assert content(after)["2025-03/a.csv"] == b"A"
    assert content(after)["2025-03/b.csv"] == b"B"


def await_files(data_dir: DataDir, *patterns: str) -> Path:
    """The folder in which another process has such files by now."""
    for _ in range(500):
        for folder in data_dir.landed(NAME, MONTH).glob(".partial-*"):
            if all(list(folder.glob(pattern)) for pattern in patterns):
                return folder
        time.sleep(0.01)
    raise TimeoutError(f"no {patterns} after 5 seconds")


def test_what_a_killed_process_left_is_removed_and_what_one_is_at_work_with_is_not(
    place: Place, data_dir: DataDir, former: LandedDelivery
) -> None:
    folder = data_dir.landed(NAME, MONTH)
    left, at_work, a_moment_ago = (folder / f".partial-{name}" for name in ("left", "at-work", "a-moment-ago"))
    for partial in (left, at_work, a_moment_ago):
        partial.mkdir()
        (partial / "00001-a.csv").write_bytes(b"half")
    for partial in (left, at_work):
        os.utime(partial, (0, 0))
    program = (
        "import fcntl, os, sys; fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX); "
        "print(flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, os.fspath(at_work)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        owner.stdout.readline()
        landed(place, data_dir)
        assert left_over(data_dir) == [".partial-a-moment-ago", ".partial-at-work"]
        owner.kill()
    place.put("2025-03/one-more.csv", b"C")
    landed(place, data_dir)
    assert left_over(data_dir) == [".partial-a-moment-ago"]


def test_a_process_killed_just_before_the_end_costs_no_second_reading(place: Place, data_dir: DataDir) -> None:
    """Between the delivery's folder and the mark that it is the current one, which stands for the kill here."""
    first = landed(place, data_dir)
    mark = data_dir.landed(NAME, MONTH) / "current.json"
    before = mark.read_bytes()
    place.put("2025-03/b.csv", b"B")
    second = landed(place, data_dir)
    mark.write_bytes(before)
    assert current_delivery(NAME, MONTH, data_dir).files == first.files
    reads = len(place.reads())
    assert landed(place, data_dir).token == second.token == current_token(NAME, MONTH, data_dir)
    assert len(place.reads()) == reads


def test_a_run_that_finishes_meanwhile_is_not_in_the_way(place: Place, data_dir: DataDir) -> None:
    """Its folder is renamed between the look at what was abandoned and the look at its age."""
    folder = data_dir.landed(NAME, MONTH)
    folder.mkdir(parents=True)
    (folder / ".partial-renamed").symlink_to("nowhere")
    assert len(landed(place, data_dir).files) == 3


def test_two_processes_may_land_the_same_delivery_at_once(place: Place, data_dir: DataDir) -> None:
    """Both end well, and the month is there once and whole."""
    with faulty_front(place.endpoint_url or "") as front:
        # Both are in the middle of it before either can go on.
        holds = [front.hold("b.csv"), front.hold("b.csv")]
        behind = place.behind(front.url)
        with landing_process(behind, data_dir) as one, landing_process(behind, data_dir) as other:
            assert all(hold.reached.wait(30) for hold in holds)
            for hold in holds:
                hold.release.set()
            answers = [process.communicate(timeout=30) for process in (one, other)]
    assert [error for _, error in answers] == ["", ""]
    tokens = {token.strip() for token, _ in answers}
    assert tokens == {current_token(NAME, MONTH, data_dir)}
    assert content(current_delivery(NAME, MONTH, data_dir)) == {
        f"2025-03/{name}.csv": name.encode() * 1_000 for name in ("a", "b", "c")
    }
    assert left_over(data_dir) == []


def test_connections_and_months_do_not_share_files(make_place: Callable[[str], Place], data_dir: DataDir) -> None:
    """The same key and ETag in another connection is another provider's."""
    place = make_place("local")
    place.put("2025-03/x.csv", b"x")
    place.put("2025-04/x.csv", b"x")
    for name in ("one", "two"):
        connection = MonthFolders(name, place.url)
        for month, delivery in connection.discover().deliveries.items():
            assert land(connection, delivery, data_dir).downloaded == 1
            assert current_delivery(name, month, data_dir).connection == name
    assert held_months("one", data_dir) == ["2025-03", "2025-04"]
    assert held_months("three", data_dir) == []
