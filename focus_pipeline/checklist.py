"""What `focus-pipeline check` tells of a connection before anything is loaded."""

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from focus_pipeline.connections.auth import S3Auth
from focus_pipeline.connections.aws_data_export import AwsDataExport
from focus_pipeline.connections.bigquery_queries import Source
from focus_pipeline.connections.delivery import Connection, Delivery, Discovery, NoBillingPeriods, printable
from focus_pipeline.connections.gcp_bigquery_export import GcpBigQueryExport, recognised
from focus_pipeline.connections.store_urls import InvalidUrl
from focus_pipeline.connections.stores import StoreError
from focus_pipeline.focus.specification import contract
from focus_pipeline.months import current_month, months_back, not_loaded_by_itself
from focus_pipeline.pipeline.check import judge
from focus_pipeline.pipeline.data_dir import DataDir
from focus_pipeline.pipeline.land import IncompleteDownload, current_token, land
from focus_pipeline.pipeline.normalise import stage
from focus_pipeline.settings import load_settings

if TYPE_CHECKING:
    from focus_pipeline.components.connection import ConnectionComponent

console = Console()


def check_connection(component: "ConnectionComponent", *, view: str | None = None) -> bool:
    """Prints the checklist of one connection; True when it can be used.

    view: name of a FOCUS view whose statement is printed, where the connection is Google's detailed usage cost export.
    """
    data_dir = DataDir(load_settings().data_dir)
    lookback = component.effective_lookback_months
    connection = component.connection()
    console.rule(f"[bold]{connection.name}", align="left")
    try:
        discovery = connection.discover()
    except (StoreError, NoBillingPeriods, InvalidUrl) as error:
        line(False, str(error))
        return False
    line(True, f"credentials and list permission: listed {discovery.looked_in}")
    queried = isinstance(connection, GcpBigQueryExport)
    source = connection.source() if queried else None
    usable = _describe_bigquery(connection, source, discovery) if queried else _read_one_object(connection, discovery)
    recent = months_back(current_month(), lookback)
    table = Table("month", "rows" if queried else "files", "bytes", "what happens", box=None, padding=(0, 2))
    for month, delivery in discovery.deliveries.items():
        table.add_row(
            month,
            f"{delivery.rows if queried else len(delivery.objects):,}",
            f"{connection.estimated_bytes(delivery) if queried else delivery.size:,}",
            _fate(delivery, current_token(connection.name, month, data_dir), month in recent),
        )
    line(True, f"{len(discovery.months)} months found; look-back {lookback}: {recent[0]} to {recent[-1]}")
    console.print(table)
    if discovery.ignored:
        console.print(f"  {len(discovery.ignored)} objects are ignored:")
        for ignored in discovery.ignored[:20]:
            console.print(f"    {escape(ignored.key)}: {escape(ignored.reason)}", highlight=False, soft_wrap=True)
        if len(discovery.ignored) > 20:
            console.print(f"    and {len(discovery.ignored) - 20} more")
    else:
        console.print("  nothing is ignored")
    for month, reason in discovery.held_back.items():
        line(None, f"{month} is not taken as it is now: {reason}")
    if isinstance(connection, AwsDataExport) and connection.url.startswith("s3:") and not connection.endpoint_url:
        print_account_exports(connection.auth or S3Auth(), connected=connection.url)
    if queried:
        _print_other_tables(connection)
    if queried and view:
        _print_view(connection, source, view)
    return usable


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
        line(None, "it has no x_ExportTime: a change that alters no cost, period or SKU is not noticed")
    line(True, f"asking for changes: {discovery.cost}; the bytes below are BigQuery's estimate for reading a month")
    return not lacking


def _print_other_tables(connection: GcpBigQueryExport) -> None:
    """Further tables of the dataset that can be connected, with what to paste."""
    try:
        found = [table for table in connection.client.other_tables() if table != connection.table]
    except StoreError as error:
        line(None, f"further tables of the dataset are not listed: {error}")
        return
    for table in found:
        if table.startswith(("gcp_billing_export_focus_", "gcp_billing_export_resource_v1_")):
            place = {"project": connection.project, "dataset": connection.dataset, "table": table}
            why = "# To connect another table of the dataset; the same charges from two of them count twice."
            _print_defs("GcpBigQueryExport", table, place, why)


