"""The command for alerts."""

import sys

import click

from focus_pipeline.cli.command import connection_tree, console, main
from focus_pipeline.files import keep_files_private
from focus_pipeline.settings import load_settings


@main.command()
@click.option("--test", is_flag=True, help="Send a message to every channel, and say what each answered.")
def alert(test: bool) -> None:
    """Says which problems are open, and which messages wait for a channel.

    Exit status 1 where alerts are not set up, or a channel does not take the test.
    """
    from focus_pipeline.alerts.outbox import read_outbox
    from focus_pipeline.components.alerts import WHAT, Alerts, in_words, trial_message

    keep_files_private()
    tree = connection_tree()
    faults = [said for bad in tree.not_loaded() if bad.what == WHAT for said in bad.sentences]
    configured = tree.get_all_components(of_type=Alerts)
    if not configured:
        raise click.ClickException(
            "\n".join(faults)
            or "alerts are not set up: `dg scaffold defs focus_pipeline.Alerts alerts` writes their YAML"
        )
    (alerts,) = configured
    if not test:
        outbox = read_outbox(load_settings().storage)
        click.echo(f"{in_words(outbox)}.")
        for told in outbox.told.values():
            click.echo(f"{told.place} {told.month}".rstrip() + f": {told.title}, since {told.since:%Y-%m-%d %H:%M} UTC")
        return
    message, failed = trial_message(alerts.ui_url), False
    for name, send in alerts.senders().items():
        with console.status(f"sending to {name}"):
            said = send(message)
        click.echo(f"{name}: {said or 'it took the message'}")
        failed = failed or bool(said)
    sys.exit(1 if failed else 0)
