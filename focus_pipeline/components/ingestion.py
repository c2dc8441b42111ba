"""The assets and checks of one connection: raw_files -> cost_and_usage -> its checks, month by month."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

import dagster as dg

from focus_pipeline.components import metadata, names
from focus_pipeline.connections.delivery import (
    Connection,
    Delivery,
    Discovery,
    HeldBack,
    NoBillingPeriods,
    StoredObject,
)
from focus_pipeline.connections.store_urls import InvalidUrl
from focus_pipeline.connections.stores import AccessDenied, LimitExceeded, NotFound, StoreError
from focus_pipeline.focus.fingerprint import code_fingerprint
from focus_pipeline.machine import MachineFault
from focus_pipeline.months import current_month, in_words, months_back
from focus_pipeline.pipeline.judge import judge
from focus_pipeline.pipeline.land import IncompleteDownload, LandingDamaged, land
from focus_pipeline.pipeline.publish import StagedDamaged
from focus_pipeline.pipeline.stage import AmountsTooLarge, stage
from focus_pipeline.pipeline.verdict import CHECKS
from focus_pipeline.pipeline.verdicts_to_record import record_judged
from focus_pipeline.records.accepted import accepted_delivery
from focus_pipeline.records.landed import current_delivery, held_months, landed_delivery, record_shown, shown_token
from focus_pipeline.records.staged import staged_month
from focus_pipeline.records.verdicts import months_failing
from focus_pipeline.secrets_filter import errors_without_secrets, raise_alone, without_secrets
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse import NotReconciled, WarehouseDamaged, WarehouseLocked

# A provider that is delivering right now, or is out of reach for a moment, is asked again within the run.
FETCH_RETRIES = dg.RetryPolicy(max_retries=3, delay=5, backoff=dg.Backoff.EXPONENTIAL)
# Somebody may have the warehouse open for a look. Who has it open for longer is named, and the sensor asks again.
WAREHOUSE_RETRIES = dg.RetryPolicy(max_retries=3, delay=1, backoff=dg.Backoff.EXPONENTIAL)


def raw_files_asset(connection: Connection, lookback_months: int, data_dir: DataDir) -> dg.AssetsDefinition:
    """The delivered bytes of a month, unchanged, kept."""
    name = connection.name

    @dg.asset(
        key=names.raw_files(name),
        partitions_def=names.monthly(),
        group_name=name,
        kinds={"file"},
        retry_policy=FETCH_RETRIES,
        description="The files of the month as the provider delivered them, byte for byte, kept in landing/.",
    )
    def raw_files(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        month = context.partition_key
        with named_failures(name, month):
            discovery = connection.discover([month])
            record_shown(name, discovery.months, data_dir)
            delivery = delivery_of(month, discovery, connection, lookback_months, data_dir)
            landed = None
            if delivery is None:
                landed = current_delivery(name, month, data_dir)
                context.log.info(
                    f"{discovery.looked_in} no longer shows {month} whole; what was delivered of it earlier is kept"
                )
            elif connection.quiet and context.run.tags.get(names.DELIVERY_TAG, delivery.token) != delivery.token:
                landed = current_delivery(name, month, data_dir)
                changed = f"{discovery.looked_in} shows {month} otherwise than when this run was asked for"
                if landed is None:
                    raise HeldBack(f"{changed}; it is taken once it has stayed the same for {connection.quiet}")
                context.log.warning(f"{changed}; what was landed before is kept until it has stayed the same")
            if landed is None:
                shown = discovery.deliveries.get(month)
                again = {item.key for item in shown.objects} if shown and _fetches_again(context.run) else ()
                landed = land(connection, delivery, data_dir, again=again)
        return dg.MaterializeResult(metadata=metadata.of_landed(landed, discovery.ignored))

    return raw_files


def _accepts_loss(run: dg.DagsterRun, token: str) -> bool:
    return run.tags.get(names.ACCEPT_LOSS_TAG) in ("yes", shown_token(token))


def _fetches_again(run: dg.DagsterRun) -> bool:
    return run.tags.get(names.FETCH_AGAIN_TAG) == "yes"


def delivery_of(
    month: str, discovery: Discovery, connection: Connection, lookback_months: int, data_dir: DataDir
) -> Delivery | None:
    """What the month consists of by this discovery; None where a month of the past is to stay as it was.

    A month that the provider does not show is empty. But one that was delivered once, and is older than the look-back
    or comes with a manifest, has gone to the provider's retention: that takes nothing from the table. Nor does one of
    which the provider keeps less from day to day.
    Raises HeldBack where the provider shows the month, and it cannot be taken now.
    """
    name = connection.name
    if month in discovery.held_back:
        raise HeldBack(discovery.held_back[month])
    if month in discovery.expiring and month in held_months(name, data_dir):
        return None
    if month in discovery.deliveries:
        delivery = discovery.deliveries[month]
        return _with_what_was_deleted(delivery, name, data_dir) if connection.additive else delivery
    recent = months_back(current_month(), lookback_months)
    if month in held_months(name, data_dir) and not (month in recent and connection.missing_month_is_empty):
        return None
    return Delivery(month, ())


def _with_what_was_deleted(delivery: Delivery, name: str, data_dir: DataDir) -> Delivery:
    """The delivery with the files of the accepted one that are no longer shown.

    One that was rejected, or kept its month from being accepted, and was withdrawn since does not come back.
    """
    accepted = accepted_delivery(name, delivery.month, data_dir)
    landed = accepted and landed_delivery(name, delivery.month, accepted.token, data_dir)
    staged = accepted and staged_month(name, delivery.month, accepted.token, data_dir)
    left_out = {item.key for item in delivery.objects} | {
        file.key for file in (staged.rejected_files if staged else ())
    }
    kept = [
        StoredObject(file.key, file.etag, file.size, datetime.min)
        for file in (landed.files if landed else ())
        if file.key not in left_out
    ]
    return replace(delivery, objects=tuple(sorted([*delivery.objects, *kept], key=lambda item: item.key)))


def cost_and_usage_asset(connection: Connection, focus_version: str | None, data_dir: DataDir) -> dg.AssetsDefinition:
    """The month in canonical form."""
    name, month_rule = connection.name, connection.month_rule

    @dg.asset(
        key=names.cost_and_usage(name),
        deps=[names.raw_files(name)],
        partitions_def=names.monthly(),
        group_name=name,
        kinds={"parquet", "duckdb"},
        code_version=code_fingerprint(str(month_rule), str(focus_version)),
        metadata={"dagster/column_schema": metadata.column_schema()},
        description="The month's rows with the columns, types and values of FOCUS, as one Parquet file in staged/.",
    )
    def cost_and_usage(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        month = context.partition_key
        landed = current_delivery(name, month, data_dir)
        if landed is None:
            raise dg.Failure(
                f"{name} {month}: nothing was landed of this month yet; materialise {name}/raw_files first",
                allow_retries=False,
            )
        with named_failures(name, month):
            staged = stage(landed, data_dir, month_rule=month_rule, focus_version=focus_version)
            verdict = judge(
                staged, data_dir, month_rule=month_rule, accept_loss=_accepts_loss(context.run, staged.token)
            )
        return dg.MaterializeResult(
            metadata=metadata.of_staged(staged, accepted=verdict.accepted) | metadata.of_conformance(verdict)
        )

    return cost_and_usage


def ingestion_checks(connection: Connection, focus_version: str | None, data_dir: DataDir) -> dg.AssetChecksDefinition:
    """The checks of cost_and_usage, all evaluated together. Only `accepted` gates; the others say why."""
    name, month_rule = connection.name, connection.month_rule
    asset = names.cost_and_usage(name)
    specs = [
        # partitions_def on a check is a preview of Dagster 1.13; without it every month would write to one timeline.
        # tests/…/test_dagster_behaviour.py pins what is relied on.
        dg.AssetCheckSpec(
            check,
            asset=asset,
            description=description,
            blocking=check == "accepted",
            partitions_def=names.monthly(),
        )
        for check, description in CHECKS.items()
        if month_rule or check != "charge_month"
    ]

    @dg.multi_asset_check(name=f"{name}__checks", specs=specs, pool=names.WAREHOUSE_POOL)
    def checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        month = context.partition_key
        landed = current_delivery(name, month, data_dir)
        if landed is None:
            raise dg.Failure(
                f"{name} {month}: there is nothing to judge; materialise {name}/raw_files first", allow_retries=False
            )
        with named_failures(name, month):
            staged = stage(landed, data_dir, month_rule=month_rule, focus_version=focus_version)
            verdict = judge(
                staged, data_dir, month_rule=month_rule, accept_loss=_accepts_loss(context.run, staged.token)
            )
            record_judged(staged, data_dir)
            failing = months_failing(name, data_dir)
        for check in verdict.checks:
            others = [other for other in failing.get(check.name, ()) if other != month]
            yield dg.AssetCheckResult(
                asset_key=asset,
                check_name=check.name,
                passed=check.passed,
                severity=dg.AssetCheckSeverity[check.severity],
                # The UI lists a check as failed when it fails in any month, and shows the latest one on its page.
                description=check.summary + (f" · it fails in {in_words(others)}" if others else ""),
                metadata=metadata.of_verdict(check),
            )
        if not verdict.accepted:
            # Dagster itself would end the step by saying no more than that a blocking check failed.
            why = next(check.summary for check in verdict.checks if check.name == "accepted")
            context.log.error(why)
            raise dg.Failure(why, allow_retries=False)

    return checks


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
        except (StoreError, IncompleteDownload, WarehouseLocked, MachineFault) as error:
            raise_alone(dg.Failure(without_secrets(_about(place, error))))


def _about(place: str, error: Exception) -> str:
    return str(error) if place in str(error) else f"{place}: {error}"
