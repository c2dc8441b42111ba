"""BigQuery over google-cloud-bigquery: one table or view, queried and streamed to Parquet.

Permissions used: those of roles/bigquery.dataViewer on the dataset and of roles/bigquery.jobUser on the project that is
billed; bigquery.readsessions.create (roles/bigquery.readSessionUser) where it is granted.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from google.api_core.exceptions import Forbidden, GoogleAPICallError, GoogleAPIError, RetryError
from google.api_core.exceptions import NotFound as GoogleNotFound
from google.auth.exceptions import GoogleAuthError, TransportError
from google.cloud import bigquery, bigquery_storage
from google.cloud.bigquery.retry import DEFAULT_RETRY
from requests.exceptions import InvalidJSONError, RequestException, TooManyRedirects

from focus_pipeline.connections.auth import GoogleAuth
from focus_pipeline.connections.google_credentials import google_credentials, no_credentials, unreachable
from focus_pipeline.connections.store_errors import AccessDenied, LimitExceeded, NotFound, StoreError
from focus_pipeline.connections.stores import not_understood, one_line, unexplained

logger = logging.getLogger(__name__)

_RETRY = DEFAULT_RETRY.with_timeout(60)
# Of one answer. The library waits for ever where none is given, but for the rows of queries.
_ANSWER_SECONDS = 60
# A page is held as Python objects, some twenty kilobytes a row; BigQuery itself ends one at 20 MB of text.
_PAGE_ROWS = 5_000
# Of the written Parquet file, whatever the pages are: rows of DuckDB's own row groups, or as many bytes of Arrow.
_GROUP_ROWS = 122_880
_GROUP_BYTES = 64 * 1024 * 1024

# https://cloud.google.com/bigquery/docs/access-control: the least role that holds a permission, and where to grant it.
_ROLES = {
    "bigquery.jobs.create": ("roles/bigquery.jobUser", "the project that is billed"),
    "bigquery.readsessions.create": ("roles/bigquery.readSessionUser", "the project that is billed"),
    "bigquery.datasets.get": ("roles/bigquery.dataViewer", "the dataset"),
    "bigquery.tables.get": ("roles/bigquery.dataViewer", "the dataset"),
    "bigquery.tables.list": ("roles/bigquery.dataViewer", "the dataset"),
    "bigquery.tables.getData": ("roles/bigquery.dataViewer", "the dataset, and on those that its view reads"),
}
# https://cloud.google.com/bigquery/docs/error-messages; None over gRPC.
_REFUSALS = ("accessDenied", "forbidden", None)
# https://cloud.google.com/bigquery/docs/labels-intro
_LABEL_CHARACTERS = 63
# What BigQuery means by a refusal that names no permission.
_QUERY_REFUSED = "bigquery.tables.getData"


@dataclass(frozen=True)
class Billed:
    """What a query cost. bytes: None where BigQuery does not say; 0 from its cache. job: to find it in the console."""

    bytes: int | None
    cached: bool
    job: str

    @property
    def described(self) -> str:
        if self.cached:
            return "0 bytes billed by BigQuery (from its cache, for nothing has changed)"
        return "BigQuery does not say what it billed" if self.bytes is None else f"{self.bytes:,} bytes billed"


class BigQueryTable:
    """One table or view.

    project: that of the dataset. billed_project: that in which queries run. location: of the dataset; None: ask.
    maximum_bytes_billed: a query that would be billed more fails before it runs. label: on every job, for cost reports.
    storage_api: read results over the Storage Read API, which is faster; without the permission it is not used.

    Raises AccessDenied already here when the credentials cannot be used.
    """

    def __init__(
        self,
        project: str,
        dataset: str,
        table: str,
        auth: GoogleAuth,
        *,
        label: str,
        billed_project: str | None = None,
        location: str | None = None,
        endpoint_url: str | None = None,
        maximum_bytes_billed: int | None = None,
        storage_api: bool = True,
    ) -> None:
        self.address = f"{project}.{dataset}.{table}"
        self.dataset = f"{project}.{dataset}"
        self._auth = auth
        self._label = label
        self._location = location
        self._maximum_bytes_billed = maximum_bytes_billed
        credentials = google_credentials(auth, self.address, emulated=endpoint_url is not None)
        self._client = bigquery.Client(
            project=billed_project or project,
            credentials=credentials,
            client_options={"api_endpoint": endpoint_url} if endpoint_url else None,
        )
        # An emulator's is at an address of its own, and does not have the results of queries.
        self._storage = (
            bigquery_storage.BigQueryReadClient(credentials=credentials)
            if storage_api and endpoint_url is None
            else None
        )

    @property
    def location(self) -> str:
        """Where the dataset is, such as "EU": queries have to run there."""
        if self._location is None:
            with self._explained("find"):
                self._location = self._client.get_dataset(self.dataset, retry=_RETRY, timeout=_ANSWER_SECONDS).location
        return self._location

    def table(self) -> bigquery.Table:
        """The table as it is now: its columns, and how it is partitioned. Raises NotFound where there is none."""
        with self._explained("find"):
            return self._client.get_table(self.address, retry=_RETRY, timeout=_ANSWER_SECONDS)

    def other_tables(self) -> list[str]:
        """Names of all tables and views of the dataset."""
        with self._explained("list"):
            tables = self._client.list_tables(self.dataset, retry=_RETRY, timeout=_ANSWER_SECONDS)
            return [entry.table_id for entry in tables]

    def query(self, sql: str, **values: object) -> tuple[list[dict[str, object]], Billed]:
        """A query of few rows. values: of its @parameters, texts."""
        with self._explained("query"):
            job = self._job(sql, values)
            return [dict(row) for row in job.result(retry=_RETRY)], _billed(job)

    def estimated_bytes(self, sql: str, **values: object) -> int:
        """The bytes that a query would read. Nothing is run and nothing is billed."""
        with self._explained("query"):
            return self._job(sql, values, dry_run=True).total_bytes_processed

    def write(self, sql: str, path: Path, **values: object) -> Billed:
        """Runs a query and writes its rows to a Parquet file, page by page, never all at once."""
        with self._explained("query"):
            job = self._job(sql, values)
            try:
                _write(job, path, self._storage)
            except Forbidden as error:
                if self._storage is None or _permission(error) != "bigquery.readsessions.create":
                    raise
                logger.warning(
                    "%s: %s may not use BigQuery's Storage Read API (bigquery.readsessions.create, as in "
                    "roles/bigquery.readSessionUser), so rows are read page by page, which is slower",
                    self._label,
                    self._auth.described,
                )
                self._storage = None
                _write(job, path, None)
            return _billed(job)

    def _job(self, sql: str, values: dict[str, object], *, dry_run: bool = False) -> bigquery.QueryJob:
        config = bigquery.QueryJobConfig(
            query_parameters=[bigquery.ScalarQueryParameter(name, "STRING", value) for name, value in values.items()],
            labels={"application": "focus_pipeline", "connection": self._label[:_LABEL_CHARACTERS]},
            dry_run=dry_run,
        )
        # A dry run is estimated, not refused.
        if self._maximum_bytes_billed is not None and not dry_run:
            config.maximum_bytes_billed = self._maximum_bytes_billed
        return self._client.query(
            sql, job_config=config, location=self.location, retry=_RETRY, timeout=_ANSWER_SECONDS, job_retry=None
        )

    @contextmanager
    def _explained(self, action: str) -> Iterator[None]:
        """Turns the library's errors into ours: which table, which permission, which role grants it where."""
        try:
            yield
        except MemoryError:
            raise
        except GoogleNotFound as error:
            raise self._not_found(error) from None
        except GoogleAPICallError as error:
            if error.code == 401:
                raise no_credentials(self._auth, self.address, GoogleAuthError()) from None
            # Quotas and a missing billing account are HTTP 403 as well; they have other reasons.
            if isinstance(error, Forbidden) and _reason(error) in _REFUSALS:
                raise self._refused(action, error) from None
            if "limit for bytes billed" in error.message:
                raise LimitExceeded(
                    f"{self.address} was not read: the query would be billed more than maximum_bytes_billed "
                    f"({self._maximum_bytes_billed:,}): {_first_line(error)}. Raise it in the connection's YAML, or "
                    "give the connection a table that is partitioned by BillingPeriodStart"
                ) from None
            if action == "query" and error.code == 400:
                raise StoreError(
                    f"could not query {self.address}: BigQuery refuses it: {_first_line(error)}. A value of the table, "
                    "or the statement of a view, is at fault; correct it there"
                ) from None
            said = f"HTTP {error.code}, {_first_line(error)}"
            raise unexplained(f"could not {action} {self.address}", said) from None
        except TransportError as error:
            raise unreachable(self._auth, self.address, error) from None
        except GoogleAuthError as error:
            raise no_credentials(self._auth, self.address, error) from None
        except (TooManyRedirects, InvalidJSONError) as error:
            raise not_understood(f"could not {action} {self.address}", error) from None
        except (GoogleAPIError, RequestException, ConnectionError, pa.ArrowException) as error:
            last = error.cause if isinstance(error, RetryError) else error
            said = f"HTTP {last.code}" if isinstance(last, GoogleAPICallError) else type(last).__name__
            raise StoreError(
                f"could not {action} {self.address}: BigQuery cannot be reached or broke off ({said}). Check the "
                "connection's endpoint_url and this machine's network, and try again"
            ) from None
        except (StoreError, OSError):
            raise
        except Exception as error:
            raise not_understood(f"could not {action} {self.address}", error) from None

    def _not_found(self, error: GoogleNotFound) -> NotFound:
        place = self._location and f" in {self._location}"
        what = "dataset" if re.search(r"\bdataset\b", error.message, re.IGNORECASE) else "table or view"
        name = self.dataset if what == "dataset" else self.address
        return NotFound(
            f"there is no {what} {name}{place or ''}; check project, dataset and table"
            + (", and location, which is the dataset's own" if place else "")
        )

    def _refused(self, action: str, error: Forbidden) -> AccessDenied:
        permission = _permission(error)
        role, where = _ROLES.get(permission, ("a role that holds it", "the project or the dataset"))
        return AccessDenied(
            f"Access Denied: may not {action} {self.address} with {self._auth.described}: it lacks the permission "
            f"{permission}. Grant {role} on {where}"
            + (f", {self._client.project}" if "project that is billed" in where else "")
        )


