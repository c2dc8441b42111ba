"""Text that others wrote, as a terminal, a log or a page can show it."""


def visible(text: str) -> str:
    r"""The text with everything that is not to be seen written out: control characters, line breaks, marks that change
    the direction of writing, halves of characters. A terminal shows it, and obeys none of it.

    >>> visible("a\x1b[31mb\n")
    'a\\x1b[31mb\\n'
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
