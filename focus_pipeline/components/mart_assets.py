"""marts/*: one asset for each mart, one step that computes them, and the sensor that asks for what is due."""

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache

import dagster as dg
import duckdb

from focus_pipeline.components import metadata, names
from focus_pipeline.components.ingestion import MONTHS_PER_RUN, WAREHOUSE_RETRIES, named_failures
from focus_pipeline.components.month_events import Event, events_of, materialization
from focus_pipeline.focus.canonical import CANONICAL
from focus_pipeline.marts.mart import Mart
from focus_pipeline.marts.slices import (
    PICTURED_MONTHS,
    CheckedMart,
    ComputedSlice,
    compute_slices,
    computed_months,
    due_slices,
)
from focus_pipeline.month_report.report import NothingToReport, ReportBroken
from focus_pipeline.month_report.writing import write_month
from focus_pipeline.months import in_words
from focus_pipeline.pipeline.status import statuses_now
from focus_pipeline.secrets_filter import raise_alone
from focus_pipeline.storage import DataDir
from focus_pipeline.warehouse.faults import WarehouseUnusable
from focus_pipeline.warehouse.warehouse import Warehouse, warehouse_of

JOB = "focus_marts"

# A mart that was asked for and is still due has failed: by its SQL, which a person has to mend, or by the machine.
ASK_AGAIN = timedelta(hours=1)

_AT_WORK = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
]

_CHECKS = {
    "grain": "The columns of the grain tell the rows apart.",
    "covers": "BilledCost and EffectiveCost add up to those of the table, in each currency.",
    "rates": "Every amount could be converted: the file of exchange rates has a rate for its currency and month.",
}


def mart_definitions(marts: Sequence[Mart], data_dir: DataDir, connections: Collection[str] = ()) -> dg.Definitions:
    """The assets of all marts and the report, the job over them, and the sensor that asks for it.

    connections: all that are defined, whose months the report has the status of. Nothing without marts.
    """
    if not marts:
        return dg.Definitions()
    warehouse = warehouse_of(data_dir)
    job = dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.assets(*(names.mart(mart.name) for mart in marts), names.REPORT),
        description="Computes the marts of one month, or of several, and writes the report of each.",
    )
    return dg.Definitions(
        assets=[mart_assets(marts, data_dir, connections)],
        jobs=[job],
        sensors=[due_marts_sensor(job, marts, warehouse)],
    )


def mart_assets(marts: Sequence[Mart], data_dir: DataDir, connections: Collection[str]) -> dg.AssetsDefinition:
    """One step for all marts: a DuckDB file is copied once for what it writes, whatever the number of marts."""
    warehouse = warehouse_of(data_dir)

    @dg.multi_asset(
        name="compute_marts",
        can_subset=True,
        partitions_def=names.monthly(),
        backfill_policy=dg.BackfillPolicy.multi_run(MONTHS_PER_RUN),
        pool=names.WAREHOUSE_POOL,
        retry_policy=WAREHOUSE_RETRIES,
        specs=[*map(_spec, marts), _report_spec(marts)],
        check_specs=[
            # As for the checks of a connection, see components/ingestion.py.
            dg.AssetCheckSpec(
                check, asset=names.mart(mart.name), description=description, partitions_def=names.monthly()
            )
            for mart in marts
            for check, description in _checks(mart).items()
        ],
    )
    def compute_marts(context: dg.AssetExecutionContext):
        months = list(context.partition_keys)
        selected = [mart for mart in marts if names.mart(mart.name) in context.selected_asset_keys]
        only_due = names.DUE_TAG in context.run.tags
        failed: dict[str, str] = {}
        with named_failures("marts", in_words(months)):
            try:
                computed = compute_slices(warehouse, selected, None if only_due else months, data_dir.memory_limit)
            except FileNotFoundError:
                raise dg.Failure(
                    "nothing is published yet; materialise focus/cost_and_usage first", allow_retries=False
                ) from None
            by_name = {mart.name: mart for mart in selected}
            for one in computed:
                if one.failed is not None:
                    failed[one.mart] = str(one.failed)
                else:
                    yield from _events_of(context, by_name[one.mart], one)
            if names.REPORT in context.selected_asset_keys:
                due = sorted({one.month for one in computed if one.failed is None}) if only_due else months
                try:
                    yield from _reports(context, due[-PICTURED_MONTHS:], marts, connections, data_dir)
                except ReportBroken as error:
                    failed["focus/report"] = str(error)
        if failed:
            others = "" if len(selected) == len(failed) else "; the other marts are done"
            raise_alone(dg.Failure(f"{' · '.join(failed.values())}{others}", allow_retries=False))

    return compute_marts


