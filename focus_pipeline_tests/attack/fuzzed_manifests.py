"""Damaged and odd manifests of AWS and Azure in folders of this machine, many months to an export.

Legal: discover() says of each month that it is delivered or held back and why; nothing but the project's own errors is
raised; the healthy months stay delivered, as they are; and nothing outside of the export's root is listed, opened or
made part of a delivery.
"""

import json
import os
import random
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from focus_pipeline.connections.aws_data_export import AwsDataExport
from focus_pipeline.connections.azure_cost_export import AzureCostExport
from focus_pipeline.connections.delivery import Connection, Discovery
from focus_pipeline_tests.attack.children import in_shares
from focus_pipeline_tests.attack.report import Illegal, Report, not_a_sentence
from focus_pipeline_tests.fakes.aws_export import AwsExport
from focus_pipeline_tests.fakes.azure_export import AzureExport
from focus_pipeline_tests.month_files import charges_of

Chance = random.Random

# Far from the others, so that a digit more or less does not lead to them.
_HEALTHY = ("2016-05", "2031-11")
_FUZZED = tuple(f"{year}-{month:02d}" for year in (2023, 2024, 2025) for month in range(1, 13))


@dataclass(frozen=True)
class Provider:
    """kind: the connection's class. manifests: by month. root: of the export; the folder above it holds a secret."""

    name: str
    root: Path
    connection: Connection
    manifests: dict[str, Path]


def attack(count: int, seed: int, cache: Path, only: int | None = None) -> Report:
    """Fuzzes `count` manifests, half of them of AWS. only: the one of that number, beside healthy months.

    cache: is not used.
    """
    report = Report("manifests")
    numbers = [only] if only is not None else list(range(count))
    with tempfile.TemporaryDirectory(prefix="attack-manifests-") as name:

        def share(worker: int, part: list[int]) -> Report:
            return _share(seed, part, Path(name) / str(worker))

        for ended in in_shares(numbers, share):
            if fault := ended.fault():
                raise RuntimeError(f"the attack itself failed: {fault}\n{ended.raised and ended.raised.trace}")
            report.add(ended.value)
    return report


def _share(seed: int, numbers: list[int], root: Path) -> Report:
    report = Report("manifests")
    touched = _Touched()
    (root / "secret").mkdir(parents=True)
    (root / "secret" / "part_0_0001.csv.gz").write_bytes(b"not of the export")
    (root / "secret" / "manifest.json").write_text("{}")
    providers = [_aws(root / "aws"), _azure(root / "azure")]
    # A number belongs to one provider: even ones to AWS.
    for provider, of_provider in zip(
        providers, ([n for n in numbers if n % 4 < 2], [n for n in numbers if n % 4 >= 2]), strict=True
    ):
        healthy = {month: path.read_bytes() for month, path in provider.manifests.items()}
        expected = provider.connection.discover(_HEALTHY).deliveries
        for i in range(0, len(of_provider), len(_FUZZED)):
            some = dict(zip(_FUZZED, of_provider[i : i + len(_FUZZED)], strict=False))
            _try(some, provider, healthy, expected, touched, seed, report)
    return report


def _try(
    some: dict[str, int],
    provider: Provider,
    healthy: dict[str, bytes],
    expected: dict,
    touched: "_Touched",
    seed: int,
    report: Report,
) -> None:
    """Puts fuzzed manifests into the place of those months', looks, and halves them to find one that is at fault."""
    mutations = {}
    for month, number in some.items():
        mutations[month], content = fuzzed(seed, number, healthy[month], provider.name)
        provider.manifests[month].write_bytes(content)
    wrong, discovery = _looked(provider, expected, touched)
    for month in some:
        provider.manifests[month].write_bytes(healthy[month])
    if wrong and len(some) > 1:
        months = list(some)
        half = len(months) // 2
        for part in (months[:half], months[half:]):
            _try({month: some[month] for month in part}, provider, healthy, expected, touched, seed, report)
        return
    for month, number in some.items():
        what = f"{provider.name} {month} ({mutations[month]})"
        report.counts[f"manifests of {provider.name}"] += 1
        if wrong:
            report.illegal.append(Illegal(f"{what}: {wrong}", f"manifests --seed {seed} --only {number}"))
            continue
        if month in discovery.deliveries:
            report.counts["months delivered in spite of it"] += 1
        elif (reason := discovery.held_back.get(month)) is None:
            report.illegal.append(Illegal(f"{what}: nothing is said of it", f"manifests --seed {seed} --only {number}"))
        else:
            report.counts["months held back with a sentence"] += 1
            if why := not_a_sentence(reason):
                report.illegal.append(
                    Illegal(
                        f"{what}: held back with {reason[:300]!r}: {why}", f"manifests --seed {seed} --only {number}"
                    )
                )


