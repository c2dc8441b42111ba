"""Draws pictures as SVG, by matplotlib: legible on light and dark pages, and by people who see few colours."""

import base64
import io
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from focus_pipeline.pictures.picture import Drawable, Kind, Point, written

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# After Okabe and Ito, but for the yellow, which nobody sees on white.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#7A6FAC", "#A0761E")
OTHER = "#9AA0A6"
UP, DOWN = "#D55E00", "#0072B2"

_TEXT, _LINES = "#24292f", "#d0d7de"
_WIDTH, _PIXELS = 7.6, 100
_LABEL = 34
_BAR = 0.8

_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "focus_pipeline",  # the same picture is the same bytes
    "text.parse_math": False,  # a dollar sign is one
    "text.color": _TEXT,
    "axes.labelcolor": _TEXT,
    "axes.edgecolor": _LINES,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _LINES,
    "grid.linewidth": 0.6,
    "xtick.color": _TEXT,
    "ytick.color": _TEXT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}


@lru_cache(maxsize=128)
def drawn(one: Drawable) -> str:
    """The picture as an SVG element. Its text is in the colour of the page's text: `currentColor`.

    Kept: pictures of several months are the same for each month of a run, and in its reports.
    """
    draw = _DRAWINGS[one.picture.kind]
    with _figure() as figure:
        draw(figure, one)
        figure.axes[0].set_title(one.title, loc="left", fontweight="bold", fontsize=10.5, pad=12)
        return _svg(figure)


@dataclass(frozen=True)
class Cell:
    """A cell of a grid. strength: of its colour, 0 to 1."""

    colour: str
    text: str = ""
    strength: float = 1.0


def grid(
    title: str,
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Mapping[tuple[str, str], Cell],
    legend: Mapping[str, Cell],
) -> str:
    """A grid of coloured cells as an SVG element. cells: row and column -> cell. legend: meaning -> cell."""
    from matplotlib.patches import Patch, Rectangle

    with _figure() as figure:
        figure.set_size_inches(max(_WIDTH, 2.0 + 0.42 * len(columns)), 1.35 + 0.34 * max(len(rows), 1))
        axes = figure.subplots()
        axes.grid(visible=False)
        for y, row in enumerate(rows):
            for x, column in enumerate(columns):
                if cell := cells.get((row, column)):
                    axes.add_patch(
                        Rectangle((x - 0.46, y - 0.42), 0.92, 0.84, color=cell.colour, alpha=cell.strength, linewidth=0)
                    )
                    axes.text(x, y, cell.text, ha="center", va="center", fontsize=8)
        axes.set_xlim(-0.6, max(len(columns), 1) - 0.4)
        axes.set_ylim(max(len(rows), 1) - 0.4, -0.6)
        axes.set_xticks(range(len(columns)), columns, rotation=90 if len(columns) > 12 else 30)
        axes.set_yticks(range(len(rows)), [_cut(row) for row in rows])
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        patches = [
            Patch(color=cell.colour, alpha=cell.strength, label=f"{cell.text}  {meaning}".strip())
            for meaning, cell in legend.items()
        ]
        figure.legend(handles=patches, loc="outside lower left", ncols=6, handlelength=1.0, columnspacing=1.2)
        axes.set_title(title, loc="left", fontweight="bold", fontsize=10.5, pad=12)
        return _svg(figure)


def in_markdown(svg: str, described: str) -> str:
    """An SVG as an image in Markdown. It has a light card of its own, whatever the page looks like."""
    start = svg.index(">", svg.index("<svg")) + 1
    card = '<rect width="100%" height="100%" rx="6" fill="#ffffff"/>'
    alone = (svg[:start] + card + svg[start:]).replace("currentColor", _TEXT)
    encoded = base64.b64encode(alone.encode()).decode()
    alternative = described.replace("[", "(").replace("]", ")").replace("\n", " ")
    return f"![{alternative}](data:image/svg+xml;base64,{encoded})"


@contextmanager
def _figure() -> "Iterator[Figure]":
    # Imported here: only who draws waits for it.
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        # Its own fonts lack what the reader's have.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield Figure(figsize=(_WIDTH, 3.2), dpi=_PIXELS, layout="constrained")


def _svg(figure: "Figure") -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    text = file.getvalue()
    element = text[text.index("<svg") :].replace(_TEXT, "currentColor")
    return element.replace(f"stroke: {_LINES}", "stroke: currentColor; stroke-opacity: 0.2")


def _grouped(points: Sequence[Point], top: int) -> dict[str, dict[str, float]]:
    """Series -> x -> y, the largest series first, and the rest as "other"."""
    totals: dict[str, float] = {}
    for point in points:
        totals[point.series] = totals.get(point.series, 0.0) + abs(point.y)
    kept = _largest(totals, top)
    series: dict[str, dict[str, float]] = {name: {} for name in kept}
    for point in points:
        values = series.setdefault(point.series if point.series in kept else "other", {})
        values[point.x] = values.get(point.x, 0.0) + point.y
    return series


def _largest(totals: Mapping[str, float], top: int) -> list[str]:
    """The largest ones, whatever their sign. One more than `top` needs no "other"."""
    largest = sorted(totals, key=lambda name: -abs(totals[name]))
    return largest if len(largest) <= top + 1 else largest[:top]


def _colours(series: Mapping[str, object]) -> dict[str, str]:
    return {name: OTHER if name == "other" else PALETTE[number % len(PALETTE)] for number, name in enumerate(series)}