def _reports(
    context: dg.AssetExecutionContext,
    months: Sequence[str],
    marts: Sequence[Mart],
    connections: Collection[str],
    data_dir: DataDir,
) -> Iterator[dg.MaterializeResult]:
    statuses = statuses_now(connections, data_dir) if months else []
    for month in months:
        try:
            path = write_month(month, marts, connections, data_dir, statuses)
        except NothingToReport as error:
            context.log.info(f"no report of {month}: {error}")
            continue
        shown = {"Report": dg.MetadataValue.path(str(path)), "Bytes": path.stat().st_size}
        yield from events_of(context, materialization(names.REPORT, month, shown))


def due_marts_sensor(job: dg.JobDefinition, marts: Sequence[Mart], warehouse: Warehouse) -> dg.SensorDefinition:
    """Requests the months of marts that are not made of what the table shows.

    What was asked for and is still due is being computed, or has failed: it is asked for again after ASK_AGAIN, or with
    whatever becomes due before. The cursor holds what was asked for, and when.
    """

    @dg.sensor(
        name="focus_due_marts",
        job=job,
        minimum_interval_seconds=15,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Computes the marts of every month that was published, and all months of a mart that has changed.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        try:
            with warehouse.reading() as connection:
                due, computed = due_slices(connection, marts), computed_months(connection)
        except (FileNotFoundError, duckdb.CatalogException):
            return dg.SensorResult(skip_reason="nothing is published yet")
        except WarehouseUnusable as error:
            return dg.SensorResult(skip_reason=str(error))
        partitions = set(names.monthly().get_partition_keys())
        due = [one for one in due if one.month in partitions]
        definitions = {mart.name: mart.definition for mart in marts}
        wanted = {(one.mart, one.month): f"{definitions[one.mart]}/{one.loaded}" for one in due}
        # Another Dagster storage, or a new one: the warehouse has what nobody sees in the UI.
        for name in definitions:
            shown = context.instance.get_materialized_partitions(names.mart(name))
            unseen = (computed.get(name, set()) & partitions) - shown
            wanted |= {(name, month): "not in Dagster" for month in unseen if (name, month) not in wanted}
        if not wanted:
            return dg.SensorResult(skip_reason="all marts are made of what the table shows")
        months = sorted({month for _, month in wanted})
        count = len({name for name, _ in wanted})
        said = f"{count} {'mart is' if count == 1 else 'marts are'} due for {in_words(months)}"
        listed = sorted(f"{name}/{month}/{why}" for (name, month), why in wanted.items())
        asked, at = _asked(context.cursor)
        now = datetime.now(UTC)
        if asked.issuperset(listed) and now < at + ASK_AGAIN:
            return dg.SensorResult(
                skip_reason=f"{said}, and a run was asked for at {at:%H:%M} UTC. If it failed, it says why; the next "
                f"is asked for after {at + ASK_AGAIN:%H:%M} UTC"
            )
        if context.instance.get_run_records(dg.RunsFilter(job_name=JOB, statuses=_AT_WORK), limit=1):
            # It takes whatever is due when it begins; the next look asks for the rest.
            return dg.SensorResult(skip_reason=f"{said}; another run of {JOB} is at work")
        # One run. It computes whatever is due when it begins, of all months; or else all of its months.
        tags = names.range_tags(months[0], months[-1])
        if len(due) == len(wanted):
            tags |= {names.DUE_TAG: "yes"}
        key = hashlib.sha256(json.dumps([listed, now.isoformat()]).encode()).hexdigest()[:20]
        context.log.info(said)
        cursor = json.dumps({"asked": listed, "at": now.isoformat()})
        return dg.SensorResult(run_requests=[dg.RunRequest(run_key=key, tags=tags)], cursor=cursor)

    return sensor


def _asked(cursor: str | None) -> tuple[set[str], datetime]:
    """What was asked for, and when (UTC). A cursor that cannot be read costs a run that finds nothing due."""
    try:
        content = json.loads(cursor or "{}")
        return set(content["asked"]), datetime.fromisoformat(content["at"])
    except (ValueError, TypeError, KeyError):
        return set(), datetime.min.replace(tzinfo=UTC)


def _spec(mart: Mart) -> dg.AssetSpec:
    return dg.AssetSpec(
        names.mart(mart.name),
        deps=[names.UNIFIED, *map(names.mart, mart.reads)],
        kinds={"duckdb", "sql"},
        group_name="marts",
        skippable=True,
        code_version=mart.definition,
        description=f"{mart.description}\n\n```sql\n{mart.sql.strip()}\n```",
        metadata={"dagster/table_name": f"marts.{mart.name}"},
    )


def _report_spec(marts: Sequence[Mart]) -> dg.AssetSpec:
    return dg.AssetSpec(
        names.REPORT,
        deps=[names.mart(mart.name) for mart in marts],
        kinds={"html"},
        group_name="focus",
        skippable=True,
        description="The month on one HTML page: costs, what moved, AI, savings, and the status of every month. It "
        "needs no network. `focus-pipeline report` writes it, too.",
    )


def _checks(mart: Mart) -> dict[str, str]:
    """Name -> description of the mart's checks."""
    has = {"grain": True, "covers": mart.covers, "rates": bool(mart.converted)}
    usual = {name: said for name, said in _CHECKS.items() if has[name]}
    return usual | {check.name: check.description for check in mart.checks}


def _events_of(
    context: dg.AssetExecutionContext, mart: Mart, one: ComputedSlice
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    key = names.mart(mart.name)
    shown = _metadata(mart, one)
    events: list[Event] = [materialization(key, one.month, shown, code_version=mart.definition)]
    events += [_evaluation(key, one.month, check) for check in one.checks]
    for event in events:
        selected = not isinstance(event, dg.AssetCheckEvaluation) or (
            event.asset_check_key in context.selected_asset_check_keys
        )
        if selected:
            yield from events_of(context, event)


def _evaluation(key: dg.AssetKey, month: str, check: CheckedMart) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=key,
        check_name=check.name,
        passed=check.passed,
        severity=dg.AssetCheckSeverity[check.severity],
        description=check.said,
        metadata={"Rows": check.count, "Examples": _table(check.examples)} if check.examples else {},
        partition=month,
    )


def _metadata(mart: Mart, one: ComputedSlice) -> dict[str, object]:
    schema = dg.TableSchema(
        columns=[dg.TableColumn(name, kind, mart.meanings.get(name)) for name, kind in one.columns.items()]
    )
    shown: dict[str, object] = {
        **metadata.pictures(one.pictures),
        "dagster/row_count": one.rows,
        "dagster/column_schema": schema,
        "dagster/column_lineage": _column_lineage(mart.sql, tuple(one.columns), tuple(mart.converted.items())),
        **one.figures,
        "Seconds": round(one.seconds, 3),
        "SQL": dg.MetadataValue.md(f"```sql\nFROM marts.{mart.name} WHERE Month = '{one.month}';\n```"),
    }
    if one.preview:
        shown["First rows"] = _table(one.preview)
    return shown


def _table(rows: Sequence[dict[str, str | None]]) -> dg.TableMetadataValue:
    return metadata.table([{name: value or "" for name, value in row.items()} for row in rows], rows[0])


@cache
def _column_lineage(
    sql: str, columns: tuple[str, ...], converted: tuple[tuple[str, str], ...]
) -> dg.TableColumnLineage:
    """Column of the mart -> the columns of the table that its value is made of: the same for all of its months."""
    # Imported here: loading the code location need not wait for it.
    from sqlglot.errors import SqlglotError
    from sqlglot.lineage import lineage

    schema = {"focus": {"cost_and_usage": {name.lower(): "text" for name in CANONICAL}}}
    spelled = {name.lower(): name for name in CANONICAL}
    deps: dict[str, list[dg.TableColumnDep]] = {}
    for column in columns:
        try:
            root = lineage(column.lower(), sql, schema=schema, dialect="duckdb")
        except SqlglotError:  # what it cannot follow is shown without a source
            continue
        read = {node.name.rpartition(".")[2].strip('"').lower() for node in root.walk() if not node.downstream}
        sources = sorted(spelled[name] for name in read if name in spelled)
        deps[column] = [dg.TableColumnDep(asset_key=names.UNIFIED, column_name=source) for source in sources]
    deps |= {name: deps[amount] for amount, name in converted if amount in deps}
    return dg.TableColumnLineage(deps_by_column=deps)
