"""Keeps the values of this process's secrets out of what is logged and raised.

A last net: nothing in the project writes a secret on purpose, but libraries put requests into their errors and logs,
and servers put them into answers. What was once given as a secret (see `remember`) is replaced wherever it turns up, as
it is, in base64 and URL-encoded, by a mark that says where it came from: `[secret auth.sas_token]`.

Secrets of fewer than SHORTEST characters are not known again: they would be found in ordinary words.
"""

import base64
import json
import logging
import os
import re
import threading
import traceback
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import NoReturn
from urllib.parse import quote, quote_plus

SHORTEST = 6
# A part of base64 that is shorter than this is found in ordinary text.
_SHORTEST_ENCODED = 7
# Tokens that end after an hour, of as many connections as one process serves.
_MOST_PASSING = 200

# Where the providers' libraries look for secrets when a connection gives none.
DEFAULT_CHAINS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
    "AWS_BEARER_TOKEN_BEDROCK",
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "AZURE_PASSWORD",
    "AZURE_STORAGE_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_CONNECTION_STRING",
    "IDENTITY_HEADER",
    "MSI_SECRET",
    "OCI_CLI_PASSPHRASE",
    "OCI_CLI_KEY_CONTENT",
)
# They write whole requests and answers at DEBUG; answers hold credentials that nobody has had the time to remember.
_WRITE_ANSWERS = (
    "botocore.parsers",
    "botocore.endpoint",
    "botocore.httpsession",
    "botocore.auth",
    "botocore.hooks",
    "msal",
    "google.auth",
    "oci",
    "urllib3.connectionpool",
    "requests_oauthlib",
)


class SecretWithheld(RuntimeError):
    """Stands for an error that held a secret: its kind and text, and those of its causes, without the secret."""


class KnownSecrets:
    """The secrets of this process: what each of their spellings is replaced by."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lasting: dict[str, str] = {}
        self._passing: OrderedDict[str, str] = OrderedDict()
        self._replacing: tuple[re.Pattern[str], dict[str, str]] | None = None

    def add(self, value: str, name: str, *, passing: bool) -> None:
        with self._lock:
            if value in self._lasting or value in self._passing:
                return
            (self._passing if passing else self._lasting)[value] = name
            if len(self._passing) > _MOST_PASSING:
                self._passing.popitem(last=False)
            self._replacing = None

    def replaced_in(self, text: str) -> str:
        replacing = self._replacing or self._compiled()
        if replacing is None:
            return text
        pattern, marks = replacing
        return pattern.sub(lambda found: marks[found[0]], text)

    def _compiled(self) -> tuple[re.Pattern[str], dict[str, str]] | None:
        with self._lock:
            values = [*self._lasting.items(), *self._passing.items()]
            marks = {form: f"[secret {name}]" for value, name in reversed(values) for form in _spellings(value)}
            if marks:
                # The longest first: a token that holds another secret is replaced whole.
                forms = sorted(marks, key=len, reverse=True)
                self._replacing = re.compile("|".join(map(re.escape, forms))), marks
            return self._replacing


_known = KnownSecrets()


def remember(value: str | None, name: str, *, passing: bool = False) -> None:
    """From now on the value is replaced wherever it turns up, in this process. name: where it came from, for the mark.

    passing: it ends by itself and others follow, such as an access token: of these, the last ones are known.
    Of a text of several lines, such as a private key, each long line is a secret of its own; of the JSON of a key, the
    values that are secret; of a SAS token, its signature.
    """
    if not value:
        return
    _install()
    for part in (value, value.strip(), *_parts(value)):
        if len(part) >= SHORTEST:
            _known.add(part, name, passing=passing)


def remember_environment() -> None:
    """Remembers the secrets that the providers' libraries would find in the environment by themselves."""
    for name in DEFAULT_CHAINS:
        remember(os.environ.get(name), f"env.{name}")


def without_secrets(text: str) -> str:
    """The text with a mark in the place of every secret that is known."""
    return _known.replaced_in(text)


