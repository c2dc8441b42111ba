"""How much of what was delivered a report repeats: a few examples, each value only as far as people read it."""

from collections.abc import Mapping, Sequence

EXAMPLES = 5
LONGEST_VALUE = 200
_LONGEST_LIST = 30


def place(example: Mapping[str, object]) -> str:
    """Where an example stands.

    >>> place({"file": "bill.csv", "line": 1234, "BilledCost": "5"})
    'line 1,234 of bill.csv'
    >>> place({"file": "bill.parquet", "row": 3})
    'row 3 of bill.parquet'
    """
    within = place_within(example)
    return f"{within} of {example['file']}" if within else str(example.get("file", ""))


def place_within(example: Mapping[str, object]) -> str:
    """Where in its file an example stands: its line or, where there are no lines, its row; "" for a whole file."""
    return next((f"{what} {example[what]:,}" for what in ("line", "row") if what in example), "")


def values(example: Mapping[str, object]) -> dict[str, str | None]:
    """Column -> value of an example, without its place."""
    return {name: value for name, value in example.items() if name not in ("file", "line", "row")}


def by_line(example: dict, lines: Mapping[int, int]) -> dict:
    """The example with its line in the place of its row. lines: row -> line, of its file.

    >>> by_line({"file": "bill.csv", "row": 3, "BilledCost": "5"}, {3: 7})
    {'file': 'bill.csv', 'line': 7, 'BilledCost': '5'}
    """
    if (line := lines.get(example.get("row"))) is None:
        return example
    file = {"file": example["file"]} if "file" in example else {}
    return file | {"line": line} | values(example)


def described(example: Mapping[str, object]) -> str:
    """The place and the values of an example."""
    told = in_words(example)
    return f"{place(example)}: {told}" if told else place(example)


def in_words(example: Mapping[str, object]) -> str:
    """The values of an example.

    >>> in_words({"file": "bill.csv", "line": 3, "BilledCost": "1,5", "ChargeCategory": None})
    'BilledCost = 1,5, ChargeCategory = (empty)'
    """
    said = {None: "(empty)", "": "(empty text)"}
    return ", ".join(f"{name} = {said.get(value, value)}" for name, value in values(example).items())


def shortened(text: str) -> str:
    """The SQL expression of a text, no longer than shortened_value() needs it: values can have megabytes."""
    return f"left({text}, {LONGEST_VALUE + 1})"


def shortened_value(value: str | None) -> str | None:
    """A value as far as people read it; it ends in "…" where there is more."""
    return value if value is None or len(value) <= LONGEST_VALUE else f"{value[:LONGEST_VALUE]}…"


def named(names: Sequence[str]) -> str:
    """Names in a sentence: the first of them, where they are many.

    >>> named(["x", "y"])
    'x, y'
    """
    shown = ", ".join(shortened_value(name) for name in names[:_LONGEST_LIST])
    more = len(names) - _LONGEST_LIST
    return f"{shown} and {more:,} more" if more > 0 else shown
