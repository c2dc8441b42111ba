"""How much a delivered file may unpack to, and how much of a month a delivery may take away."""

import re
from dataclasses import dataclass

_UNITS = {"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
AMOUNT = re.compile(r"(\d+(?:\.\d+)?) ?([KMGT]i?)B")
"""An amount of memory or of a file, such as 1GB or 500 MiB."""

# Bills are packed to a tenth or a thirtieth. gzip packs to a thousandth at most, which takes one line over and over.
_HIGHEST_RATIO = 500
_RATIO_COUNTS_FROM = 10**9


@dataclass(frozen=True)
class Limits:
    """unpacked: the bytes that a file may have once it is unpacked (`FOCUS_UNPACKED_LIMIT`).

    loss: the share of a month's rows or costs that may be gone from one delivery to the next, before it is held back
    (`FOCUS_LOSS_LIMIT`, in per cent). restatement: the share by which a load may move the BilledCost of a month that is
    over, before a check warns (`FOCUS_RESTATEMENT_LIMIT`, in per cent).
    """

    unpacked: int = 100 * 10**9
    loss: float = 0.5
    restatement: float = 0.05

    def broken_by(self, unpacked: int, packed: int) -> str:
        """What to tell of a file of `packed` bytes that holds at least `unpacked`; "" where it keeps the limits."""
        if unpacked > self.unpacked:
            return (
                f"it unpacks to more than {self.unpacked:,} bytes; split it, or raise FOCUS_UNPACKED_LIMIT where such "
                "files are expected"
            )
        if unpacked > _RATIO_COUNTS_FROM and unpacked > _HIGHEST_RATIO * packed:
            return (
                f"its {packed:,} bytes unpack to more than {unpacked:,}, over {_HIGHEST_RATIO} times as many, as no "
                "bill does; check how it was made"
            )
        return ""


USUAL_LIMITS = Limits()


def bytes_of(amount: str) -> int:
    """The bytes of an amount. Raises ValueError where it is none.

    >>> bytes_of("1.5 GB")
    1500000000
    """
    if (told := AMOUNT.fullmatch(amount)) is None:
        raise ValueError(f"{amount!r} is no amount such as 1GB")
    return int(float(told[1]) * _UNITS[told[2]])
