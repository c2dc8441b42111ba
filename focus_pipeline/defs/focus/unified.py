"""focus/cost_and_usage and focus/data_sources: all connections in one table, replaced month by month."""

from collections.abc import Iterator, Mapping, Sequence

import dagster as dg

from focus_pipeline.components import metadata, names
from focus_pipeline.components.accepted_months_sensor import accepted_months_sensor
from focus_pipeline.components.connection import ConnectionComponent
from focus_pipeline.components.ingestion import MONTHS_PER_RUN, WAREHOUSE_RETRIES, named_failures, raise_failed
from focus_pipeline.components.month_events import events_of, materialization
from focus_pipeline.components.not_loaded import NotLoaded
from focus_pipeline.months import current_month, in_words
from focus_pipeline.pipeline.month_checks import CHECKS, suspicious
from focus_pipeline.pipeline.provider_costs import provider_costs
from focus_pipeline.pipeline.publish import PublishedMonth, publish_months
from focus_pipeline.pipeline.status import statuses_now
from focus_pipeline.settings import load_settings
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse.connections import DeliveredTwice, delivered_twice, rows_of_connections
from focus_pipeline.warehouse.months import shown_of
from focus_pipeline.warehouse.warehouse import warehouse_of


@dg.definitions
def unified(context: dg.ComponentLoadContext) -> dg.Definitions:
    connections = context.component_tree.get_all_components(of_type=ConnectionComponent)
    not_loaded = context.component_tree.get_all_components(of_type=NotLoaded)
    return unified_definitions(
        [connection.name for connection in connections], [bad.name for bad in not_loaded if bad.what == "connection"]
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
            statuses = statuses_now([*connections, *not_loaded], data_dir)
            by_month = {(one.connection, one.month): one for one in statuses}
            with warehouse.reading() as connection:
                held = rows_of_connections(connection)
                defined = {*connections, *not_loaded}
                undefined = {name: rows for name, rows in held.items() if rows and name not in defined}
                sources = metadata.data_sources_preview(connection)
                pictures = metadata.pictures(provider_costs(connection)) | metadata.of_statuses(statuses)
                for month in months:
                    one = published.get(month)
                    if one is not None and one.failed:
                        failed[month] = dg.Failure("; ".join(map(str, one.failed.values())), allow_retries=False)
                    elif one is not None:
                        shown = metadata.of_published(one, shown_of(connection, month), warehouse, pictures)
                        yield from events_of(context, materialization(names.UNIFIED, month, shown))
                    if names.DATA_SOURCES in context.selected_asset_keys:
                        yield from events_of(context, materialization(names.DATA_SOURCES, month, sources))
                    twice = delivered_twice(connection, month, metadata.SHOWN_ACCOUNTS)
                    found = suspicious(month, current_month(), by_month, data_dir.limits)
                    for check in _evaluations(month, twice, undefined, found):
                        if check.asset_check_key in context.selected_asset_check_keys:
                            yield from events_of(context, check)
        raise_failed(failed, len(months))

    return publish


_CHECKS = {
    "delivered_once": "No account's month is delivered by two connections, which would count it twice.",
    "defined": "The table holds no rows of connections that were renamed or removed.",
    **CHECKS,
}


def _evaluations(
    month: str,
    twice: DeliveredTwice,
    undefined: Mapping[str, Mapping[str, int]],
    found: Mapping[str, Sequence[str]],
) -> Iterator[dg.AssetCheckEvaluation]:
    """undefined: connection that no defs.yaml defines -> month -> rows in the table. found: see suspicious()."""
    said = metadata.in_words_delivered_twice(twice, month, undefined)
    yield _evaluation("delivered_once", month, not twice.count, said, metadata.of_delivered_twice(twice))
    yield _evaluation("defined", month, not undefined, metadata.in_words_undefined(undefined), {})
    for check, sentences in found.items():
        yield _evaluation(check, month, not sentences, "; ".join(sentences) or CHECKS[check], {})


def _evaluation(
    check: str, month: str, passed: bool, description: str, shown: Mapping[str, object]
) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=names.UNIFIED,
        check_name=check,
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=description,
        metadata=dict(shown),
        partition=month,
    )