def _stacked_bars(figure: "Figure", one: Drawable) -> None:
    axes = figure.subplots()
    places = sorted({point.x for point in one.points})
    series = _grouped(one.points, one.picture.top)
    up, down = dict.fromkeys(places, 0.0), dict.fromkeys(places, 0.0)
    colours = _colours(series)
    for name, values in series.items():
        heights = [values.get(place, 0.0) for place in places]
        bottoms = [up[place] if height >= 0 else down[place] for place, height in zip(places, heights, strict=True)]
        axes.bar(places, heights, bottom=bottoms, color=colours[name], label=_cut(name or "none"), width=0.72)
        for place, height in zip(places, heights, strict=True):
            (up if height >= 0 else down)[place] += height
    if min(down.values(), default=0.0) < 0:
        axes.axhline(0, color=_TEXT, linewidth=0.8)
    _finish_upright(axes, places, one, legend=list(series) != [""])


def _lines(figure: "Figure", one: Drawable) -> None:
    axes = figure.subplots()
    places = sorted({point.x for point in one.points})
    series = _grouped(one.points, one.picture.top)
    colours = _colours(series)
    for number, (name, values) in enumerate(series.items()):
        heights = [values.get(place, float("nan")) for place in places]
        dashes = ("-", "--", "-.", ":")[number // len(PALETTE) % 4]
        axes.plot(
            range(len(places)),
            heights,
            dashes,
            color=colours[name],
            label=_cut(name or "none"),
            linewidth=1.6,
            marker="o" if len(places) <= 31 else None,
            markersize=3,
        )
    marked = [number for number, place in enumerate(places) if place in set(one.marks)]
    for number in marked:
        axes.axvline(number, color=UP, linewidth=5, alpha=0.22, label="anomaly" if number == marked[0] else None)
    low, high = axes.get_ylim()
    low = min(0.0, low)
    axes.set_ylim(low, high + 0.04 * (high - low))
    _finish_upright(axes, places, one, legend=list(series) != [""] or bool(marked), numbered=True)


def _finish_upright(
    axes: "Axes", places: Sequence[str], one: Drawable, *, legend: bool, numbered: bool = False
) -> None:
    from matplotlib.ticker import FuncFormatter

    axes.grid(axis="x", visible=False)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: written(value, one.picture.format)))
    every = max(1, len(places) // 12 + (len(places) % 12 > 0)) if len(places) > 13 else 1
    shown = list(range(0, len(places), every))
    axes.set_xticks(shown if numbered else [places[number] for number in shown], [places[number] for number in shown])
    if len(shown) * max(map(len, places), default=0) > 90:
        axes.tick_params(axis="x", rotation=30)
    if legend:
        handles, labels = axes.get_legend_handles_labels()
        axes.legend(handles[::-1], labels[::-1], loc="center left", bbox_to_anchor=(1.0, 0.5))


def _bars(figure: "Figure", one: Drawable) -> None:
    _across(figure, one, lambda value: PALETTE[0], signed=False)


def _changes(figure: "Figure", one: Drawable) -> None:
    _across(figure, one, lambda value: UP if value > 0 else DOWN, signed=True)


def _across(figure: "Figure", one: Drawable, colour: Callable[[float], str], *, signed: bool) -> None:
    totals: dict[str, float] = {}
    for point in one.points:
        totals[point.x] = totals.get(point.x, 0.0) + point.y
    values = {name: totals[name] for name in _largest(totals, one.picture.top)}
    rest = [name for name in totals if name not in values]
    if rest and one.picture.format in ("amount", "number"):
        values[f"{len(rest)} others"] = sum(totals[name] for name in rest)
    figure.set_size_inches(_WIDTH, 0.9 + 0.3 * max(len(values), 1))
    axes = figure.subplots()
    axes.grid(axis="y", visible=False)
    names = [_cut(name or "none") for name in values]
    numbers = range(len(values))
    bars = axes.barh(numbers, list(values.values()), color=[colour(value) for value in values.values()], height=0.66)
    said = [("+" if signed and value > 0 else "") + written(value, one.picture.format) for value in values.values()]
    axes.bar_label(bars, said, padding=4, fontsize=8.5, color=_TEXT)
    axes.set_yticks(numbers, names)
    axes.invert_yaxis()
    axes.set_xticks([])
    axes.margins(x=0.16)
    axes.spines["bottom"].set_visible(False)
    if signed:
        axes.axvline(0, color=_TEXT, linewidth=0.8)
        axes.spines["left"].set_visible(False)


def _waterfall(figure: "Figure", one: Drawable) -> None:
    totals = {point.x: point.y for point in one.points}
    axes = figure.subplots()
    axes.grid(axis="x", visible=False)
    names = list(totals)
    for number, name in enumerate(names):
        bars = axes.bar(2 * number, totals[name], color=PALETTE[0], width=_BAR)
        axes.bar_label(bars, [written(totals[name], one.picture.format)], padding=3, fontsize=8.5, color=_TEXT)
        if number:
            before = totals[names[number - 1]]
            step = totals[name] - before
            colour = PALETTE[2] if step <= 0 else UP
            bars = axes.bar(2 * number - 1, step, bottom=before, color=colour, width=_BAR)
            sign = "+" if step > 0 else ""
            share = f" ({step / before:+.0%})" if before else ""
            axes.bar_label(
                bars, [sign + written(step, one.picture.format) + share], padding=3, fontsize=8.5, color=_TEXT
            )
    axes.set_xticks([2 * number for number in range(len(names))], names)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.margins(x=0.03)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.12 * (high - low))


def _cut(name: str) -> str:
    return name if len(name) <= _LABEL else f"{name[: _LABEL - 1]}…"


_DRAWINGS: Mapping[Kind, "Callable[[Figure, Drawable], None]"] = {
    "stacked_bars": _stacked_bars,
    "lines": _lines,
    "bars": _bars,
    "changes": _changes,
    "waterfall": _waterfall,
}
