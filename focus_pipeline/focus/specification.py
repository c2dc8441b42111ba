"""Reads what the TOML files here say: columns of the FOCUS Cost and Usage dataset, rules, currencies and known gaps."""

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

# The canonical types. 18 decimals hold what every provider sends; 20 digits before the point hold its sums.
DUCKDB_TYPES = {"String": "VARCHAR", "Decimal": "DECIMAL(38, 18)", "DateTime": "TIMESTAMP", "JSON": "JSON"}
DECIMAL_SCALE = 18
WHOLE_DIGITS = 20


@dataclass(frozen=True)
class Column:
    """A column of the unified table, over all versions; see columns.toml for what each field means.

    allowed: the legal values, in order; empty where any value is legal. parents: legal value -> the value of another
    column that it is listed under. synonyms: value as sent -> value as meant. ids: what a rule asks for ("not_null",
    "allowed", …) -> its id in the official requirements model. changes: version -> what changed with it.
    """

    name: str
    type: str
    level: str
    nullable: bool
    introduced: str
    removed: str | None
    description: str
    format: str | None
    allowed: tuple[str, ...]
    parents: Mapping[str, str]
    former_names: tuple[str, ...]
    own_names: tuple[str, ...]
    filled_from: str | None
    synonyms: Mapping[str, str]
    ids: Mapping[str, str]
    changes: Mapping[str, Mapping[str, object]]

    def as_of(self, version: str) -> "Column":
        """The column with what changed up to a version."""
        changed: dict[str, object] = {}
        for since, facts in self.changes.items():
            if _numbers(since) <= _numbers(version):
                changed |= facts
        return replace(self, **changed)

    @property
    def duckdb_type(self) -> str:
        return DUCKDB_TYPES[self.type]

    @property
    def is_period_end(self) -> bool:
        return self.name.endswith("PeriodEnd")


@dataclass(frozen=True)
class Contract:
    """What a month has to fulfil to be published; see contract.toml."""

    required: tuple[str, ...]
    expected: tuple[str, ...]
    not_null: tuple[str, ...]
    allowed_values: tuple[str, ...]
    currency: tuple[str, ...]


@dataclass(frozen=True)
class KnownGap:
    """Rules that a provider's exports of some versions break; see known_gaps.toml. versions: empty for all.

    names: what the rows of the provider have as ServiceProviderName, in lower case.
    """

    provider: str
    names: tuple[str, ...]
    versions: tuple[str, ...]
    rules: tuple[str, ...]
    what: str
    source: str


@cache
def columns() -> dict[str, Column]:
    """Every column of FOCUS 1.0 to the newest version, by name, in the order of the specification."""
    return {name: _column(name, facts) for name, facts in _data("columns.toml").items()}


@cache
def contract() -> Contract:
    return Contract(**{key: tuple(names) for key, names in _data("contract.toml").items()})


@cache
def _other_datasets() -> tuple[tuple[str, frozenset[str], frozenset[str]], ...]:
    """Name of a dataset, the columns that it has and those that it lacks, in lower case."""
    folded = (
        (entry["name"], *([n.lower() for n in entry[key]] for key in ("columns", "lacks")))
        for entry in _data("other_datasets.toml")["datasets"]
    )
    return tuple((name, frozenset(has), frozenset(lacks)) for name, has, lacks in folded)


def other_dataset(sent: Iterable[str]) -> str:
    """What a file with these columns is, where it is a known one other than a bill of FOCUS; "" where it is not.

    >>> other_dataset(["ContractId", "ContractCommitmentId"])
    'a FOCUS Contract Commitment dataset'
    """
    names = {name.strip().lower() for name in sent}
    return next((name for name, has, lacks in _other_datasets() if has <= names and not lacks & names), "")


@cache
def currencies() -> tuple[str, ...]:
    """Alphabetic codes of ISO 4217."""
    return tuple(_data("currencies.toml")["codes"])


@cache
def known_gaps() -> tuple[KnownGap, ...]:
    content = _data("known_gaps.toml")
    return tuple(
        KnownGap(
            provider=gap["provider"],
            names=tuple(name.lower() for name in content["providers"][gap["provider"]]),
            versions=tuple(gap.get("versions", ())),
            rules=tuple(gap["rules"]),
            what=gap["what"],
            source=gap["source"],
        )
        for gap in content["gaps"]
    )


@cache
def unchecked() -> dict[str, tuple[str, ...]]:
    """Why no file can be judged by them -> ids of rules of the official requirements model."""
    return {entry["reason"]: tuple(entry["ids"]) for entry in _data("unchecked.toml").values()}


@cache
def rule_data() -> dict:
    """The content of rules.toml."""
    return _data("rules.toml")


