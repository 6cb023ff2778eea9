"""Text from files and users, made fit for a terminal."""

from __future__ import annotations

import unicodedata

# Unicode categories of characters that act on a terminal instead of being shown: controls (C0, DEL, C1), formats (bidi
# overrides, zero widths), lone surrogates, and separators of lines and paragraphs.
UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def printable(text: str, *, newlines: bool = False) -> str:
    r"""Write control characters as escapes, so that text from a file cannot command the terminal.

    Args:
        text: any text, from a file or from the user.
        newlines: whether line breaks stay as they are.

    Returns:
        The text with each such character as an escape of Python: ``\x1b``, ``\n``, ``\u202e``.
    """
    if text.isprintable():
        return text
    return "".join(
        one.encode("unicode_escape").decode()
        if unicodedata.category(one) in UNPRINTABLE and not (newlines and one == "\n")
        else one
        for one in text
    )
