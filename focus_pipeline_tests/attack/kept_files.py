"""What lies in a data directory, read by its documented layout and not by the code that writes it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq


def inconsistencies(root: Path) -> Iterator[str]:
    """What a process that was killed at any point must not leave behind, a line each."""
    for current in root.glob("landing/*/*/current.json"):
        content = _json(current)
        if content is None or not (current.parent / content["token"] / "delivery.json").exists():
            yield f"{_of(current, root)} is no JSON, or names a delivery that is not there"
    for delivery in root.glob("landing/*/*/[!.]*/"):
        content = _json(delivery / "delivery.json")
        if content is None:
            yield f"{_of(delivery, root)} has no delivery.json"
            continue
        for file in content["files"]:
            path = delivery / file["file"]
            if not path.exists() or path.stat().st_size != file["size"]:
                yield f"{_of(path, root)} is not there, or not of {file['size']:,} bytes"
    for path in root.glob("staged/*/*/[!.]*.json"):
        if _json(path) is None:
            yield f"{_of(path, root)} is no JSON"
    for accepted in root.glob("staged/*/*/accepted.json"):
        token = (_json(accepted) or {}).get("token")
        staged = _json(accepted.parent / f"{token}.staged.json")
        if staged is None:
            yield f"{_of(accepted, root)} names what is not staged"
            continue
        for part in staged["parts"]:
            parquet = accepted.parent / f"{part['identity']}.parquet"
            if part["rows"] and not (parquet.exists() and pq.read_metadata(parquet).num_rows == part["rows"]):
                yield f"{_of(parquet, root)} is not there, or not of {part['rows']:,} rows"


def accepted_token(root: Path, connection: str, month: str) -> str | None:
    return (_json(root / "staged" / connection / month / "accepted.json") or {}).get("token")


def current_token(root: Path, connection: str, month: str) -> str | None:
    return (_json(root / "landing" / connection / month / "current.json") or {}).get("token")


def left_over(root: Path) -> list[Path]:
    """Temporary files and folders, of which there are none when no process runs."""
    found = [*(root / "scratch").glob("*")] if (root / "scratch").exists() else []
    for kept in ("landing", "staged"):
        found += [path for path in root.glob(f"{kept}/**/.*") if not path.parent.name.startswith(".")]
    return found


def _json(path: Path) -> dict | None:
    try:
        return json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _of(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()
