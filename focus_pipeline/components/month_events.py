"""How a step that takes several months tells Dagster what it did with each: under the month's own partition."""

from collections.abc import Iterator, Mapping

import dagster as dg

_DATA_VERSION = "dagster/data_version"
_CODE_VERSION = "dagster/code_version"

Event = dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckEvaluation


def events_of(
    context: dg.AssetExecutionContext, *events: Event
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Logs the events of a month, or gives what the step has to yield in their place.

    Only what is yielded lets the steps below in the same run go on. But Dagster takes what is yielded for an event of
    the run's partition key: in a run over several months, and for other months, the events are logged.
    """
    for event in events:
        is_of_run = event.partition is not None and context.run.tags.get("dagster/partition") == event.partition
        if is_of_run and isinstance(event, dg.AssetMaterialization):
            yield _result_of(event)
        elif is_of_run and isinstance(event, dg.AssetCheckEvaluation):
            yield _check_result_of(event)
        else:
            context.log_event(event)


def materialization(
    asset: dg.AssetKey,
    month: str,
    shown: Mapping[str, object],
    data_version: str | None = None,
    code_version: str | None = None,
) -> dg.AssetMaterialization:
    """The event of a month of an asset, with the versions that Dagster adds by itself to what is yielded."""
    versions = {_DATA_VERSION: data_version, _CODE_VERSION: code_version}
    tags = {name: version for name, version in versions.items() if version is not None}
    return dg.AssetMaterialization(asset, partition=month, metadata=dict(shown), tags=tags)


def _result_of(event: dg.AssetMaterialization) -> dg.MaterializeResult:
    version = (event.tags or {}).get(_DATA_VERSION)
    return dg.MaterializeResult(
        asset_key=event.asset_key,
        metadata=event.metadata,
        data_version=None if version is None else dg.DataVersion(version),
    )


def _check_result_of(event: dg.AssetCheckEvaluation) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=event.asset_key,
        check_name=event.check_name,
        passed=event.passed,
        severity=event.severity,
        description=event.description,
        metadata=event.metadata,
    )
