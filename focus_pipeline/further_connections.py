"""What else an account or a dataset holds that can be connected, with a defs.yaml to paste for each."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from focus_pipeline.components.connection import RESERVED_NAMES
from focus_pipeline.connections.auth import S3Auth
from focus_pipeline.connections.bigquery_queries import Source
from focus_pipeline.connections.delivery import printable
from focus_pipeline.connections.gcp_bigquery_export import GcpBigQueryExport

# What another connection to the same place needs as this one has it.
_ACCESS = ("billed_project", "location", "auth", "endpoint_url")


@dataclass(frozen=True)
class Defined:
    """What the defs.yaml files say already.

    written: attributes of the connection that is looked through, as they are written: secrets by the names of their
    variables. names: of all connections. urls: of all connections that have one.
    """

    written: Mapping[str, object]
    names: Collection[str] = ()
    urls: Collection[str] = ()

    def has_url(self, url: str) -> bool:
        return url.rstrip("/") in {known.rstrip("/") for known in self.urls}


def print_account_exports(auth: S3Auth, defined: Defined, console: Console) -> None:
    """The account's FOCUS exports, where AWS lists them, and a defs.yaml of those that are not connected.

    Raises StoreError where AWS does not list them.
    """
    from focus_pipeline.connections.aws_account_exports import focus_exports

    exports = focus_exports(auth)
    table = Table(
        "export", "table", "granularity", "delivery", "status", "columns", "url", "", box=None, padding=(0, 2)
    )
    for export in exports:
        cells = (
            export.name,
            export.table,
            export.granularity,
            export.delivery,
            export.status,
            _left_out(export.left_out),
            export.url,
            "connected" if defined.has_url(export.url) else "",
        )
        table.add_row(*(escape(printable(cell)) for cell in cells))
    console.print(f"  The account has {len(exports)} FOCUS exports:", highlight=False)
    console.print(table)
    others = [export for export in exports if not defined.has_url(export.url)]
    if others:
        console.print(
            "  To connect another one, paste. Exports of the same charges count them twice, for both are loaded.",
            highlight=False,
            soft_wrap=True,
        )
    for export in others:
        place = {"url": export.url, "focus_version": export.focus_version}
        _print_defs("AwsDataExport", "aws", export.name, place, defined, console)


def print_other_tables(connection: GcpBigQueryExport, defined: Defined, console: Console) -> None:
    """Further tables of the dataset that can be connected. Raises StoreError where BigQuery does not list them."""
    for table in connection.client.other_tables():
        if table != connection.table and table.startswith(
            ("gcp_billing_export_focus_", "gcp_billing_export_resource_v1_")
        ):
            console.print(
                "\n  To connect another table of the dataset, paste. The same charges from two of them count twice.",
                highlight=False,
                soft_wrap=True,
            )
            place = {"project": connection.project, "dataset": connection.dataset, "table": table}
            _print_defs("GcpBigQueryExport", "google", table, place, defined, console)


def print_view(connection: GcpBigQueryExport, source: Source, view: str, defined: Defined, console: Console) -> None:
    """The statement that makes a view of the detailed usage cost export, and the defs.yaml that reads it.

    view: its name, with or without dataset and project. source: that of the connection, which has a select.
    """
    project, dataset, name = [connection.project, connection.dataset, *view.split(".")][-3:]
    console.print(
        f"\nCREATE VIEW `{project}.{dataset}.{name}` AS\n{source.select};",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    place = {"project": project, "dataset": dataset, "table": name, "focus_version": source.declares}
    console.print(
        f"\n  To read the view in place of the table, paste, and remove the connection {connection.name}.",
        highlight=False,
        soft_wrap=True,
    )
    _print_defs("GcpBigQueryExport", "google", name, place, defined, console)


def _print_defs(
    component: str, prefix: str, named: str, place: Mapping[str, str], defined: Defined, console: Console
) -> None:
    """named: what the provider calls it, which becomes the connection's name; with the prefix where it cannot."""
    name = re.sub(r"[^a-z0-9_]", "_", named.lower())
    if not name[:1].isalpha() or name in (*RESERVED_NAMES, *defined.names):
        name = f"{prefix}_{name}"
    access = {attribute: defined.written[attribute] for attribute in _ACCESS if attribute in defined.written}
    content = {"type": f"focus_pipeline.{component}", "attributes": {"name": name, **place, **access}}
    written = yaml.safe_dump(content, sort_keys=False, width=1000)
    console.print(
        f"\n# focus_pipeline/defs/{name}/defs.yaml\n{written}", highlight=False, markup=False, soft_wrap=True, end=""
    )


def _left_out(columns: tuple[str, ...] | None) -> str:
    if columns is None:
        return "not known: grant bcm-data-exports:GetTable"
    return f"all but {', '.join(columns)}" if columns else "all"
