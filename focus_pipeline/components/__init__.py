"""The Dagster layer: what a connection's YAML becomes. Thin; the work is done by `pipeline` and `connections`."""

import warnings

from dagster import PreviewWarning

# Partitioned checks are a preview of Dagster 1.13; ingestion.py says why they are used.
warnings.filterwarnings("ignore", category=PreviewWarning, message=".*partitions_def.*AssetCheckSpec.*")
