"""Where everything is kept below the data directory.

    landing/<connection>/<YYYY-MM>/<token>/     the delivered files
    staged/<connection>/<YYYY-MM>/              Parquet files of its rows
    warehouse.duckdb                            unless the settings name another warehouse
    reports/<YYYY-MM>.html                      the report of a month
    exchange_rates/                             the rates that marts convert costs by
    alerts/                                     messages that are on their way
    lake/                                       the files of a DuckLake, unless they name another folder

and beside them the records of records/.

All of it is for this user alone: bills are confidential.

Small JSON files are replaced whole, and folders and Parquet files are renamed into place: a crash leaves the former
state, never half of a new one.
"""

from dataclasses import dataclass
from pathlib import Path

from focus_pipeline.limits import USUAL_LIMITS, Limits
from focus_pipeline.sql import Sandbox


@dataclass(frozen=True)
class DataDir:
    """cache: where compiled rules are kept; without it, in the directory itself.

    memory_limit: of each DuckDB connection, such as "1GB"; without it, DuckDB's own, which is 80 % of the machine.
    limits: of the files that are delivered. links: that lead out of the directory, to files that may be read.
    warehouse: URL of it, see warehouse_of(); without it, a DuckDB file in the directory. lake: folder of the files of a
    DuckLake; without it, in the directory.
    """

    root: Path
    cache: Path | None = None
    memory_limit: str | None = None
    limits: Limits = USUAL_LIMITS
    links: tuple[Path, ...] = ()
    warehouse: str = ""
    lake: Path | None = None

    @property
    def rules_cache(self) -> Path:
        return self.cache or self.root / "cache"

    @property
    def warehouse_url(self) -> str:
        return self.warehouse or f"duckdb:{self.root / 'warehouse.duckdb'}"

    @property
    def lake_files(self) -> Path:
        return self.lake or self.root / "lake"

    @property
    def demo(self) -> Path:
        """What the providers of the demo deliver."""
        return self.root / "demo"

    @property
    def exchange_rates(self) -> Path:
        """The file of rates that was last taken over."""
        return self.root / "exchange_rates"

    def report(self, month: str) -> Path:
        """The page of a month."""
        return self.root / "reports" / f"{month}.html"

    @property
    def scratch(self) -> Path:
        """For temporary files, on the same file system as their destination."""
        return self.root / "scratch"

    @property
    def sandbox(self) -> Sandbox:
        """Of DuckDB while it reads what was delivered."""
        return Sandbox((self.root,), self.scratch, self.memory_limit, self.links)

    @property
    def alerts(self) -> Path:
        """Problems that were told, and messages that are on their way."""
        return self.root / "alerts"

    def look(self, connection: str) -> Path:
        """The record of the latest look at the provider."""
        return self.root / "landing" / connection / "look.json"

    def landed(self, connection: str, month: str) -> Path:
        return self.root / "landing" / connection / month

    def staged(self, connection: str, month: str) -> Path:
        return self.root / "staged" / connection / month
