"""The status of months as a grid: connections by months, as a picture and as a table."""

from collections.abc import Sequence
from decimal import Decimal

from focus_pipeline.pictures.drawing import Cell, grid
from focus_pipeline.pipeline.status import EMPTIED, HELD_BACK, LOADED, MISSING, PENDING, REJECTED, MonthStatus

# As wide as a page shows with legible text.
SHOWN_MONTHS = 24

CELLS = {
    LOADED: Cell("#009E73", "", 0.85),
    EMPTIED: Cell("#56B4E9", "0"),
    PENDING: Cell("#E69F00", "…", 0.8),
    HELD_BACK: Cell("#CC79A7", "‖", 0.9),
    REJECTED: Cell("#D55E00", "×"),
    MISSING: Cell("#9AA0A6", "–", 0.45),
}

# What is well comes last.
_ORDER = (REJECTED, HELD_BACK, PENDING, MISSING, EMPTIED, LOADED)


def drawn_grid(statuses: Sequence[MonthStatus]) -> str:
    """The newest months as an SVG element: the state as colour and sign, and the conformance in per cent."""
    months = sorted({one.month for one in statuses})[-SHOWN_MONTHS:]
    cells = {}
    for one in statuses:
        cell = CELLS[one.state]
        if one.state == LOADED and one.score is not None:
            # Whatever is below 80 % is as pale as can be.
            strength = 0.25 + 0.6 * max(0.0, (one.score - 0.8) / 0.2)
            cell = Cell(cell.colour, f"{int(one.score * 100)}", strength)
        cells[one.connection, one.month] = cell
    legend = {f"{state} (conformance in %)" if state == LOADED else state: cell for state, cell in CELLS.items()}
    return grid("Status of each month", sorted({one.connection for one in statuses}), months, cells, legend)


def worst_first(statuses: Sequence[MonthStatus]) -> list[MonthStatus]:
    """What needs a person before what does not, and newer months before older ones."""
    newest = sorted(statuses, key=lambda one: (one.month, one.connection), reverse=True)
    return sorted(newest, key=lambda one: _ORDER.index(one.state))


def in_cells(one: MonthStatus) -> dict[str, str]:
    """A status as text, by the name of its column."""
    return {
        "connection": one.connection,
        "month": one.month,
        "state": one.state,
        "rows": "" if one.rows is None else _change(f"{one.rows_before:,}", f"{one.rows:,}"),
        "BilledCost": _change(_amounts(one.cost_before), _amounts(one.cost)),
        "conformance": "" if one.score is None else f"{int(one.score * 1000) / 10:.1f} %",
        "why": one.why,
    }


def _change(before: str, after: str) -> str:
    return after if before in ("", "0", after) else f"{before} → {after}"


def _amounts(costs: Sequence[tuple[str, Decimal]]) -> str:
    return ", ".join(f"{cost:,.2f} {currency}".strip() for currency, cost in costs)
