"""Words -> one line that a shell takes apart into the same words, and that holds nothing a terminal would obey."""

from __future__ import annotations

import shlex
from collections.abc import Iterable


def shell_words(words: Iterable[str]) -> str:
    """The words, quoted where they must be; control characters and the like as $'…' of bash, zsh and ksh."""
    return " ".join(shlex.quote(word) if word.isprintable() else _escaped(word) for word in words)


def _escaped(word: str) -> str:
    letters = (
        f"\\{one}" if one in "\\'" else one if one.isprintable() else "\\n" if one == "\n" else _octal(one)
        for one in word
    )
    return f"$'{''.join(letters)}'"


def _octal(letter: str) -> str:
    """Byte by byte, so that it means the same in every locale, and a byte that is no UTF-8 is kept."""
    return "".join(f"\\{byte:03o}" for byte in letter.encode("utf-8", "surrogateescape"))
