"""Where everything is kept below the data directory. Every path is made here and nowhere else.

    landing/<connection>/<YYYY-MM>/<token>/     the delivered files
    staged/<connection>/<YYYY-MM>/<token>.parquet
    warehouse.duckdb

and beside them the records of records.py.

All of it is for this user alone: bills are confidential.

Small JSON files are replaced whole, and folders and Parquet files are renamed into place: a crash leaves the former
state, never half of a new one.
"""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from focus_pipeline.machine import machine_faults
from focus_pipeline.months import MONTH_PATTERN
from focus_pipeline.pipeline.limits import USUAL_LIMITS, Limits
from focus_pipeline.records import Shown, read_record, write_record
from focus_pipeline.sql import Sandbox


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
        shown = (read_record(path, Shown) for path in self.root.glob("landing/*/shown.json"))
        months = (*landed, *(record.first for record in shown if record))
        return min((month for month in months if MONTH_PATTERN.fullmatch(month)), default=None)

    def record_shown(self, connection: str, months: Collection[str]) -> None:
        """Records the first of the months that a provider shows, where it is another one than before.

        Raises MachineFault where disk or permissions are wanting.
        """
        if months:
            with machine_faults(f"recording what {connection} shows"):
                write_record(self.root / "landing" / connection / "shown.json", Shown(first=min(months)))

    def months_by_connection(self) -> list[tuple[str, str]]:
        """Connection and month of everything that was landed or accepted, in order."""
        records = [*self.root.glob("landing/*/*/current.json"), *self.root.glob("staged/*/*/accepted.json")]
        return sorted(
            {(p.parent.parent.name, p.parent.name) for p in records if MONTH_PATTERN.fullmatch(p.parent.name)}
        )

    def connections_with(self, month: str) -> list[str]:
        """Connections that have an accepted delivery of the month, by name."""
        return sorted(p.parent.parent.name for p in self.root.glob(f"staged/*/{month}/accepted.json"))
