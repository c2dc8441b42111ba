"""The assets and checks of one connection: raw_files -> cost_and_usage and its checks, month by month."""

import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import dagster as dg

from focus_pipeline.components import metadata, names
from focus_pipeline.components.month_events import Event, events_of, materialization
from focus_pipeline.connections.delivery import Connection, HeldBack, NoBillingPeriods
from focus_pipeline.connections.store_errors import AccessDenied, LimitExceeded, NotFound, StoreError
from focus_pipeline.connections.store_urls import InvalidUrl
from focus_pipeline.focus.fingerprint import code_fingerprint
from focus_pipeline.machine import MachineFault
from focus_pipeline.months import current_month, in_words, months_back
from focus_pipeline.pipeline.land import IncompleteDownload, LandingDamaged
from focus_pipeline.pipeline.month import fetch_month, judge_month
from focus_pipeline.pipeline.publish import StagedDamaged
from focus_pipeline.pipeline.stage import AmountsTooLarge
from focus_pipeline.pipeline.verdict import CHECKS
from focus_pipeline.records.landed import current_delivery
from focus_pipeline.records.verdicts import CheckVerdict, months_failing
from focus_pipeline.secrets_filter import errors_without_secrets, raise_alone, without_secrets
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse.faults import NotReconciled, WarehouseDamaged, WarehouseUnusable

# A provider that is delivering right now, or is out of reach for a moment, is asked again within the run.
FETCH_RETRIES = dg.RetryPolicy(max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL)
# Another process may be writing to the warehouse. The error names it, and the sensor asks again.
WAREHOUSE_RETRIES = dg.RetryPolicy(max_retries=3, delay=1, backoff=dg.Backoff.EXPONENTIAL)

# A run takes these one after the other; a longer backfill has several runs.
MONTHS_PER_RUN = 12


def ingestion_assets(connection: Connection, lookback_months: int, data_dir: DataDir) -> dg.AssetsDefinition:
    """The assets and checks of a connection: its raw_files, cost_and_usage made of them, and the verdict on it.

    A run goes through its months one after the other. Each has events of its own, and one that fails stops no other.
    """
    name = connection.name

    @dg.multi_asset(
        name=f"{name}__ingest",
        group_name=name,
        can_subset=True,
        partitions_def=names.monthly(),
        backfill_policy=dg.BackfillPolicy.multi_run(MONTHS_PER_RUN),
        retry_policy=FETCH_RETRIES,
        specs=_asset_specs(connection),
        check_specs=_check_specs(connection),
    )
    def ingest(context: dg.AssetExecutionContext):
        failed: dict[str, Exception] = {}
        failing = months_failing(name, data_dir, but=context.partition_keys)
        finished = finished_months(context.instance, context.run.run_id, names.cost_and_usage(name))
        before = context.run.tags.get("dagster/parent_run_id")
        kept = finished_months(context.instance, before, names.raw_files(name)) if before else set()
        for month in context.partition_keys:
            if month in finished:
                continue
            try:
                with named_failures(name, month):
                    for event in _ingest(
                        context, connection, month, lookback_months, data_dir, failing, is_fetched=month in kept
                    ):
                        yield from events_of(context, event)
            except Exception as error:  # whatever it is, the other months are loaded
                failed[month] = error
                if len(context.partition_keys) > 1:
                    is_told = isinstance(error, dg.Failure)
                    context.log.error(_about(f"{name} {month}", error) if is_told else traceback.format_exc())
        raise_failed(failed, len(context.partition_keys))

    return ingest


def _asset_specs(connection: Connection) -> list[dg.AssetSpec]:
    name = connection.name
    return [
        dg.AssetSpec(
            names.raw_files(name),
            kinds={"file"},
            skippable=True,
            description="The files of the month as the provider delivered them, byte for byte, kept in landing/.",
        ),
        dg.AssetSpec(
            names.cost_and_usage(name),
            deps=[names.raw_files(name)],
            kinds={"parquet", "duckdb"},
            skippable=True,
            code_version=_code_version(connection),
            metadata={"dagster/column_schema": metadata.column_schema()},
            description="The month's rows with the columns, types and values of FOCUS, as Parquet in staged/.",
        ),
    ]


def _code_version(connection: Connection) -> str:
    return code_fingerprint(str(connection.month_rule), str(connection.focus_version))


def _check_specs(connection: Connection) -> list[dg.AssetCheckSpec]:
    """Only `accepted` gates; the others say why."""
    return [
        # partitions_def on a check is a preview of Dagster 1.13; without it every month would write to one timeline.
        # tests/…/test_dagster_behaviour.py pins what is relied on.
        dg.AssetCheckSpec(
            check,
            asset=names.cost_and_usage(connection.name),
            description=description,
            blocking=check == "accepted",
            partitions_def=names.monthly(),
        )
        for check, description in CHECKS.items()
        if connection.month_rule or check != "charge_month"
    ]


