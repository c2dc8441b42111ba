"""What `focus-pipeline check` tells of a connection before anything is loaded."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from focus_pipeline.components import names
from focus_pipeline.connections.auth import S3Auth
from focus_pipeline.connections.aws_data_export import AwsDataExport
from focus_pipeline.connections.bigquery_queries import Source
from focus_pipeline.connections.delivery import Connection, Discovery, NoBillingPeriods, printable
from focus_pipeline.connections.gcp_bigquery_export import GcpBigQueryExport, recognised
from focus_pipeline.connections.store_errors import StoreError
from focus_pipeline.connections.store_urls import InvalidUrl
from focus_pipeline.focus.specification import contract
from focus_pipeline.further_connections import Defined, print_account_exports, print_other_tables, print_view
from focus_pipeline.machine import MachineFault
from focus_pipeline.months import current_month, months_back, not_loaded_by_itself
from focus_pipeline.pipeline.land import IncompleteDownload, land
from focus_pipeline.pipeline.month import judge_month
from focus_pipeline.pipeline.plan import delivery_of, standing, watched_months
from focus_pipeline.pipeline.stage import AmountsTooLarge
from focus_pipeline.records.landed import current_token, held_months, shown_token
from focus_pipeline.settings import load_settings
from focus_pipeline.storage import DataDir

if TYPE_CHECKING:
    from focus_pipeline.components.connection import ConnectionComponent

console = Console()

_SHOWN_IGNORED = 20


def check_connection(
    component: "ConnectionComponent", *, view: str | None = None, defined: Defined | None = None
) -> bool:
    """Prints the checklist of one connection; True when it can be used.

    view: name of a FOCUS view whose statement is printed, where the connection is Google's detailed usage cost export.
    defined: what is connected already, for what is printed to be pasted.
    """
    connection = component.connection()
    defined = defined or Defined({}, (connection.name,))
    console.rule(f"[bold]{connection.name}", align="left")
    try:
        discovery = connection.discover()
        line(True, f"credentials and list permission: listed {discovery.looked_in}")
        queried = isinstance(connection, GcpBigQueryExport)
        source = connection.source() if queried else None
        usable = (
            _describe_bigquery(connection, source, discovery)
            if queried
            else _read_one_object(component, connection, discovery)
        )
        _print_months(connection, discovery, component.effective_lookback_months)
    except (StoreError, NoBillingPeriods, InvalidUrl) as error:
        line(False, str(error))
        return False
    _print_ignored(discovery)
    try:
        if isinstance(connection, AwsDataExport) and connection.url.startswith("s3:") and not connection.endpoint_url:
            print_account_exports(connection.auth or S3Auth(), defined, console)
        if queried:
            print_other_tables(connection, defined, console)
    except StoreError as error:
        line(None, f"what else could be connected is not listed: {error}")
    if queried and view and source.select:
        print_view(connection, source, view, defined, console)
    elif queried and view:
        line(None, f"no view is printed: {connection.address} is {source.kind}, which is FOCUS already")
    return usable


def _print_months(connection: Connection, discovery: Discovery, lookback_months: int) -> None:
    """Every month that is shown or held: how much there is, and what comes of it. Raises StoreError."""
    data_dir = load_settings().storage
    held = held_months(connection.name, data_dir)
    recent = months_back(current_month(), lookback_months)
    queried = isinstance(connection, GcpBigQueryExport)
    table = Table("month", "rows" if queried else "files", "bytes", "what happens", box=None, padding=(0, 2))
    for month in sorted({*discovery.months, *held}):
        delivery = discovery.deliveries.get(month)
        if delivery is None:
            count, size = "0", "0"
        elif queried:
            count, size = f"{delivery.rows:,}", f"{connection.estimated_bytes(delivery):,}"
        else:
            count, size = f"{len(delivery.objects):,}", f"{delivery.size:,}"
        what = _fate(month, connection, discovery, lookback_months, data_dir)
        table.add_row(month, count, size, escape(printable(what)))
    line(True, f"{len(discovery.months)} months found; look-back {lookback_months}: {recent[0]} to {recent[-1]}")
    console.print(table)
    for month, reason in sorted(discovery.held_back.items()):
        line(None, f"{month} is not taken as it is now: {reason}")


def _print_ignored(discovery: Discovery) -> None:
    if not discovery.ignored:
        console.print("  nothing is ignored")
        return
    console.print(f"  {len(discovery.ignored)} objects are ignored:")
    for ignored in discovery.ignored[:_SHOWN_IGNORED]:
        console.print(f"    {escape(ignored.key)}: {escape(ignored.reason)}", highlight=False, soft_wrap=True)
    if len(discovery.ignored) > _SHOWN_IGNORED:
        console.print(f"    and {len(discovery.ignored) - _SHOWN_IGNORED} more")


def _describe_bigquery(connection: GcpBigQueryExport, source: Source, discovery: Discovery) -> bool:
    """What the table is, where, which of its columns are of FOCUS; its rows are not read, for that is billed."""
    matched, own = recognised(source.columns)
    lacking = [name for name in contract().required if name not in matched]
    line(True, f"{source.kind}, in {connection.client.location}")
    if source.partition is None:
        line(None, "not known to be partitioned by time: reading a month may be billed for its columns of all months")
    else:
        line(True, f"partitioned by {source.partition.column}: reading a month reads only the partitions that hold it")
    line(not lacking, f"{len(matched)} columns of FOCUS and {len(own)} of its own")
    if lacking:
        line(False, f"it has no {', '.join(lacking)}: no month of it can be accepted")
    if source.export_time is None:
        line(
            None,
            "it has no x_ExportTime: changes are noticed only in ContractedCost, SubAccountId, SkuId and the columns "
            "that the contract names; `focus-pipeline fetch-again` reads a month anew",
        )
    line(True, f"asking for changes: {discovery.cost}; the bytes below are BigQuery's estimate for reading a month")
    return not lacking


def _read_one_object(component: "ConnectionComponent", connection: Connection, discovery: Discovery) -> bool:
    """Reads the smallest object of the newest month that has one, and judges it as a load would. Raises StoreError."""
    delivery = next(
        (delivery for _, delivery in sorted(discovery.deliveries.items(), reverse=True) if delivery.objects), None
    )
    if delivery is None:
        line(True, "read permission: not tried, for no month has a file to read")
        return True
    smallest = min(delivery.objects, key=lambda item: item.size)
    storage = load_settings().storage
    with tempfile.TemporaryDirectory(prefix="focus-pipeline-") as folder:
        tried = replace(storage, root=Path(folder), cache=storage.rules_cache)
        try:
            landed = land(connection, replace(delivery, objects=(smallest,)), tried)
            line(True, f"read permission: read {smallest.key}")
            judged = judge_month(connection, landed, tried)
        except (IncompleteDownload, AmountsTooLarge, MachineFault) as error:
            line(False, str(error))
            return False
    staged, verdict = judged.staged, judged.verdict
    for result in verdict.checks:
        if not result.passed and result.name != "accepted":
            line(None if verdict.accepted else False, f"{result.name}: {result.summary}")
    if verdict.accepted:
        version = staged.files[0].layout.focus_version
        line(True, f"content: {staged.rows:,} rows of that file can be loaded, as FOCUS {version}")
    return verdict.accepted


def _fate(month: str, connection: Connection, discovery: Discovery, lookback_months: int, data_dir: DataDir) -> str:
    """What the sensor makes of a month, as far as it can be told before its files are read."""
    name = connection.name
    held = held_months(name, data_dir)
    first = names.monthly().get_first_partition_key()
    if month not in watched_months(held, lookback_months, first):
        return not_loaded_by_itself(month, load_settings().start_month)
    if month in discovery.held_back:
        return "stays as it is, see below" if month in held else "not loaded yet, see below"
    delivery = delivery_of(month, discovery, connection, lookback_months, data_dir)
    if delivery is None:
        return "stays as it is: the provider no longer shows it whole"
    current = current_token(name, month, data_dir)
    if current is None:
        return "new; the sensor loads it" if delivery.objects else "new and empty; the sensor records it as such"
    if shown_token(current) != delivery.token:
        if delivery.objects or delivery.declared:
            return "changed; the sensor loads it again"
        hours = load_settings().loss_wait_hours
        return f"emptied: the provider shows no file of it any more; taken from the table once that is so for {hours} h"
    stands = standing(name, month, delivery.token, data_dir)
    if stands.verdict is False:
        return "unchanged since it was rejected; its checks say why"
    if stands.lost:
        return f"unchanged and held back for what it takes away; `focus-pipeline accept {name} {month}` takes it"
    return "unchanged since it was loaded" if stands.verdict else "fetched and not judged yet; the sensor loads it"


def line(good: bool | None, text: str) -> None:
    """Prints one finding, with a mark: good, bad, or (None) worth knowing."""
    mark = {True: "[green]✓[/]", False: "[red]✗[/]", None: "[yellow]![/]"}[good]
    console.print(f"{mark} {escape(printable(text))}", highlight=False, soft_wrap=True)
