"""Publishes accepted months, and the verdicts on them, into the warehouse."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import duckdb

from focus_pipeline.machine import MachineFault, machine_faults
from focus_pipeline.pipeline.tidy import tidy_staged
from focus_pipeline.records.accepted import Accepted, accepted_delivery
from focus_pipeline.records.landed import connections_with
from focus_pipeline.records.published import Published, fingerprint_of, record_published
from focus_pipeline.records.staged import StagedMonth, staged_month
from focus_pipeline.records.verdicts import JudgedDelivery, judged_delivery, verdict_path
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse.faults import NotReconciled
from focus_pipeline.warehouse.months import MonthState, Replaced, month_states, record_verdict, replace_month
from focus_pipeline.warehouse.warehouse import Warehouse

logger = logging.getLogger(__name__)


class StagedDamaged(Exception):
    """A staged file is not as it was written."""


@dataclass
class PublishedMonth:
    """replaced: what was put into the table now. failed: connection -> why its month stays as it was.

    fingerprint: of what was to be published, see fingerprint_of().
    """

    month: str
    fingerprint: str
    replaced: list[Replaced] = field(default_factory=list)
    failed: dict[str, Exception] = field(default_factory=dict)


@dataclass(frozen=True)
class _Pending:
    """staged: what takes the place of the month in the table, None where that stays. judged: whose verdict goes in."""

    name: str
    month: str
    staged: StagedMonth | None
    judged: StagedMonth | None


def publish_months(months: Sequence[str], data_dir: DataDir, warehouse: Warehouse) -> dict[str, PublishedMonth]:
    """Publishes every connection's accepted delivery and latest verdict of each month.

    Replaces only what differs from the warehouse; where nothing differs, nothing is written. Where staged files are
    damaged, or hold something else than their report says, that month of that connection stays as it was, and
    PublishedMonth.failed says why. Raises WarehouseUnusable, and MachineFault where memory or disk space runs out.
    """
    # Taken first: what is accepted from here on is left to the next run.
    published = {month: PublishedMonth(month, fingerprint_of(month, data_dir)) for month in months}
    states = _states(warehouse, months)
    if states is None or _pending(months, data_dir, states):
        with warehouse.writing() as connection:
            # Another process may have published since.
            for pending in _pending(months, data_dir, month_states(connection, months)):
                _publish(pending, published[pending.month], warehouse, connection, data_dir)
    for month in published.values():
        if not month.failed:
            record_published(month.month, Published(warehouse=warehouse.place, fingerprint=month.fingerprint), data_dir)
        for replaced in month.replaced:
            tidy_staged(replaced.connection, replaced.month, data_dir)
    return published


def _states(warehouse: Warehouse, months: Iterable[str]) -> dict[tuple[str, str], MonthState] | None:
    """See month_states(); None where there is no warehouse yet."""
    try:
        with warehouse.reading() as connection:
            return month_states(connection, months)
    except FileNotFoundError:
        return None
    except duckdb.CatalogException:  # of an earlier version
        return {}


def _pending(months: Sequence[str], data_dir: DataDir, states: Mapping[tuple[str, str], MonthState]) -> list[_Pending]:
    pending = []
    for month in months:
        for name in connections_with(month, data_dir):
            state = states.get((name, month), MonthState())
            accepted = accepted_delivery(name, month, data_dir)
            staged = _staged_as(accepted, state.identity, name, month, data_dir)
            judged = _staged_as(judged_delivery(name, month, data_dir), state.judged, name, month, data_dir)
            if judged is not None and not verdict_path(name, month, judged.token, data_dir).exists():
                judged = None
            if staged is not None or judged is not None:
                pending.append(_Pending(name, month, staged, judged))
    return pending


def _staged_as(
    record: Accepted | JudgedDelivery | None, known: str | None, name: str, month: str, data_dir: DataDir
) -> StagedMonth | None:
    """The staged month that a record is of, where the warehouse does not have it. known: identity of what it has."""
    if record is None or record.identity == known:
        return None
    staged = staged_month(name, month, record.token, data_dir)
    if staged is None or staged.identity != record.identity:
        # Staged anew and not judged yet: the run that does that has it published.
        logger.info("%s %s: not judged since it was staged anew; the table keeps what it shows", name, month)
        return None
    return staged


def _publish(
    pending: _Pending,
    published: PublishedMonth,
    warehouse: Warehouse,
    connection: duckdb.DuckDBPyConnection,
    data_dir: DataDir,
) -> None:
    name, month = pending.name, pending.month
    try:
        with machine_faults(f"publishing {name} {month}", data_dir.memory_limit):
            if pending.judged is not None:
                path = verdict_path(name, month, pending.judged.token, data_dir)
                record_verdict(connection, pending.judged, path)
            if (staged := pending.staged) is None:
                return
            if not staged.is_intact:
                raise StagedDamaged(
                    f"{name} {month}: a file in {staged.folder} is damaged; materialise {name}/cost_and_usage of it"
                )
            replaced = replace_month(warehouse, connection, staged)
    except (NotReconciled, StagedDamaged) as error:
        published.failed[name] = error
        return
    except MachineFault as error:
        if not isinstance(error.__cause__, duckdb.OutOfMemoryException):
            raise
        published.failed[name] = error  # another month may fit
        return
    logger.info("%s %s: %s rows in place of %s", name, month, f"{replaced.rows_after:,}", f"{replaced.rows_before:,}")
    published.replaced.append(replaced)
