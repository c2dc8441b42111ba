"""Holds back a delivery that takes much of a month away, until it is sure that this is meant.

staged/<connection>/<YYYY-MM>/held_back.json     the delivery that is held back, and why
"""

from decimal import Decimal

from focus_pipeline.records.staged import StagedMonth


def loss(before: StagedMonth, now: StagedMonth, limit: float) -> str:
    """What of a month would be gone, in words; "" where no more than the limit is, a share of its rows or costs.

    What a provider says in a manifest is believed; what is gone because a file is rejected is in no manifest.
    """
    if now.declared and not now.rejected_files:
        return ""
    lost = []
    if now.rows < before.rows * (1 - limit):
        lost.append(f"from {before.rows:,} rows to {now.rows:,}")
    costs = {total.currency: Decimal(total.billed_cost) for total in now.totals}
    for total in before.totals:
        cost, left = Decimal(total.billed_cost), costs.get(total.currency, Decimal(0))
        # A cost that turned into its opposite, too, is one that was lost.
        if cost > 0 and left < cost * Decimal(1 - limit):
            lost.append(f"from {cost:,.2f} to {left:,.2f} {total.currency or 'without currency'}")
    return f"it would take {now.connection} {now.month} {' and '.join(lost)}" if lost else ""
