"""The code location: everything in defs/, run in one process per run."""

import os
from pathlib import Path

import dagster as dg

from focus_pipeline.components.connection import connections
from focus_pipeline.components.connection_tree import ConnectionTree
from focus_pipeline.components.not_loaded import NotLoadedError
from focus_pipeline.components.policies import with_policies
from focus_pipeline.components.tidying import tidy_job, tidy_schedule
from focus_pipeline.files import keep_files_private
from focus_pipeline.run_workers import locked_in_process_executor, missed_retries
from focus_pipeline.settings import load_settings


@dg.definitions
def defs() -> dg.Definitions:
    keep_files_private()  # of the code location and of every run
    return dg.Definitions.merge(
        definitions_of(ConnectionTree.for_project(Path(__file__).parent)),
        # A process per step costs more than the steps of a month do.
        dg.Definitions(
            executor=locked_in_process_executor,
            jobs=[tidy_job],
            schedules=[tidy_schedule],
            sensors=[missed_retries],
        ),
    )


def definitions_of(tree: ConnectionTree) -> dg.Definitions:
    """Everything in defs/. A connection that cannot be loaded is shown as such, and the others are loaded.

    Raises ValueError when a setting cannot be used, and NotLoadedError for `dg check defs` when a connection cannot.
    """
    # A setting that cannot be used is no fault of a connection. Runs begin where this code location does.
    os.environ["FOCUS_START_MONTH"] = load_settings().start_month
    loaded = with_policies(tree.build_defs(), connections(tree), tree.sql_files())
    sentences = [said for bad in tree.not_loaded() for said in bad.sentences]
    if sentences and os.environ.get("DAGSTER_IS_DEFS_VALIDATION_CLI"):
        raise NotLoadedError("\n".join(sentences))
    return loaded
