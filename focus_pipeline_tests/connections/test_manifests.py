"""What a manifest may hold: whatever it is, it is the fault of its own month, and the month beside it is delivered."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest

from focus_pipeline.connections.aws_data_export import AwsDataExport
from focus_pipeline.connections.azure_cost_export import AzureCostExport
from focus_pipeline.connections.delivery import Connection, Delivery, Discovery
from focus_pipeline.connections.manifests import BadManifest, ManifestReader
from focus_pipeline.connections.store_errors import Archived, ObjectChanged
from focus_pipeline.connections.store_urls import open_store
from focus_pipeline.months import is_month
from focus_pipeline_tests.fakes.aws_export import AwsExport
from focus_pipeline_tests.fakes.azure_export import AzureExport

HEALTHY, BROKEN = "2025-03", "2025-04"


@dataclass(frozen=True)
class Export:
    """A healthy month and one whose manifest is replaced. good: the manifest's own content."""

    connection: Connection
    manifest: Path
    good: bytes
    healthy: Delivery

    def discover(self, manifest: bytes) -> Discovery:
        self.manifest.write_bytes(manifest)
        return self.connection.discover()


def aws(root: Path) -> Export:
    put = putting(root)
    export = AwsExport(put, prefix="", file_format="csv.gz", bucket="acme-billing")
    for month in (HEALTHY, BROKEN):
        export.deliver(month, chunks=2)
    manifest = root / export.name / "metadata" / f"billing_period={BROKEN}" / f"{export.name}-Manifest.json"
    return as_delivered(AwsDataExport("acme", str(root), export.name), manifest)


def azure(root: Path) -> Export:
    export = AzureExport(putting(root), lambda key: None)
    export.run(HEALTHY)
    folder = export.run(BROKEN, parts=2)
    return as_delivered(AzureCostExport("acme", str(root)), root / folder / "manifest.json")


def putting(root: Path) -> Callable[[str, bytes], object]:
    def put(key: str, body: bytes) -> None:
        (root / key).parent.mkdir(parents=True, exist_ok=True)
        (root / key).write_bytes(body)

    return put


def as_delivered(connection: Connection, manifest: Path) -> Export:
    deliveries = connection.discover().deliveries
    assert set(deliveries) == {HEALTHY, BROKEN}
    return Export(connection, manifest, manifest.read_bytes(), deliveries[HEALTHY])


@pytest.fixture(params=[aws, azure])
def export(request: pytest.FixtureRequest, tmp_path: Path) -> Export:
    return request.param(tmp_path / "delivered")


def assert_only_its_month(export: Export, discovery: Discovery, content: bytes) -> str:
    """The healthy month is as it was; the other is held back by a sentence, which is returned."""
    assert discovery.deliveries == {HEALTHY: export.healthy}, content[:200]
    reason = discovery.held_back[BROKEN]
    assert reason.isprintable()
    assert len(reason) < 600
    return reason


# --- what comes of any JSON --------------------------------------------------------------------------

NO_JSON = {
    "nothing": b"",
    "half": b'{"dataFiles": [',
    "HTML": b"<html>",
    "binary": bytes(range(256)),
    "Latin-1": '{"x": "März"}'.encode("latin-1"),
    "UTF-16": '{"x": 1}'.encode("utf-16"),
    "a list": b"[]",
    "a number": b"17",
    "null": b"null",
    "5,000 levels": b'{"x": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "100,000 levels": b"[" * 100_000,
    "a lone surrogate": b'{"x": "\\ud800"}',
    "a number of 5,000 digits": b'{"x": ' + b"9" * 5000 + b"}",
    "NUL bytes": b"\0" * 1000,
}


@pytest.mark.parametrize("content", NO_JSON.values(), ids=NO_JSON)
def test_a_manifest_that_is_no_json_object_holds_back_its_month_alone(content: bytes, export: Export) -> None:
    reason = assert_only_its_month(export, export.discover(content), content)
    assert "manifest" in reason.lower()
    assert "have it delivered again" in reason