def _looked(provider: Provider, expected: dict, touched: "_Touched") -> tuple[str | None, Discovery | None]:
    """What is wrong with what the connection says now, as a whole."""
    touched.begin(provider.root)
    try:
        # Of a process of its own in the pipeline: one that remembers no manifest.
        discovery = type(provider.connection)(**vars_of(provider.connection)).discover()
    except Exception as error:
        declared = type(error).__module__.startswith("focus_pipeline")
        stops = "it stops the healthy months: " if declared else ""
        return f"{stops}{type(error).__name__}: {str(error)[:300]}", None
    finally:
        outside = touched.end()
    if outside:
        return f"outside of the root of the export it touched {outside[:3]}", None
    for month in _HEALTHY:
        if discovery.deliveries.get(month) != expected[month]:
            said = discovery.held_back.get(month, "nothing is said of it")
            return f"the healthy {month} is not delivered as it was: {said[:300]}", None
    for delivery in discovery.deliveries.values():
        for item in delivery.objects:
            if not (provider.root / item.key).resolve().is_relative_to(provider.root.resolve()):
                return f"{item.key!r} is part of {delivery.month}, and outside of the root of the export", None
    return None, discovery


def vars_of(connection: Connection) -> dict[str, object]:
    return {name: getattr(connection, name) for name in ("name", "url", "export_name")}


class _Touched:
    """Files and folders that this process opens or lists outside of a root, its own code and temporary folders."""

    def __init__(self) -> None:
        self._within: str | None = None
        self._outside: list[str] = []
        # Lazy imports read code; manifests are read through a temporary file.
        self._known = (
            sys.prefix,
            sys.base_prefix,
            str(Path(__file__).resolve().parents[2]),
            f"{tempfile.gettempdir()}/tmp",
            "/dev/",
        )
        sys.addaudithook(self._heard)

    def begin(self, root: Path) -> None:
        self._outside = []
        self._within = str(root)

    def end(self) -> list[str]:
        self._within = None
        return self._outside

    def _heard(self, event: str, arguments: tuple) -> None:
        if self._within is None or event not in (
            "open",
            "os.scandir",
            "os.listdir",
            "shutil.copyfile",
            "os.link",
            "os.rename",
        ):
            return
        for argument in arguments[:2] if event != "open" else arguments[:1]:
            if isinstance(argument, str | bytes | os.PathLike):
                path = os.fsdecode(argument)
                if not os.path.isabs(path) and ".." not in path.split("/"):
                    continue  # a step down from a folder that was opened before
                path = os.path.abspath(path)
                if path != self._within and not path.startswith((f"{self._within}/", *self._known)):
                    self._outside.append(path)


def _put(root: Path) -> Callable[[str, bytes], None]:
    def put(key: str, content: bytes) -> None:
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        # Manifests come last; in one tick of the clock nothing does.
        os.utime(path, (1e9, 1e9 + key.endswith("anifest.json")))

    return put


def _aws(root: Path) -> Provider:
    export = AwsExport(_put(root), prefix="billing/", file_format="csv.gz")
    for month in (*_HEALTHY, *_FUZZED):
        export.deliver(month, charges_of(month, 3), chunks=2)
    folder = root / export.folder
    manifests = {path.parent.name.rpartition("=")[2]: path for path in folder.glob("metadata/*/*-Manifest.json")}
    return Provider("AWS", folder, AwsDataExport("aws_main", folder.as_uri() + "/"), manifests)


def _azure(root: Path) -> Provider:
    export = AzureExport(_put(root), lambda name: (root / name).unlink())
    manifests = {}
    for number, month in enumerate((*_HEALTHY, *_FUZZED)):
        submitted = f"2025-03-21T21:{number:02d}:06.5234447Z"
        folder = export.run(month, charges_of(month, 3), submitted=submitted, parts=2)
        manifests[month] = root / folder / export.manifest_name
    return Provider("Azure", root, AzureCostExport("azure_main", root.as_uri() + "/"), manifests)


# Mutators


