"""BigQuery on loopback: bqemulator, and in front of it what that lacks.

bqemulator runs GoogleSQL on DuckDB over BigQuery's REST API. It knows no accounts, runs a query in any location, and
bills nothing. The layer in front of it, as BigQuery does,

- asks for the permissions that `deny` takes away, with Google's words;
- does not find a dataset from another location than its own;
- says what a query is billed: here 10 MiB, BigQuery's least, for each table, and nothing for a text that was asked
  before of unchanged tables, which BigQuery has in its cache; and refuses a query over maximumBytesBilled;
- gives rows page by page, `page_rows` at most;
- says of a view what its query is.

What stays unshown: how many bytes a real query reads, and how many fewer where it names partitions; the Storage Read
API on query results.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import duckdb_extension_spatial
from google.api_core.client_info import ClientInfo
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from werkzeug import Request, Response

from focus_pipeline_tests.fakes.loopback import (
    SETUP_AGENT,
    Front,
    Served,
    forward_to,
    listening,
    process_with_port,
)

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

PROJECT = "acme-billing"
LEAST_BILLED = 10 * 1024 * 1024

_REFUSED = {
    "bigquery.jobs.create": "Access Denied: Project {project}: User does not have bigquery.jobs.create permission in "
    "project {project}.",
    "bigquery.datasets.get": "Access Denied: Dataset {project}:{dataset}: Permission bigquery.datasets.get denied on "
    "dataset {project}:{dataset} (or it may not exist).",
    "bigquery.tables.get": "Access Denied: Table {project}:{dataset}.{table}: Permission bigquery.tables.get denied on "
    "table {project}:{dataset}.{table} (or it may not exist).",
    "bigquery.tables.getData": "Access Denied: Table {project}:{dataset}.{table}: User does not have permission to "
    "query table {project}:{dataset}.{table}, or perhaps it does not exist.",
}


@dataclass
class BigQueryServer(Served):
    """denied: permissions that the caller lacks. page_rows: most rows of an answer."""

    endpoint_url: str = ""
    denied: set[str] = field(default_factory=set)
    page_rows: int = 1_000_000
    _locations: dict[str, str] = field(default_factory=dict)
    _changes: int = 0
    _asked: set[tuple[int, str]] = field(default_factory=set)
    _billed: dict[str, tuple[int, bool]] = field(default_factory=dict)
    _views: dict[str, str] = field(default_factory=dict)

    def client(self) -> bigquery.Client:
        """A client that may do everything, and whose requests are not recorded."""
        return bigquery.Client(
            project=PROJECT,
            credentials=AnonymousCredentials(),
            client_info=ClientInfo(user_agent=SETUP_AGENT),
            client_options={"api_endpoint": self.endpoint_url},
        )

    def create_dataset(self, name: str, location: str = "EU") -> None:
        dataset = bigquery.Dataset(f"{PROJECT}.{name}")
        dataset.location = location
        self.client().create_dataset(dataset)
        self._locations[name] = location

    def create_table(
        self, name: str, schema: Sequence[bigquery.SchemaField], partitioned_by: str | None = None
    ) -> None:
        """name: `dataset.table`. partitioned_by: a column, by day, or `_PARTITIONTIME`, the time of arrival."""
        table = bigquery.Table(f"{PROJECT}.{name}", schema)
        if partitioned_by is not None:
            field = None if partitioned_by == "_PARTITIONTIME" else partitioned_by
            table.time_partitioning = bigquery.TimePartitioning(type_="DAY", field=field)
        self.client().create_table(table)
        self._changes += 1

    def insert(self, name: str, rows: Sequence[Mapping[str, object]]) -> None:
        if rows:
            assert not self.client().insert_rows_json(f"{PROJECT}.{name}", list(rows)), "the emulator refused the rows"
        self._changes += 1

    def add_column(self, name: str, field: bigquery.SchemaField) -> None:
        """As Google does to its tables. The emulator needs to be told twice: for its data, and for its catalogue."""
        client = self.client()
        client.query(f"ALTER TABLE `{PROJECT}.{name}` ADD COLUMN {field.name} {field.field_type}").result()
        table = client.get_table(f"{PROJECT}.{name}")
        table.schema = [*table.schema, field]
        client.update_table(table, ["schema"])
        self._changes += 1

    def execute(self, sql: str) -> None:
        """A statement of the customer's: DELETE, CREATE VIEW, …"""
        self.client().query(sql).result()
        self._changes += 1
        if created := re.match(r"CREATE (?:OR REPLACE )?VIEW `([^`]+)` AS(.*)", sql, re.DOTALL):
            self._views[created[1].removeprefix(f"{PROJECT}.")] = created[2].strip()

    def query_of(self, job: str) -> str:
        """The text of a query that was run. job: as `project:location.id`."""
        return self.client().get_job(job.rpartition(".")[2]).query

    def _refusal(self, request: Request) -> Response | None:
        if SETUP_AGENT in request.user_agent.string:
            return None
        dataset, table = _place(request)
        for permission in sorted(self.denied):
            if _needs(permission, request):
                message = _REFUSED[permission].format(project=PROJECT, dataset=dataset, table=table)
                return _error(403, "accessDenied", message)
        body = _body(request)
        query = body.get("configuration", {}).get("query")
        if query is None:
            return None
        location = body.get("jobReference", {}).get("location")
        if (known := self._locations.get(dataset)) is not None and location != known:
            return _error(
                404, "notFound", f"Not found: Dataset {PROJECT}:{dataset} was not found in location {location}"
            )
        tables = len(set(re.findall(r"FROM `([^`]+)`", query["query"])))
        cached = (self._changes, json.dumps(query, sort_keys=True)) in self._asked
        billed = 0 if cached else tables * LEAST_BILLED
        limit = int(query.get("maximumBytesBilled", billed))
        if billed > limit:
            return _error(
                400,
                "bytesBilledLimitExceeded",
                f"Query exceeded limit for bytes billed: {limit}. {billed} or higher required.",
            )
        if not body["configuration"].get("dryRun"):
            self._asked.add((self._changes, json.dumps(query, sort_keys=True)))
            self._billed[body["jobReference"]["jobId"]] = (billed, cached)
        return None

    def _answer(self, path: str, body: dict) -> dict:
        """The emulator's answer with what it does not say."""
        if "tableReference" in body:
            table = body["tableReference"]
            if (query := self._views.get(f"{table['datasetId']}.{table['tableId']}")) is not None:
                body["view"] = {"query": query, "useLegacySql": False}
        if path.endswith("/jobs") or "/jobs/" in path:
            job = body.get("jobReference", {}).get("jobId")
            query = body.get("statistics", {}).get("query")
            if query is not None and body.get("configuration", {}).get("dryRun"):
                body["statistics"]["totalBytesProcessed"] = query["totalBytesProcessed"] = str(LEAST_BILLED)
            elif query is not None and job in self._billed:
                billed, cached = self._billed[job]
                query |= {"totalBytesBilled": str(billed), "cacheHit": cached}
        return body


