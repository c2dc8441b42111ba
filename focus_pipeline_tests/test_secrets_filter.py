"""What was once given as a secret is found again, however it is spelled, in whatever is logged or raised."""

import base64
import json
import logging
import subprocess
import sys
import time
from collections.abc import Callable

import dagster as dg
import pytest
from click.testing import CliRunner

from focus_pipeline import secrets_filter
from focus_pipeline.cli import main
from focus_pipeline.components.ingestion import named_failures
from focus_pipeline.components.month_folders import MonthFolders
from focus_pipeline.connections.auth import AzureAuth, S3Auth
from focus_pipeline.connections.store_errors import AccessDenied, StoreError
from focus_pipeline.secrets_filter import (
    SHORTEST,
    SecretWithheld,
    errors_without_secrets,
    harmless,
    remember,
    without_secrets,
)
from focus_pipeline_tests.connections.secrets_kept import assert_holds_none, everything_said, spellings

SECRET = "wJalr/UtnFEMI+K7MDENG=bPx"


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets_filter, "_known", secrets_filter.KnownSecrets())
    remember(SECRET, "auth.secret_access_key")


@pytest.mark.parametrize("spelling", spellings(SECRET))
def test_a_secret_is_replaced_in_whatever_way_it_is_spelled(spelling: str) -> None:
    text = without_secrets(f"before {spelling} after")
    assert "[secret auth.secret_access_key]" in text
    assert text.startswith("before ")
    assert text.endswith(" after")
    assert_holds_none(text, SECRET)


@pytest.mark.parametrize("before", [b"", b"u", b"us", b"user:"])
@pytest.mark.parametrize("after", [b"", b"@", b"@h", b"@host"])
def test_a_secret_within_base64_is_replaced_at_any_offset(before: bytes, after: bytes) -> None:
    """As in an Authorization header of the kind Basic."""
    for alphabet in (base64.b64encode, base64.urlsafe_b64encode):
        text = without_secrets(f"Basic {alphabet(before + SECRET.encode() + after).decode()}")
        assert "[secret auth.secret_access_key]" in text


def test_the_lines_of_a_key_and_the_signature_of_a_token_are_secrets_of_their_own() -> None:
    lines = [f"{number}{'MIIEvQIBADANBgkqhkiG9w0BAQEFAASC' * 2}"[:64] for number in range(3)]
    pem = "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----", ""])
    remember(json.dumps({"type": "service_account", "client_email": "a@b.c", "private_key": pem}), "auth.key")
    remember("?sv=2024-08-04&sp=rl&sig=Zm9vYmFyc2lnbmF0dXJl%3D", "auth.sas_token")
    said = without_secrets(f"{lines[1]} {pem!r} a@b.c service_account https://x/y?sig=Zm9vYmFyc2lnbmF0dXJl%3D&x=1")
    assert_holds_none(said, *lines, "Zm9vYmFyc2lnbmF0dXJl")
    assert "a@b.c service_account https://x/y?sig=[secret auth.sas_token]&x=1" in said


def test_short_words_and_other_texts_stay_as_they_are() -> None:
    remember("x" * (SHORTEST - 1), "auth.x")
    remember("", "auth.x")
    remember(None, "auth.x")
    text = "xxxxx and s3://acme-billing/2025-03/ and wJalr and /UtnFEMI"
    assert without_secrets(text) == text


def test_a_thousand_tokens_that_have_ended_cost_nothing() -> None:
    """A process that serves for months gets one an hour; the last ones are known."""
    for number in range(1000):
        remember(f"ya29.{number:05d}-{'t' * 40}", "access token", passing=True)
    assert "ya29.00000" in without_secrets(f"ya29.00000-{'t' * 40}")
    assert without_secrets(f"ya29.00999-{'t' * 40}") == "[secret access token]"
    assert without_secrets(SECRET) == "[secret auth.secret_access_key]"
    start = time.perf_counter()
    for _ in range(100):
        without_secrets("2025-03/expenses.csv: 1,234,567 bytes" * 5)
    assert time.perf_counter() - start < 1


# --- what is logged ----------------------------------------------------------------------------------

LOGGED: dict[str, Callable[[logging.Logger], object]] = {
    "in the text": lambda logger: logger.info(f"Authorization: {SECRET}"),
    "in an argument": lambda logger: logger.info("headers %s", {"x-amz-security-token": SECRET}),
    "over two arguments": lambda logger: logger.info("%s%s", SECRET[:9], SECRET[9:]),
    "with arguments that do not fit": lambda logger: logger.info("%d %d", SECRET),
    "in bytes": lambda logger: logger.info("body %r", SECRET.encode()),
}


