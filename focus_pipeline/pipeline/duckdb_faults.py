"""What DuckDB says of a file that it cannot read, in words for the file's owner."""

import re
from collections.abc import Callable

import duckdb

from focus_pipeline.pipeline.csv_files import LONGEST_LINE
from focus_pipeline.visible import visible

# What DuckDB says about a line of a CSV file -> what it means.
_OF_A_LINE = {
    r"Expected Number of Columns: (\d+) Found: (\d+).*": r"it has \2 values where the header has \1 columns",
    r"Value with unterminated quote found.*": "a quote is not closed, or text follows the closing one",
    r"Invalid unicode.*": "it is not encoded as UTF-8",
    r"Maximum line size of.*": f"it is longer than {LONGEST_LINE:,} bytes",
}

# The same of a whole file. Numbers and names of DuckDB's own mean nothing to its owner.
_OF_A_FILE = {
    "state machine reached an invalid state": (
        "its lines end in different ways (some in CRLF, some in LF), or a quote stands in a wrong place"
    ),
    "does not support a full read": "more empty lines follow one another than can be read over; leave them out",
    "Input is not a GZIP stream": "bytes follow the end of its gzip stream",
    "Unsupported GZIP archive": "its gzip header has parts that are rarely used and not read here; compress it anew",
    "No magic bytes found|too small to be a Parquet file": "it does not end as a Parquet file does",
    "Footer length error|Prefetch registered for bytes outside file|Could not read enough bytes": (
        "its parts do not lie where it says that they do"
    ),
    "is encrypted": "it is encrypted",
    "TProtocolException|don't know what type|Out of buffer|No more data to read|Invalid data": (
        "its metadata cannot be read"
    ),
    "decompress": "a part of it cannot be unpacked",
    "Invalid string encoding|Invalid unicode": "it holds text that is not UTF-8",
}


def explained(error: duckdb.Error, line_of: Callable[[int], int] = int) -> str:
    """The line and the reason, without DuckDB's own options, hints and paths; one line of characters that are seen.

    line_of: gives the line of what DuckDB calls one, which is a record or an empty line.
    """
    text = re.split(r"\nPossible |\n +file = |\n\nLINE ", str(error))[0].strip()
    told = re.search(r"CSV Error on Line: (\d+)(?:\s+Original Line:\s*(.*))?\n(.+)", text, re.DOTALL)
    meant = next((meant for said, meant in _OF_A_FILE.items() if re.search(said, text, re.IGNORECASE)), None)
    if told is None or (meant and "state machine" in text):
        return meant or _bare(text) or type(error).__name__
    number, line, fault = told.groups()
    for said, in_words in _OF_A_LINE.items():
        fault = re.sub(said, in_words, fault)
    begins = f"; it begins with {line.strip()[:100]!r}" if line else ""
    return visible(f"line {line_of(int(number)):,}: {fault}{begins}")


def _bare(text: str) -> str:
    """A sentence of DuckDB's without its class and the place of the file."""
    first = next(iter(text.splitlines()), "")
    without_class = re.sub(r"^([A-Z][A-Za-z]* )+Error: ", "", first)
    return visible(re.sub(r"""(?i)(the )?file ["']?/[^"']*["']?:?""", "the file", without_class))[:300]
