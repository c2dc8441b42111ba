"""Sends messages over channels: Slack, Teams, e-mail, or whatever else Apprise has a URL for."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import unquote

from focus_pipeline.alerts.outbox import Message, Send
from focus_pipeline.secrets_filter import without_secrets
from focus_pipeline.visible import visible

if TYPE_CHECKING:
    from apprise import NotifyBase

# Seconds for an answer; and for all of a message, which an e-mail has many answers in.
ANSWER_SECONDS = 10.0
MESSAGE_SECONDS = 15.0

_ID_HEADER = "X-Alert-Id"


class UnknownChannel(ValueError):
    """Apprise has no service for a URL, or the URL lacks what the service asks for."""


def secrets_of(url: str) -> Iterator[str]:
    """What is secret in the URL of a channel: all of it, its password, and whatever looks like a token.

    >>> list(secrets_of("mailtos://dagster:correct%20horse@mail.example.com?to=finops@example.com"))[1:]
    ['correct horse']
    >>> list(secrets_of("https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXr"))[1:]
    ['T1JJ3T3L2', 'A1BRTD4JD', 'TIiajkdnlazkcOXr']
    """
    yield url
    address = url.partition("://")[2]
    if found := re.match(r"[^/?@]*?:([^/?]*)@", address):
        yield unquote(found[1])
    for part in map(unquote, re.split(r"[/?&=:@]", address)):
        # Words of a path, hosts and addresses are none.
        if len(part) >= 8 and "." not in part and (re.search(r"\d", part) or part not in (part.lower(), part.upper())):
            yield part


def sender(name: str, url: str) -> Send:
    """What sends messages over a channel. It never raises, and what it says holds no secret.

    name: of the channel, for messages. url: with its secrets.
    """
    service: list[NotifyBase] = []  # made with the first message, and kept: it waits between messages where it has to

    def send(message: Message) -> str:
        try:
            if not service:
                service.append(_service(name, url))
            return _answer(service[0], message)
        except Exception as error:  # whatever a channel's library raises, the message waits
            return visible(without_secrets(f"{type(error).__name__}: {error}".removeprefix("UnknownChannel: ")))

    return send


def _service(name: str, url: str) -> "NotifyBase":
    # Imported where something is sent: loading it, and its services, takes half a second and 50 MB.
    from apprise import Apprise, AppriseAsset, OverflowMode

    # Nothing is kept on disk, and no pictures of Apprise's own site stand in messages.
    asset = AppriseAsset(
        app_id="focus_pipeline", app_desc="focus_pipeline", app_url="", image_url_mask="", image_url_logo=""
    )
    service = Apprise.instantiate(url, asset=asset, suppress_exceptions=True)
    if service is None:
        raise UnknownChannel(
            f"Apprise does not know the URL of the channel {name}, or the URL lacks a part; "
            "https://appriseit.com/services/ has the form of each"
        )
    if "overflow" not in url:
        service.overflow_mode = OverflowMode.TRUNCATE  # one message stays one
    service.socket_connect_timeout = min(service.socket_connect_timeout, ANSWER_SECONDS)
    service.socket_read_timeout = max(service.socket_read_timeout, ANSWER_SECONDS)
    return service


def _answer(service: "NotifyBase", message: Message) -> str:
    from apprise import Apprise, NotifyFormat, NotifyType

    if isinstance(headers := getattr(service, "headers", None), dict):
        headers[_ID_HEADER] = message.id
    apprise = Apprise(asset=service.asset)
    apprise.add(service)
    result = apprise.notify(
        title=message.title,
        body=f"{message.text}\n(message {message.number})" if message.number else message.text,
        body_format=NotifyFormat.TEXT,
        notify_type=NotifyType.SUCCESS if message.resolved else NotifyType.WARNING,
        timeout=MESSAGE_SECONDS,
    )
    if result:
        return ""
    said = next((entry.message for entry in result.logs() if entry.level in ("WARNING", "ERROR")), "")
    return visible(without_secrets(said or "it did not take the message, and did not say why"))
