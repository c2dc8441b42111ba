"""Decides what a month consists of, which months to look at, and whether something is to be done about one.

Lists and records are all it reads; no delivered file is opened.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from focus_pipeline.connections.delivery import Connection, Delivery, Discovery, HeldBack, StoredObject
from focus_pipeline.months import current_month, months_back, months_between
from focus_pipeline.records.accepted import accepted_delivery, held_back
from focus_pipeline.records.landed import current_delivery, current_token, held_months, landed_delivery, shown_token
from focus_pipeline.records.staged import staged_month
from focus_pipeline.records.verdicts import verdict_on
from focus_pipeline.storage import DataDir


def watched_months(held: list[str], lookback_months: int, first: str) -> list[str]:
    """The months to look at: those that are held, those of the look-back, and all since the newest that is held, so
    that nothing is missed while nobody looked. first: the first month that can be loaded.
    """
    recent = months_back(current_month(), lookback_months)
    since = months_between(held[-1], recent[0]) if held else []
    return [month for month in sorted({*recent, *held, *since}) if month >= first]


def delivery_of(
    month: str, discovery: Discovery, connection: Connection, lookback_months: int, data_dir: DataDir
) -> Delivery | None:
    """What the month consists of by this discovery; None where a month of the past is to stay as it was.

    A month that the provider does not show is empty. But one that was delivered once, and is older than the look-back
    or comes with a manifest, has gone to the provider's retention: that takes nothing from the table. Nor does one of
    which the provider keeps less from day to day.
    Raises HeldBack where the provider shows the month, and it cannot be taken now.
    """
    name = connection.name
    if month in discovery.held_back:
        raise HeldBack(discovery.held_back[month])
    if month in discovery.expiring and month in held_months(name, data_dir):
        return None
    if month in discovery.deliveries:
        delivery = discovery.deliveries[month]
        return _with_what_was_deleted(delivery, name, data_dir) if connection.additive else delivery
    recent = months_back(current_month(), lookback_months)
    if month in held_months(name, data_dir) and not (month in recent and connection.missing_month_is_empty):
        return None
    return Delivery(month, ())


def _with_what_was_deleted(delivery: Delivery, name: str, data_dir: DataDir) -> Delivery:
    """The delivery with the files of the accepted one that are no longer shown.

    One that was rejected, or kept its month from being accepted, and was withdrawn since does not come back.
    """
    accepted = accepted_delivery(name, delivery.month, data_dir)
    landed = accepted and landed_delivery(name, delivery.month, accepted.token, data_dir)
    staged = accepted and staged_month(name, delivery.month, accepted.token, data_dir)
    left_out = {item.key for item in delivery.objects} | {
        file.key for file in (staged.rejected_files if staged else ())
    }
    kept = [
        StoredObject(file.key, file.etag, file.size, datetime.min)
        for file in (landed.files if landed else ())
        if file.key not in left_out
    ]
    return replace(delivery, objects=tuple(sorted([*delivery.objects, *kept], key=lambda item: item.key)))


@dataclass(frozen=True)
class Standing:
    """What has become of a delivery that a provider shows.

    verdict: whether the delivery was accepted when it was judged; None where it is not landed, not the current one, or
    not judged. lost: why it is held back, "" where it is not. accepted: it is what publishing takes.
    """

    verdict: bool | None
    lost: str
    accepted: bool


def standing(connection: str, month: str, token: str, data_dir: DataDir) -> Standing:
    """Where a delivery stands. token: the one that the provider shows."""
    current = current_token(connection, month, data_dir)
    # Judged, but not since it is shown again: its checks would show those of what came between.
    if current is None or shown_token(current) != token:
        return Standing(None, "", False)
    verdict = verdict_on(connection, month, current, data_dir)
    lost = held_back(connection, month, current, data_dir)
    accepted = accepted_delivery(connection, month, data_dir)
    is_accepted = bool(verdict) and not lost and accepted is not None and accepted.token == current
    return Standing(verdict, lost, is_accepted)


def quiet_until(connection: Connection, delivery: Delivery, since: datetime, data_dir: DataDir) -> datetime:
    """When a month has stayed as it is for as long as its connection asks, UTC. since: when this was first seen."""
    if not connection.quiet:
        return datetime.min.replace(tzinfo=UTC)
    landed = current_delivery(connection.name, delivery.month, data_dir)
    keys = {item.key for item in delivery.objects}
    # What was removed has no time of its own.
    if not keys or any(file.key not in keys for file in (landed.files if landed else ())):
        return since + connection.quiet
    return min(since, max(item.last_modified for item in delivery.objects)) + connection.quiet
