"""The graph that the project ships: a change of it shows here, in one readable list."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from focus_pipeline.components.aws_data_export import AwsDataExport
from focus_pipeline.components.azure_cost_export import AzureCostExport
from focus_pipeline.components.connection import ConnectionComponent
from focus_pipeline.components.deliveries_sensor import deliveries_sensor
from focus_pipeline.components.gcp_bigquery_export import GcpBigQueryExport
from focus_pipeline.components.month_folders import MonthFolders
from focus_pipeline.components.oci_reports import OciReports
from focus_pipeline.components.store_connection import StoreConnection
from focus_pipeline.connections.delivery import Delivery, Discovery, StoredObject
from focus_pipeline.connections.store_errors import AccessDenied
from focus_pipeline.definitions import defs
from focus_pipeline.demo.deliveries import FILES
from focus_pipeline.focus.canonical import CANONICAL
from focus_pipeline.focus.specification import columns
from focus_pipeline.records.landed import first_month, record_shown
from focus_pipeline.settings import PROJECT_ROOT
from focus_pipeline.storage import DataDir
from focus_pipeline_tests.components.conftest import Site
from focus_pipeline_tests.month_files import MONTH, focus_row, write_csv

GRAPH = Path(__file__).with_name("graph.txt")


def described(definitions: dg.Definitions) -> str:
    """Assets with what they depend on, checks, jobs and sensors, a line each."""
    graph = definitions.resolve_asset_graph()
    lines = []
    for key in sorted(graph.materializable_asset_keys):
        node = graph.get(key)
        below = ", ".join(sorted(parent.to_user_string() for parent in node.parent_keys)) or "the provider"
        lines.append(f"asset {key.to_user_string()} in {node.group_name}, monthly, from {below}")
        for check in sorted(graph.get_check_keys_for_assets({key})):
            gates = ", gates" if graph.get(check).blocking else ""
            lines.append(f"  check {check.name}{gates}")
    repository = definitions.get_repository_def()
    lines += [f"job {job.name}" for job in sorted(repository.get_all_jobs(), key=lambda job: job.name)]
    lines += [
        f"sensor {s.name}" + (f" of {s.job_name}" if s.targets else "")
        for s in sorted(repository.sensor_defs, key=lambda s: s.name)
    ]
    lines += [f"schedule {s.name} of {s.job_name}" for s in sorted(repository.schedule_defs, key=lambda s: s.name)]
    return "\n".join(lines) + "\n"


def test_the_shipped_graph_is_the_one_in_graph_txt() -> None:
    assert described(defs()) == GRAPH.read_text(), f"if the change is meant, put the new graph into {GRAPH.name}"


def test_everything_can_be_loaded() -> None:
    dg.Definitions.validate_loadable(defs())


def test_the_columns_tab_shows_every_column_with_its_type_and_description() -> None:
    node = defs().resolve_asset_graph().get(dg.AssetKey(["focus", "cost_and_usage"]))
    schema = node.metadata["dagster/column_schema"]
    assert {column.name: column.type for column in schema.columns} == CANONICAL
    assert all(column.description for column in schema.columns if column.name in columns())


@pytest.mark.parametrize(
    ("written", "version"),
    [
        ("'1.2'", "1.2"),
        ("1.2", "1.2"),
        ("'1.10'", "1.10"),
        ("1.0-preview", "1.0-preview"),
        ("'{{ env.FOCUS_OF_COLO }}'", "1.4"),
    ],
)
def test_a_declared_version_is_a_text(monkeypatch: pytest.MonkeyPatch, written: str, version: str) -> None:
    """Dagster's resolving makes a number of a text that looks like one."""
    monkeypatch.setenv("FOCUS_OF_COLO", "1.4")
    component = MonthFolders.resolve_from_yaml(f"name: colo\nurl: s3://b/\nfocus_version: {written}\n")
    assert component.focus_version == version


@pytest.mark.parametrize("external_id", ["1234567890123", "1e5", "0123", "plain", "[1]"])
def test_a_secret_that_looks_like_a_number_stays_a_text(monkeypatch: pytest.MonkeyPatch, external_id: str) -> None:
    monkeypatch.setenv("COLO_EXTERNAL_ID", external_id)
    monkeypatch.setenv("ACCOUNT", "123456789012")
    component = MonthFolders.resolve_from_yaml(
        "name: colo\nurl: s3://b/\nauth:\n"
        "  role_arn: arn:aws:iam::{{ env.ACCOUNT }}:role/Reader\n  external_id: '{{ env.COLO_EXTERNAL_ID }}'\n"
    )
    assert component.auth.external_id == external_id
    assert component.auth.role_arn == "arn:aws:iam::123456789012:role/Reader"


