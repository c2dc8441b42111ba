"""focus/cost_and_usage and focus/data_sources: all connections in one table, replaced month by month."""

from collections.abc import Sequence

import dagster as dg

from focus_pipeline.components import metadata, names
from focus_pipeline.components.accepted_months_sensor import accepted_fingerprint, accepted_months_sensor
from focus_pipeline.components.connection import ConnectionComponent
from focus_pipeline.components.ingestion import WAREHOUSE_RETRIES, named_failures
from focus_pipeline.components.not_loaded import NotLoaded
from focus_pipeline.pipeline.publish import publish_month
from focus_pipeline.pipeline.verdicts_to_record import record_waiting
from focus_pipeline.settings import load_settings
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse import delivered_twice, open_warehouse, rows_of_connections


@dg.definitions
def unified(context: dg.ComponentLoadContext) -> dg.Definitions:
    connections = context.component_tree.get_all_components(of_type=ConnectionComponent)
    not_loaded = context.component_tree.get_all_components(of_type=NotLoaded)
    return unified_definitions(
        [connection.name for connection in connections], [connection.connection for connection in not_loaded]
    )


def unified_definitions(connections: list[str], not_loaded: Sequence[str] = ()) -> dg.Definitions:
    """The unified assets, the job that publishes a month, and the sensor that asks for it.

    A run of a connection does not publish: where it fails, the table is not what is wrong.
    not_loaded: connections that are defined, and cannot be loaded.
    """
    data_dir = load_settings().storage
    job = dg.define_asset_job(
        "focus_publish",
        selection=dg.AssetSelection.assets(names.UNIFIED, names.DATA_SOURCES),
        description="Publishes what is accepted of one month, of all connections.",
    )
    return dg.Definitions(
        assets=[unified_assets(connections, not_loaded, data_dir)],
        jobs=[job],
        sensors=[accepted_months_sensor(job, data_dir)],
    )


def unified_assets(connections: list[str], not_loaded: Sequence[str], data_dir: DataDir) -> dg.AssetsDefinition:
    """The publishing step. It takes the accepted deliveries of the month, of whichever connection, and nothing else."""

    @dg.multi_asset(
        name="publish",
        group_name="focus",
        # The table can be materialised without its list of data sources, which is always up to date in itself.
        can_subset=True,
        partitions_def=names.monthly(),
        pool=names.WAREHOUSE_POOL,
        retry_policy=WAREHOUSE_RETRIES,
        specs=[
            dg.AssetSpec(
                names.UNIFIED,
                deps=[names.cost_and_usage(name) for name in sorted(connections)],
                kinds={"duckdb", "table"},
                description=metadata.unified_description(data_dir.warehouse),
                metadata={
                    "dagster/column_schema": metadata.column_schema(),
                    "dagster/table_name": "focus.cost_and_usage",
                },
            ),
            dg.AssetSpec(
                names.DATA_SOURCES,
                deps=[names.UNIFIED],
                kinds={"duckdb", "view"},
                description="Each connection and, below it, every sub-account that it delivered.",
                metadata={"dagster/table_name": "focus.data_sources"},
            ),
        ],
        check_specs=[
            # As for the checks of a connection, see components/ingestion.py.
            dg.AssetCheckSpec(
                "delivered_once",
                asset=names.UNIFIED,
                description="No account's month is delivered by two connections, which would count it twice.",
                partitions_def=names.monthly(),
            ),
            dg.AssetCheckSpec(
                "defined",
                asset=names.UNIFIED,
                description="The table holds no rows of connections that were renamed or removed.",
                partitions_def=names.monthly(),
            ),
        ],
    )
    def publish(context: dg.AssetExecutionContext):
        month = context.partition_key
        with (
            named_failures("focus", month),
            open_warehouse(data_dir.warehouse, sandbox=data_dir.sandbox) as warehouse,
        ):
            if names.UNIFIED in context.selected_asset_keys:
                # Before it is published: what is accepted meanwhile is asked for once more.
                accepted = accepted_fingerprint(month, data_dir)
                record_waiting(warehouse, data_dir)
                published = publish_month(month, data_dir, warehouse)
                shown = metadata.of_published(published, data_dir.warehouse) | {names.ACCEPTED_TAG: accepted}
                yield dg.MaterializeResult(names.UNIFIED, metadata=shown)
            if names.DATA_SOURCES in context.selected_asset_keys:
                yield dg.MaterializeResult(names.DATA_SOURCES, metadata=metadata.data_sources_preview(warehouse))
            undefined = {
                name: rows
                for name, rows in rows_of_connections(warehouse).items()
                if rows and name not in connections and name not in not_loaded
            }
            twice = delivered_twice(warehouse, month, metadata.SHOWN_ACCOUNTS)
        checks = [
            dg.AssetCheckResult(
                asset_key=names.UNIFIED,
                check_name="delivered_once",
                passed=not twice.count,
                severity=dg.AssetCheckSeverity.WARN,
                description=metadata.in_words_delivered_twice(twice, month, undefined),
                metadata=metadata.of_delivered_twice(twice),
            ),
            dg.AssetCheckResult(
                asset_key=names.UNIFIED,
                check_name="defined",
                passed=not undefined,
                severity=dg.AssetCheckSeverity.WARN,
                description=metadata.in_words_undefined(undefined),
            ),
        ]
        selected = {key.name for key in context.selected_asset_check_keys}
        yield from (check for check in checks if check.check_name in selected)

    return publish
