"""Removes superseded deliveries and their staged files. A month's accepted and current delivery always stay."""

import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from focus_pipeline.machine import machine_faults
from focus_pipeline.records.accepted import accepted_delivery
from focus_pipeline.records.landed import current_token, landed_deliveries, months_by_connection
from focus_pipeline.records.staged import report_path, staged_month
from focus_pipeline.records.verdicts import verdict_path
from focus_pipeline.storage import DataDir

logger = logging.getLogger(__name__)

# A run touches the files it uses as it begins; see stage().
_IN_USE_SECONDS = 3600


@dataclass(frozen=True)
class Removed:
    """path: a folder in landing/, or a file in staged/. size: its bytes; another delivery may still link to them."""

    connection: str
    month: str
    path: Path
    size: int

    def __str__(self) -> str:
        return f"{self.connection} {self.month}: {self.path} is removed ({self.size:,} bytes)"


def tidy(data_dir: DataDir, kept_deliveries: int) -> Iterator[Removed]:
    """Tidies every month, and yields what it removes. kept_deliveries: how many of each month stay in landing/.

    Raises MachineFault where disk or permissions are wanting.
    """
    for connection, month in months_by_connection(data_dir):
        with machine_faults(f"tidying {connection} {month}"):
            yield from tidy_landed(connection, month, data_dir, kept_deliveries)
            yield from tidy_staged(connection, month, data_dir)


def tidy_landed(connection: str, month: str, data_dir: DataDir, kept_deliveries: int) -> list[Removed]:
    """Removes and logs the deliveries beyond those that are kept, the earliest first."""
    needed = _needed(connection, month, data_dir)
    # The current one first, then the others from the latest on.
    deliveries = landed_deliveries(connection, month, data_dir)
    latest = {delivery.token for delivery in deliveries[: max(1, kept_deliveries)]}
    removed = []
    for delivery in reversed(deliveries):
        if delivery.token not in needed | latest:
            folder = data_dir.landed(connection, month) / delivery.token
            # Without its record it is no delivery any more, however far this comes.
            (folder / "delivery.json").unlink()
            shutil.rmtree(folder)
            removed.append(_logged(Removed(connection, month, folder, delivery.size)))
    return removed


def tidy_staged(connection: str, month: str, data_dir: DataDir) -> list[Removed]:
    """Removes and logs what is staged and judged of superseded deliveries, except what a run may be using."""
    needed = _needed(connection, month, data_dir)
    folder = data_dir.staged(connection, month)
    names: set[str] = set()
    for token in needed:
        names |= {report_path(connection, month, token, data_dir).name}
        names |= {verdict_path(connection, month, token, data_dir).name}
        staged = staged_month(connection, month, token, data_dir)
        names |= {path.name for path in staged.paths} if staged else set()
    removed = []
    for pattern in ("*.staged.json", "*.verdict.json", "*.parquet"):
        for path in sorted(folder.glob(pattern)):
            if path.name not in names and _is_idle(path):
                size = path.stat().st_size
                path.unlink(missing_ok=True)
                removed.append(_logged(Removed(connection, month, path, size)))
    return removed


def _logged(removed: Removed) -> Removed:
    logger.info("%s", removed)
    return removed


def _needed(connection: str, month: str, data_dir: DataDir) -> set[str]:
    """The tokens of the accepted and the current delivery."""
    accepted = accepted_delivery(connection, month, data_dir)
    return {token for token in (accepted and accepted.token, current_token(connection, month, data_dir)) if token}


def _is_idle(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > _IN_USE_SECONDS
