"""Where everything is kept below the data directory. Every path is made here and nowhere else.

    landing/<connection>/<YYYY-MM>/<token>/     the delivered files, and delivery.json which lists them
    landing/<connection>/<YYYY-MM>/current.json the delivery that the month consists of now
    landing/<connection>/shown.json             the first month that the provider was seen to show
    staged/<connection>/<YYYY-MM>/<token>.parquet, .staged.json, .verdict.json
    staged/<connection>/<YYYY-MM>/accepted.json the delivery that publishing takes
    warehouse.duckdb

All of it is for this user alone: bills are confidential.

Small JSON files are replaced whole, and folders and Parquet files are renamed into place: a crash leaves the former
state, never half of a new one.
"""

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from focus_pipeline.months import MONTH_PATTERN
from focus_pipeline.pipeline.limits import USUAL_LIMITS, Limits
from focus_pipeline.sql import Sandbox

_ABANDONED_AFTER_SECONDS = 24 * 3600


@dataclass(frozen=True)
class DataDir:
    """cache: where compiled rules are kept; without it, in the directory itself.

    memory_limit: of each DuckDB connection, such as "1GB"; without it, DuckDB's own, which is 80 % of the machine.
    limits: of the files that are delivered. links: that lead out of the directory, to files that may be read.
    """

    root: Path
    cache: Path | None = None
    memory_limit: str | None = None
    limits: Limits = USUAL_LIMITS
    links: tuple[Path, ...] = ()

    @property
    def rules_cache(self) -> Path:
        return self.cache or self.root / "cache"

    @property
    def warehouse(self) -> Path:
        return self.root / "warehouse.duckdb"

    @property
    def demo(self) -> Path:
        """What the providers of the demo deliver."""
        return self.root / "demo"

    @property
    def scratch(self) -> Path:
        """For temporary files, on the same file system as their destination."""
        return self.root / "scratch"

    @property
    def sandbox(self) -> Sandbox:
        """Of DuckDB while it reads what was delivered."""
        return Sandbox((self.root,), self.scratch, self.memory_limit, self.links)

    def landed(self, connection: str, month: str) -> Path:
        return self.root / "landing" / connection / month

    def staged(self, connection: str, month: str) -> Path:
        return self.root / "staged" / connection / month

    def held_months(self, connection: str) -> list[str]:
        """Months of which something was landed, oldest first."""
        months = (p.parent.name for p in self.root.glob(f"landing/{connection}/*/current.json"))
        return sorted(month for month in months if MONTH_PATTERN.fullmatch(month))

    @property
    def first_month(self) -> str | None:
        """The first month of which something was landed, or that a provider was seen to show; None before that."""
        landed = (path.parent.name for path in self.root.glob("landing/*/*/current.json"))
        shown = ((read_json(path) or {}).get("first", "") for path in self.root.glob("landing/*/shown.json"))
        return min((month for month in (*landed, *shown) if MONTH_PATTERN.fullmatch(month)), default=None)

    def record_shown(self, connection: str, months: Collection[str]) -> None:
        """Records the first of the months that a provider shows, where it is another one than before."""
        path = self.root / "landing" / connection / "shown.json"
        if months and (read_json(path) or {}).get("first") != min(months):
            write_json(path, {"first": min(months)})

    def months_by_connection(self) -> list[tuple[str, str]]:
        """Connection and month of everything that was landed or accepted, in order."""
        records = [*self.root.glob("landing/*/*/current.json"), *self.root.glob("staged/*/*/accepted.json")]
        return sorted(
            {(p.parent.parent.name, p.parent.name) for p in records if MONTH_PATTERN.fullmatch(p.parent.name)}
        )

    def connections_with(self, month: str) -> list[str]:
        """Connections that have an accepted delivery of the month, by name."""
        return sorted(p.parent.parent.name for p in self.root.glob(f"staged/*/{month}/accepted.json"))


def keep_files_private() -> None:
    """What this process writes from now on is for this user alone, whatever the umask of the shell."""
    os.umask(0o077)


def make_folder(path: Path) -> None:
    """Makes the folder, and what is missing above it, for this user alone."""
    for folder in (*reversed(path.parents), path):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """No other process is in such a block for this folder until it ends: what is read, compared, then written."""
    make_folder(folder)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def remove_abandoned(*folders: Path) -> None:
    """Removes what processes that were killed have left in these folders: hidden files, and anything in scratch/.

    Younger ones than a day may belong to a process that is still at work.
    """
    for folder in folders:
        for path in folder.glob("*" if folder.name == "scratch" else ".*"):
            with suppress(FileNotFoundError):
                if time.time() - path.lstat().st_mtime < _ABANDONED_AFTER_SECONDS:
                    continue
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()


def read_json(path: Path) -> dict | None:
    """The content of a JSON file, None when there is none."""
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None


def write_json(path: Path, content: dict) -> None:
    """Replaces the file whole: a reader sees the old or the new content."""
    make_folder(path.parent)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`; what is written there takes its place when the block ends well."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