@pytest.mark.parametrize("log", LOGGED.values(), ids=LOGGED)
@pytest.mark.parametrize("name", ["focus_pipeline.x", "botocore.x", "urllib3.x", "azure.x", None])
def test_whatever_logger_writes_a_secret_it_is_not_written(
    log: Callable[[logging.Logger], object], name: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    log(logging.getLogger(name))
    assert "[secret auth.secret_access_key]" in caplog.text
    assert_holds_none(caplog.text, SECRET)


def test_an_error_that_is_logged_is_written_without_the_secret(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise_with_a_chain()
    except RuntimeError:
        logging.getLogger("botocore.x").warning("refreshing failed", exc_info=True)
    assert "raise_with_a_chain" in caplog.text, "where it happened is still told"
    assert "Invalid header value" in caplog.text
    assert_holds_none(caplog.text, SECRET)


def test_whole_answers_are_not_logged_for_they_hold_secrets_that_nobody_knows_yet(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("botocore.parsers").debug("Response body:\n%r", b"<SecretAccessKey>new</SecretAccessKey>")
    assert caplog.text == ""


# --- what is raised ----------------------------------------------------------------------------------


def raise_with_a_chain() -> None:
    try:
        try:
            raise ValueError(f"Invalid header value {SECRET.encode()!r}")
        except ValueError as error:
            raise OSError("An HTTP client raised an unhandled exception") from error
    except OSError:
        raise RuntimeError("could not be read") from None


def test_an_error_whose_causes_hold_no_secret_is_the_same_error() -> None:
    error = OSError("there is no such file")
    assert harmless(error) is error
    with pytest.raises(OSError, match="no such file") as raised, errors_without_secrets():
        raise error
    assert raised.value is error


def test_an_error_whose_causes_hold_a_secret_is_replaced_by_one_that_holds_none() -> None:
    """Also where the cause is suppressed: debuggers and reporters of errors look there."""
    with pytest.raises(SecretWithheld) as raised, errors_without_secrets():
        raise_with_a_chain()
    said = everything_said(raised.value)
    assert "RuntimeError: could not be read, caused by" in said
    assert "OSError: An HTTP client raised" in said
    assert_holds_none(said, SECRET)


def test_a_group_of_errors_is_looked_through() -> None:
    with pytest.raises(SecretWithheld) as raised, errors_without_secrets():
        raise ExceptionGroup("two", [ValueError("good"), ValueError(SECRET)])
    assert_holds_none(everything_said(raised.value), SECRET)


def test_chains_that_lead_round_in_circles_end() -> None:
    one, other = ValueError(SECRET), ValueError("other")
    one.__context__, other.__context__ = other, one
    assert isinstance(harmless(one), SecretWithheld)


def refuse(kind: type[StoreError]) -> None:
    try:
        raise_with_a_chain()
    except RuntimeError:
        raise kind(f"refused with {SECRET}") from None


@pytest.mark.parametrize(("kind", "retried"), [(AccessDenied, False), (StoreError, True)])
def test_a_step_fails_with_a_sentence_and_nothing_beside_it(kind: type[StoreError], retried: bool) -> None:
    with pytest.raises(dg.Failure) as raised, named_failures("acme", "2025-03"):
        refuse(kind)
    assert raised.value.description == "acme 2025-03: refused with [secret auth.secret_access_key]"
    assert raised.value.allow_retries is retried
    assert (raised.value.__cause__, raised.value.__context__) == (None, None)
    assert_holds_none(everything_said(raised.value), SECRET)


def test_an_error_that_nobody_expected_ends_a_step_without_the_secret() -> None:
    with pytest.raises(SecretWithheld) as raised, named_failures("acme", "2025-03"):
        raise_with_a_chain()
    assert_holds_none(everything_said(raised.value), SECRET)


def test_a_command_ends_without_the_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("focus_pipeline.cli.connections.load_connections", raise_with_a_chain)
    result = CliRunner().invoke(main, ["check"])
    assert isinstance(result.exception, SecretWithheld)
    assert_holds_none(result.output + everything_said(result.exception), SECRET)


# --- who is remembered -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("auth", "given"),
    [
        (S3Auth, {"access_key_id": "AKIA-of-a-test", "secret_access_key": "secret-of-a-test-1"}),
        (S3Auth, {"role_arn": "arn:aws:iam::1:role/x", "external_id": "external-of-a-test"}),
        (AzureAuth, {"account_key": "c2VjcmV0LW9mLWEtdGVzdA=="}),
        (AzureAuth, {"tenant_id": "t", "client_id": "c", "client_secret": "client-secret-of-a-test"}),
    ],
)
def test_the_secrets_of_every_auth_are_known_and_nothing_else_of_it(auth: type, given: dict[str, str]) -> None:
    auth(**given)
    for name, value in given.items():
        known = without_secrets(value) == f"[secret auth.{name}]"
        assert known is not auth.model_fields[name].repr


def test_what_an_auth_takes_from_the_environment_is_known_by_the_name_of_its_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from focus_pipeline.connections.auth import resolved

    monkeypatch.setenv("ACME_ROLE", "arn:aws:iam::123456789012:role/FromTheEnvironment")
    monkeypatch.setenv("ACME_PROFILE", "billing")
    written = S3Auth(role_arn="{{ env.ACME_ROLE }}", profile="{{ env.ACME_PROFILE }}")
    auth = resolved(written)
    assert auth.role_arn.endswith("FromTheEnvironment")
    assert without_secrets(f"the role {auth.role_arn}") == "the role [secret env.ACME_ROLE]"
    assert without_secrets("s3://acme-billing/") == "s3://acme-billing/", "a profile's name is a word like any other"


@pytest.mark.parametrize("character", ["\n", "\r\n", "\0", "\x1b", "\x7f", "\x85", "\u2028", "é"])
@pytest.mark.parametrize(
    ("auth", "attribute"),
    [
        (S3Auth, "session_token"),
        (S3Auth, "secret_access_key"),
        (AzureAuth, "sas_token"),
        (AzureAuth, "account_key"),
        (AzureAuth, "client_secret"),
    ],
)
def test_a_secret_that_cannot_be_sent_is_refused_by_its_name_and_not_shown(
    auth: type, attribute: str, character: str
) -> None:
    """A library would put it into a header, and the header into its error."""
    beside = {
        "session_token": {"access_key_id": "AKIAEXAMPLE", "secret_access_key": "unchecked"},
        "secret_access_key": {"access_key_id": "AKIAEXAMPLE"},
        "client_secret": {"tenant_id": "t", "client_id": "c"},
    }
    with pytest.raises(ValueError, match=attribute) as refused:
        auth(**{attribute: f"half-of-it{character}other-half", **beside.get(attribute, {})})
    said = everything_said(refused.value)
    assert "copy it anew" in said
    # The traceback shows the line of this test.
    assert "half" not in said.replace("half-of-it{character}other-half", "")


def test_yaml_with_a_secret_that_cannot_be_sent_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ACME_SAS", "sv=2024&sig=canary-first\ncanary-other")
    yaml = "name: acme\nurl: az://exports/\nauth: {account_name: acme, sas_token: '{{ env.ACME_SAS }}'}\n"
    with pytest.raises(Exception, match="sas_token") as refused:
        MonthFolders.resolve_from_yaml(yaml)
    said = everything_said(refused.value)
    assert "it holds a line break or another control character; copy it anew" in said
    assert "canary-first" not in said
    assert "canary-other" not in said


def test_a_process_that_only_reads_the_environment_filters_too() -> None:
    """The default chain: no auth is given, and the library finds the token by itself."""
    script = (
        "import logging, os; logging.basicConfig(level=10)\n"
        "from focus_pipeline.connections.store_urls import open_store\n"
        "open_store('s3://acme-billing/', None, 'http://127.0.0.1:9')\n"
        "logging.getLogger('urllib3').debug('header %s', os.environ['AWS_SESSION_TOKEN'])"
    )
    environment = {
        "PYTHONPATH": ":".join(sys.path),
        "AWS_ACCESS_KEY_ID": "AKIAOFTHECHAIN",
        "AWS_SECRET_ACCESS_KEY": "secret-of-the-chain",
        "AWS_SESSION_TOKEN": "token-of-the-chain",
    }
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert "header [secret env.AWS_SESSION_TOKEN]" in run.stderr
    assert_holds_none(run.stderr + run.stdout, *list(environment.values())[1:])
