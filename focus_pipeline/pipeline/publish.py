"""Puts what is accepted of a month into the unified table, and clears away the staged files it replaced."""

import logging
from dataclasses import dataclass

import duckdb

from focus_pipeline.machine import machine_faults
from focus_pipeline.pipeline.tidy import tidy_staged
from focus_pipeline.records.accepted import accepted_delivery
from focus_pipeline.records.landed import connections_with
from focus_pipeline.records.staged import StagedMonth, staged_month
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse import Published, published_identity, replace_month

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PublishedMonth:
    """replaced: what was put into the table now. shown: connection -> what the table shows of the month."""

    month: str
    replaced: tuple[Published, ...]
    shown: dict[str, StagedMonth]


class StagedDamaged(Exception):
    """A staged file is not as it was written."""


def publish_month(month: str, data_dir: DataDir, warehouse: duckdb.DuckDBPyConnection) -> PublishedMonth:
    """Publishes the accepted delivery of every connection that has one; those that the table shows already stay.

    Raises NotReconciled when the table would not hold what was staged, and MachineFault where memory or disk space is
    wanting; the month of that connection stays as it was. Raises StagedDamaged when what was staged is not what was
    written, once the months of the other connections are published.
    """
    replaced: list[Published] = []
    shown: dict[str, StagedMonth] = {}
    damaged: list[str] = []
    for name in connections_with(month, data_dir):
        accepted = accepted_delivery(name, month, data_dir)
        staged = accepted and staged_month(name, month, accepted.token, data_dir)
        if staged is None or staged.identity != accepted.identity:
            # Staged anew and not judged yet: the run that does that publishes it.
            logger.info("%s %s: not judged since it was staged anew; the table keeps what it shows", name, month)
            continue
        if published_identity(warehouse, name, month) != staged.identity:
            if not staged.is_intact:
                damaged.append(f"{name} {month}: {staged.folder} is damaged; materialise {name}/cost_and_usage of it")
                continue
            with machine_faults(f"publishing {name} {month}", data_dir.memory_limit):
                published = replace_month(warehouse, staged)
            logger.info(
                "%s %s: %s rows in place of %s", name, month, f"{published.rows_after:,}", f"{published.rows_before:,}"
            )
            replaced.append(published)
            for _ in tidy_staged(name, month, data_dir):
                pass
        shown[name] = staged
    if damaged:
        raise StagedDamaged("; ".join(damaged))
    return PublishedMonth(month, tuple(replaced), shown)