@pytest.mark.parametrize(
    ("attribute", "written"),
    [
        ("auth.role_arn", "url: s3://b/\nauth: {role_arn: 'arn:aws:iam::{{ env.NOT_SET }}:role/Reader'}"),
        ("url", "url: 's3://acme-{{ env.NOT_SET }}/focus/'"),
        ("url", "url: '{{ env.NOT_SET }}'"),
        ("endpoint_url", "url: s3://b/\nendpoint_url: 'http://127.0.0.1:{{ env.NOT_SET }}'"),
    ],
)
def test_a_variable_that_is_not_set_is_named_wherever_it_stands(attribute: str, written: str) -> None:
    component = MonthFolders.resolve_from_yaml(f"name: colo\n{written}\n")
    with pytest.raises(AccessDenied, match=rf"the environment lacks NOT_SET \(for {re.escape(attribute)}\)"):
        component.connection().discover()


def test_a_variable_of_a_bigquery_connection_that_is_not_set_is_named() -> None:
    component = GcpBigQueryExport.resolve_from_yaml(
        "name: google\nproject: 'acme-{{ env.NOT_SET }}'\ndataset: billing\ntable: t\nlocation: '{{ env.EMPTY }}'\n"
    )
    with pytest.raises(AccessDenied, match=r"the environment lacks NOT_SET \(for project\), EMPTY \(for location\)"):
        component.connection().discover()