def _permission(error: Forbidden) -> str:
    """The permission that a refusal names."""
    named = re.search(r"\bbigquery\.\w+\.\w+", error.message)
    return named[0] if named else _QUERY_REFUSED


def _reason(error: GoogleAPICallError) -> str | None:
    first = next(iter(error.errors), None)
    return first.get("reason") if isinstance(first, dict) else None


def _first_line(error: GoogleAPICallError) -> str:
    return one_line(error.message.split("; reason:")[0])


def _billed(job: bigquery.QueryJob) -> Billed:
    return Billed(job.total_bytes_billed, bool(job.cache_hit), f"{job.project}:{job.location}.{job.job_id}")


def _write(job: bigquery.QueryJob, path: Path, storage: bigquery_storage.BigQueryReadClient | None) -> None:
    rows = job.result(page_size=_PAGE_ROWS, retry=_RETRY)
    batches = rows.to_arrow_iterable(bqstorage_client=storage, max_queue_size=1, max_stream_count=1)
    waiting: list[pa.RecordBatch] = []
    writer = None
    try:
        for batch in batches:
            writer = writer or pq.ParquetWriter(path, batch.schema, compression="zstd")
            waiting.append(batch)
            if sum(b.num_rows for b in waiting) >= _GROUP_ROWS or sum(b.nbytes for b in waiting) >= _GROUP_BYTES:
                writer.write_table(pa.Table.from_batches(waiting))
                waiting.clear()
        if writer is None:
            table = rows.to_arrow(create_bqstorage_client=False)
            writer = pq.ParquetWriter(path, table.schema, compression="zstd")
        elif waiting:
            writer.write_table(pa.Table.from_batches(waiting))
    finally:
        if writer is not None:
            writer.close()
