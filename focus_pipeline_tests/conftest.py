"""The way of one month, from a folder of files to its verdict, for tests of every step of it."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline.focus.rules import predicates
from focus_pipeline.limits import USUAL_LIMITS, Limits
from focus_pipeline.pipeline.judge import judge
from focus_pipeline.pipeline.land import land
from focus_pipeline.pipeline.stage import StagedMonth, stage
from focus_pipeline.pipeline.staged_rows import rows_of_month
from focus_pipeline.records.verdicts import CheckVerdict, Failure, Verdict
from focus_pipeline.sql import quoted
from focus_pipeline.storage import DataDir
from focus_pipeline_tests.month_files import MONTH
from focus_pipeline_tests.warehouses import postgres_catalogue

CONNECTION = "colo_costs"

# Else partitions would begin with what this machine's own data directory holds.
os.environ["FOCUS_START_MONTH"] = "2024-01"


@dataclass(frozen=True)
class LoadedMonth:
    """A month that was landed, staged and judged."""

    staged: StagedMonth
    verdict: Verdict
    data_dir: DataDir

    def values(self, column: str) -> list:
        """A column of the staged rows, in the order of their files and of the rows in each."""
        with duckdb.connect() as connection:
            rows = connection.execute(
                f'SELECT {quoted(column)} FROM {rows_of_month(self.staged)} ORDER BY "x_SourceFile", x_Row'
            ).fetchall()
        return [value for (value,) in rows]

    @property
    def rejections(self) -> dict[str, str]:
        """Name of each rejected file -> why."""
        return {file.key.rsplit("/", 1)[-1]: file.rejection.reason for file in self.staged.rejected_files}

    @property
    def failures(self) -> dict[str, Failure]:
        """Rule that was broken -> how; what is said of single files is in `remarks`."""
        return {f.rule: f for check in self._reports for f in check.failures if f.file is None}

    @property
    def remarks(self) -> list[str]:
        """What is said of single files, rejected or not."""
        return [f.sentence for check in self._reports for f in check.failures if f.file is not None]

    def check(self, name: str) -> CheckVerdict:
        return next(check for check in self.verdict.checks if check.name == name)

    @property
    def _reports(self) -> list[CheckVerdict]:
        return [check for check in self.verdict.checks if check.name != "accepted"]


@pytest.fixture(scope="session")
def new_catalogue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """Gives the URL of a new DuckLake in Postgres, over a server that runs for as long as the tests do."""
    with postgres_catalogue(tmp_path_factory.mktemp("postgres")) as catalogue:
        yield catalogue


LoadMonth = Callable[..., LoadedMonth]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty month folder to put delivered files into."""
    folder = tmp_path / "delivered" / MONTH
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def load_month(tmp_path: Path, compiled_rules: Path) -> LoadMonth:
    """Brings a month folder through discovery, landing, staging and judging; again after its files have changed."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cache").symlink_to(compiled_rules)

    def load(
        folder: Path, *, month_rule: bool = True, focus_version: str | None = None, limits: Limits = USUAL_LIMITS
    ) -> LoadedMonth:
        data_dir = DataDir(tmp_path / "data", limits=limits)
        connection = MonthFolders(CONNECTION, folder.parent.as_uri(), month_rule=month_rule)
        delivery = connection.discover([folder.name]).deliveries[folder.name]
        landed = land(connection, delivery, data_dir)
        staged = stage(landed, data_dir, month_rule=month_rule, focus_version=focus_version)
        return LoadedMonth(staged, judge(staged, data_dir, month_rule=month_rule), data_dir)

    return load


@pytest.fixture(scope="session")
def compiled_rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache folder of the rules: compiling them takes seconds and gives the same for every data directory.

    FOCUS_TEST_RULES: one that several processes share.
    """
    cache = Path(os.environ.get("FOCUS_TEST_RULES") or tmp_path_factory.mktemp("cache"))
    predicates(cache)
    return cache
