"""What every connection component has in common: its attributes, and the definitions made of them."""

import re
from abc import abstractmethod
from typing import Annotated

import dagster as dg
from jinja2 import Environment
from jinja2.meta import find_undeclared_variables
from pydantic import Field

from focus_pipeline.components import names
from focus_pipeline.components.deliveries_sensor import deliveries_sensor
from focus_pipeline.components.ingestion import ingestion_assets
from focus_pipeline.connections.auth import Auth, from_environment, resolved, unset_variable
from focus_pipeline.connections.delivery import Connection
from focus_pipeline.settings import load_settings

RESERVED_NAMES = ("focus", "marts")

# As Dagster takes owners.
_OWNER = r"^(team:[A-Za-z0-9_./ -]+|[^@\s]+@[^@\s]+\.[^@\s]+)$"

# What the templates beside this file leave to be filled in.
_PLACEHOLDER = re.compile(r"YOUR[-_][A-Z]+(?:[-_][A-Z]+)*")


def resolve_auth(context: dg.ResolutionContext, auth: Auth | None) -> Auth | None:
    """Puts the values of `{{ env.NAME }}` into an auth, whose own module knows nothing of Dagster.

    See resolve_text.
    """
    return None if auth is None else resolved(auth)


def resolve_text(context: dg.ResolutionContext, written: str | float | None) -> str | None:
    """Text as it is written, with the values of its `{{ env.NAME }}` and `{{ data_dir }}`.

    Dagster's own resolving makes a number of a text that looks like one: a version, an export's name, an External ID.
    A variable that is not set leaves its `{{ env.NAME }}` standing: using the connection says so (see
    auth.require_variables), while the project with its other connections loads.
    """
    if written is None:
        return None
    if (placeholder := _PLACEHOLDER.search(str(written))) is not None:
        raise ValueError(f"{placeholder[0]} is the template's; put your own in its place")
    text = from_environment(str(written))
    if "{{" not in text or unset_variable(text):
        return text
    # Jinja would leave out what it does not know: a url that begins with it would be another place.
    for name in sorted(find_undeclared_variables(Environment().parse(text)) - set(context.scope)):
        raise ValueError(f"`{{{{ {name} }}}}` is not known; there are {{{{ env.NAME }}}} and {{{{ data_dir }}}}")
    return context.resolve_value(text)


Text = Annotated[str, dg.Resolver(resolve_text, model_field_type=str, inject_before_resolve=False)]
OptionalText = Annotated[
    str | None, dg.Resolver(resolve_text, model_field_type=str | None, inject_before_resolve=False)
]
"""Types of the text attributes of connections."""


class ConnectionComponent(dg.Component, dg.Model, dg.Resolvable):
    """One provider export of one customer."""

    name: Annotated[
        str,
        Field(
            pattern="^[a-z][a-z0-9_]*$",
            description="Name of the connection: the first part of its asset keys, and x_Connection in the table.",
        ),
    ]
    lookback_months: Annotated[
        int | None,
        Field(
            ge=0,
            description="Months before the current one that are picked up by themselves; older ones by a backfill. "
            "Default: FOCUS_LOOKBACK_MONTHS, 2.",
        ),
    ] = None
    focus_version: Annotated[
        str | None,
        dg.Resolver(resolve_text, model_field_type=str | float | None, inject_before_resolve=False),
        Field(description="FOCUS version that the provider declares, such as '1.0'. Default: told by the columns."),
    ] = None
    owners: Annotated[
        list[Annotated[str, Field(pattern=_OWNER)]],
        Field(description="Who is asked about the connection: email addresses, or team:<name>. Shown on its assets."),
    ] = []  # noqa: RUF012  (pydantic copies defaults)
    stale_after_hours: Annotated[
        int,
        Field(ge=1, description="How long after its last new delivery of a recent month the connection is stale."),
    ] = 72
    check_every_seconds: Annotated[int, Field(ge=1, description="How often the sensor looks for new deliveries.")] = 300

    @abstractmethod
    def connection(self) -> Connection:
        """The connection without Dagster. Opens nothing yet."""

    @property
    def effective_lookback_months(self) -> int:
        """The connection's own look-back, or that of the settings."""
        return load_settings().lookback_months if self.lookback_months is None else self.lookback_months

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        if self.name in RESERVED_NAMES:
            raise ValueError(f"a connection cannot be named {self.name!r}: the unified assets are; choose another name")
        data_dir = load_settings().storage
        connection = self.connection()
        lookback = self.effective_lookback_months
        job = dg.define_asset_job(
            f"{self.name}_ingest",
            selection=dg.AssetSelection.assets(names.raw_files(self.name), names.cost_and_usage(self.name)),
            description=f"Loads one month of {self.name}: fetch, stage, judge. focus_publish publishes it.",
        )
        return dg.Definitions(
            assets=[ingestion_assets(connection, lookback, data_dir), _latest_delivery(self.name)],
            jobs=[job],
            sensors=[deliveries_sensor(connection, job, lookback, self.check_every_seconds, data_dir)],
        )


def _latest_delivery(name: str) -> dg.AssetSpec:
    """Dagster measures freshness by asset, not by month: a backfill of an old month would make a stale asset fresh.

    This one is materialised by new deliveries of recent months alone.
    """
    return dg.AssetSpec(
        names.latest_delivery(name),
        deps=[names.raw_files(name)],
        group_name=name,
        kinds={"file"},
        description="The last new delivery of the running month, or of the month before. Its freshness is that of the "
        "connection: loading an older month does not touch it.",
    )


def connections(tree: dg.ComponentTree) -> dict[str, ConnectionComponent]:
    """The connections of a project that can be loaded, by name, in order."""
    found = sorted(tree.get_all_components(of_type=ConnectionComponent), key=lambda component: component.name)
    return {component.name: component for component in found}
