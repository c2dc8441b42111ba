"""Files that BigQuery's EXPORT DATA has written to a bucket: `<anything>000000000000.parquet`, `…000000000001…`.

`overwrite=true` replaces the files that the statement writes and leaves the others: where an earlier run wrote more of
them, its last ones stay, and would be counted again.
https://cloud.google.com/bigquery/docs/exporting-data#exporting_data_into_one_or_more_files
"""

import re
from collections.abc import Iterable
from datetime import timedelta

from focus_pipeline.connections.delivery import StoredObject

_SHARD = re.compile(r"(.*)(\d{12})(\.[A-Za-z.]+)")
# A query runs at most six hours; every run writes its first file anew.
# https://cloud.google.com/bigquery/quotas#query_jobs
LONGEST_RUN = timedelta(hours=6)


def stale_shards(objects: Iterable[StoredObject]) -> list[StoredObject]:
    """Those that are older than their first one by more than a run can take: left over from an earlier run."""
    shards: dict[tuple[str, str], dict[int, StoredObject]] = {}
    for item in objects:
        if (match := _SHARD.fullmatch(item.key)) is not None:
            shards.setdefault((match[1], match[3]), {})[int(match[2])] = item
    return [
        item
        for numbered in shards.values()
        if 0 in numbered
        for item in numbered.values()
        if item.last_modified < numbered[0].last_modified - LONGEST_RUN
    ]
