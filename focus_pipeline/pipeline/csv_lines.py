"""On which line of a CSV file a record begins: readers count records, people look for lines.

A line ends in LF, CRLF or CR, also within quotes. A record can have several lines, and empty ones are no records.
"""

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import BinaryIO

from focus_pipeline.pipeline.csv_files import LONGEST_LINE, unpacked

_BLOCK = 256 * 1024
# No file that is loaded has a longer line.
_LONGEST = 2 * LONGEST_LINE

# A quote begins a quoted value where it is the value's first character, and is a character like others elsewhere.
_INSIDE = rb'(?:[^"]++|"")*+"'
_VALUE = rb'(?:"' + _INSIDE + rb'[^,]*+|[^",][^,]*+)?+'
_VALUES = re.compile(_VALUE + rb"(?:," + _VALUE + rb")*+")
_REST_OF_VALUES = re.compile(_INSIDE + rb"[^,]*+(?:," + _VALUE + rb")*+")


def lines_of_rows(path: Path, packed: bool, rows: Collection[int]) -> dict[int, int]:
    """Row (from 1, header not counted) -> line on which it begins (from 1, which is the header's).

    Reads the file up to the last of the rows. Without those that it does not have.
    """
    wanted, lines = set(rows), {}
    with unpacked(path, packed) as stream:
        records = (line for line, is_empty in _parts(stream) if not is_empty)
        for row, line in enumerate(records):
            if row in wanted:
                lines[row] = line
            if len(lines) == len(wanted):
                break
    return lines


def line_of_part(path: Path, packed: bool, number: int) -> int | None:
    """The line on which the n-th record or empty line begins, from 1, the header counted; None where it has none."""
    with unpacked(path, packed) as stream:
        return next((line for n, (line, _) in enumerate(_parts(stream), 1) if n == number), None)


def _parts(stream: BinaryIO) -> Iterator[tuple[int, bool]]:
    """The line on which each record, and each empty line between them, begins; whether it is an empty line."""
    is_within = False
    for number, line in enumerate(_lines(stream), 1):
        if not is_within:
            yield number, not line.rstrip(b"\r\n")
        if is_within or b'"' in line:
            is_within = _ends_within_quotes(line, is_within)


def _ends_within_quotes(line: bytes, begins_within: bool) -> bool:
    told = (_REST_OF_VALUES if begins_within else _VALUES).match(line)
    return told is None or told.end() < len(line)


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Each line with its end. One that is far too long is the last, cut off."""
    begun = b""
    while len(begun) <= _LONGEST and (block := stream.read(_BLOCK)):
        # What may be the first half of a CRLF, or of a line, waits for more.
        *whole, begun = (begun + block).splitlines(keepends=True)
        yield from whole
    if begun:
        yield begun
