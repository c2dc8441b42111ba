"""Puts what is accepted of a month into the unified table, and clears away the staged files it replaced."""

import logging
from dataclasses import dataclass

import duckdb

from focus_pipeline.pipeline.check import accepted_delivery
from focus_pipeline.pipeline.data_dir import DataDir
from focus_pipeline.pipeline.staged_month import StagedMonth, staged_month
from focus_pipeline.warehouse import Published, published_identity, replace_month

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PublishedMonth:
    """replaced: what was put into the table now. shown: connection -> what the table shows of the month."""

    month: str
    replaced: tuple[Published, ...]
    shown: dict[str, StagedMonth]


def publish_month(month: str, data_dir: DataDir, warehouse: duckdb.DuckDBPyConnection) -> PublishedMonth:
    """Publishes the accepted delivery of every connection that has one; those that the table shows already stay.

    Raises NotReconciled when the table would not hold what was staged; the month of that connection stays as it was.
    """
    replaced: list[Published] = []
    shown: dict[str, StagedMonth] = {}
    for name in data_dir.connections_with(month):
        accepted = accepted_delivery(name, month, data_dir)
        staged = staged_month(name, month, accepted["token"], data_dir)
        if staged is None or staged.identity != accepted["identity"]:
            # Staged anew and not judged yet: the run that does that publishes it.
            logger.info("%s %s: not judged since it was staged anew; the table keeps what it shows", name, month)
            continue
        if published_identity(warehouse, name, month) != staged.identity:
            published = replace_month(warehouse, staged)
            logger.info(
                "%s %s: %s rows in place of %s", name, month, f"{published.rows_after:,}", f"{published.rows_before:,}"
            )
            replaced.append(published)
            _clear_superseded(staged, data_dir)
        shown[name] = staged
    return PublishedMonth(month, tuple(replaced), shown)


def _clear_superseded(published: StagedMonth, data_dir: DataDir) -> None:
    # They can be made again from landing/. What was staged of a later delivery is not touched.
    for path in data_dir.staged(published.connection, published.month).glob("*.parquet"):
        other = staged_month(published.connection, published.month, path.stem, data_dir)
        if other is not None and other.token != published.token and other.listed_at < published.listed_at:
            path.unlink()
