"""Judges FOCUS files on this machine, as a month of them would be judged: for whoever produces them."""

import re
import shutil
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from focus_pipeline.limits import USUAL_LIMITS, Limits
from focus_pipeline.pipeline.judge import judge
from focus_pipeline.pipeline.stage import stage
from focus_pipeline.records.landed import LandedDelivery, LandedFile
from focus_pipeline.records.staged import StagedMonth
from focus_pipeline.records.verdicts import Verdict
from focus_pipeline.sql import Watch, unwatched
from focus_pipeline.storage import DataDir


@dataclass(frozen=True)
class Validation:
    """What the files were found to be. staged: its Parquet file is gone by then."""

    staged: StagedMonth
    verdict: Verdict

    def fails(self, fail_on: str) -> bool:
        """Whether something failed at that severity or above: "contract", "error" or "warn".

        A file that would not be loaded fails at each of them.
        """
        if not self.verdict.accepted or self.staged.rejected_files:
            return True
        found = {rule.severity for rule in self.verdict.rules}
        return bool(found & {"contract": set(), "error": {"ERROR"}, "warn": {"ERROR", "WARN"}}[fail_on])


def validate(
    files: Sequence[Path],
    rules_cache: Path,
    *,
    focus_version: str | None = None,
    month: str | None = None,
    memory_limit: str | None = None,
    limits: Limits = USUAL_LIMITS,
    watch: Watch = unwatched,
) -> Validation:
    """Judges the files together, as one delivery: groups of rows may go over several of them.

    focus_version: what they are to be; without it, it is told by the columns of each. month: whose rows alone they may
    hold, as in a folder of that month; without it, they may be of any. Needs free space for temporary
    files of about the size of the files as Parquet. Raises OSError for a file that cannot be opened, and MachineFault
    where memory or disk space is wanting.
    """
    with tempfile.TemporaryDirectory(prefix="focus-pipeline-") as folder:
        taken = [_within_reach(path, number, Path(folder)) for number, path in enumerate(dict.fromkeys(files), 1)]
        data_dir = DataDir(
            Path(folder),
            cache=rules_cache,
            memory_limit=memory_limit,
            limits=limits,
            links=tuple(file.path for file in taken),
        )
        delivery = LandedDelivery(
            connection="validate",
            month=month or "files",
            token="validate",
            listed_at=datetime.now(UTC).isoformat(),
            files=tuple(taken),
            downloaded=0,
            reused=0,
        )
        month_rule = month is not None
        staged = stage(delivery, data_dir, month_rule=month_rule, focus_version=focus_version, watch=watch)
        return Validation(staged, judge(staged, data_dir, month_rule=month_rule, landed=delivery, watch=watch))


def _within_reach(path: Path, number: int, folder: Path) -> LandedFile:
    """The file under a plain name in a folder that DuckDB reads, whatever its own name and place are.

    What is no file on disk, such as a pipe, can be read once only, and is copied.
    """
    key = str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    name = re.sub(r"[^A-Za-z0-9._-]", "_", key.rpartition("/")[2])[-80:]
    within = folder / f"{number:05d}-{name}"
    if stat.S_ISREG(path.stat().st_mode):
        within.symlink_to(path.resolve(strict=True))
    else:
        with path.open("rb") as source, within.open("wb") as copy:
            shutil.copyfileobj(source, copy)
    return LandedFile(key, "", within.stat().st_size, within)
