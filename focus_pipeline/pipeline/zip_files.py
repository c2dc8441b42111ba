"""Zip archives among the delivered files: what they hold are files of the delivery, under the archive's key."""

import shutil
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from focus_pipeline.connections.delivery import BILL_SUFFIXES
from focus_pipeline.limits import Limits
from focus_pipeline.records.landed import LandedFile

_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_MOST_FILES = 10_000
_CHUNK = 1024 * 1024


@dataclass(frozen=True)
class Unpacked:
    """files: those of the delivery, the files of an archive in its place, and one that cannot be unpacked as itself.

    faults: key of such an archive -> what is wrong with it. left_out: keys of files that are no bills by their names.
    """

    files: list[LandedFile] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)
    left_out: set[str] = field(default_factory=set)


def unpacked(files: Iterable[LandedFile], folder: Path, limits: Limits) -> Unpacked:
    """The files of a delivery, archives unpacked into `folder` chunk by chunk.

    Raises OSError where disk is wanting.
    """
    found = Unpacked()
    for number, file in enumerate(files):
        with file.path.open("rb") as opened:
            is_archive = opened.read(4) in _ZIP
        if not is_archive:
            found.files.append(file)
            continue
        place = folder / f"unpacked-{number:05d}"
        try:
            taken, left_out = _taken_out(file, place, limits)
        except _Fault as error:
            shutil.rmtree(place, ignore_errors=True)
            found.files.append(file)
            found.faults[file.key] = str(error)
        else:
            found.files.extend([*taken, *left_out])
            found.left_out.update(member.key for member in left_out)
    return found


class _Fault(Exception):
    pass


def _taken_out(file: LandedFile, place: Path, limits: Limits) -> tuple[list[LandedFile], list[LandedFile]]:
    try:
        with zipfile.ZipFile(file.path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if fault := _fault(members, file.size, limits):
                raise _Fault(fault)
            place.mkdir()
            taken, left_out = [], []
            for number, member in enumerate(members):
                key, path = f"{file.key}/{member.filename}", place / f"{number:05d}"
                if _is_bill(member.filename):
                    path = path.with_name(f"{path.name}{_suffix(member.filename)}")
                    with archive.open(member) as source, path.open("wb") as target:
                        shutil.copyfileobj(source, target, _CHUNK)
                    taken.append(LandedFile(key, file.etag, path.stat().st_size, path))
                else:
                    left_out.append(LandedFile(key, file.etag, member.file_size, file.path))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        told = f"the zip archive is damaged or of an unknown kind ({error}); pack it anew and upload it again"
        raise _Fault(told) from None
    if not taken:
        raise _Fault(f"the zip archive holds no file that ends in {', '.join(BILL_SUFFIXES)}")
    return taken, left_out


def _fault(members: list[zipfile.ZipInfo], size: int, limits: Limits) -> str:
    """Why an archive is not unpacked, by its list of contents; "" where it can be."""
    names = [member.filename for member in members]
    if any(member.flag_bits & 1 for member in members):
        return "the zip archive is encrypted; upload it without a password"
    if len(set(names)) < len(names):
        return "the zip archive holds several files of one name; pack it anew"
    if len(names) > _MOST_FILES:
        return f"the zip archive holds {len(names):,} files, more than {_MOST_FILES:,}; split it"
    if inner := next((name for name in names if name.lower().endswith(".zip")), None):
        return f"the zip archive holds another one, {inner}; pack the files themselves"
    return limits.broken_by(sum(member.file_size for member in members), size)


def _is_bill(name: str) -> bool:
    hidden = any(part.startswith((".", "~$", "__MACOSX")) for part in name.split("/"))
    return not hidden and name.endswith(BILL_SUFFIXES)


def _suffix(name: str) -> str:
    return next(suffix for suffix in BILL_SUFFIXES if name.endswith(suffix))
