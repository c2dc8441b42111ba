"""Typed records on disk, as JSON. Each can be made again from what it stands beside: one that is damaged counts as
absent, is named in the log, and harms nothing else.
"""

import logging
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from focus_pipeline.files import make_folder, replacing

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

# Making one takes a hundred times as long as reading with it.
_adapters: dict[type, TypeAdapter] = {}


class Record(BaseModel):
    """A record whose fields are its attributes."""

    model_config = ConfigDict(frozen=True)


def read_record(path: Path, kind: type[_T]) -> _T | None:
    """The record at a path, None where there is none, or none that can be read."""
    try:
        return _adapter(kind).validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        logger.warning("%s is damaged (%s) and counts as absent; it is made again", path, first["msg"])
        return None


def write_record(path: Path, record: object) -> None:
    """Replaces the file whole where it would be another one: a reader sees the old or the new content."""
    content = _adapter(type(record)).dump_json(record, indent=1) + b"\n"
    if path.exists() and path.read_bytes() == content:
        return
    make_folder(path.parent)
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _adapter(kind: type) -> TypeAdapter:
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]
