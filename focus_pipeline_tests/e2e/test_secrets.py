"""A whole Dagster whose providers echo what they are sent: no secret is in its database, logs, or answers to the UI."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from focus_pipeline.months import current_month
from focus_pipeline_tests.connections.secrets_kept import assert_holds_none
from focus_pipeline_tests.e2e.dagster_server import DagsterServer, await_true, running_dagster
from focus_pipeline_tests.e2e.project import Project, clone_project
from focus_pipeline_tests.fakes.odd_server import echo_as_json, echo_as_xml, odd_server
from focus_pipeline_tests.fakes.token_endpoint import token_endpoint

MONTH = current_month()
ACCESS_TOKEN = "ya29.canary-of-an-access-token"
CANARIES = {
    "ACME_KEY": "AKIACANARYOFAPROJECT",
    "ACME_SECRET": "canary/Secret+of=AProject/0001",
    "ACME_TOKEN": "canary//Session+Token==/OfAProject",
    "ACME_EXTERNAL_ID": "canary-external-id:of-a-project",
    "ACME_SAS": "sv=2024-08-04&sp=rl&sig=canary%2FSignature%2Bof%3DAProject",
    # Those that the libraries find by themselves; the last one breaks the header that it is put into.
    "AWS_ACCESS_KEY_ID": "AKIACANARYOFTHECHAIN",
    "AWS_SECRET_ACCESS_KEY": "canary/Secret+of=TheChain/0001",
    "AWS_SESSION_TOKEN": "canary//first/half/of/a/token\ncanary//other/half/of/a/token",
}


def connections(odd_xml: str, odd_json: str) -> dict[str, dict[str, object]]:
    keys = {"access_key_id": "{{ env.ACME_KEY }}", "secret_access_key": "{{ env.ACME_SECRET }}"}
    s3 = {"url": "s3://acme-billing/focus/", "endpoint_url": odd_xml, "check_every_seconds": 5}
    role = {"role_arn": "arn:aws:iam::123456789012:role/FocusReader", "external_id": "{{ env.ACME_EXTERNAL_ID }}"}
    return {
        "keys": {**s3, "auth": {**keys, "session_token": "{{ env.ACME_TOKEN }}"}},
        "role": {**s3, "auth": {**keys, **role}},
        "chain": s3,
        "sas": {
            **s3,
            "url": "az://exports/focus/",
            "auth": {"account_name": "acme", "sas_token": "{{ env.ACME_SAS }}"},
        },
        "google": {
            "url": "gs://acme-billing/focus/",
            "endpoint_url": odd_json,
            "check_every_seconds": 5,
            "auth": {"service_account_key": "{{ env.ACME_GOOGLE }}"},
        },
    }


@pytest.fixture(scope="module")
def private_key() -> str:
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_secret_is_left_in_dagster_by_providers_that_echo_what_they_are_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, private_key: str
) -> None:
    with (
        odd_server(echo_as_xml) as in_xml,
        odd_server(echo_as_json) as in_json,
        token_endpoint(ACCESS_TOKEN) as token_uri,
    ):
        account = {"type": "service_account", "client_email": "reader@acme.iam.gserviceaccount.com"}
        key = json.dumps(account | {"private_key": private_key, "token_uri": token_uri})
        for name, value in {**CANARIES, "ACME_GOOGLE": key}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        made = connections(in_xml.url, in_json.url)
        project = clone_project(tmp_path / "clone", made)
        log_everything(project)
        with running_dagster(project) as dagster:
            for name in made:
                dagster.launch_backfill([[name, "raw_files"]], [MONTH])
            await_true(lambda: statuses(dagster) == ["FAILURE"] * len(made), 240, "the runs did not fail")
            await_true(lambda: {*ticks(dagster)} >= {*made}, 60, "not every sensor failed")
            answers = json.dumps([everything_of_runs(dagster), ticks(dagster)])
        assert in_xml.seen, "something was sent"
        assert any(f"Bearer {ACCESS_TOKEN}" in asked.text for asked in in_json.seen)
    for name in made:
        assert f"{name} {MONTH}: " in answers, "what is wrong is told"
    canaries = [value for name in CANARIES for value in CANARIES[name].split("\n")]
    canaries += [ACCESS_TOKEN, *private_key.split("\n")[1:-2]]
    assert_holds_none(answers, *canaries)
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert any("compute_logs" in str(path) and path.suffix == ".err" and path.stat().st_size for path in kept)
    assert any(path.suffix == ".db" and recorded_events(path) for path in kept)
    for path in kept:
        assert_holds_none(path.read_bytes().decode("utf-8", "replace"), *canaries)


def log_everything(project: Project) -> None:
    """Every library's log at DEBUG goes into the runs' events and compute logs, as who looks for a fault has it."""
    for path in (project.root / "dagster.yaml", project.root / ".dagster" / "dagster.yaml"):
        content = yaml.safe_load(path.read_text())
        content["python_logs"] = {"managed_python_loggers": ["root"], "python_log_level": "DEBUG"}
        path.write_text(yaml.safe_dump(content))


def recorded_events(path: Path) -> int:
    with sqlite3.connect(path) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE name = 'event_logs'")]
        return database.execute("SELECT count(*) FROM event_logs").fetchone()[0] if tables else 0


def statuses(dagster: DagsterServer) -> list[str]:
    return [run["status"] for run in dagster.runs() if run["status"] not in ("QUEUED", "STARTED", "STARTING")]


def ticks(dagster: DagsterServer) -> dict[str, list]:
    """The failed ticks of each connection's sensor, with their errors as the UI shows them."""
    answer = dagster.query(
        '{ sensorsOrError(repositorySelector: {repositoryName: "__repository__", '
        'repositoryLocationName: "focus_pipeline"}) { ... on Sensors { results { name sensorState { ticks(limit: 5) { '
        "status skipReason error { message stack causes { message stack } errorChain { error { message stack } } } "
        "logEvents { events { message } } } } } } } }"
    )
    found = {
        sensor["name"].removesuffix("_deliveries"): [
            tick for tick in sensor["sensorState"]["ticks"] if tick["status"] == "FAILURE"
        ]
        for sensor in answer["sensorsOrError"]["results"]
    }
    return {name: failed for name, failed in found.items() if failed}


def everything_of_runs(dagster: DagsterServer) -> list[dict]:
    """Events, errors with their causes, configuration and captured output of every run, as the UI asks for them."""
    events = """
    query ($id: ID!) {
      logsForRun(runId: $id, limit: 1000) {
        ... on EventConnection {
          events {
            __typename
            ... on MessageEvent { message level stepKey }
            ... on ExecutionStepFailureEvent {
              error {
                message className stack causes { message stack } errorChain { isExplicitLink error { message stack } }
              }
              failureMetadata { metadataEntries { label description } }
            }
            ... on RunFailureEvent { error { message stack causes { message stack } } }
          }
        }
      }
      runOrError(runId: $id) { ... on Run { runConfigYaml tags { key value } } }
    }
    """
    return [dagster.query(events, id=run["runId"]) for run in dagster.runs()]
