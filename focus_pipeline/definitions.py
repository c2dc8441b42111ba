"""The code location: everything in defs/, run in one process per run."""

import warnings
from pathlib import Path

import dagster as dg

from focus_pipeline.components.connection import connections
from focus_pipeline.pipeline.data_dir import keep_files_private
from focus_pipeline.run_workers import locked_in_process_executor, missed_retries

# Partitioned checks are a preview of Dagster 1.13; components/ingestion.py says why they are used.
warnings.filterwarnings("ignore", category=dg.PreviewWarning, message=".*partitions_def.*AssetCheckSpec.*")


@dg.definitions
def defs() -> dg.Definitions:
    keep_files_private()  # of the code location and of every run
    loaded = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    connections(loaded.component_tree)  # says which name two of them have, where Dagster says which asset
    return dg.Definitions.merge(
        loaded,
        # A process per step costs more than the steps of a month do.
        dg.Definitions(executor=locked_in_process_executor, sensors=[missed_retries]),
    )