@cache
def multiplied_columns() -> tuple[str, ...]:
    """The columns that a rule holds against a product, and those that it multiplies."""
    products = [
        (name, *test["product_of"])
        for facts in rule_data()["rules"].values()
        for name, test in facts.get("must", {}).items()
        if isinstance(test, dict) and "product_of" in test
    ]
    return tuple(sorted({name for names in products for name in names}))


@cache
def versions() -> tuple[str, ...]:
    """FOCUS versions that the data knows, oldest first."""
    return tuple(sorted({column.introduced for column in columns().values()}, key=_numbers))


@cache
def columns_of(version: str) -> Mapping[str, Column]:
    """The columns of one FOCUS version, such as "1.2", in the order of the specification."""
    return {
        name: column.as_of(version)
        for name, column in columns().items()
        if _numbers(column.introduced) <= _numbers(version)
        and (column.removed is None or _numbers(version) < _numbers(column.removed))
    }


@cache
def spellings() -> dict[str, str]:
    """Lower-case name as a provider may send it -> canonical column name. Former names included."""
    known = {name.lower(): name for name in columns()}
    for column in columns().values():
        for former in column.former_names:
            known.setdefault(former.lower(), column.name)
    return known


def detect_version(sent: Iterable[str]) -> str:
    """The FOCUS version that a file's column names look like.

    Mandatory columns decide: the version that lacks fewest of those that not every version has, and has fewest of other
    versions. Versions that have the same ones are told apart by what is new in them: the newest one of which at least
    half is there, for providers send single columns of later versions early. `1.0-preview` where a mandatory column
    stands under the name it had before 1.0.
    """
    names = {name.strip().lower() for name in sent}
    present = {spellings()[name] for name in names if name in spellings()}
    mandatory = _telling_columns()
    telling = frozenset().union(*mandatory.values())
    nearest = min(versions(), key=lambda version: len(mandatory[version] ^ (present & telling)))
    oldest, *later = [version for version in versions() if mandatory[version] == mandatory[nearest]]
    for version in reversed(later):
        new = [c.name.lower() for c in columns().values() if c.introduced == version]
        if sum(name in names for name in new) * 2 >= len(new):
            return version
    former = {old.lower() for column in columns().values() for old in column.former_names}
    is_preview = oldest == versions()[0] and names & former and "providername" not in names
    return "1.0-preview" if is_preview else oldest


@cache
def _telling_columns() -> dict[str, frozenset[str]]:
    """Version -> its mandatory columns, without those that are mandatory in each."""
    mandatory = {v: frozenset(n for n, c in columns_of(v).items() if c.level == "Mandatory") for v in versions()}
    common = frozenset.intersection(*mandatory.values())
    return {version: names - common for version, names in mandatory.items()}


@cache
def judged_as(declared: str) -> str:
    """The version whose rules hold for a file of a declared one: 1.0 for "1.0r2", 1.2 for "1.2-preview".

    The newest one that is known for a newer one, the oldest for what is no version.
    """
    found = re.match(r"v?(\d+\.\d+)", declared)
    not_newer = [v for v in versions() if found and _numbers(v) <= _numbers(found[1])]
    return not_newer[-1] if not_newer else versions()[0]


def versions_from(since: str, until: str | None = None) -> frozenset[str]:
    """The known versions from `since` on, before `until`."""
    return frozenset(
        v for v in versions() if _numbers(since) <= _numbers(v) and (until is None or _numbers(v) < _numbers(until))
    )


@cache
def _numbers(version: str) -> tuple[int, ...]:
    # As text, 1.10 would come before 1.2.
    return tuple(map(int, version.split(".")))


def _column(name: str, facts: dict) -> Column:
    allowed, parents = facts.get("allowed", ()), {}
    if isinstance(allowed, dict):  # listed under the value of the parent column
        parents = {value: parent for parent, values in allowed.items() for value in values}
        allowed = dict.fromkeys(value for values in allowed.values() for value in values)
    return Column(
        name=name,
        type=facts["type"],
        level=facts["level"],
        nullable=facts["nullable"],
        introduced=facts["introduced"],
        removed=facts.get("removed"),
        description=facts["description"],
        format=facts.get("format"),
        allowed=tuple(allowed),
        parents=parents,
        former_names=tuple(facts.get("former_names", ())),
        own_names=tuple(facts.get("own_names", ())),
        filled_from=facts.get("filled_from"),
        synonyms=facts.get("synonyms", {}),
        ids=facts.get("ids", {}),
        changes=facts.get("since", {}),
    )


def _data(file_name: str) -> dict:
    return tomllib.loads(resources.files(__package__).joinpath(file_name).read_text("utf-8"))