def harmless(error: BaseException) -> BaseException:
    """The error itself where neither it nor what it was made from holds a secret; else one that stands for it.

    The other one is to be raised by `raise_alone`, else Python keeps the first as its context.
    """
    chain = list(_chain(error))
    said = "\n".join(_everything_said(one) for one in chain)
    if without_secrets(said) == said:
        return error
    words = [f"{type(one).__name__}: {one}" for one in dict.fromkeys(chain)]
    return SecretWithheld(without_secrets(", caused by ".join(words)))


def raise_alone(error: BaseException) -> NoReturn:
    """Raises an error without cause and context, even while another one is being handled.

    `raise … from None` keeps the other one as the context, and only asks not to show it.
    """
    try:
        raise error
    except BaseException:
        error.__cause__ = error.__context__ = None
        raise


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what it was made from, and what it was raised beside; suppressed or not, for debuggers show that."""
    waiting, seen = [error], set()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__context__, one.__cause__, *(getattr(one, "exceptions", ()))]


def _everything_said(error: BaseException) -> str:
    return "\n".join([str(error), repr(error), *traceback.format_exception_only(error)])


@contextmanager
def errors_without_secrets() -> Iterator[None]:
    """An error that leaves the block holds no secret, nor does what it was made from."""
    try:
        yield
    except Exception as error:
        other = harmless(error)
        if other is error:
            raise
        raise_alone(other)


def _install() -> None:
    """Filters everything that is logged in this process, by whatever logger and handler. Doing it twice is harmless."""
    made_by = logging.getLogRecordFactory()
    if isinstance(made_by, _Filtered):
        return
    for name in _WRITE_ANSWERS:
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.INFO))
    logging.setLogRecordFactory(_Filtered(made_by))


class _Filtered:
    """A factory of log records: those of another one, without secrets."""

    def __init__(self, made_by: type[logging.LogRecord]) -> None:
        self._made_by = made_by

    def __call__(self, *args: object, **more: object) -> logging.LogRecord:
        record = self._made_by(*args, **more)
        try:
            message = record.getMessage()
        except Exception:  # a library's message does not fit its arguments: logging would print both as they are
            message = f"{record.msg} {record.args!r}"
            record.msg, record.args = without_secrets(message), None
        filtered = without_secrets(message)
        if filtered != message:
            record.msg, record.args = filtered, None
        if record.exc_info and record.exc_info[1] is not None:
            error = harmless(record.exc_info[1])
            if error is not record.exc_info[1]:
                record.exc_info = (type(error), error, record.exc_info[2])
        return record


def _parts(value: str) -> Iterator[str]:
    """What is secret by itself in a secret of several parts."""
    if value.lstrip().startswith("{"):
        try:
            content = json.loads(value)
        except ValueError:
            content = None
        if isinstance(content, dict):
            for name in ("private_key", "private_key_id", "client_secret", "refresh_token"):
                if isinstance(part := content.get(name), str):
                    yield part
                    yield from _lines(part)
            return
    yield from _lines(value)
    # Of a SAS token, its signature.
    if found := re.search(r"(?:^|[?&])sig=([^&]+)", value):
        yield found[1]


def _lines(value: str) -> Iterator[str]:
    lines = value.splitlines()
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= 2 * SHORTEST and not line.startswith("-----"))


def _spellings(value: str) -> Iterator[str]:
    """The ways in which a value stands in a text: as it is, escaped, URL-encoded, and in base64 at any offset."""
    yield value
    yield from (json.dumps(value)[1:-1], repr(value)[1:-1], repr(value.encode())[2:-1], escape(value))
    for encoded in (quote(value), quote(value, safe=""), quote_plus(value)):
        yield encoded
        yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), encoded)
    content = value.encode()
    for before in range(3):
        for alphabet in (base64.b64encode, base64.urlsafe_b64encode):
            whole = alphabet(b"\0" * before + content).decode()
            # The first and the last characters also tell of what stands beside the value.
            start = (before * 8 + 5) // 6
            end = (before + len(content)) * 8 // 6
            if end - start >= _SHORTEST_ENCODED:
                yield whole[start:end]
            if before == 0:
                yield whole