def _print_view(connection: GcpBigQueryExport, source: Source, view: str) -> None:
    if not source.select:
        line(None, f"no view is printed: {connection.address} is {source.kind}, which is FOCUS already")
        return
    name = view if "." in view else f"{connection.project}.{connection.dataset}.{view}"
    console.print(f"\nCREATE VIEW `{name}` AS\n{source.select};", highlight=False, markup=False, soft_wrap=True)


def print_account_exports(auth: S3Auth, *, connected: str) -> None:
    """The account's FOCUS exports, where AWS lists them, and the defs.yaml of those that are not at `connected`."""
    from focus_pipeline.connections.aws_account_exports import focus_exports

    try:
        exports = focus_exports(auth)
    except StoreError as error:
        line(None, str(error))
        return
    table = Table(
        "export", "table", "granularity", "delivery", "status", "columns", "url", "", box=None, padding=(0, 2)
    )
    for export in exports:
        here = "connected" if export.url.rstrip("/") == connected.rstrip("/") else ""
        cells = (
            export.name,
            export.table,
            export.granularity,
            export.delivery,
            export.status,
            _left_out(export.left_out),
            export.url,
            here,
        )
        table.add_row(*(escape(printable(cell)) for cell in cells))
    line(True, f"the account has {len(exports)} FOCUS exports")
    console.print(table)
    others = [export for export in exports if export.url.rstrip("/") != connected.rstrip("/")]
    if others:
        console.print(
            "  To connect another one, paste. Exports of the same charges count them twice, for both are loaded.",
            highlight=False,
            soft_wrap=True,
        )
    for export in others:
        _print_defs("AwsDataExport", export.name, {"url": export.url, "focus_version": f'"{export.focus_version}"'})


def _print_defs(component: str, named: str, attributes: Mapping[str, str], *comments: str) -> None:
    """A defs.yaml to paste. named: what the provider calls it, which becomes the connection's name."""
    name = re.sub(r"[^a-z0-9_]", "_", named.lower())
    attributes = {attribute: printable(value) for attribute, value in attributes.items()}
    lines = [*comments, f"# focus_pipeline/defs/{name}/defs.yaml", f"type: focus_pipeline.{component}", "attributes:"]
    lines += [f"  {attribute}: {value}" for attribute, value in {"name": name, **attributes}.items()]
    console.print("\n" + "\n".join(lines), highlight=False, markup=False, soft_wrap=True)


def _left_out(columns: tuple[str, ...] | None) -> str:
    if columns is None:
        return "not known: grant bcm-data-exports:GetTable"
    return f"all but {', '.join(columns)}" if columns else "all"


def _read_one_object(connection: Connection, discovery: Discovery) -> bool:
    """Reads the smallest object of the newest month that has one, and judges it as a load would."""
    month, item = next(
        (
            (month, min(delivery.objects, key=lambda item: item.size))
            for month, delivery in sorted(discovery.deliveries.items(), reverse=True)
            if delivery.objects
        ),
        (None, None),
    )
    if item is None:
        line(True, "read permission: not tried, for no month has a file to read")
        return True
    with tempfile.TemporaryDirectory() as folder:
        try:
            landed = land(connection, Delivery(month, (item,)), DataDir(Path(folder)))
        except (StoreError, IncompleteDownload) as error:
            line(False, str(error))
            return False
        line(True, f"read permission: read {item.key}")
        staged = stage(landed, DataDir(Path(folder)), month_rule=connection.month_rule)
        verdict = judge(staged, DataDir(Path(folder)), month_rule=connection.month_rule)
    for result in verdict.checks:
        if not result.passed and result.name != "accepted":
            line(None if verdict.accepted else False, f"{result.name}: {result.summary}")
    if verdict.accepted:
        line(True, f"content: {staged.rows:,} rows of that file can be loaded")
    return verdict.accepted


def _fate(delivery: Delivery, held: str | None, recent: bool) -> str:
    if held == delivery.token:
        return "unchanged since it was landed"
    if held is not None:
        return "changed; the sensor loads it again"
    return "new; the sensor loads it" if recent else not_loaded_by_itself(delivery.month, load_settings().start_month)


def line(good: bool | None, text: str) -> None:
    """Prints one finding, with a mark: good, bad, or (None) worth knowing."""
    mark = {True: "[green]✓[/]", False: "[red]✗[/]", None: "[yellow]![/]"}[good]
    console.print(f"{mark} {escape(printable(text))}", highlight=False, soft_wrap=True)
