"""Judges FOCUS files on this machine, as a month of them would be judged: for whoever produces them."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from focus_pipeline.pipeline.check import judge
from focus_pipeline.pipeline.data_dir import DataDir
from focus_pipeline.pipeline.land import LandedDelivery, LandedFile
from focus_pipeline.pipeline.normalise import stage
from focus_pipeline.pipeline.staged_month import StagedMonth
from focus_pipeline.pipeline.verdict import Verdict
from focus_pipeline.pipeline.watch import Watch, unwatched


@dataclass(frozen=True)
class Validation:
    """What the files were found to be. staged: its Parquet file is gone by then."""

    staged: StagedMonth
    verdict: Verdict

    def fails(self, fail_on: str) -> bool:
        """Whether something failed at that severity or above: "contract", "error" or "warn"."""
        if not self.verdict.accepted:
            return True
        found = {rule.severity for rule in self.verdict.rules}
        return bool(found & {"contract": set(), "error": {"ERROR"}, "warn": {"ERROR", "WARN"}}[fail_on])


def validate(
    files: Sequence[Path],
    rules_cache: Path,
    *,
    focus_version: str | None = None,
    memory_limit: str | None = None,
    watch: Watch = unwatched,
) -> Validation:
    """Judges the files together, as one delivery: groups of rows may go over several of them.

    focus_version: what they are to be; without it, it is told by the columns of each. Needs free space for temporary
    files of about the size of the files as Parquet. Raises OSError for a file that cannot be opened.
    """
    with _temporary(rules_cache, memory_limit) as data_dir:
        delivery = LandedDelivery(
            connection="validate",
            month="files",
            token="validate",
            listed_at=datetime.now(UTC).isoformat(),
            files=tuple(LandedFile(str(path), "", path.stat().st_size, path.resolve(strict=True)) for path in files),
            downloaded=0,
            reused=0,
        )
        staged = stage(delivery, data_dir, month_rule=False, focus_version=focus_version, watch=watch)
        return Validation(staged, judge(staged, data_dir, month_rule=False, watch=watch))


@contextmanager
def _temporary(rules_cache: Path, memory_limit: str | None) -> Iterator[DataDir]:
    with tempfile.TemporaryDirectory(prefix="focus-pipeline-") as folder:
        yield DataDir(Path(folder), cache=rules_cache, memory_limit=memory_limit)
