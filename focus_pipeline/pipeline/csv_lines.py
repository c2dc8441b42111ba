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

# What stands between the quotes of a value, to the closing one; within, quotes are doubled.
_TO_CLOSING_QUOTE = re.compile(rb'(?:[^"]++|"")*+"')


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
    # A quote opens a value where it is the value's first character; elsewhere it is a character like others.
    inside: int | None = 0
    if not begins_within:
        inside = 1 if line.startswith(b'"') else _behind_opening_quote(line, 0)
    while inside is not None:
        if (closing := _TO_CLOSING_QUOTE.match(line, inside)) is None:
            return True
        inside = _behind_opening_quote(line, closing.end())
    return False


def _behind_opening_quote(line: bytes, start: int) -> int | None:
    place = line.find(b',"', start)
    return place + 2 if place >= 0 else None


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Each line with its end. One that is far too long is the last, cut off."""
    begun = b""
    while len(begun) <= _LONGEST and (block := stream.read(_BLOCK)):
        # What may be the first half of a CRLF, or of a line, waits for more.
        *whole, begun = (begun + block).splitlines(keepends=True)
        yield from whole
    if begun:
        yield begun
