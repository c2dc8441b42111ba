"""How a source tells the month of its files: by the folder that they are in, or by their names.

    YYYY-MM/   billing_period=YYYY-MM/   YYYY/MM/   *_focus_YYYYMM.csv   costs-YYYYMMDD.csv.gz

YYYY, MM and DD stand for digits, * for any characters but a slash; all else is itself.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from focus_pipeline.connections.delivery import Ignored, StoredObject
from focus_pipeline.connections.store_urls import InvalidUrl
from focus_pipeline.connections.stores import ObjectStore, apart
from focus_pipeline.months import is_month

USUAL = "YYYY-MM/"

_TOKENS = {"YYYY": r"(?P<year>[0-9]{4})", "MM": r"(?P<month>0[1-9]|1[0-2])", "DD": r"(?:[0-9]{2})", "*": r"[^/]*"}


@dataclass
class MonthPlaces:
    """Where the files of a month are: all of these folders, or these objects."""

    folders: list[str] = field(default_factory=list)
    objects: list[StoredObject] = field(default_factory=list)


@dataclass(frozen=True)
class MonthPath:
    """text: as above; one that ends in a slash is that of folders. Raises InvalidUrl where it tells no month."""

    text: str = USUAL

    def __post_init__(self) -> None:
        for token in ("YYYY", "MM"):
            if self.text.count(token) != 1:
                raise InvalidUrl(
                    f"month_path is {self.text!r}, and has to hold {token} once, such as YYYY-MM/ for folders or "
                    "*_YYYYMM.csv for files"
                )

    @property
    def is_of_folders(self) -> bool:
        return self.text.endswith("/")

    @cached_property
    def _levels(self) -> list[re.Pattern]:
        parts = self.text.rstrip("/").split("/")
        return [re.compile(_pattern(part)) for part in parts]

    def find(self, store: ObjectStore, prefix: str) -> tuple[dict[str, MonthPlaces], list[Ignored]]:
        """The months below a prefix, in order, and what is beside them. Raises StoreError."""
        months: dict[str, MonthPlaces] = {}
        ignored: list[Ignored] = []
        folders = [(prefix, {})]
        for level in self._levels if self.is_of_folders else self._levels[:-1]:
            folders = list(self._below(store, folders, level, prefix, ignored))
        for folder, told in folders if self.is_of_folders else ():
            self._add(months, ignored, folder, told).folders.append(folder)
        for folder, told in () if self.is_of_folders else folders:
            objects, unreadable = apart(store.list_level(folder).objects)
            ignored += unreadable
            for item in objects:
                match = self._levels[-1].fullmatch(item.key.removeprefix(folder))
                if match is None:
                    ignored.append(Ignored(item.key, f"its name is not one of {self.text}, which tells the month"))
                else:
                    self._add(months, ignored, item.key, told | match.groupdict()).objects.append(item)
        return dict(sorted(months.items())), ignored

    def _below(
        self,
        store: ObjectStore,
        folders: list[tuple[str, dict[str, str]]],
        level: re.Pattern,
        prefix: str,
        ignored: list[Ignored],
    ) -> Iterator[tuple[str, dict[str, str]]]:
        """The folders of the next level, each with what its path tells so far."""
        for folder, told in folders:
            found = store.list_level(folder)
            outside, unreadable = apart([*found.objects, *found.ignored])
            ignored += unreadable
            ignored += [Ignored(item.key, _outside_reason(item, prefix, self.text)) for item in outside]
            for below in found.folders:
                match = level.fullmatch(below.removeprefix(folder).rstrip("/"))
                if match is None or not below.removeprefix(folder).rstrip("/"):
                    ignored.append(Ignored(below, _folder_reason(below.removeprefix(folder).rstrip("/"), self.text)))
                else:
                    yield below, told | match.groupdict()

    def _add(
        self, months: dict[str, MonthPlaces], ignored: list[Ignored], key: str, told: dict[str, str]
    ) -> MonthPlaces:
        month = f"{told['year']}-{told['month']}"
        if is_month(month):
            return months.setdefault(month, MonthPlaces())
        ignored.append(Ignored(key, "not a month that a bill can be of; months are those of the years 2000 to 2099"))
        return MonthPlaces()


def _pattern(part: str) -> str:
    pieces = re.split(r"(YYYY|MM|DD|\*)", part)
    return "".join(_TOKENS.get(piece, re.escape(piece)) for piece in pieces)


def _folder_reason(name: str, path: str) -> str:
    if not name:
        return "an empty folder name (two slashes in a row); put the second slash into the connection's url to read it"
    if path == USUAL:
        return "not a month folder; months are named YYYY-MM, such as 2025-03"
    return f"not a month folder; they are named {path} (see month_path)"


def _outside_reason(item: StoredObject, prefix: str, path: str) -> str:
    if item.key == prefix:
        return "an empty placeholder of the folder itself"
    return f"a file outside of any month folder; put it into a folder named {path.rstrip('/')}"
