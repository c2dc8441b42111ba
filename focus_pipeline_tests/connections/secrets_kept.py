"""What a person or a log can see of an error, and that it holds no secret."""

import base64
import json
import traceback
from urllib.parse import quote, quote_plus


def said(error: BaseException) -> str:
    """All texts of an error that reach people: message, representation, and traceback with its causes."""
    return "\n".join([str(error), repr(error), *traceback.format_exception(error)])


def everything_said(error: BaseException) -> str:
    """The same of the error and of everything that it was made from or raised beside, suppressed or not."""
    texts, waiting, seen = [], [error], set()
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            texts += [said(one), str(getattr(one, "__notes__", ""))]
            waiting += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
    return "\n".join(texts)


def spellings(secret: str) -> list[str]:
    """A secret in plain, URL-encoded and in base64."""
    encoded = [quote(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]]
    content = secret.encode()
    return list(
        dict.fromkeys([secret, *encoded, *(a(content).decode() for a in (base64.b64encode, base64.urlsafe_b64encode))])
    )


def assert_holds_none(text: str, *secrets: str) -> None:
    """No secret is in the text: as it is, whole or the first half of it; URL-encoded; in base64, at any offset."""
    for secret in secrets:
        assert secret[: max(6, len(secret) // 2)] not in text
        for spelling in spellings(secret):
            assert spelling not in text
        for before in range(3):
            middle = base64.b64encode(b"\0" * before + secret.encode()).decode()[4:-4]
            assert len(middle) < 7 or middle not in text
