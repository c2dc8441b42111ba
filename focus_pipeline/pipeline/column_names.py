"""Names of columns, as a delivered file has them: how many, of what characters, each once."""

from collections.abc import Sequence

from focus_pipeline.visible import visible

# The columns of FOCUS and hundreds for tags; what is there to read takes memory for each of them.
_MOST_COLUMNS = 2_000


class UnreadableFile(Exception):
    """The file cannot be read as what it claims to be. The message says why and what its owner can do; what it repeats
    of the file is to be seen, and nothing else: see visible().
    """

    def __init__(self, message: str) -> None:
        super().__init__(visible(message))


def refuse_names(names: Sequence[str]) -> None:
    """Raises UnreadableFile where there are too many, or one that SQL cannot name."""
    if len(names) > _MOST_COLUMNS:
        raise UnreadableFile(
            f"it has {len(names):,} columns, more than {_MOST_COLUMNS:,}; write what is not of FOCUS into one column, "
            "such as Tags"
        )
    if holding := [name for name in names if "\0" in name]:
        raise UnreadableFile(f"the column name {holding[0][:80]!r} holds a NUL character; name the column without")


def refuse_doubled(names: Sequence[str]) -> None:
    """Raises UnreadableFile where two of them are one, but for case and surrounding spaces."""
    seen: dict[str, str] = {}
    for name in names:
        if (folded := name.strip().lower()) in seen:
            raise UnreadableFile(f"it has the column {seen[folded]} twice; leave one of them out")
        seen[folded] = name.strip()
