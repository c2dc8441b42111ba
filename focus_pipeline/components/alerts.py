"""`focus_pipeline.Alerts`: messages about what fails, over Slack, Teams, e-mail or whatever Apprise reaches."""

import re
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Annotated

import dagster as dg
from dagster._core.definitions.freshness import TimeWindowFreshnessPolicy
from pydantic import ConfigDict, Field, StringConstraints, field_validator

from focus_pipeline.alerts.channels import secrets_of, sender
from focus_pipeline.alerts.outbox import (
    Message,
    Outbox,
    Send,
    alone,
    deliver,
    noted,
    read_outbox,
    write_outbox,
)
from focus_pipeline.components.connection import Text, resolve_text
from focus_pipeline.components.problems import Chosen, Looker, Watched
from focus_pipeline.components.scaffolding import ConnectionScaffolder
from focus_pipeline.connections.auth import from_environment, remember_variables, unset_variable
from focus_pipeline.secrets_filter import errors_without_secrets, remember
from focus_pipeline.settings import load_settings
from focus_pipeline.storage import DataDir

WHAT = "set of alerts"
"""What one that cannot be loaded is called."""

# Dagster gives a look 60 seconds. The last message may take 15 seconds more than this.
SENDING_SECONDS = 25.0


def resolve_channels(context: dg.ResolutionContext, written: Mapping[str, str]) -> dict[str, str]:
    """The URLs with the values of their `{{ env.NAME }}`, which from now on are kept out of messages and logs."""
    resolved = {}
    for name, url in written.items():
        remember_variables(str(url))
        resolved[name] = resolve_text(context, url) or ""
        if not unset_variable(resolved[name]):
            for secret in secrets_of(resolved[name]):
                remember(secret, f"URL of the channel {name}")
    return resolved


Patterns = list[Annotated[str, StringConstraints(min_length=1)]]


