"""A connection over local month folders in a real Dagster instance, driven as the daemon drives it."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pytest

from focus_pipeline.components.month_folders import MonthFolders
from focus_pipeline.defs.focus.unified import unified_definitions
from focus_pipeline.months import current_month, months_back
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse.warehouse import warehouse_of
from focus_pipeline_tests.month_files import charges_of, write_csv

NAME = "colo_costs"


@dataclass
class Site:
    """bucket: where the provider delivers. definitions: of the connections and the unified assets.

    cursors: of the sensors, by their names. published: the latest runs of focus_publish.
    """

    bucket: Path
    data_dir: DataDir
    instance: dg.DagsterInstance
    definitions: dg.Definitions
    cursors: dict[str, str | None] = field(default_factory=dict)
    published: list[dg.ExecuteInProcessResult] = field(default_factory=list)

    def deliver(self, month: str, file: str = "expenses.csv", cost: str = "1.25", rows: int = 1, **more: str) -> None:
        """Puts a file of `rows` charges of the month into its folder."""
        folder = self.bucket / month
        folder.mkdir(parents=True, exist_ok=True)
        write_csv(folder / file, charges_of(month, rows, **{"BilledCost": cost} | more))

    def tick(self, name: str = NAME) -> dg.SensorResult:
        """One evaluation of the connection's sensor. Its cursor is kept, as the daemon keeps it."""
        return self._evaluated(f"{name}_deliveries")

    def look_at_accepted(self) -> dg.SensorResult:
        """One evaluation of the sensor that publishes."""
        return self._evaluated("focus_accepted_months")

    def publish_accepted(self) -> list[dg.ExecuteInProcessResult]:
        """The runs that it asks for."""
        return [self.publish(request) for request in self.look_at_accepted().run_requests or []]

    def publish(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        return self.definitions.resolve_job_def("focus_publish").execute_in_process(
            partition_key=request.partition_key,
            instance=self.instance,
            tags=dict(request.tags),
            raise_on_error=False,
        )

    def look_at_marts(self) -> dg.SensorResult:
        """One evaluation of the sensor that has marts computed."""
        return self._evaluated("focus_due_marts")

    def look_for_problems(self) -> str:
        """One evaluation of the sensor that sends alerts; what it says."""
        return self._evaluated("focus_alerts").skip_reason.skip_message

    def _evaluated(self, sensor: str) -> dg.SensorResult:
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursors.get(sensor), definitions=self.definitions
        )
        result = self.definitions.get_sensor_def(sensor)(context)
        if result.cursor is not None:
            self.cursors[sensor] = result.cursor
        return result

    def change_unnoticed(self, month: str, old: str, new: str, file: str = "expenses.csv") -> None:
        """Writes a text of the same length into a file, whose size, time and place stay as a listing shows them."""
        path = self.bucket / month / file
        before = path.stat()
        content = path.read_text("utf-8")
        assert old in content
        assert len(old) == len(new)
        path.write_text(content.replace(old, new), "utf-8")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def load(self, request: dg.RunRequest, name: str = NAME) -> dg.ExecuteInProcessResult:
        """The run that a sensor asked for, and what is published after it."""
        return self.run(request.partition_key, name, tags=dict(request.tags))

    def run(self, month: str, name: str = NAME, **options: object) -> dg.ExecuteInProcessResult:
        """A run of the connection's job, and the runs that publish what is accepted then."""
        ingested = self.ingest(month, name, **options)
        self.published = self.publish_accepted()
        return ingested

    def ingest(self, month: str, name: str = NAME, **options: object) -> dg.ExecuteInProcessResult:
        return self.definitions.resolve_job_def(f"{name}_ingest").execute_in_process(
            partition_key=month, instance=self.instance, raise_on_error=False, **options
        )

    def tick_and_load(self, name: str = NAME) -> list[dg.ExecuteInProcessResult]:
        return [self.load(request, name) for request in self.tick(name).run_requests or []]

    def evaluations(self, run: dg.ExecuteInProcessResult) -> list[dg.AssetCheckEvaluation]:
        """Of all checks, as they are recorded: a run's own result lacks those of a step that fails."""
        logged = self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        return [entry.dagster_event.asset_check_evaluation_data for entry in logged]

    def metadata(self, run: dg.ExecuteInProcessResult, asset: dg.AssetKey) -> dict[str, dg.MetadataValue]:
        """What a run of one month shows of an asset: with its materialisation or, where it is rejected, beside it."""
        materialized = self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
        observed = self.instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_OBSERVATION)
        events = [entry.asset_materialization for entry in materialized]
        events += [entry.asset_observation for entry in observed]
        (event,) = [event for event in events if event.asset_key == asset]
        return dict(event.metadata)

    def query(self, sql: str) -> list[tuple]:
        with warehouse_of(self.data_dir).reading() as warehouse:
            return warehouse.execute(sql).fetchall()

    def billed(self, month: str) -> object:
        """Sum of BilledCost that the unified table shows of the month; None when it shows no row."""
        return self.query(f"SELECT sum(BilledCost) FROM focus.cost_and_usage WHERE x_Month = '{month}'")[0][0]


@pytest.fixture
def recent() -> list[str]:
    """The months of a look-back of 2, oldest first."""
    return months_back(current_month(), 2)


@pytest.fixture
def warehouse_url() -> str:
    """Of the sites that a module's tests make; without one, the DuckDB file of their data directories."""
    return ""


@pytest.fixture
def make_site(
    tmp_path: Path, compiled_rules: Path, monkeypatch: pytest.MonkeyPatch, warehouse_url: str
) -> Iterator[Callable[..., Site]]:
    """Makes a Site with the given connection names; each delivers below tmp_path/bucket/<name>."""
    instances = []

    def make(*names: str, quiet_minutes: int = 0) -> Site:
        data_dir = DataDir(tmp_path / "data", warehouse=warehouse_url)
        data_dir.root.mkdir()
        shutil.copytree(compiled_rules, data_dir.root / "cache")
        monkeypatch.setenv("FOCUS_DATA_DIR", str(data_dir.root))
        monkeypatch.setenv("FOCUS_WAREHOUSE", warehouse_url)
        components = [
            MonthFolders(name=name, url=str(tmp_path / "bucket" / name), quiet_minutes=quiet_minutes) for name in names
        ]
        definitions = dg.Definitions.merge(
            *(component.build_defs(None) for component in components),
            unified_definitions(list(names)),
            dg.Definitions(executor=dg.in_process_executor),
        )
        (tmp_path / "dagster").mkdir()
        instance = dg.DagsterInstance.ephemeral()
        instances.append(instance)
        return Site(tmp_path / "bucket" / names[0], data_dir, instance, definitions)

    yield make
    for instance in instances:
        instance.dispose()


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    return make_site(NAME)
