"""What a picture shows, apart from how it is drawn."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["stacked_bars", "lines", "bars", "changes", "waterfall"]

KINDS: dict[Kind, str] = {
    "stacked_bars": "a bar for each x, stacked by series",
    "lines": "a line for each series, from x to x",
    "bars": "a horizontal bar for each x, the longest first",
    "changes": "a horizontal bar for each x, up or down from 0, the longest first",
    "waterfall": "the columns of y as bars, with the steps between them",
}

Format = Literal["amount", "price", "share", "number"]
"""How values are written: an amount with the currency, a price with four decimals, a share in per cent, a number."""


@dataclass(frozen=True)
class Picture:
    """A picture of a mart.

    x, y, series: columns of the mart, or SQL over them; a y that is a column is summed up. A waterfall has a y of
    several columns, and no x. where: SQL condition. of: another mart whose rows are drawn. months: how many months up
    to the newest one; 1 for the month itself. top: how many series, or bars; the rest is added up as "other". marks:
    the mart's own rows of these x are marked, for a picture `of` another one.
    """

    title: str
    kind: Kind
    y: tuple[str, ...]
    x: str = ""
    series: str = ""
    where: str = ""
    of: str = ""
    months: int = 1
    top: int = 7
    format: Format = "amount"
    marks: bool = False


@dataclass(frozen=True)
class Point:
    """x, series: as text, "" where there is none."""

    x: str
    series: str
    y: float


@dataclass(frozen=True)
class Drawable:
    """The values of a picture in one currency ("" where there is none). marks: x of points that are marked.

    fault: why it cannot be drawn.
    """

    picture: Picture
    currency: str
    when: str
    points: tuple[Point, ...] = ()
    marks: tuple[str, ...] = ()
    fault: str = ""

    @property
    def title(self) -> str:
        """With the currency and the time."""
        return ", ".join(part for part in (self.picture.title, self.currency, self.when) if part)


def written(value: float, how: Format) -> str:
    """A value for people.

    >>> written(1234567.4, "amount"), written(0.0312, "price"), written(0.254, "share")
    ('1,234,567', '0.0312', '25 %')
    """
    if how == "share":
        return f"{value * 100:,.0f} %"
    if how == "price":
        return f"{value:,.2f}" if abs(value) >= 1 else f"{value:,.4f}"
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:,.2f}"
