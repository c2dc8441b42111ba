"""The commands that a user types in a clone: dg, focus-pipeline check and warehouse rebuild."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import duckdb
import pytest

import focus_pipeline
from focus_pipeline.months import current_month, months_back
from focus_pipeline_tests.e2e.crashes import billed
from focus_pipeline_tests.e2e.dagster_server import DagsterServer, await_true, months_of, running_dagster
from focus_pipeline_tests.e2e.deliveries import ASSETS, CONNECTION, deliver_months
from focus_pipeline_tests.e2e.project import REPOSITORY, Project, clone_project

MONTHS = months_back(current_month(), 3)

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path) -> Project:
    bucket = tmp_path / "bucket"
    deliver_months(bucket, MONTHS)
    (bucket / "March-2025").mkdir()
    (bucket / "March-2025" / "expenses.csv").touch()
    (bucket / MONTHS[-1] / "EXPENSES.CSV").touch()
    return clone_project(tmp_path / "clone", {CONNECTION: {"url": str(bucket)}})


def typed(project: Project, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=project.root,
        env=project.environment | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        umask=0o022,  # that of most shells
    )


def load(project: Project, month: str) -> subprocess.CompletedProcess[str]:
    assets = ",".join(f"key:{'/'.join(path)}" for path in ASSETS)
    return typed(project, "dg", "launch", "--assets", assets, "--partition", month)


def check(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    return typed(project, "focus-pipeline", "check", *arguments)


def test_check_tells_what_is_there_what_is_ignored_and_what_would_be_loaded(project: Project) -> None:
    answer = check(project, CONNECTION)
    assert answer.returncode == 0, answer.stderr
    said = answer.stdout
    assert "✓ credentials and list permission: listed file://" in said
    assert f"✓ read permission: read {MONTHS[-1]}/expenses.csv" in said
    assert "✓ content: 50 rows of that file can be loaded" in said
    assert f"✓ 4 months found; look-back 2: {MONTHS[1]} to {MONTHS[-1]}" in said
    assert "new; the sensor loads it" in said
    assert "before the look-back (load them with a backfill)" in said
    assert "March-2025/: not a month folder; months are named YYYY-MM, such as 2025-03" in said
    assert f"{MONTHS[-1]}/EXPENSES.CSV: the extension has capitals" in said
    assert not project.data_dir.exists() or not list(project.data_dir.glob("landing/*")), "nothing is loaded"


def test_two_connections_of_one_name_are_named(project: Project) -> None:
    defs = project.root / "focus_pipeline" / "defs"
    shutil.copytree(defs / CONNECTION, defs / "copied")
    complaint = f"two connections are named '{CONNECTION}'; give one of them another name"
    for command in (("focus-pipeline", "check"), ("dg", "check", "defs")):
        answer = typed(project, *command)
        assert answer.returncode != 0
        assert complaint in answer.stdout + answer.stderr


def test_a_connection_that_cannot_be_loaded_is_named_and_the_others_are_loaded(project: Project) -> None:
    bad = project.root / "focus_pipeline" / "defs" / "bad"
    bad.mkdir()
    (bad / "defs.yaml").write_text(
        "type: focus_pipeline.MonthFolders\nattributes:\n  name: bad\n  url: http://127.0.0.1/\n"
    )
    complaint = "defs/bad/defs.yaml:4: `url`: a url of the kind http:// is not known; use s3://"
    for command in (("focus-pipeline", "check"), ("focus-pipeline", "check", "bad"), ("dg", "check", "defs")):
        answer = typed(project, *command)
        assert answer.returncode == 1
        assert complaint in answer.stdout + answer.stderr
    assert "✓ content: 50 rows of that file can be loaded" in check(project).stdout
    assert check(project, CONNECTION).returncode == 0
    assert load(project, MONTHS[-1]).returncode == 0
    assert list(billed(project)) == [MONTHS[-1]]
    assert "bad/not_loaded" in typed(project, "dg", "list", "defs", "--json").stdout


@pytest.mark.timeout(600)
def test_a_running_dagster_shows_the_bad_connection_as_failed_and_loads_the_others(project: Project) -> None:
    bad = project.root / "focus_pipeline" / "defs" / "bad"
    bad.mkdir()
    (bad / "defs.yaml").write_text("type: focus_pipeline.MonthFolder\nattributes:\n  name: bad\n  url: s3://b/\n")

    def failed_check(dagster: DagsterServer) -> str | None:
        check = dagster.query(
            """
            { assetNodes(assetKeys: [{path: ["bad", "not_loaded"]}]) { assetChecksOrError { ... on AssetChecks {
              checks { executionForLatestMaterialization { status evaluation { description } } } } } } }
            """
        )["assetNodes"][0]["assetChecksOrError"]["checks"][0]["executionForLatestMaterialization"]
        return check["evaluation"]["description"] if check and check["status"] == "FAILED" else None

    def failed_ticks(dagster: DagsterServer) -> list[str]:
        states = dagster.query(
            '{ sensorsOrError(repositorySelector: {repositoryLocationName: "focus_pipeline", '
            'repositoryName: "__repository__"}) { ... on Sensors { results { name sensorState { ticks(limit: 1) '
            "{ status error { causes { message } } } } } } } }"
        )["sensorsOrError"]["results"]
        return [
            tick["error"]["causes"][0]["message"]
            for state in states
            for tick in state["sensorState"]["ticks"]
            if state["name"] == "bad_not_loaded" and tick["status"] == "FAILURE"
        ]

    def published(dagster: DagsterServer) -> set[str]:
        runs = [run for run in dagster.runs() if (run["jobName"], run["status"]) == ("focus_publish", "SUCCESS")]
        return {month for run in runs for month in months_of(run)}

    with running_dagster(project) as dagster:
        await_true(lambda: failed_check(dagster), 120, "the check of the bad connection did not fail")
        assert "defs/bad/defs.yaml:1: there is no type `focus_pipeline.MonthFolder`; the nearest" in failed_check(
            dagster
        )
        await_true(lambda: failed_ticks(dagster), 180, "the sensor of the bad connection did not fail")
        assert "there is no type `focus_pipeline.MonthFolder`" in failed_ticks(dagster)[0]
        await_true(lambda: published(dagster) == set(MONTHS[1:]), 180, "the others were not loaded")
    assert sorted(billed(project)) == MONTHS[1:]


def test_a_connection_is_renamed_and_removed_after_a_dry_run(project: Project) -> None:
    defs = project.root / "focus_pipeline" / "defs"
    assert load(project, MONTHS[-1]).returncode == 0
    before = billed(project)

    refused = typed(project, "focus-pipeline", "rename", CONNECTION, "colo_bills")
    assert refused.returncode == 1
    assert f"still defines the connection {CONNECTION}; change its name to colo_bills there first" in refused.stderr
    yaml = defs / CONNECTION / "defs.yaml"
    yaml.write_text(yaml.read_text().replace(f"name: {CONNECTION}", "name: colo_bills"))
    asked = typed(project, "focus-pipeline", "rename", CONNECTION, "colo_bills")
    assert asked.returncode == 0, asked.stderr
    assert (
        f"{CONNECTION} has 50 rows of {MONTHS[-1]} in the table, and files of {MONTHS[-1]} in landing/" in asked.stdout
    )
    assert "Nothing is changed yet" in asked.stdout
    assert (project.data_dir / "landing" / CONNECTION).exists()
    done = typed(project, "focus-pipeline", "rename", CONNECTION, "colo_bills", "--yes")
    assert f"Done. colo_bills has 50 rows of {MONTHS[-1]} in the table" in done.stdout, done.stderr
    assert billed(project) == before

    refused = typed(project, "focus-pipeline", "remove", "colo_bills", "--yes")
    assert "still defines the connection colo_bills; delete that first" in refused.stderr
    shutil.rmtree(defs / CONNECTION)
    assert "is not the name of a connection" in typed(project, "focus-pipeline", "remove", "../x").stderr
    asked = typed(project, "focus-pipeline", "remove", "colo_bills")
    assert "Nothing is removed yet" in asked.stdout
    assert billed(project) == before
    gone = typed(project, "focus-pipeline", "remove", "colo_bills", "--yes")
    assert f"Removed of colo_bills: 50 rows of {MONTHS[-1]} in the table" in gone.stdout, gone.stderr
    assert billed(project) == {}
    assert not (project.data_dir / "landing" / "colo_bills").exists()
    again = typed(project, "focus-pipeline", "remove", "colo_bills")
    assert (again.returncode, "nothing is kept of a connection 'colo_bills'" in again.stderr) == (1, True)


def test_a_month_is_fetched_again_by_a_command_though_nothing_shows_that_it_changed(
    project: Project, tmp_path: Path
) -> None:
    bill = tmp_path / "bucket" / MONTHS[-1] / "expenses.csv"
    before, good = bill.stat(), bill.read_bytes()
    bill.write_bytes(good.replace(b"Usage,", b"Usagx,"))
    os.utime(bill, ns=(before.st_atime_ns, before.st_mtime_ns))
    refused = typed(project, "focus-pipeline", "fetch-again", CONNECTION, MONTHS[-1])
    assert refused.returncode == 1
    assert "ChargeCategory is 'Usagx'" in refused.stderr
    bill.write_bytes(good)
    os.utime(bill, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert load(project, MONTHS[-1]).returncode != 0, "by itself the delivery is the one that was refused"
    done = typed(project, "focus-pipeline", "fetch-again", CONNECTION, MONTHS[-1])
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{CONNECTION} {MONTHS[-1]} was fetched again and is published: 50 rows."
    assert sorted(billed(project)) == MONTHS[-1:]
    for month, why in {"2023-05": "before the first partition", "2025-3": "no month such as 2025-03"}.items():
        refused = typed(project, "focus-pipeline", "fetch-again", CONNECTION, month)
        assert f"{month} is {why}" in refused.stderr
    refused = typed(project, "focus-pipeline", "fetch-again", "colo", MONTHS[-1])
    assert f"there is no connection 'colo'. Connections: {CONNECTION}" in refused.stderr


def test_check_fails_in_words_when_a_connection_cannot_be_used(project: Project, tmp_path: Path) -> None:
    broken = project.root / "focus_pipeline" / "defs" / CONNECTION / "defs.yaml"
    broken.write_text(broken.read_text().replace(str(tmp_path / "bucket"), str(tmp_path / "nowhere")))
    answer = check(project)
    assert answer.returncode == 1
    assert f"✗ there is no folder {tmp_path / 'nowhere'}; check the connection's url" in answer.stdout


def test_check_names_the_connections_when_asked_for_an_unknown_one(project: Project) -> None:
    answer = check(project, "colo")
    assert answer.returncode == 1
    assert f"there is no connection 'colo'. Connections: {CONNECTION}" in answer.stderr


def test_dg_scaffolds_a_connection_that_loads_once_it_is_filled_in(project: Project, tmp_path: Path) -> None:
    scaffolded = typed(project, "dg", "scaffold", "defs", "focus_pipeline.MonthFolders", "saas-tools")
    assert scaffolded.returncode == 0, scaffolded.stderr
    written = project.root / "focus_pipeline" / "defs" / "saas-tools" / "defs.yaml"
    assert "name: saas_tools" in written.read_text()
    written.write_text(written.read_text().replace("s3://YOUR-BUCKET/YOUR-PREFIX/", str(tmp_path / "bucket")))
    assert typed(project, "dg", "check", "defs").returncode == 0
    listed = typed(project, "dg", "list", "defs", "--json").stdout
    for name in ("saas_tools/raw_files", "saas_tools/cost_and_usage", "saas_tools_deliveries", "saas_tools_ingest"):
        assert name in listed


def test_every_type_is_scaffolded_as_a_connection_that_loads_once_it_is_filled_in(project: Project) -> None:
    written = {}
    for kind in {*focus_pipeline.__all__} - {"Alerts", "Mart"}:
        name = f"new_{kind.lower()}"
        scaffolded = typed(project, "dg", "scaffold", "defs", f"focus_pipeline.{kind}", name)
        assert scaffolded.returncode == 0, scaffolded.stderr
        written[name] = project.root / "focus_pipeline" / "defs" / name / "defs.yaml"
        assert f"name: {name}" in written[name].read_text() or kind == "ExchangeRates"
    refused = typed(project, "dg", "check", "defs")
    assert refused.returncode == 1
    for name in written:
        assert f"defs/{name}/defs.yaml:" in refused.stdout + refused.stderr
    assert "YOUR-BUCKET is the template's; put your own in its place" in refused.stdout + refused.stderr
    for path in written.values():
        path.write_text(re.sub(r"YOUR[-_][A-Z_-]+", "acme", path.read_text()))
    accepted = typed(project, "dg", "check", "defs")
    assert accepted.returncode == 0, accepted.stdout
    answer = check(project, "new_awsdataexport")
    assert answer.returncode == 1
    assert "the environment lacks NEW_AWSDATAEXPORT_EXTERNAL_ID (for auth.external_id)" in answer.stdout


def test_alerts_are_scaffolded_with_the_command_of_their_page_and_tried(project: Project) -> None:
    page = (REPOSITORY / "docs" / "alerts.md").read_text("utf-8")
    (command,) = re.findall(r"^\.venv/bin/(dg scaffold defs focus_pipeline\.Alerts \w+)$", page, re.MULTILINE)
    scaffolded = typed(project, *command.split())
    assert scaffolded.returncode == 0, scaffolded.stderr
    assert typed(project, "dg", "check", "defs").returncode == 0, "it loads as it is"
    tried = typed(project, "focus-pipeline", "alert", "--test")
    assert tried.returncode == 1
    assert "finops: the environment lacks ALERTS_URL (for the channel finops)" in tried.stdout
    assert typed(project, "focus-pipeline", "alert").stdout == "no problem is open.\n"


def test_a_mart_is_scaffolded_edited_and_computed_with_the_words_of_its_page(project: Project) -> None:
    page = (REPOSITORY / "docs" / "marts.md").read_text("utf-8")
    (command,) = re.findall(r"^\.venv/bin/(dg scaffold defs focus_pipeline\.Mart \w+)$", page, re.MULTILINE)
    scaffolded = typed(project, *command.split())
    assert scaffolded.returncode == 0, scaffolded.stderr
    name = command.split()[-1]
    sql = project.root / "focus_pipeline" / "defs" / name / f"{name}.sql"
    yaml = sql.with_name("defs.yaml")
    assert typed(project, "dg", "check", "defs").returncode == 0, "it can be computed as it is"
    assert load(project, MONTHS[0]).returncode == 0
    computed = typed(project, "dg", "launch", "--assets", f"key:marts/{name}", "--partition", MONTHS[0])
    assert computed.returncode == 0, computed.stderr[-1000:]
    with duckdb.connect(project.data_dir / "warehouse.duckdb", read_only=True) as warehouse:
        ((total,),) = warehouse.sql(f"SELECT sum(BilledCost) FROM marts.{name}").fetchall()
        assert [(total,)] == warehouse.sql("SELECT sum(BilledCost) FROM focus.cost_and_usage").fetchall()
    sql.write_text(sql.read_text().replace("    ServiceName,\n", "    Tags ->> '$.team' AS Team,\n"))
    broken = typed(project, "dg", "launch", "--assets", f"key:marts/{name}", "--partition", MONTHS[0])
    assert broken.returncode != 0
    said = (
        f"the mart {name} cannot be computed of {MONTHS[0]}: its SQL gives no column ServiceName; it gives Month, Team"
    )
    assert said in broken.stdout + broken.stderr
    yaml.write_text(yaml.read_text().replace("ServiceName", "Team"))
    computed = typed(project, "dg", "launch", "--assets", f"key:marts/{name}", "--partition", MONTHS[0])
    assert computed.returncode == 0, computed.stderr[-1000:]
    with duckdb.connect(project.data_dir / "warehouse.duckdb", read_only=True) as warehouse:
        assert warehouse.sql(f"DESCRIBE marts.{name}").fetchall()[1][0] == "Team"


def test_status_and_report_say_what_there_is(project: Project) -> None:
    empty = typed(project, "focus-pipeline", "status")
    assert (empty.returncode, "Nothing was fetched yet" in empty.stdout) == (0, True)
    nothing = typed(project, "focus-pipeline", "report")
    assert nothing.returncode == 1
    assert "nothing is published yet; load a month, then publish it" in nothing.stderr
    first, second = MONTHS[:2]
    for month in (first, second):
        assert load(project, month).returncode == 0
    said = typed(project, "focus-pipeline", "status")
    assert said.returncode == 0, said.stderr
    assert f"{CONNECTION} {MONTHS[2]} is missing" in said.stdout
    bill = project.root.parent / "bucket" / second / "expenses.csv"
    bill.write_bytes(re.sub(rb"(?m)^[0-9.]+,", b"n/a,", bill.read_bytes()))
    assert load(project, second).returncode != 0
    said = typed(project, "focus-pipeline", "status", "--months", "3")
    assert said.returncode == 1
    assert f"{CONNECTION} {second} is rejected: " in said.stdout
    assert "BilledCost" in said.stdout
    missing = typed(project, "focus-pipeline", "report", "--month", first)
    assert missing.returncode == 1
    assert f"the marts have nothing of {first}; load and publish the month, then materialise" in missing.stderr
    assert typed(project, "focus-pipeline", "report", "--month", "March").returncode == 2
    marts = typed(project, "dg", "launch", "--assets", "group:marts", "--partition", first)
    assert marts.returncode == 0, marts.stderr[-1000:]
    written = typed(project, "focus-pipeline", "report", "--month", first)
    assert written.returncode == 0, written.stderr
    page = Path(written.stdout.strip()).read_text("utf-8")
    assert f"<title>Costs of {first}</title>" in page
    assert 'is <span class="state">rejected</span>' in page


def test_dg_check_names_file_and_line_of_an_attribute_that_is_not_known(project: Project) -> None:
    yaml = project.root / "focus_pipeline" / "defs" / CONNECTION / "defs.yaml"
    yaml.write_text(yaml.read_text() + "  lookback: 3\n")
    last_line = len(yaml.read_text().splitlines())
    answer = typed(project, "dg", "check", "yaml")
    assert answer.returncode == 1
    assert f"{CONNECTION}/defs.yaml:{last_line}" in answer.stdout + answer.stderr
    assert "lookback" in answer.stdout + answer.stderr


def test_a_secret_that_is_not_in_the_environment_is_named_and_harms_no_other_connection(project: Project) -> None:
    other = project.root / "focus_pipeline" / "defs" / "behind_a_role"
    other.mkdir()
    (other / "defs.yaml").write_text(
        "type: focus_pipeline.MonthFolders\nattributes:\n  name: behind_a_role\n  url: s3://bucket/\n"
        '  auth: {role_arn: "arn:aws:iam::123456789012:role/R", external_id: "{{ env.NOT_SET_ANYWHERE }}"}\n'
    )
    assert typed(project, "dg", "check", "defs").returncode == 0
    answer = check(project)
    assert answer.returncode == 1
    assert (
        "✗ Access Denied: not tried, for the environment lacks NOT_SET_ANYWHERE (for auth.external_id)" in answer.stdout
    )
    assert "✓ content: 50 rows of that file can be loaded" in answer.stdout


def test_check_reads_the_env_file_as_dagster_does(project: Project) -> None:
    other = project.root / "focus_pipeline" / "defs" / "behind_a_key"
    other.mkdir()
    (other / "defs.yaml").write_text(
        "type: focus_pipeline.MonthFolders\nattributes:\n  name: behind_a_key\n  url: gs://bucket/\n"
        '  auth: {service_account_key: "{{ env.ONLY_IN_THE_ENV_FILE }}"}\n'
    )
    (project.root / ".env").write_text("ONLY_IN_THE_ENV_FILE=no-key\n")
    assert "for gs://bucket: it is not the JSON text of a key" in check(project, "behind_a_key").stdout


def test_a_damaged_warehouse_is_named_by_the_run_and_made_anew_by_the_command(project: Project) -> None:
    for month in MONTHS[-2:]:
        assert load(project, month).returncode == 0
    before = billed(project)
    warehouse = project.data_dir / "warehouse.duckdb"
    os.truncate(warehouse, 5000)
    failed = load(project, MONTHS[-1])
    assert failed.returncode != 0
    assert f"focus {MONTHS[-1]}: the warehouse {warehouse} is damaged" in failed.stdout + failed.stderr
    rebuilt = typed(project, "focus-pipeline", "warehouse", "rebuild")
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert f"{warehouse} has 100 rows.\n{CONNECTION}: {MONTHS[-2]}, {MONTHS[-1]}.\n" in rebuilt.stdout
    assert f"The former file is {project.data_dir}/warehouse-until-" in rebuilt.stdout
    assert billed(project) == before
    assert load(project, MONTHS[-1]).returncode == 0


def test_what_is_written_is_for_this_user_alone(project: Project) -> None:
    assert typed(
        project, "focus-pipeline", "validate", str(project.root.parent / "bucket" / MONTHS[0] / "expenses.csv")
    )
    assert load(project, MONTHS[-1]).returncode == 0
    written = [project.data_dir, *project.data_dir.rglob("*")]
    modes = {str(path.relative_to(project.root)): path.stat().st_mode & 0o777 for path in written}
    open_to_others = {name: oct(mode) for name, mode in modes.items() if mode & 0o077}
    assert open_to_others == {}
    names = {path.name for path in written}
    assert {"landing", "staged", "cache", "warehouse.duckdb", "accepted.json"} <= names
    assert (project.root / ".dagster").stat().st_mode & 0o077 == 0
