"""A running Dagster of a project: webserver, daemon and code location, on loopback, and its GraphQL interface."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from focus_pipeline.months import months_between
from focus_pipeline_tests.e2e.project import Project

_START_SECONDS = 90


@dataclass(frozen=True)
class DagsterServer:
    """session: of the processes that `dagster dev` started, itself included."""

    url: str
    session: int

    def query(self, text: str, **variables: object) -> dict:
        """The `data` of a GraphQL answer. Raises RuntimeError with the errors that it names."""
        request = urllib.request.Request(
            f"{self.url}/graphql",
            json.dumps({"query": text, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            content = json.load(answer)
        if content.get("errors"):
            raise RuntimeError(content["errors"])
        return content["data"]

    def launch_backfill(self, assets: list[list[str]], months: list[str]) -> str:
        """What the UI sends when its button is clicked; the id of the backfill."""
        answer = self.query(
            """
            mutation ($assets: [AssetKeyInput!]!, $months: [String!]!) {
              launchPartitionBackfill(backfillParams: {assetSelection: $assets, partitionNames: $months}) {
                __typename
                ... on LaunchBackfillSuccess { backfillId }
                ... on PythonError { message }
              }
            }
            """,
            assets=[{"path": path} for path in assets],
            months=months,
        )["launchPartitionBackfill"]
        if "backfillId" not in answer:
            raise RuntimeError(answer)
        return answer["backfillId"]

    def backfill_status(self, backfill: str) -> str:
        return self.query(
            "query ($id: String!) { partitionBackfillOrError(backfillId: $id) "
            "{ ... on PartitionBackfill { status } } }",
            id=backfill,
        )["partitionBackfillOrError"]["status"]

    def runs(self) -> list[dict]:
        """runId, jobName, status, startTime and endTime (seconds since 1970), and tags of every run, newest first."""
        answer = self.query(
            "{ runsOrError { ... on Runs { results { runId jobName status startTime endTime tags { key value } } } } }"
        )
        return [
            run | {"tags": {tag["key"]: tag["value"] for tag in run["tags"]}}
            for run in answer["runsOrError"]["results"]
        ]

    def statuses(self, job: str) -> list[str]:
        """Of the runs of a job, newest first."""
        return [run["status"] for run in self.runs() if run["jobName"] == job]


def months_of(run: dict) -> list[str]:
    """The months that a run of runs() is over: one, or those from the first to the last of a range."""
    tags = run["tags"]
    if "dagster/partition" in tags:
        return [tags["dagster/partition"]]
    first, last = (tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end"))
    return months_between(first, last)


def await_true(condition, seconds: float, what: str, every: float = 0.5) -> float:
    """Waits until `condition()` holds; the seconds that it took. Raises TimeoutError naming `what`."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > seconds:
            raise TimeoutError(f"after {seconds} s: {what}")
        time.sleep(every)
    return time.monotonic() - start


@contextmanager
def running_dagster(
    project: Project, command: Sequence[str] = ("dagster", "dev", "--host", "127.0.0.1", "--port", "{port}")
) -> Iterator[DagsterServer]:
    """`dagster dev` in the project, as `make dev` starts it; everything that it started ends with the block."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    log = (project.root / "dagster.log").open("ab")
    process = subprocess.Popen(
        [word.format(port=port) for word in command],
        cwd=project.root,
        env=project.environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        umask=0o022,  # that of most shells
    )
    server = DagsterServer(url, process.pid)
    try:
        await_true(lambda: process.poll() is not None or _loaded(server), _START_SECONDS, "Dagster did not start")
        if process.poll() is not None:
            raise RuntimeError((project.root / "dagster.log").read_text()[-3000:])
        yield server
    finally:
        # dagster dev has children of its own; the signal goes to all of them.
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        kill_session(process.pid)
        log.close()


def kill_session(session: int, but: Container[int] = ()) -> None:
    """SIGKILL to every process of a session, as when their machine goes down, until none is left but those in `but`."""
    while processes := [process for process in processes_of(session) if process not in but]:
        for process in processes:
            with suppress(ProcessLookupError):  # it has ended since
                os.kill(process, signal.SIGKILL)
        time.sleep(0.05)


def processes_of(session: int) -> list[int]:
    """The processes of a session that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended since
            # state, parent, group and session come after the name, which can hold anything.
            state, _, _, of_session, *_ = path.read_text().rpartition(")")[2].split()
            if int(of_session) == session and state not in "ZX":
                found.append(int(path.parent.name))
    return found


def _loaded(server: DagsterServer) -> bool:
    try:
        answer = server.query("{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }")
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False
    return bool(answer["repositoriesOrError"].get("nodes"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
