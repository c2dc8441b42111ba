"""A folder of this machine as a store: what links lead to, and what is no file, harms nothing and is named."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from focus_pipeline.connections.aws_data_export import AwsDataExport
from focus_pipeline.connections.azure_cost_export import AzureCostExport
from focus_pipeline.connections.delivery import Connection, Ignored, StoredObject
from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline.connections.oci_reports import OciReports
from focus_pipeline.connections.store_errors import ObjectChanged, StoreError
from focus_pipeline.connections.stores.local import LocalStore
from focus_pipeline_tests.fakes.aws_export import AwsExport
from focus_pipeline_tests.fakes.azure_export import AzureExport
from focus_pipeline_tests.fakes.clean_months import clean_rows
from focus_pipeline_tests.fakes.oci_export import OciExport

MONTH = "2025-03"
LEAVES = "a link that leaves the connection's folder is not followed; put what it leads to into the folder"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A provider's folder with a month, and beside it what is none of the provider's."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.csv").write_text("root:x:0:0")
    root = tmp_path / "delivered"
    (root / MONTH).mkdir(parents=True)
    (root / MONTH / "real.csv").write_text("a,b")
    return root


def found(store: LocalStore, prefix: str = "") -> tuple[set[str], dict[str, str]]:
    """Keys of the objects below a prefix, and what is ignored, with its reason; the same by levels."""
    objects, ignored = set(), {}
    for item in store.list(prefix):
        if isinstance(item, Ignored):
            ignored[item.key] = item.reason
        else:
            objects.add(item.key)
    return objects, ignored


LINKS = {
    "a file": lambda root: (root / MONTH / "link.csv").symlink_to(root.parent / "outside" / "secret.csv"),
    "a file, relative": lambda root: (root / MONTH / "link.csv").symlink_to("../../outside/secret.csv"),
    "a folder": lambda root: (root / MONTH / "link.csv").symlink_to(root.parent / "outside"),
    "the parent": lambda root: (root / MONTH / "link.csv").symlink_to("../.."),
    "the root of the machine": lambda root: (root / MONTH / "link.csv").symlink_to("/"),
    "nothing, outside": lambda root: (root / MONTH / "link.csv").symlink_to("/no/such/file"),
    "a device": lambda root: (root / MONTH / "link.csv").symlink_to("/dev/zero"),
    "a chain": lambda root: [
        (root / "first").symlink_to("../outside/secret.csv"),
        (root / "second").symlink_to("first"),
        (root / MONTH / "link.csv").symlink_to("../second"),
    ],
    "a neighbour of a longer name": lambda root: [
        (root.parent / "delivered-elsewhere").write_text("x"),
        (root / MONTH / "link.csv").symlink_to("../../delivered-elsewhere"),
    ],
}


@pytest.mark.parametrize("link", LINKS.values(), ids=LINKS)
def test_a_link_that_leaves_the_folder_is_ignored_by_name(link: Callable[[Path], object], root: Path) -> None:
    link(root)
    store = LocalStore(root)
    objects, ignored = found(store, f"{MONTH}/")
    assert objects == {f"{MONTH}/real.csv"}
    assert ignored == {f"{MONTH}/link.csv": LEAVES}
    level = store.list_level(f"{MONTH}/")
    assert [item.key for item in level.objects] == [f"{MONTH}/real.csv"]
    assert (level.folders, level.ignored) == ((), (Ignored(f"{MONTH}/link.csv", LEAVES),))
    discovery = MonthFolders("acme", str(root)).discover()
    assert [item.key for item in discovery.deliveries[MONTH].objects] == [f"{MONTH}/real.csv"]
    assert Ignored(f"{MONTH}/link.csv", LEAVES) in discovery.ignored


def test_a_month_that_is_a_link_out_of_the_folder_is_no_month(root: Path) -> None:
    (root / "2025-04").symlink_to("../outside")
    discovery = MonthFolders("acme", str(root)).discover()
    assert discovery.months == (MONTH,)
    assert Ignored("2025-04", LEAVES) in discovery.ignored
    store = LocalStore(root)
    level = store.list_level("2025-04/")
    assert (level.folders, level.objects, found(store, "2025-04/")) == ((), (), (set(), {}))


def test_links_within_the_folder_are_followed(root: Path, tmp_path: Path) -> None:
    (root / MONTH / "again.csv").symlink_to("real.csv")
    (root / "2025-04").symlink_to(MONTH)
    store = LocalStore(root)
    assert found(store, "2025-04/") == ({"2025-04/real.csv", "2025-04/again.csv"}, {})
    [item] = [item for item in store.list("2025-04/") if item.key.endswith("again.csv")]
    store.download(item, tmp_path / "read")
    assert (tmp_path / "read").read_text() == "a,b"


def test_the_folder_itself_may_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "current").symlink_to("delivered")
    store = LocalStore(tmp_path / "current")
    [item] = store.list("")
    assert item.key == f"{MONTH}/real.csv"
    store.download(item, tmp_path / "read")
    assert (tmp_path / "read").read_text() == "a,b"


def test_links_that_lead_round_in_circles_end(root: Path) -> None:
    (root / MONTH / "self.csv").symlink_to("self.csv")
    (root / MONTH / "up").symlink_to("..")
    assert found(LocalStore(root)) == (
        {f"{MONTH}/real.csv"},
        {
            f"{MONTH}/self.csv": "a link that leads back to itself; remove it",
            f"{MONTH}/up/": "a link to a folder is not followed here; put the files themselves into the folder",
        },
    )


SWAPS = {
    "the file": lambda root: [
        (root / MONTH / "real.csv").unlink(),
        (root / MONTH / "real.csv").symlink_to("../../outside/secret.csv"),
    ],
    "its folder": lambda root: [
        (root / MONTH).rename(root / "moved"),
        (root.parent / "outside" / "real.csv").write_text("a,b"),
        (root / MONTH).symlink_to("../outside"),
    ],
    "by a pipe": lambda root: [(root / MONTH / "real.csv").unlink(), os.mkfifo(root / MONTH / "real.csv")],
    "by a folder": lambda root: [(root / MONTH / "real.csv").unlink(), (root / MONTH / "real.csv").mkdir()],
    "by a link to itself": lambda root: [
        (root / MONTH / "real.csv").unlink(),
        (root / MONTH / "real.csv").symlink_to("real.csv"),
    ],
}


@pytest.mark.parametrize("swap", SWAPS.values(), ids=SWAPS)
def test_what_is_swapped_between_listing_and_reading_is_not_read(
    swap: Callable[[Path], object], root: Path, tmp_path: Path
) -> None:
    store = LocalStore(root)
    [item] = store.list("")
    swap(root)
    with pytest.raises(ObjectChanged, match=r"real\.csv was (removed|replaced) after it was listed"):
        store.download(item, tmp_path / "read")
    assert "root:" not in ((tmp_path / "read").read_text() if (tmp_path / "read").exists() else "")


def test_a_link_that_is_put_there_while_the_file_is_opened_is_not_followed(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The swap happens after the place was looked up and found to be within the folder."""
    store = LocalStore(root)
    [item] = store.list("")
    really = os.path.realpath

    def swapped(path: object, **options: object) -> str:
        real = really(path, **options)
        if str(real).endswith("real.csv"):
            SWAPS["the file"](root)
        return real

    monkeypatch.setattr("os.path.realpath", swapped)
    with pytest.raises(StoreError, match=r"real\.csv was replaced after it was listed"):
        store.download(item, tmp_path / "read")
    assert not (tmp_path / "read").exists()


