"""What a person or a log can see of an error, and that it holds no secret."""

import traceback


def said(error: BaseException) -> str:
    """All texts of an error that reach people: message, representation, and traceback with its causes."""
    return "\n".join([str(error), repr(error), *traceback.format_exception(error)])


def assert_holds_none(text: str, *secrets: str) -> None:
    """No secret is in the text, whole or the first half of it."""
    for secret in secrets:
        assert secret not in text
        assert secret[: max(6, len(secret) // 2)] not in text