def test_a_field_that_is_said_twice_holds_back_its_month_alone(export: Export) -> None:
    """Readers of JSON take the last one, and files of the first would be missing in silence."""
    field = next(iter(json.loads(export.good)))
    said = json.dumps(json.loads(export.good)[field])
    content = export.good.replace(b"{", f'{{"{field}": {said}, '.encode(), 1)
    assert f"says '{field}' twice" in assert_only_its_month(export, export.discover(content), content)


def test_a_manifest_with_fields_that_nobody_knows_yet_is_as_good_as_without(export: Export) -> None:
    content = json.loads(export.good) | {"schemaVersion": 7, "more": {"deep": [{"x": None}]}}
    for written in (json.dumps(content), "\ufeff" + json.dumps(content)):
        assert set(export.discover(written.encode()).deliveries) == {HEALTHY, BROKEN}


WRONG = [None, True, 0, -1, 1.5, 10**30, "", "x", "\0", [], [[]], {}, {"x": 1}, [None], [1], ["\0"], "x" * 2000]


def places(value: object, path: tuple = ()) -> Iterator[tuple]:
    """Every place in a JSON value, the value itself left out."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield (*path, name)
        yield from places(inner, (*path, name))


def with_value(content: object, path: tuple, value: object) -> bytes:
    changed = json.loads(json.dumps(content))
    place = changed
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return json.dumps(changed).encode()


def test_no_field_of_another_type_stops_the_healthy_month(export: Export) -> None:
    """Every field of the manifest in turn as everything that it is not."""
    content = json.loads(export.good)
    # Of a list, the first; the names of columns are not looked at.
    looked_at = [path for path in places(content) if path[:1] != ("columns",) and 1 not in path]
    tried = 0
    for path in looked_at:
        for value in WRONG:
            discovery = export.discover(with_value(content, path, value))
            assert discovery.deliveries[HEALTHY] == export.healthy, (path, value)
            assert_all_is_said(discovery)
            tried += 1
    assert tried > 50


def assert_all_is_said(discovery: Discovery) -> None:
    """What is delivered can be landed, and what is said can be shown and written down."""
    for month, delivery in discovery.deliveries.items():
        assert is_month(month)
        assert delivery.token
        assert len({item.key for item in delivery.objects}) == len(delivery.objects), "no file counts twice"
    for said in (*discovery.held_back.values(), *(f"{i.key} {i.reason}" for i in discovery.ignored)):
        assert said.isprintable()
        assert len(said) < 3000


# --- names of files ----------------------------------------------------------------------------------

NAMES = {
    "..": ("../../../etc/passwd", "'..'"),
    "absolute": ("/etc/passwd", "not a file of this export|which is not there"),
    "NUL": ("part\0.csv", "NUL character"),
    "empty": ("", "empty"),
    "only slashes": ("///", "empty"),
    "too long": ("x" * 1025, "longer than the 1,024 bytes"),
    "too long in bytes": ("ü" * 600, "longer than the 1,024 bytes"),
    "too long for a file system": ("x" * 300, "not there"),
    "a line break": ("a\nb.csv", "not there|not a file of this export"),
    "a terminal's escape": ("\x1b[2Jx.csv", "not there"),
}


def naming(export: Export, *names: str) -> bytes:
    """The manifest with these names, which are below the place that the export's files have."""
    content = json.loads(export.good)
    if isinstance(export.connection, AwsDataExport):
        above = content["dataFiles"][0].rpartition("/")[0]
        content["dataFiles"] = [name if name.startswith("/") or not name else f"{above}/{name}" for name in names]
    else:
        content["blobs"] = [{"blobName": name, "byteCount": 1} for name in names]
    return json.dumps(content).encode()