@contextmanager
def bigquery_server() -> Iterator[BigQueryServer]:
    """Start the emulator, empty, and the layer in front of it."""
    with tempfile.TemporaryDirectory() as home:
        _install_spatial(Path(home))
        command = [
            str(Path(sys.executable).with_name("bqemulator")),
            *("start", "--rest-port", "0", "--grpc-port", "0", "--log-level", "info", "--log-format", "json"),
        ]
        environment = {"HOME": home, "BQEMU_METRICS_ENABLED": "false"}
        with process_with_port(command, r"Uvicorn running on http://127\.0\.0\.1:(\d+)", environment) as port:
            front = Front(forward_to(port))
            with listening(front) as url:
                server = BigQueryServer(_front=front, endpoint_url=url)
                front.refusal = server._refusal
                front.behind = _completed(server, port)
                yield server


def _install_spatial(home: Path) -> None:
    """bqemulator loads DuckDB's spatial extension at its start; this puts it where it looks, from the wheel."""
    [extension] = Path(duckdb_extension_spatial.__file__).parent.rglob("*.duckdb_extension")
    directory = home / ".duckdb" / "extensions"
    with duckdb.connect(config={"extension_directory": str(directory)}) as connection:
        connection.execute(f"INSTALL '{extension}'")


def _completed(server: BigQueryServer, port: int):
    """The emulator, with pages no longer than asked and answers completed."""
    behind = forward_to(port)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        request = Request(environ)
        shorten = "/queries/" in request.path or request.path.endswith("/data")
        if shorten and int(request.args.get("maxResults", server.page_rows + 1)) > server.page_rows:
            uri = re.sub(r"maxResults=\d+", "", environ["RAW_URI"])
            environ["RAW_URI"] = f"{uri}{'&' if '?' in uri else '?'}maxResults={server.page_rows}"
        answered: list = []
        content = b"".join(behind(environ, lambda status, headers: answered.extend((status, headers))))
        status, headers = answered
        described = "/jobs" in request.path or re.search(r"/tables/[^/]+$", request.path)
        if status.startswith("200") and described and content.startswith(b"{"):
            content = json.dumps(server._answer(request.path, json.loads(content))).encode()
            headers = [(n, v) for n, v in headers if n.lower() not in ("content-length", "content-encoding")]
            headers.append(("Content-Length", str(len(content))))
        start_response(status, headers)
        return [content]

    return app


def _needs(permission: str, request: Request) -> bool:
    """Whether BigQuery asks for a permission before it answers this request."""
    query = request.method == "POST" and request.path.endswith("/jobs")
    return {
        "bigquery.jobs.create": query,
        "bigquery.tables.getData": query,
        "bigquery.datasets.get": bool(re.search(r"/datasets/[^/]+$", request.path)),
        "bigquery.tables.get": bool(re.search(r"/tables/[^/]+$", request.path)),
    }[permission]


def _place(request: Request) -> tuple[str, str]:
    """Dataset and table that a request is about; those of the first table of a query."""
    if found := re.search(r"/datasets/([^/]+)(?:/tables/([^/]+))?", request.path):
        return found[1], found[2] or ""
    query = _body(request).get("configuration", {}).get("query", {}).get("query", "")
    found = re.search(r"FROM `[^.`]+\.([^.`]+)\.([^`]+)`", query)
    return (found[1], found[2]) if found else ("", "")


def _body(request: Request) -> dict:
    if request.method != "POST" or not request.path.endswith("/jobs"):
        return {}
    content = request.get_data()
    request.environ["wsgi.input"] = BytesIO(content)  # the emulator reads it again
    return json.loads(content) if content.startswith(b"{") else {}


def _error(status: int, reason: str, message: str) -> Response:
    error = {"code": status, "message": message, "errors": [{"reason": reason, "message": message, "domain": "global"}]}
    return Response(json.dumps({"error": error}), status, mimetype="application/json")