def fuzzed(seed: int, number: int, healthy: bytes, provider: str) -> tuple[str, bytes]:
    """What was done to the manifest of that number, and its content."""
    chance = Chance(f"manifest {seed} {number}")
    if chance.random() < 0.25:
        name = chance.choice(list(_OF_BYTES))
        return name, _OF_BYTES[name](chance, healthy)
    content = json.loads(healthy)
    done = []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        name = chance.choice(list(_OF_JSON))
        content = _OF_JSON[name](chance, content)
        done.append(name)
    text = json.dumps(content, ensure_ascii=chance.random() < 0.5)
    text = text.replace('"<nested>"', chance.choice(("[", '{"a":')) * chance.choice((500, 5_000, 100_000)))
    if chance.random() < 0.1:
        done.append("a key twice")
        text = _key_twice(chance, text)
    return ", ".join(done), text.encode("utf-8", "surrogatepass")


_NAMES = (
    "../../secret/part_0_0001.csv.gz", "/etc/passwd", "file:///etc/passwd", "s3://other/data/billing_period=2025-03/x",
    "..", ".", "", "/",
    "data/billing_period=2025-03/../../../../secret/part_0_0001.csv.gz",
    "data/billing_period=2025-03/..%2f..%2fsecret", "a\0b", "\ud800",
    "data/billing_period=2025-03/\ud800.csv", "data/billing_period=2025-03/\0",
    "data/billing_period=2025-03/" + "x" * 300, "x" * 5_000,
    "data/billing_period=2025-03/" + "a/" * 3_000 + "x", "C:\\windows\\system.ini", "data/billing_period=2025-03/.",
    " ", "\n", "\u202e", "~/.ssh/id_rsa",
    "data/billing_period=2025-03//x.csv", "data//billing_period=2025-03/x.csv", "\\\\host\\share",
    "data/billing_period=2025-03/\x1b[31m.csv", "*", "%2e%2e/",
    "https://acme.blob.core.windows.net/costs/x", "x/../../../secret/part_0_0001.csv.gz", "./x",
    "data/BILLING_PERIOD=2025-03/" + "🙂" * 200,
    "data/billing_period=2025-03/..", "//secret/part_0_0001.csv.gz", "data/billing_period=9999-99/x",
)  # fmt: skip
_VALUES: tuple[object, ...] = (
    None, True, False, 0, -1, 1, 1.5, 1e308, float("inf"), float("nan"), 10**30, "", "x", "null", [], {}, [[]], [None],
    [{}], {"": None}, [1, "a"],
    {"a\0": 1}, "\0", "\ud800", "\udfff\ud800", "x" * 100_000, "<nested>", "2025-03", "FocusCost", "9999-12-31",
    "\x1b[2J", [[[[]]]], {"key": None}, -(2**63),
)  # fmt: skip
_DATES: tuple[object, ...] = (
    "9999-12-31T00:00:00", "9999-12-31T23:59:59.9999999Z", "0001-01-01T00:00:00", "0000-00-00T00:00:00",
    "2025-02-30T00:00:00", "2025-03-01",
    "2025-03-01T00:00:00+99:00", "2025-03-01T00:00:00-23:59", "01/03/2025", "", None, 0, 1741000000, 1e400,
    "2025-13-01T00:00:00", "infinity", "now",
    "2025-W10-1", "20250301", "2025-03-01T24:00:00Z", "2025-03-01T00:00:00.12345678901234567890Z", "٢٠٢٥-٠٣-٠١",
    "-2025-03-01T00:00:00", "10000-01-01",
    "9999-12-01T00:00:00+00:00", "0001-01-01T00:00:00+14:00", ["2025-03-01"], {"date": 1}, "2025-03-01T00:00:00Z" * 99,
    "2025-03-01\0",
)  # fmt: skip


def _places(content: object, path: tuple = ()) -> list[tuple]:
    """Every place in a JSON value that can be changed."""
    entries = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    found = []
    for key, value in entries:
        found += [(*path, key), *_places(value, (*path, key))]
    return found


def _changed(content: object, path: tuple, change: Callable[[object, object], None]) -> object:
    content = json.loads(json.dumps(content))
    at = content
    for key in path[:-1]:
        at = at[key]
    change(at, path[-1])
    return content