@pytest.mark.parametrize(("name", "said"), NAMES.values(), ids=NAMES)
def test_a_name_that_no_file_of_the_export_has_holds_back_its_month_alone(name: str, said: str, export: Export) -> None:
    content = naming(export, name)
    reason = assert_only_its_month(export, export.discover(content), content)
    assert any(part in reason for part in said.split("|")), reason


def test_thousands_of_names_are_no_thousands_of_listings(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name costs nothing: what is there is listed folder by folder, and a manifest does not choose how many."""
    listed = []
    store = type(open_store(export.connection.url)[0])
    really = store.list_level
    monkeypatch.setattr(store, "list_level", lambda self, prefix: (listed.append(prefix), really(self, prefix))[1])
    content = naming(export, *(f"folder-{number}/x.csv" for number in range(20_000)))
    reason = assert_only_its_month(export, export.discover(content), content)
    assert "20,000 folders" in reason or "not there" in reason
    assert len(listed) < 20


def test_a_file_of_another_month_is_not_counted_under_this_one(tmp_path: Path) -> None:
    export = aws(tmp_path / "delivered")
    content = export.good.replace(BROKEN.encode(), HEALTHY.encode())
    assert "which is of another month" in assert_only_its_month(export, export.discover(content), content)


def test_two_blobs_of_one_name_in_a_copy_are_not_one_file_twice(tmp_path: Path) -> None:
    """A copy below another folder is known by the last part of the names."""
    export = azure(tmp_path / "delivered")
    part = next(export.manifest.parent.glob("part_0*")).name
    size = (export.manifest.parent / part).stat().st_size
    content = json.loads(export.good)
    content["blobs"] = [{"blobName": f"{where}/{part}", "byteCount": size} for where in ("here", "there")]
    reason = assert_only_its_month(export, export.discover(json.dumps(content).encode()), b"")
    assert "which are one file in this copy" in reason


# --- Azure's days ------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", ["startDate", "endDate", "submittedTime"])
@pytest.mark.parametrize(
    "moment",
    ["9999-12-31T00:00:00", "0001-01-01T00:00:00Z", "2025-02-30", "", "yesterday", "20250301", 1740787200, "2025-W99"],
)
def test_a_date_that_no_bill_has_holds_back_its_month_alone(field: str, moment: object, tmp_path: Path) -> None:
    export = azure(tmp_path / "delivered")
    content = json.loads(export.good)
    content["runInfo"][field] = moment
    discovery = export.discover(json.dumps(content).encode())
    assert discovery.deliveries[HEALTHY] == export.healthy
    assert_all_is_said(discovery)
    if moment != "20250301":
        reason = discovery.held_back[BROKEN]
        assert f"its runInfo.{field}: " in reason


def test_a_run_that_ends_before_it_starts_holds_back_its_month_alone(tmp_path: Path) -> None:
    export = azure(tmp_path / "delivered")
    content = json.loads(export.good)
    content["runInfo"]["endDate"] = "2025-03-31T00:00:00Z"
    assert "ends before it starts" in assert_only_its_month(export, export.discover(json.dumps(content).encode()), b"")


def test_a_manifest_that_is_of_another_month_than_its_folder_takes_nothing_from_that_one(tmp_path: Path) -> None:
    export = azure(tmp_path / "delivered")
    content = export.good.replace(b'"2025-04-01T', b'"2025-03-01T').replace(b'"2025-05-01T', b'"2025-03-31T')
    assert content != export.good
    reason = assert_only_its_month(export, export.discover(content), content)
    assert "is of 2025-03, and its folder is not" in reason


def test_a_manifest_of_no_month_is_ignored_by_name(tmp_path: Path) -> None:
    export = azure(tmp_path / "delivered")
    nowhere = tmp_path / "delivered" / "focus-costs" / "focus-daily" / "99991201-99991231" / "run" / "manifest.json"
    nowhere.parent.mkdir(parents=True)
    nowhere.write_bytes(b"{}[")
    discovery = export.discover(export.good)
    assert set(discovery.months) == {HEALTHY, BROKEN}
    [ignored] = [item for item in discovery.ignored if "99991231" in item.key]
    assert "is not JSON that can be read" in ignored.reason


def test_a_broken_manifest_beside_a_good_run_of_its_month_is_ignored_by_name(tmp_path: Path) -> None:
    export = azure(tmp_path / "delivered")
    later = export.manifest.parent.parent / "later" / "manifest.json"
    later.parent.mkdir()
    later.write_bytes(b"[")
    discovery = export.discover(export.good)
    assert set(discovery.deliveries) == {HEALTHY, BROKEN}
    [ignored] = [item for item in discovery.ignored if "later" in item.key]
    assert "is not JSON that can be read" in ignored.reason


# --- manifests that cannot be read -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "said"), [(ObjectChanged("replaced"), "pending: replaced"), (Archived("archived"), "archived")]
)
def test_a_manifest_that_cannot_be_read_now_holds_back_its_month_alone(
    error: Exception, said: str, export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = type(open_store(export.connection.url)[0])
    really = store.download

    def download(self: object, item: object, path: Path) -> None:
        if item.key.endswith("anifest.json") and BROKEN.replace("-", "") in item.key.replace("-", ""):
            raise error
        really(self, item, path)

    monkeypatch.setattr(store, "download", download)
    fresh = replace(export.connection)
    discovery = fresh.discover()
    assert list(discovery.deliveries) == [HEALTHY]
    assert discovery.held_back[BROKEN] == said


def test_a_bad_manifest_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(b"[")
    store = open_store(str(tmp_path))[0]
    [item] = store.list("")
    read = []

    def parse(content: bytes, key: str) -> None:
        read.append(content)
        raise BadManifest("no manifest")

    reader = ManifestReader(store, parse)
    for _ in range(3):
        with pytest.raises(BadManifest, match="no manifest"):
            reader.read(item)
    assert read == [b"["]


# --- whatever else -----------------------------------------------------------------------------------


def mutated(good: bytes, chance: random.Random) -> bytes:
    """The manifest with some of its values, names or bytes changed."""
    content = json.loads(good)
    for _ in range(chance.randint(1, 4)):
        path = chance.choice(list(places(content)))
        content = json.loads(with_value(content, path, chance.choice(_values())))
        if not isinstance(content, dict) or not list(places(content)):
            break
    written = json.dumps(content).encode()
    for _ in range(chance.choice([0, 0, 0, 1, 8])):
        place = chance.randrange(len(written) + 1)
        piece = chance.choice(
            [b"", b"\0", b'"', b"[", b"{", b"\\ud800", b"\\u0000", b"\xff", b",", b"9" * 400, b"[" * 999]
        )
        written = written[:place] + piece + written[place + chance.choice([0, 0, 1, 40]) :]
    return written


@cache
def _values() -> list:
    texts = [
        "",
        "..",
        "a/../b",
        "/",
        "//x",
        "\0",
        "\x1b[31m",
        "ü" * 700,
        "x" * 5000,
        "2025-13",
        "9999-12-31",
        "FocusCost",
    ]
    texts += ["s3://b/data/billing_period=2025-04/../x", "s3://b/data/billing_period=9999-12/x", "2025-04-01T00:00:00"]
    return [
        *WRONG,
        *texts,
        {"key": "\0"},
        {"key": 1, "url": ".."},
        [{"blobName": 1}],
        [{"blobName": "x"}] * 500,
        -(2**63),
    ]


def test_no_mutated_manifest_stops_the_healthy_month(export: Export) -> None:
    """A short form of what `make attack` does at length. The seed is fixed: what fails fails again."""
    chance = random.Random(10)
    held_back = 0
    for _ in range(200):
        content = mutated(export.good, chance)
        discovery = export.discover(content)
        assert discovery.deliveries[HEALTHY] == export.healthy, content
        assert_all_is_said(discovery)
        held_back += BROKEN in discovery.held_back
    assert held_back > 30, "the mutations do something"
