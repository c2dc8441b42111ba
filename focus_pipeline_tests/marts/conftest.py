"""A warehouse that months of several connections are published into, and the marts over it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pytest

from focus_pipeline.components.connection_tree import ConnectionTree
from focus_pipeline.components.mart import marts
from focus_pipeline.connections.delivery import Connection
from focus_pipeline.connections.month_folders import MonthFolders
from focus_pipeline.demo.deliveries import write_deliveries
from focus_pipeline.marts.mart import Mart
from focus_pipeline.marts.slices import ComputedSlice, Slice, compute_slices, due_slices
from focus_pipeline.pipeline.month import ingest_month
from focus_pipeline.pipeline.staged_rows import rows_of_month
from focus_pipeline.records.accepted import accepted_delivery
from focus_pipeline.records.staged import staged_month
from focus_pipeline.settings import PROJECT_ROOT
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse.warehouse import warehouse_of
from focus_pipeline_tests.demo.demo_connections import demo_connections
from focus_pipeline_tests.month_files import Row, write_csv
from focus_pipeline_tests.warehouses import publish, url_of

DEMO_MONTHS = ("2025-01", "2025-02", "2025-03")


@dataclass
class Table:
    """The unified table of a data directory. marts: those that are computed. loaded: what was published of it."""

    data_dir: DataDir
    delivered: Path
    marts: list[Mart] = field(default_factory=list)
    loaded: set[tuple[str, str]] = field(default_factory=set)

    def publish(self, connection: str, month: str, rows: Iterable[Row]) -> None:
        """Delivers the rows as the month of a connection, loads and publishes them."""
        folder = self.delivered / connection / month
        folder.mkdir(parents=True, exist_ok=True)
        write_csv(folder / "bill.csv", rows)
        self.load(MonthFolders(connection, (self.delivered / connection).as_uri(), month_rule=False), month)

    def load(self, source: Connection, month: str) -> None:
        """Loads and publishes what a connection delivers of a month."""
        outcome = ingest_month(source, month, self.data_dir, accept_loss="yes")
        assert outcome.accepted, [check.summary for check in outcome.judged.verdict.checks if not check.passed]
        published = publish(month, self.data_dir)
        assert not published.failed
        self.loaded.add((source.name, month))

    def compute(self, *months: str) -> list[ComputedSlice]:
        """Computes these months of the marts; without months, what is due."""
        return compute_slices(warehouse_of(self.data_dir), self.marts, months or None)

    def due(self) -> list[tuple[str, str]]:
        """Mart and month."""
        with warehouse_of(self.data_dir).reading() as connection:
            found: list[Slice] = due_slices(connection, self.marts)
        return [(one.mart, one.month) for one in found]

    def query(self, sql: str) -> list[tuple]:
        with warehouse_of(self.data_dir).reading() as connection:
            return connection.execute(sql).fetchall()

    def staged_rows(self) -> list[dict]:
        """Every row that is published, from the staged files and not from the warehouse."""
        rows: list[dict] = []
        with duckdb.connect() as connection:
            for name, month in sorted(self.loaded):
                accepted = accepted_delivery(name, month, self.data_dir)
                staged = staged_month(name, month, accepted.token, self.data_dir)
                found = connection.execute(f"FROM {rows_of_month(staged)}")
                names = [column[0] for column in found.description]
                rows += [dict(zip(names, row, strict=True)) for row in found.fetchall()]
        return rows


@pytest.fixture
def make_table(tmp_path: Path, compiled_rules: Path) -> Callable[[str], Table]:
    """Makes an empty table in the warehouse of a URL."""

    def make(url: str = "") -> Table:
        root = tmp_path / "data"
        root.mkdir()
        (root / "cache").symlink_to(compiled_rules)
        return Table(DataDir(root, warehouse=url), tmp_path / "delivered")

    return make


@pytest.fixture(
    params=["duckdb", pytest.param("sqlite", marks=pytest.mark.slow), pytest.param("postgres", marks=pytest.mark.slow)]
)
def table(request: pytest.FixtureRequest, make_table: Callable[[str], Table], tmp_path: Path) -> Table:
    """An empty table in each kind of warehouse."""
    return make_table(url_of(request, tmp_path / "data"))


@pytest.fixture(scope="session")
def shipped_marts() -> Sequence[Mart]:
    """Those of defs/marts/."""
    return marts(ConnectionTree.for_project(PROJECT_ROOT / "focus_pipeline"))


@pytest.fixture(scope="session")
def demo_table(tmp_path_factory: pytest.TempPathFactory, compiled_rules: Path, shipped_marts: Sequence[Mart]) -> Table:
    """The demo's data of DEMO_MONTHS, published, with all shipped marts computed. Tests only read it."""
    folder = tmp_path_factory.mktemp("demo_table")
    (folder / "data").mkdir()
    (folder / "data" / "cache").symlink_to(compiled_rules)
    table, root = Table(DataDir(folder / "data"), folder / "delivered", list(shipped_marts)), folder / "demo"
    connections = demo_connections(root)
    first = write_deliveries(root, DEMO_MONTHS, with_late_invoice=False)
    for delivery in first:
        table.load(connections[delivery.connection], delivery.month)
    (restated,) = set(write_deliveries(root, DEMO_MONTHS)) - set(first)
    table.load(connections[restated.connection], restated.month)
    computed = table.compute()
    assert [str(one.failed) for one in computed if one.failed] == []
    assert [(one.mart, check.said) for one in computed for check in one.checks if not check.passed] == []
    return table
