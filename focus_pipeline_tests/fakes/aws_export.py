"""Writes what AWS Data Exports writes, delivery by delivery, through any way to put an object.

Paths, casing of the partition, the order (manifest last) and the zero-byte chunks of a shrunk month are documented by
AWS or reported by several readers of real buckets. Assumed, for AWS publishes no schema of the manifest: the names of
its fields (executionId, exportArn, columns, dataFiles) and that dataFiles holds whole s3:// URIs.
"""

import gzip
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq

from focus_pipeline.demo.provider_layouts import aws_data_folder, aws_manifest, aws_manifest_key
from focus_pipeline.focus.specification import columns
from focus_pipeline_tests.fakes.clean_months import clean_rows
from focus_pipeline_tests.month_files import as_csv

Row = dict[str, str]


@dataclass
class AwsExport:
    """One export. prefix: as the export's S3 prefix, with or without slashes. overwrite: or a folder per execution.

    file_format: "parquet" (costs as DOUBLE, maps as MAP, as AWS writes them) or "csv.gz". bucket: as its URIs say.
    """

    put: Callable[[str, bytes], object]
    prefix: str = "billing/"
    name: str = "focus-daily"
    overwrite: bool = True
    file_format: str = "parquet"
    bucket: str = "acme-billing"
    partition: str = "billing_period"
    written: dict[str, list[str]] = field(default_factory=dict)
    executions: int = 0

    def deliver(self, month: str, rows: Sequence[Row] | None = None, chunks: int = 1) -> list[str]:
        """A whole delivery of a month: chunks first, manifest last. The keys of its files."""
        keys = self.deliver_data(month, rows, chunks)
        self.deliver_manifest(month, [f"s3://{self.bucket}/{key}" for key in keys])
        return keys

    def deliver_data(self, month: str, rows: Sequence[Row] | None = None, chunks: int = 1) -> list[str]:
        """The chunks alone, as they lie there while AWS is still delivering."""
        rows = clean_rows("aws_1_2", month) if rows is None else rows
        self.executions += 1
        folder = self.prefix + aws_data_folder(self.name, month, self._execution(), self.partition)
        suffix = "snappy.parquet" if self.file_format == "parquet" else "csv.gz"
        keys = [f"{folder}{self.name}-{number:05d}.{suffix}" for number in range(1, chunks + 1)]
        for number, key in enumerate(keys):
            self.put(key, self._file(rows[number::chunks]))
        former = self.written.get(month, [])
        if self.overwrite:
            for surplus in former[len(keys) :]:
                self.put(surplus, b"")
            self.written[month] = keys + former[len(keys) :]
        return keys

    def deliver_manifest(self, month: str, files: Sequence[object]) -> None:
        columns = list(clean_rows("aws_1_2", month)[0])
        content = json.dumps(aws_manifest(self.name, f"execution-{self.executions}", columns, files)).encode()
        if not self.overwrite:
            self.put(self.prefix + aws_manifest_key(self.name, month, self._execution(), self.partition), content)
        self.put(self.prefix + aws_manifest_key(self.name, month, "", self.partition), content)

    @property
    def folder(self) -> str:
        return f"{self.prefix}{self.name}/"

    def _execution(self) -> str:
        if self.overwrite:
            return ""
        at = datetime(2025, 3, 1, 13, 14, self.executions % 60, 728000, UTC)
        return f"{at:%Y-%m-%dT%H:%M:%S}.728Z-8c5a76cc-57d0-437d-851b-{self.executions:012d}/"

    def _file(self, rows: Sequence[Row]) -> bytes:
        if self.file_format == "csv.gz":
            return gzip.compress(as_csv(rows))
        return parquet_of_aws(rows)


def parquet_of_aws(rows: Sequence[Row]) -> bytes:
    """Costs, quantities and prices double, periods timestamps, tags and price details maps, the rest text."""
    fields = []
    arrays = []
    for name in rows[0]:
        kind = columns()[name].type if name in columns() else "JSON" if name == "x_Discounts" else "String"
        values = [row[name] or None for row in rows]
        if kind == "Decimal":
            arrays.append(pa.array([None if v is None else float(v) for v in values], pa.float64()))
        elif kind == "DateTime":
            moments = [None if v is None else datetime.fromisoformat(v).replace(tzinfo=None) for v in values]
            arrays.append(pa.array(moments, pa.timestamp("ms")))
        elif kind == "JSON":
            maps = [None if v is None else [(k, _text(x)) for k, x in json.loads(v).items()] for v in values]
            arrays.append(pa.array(maps, pa.map_(pa.string(), pa.string())))
        else:
            arrays.append(pa.array(values, pa.string()))
        fields.append(name)
    file = io.BytesIO()
    pq.write_table(pa.table(arrays, fields), file, compression="snappy")
    return file.getvalue()


def _text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)
