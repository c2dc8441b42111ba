"""focus/cost_and_usage and focus/data_sources: all connections in one table, replaced month by month."""

from collections.abc import Collection, Sequence

import dagster as dg
import duckdb

from focus_pipeline.components import metadata, names
from focus_pipeline.components.accepted_months_sensor import accepted_months_sensor
from focus_pipeline.components.connection import ConnectionComponent
from focus_pipeline.components.ingestion import MONTHS_PER_RUN, WAREHOUSE_RETRIES, named_failures, raise_failed
from focus_pipeline.components.not_loaded import NotLoaded
from focus_pipeline.months import in_words
from focus_pipeline.pipeline.publish import PublishedMonth, publish_months
from focus_pipeline.settings import load_settings
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse.connections import delivered_twice, rows_of_connections
from focus_pipeline.warehouse.months import shown_of
from focus_pipeline.warehouse.warehouse import Warehouse, warehouse_of


@dg.definitions
def unified(context: dg.ComponentLoadContext) -> dg.Definitions:
    connections = context.component_tree.get_all_components(of_type=ConnectionComponent)
    not_loaded = context.component_tree.get_all_components(of_type=NotLoaded)
    return unified_definitions(
        [connection.name for connection in connections], [connection.connection for connection in not_loaded]
    )


def unified_definitions(connections: list[str], not_loaded: Sequence[str] = ()) -> dg.Definitions:
    """The unified assets, the job that publishes months, and the sensor that asks for it.

    A run of a connection does not publish: where it fails, the table is not what is wrong.
    not_loaded: connections that are defined, and cannot be loaded.
    """
    data_dir = load_settings().storage
    job = dg.define_asset_job(
        "focus_publish",
        selection=dg.AssetSelection.assets(names.UNIFIED, names.DATA_SOURCES),
        description="Publishes what is accepted of each month, of all connections.",
    )
    return dg.Definitions(
        assets=[unified_assets(connections, not_loaded, data_dir)],
        jobs=[job],
        sensors=[accepted_months_sensor(job, data_dir, MONTHS_PER_RUN)],
    )


def unified_assets(connections: list[str], not_loaded: Sequence[str], data_dir: DataDir) -> dg.AssetsDefinition:
    """The publishing step. It takes the accepted deliveries of the month, of whichever connection, and nothing else."""

    warehouse = warehouse_of(data_dir)

    @dg.multi_asset(
        name="publish",
        group_name="focus",
        # The table can be materialised without its list of data sources, which is always up to date in itself.
        can_subset=True,
        partitions_def=names.monthly(),
        backfill_policy=dg.BackfillPolicy.multi_run(MONTHS_PER_RUN),
        pool=names.WAREHOUSE_POOL,
        retry_policy=WAREHOUSE_RETRIES,
        specs=[
            dg.AssetSpec(
                names.UNIFIED,
                deps=[names.cost_and_usage(name) for name in sorted(connections)],
                kinds={"duckdb", "table"},
                skippable=True,
                description=metadata.unified_description(warehouse),
                metadata={
                    "dagster/column_schema": metadata.column_schema(),
                    "dagster/table_name": "focus.cost_and_usage",
                },
            ),
            dg.AssetSpec(
                names.DATA_SOURCES,
                deps=[names.UNIFIED],
                kinds={"duckdb", "view"},
                skippable=True,
                description="Each connection and, below it, every sub-account that it delivered.",
                metadata={"dagster/table_name": "focus.data_sources"},
            ),
        ],
        check_specs=[
            # As for the checks of a connection, see components/ingestion.py.
            dg.AssetCheckSpec(check, asset=names.UNIFIED, description=description, partitions_def=names.monthly())
            for check, description in _CHECKS.items()
        ],
    )
    def publish(context: dg.AssetExecutionContext):
        months = list(context.partition_keys)
        failed: dict[str, Exception] = {}
        published: dict[str, PublishedMonth] = {}
        with named_failures("focus", in_words(months)):
            if names.UNIFIED in context.selected_asset_keys:
                published = publish_months(months, data_dir, warehouse)
            with warehouse.reading() as connection:
                for month in months:
                    if (one := published.get(month)) and one.failed:
                        failed[month] = dg.Failure("; ".join(map(str, one.failed.values())), allow_retries=False)
                    _log_month(context, month, one, warehouse, connection, [*connections, *not_loaded])
        raise_failed(failed, len(months))
        yield from ()  # a step that returns has to return something for each asset; all is logged by then

    return publish


_CHECKS = {
    "delivered_once": "No account's month is delivered by two connections, which would count it twice.",
    "defined": "The table holds no rows of connections that were renamed or removed.",
}


def _log_month(
    context: dg.AssetExecutionContext,
    month: str,
    published: PublishedMonth | None,
    warehouse: Warehouse,
    connection: duckdb.DuckDBPyConnection,
    defined: Collection[str],
) -> None:
    """Logs what a run has made of a month. defined: connections that have a defs.yaml, be it one with a fault."""
    if published is not None and not published.failed:
        shown = metadata.of_published(published, shown_of(connection, month), warehouse)
        context.log_event(dg.AssetMaterialization(names.UNIFIED, partition=month, metadata=shown))
    if names.DATA_SOURCES in context.selected_asset_keys:
        shown = metadata.data_sources_preview(connection)
        context.log_event(dg.AssetMaterialization(names.DATA_SOURCES, partition=month, metadata=shown))
    twice = delivered_twice(connection, month, metadata.SHOWN_ACCOUNTS)
    undefined = {name: rows for name, rows in rows_of_connections(connection).items() if rows and name not in defined}
    found = {
        "delivered_once": (
            not twice.count,
            metadata.in_words_delivered_twice(twice, month, undefined),
            metadata.of_delivered_twice(twice),
        ),
        "defined": (not undefined, metadata.in_words_undefined(undefined), {}),
    }
    for check, (passed, description, shown) in found.items():
        if dg.AssetCheckKey(names.UNIFIED, check) in context.selected_asset_check_keys:
            context.log_event(
                dg.AssetCheckEvaluation(
                    asset_key=names.UNIFIED,
                    check_name=check,
                    passed=passed,
                    severity=dg.AssetCheckSeverity.WARN,
                    description=description,
                    metadata=shown,
                    partition=month,
                )
            )