@dg.scaffold_with(ConnectionScaffolder)
class Alerts(dg.Component, dg.Model, dg.Resolvable):
    """Messages about what fails: one when a problem begins, one when it ends, for each connection and month.

    A project has one such component at most; without one, nothing is sent.
    """

    # The values of a YAML stay out of errors: those of channels are secrets.
    model_config = ConfigDict(hide_input_in_errors=True)

    channels: Annotated[
        dict[str, str],
        dg.Resolver(resolve_channels, model_field_type=dict[str, str], inject_before_resolve=False),
        Field(
            min_length=1,
            repr=False,
            description="Name -> URL of each channel, as Apprise has it; secrets as '{{ env.NAME }}'. Every message "
            "goes to every channel.",
        ),
    ]
    ui_url: Annotated[Text, Field(description="Address of the Dagster UI, for links.")] = "http://localhost:3000"
    warnings: Annotated[
        Patterns,
        Field(
            description="Patterns of checks whose warnings are told, too, such as ['marts/*/budget*']; ['*'] for all."
        ),
    ] = []  # noqa: RUF012  (pydantic copies defaults)
    ignore: Annotated[
        Patterns,
        Field(description="Patterns of what is not told, such as ['colo_costs/cost_and_usage/prices', 'saas/stale']."),
    ] = []  # noqa: RUF012
    digest_above: Annotated[int, Field(ge=1, description="More messages than this at once become one digest.")] = 10

    @field_validator("channels")
    @classmethod
    def _are_urls(cls, channels: dict[str, str]) -> dict[str, str]:
        for name, url in channels.items():
            if not re.fullmatch("[a-z][a-z0-9_]*", name):
                raise ValueError(
                    f"a channel is named {name!r}; allowed are small letters, digits and _, a letter first"
                )
            # The URL itself is not told: it may hold a secret that is not in the environment.
            if not unset_variable(url) and not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", url):
                raise ValueError(f"the channel {name} is no URL; it has the form slack://… or mailto://…")
        return channels

    @property
    def chosen(self) -> Chosen:
        """Which problems are told."""
        return Chosen(tuple(self.warnings), tuple(self.ignore))

    def senders(self) -> dict[str, Send]:
        """What sends over each channel, by name. Opens nothing yet."""
        return {name: _sender(name, url) for name, url in self.channels.items()}

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The sensor that looks for problems and sends the messages."""
        return dg.Definitions(sensors=[alerts_sensor(self, load_settings().storage)])


def _sender(name: str, url: str) -> Send:
    if variable := unset_variable(from_environment(url)):
        return lambda message: (
            f"the environment lacks {variable} (for the channel {name}); set it there or in .env, and reload"
        )
    return sender(name, from_environment(url))


def alerts_sensor(alerts: Alerts, data_dir: DataDir) -> dg.SensorDefinition:
    """Looks at everything that can fail, and tells what has begun and what is over since it last looked.

    What it knows is in the data directory, so neither a restart nor a reset of its cursor loses or doubles a message.
    """
    looker, senders = Looker(alerts.chosen, data_dir), alerts.senders()

    @dg.sensor(
        name="focus_alerts",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Sends a message when a problem begins, and one when it ends.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        with errors_without_secrets(), ExitStack() as stack:
            try:
                stack.enter_context(alone(data_dir))
            except TimeoutError as error:
                return dg.SensorResult(skip_reason=f"process {error} is at it already")
            outbox = look_and_send(looker, alerts, senders, context, data_dir)
        said = in_words(outbox)
        context.log.info(said)
        return dg.SensorResult(skip_reason=said)

    return sensor


def look_and_send(
    looker: Looker,
    alerts: Alerts,
    senders: Mapping[str, Send],
    context: dg.SensorEvaluationContext,
    data_dir: DataDir,
) -> Outbox:
    """One look: what it finds is written down, then what waits is sent. The outbox afterwards.

    What waits is sent although a look fails; its error is raised then.
    """
    before = outbox = read_outbox(data_dir)
    try:
        found = looker.look(context.instance, watched(context), datetime.now(UTC))
        outbox = noted(before, found, list(senders), most=alerts.digest_above, ui_url=alerts.ui_url)
        if outbox != before:
            write_outbox(outbox, data_dir)
    finally:
        outbox = deliver(outbox, senders, data_dir, SENDING_SECONDS)
    return outbox


def watched(context: dg.SensorEvaluationContext) -> Watched:
    """What the sensor's code location defines."""
    repository = context.repository_def
    if repository is None:
        raise dg.DagsterInvariantViolationError("focus_alerts has to know the definitions that it looks at")
    graph = repository.asset_graph
    checks = {key: graph.get(key).partitions_def is not None for key in graph.asset_check_keys}
    policies = {key: graph.get(key).freshness_policy for key in graph.get_all_asset_keys()}
    fresh_for = {
        key: policy.fail_window.to_timedelta()
        for key, policy in policies.items()
        if isinstance(policy, TimeWindowFreshnessPolicy)
    }
    return Watched(checks, frozenset(name for name in repository.job_names if not name.startswith("__")), fresh_for)


def in_words(outbox: Outbox) -> str:
    """How many problems there are, and what waits for which channel, and why."""
    count = len(outbox.told)
    said = [f"{count:,} problem{' is' if count == 1 else 's are'} open" if count else "no problem is open"]
    for name in dict.fromkeys(name for message in outbox.messages for name in message.waiting):
        waiting, state = len(outbox.waiting_for(name)), outbox.channels.get(name)
        what = f"{waiting:,} message{' waits' if waiting == 1 else 's wait'} for {name}"
        if state:
            what += f": {state.said} (attempt {state.failures:,}, the next after {state.again_at:%H:%M:%S} UTC)"
        said.append(what)
    return "; ".join(said)


def trial_message(ui_url: str) -> Message:
    """What `focus-pipeline alert --test` sends."""
    return Message(
        id=f"test-{datetime.now(UTC):%Y%m%dT%H%M%S}",
        number=0,
        title="focus_pipeline: this is a test",
        text=f"Alerts of focus_pipeline reach this channel. Nothing is wrong.\n{ui_url}",
        resolved=True,
        at=datetime.now(UTC),
        waiting=(),
    )
