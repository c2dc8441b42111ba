"""Runs a month of one connection from its discovery to its verdict, without Dagster."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from focus_pipeline.connections.delivery import Connection, HeldBack, Ignored
from focus_pipeline.pipeline.judge import judge
from focus_pipeline.pipeline.land import land
from focus_pipeline.pipeline.plan import delivery_of
from focus_pipeline.pipeline.stage import stage
from focus_pipeline.records.landed import LandedDelivery, current_delivery, record_shown, shown_token
from focus_pipeline.records.staged import StagedMonth
from focus_pipeline.records.verdicts import Verdict
from focus_pipeline.storage import DataDir

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fetched:
    """landed: what the month consists of. ignored: what was seen beside it and left alone."""

    landed: LandedDelivery
    ignored: Sequence[Ignored]


@dataclass(frozen=True)
class Judged:
    """What a month was found to be. A verdict that is not accepted says why in its checks."""

    staged: StagedMonth
    verdict: Verdict


@dataclass(frozen=True)
class Outcome:
    """What came of a month."""

    fetched: Fetched
    judged: Judged

    @property
    def accepted(self) -> bool:
        return self.judged.verdict.accepted


def ingest_month(
    connection: Connection, month: str, data_dir: DataDir, *, lookback_months: int = 2, accept_loss: str = ""
) -> Outcome:
    """Fetches, stages and judges a month `YYYY-MM`; publish_months() publishes it where it is accepted.

    lookback_months, accept_loss: see fetch_month and judge_month. A month that is rejected raises nothing: its verdict
    says so. Raises what these two do.
    """
    fetched = fetch_month(connection, month, data_dir, lookback_months=lookback_months)
    return Outcome(fetched, judge_month(connection, fetched.landed, data_dir, accept_loss=accept_loss))


def fetch_month(
    connection: Connection,
    month: str,
    data_dir: DataDir,
    *,
    lookback_months: int = 2,
    expected: str | None = None,
    again: bool = False,
) -> Fetched:
    """Brings what the provider shows of a month into landing.

    lookback_months: an older month that is no longer shown stays as it was. expected: the token that was seen before;
    a connection whose months have to settle keeps what it has when another one is shown by now. again: fetch what is
    shown although it is kept.

    Raises HeldBack where the month cannot be taken now, StoreError and NoBillingPeriods where the provider shows
    nothing, and what land() does.
    """
    name = connection.name
    discovery = connection.discover([month])
    record_shown(name, discovery.months, data_dir)
    delivery = delivery_of(month, discovery, connection, lookback_months, data_dir)
    if delivery is None:
        kept = current_delivery(name, month, data_dir)
        if kept is None:
            raise HeldBack(f"{discovery.looked_in} no longer shows {month} whole, and nothing of it is kept")
        logger.info("%s no longer shows %s whole; what was delivered of it earlier is kept", discovery.looked_in, month)
        return Fetched(kept, discovery.ignored)
    if connection.quiet and expected not in (None, delivery.token):
        changed = f"{discovery.looked_in} shows {month} otherwise than when this run was asked for"
        kept = current_delivery(name, month, data_dir)
        if kept is None:
            raise HeldBack(f"{changed}; it is taken once it has stayed the same for {connection.quiet}")
        logger.warning("%s; what was landed before is kept until it has stayed the same", changed)
        return Fetched(kept, discovery.ignored)
    shown = discovery.deliveries.get(month)
    keys = {item.key for item in shown.objects} if shown and again else ()
    return Fetched(land(connection, delivery, data_dir, again=keys), discovery.ignored)


def judge_month(
    connection: Connection,
    landed: LandedDelivery,
    data_dir: DataDir,
    *,
    accept_loss: str = "",
) -> Judged:
    """Stages and judges what is landed of a month, as its connection has it read.

    accept_loss: "yes", or the token of the delivery whose losses are accepted. Raises what stage() and judge() do.
    """
    staged = stage(landed, data_dir, month_rule=connection.month_rule, focus_version=connection.focus_version)
    accepts = accept_loss in ("yes", shown_token(staged.token))
    return Judged(staged, judge(staged, data_dir, month_rule=connection.month_rule, accept_loss=accepts))