@pytest.mark.parametrize("name", ["2024", "1.0", "1e5", "true", "None"])
def test_a_name_that_looks_like_another_type_stays_a_text(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("EXPORT", name)
    component = AwsDataExport.resolve_from_yaml(f"name: aws\nurl: s3://b/\nexport_name: '{name}'\n")
    assert component.export_name == name
    component = AwsDataExport.resolve_from_yaml("name: aws\nurl: s3://b/\nexport_name: '{{ env.EXPORT }}'\n")
    assert component.export_name == name


@pytest.mark.parametrize(
    ("attributes", "complaint"),
    [
        ({"name": "Colo", "url": "s3://b/"}, "String should match pattern"),
        ({"name": "colo", "url": "ftp://b/"}, "a url of the kind ftp:// is not known; use s3://"),
        ({"name": "colo", "url": "s3://b/", "lookback_months": -1}, "greater than or equal to 0"),
        ({"name": "colo", "url": "gs://b/", "auth": {"profile": "x"}}, "auth does not fit the url"),
    ],
)
def test_attributes_that_cannot_be_used_are_refused_in_words(attributes: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        MonthFolders(**attributes)


def test_a_connection_cannot_take_the_name_of_the_unified_assets() -> None:
    with pytest.raises(ValueError, match="cannot be named 'focus'"):
        MonthFolders(name="focus", url="s3://b/").build_defs(None)


RUN = f"""
import sys
from pathlib import Path
from focus_pipeline.definitions import defs
from focus_pipeline.demo.deliveries import FILES
from focus_pipeline.settings import PROJECT_ROOT
from focus_pipeline.pipeline.judge import judge
from focus_pipeline.storage import DataDir
from focus_pipeline.records.landed import current_delivery
from focus_pipeline.pipeline.stage import stage

defs()
data_dir = DataDir(Path(sys.argv[1]))
staged = stage(current_delivery("colo_costs", "{MONTH}", data_dir), data_dir, month_rule=True)
assert judge(staged, data_dir, month_rule=True).accepted
print(*sys.modules)
"""


def test_a_run_loads_neither_pandera_nor_ibis_nor_a_providers_library(folder: Path, load_month: Callable) -> None:
    """Each takes longer to load than a small month takes to judge, and every month is a process of its own."""
    write_csv(folder / "a.csv", [focus_row()])
    data_dir = load_month(folder).data_dir
    environment = os.environ | {"FOCUS_DATA_DIR": str(data_dir.root)}
    command = [sys.executable, "-c", RUN, str(data_dir.root)]
    loaded = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
    assert "dagster" in loaded
    assert not {"apprise", "pandera", "ibis", "boto3", "azure.storage.blob", "google.cloud.storage"} & set(loaded)


def test_the_demo_s_connections_are_below_the_data_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FOCUS_DATA_DIR", str(tmp_path))
    tree = dg.ComponentTree.for_project(PROJECT_ROOT)
    components = tree.get_all_components(of_type=ConnectionComponent)
    assert {
        component.name: Path(component.url).relative_to(tmp_path / "demo").parts[0] for component in components
    } == {name: name for name in FILES}


@pytest.mark.parametrize("kind", [MonthFolders, AwsDataExport, AzureCostExport, OciReports])
def test_what_a_connection_ignores_is_never_part_of_a_delivery(kind: type[StoreConnection]) -> None:
    """And a month that is left with nothing for that is no empty one that the provider declares."""
    connection = kind.resolve_from_yaml(
        "name: acme\nurl: s3://b/\nignore: ['*_commitments_*', 'x/late/*']\n"
    ).connection()
    day = datetime(2025, 3, 1, tzinfo=UTC)
    items = [StoredObject(key, "e", 1, day) for key in ("x/a_commitments_1.csv", "x/a.csv", "x/late/b.csv")]
    shown = Discovery(
        ("2025-03", "2025-04"),
        {
            "2025-03": Delivery("2025-03", tuple(items), declared=True),
            "2025-04": Delivery("2025-04", (items[0],), declared=True),
        },
        (),
        "s3://b/",
    )
    left = shown.without(connection.ignore)
    assert [item.key for item in left.deliveries["2025-03"].objects] == ["x/a.csv"]
    assert left.deliveries["2025-04"] == Delivery("2025-04", (), declared=False)
    assert [one.key for one in left.ignored] == [items[0].key, items[2].key, items[0].key]
    assert shown.without(()) == shown


def first_partition_of_a_new_process(data_dir: Path, **environment: str) -> str:
    """As `dagster dev` loads the code location anew, and as a run of it inherits it."""
    program = (
        "import os, subprocess, sys\n"
        "from focus_pipeline.components import names\n"
        "from focus_pipeline.definitions import defs\n"
        "if len(sys.argv) == 1:\n"
        "    defs()\n"
        "    (folder,) = __import__('pathlib').Path(os.environ['FOCUS_DATA_DIR']).glob('landing/x')\n"
        "    (folder / 'shown.json').write_text('{\"first\": \"2021-01\"}')\n"
        "    sys.exit(subprocess.call([sys.executable, '-c', os.environ['PROGRAM'], 'run']))\n"
        "print(names.monthly().get_first_partition_key())\n"
    )
    inherited = {name: value for name, value in os.environ.items() if name != "FOCUS_START_MONTH"}
    run = subprocess.run(
        [sys.executable, "-c", program],
        env={**inherited, "FOCUS_DATA_DIR": str(data_dir), "PROGRAM": program, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.strip()


@pytest.mark.slow
def test_partitions_begin_with_the_first_month_that_was_shown_and_a_run_begins_where_its_code_location_does(
    tmp_path: Path,
) -> None:
    """What a provider shows while Dagster runs counts from the next loading on, for all processes at once."""
    data_dir = DataDir(tmp_path)
    (tmp_path / "landing" / "x").mkdir(parents=True)
    assert first_partition_of_a_new_process(tmp_path) == "2024-01", "nothing is known yet"
    record_shown("x", ["2025-03", "2025-04"], data_dir)
    assert first_partition_of_a_new_process(tmp_path) == "2025-03"
    landed = data_dir.landed("y", "2024-11")
    landed.mkdir(parents=True)
    (landed / "current.json").write_text('{"token": "t", "listed_at": "2025-01-01T00:00:00+00:00"}')
    record_shown("x", ["2025-03", "2025-04"], data_dir)
    assert first_partition_of_a_new_process(tmp_path) == "2024-11"
    assert first_partition_of_a_new_process(tmp_path, FOCUS_START_MONTH="2025-01") == "2025-01"


def test_the_sensor_records_the_first_month_that_is_shown(site: Site, recent: list[str]) -> None:
    site.deliver("2023-05")
    site.deliver(recent[0])
    site.tick()
    assert first_month(site.data_dir) == "2023-05"


def test_the_demo_s_sensors_wait_for_the_demo(tmp_path: Path) -> None:
    data_dir = DataDir(tmp_path)
    for url, waits in ((data_dir.demo / "colo", True), (tmp_path / "elsewhere", False)):
        connection = MonthFolders(name="colo", url=str(url)).connection()
        sensor = deliveries_sensor(connection, dg.define_asset_job("colo_ingest"), 2, 300, data_dir)
        with dg.DagsterInstance.ephemeral() as instance:
            context = dg.build_sensor_context(instance=instance)
            if waits:
                said = sensor(context).skip_reason.skip_message
                assert said == "colo is a connection of the demo: `make demo` makes what it delivers"
            else:
                with pytest.raises(dg.Failure, match="there is no folder"):
                    sensor(context)
