"""What is suspicious about a month as it was loaded, though each of its rows is well."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from focus_pipeline.limits import USUAL_LIMITS, Limits
from focus_pipeline.months import months_back
from focus_pipeline.pipeline.status import MonthStatus

# Of the score of the month before, as a share of all rules.
LOST_SCORE = 0.02

CHECKS = {
    "settled": "The last load moved a month that is over by no more than FOCUS_RESTATEMENT_LIMIT.",
    "grows": "The running month has not lost rows or BilledCost by its last load.",
    "conformance_kept": "No connection keeps fewer rules than in the month before.",
}


def suspicious(
    month: str, running_month: str, statuses: Mapping[tuple[str, str], MonthStatus], limits: Limits = USUAL_LIMITS
) -> dict[str, Sequence[str]]:
    """Check -> what it finds in a month, a sentence for each connection. statuses: by connection and month."""
    of_month = [one for (_, other), one in sorted(statuses.items()) if other == month]
    before = months_back(month, 1)[0]
    return {
        "settled": [said for one in of_month if month < running_month and (said := _moved(one, limits))],
        "grows": [said for one in of_month if month >= running_month and (said := _fell(one))],
        "conformance_kept": [
            said for one in of_month if (said := _conforms_less(one, statuses.get((one.connection, before))))
        ],
    }


def _moved(one: MonthStatus, limits: Limits) -> str:
    if not one.rows_before:
        return ""
    before, after = dict(one.cost_before), dict(one.cost)
    moved = [
        f"from {before.get(currency, Decimal(0)):,.2f} to {after.get(currency, Decimal(0)):,.2f} {currency}".strip()
        for currency in sorted(before | after)
        if abs(after.get(currency, Decimal(0)) - before.get(currency, Decimal(0)))
        > Decimal(str(limits.restatement)) * abs(before.get(currency, Decimal(0)))
    ]
    if not moved:
        return ""
    return f"{one.connection} {one.month} is over, and its last load moved BilledCost {' and '.join(moved)}"


def _fell(one: MonthStatus) -> str:
    if one.rows is None or not one.rows_before:
        return ""
    before, after = dict(one.cost_before), dict(one.cost)
    fell = [
        f"from {cost:,.2f} to {after.get(currency, Decimal(0)):,.2f} {currency}".strip()
        for currency, cost in sorted(before.items())
        if after.get(currency, Decimal(0)) < cost
    ]
    rows = f"from {one.rows_before:,} to {one.rows:,} rows" if one.rows < one.rows_before else ""
    if not (fell or rows):
        return ""
    said = " and ".join([*fell, rows] if rows else fell)
    return f"{one.connection} {one.month} is running, and its last load fell {said}"


def _conforms_less(one: MonthStatus, before: MonthStatus | None) -> str:
    if one.score is None or before is None or before.score is None or one.score >= before.score - LOST_SCORE:
        return ""
    return (
        f"{one.connection} keeps {one.score:.1%} of the rules in {one.month}, and kept {before.score:.1%} in "
        f"{before.month}; focus.conformance says which it breaks"
    )
