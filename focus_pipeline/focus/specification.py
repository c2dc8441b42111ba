"""Reads the columns of the FOCUS Cost and Usage dataset, the currencies and the publishing contract."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

# The canonical types. 18 decimals hold what every provider sends; 20 digits before the point hold its sums.
DUCKDB_TYPES = {"String": "VARCHAR", "Decimal": "DECIMAL(38, 18)", "DateTime": "TIMESTAMP", "JSON": "JSON"}
DECIMAL_SCALE = 18


@dataclass(frozen=True)
class Column:
    """A column of the unified table, over all versions; see columns.toml for what each field means.

    allowed: the legal values, in order; empty where any value is legal. synonyms: value as sent -> value as meant.
    """

    name: str
    type: str
    level: str
    nullable: bool
    introduced: str
    removed: str | None
    description: str
    format: str | None
    minimum: int | None
    allowed: tuple[str, ...]
    former_names: tuple[str, ...]
    filled_from: str | None
    synonyms: Mapping[str, str]

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
    own_column_prefixes: tuple[str, ...]


@cache
def columns() -> dict[str, Column]:
    """Every column of FOCUS 1.0 to the newest version, by name, in the order of the specification."""
    return {name: _column(name, facts) for name, facts in _data("columns.toml").items()}


@cache
def contract() -> Contract:
    return Contract(**{key: tuple(names) for key, names in _data("contract.toml").items()})


@cache
def currencies() -> tuple[str, ...]:
    """Alphabetic codes of ISO 4217."""
    return tuple(_data("currencies.toml")["codes"])


@cache
def versions() -> tuple[str, ...]:
    """FOCUS versions that the data knows, oldest first."""
    return tuple(sorted({column.introduced for column in columns().values()}, key=_numbers))


def columns_of(version: str) -> dict[str, Column]:
    """The columns of one FOCUS version, such as "1.2", in the order of the specification."""
    return {
        name: column
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

    The newest version of which at least half of the new columns are there: providers send single columns of later
    versions early. `1.0-preview` where a mandatory column stands under the name it had before 1.0.
    """
    names = {name.strip().lower() for name in sent}
    for version in reversed(versions()):
        new = [c.name.lower() for c in columns().values() if c.introduced == version]
        if version != versions()[0] and sum(name in names for name in new) * 2 >= len(new):
            return version
    former = {old.lower() for column in columns().values() for old in column.former_names}
    return "1.0-preview" if names & former and "providername" not in names else versions()[0]


def _numbers(version: str) -> tuple[int, ...]:
    # As text, 1.10 would come before 1.2.
    return tuple(map(int, version.split(".")))


def _column(name: str, facts: dict) -> Column:
    allowed = facts.get("allowed", ())
    if isinstance(allowed, dict):  # listed under the value of the parent column
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
        minimum=facts.get("minimum"),
        allowed=tuple(allowed),
        former_names=tuple(facts.get("former_names", ())),
        filled_from=facts.get("filled_from"),
        synonyms=facts.get("synonyms", {}),
    )


def _data(file_name: str) -> dict:
    return tomllib.loads(resources.files(__package__).joinpath(file_name).read_text("utf-8"))
