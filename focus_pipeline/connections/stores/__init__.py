"""Object stores, each over its provider's own library.

One listing or one read of a key that is legal in the store must never fail because of the key: doubled or leading
slashes, `.` segments, spaces, `%20`, `+` and colons all occur in billing buckets. Keys are passed on as they are.
"""

import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from focus_pipeline.connections.delivery import Ignored, StoredObject, printable
from focus_pipeline.connections.store_errors import ObjectChanged, StoreError

logger = logging.getLogger(__name__)


def replaced(place: str) -> ObjectChanged:
    return ObjectChanged(f"{place} was replaced after it was listed: {_DELIVERING}")


def removed(place: str) -> ObjectChanged:
    return ObjectChanged(f"{place} was removed after it was listed: {_DELIVERING}")


def not_understood(attempt: str, error: Exception) -> StoreError:
    """Of what a library raises that it does not say it raises: it met an answer that is none of the store's API.

    attempt: what was tried, such as "could not list s3://acme-billing/2025-03/".
    """
    # Where the fault is in this project after all, the log has what is needed to find it.
    logger.debug("%s", attempt, exc_info=error)
    return StoreError(
        f"{attempt}: what answered there is not the provider, or answered what nobody can understand "
        f"({type(error).__name__}). Check the connection's url and endpoint_url, and whether a proxy or the sign-in "
        "page of a network answers in its place"
    )


def unexplained(attempt: str, answer: str) -> StoreError:
    """Of a refusal that is not known here. answer: one_word() or one_line() of it."""
    return StoreError(
        f"{attempt}: the answer is {answer}. Try again; should that not help, check the connection's url, auth "
        "and endpoint_url, and the status of the provider"
    )


def one_word(code: object) -> str:
    """The code of a server's refusal, for messages. What is no code may be anything that was sent to the server."""
    return code if isinstance(code, str) and re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", code) else "no known code"


def one_line(text: str) -> str:
    """The beginning of what a server says, for messages."""
    return printable(next(iter(text.splitlines()), ""), 200).rstrip(".")


_DELIVERING = "the provider is delivering right now; the next attempt lists the month anew"


@dataclass(frozen=True)
class Level:
    """One level of a listing: the folders (prefixes that end in a slash) and the objects directly there.

    ignored: what is there, too, and can be neither.
    """

    folders: tuple[str, ...]
    objects: tuple[StoredObject, ...]
    ignored: tuple[Ignored, ...] = ()


def apart(found: Iterable[StoredObject | Ignored]) -> tuple[list[StoredObject], list[Ignored]]:
    """The objects of a listing that can be landed, and what cannot be, by name."""
    objects: list[StoredObject] = []
    ignored: list[Ignored] = []
    for item in found:
        if isinstance(item, Ignored):
            ignored.append(item)
        elif _is_text(item.key):
            objects.append(item)
        else:
            ignored.append(Ignored(item.key, "the name is not UTF-8; rename the file"))
    return objects, ignored


def _is_text(key: str) -> bool:
    # Names of local files are bytes, and JSON can spell half a character: neither can be written down as a key.
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


class ObjectStore(Protocol):
    """A bucket, container or local folder, read only."""

    address: str
    """The place as people write it, such as `s3://acme-billing`. Never holds a secret."""

    def list(self, prefix: str) -> Iterator[StoredObject | Ignored]:
        """Every object whose key starts with `prefix`, in the store's order, page by page.

        What lies among them and cannot be an object comes as Ignored; see apart().
        """
        ...

    def list_level(self, prefix: str) -> Level:
        """The folders and objects directly below `prefix` ("" or ending in a slash)."""
        ...

    def download(self, item: StoredObject, path: Path) -> None:
        """Streams the listed version of an object into a file. Raises ObjectChanged, AccessDenied, NotFound."""
        ...


CHUNK_BYTES = 4 * 1024 * 1024
