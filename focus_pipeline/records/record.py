"""What is kept on disk about a month beside its data, typed, as JSON.

    landing/<connection>/shown.json                      Shown
    landing/<connection>/<YYYY-MM>/order.json            Order
    landing/<connection>/<YYYY-MM>/current.json          Current
    landing/<connection>/<YYYY-MM>/<token>/delivery.json Delivered
    staged/<connection>/<YYYY-MM>/accepted.json          Accepted
    staged/<connection>/<YYYY-MM>/held_back.json         HeldBack
    staged/<connection>/<YYYY-MM>/unrecorded-*.json      Unrecorded
    staged/<connection>/<YYYY-MM>/<token>.staged.json    staged_month.Report
    staged/<connection>/<YYYY-MM>/<token>.verdict.json   verdict.Verdict

Each can be made again: from what the provider shows, from landing/ or from staged/. So one that is damaged counts as
absent, is named in the log, and harms no other month.
"""

import logging
from functools import cache
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from focus_pipeline.files import make_folder, replacing

logger = logging.getLogger(__name__)

_T = TypeVar("_T")


class Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class CompiledRules(Record):
    """Rule key -> SQL predicate; see focus.rules.predicates. In cache/, under a mark of the code."""

    predicates: dict[str, str]


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


@cache
def _adapter(kind: type) -> TypeAdapter:
    return TypeAdapter(kind)