def _ingest(
    context: dg.AssetExecutionContext,
    connection: Connection,
    month: str,
    lookback_months: int,
    data_dir: DataDir,
    failing: dict[str, set[str]],
    *,
    is_fetched: bool,
) -> Iterator[Event]:
    """One month of a run. failing: check -> months that fail it, kept up to date. is_fetched: by the run that this one
    takes up. Raises dg.Failure, after all events, where the month is not accepted.
    """
    name, tags = connection.name, context.run.tags
    landed = None
    if names.raw_files(name) in context.selected_asset_keys and not is_fetched:
        fetched = fetch_month(
            connection,
            month,
            data_dir,
            lookback_months=lookback_months,
            expected=tags.get(names.DELIVERY_TAG),
            again=tags.get(names.FETCH_AGAIN_TAG) == "yes",
        )
        landed = fetched.landed
        yield materialization(names.raw_files(name), month, metadata.of_landed(landed, fetched.ignored))
        if landed.downloaded and month >= months_back(current_month(), 1)[0]:
            shown = {"Month": month, "Files": len(landed.files), "Downloaded files": landed.downloaded}
            yield dg.AssetMaterialization(names.latest_delivery(name), metadata=shown)
    if not context.selected_asset_check_keys and names.cost_and_usage(name) not in context.selected_asset_keys:
        return
    landed = landed or current_delivery(name, month, data_dir)
    if landed is None:
        raise dg.Failure(
            f"{name} {month}: nothing was landed of this month yet; materialise {name}/raw_files first",
            allow_retries=False,
        )
    judged = judge_month(connection, landed, data_dir, accept_loss=tags.get(names.ACCEPT_LOSS_TAG, ""))
    verdict = judged.verdict
    shown = metadata.of_staged(judged.staged, accepted=verdict.accepted) | metadata.of_conformance(verdict)
    if names.cost_and_usage(name) in context.selected_asset_keys:
        if verdict.accepted:
            yield materialization(
                names.cost_and_usage(name), month, shown, judged.staged.identity, _code_version(connection)
            )
        else:
            # A rejected delivery does not become the month: the partition shows that its run has failed.
            yield dg.AssetObservation(names.cost_and_usage(name), partition=month, metadata=shown)
    for check in verdict.checks:
        of_check = failing.setdefault(check.name, set())
        (of_check.discard if check.passed else of_check.add)(month)
        if dg.AssetCheckKey(names.cost_and_usage(name), check.name) in context.selected_asset_check_keys:
            yield _evaluation(names.cost_and_usage(name), month, check, of_check - {month})
    if not verdict.accepted:
        # Dagster itself would end the step by saying no more than that a blocking check failed.
        why = next(check.summary for check in verdict.checks if check.name == "accepted")
        context.log.error(why)
        raise dg.Failure(why, allow_retries=False)


def _evaluation(asset: dg.AssetKey, month: str, check: CheckVerdict, others: set[str]) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=asset,
        check_name=check.name,
        passed=check.passed,
        severity=dg.AssetCheckSeverity[check.severity],
        blocking=check.name == "accepted",
        partition=month,
        # The UI lists a check as failed when it fails in any month, and shows the latest one on its page.
        description=check.summary + (f" · it fails in {in_words(others)}" if others else ""),
        metadata=metadata.of_verdict(check),
    )


def raise_failed(failed: Mapping[str, Exception], months: int) -> None:
    """Ends a run by saying which of its months failed, and why. failed: by month. months: how many there were.

    Raises the error of a run's only month as it is, a dg.Failure of all otherwise.
    """
    if not failed:
        return
    if months == 1:
        raise_alone(next(iter(failed.values())))
    said = [f"{month}: {_description(error)}" for month, error in failed.items()]
    raise_alone(
        dg.Failure(
            f"{len(failed)} of {months} months failed, {in_words(failed)}; the others are done. " + " · ".join(said),
            allow_retries=any(getattr(error, "allow_retries", True) for error in failed.values()),
        )
    )


def _description(error: Exception) -> str:
    return error.description if isinstance(error, dg.Failure) and error.description else str(error)


def finished_months(instance: dg.DagsterInstance, run_id: str, asset: dg.AssetKey) -> set[str]:
    """The months of which a run, or an earlier attempt in it, has materialised an asset."""
    done = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION).records
    events = (record.event_log_entry.dagster_event for record in done)
    return {event.partition for event in events if event.asset_key == asset and event.partition}


@contextmanager
def named_failures(name: str, month: str | None = None) -> Iterator[None]:
    """Ends a step or a look at the provider with one sentence that names the connection, and the month of a step.

    Only what may pass by itself is retried. Whatever leaves the block holds no secret, nor does what it was made from.
    """
    place = name if month is None else f"{name} {month}"
    with errors_without_secrets():
        try:
            yield
        except (
            AccessDenied,
            LimitExceeded,
            NotFound,
            NoBillingPeriods,
            InvalidUrl,
            HeldBack,
            AmountsTooLarge,
            LandingDamaged,
            StagedDamaged,
            NotReconciled,
            WarehouseDamaged,
        ) as error:
            raise_alone(dg.Failure(without_secrets(_about(place, error)), allow_retries=False))
        except (StoreError, IncompleteDownload, WarehouseUnusable, MachineFault) as error:
            raise_alone(dg.Failure(without_secrets(_about(place, error))))


def _about(place: str, error: Exception) -> str:
    said = _description(error)
    return said if place in said else f"{place}: {said}"
