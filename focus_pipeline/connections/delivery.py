"""What a provider says a month consists of right now, and what a connection has to be able to do."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

from focus_pipeline.visible import visible


@dataclass(frozen=True, order=True)
class StoredObject:
    """One object of a provider's store.

    key: the whole key, exactly as the store spells it.
    etag: the store's opaque version mark, without quotes. Not a checksum of the content.
    size: bytes, None where that is known only once it was read: the result of a query. last_modified: UTC; for people
    only, never part of a token.
    """

    key: str
    etag: str
    size: int | None
    last_modified: datetime


@dataclass(frozen=True)
class Delivery:
    """A snapshot of one month: publishing it replaces that month of its connection whole.

    focus_version: what the provider declares it to be, rows: how many it says it has, None where it says nothing.
    declared: the provider says in a manifest that this is all; a folder that holds less than it did says nothing.
    """

    month: str
    objects: tuple[StoredObject, ...]
    focus_version: str | None = None
    rows: int | None = None
    declared: bool = False

    @property
    def token(self) -> str:
        """Fingerprint: equal token, equal content. Depends on keys, ETags and sizes only, never on a clock or order."""
        digest = hashlib.sha256(b"declared empty" if self.declared and not self.objects else b"")
        for item in sorted(self.objects):
            # As JSON, for keys may hold any character, separators too.
            digest.update(json.dumps([item.key, item.etag, item.size]).encode())
        return digest.hexdigest()[:20]

    @property
    def size(self) -> int:
        """Bytes, as far as they are known before they are read."""
        return sum(item.size or 0 for item in self.objects)


def printable(name: str, longest: int | None = None) -> str:
    """A provider's name for messages: see visible(); the end of a long one as …."""
    return visible(name if longest is None or len(name) <= longest else f"{name[:longest]}…")


@dataclass(frozen=True)
class Ignored:
    """Something found where deliveries were looked for that is not part of one, and why.

    key: of it, made printable. For reports: what is ignored is not read, so nothing needs the key as it was.
    """

    key: str
    reason: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", printable(self.key))


# The ends of names of files that can be bills.
BILL_SUFFIXES = (".csv", ".csv.gz", ".parquet")
IGNORED = "it is named by one of the patterns of `ignore`"


def is_ignored(item: StoredObject, patterns: Sequence[str]) -> bool:
    """Whether the name of an object, or its whole key, is of one of these patterns, such as `*_commitments.csv`."""
    name = item.key.rpartition("/")[2]
    return any(fnmatchcase(name, pattern) or fnmatchcase(item.key, pattern) for pattern in patterns)


@dataclass(frozen=True)
class Discovery:
    """What one look at the provider showed.

    months: every month that the provider shows, in order, whether or not its content was listed.
    deliveries: by month, for the months that were asked for.
    ignored: what was seen on the way and left alone. looked_in: the place, for messages.
    held_back: by month, why its content cannot be taken as it is now: it is still being delivered, or its manifest is
    at fault. What was loaded of such a month stays.
    expiring: months of which the provider may show less than it did, for their rows are past its retention; what was
    delivered of one earlier stays.
    cost: what the look itself cost, in words; "" where it is free.
    """

    months: tuple[str, ...]
    deliveries: dict[str, Delivery]
    ignored: tuple[Ignored, ...]
    looked_in: str
    held_back: Mapping[str, str] = field(default_factory=dict)
    expiring: Collection[str] = ()
    cost: str = ""

    def without(self, patterns: Sequence[str]) -> "Discovery":
        """The same without the objects of these patterns, which are then among what is ignored; see is_ignored."""
        deliveries, told = {}, []
        for month, delivery in self.deliveries.items():
            kept = tuple(item for item in delivery.objects if not is_ignored(item, patterns))
            if len(kept) < len(delivery.objects):
                told += [Ignored(item.key, IGNORED) for item in delivery.objects if is_ignored(item, patterns)]
                # What a person leaves out is not what the provider declares.
                delivery = replace(delivery, objects=kept, declared=False)
            deliveries[month] = delivery
        return replace(self, deliveries=deliveries, ignored=(*self.ignored, *told))


class Connection(Protocol):
    """One provider export of one customer."""

    name: str
    focus_version: str | None
    """What its files are declared to be; without it, what a delivery says, or what each file's columns look like."""
    month_rule: bool
    """Whether a file is rejected when a row's ChargePeriodStart lies outside the delivery's month."""
    missing_month_is_empty: bool
    """Whether a month of the look-back that is no longer shown has become empty, rather than gone to retention."""
    additive: bool
    """Whether files only ever add to a month: one that is no longer shown stays part of it."""
    quiet: timedelta
    """How long a month has to stay as it is before it is taken: whoever writes it may not be done yet."""

    def discover(self, months: Collection[str] | None = None) -> Discovery:
        """Lists the months, and the content of those in `months` (None: of all). Reads no data.

        Raises StoreError when the provider refuses or cannot be reached, NoBillingPeriods when it shows no month.
        """
        ...

    def download(self, item: StoredObject, path: Path) -> Mapping[str, str | int] | None:
        """Writes the object's bytes to `path`, exactly the listed version of it.

        Returns what is worth showing beside the month, such as the bytes that a query was billed for.
        Raises ObjectChanged when the store has another version by now, StoreError when it cannot be read.
        """
        ...


class HeldBack(Exception):
    """The provider shows a month, but its content cannot be taken as it is now; see Discovery.held_back."""


class NoBillingPeriods(Exception):
    """The place that was looked in shows no month at all."""