def test_what_is_no_file_is_ignored_by_name(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(root / MONTH / "pipe.csv")
    monkeypatch.chdir(root / MONTH)  # a socket's path has to be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.csv")
        objects, ignored = found(LocalStore(root))
    assert objects == {f"{MONTH}/real.csv"}
    reason = "neither a file nor a folder, but a pipe, a socket or a device; remove it"
    assert ignored == {f"{MONTH}/pipe.csv": reason, f"{MONTH}/socket.csv": reason}


@pytest.mark.parametrize("seconds", [-(10**11), 10**12, 2**62 // 10**9])
def test_a_time_that_no_calendar_has_harms_no_listing(seconds: int, root: Path) -> None:
    try:
        os.utime(root / MONTH / "real.csv", (seconds, seconds))
    except OSError:
        pytest.skip("this file system does not keep such a time")
    assert found(LocalStore(root))[0] == {f"{MONTH}/real.csv"}


@pytest.mark.parametrize("prefix", ["x" * 300 + "/", "nul\0/", "half\udce4/", f"{MONTH}/real.csv/"])
def test_a_prefix_that_no_folder_can_have_holds_nothing(prefix: str, root: Path) -> None:
    store = LocalStore(root)
    level = store.list_level(prefix)
    assert (level.folders, level.objects, level.ignored, list(store.list(prefix))) == ((), (), (), [])


def delivered(kind: type[Connection], root: Path) -> Connection:
    """A connection of this kind over a folder to which its provider has delivered the month."""

    def put(key: str, body: bytes) -> Path:
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        return path

    if kind is AwsDataExport:
        export = AwsExport(put, prefix="", file_format="csv.gz")
        export.deliver(MONTH)
        return AwsDataExport("acme", str(root), export.name)
    if kind is AzureCostExport:
        AzureExport(put, lambda key: None).run(MONTH)
    elif kind is OciReports:
        OciExport(put).deliver(MONTH, 1, clean_rows("oci_1_0_preview", MONTH))
    else:
        put(f"{MONTH}/x.csv", b"x")
    return kind("acme", str(root))


@pytest.mark.parametrize("kind", [MonthFolders, AwsDataExport, AzureCostExport, OciReports])
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda path: path.write_bytes(b"x"), "the name is not UTF-8; rename the file"),
        (lambda path: path.symlink_to("/etc/passwd"), LEAVES),
        (os.mkfifo, "neither a file nor a folder, but a pipe, a socket or a device; remove it"),
    ],
    ids=["not UTF-8", "link", "pipe"],
)
def test_what_cannot_be_an_object_is_named_by_every_connection_and_harms_none(
    kind: type[Connection], spoil: Callable[[Path], object], reason: str, tmp_path: Path
) -> None:
    """Beside the delivered files: what cannot be landed is told, and the month is the same as without it."""
    root = tmp_path / "delivered"
    connection = delivered(kind, root)
    before = connection.discover()
    assert before.deliveries[MONTH].objects
    name = "Kosten_M\udce4rz.csv" if "UTF-8" in reason else "Kosten_März.csv"
    [beside] = {(root / item.key).parent for item in before.deliveries[MONTH].objects}
    spoil(beside / name)
    discovery = connection.discover()
    assert discovery.deliveries == before.deliveries
    [ignored] = {*discovery.ignored} - {*before.ignored}
    assert ignored.key.encode().decode().endswith(name.replace("\udce4", "\\udce4"))
    assert ignored.reason == reason


def test_objects_have_keys_that_can_be_written_down(root: Path) -> None:
    """What is landed is recorded as JSON in UTF-8."""
    (root / MONTH / "x\udce4.csv").write_text("x")
    for item in MonthFolders("acme", str(root)).discover().deliveries[MONTH].objects:
        assert isinstance(item, StoredObject)
        item.key.encode()