def _set(values: tuple[object, ...], wanted: tuple[str, ...] = ()) -> Callable[[Chance, object], object]:
    """Sets any place, or one of the wanted keys, to one of the values."""

    def mutate(chance: Chance, content: object) -> object:
        places = [path for path in _places(content) if not wanted or path[-1] in wanted or path[0] in wanted]
        if not places:
            return content
        value = chance.choice(values)
        return _changed(content, chance.choice(places), lambda at, key: at.__setitem__(key, value))

    return mutate


def _gone(chance: Chance, content: object) -> object:
    places = _places(content)
    return _changed(content, chance.choice(places), lambda at, key: at.__delitem__(key)) if places else content


def _renamed(chance: Chance, content: object) -> object:
    places = [path for path in _places(content) if isinstance(path[-1], str)]
    if not places:
        return content
    name = chance.choice(
        ("", "\0", "\ud800", "x" * 70_000, "BlobName", "DATAFILES", "__class__", "exportConfig ", "type")
    )
    return _changed(content, chance.choice(places), lambda at, key: at.__setitem__(name, at.pop(key)))


def _twice(chance: Chance, content: object) -> object:
    places = [path for path in _places(content) if isinstance(path[-1], int)]
    times = chance.choice((1, 2, 2_000))
    return _changed(content, chance.choice(places), lambda at, key: at.extend([at[key]] * times)) if places else content


def _wrapped(chance: Chance, content: object) -> object:
    return chance.choice(
        ([content], {"manifest": content}, [content, content], None, 0, "x", [], {}, True, json.dumps(content))
    )


def _another_count(chance: Chance, content: object) -> object:
    places = [path for path in _places(content) if "ount" in str(path[-1])]
    value = chance.choice((-1, 0, 1, 10**18, 10**400, 1.5, "3", None, True, [], "x", float("nan")))
    return _changed(content, chance.choice(places), lambda at, key: at.__setitem__(key, value)) if places else content


_OF_JSON: dict[str, Callable[[Chance, object], object]] = {
    "another value": _set(_VALUES),
    "another name of a file": _set(_NAMES, ("dataFiles", "blobName")),
    "another date": _set(_DATES, ("startDate", "endDate", "submittedTime")),
    "another value of a known key": _set(
        _VALUES, ("exportConfig", "runInfo", "blobs", "dataFiles", "type", "exportName", "dataVersion", "byteCount",
        "executionId", "columns")
    ),
    "another count": _another_count,
    "a value fewer": _gone,
    "another key": _renamed,
    "an entry many times": _twice,
    "another outermost value": _wrapped,
    "nested deep": _set(("<nested>",)),
}  # fmt: skip


def _key_twice(chance: Chance, text: str) -> str:
    key = chance.choice(("exportConfig", "runInfo", "blobs", "dataFiles", "type"))
    value = json.dumps(chance.choice([v for v in _VALUES if v != "<nested>"]))
    at = text.find(f'"{key}"')
    return text if at < 0 else f'{text[:at]}"{key}": {value}, {text[at:]}'


def _flipped(chance: Chance, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 3, 20))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _spliced(chance: Chance, content: bytes) -> bytes:
    first, last = sorted(chance.randrange(len(content) + 1) for _ in range(2))
    what = chance.choice(
        (b"", b"\0", b"\\u0000", b"\\ud800", b"\xff", b"\xed\xa0\x80", b",", b"}", b"]", b'"', b"[" * 100_000,
         b'{"a":' * 5_000, b"NaN", b"1e999", b"-",
         b"9" * 5_000, content[first:last] * 2)
    )  # fmt: skip
    return content[:first] + what + content[chance.choice((first, last)) :]


_OF_BYTES: dict[str, Callable[[Chance, bytes], bytes]] = {
    "flipped bits": _flipped,
    "other bytes": _spliced,
    "cut off": lambda chance, content: content[: chance.randrange(len(content))],
    "another encoding": lambda chance,
    content: content.decode().encode(chance.choice(("utf-16", "utf-32", "utf-8-sig", "cp037", "utf-16-le"))),
    "something else": lambda chance, content: chance.choice(
        (b"", b"\0" * 100, b"null", b"<html>Not Found</html>", b"[" * 200_000, b'"' + b"x" * 10_000_000 + b'"',
         b"9" * 10_000, b"{}", b"[]",
         b'{"dataFiles": []}', b"\xef\xbb\xbf" + content, b" " * 1_000_000 + content, content + content,
         content + b"\0", b"PK\3\4", b"\x1f\x8b\x08")
    ),
}  # fmt: skip
