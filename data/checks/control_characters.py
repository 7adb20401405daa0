"""Control characters other than tab and line breaks: NUL, escape sequences of terminals, C1 controls."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from data.findings import Level
from data.looking import Setup, Text, TextLooking

TITLE = "Control characters"
LEVEL: Level = "warning"
MEANS = "They are left over from terminals or broken exports, and are learned like any other text."
IS_DROPPABLE = True
EXAMPLE = ({"prompt": "What does ls say?", "completion": "\x1b[34mbin\x1b[0m and a NUL: \x00"},)

_ESCAPE_SEQUENCE = re.compile("\x1b(?:\\[[0-9;?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\))")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_C1 = re.compile(b"\xc2[\x80-\x9f]")


def start(_: Setup) -> TextLooking:
    """The check, ready for the first rows."""
    return TextLooking(_is_suspect, _kinds)


def mends(_: Collection[str]) -> bool:
    """Whether `repaired` helps against these kinds."""
    return True


def repaired(text: str) -> str:
    """The text without them; of an escape sequence of a terminal, nothing is left."""
    return _CONTROL.sub("", _ESCAPE_SEQUENCE.sub("", text))


def _is_suspect(text: Text) -> bool:
    return b"\x01" in text.shape or (not text.is_ascii and _C1.search(text.encoded) is not None)


def _kinds(text: str) -> Iterator[str]:
    if _ESCAPE_SEQUENCE.search(text):
        yield "escape sequences of a terminal"
    if "\x00" in text:
        yield "NUL"
    for match in _CONTROL.finditer(_ESCAPE_SEQUENCE.sub("", text)):
        if match[0] != "\x00":
            yield f"U+{ord(match[0]):04X}"
