"""Settings of the whole project, read from the environment; every one has a default."""

import os
from dataclasses import dataclass
from pathlib import Path

from focus_pipeline.limits import AMOUNT, USUAL_LIMITS, Limits, bytes_of
from focus_pipeline.months import MONTH_PATTERN
from focus_pipeline.records.landed import first_month
from focus_pipeline.storage import DataDir

PROJECT_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Settings:
    """
    data_dir: where landing/, staged/ and warehouse.duckdb are (`FOCUS_DATA_DIR`, default `data/` in the project).
    start_month: first monthly partition, `YYYY-MM` (`FOCUS_START_MONTH`, default the first month that was ever shown or
        delivered, and 2024-01 before anything was).
    lookback_months: months before the current one in which a new month is picked up (`FOCUS_LOOKBACK_MONTHS`,
        default 2); a connection's own `lookback_months` wins.
    memory_limit: what DuckDB may use in a step (`FOCUS_MEMORY_LIMIT`, such as 1GB; without it 80 % of the machine). The
        process needs some 300 MB more.
    limits: of what is delivered (`FOCUS_UNPACKED_LIMIT`, default 100GB: what a file may hold, unpacked;
        `FOCUS_LOSS_LIMIT`, default 50: per cent of a month that may be gone at once; `FOCUS_RESTATEMENT_LIMIT`,
        default 5: per cent by which a month that is over may move before a check warns).
    loss_wait_hours: how long a delivery that takes more away has to stay as it is before it is taken
        (`FOCUS_LOSS_WAIT_HOURS`, default 6).
    warehouse: URL of the warehouse (`FOCUS_WAREHOUSE`: `duckdb:PATH`, `ducklake:sqlite:PATH` or
        `ducklake:postgres:host=… dbname=…`; default the DuckDB file in the data directory).
    lake_files: where a DuckLake has its files (`FOCUS_LAKE_FILES`, default `lake/` in the data directory).
    kept_deliveries: how many deliveries of a month stay in landing/ (`FOCUS_KEPT_DELIVERIES`, default 3).
    """

    data_dir: Path
    start_month: str
    lookback_months: int
    memory_limit: str | None
    limits: Limits = USUAL_LIMITS
    loss_wait_hours: int = 6
    warehouse: str = ""
    lake_files: Path | None = None
    kept_deliveries: int = 3

    @property
    def storage(self) -> DataDir:
        """The data directory, as the steps take it."""
        return DataDir(
            self.data_dir,
            memory_limit=self.memory_limit,
            limits=self.limits,
            warehouse=self.warehouse,
            lake=self.lake_files,
        )


def load_settings() -> Settings:
    """The settings of this process. Raises ValueError naming the variable whose value cannot be used."""
    start_month = os.environ.get("FOCUS_START_MONTH") or None
    if start_month is not None and not MONTH_PATTERN.fullmatch(start_month):
        raise ValueError(f"FOCUS_START_MONTH is {start_month!r}; set it to a month such as 2024-01")
    lookback = _whole_number("FOCUS_LOOKBACK_MONTHS", "2", "months")
    loss = _whole_number("FOCUS_LOSS_LIMIT", "50", "per cent")
    restatement = _whole_number("FOCUS_RESTATEMENT_LIMIT", "5", "per cent")
    loss_wait = _whole_number("FOCUS_LOSS_WAIT_HOURS", "6", "hours")
    limit = os.environ.get("FOCUS_MEMORY_LIMIT") or None
    unpacked = os.environ.get("FOCUS_UNPACKED_LIMIT") or None
    for name, amount in {"FOCUS_MEMORY_LIMIT": limit, "FOCUS_UNPACKED_LIMIT": unpacked}.items():
        if amount is not None and not AMOUNT.fullmatch(amount):
            raise ValueError(f"{name} is {amount!r}; set it to an amount such as 1GB")
    lake = os.environ.get("FOCUS_LAKE_FILES") or None
    data_dir = PROJECT_ROOT / Path(os.environ.get("FOCUS_DATA_DIR") or "data").expanduser()
    if unfit := [character for character in str(data_dir) if character in "?\\" or not character.isprintable()]:
        raise ValueError(
            f"the data directory is {str(data_dir)!r}, and DuckDB takes no path with {unfit[0]!r} in it; set "
            "FOCUS_DATA_DIR to another one"
        )
    return Settings(
        data_dir=data_dir,
        start_month=start_month or first_month(DataDir(data_dir)) or "2024-01",
        lookback_months=lookback,
        memory_limit=limit,
        limits=Limits(bytes_of(unpacked) if unpacked else USUAL_LIMITS.unpacked, loss / 100, restatement / 100),
        loss_wait_hours=loss_wait,
        warehouse=warehouse_url(os.environ.get("FOCUS_WAREHOUSE") or ""),
        lake_files=PROJECT_ROOT / Path(lake).expanduser() if lake else None,
        kept_deliveries=_whole_number("FOCUS_KEPT_DELIVERIES", "3", "deliveries"),
    )


def warehouse_url(url: str) -> str:
    """The URL with the whole path of a file in it. Raises ValueError where it is of no warehouse."""
    if not url:
        return ""
    kind, is_known, rest = url.rpartition(":") if url.startswith(("duckdb:", "ducklake:")) else ("duckdb", ":", url)
    if url.startswith("ducklake:postgres:"):
        return url
    if kind not in ("duckdb", "ducklake", "ducklake:sqlite") or not is_known or not rest:
        raise ValueError(
            f"FOCUS_WAREHOUSE is {url!r}; set it to duckdb:PATH, ducklake:sqlite:PATH or "
            "ducklake:postgres:host=… dbname=…"
        )
    return f"{kind}:{PROJECT_ROOT / Path(rest).expanduser()}"


def _whole_number(name: str, default: str, unit: str) -> int:
    text = os.environ.get(name) or default
    if not text.isdecimal():
        raise ValueError(f"{name} is {text!r}; set it to a whole number of {unit} such as {default}")
    return int(text)
