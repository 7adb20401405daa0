"""Characters that nobody sees: zero-width spaces, byte order marks inside a text, bidirectional overrides, tags.

Joiners (U+200C, U+200D) and direction marks (U+200E, U+200F) are left alone: emoji and several scripts need them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from data.findings import Level
from data.looking import Setup, Text, TextLooking

TITLE = "Invisible characters"
LEVEL: Level = "warning"
MEANS = "They split words into odd tokens, and can hide or turn round text that a reader checks."
IS_DROPPABLE = True
EXAMPLE = ({"prompt": "Say hello.", "completion": "hel\u200blo \u202eolleh"},)

_KINDS = {
    "zero-width space": "\u200b",
    "word joiner": "\u2060",
    "byte order mark": "\ufeff",
    "soft hyphen": "\u00ad",
    "bidirectional control": "\u202a-\u202e\u2066-\u2069",
    "tag": "\U000e0000-\U000e007f",
}
_ANY = re.compile(f"[{''.join(_KINDS.values())}]")
_EACH = {kind: re.compile(f"[{characters}]") for kind, characters in _KINDS.items()}
# The flags of England, Scotland and Wales are an emoji and tags.
_FLAG = re.compile("\U0001f3f4[\U000e0020-\U000e007e]+\U000e007f")
# The kinds of one character; the others are told by their UTF-8.
_SIGNS = ("\u200b", "\u2060", "\ufeff", "\u00ad")
_DIRECTIONS = re.compile(b"\xe2\x80[\xaa-\xae]|\xe2\x81[\xa6-\xa9]")
_TAG = b"\xf3\xa0"


def start(_: Setup) -> TextLooking:
    """The check, ready for the first rows."""
    return TextLooking(_is_suspect, _kinds, in_ascii=False)


def mends(_: Collection[str]) -> bool:
    """Whether `repaired` helps against these kinds."""
    return True


def repaired(text: str) -> str:
    """The text without them, flags kept."""
    return "".join(
        part if _FLAG.fullmatch(part) else _ANY.sub("", part) for part in re.split(f"({_FLAG.pattern})", text)
    )


def _is_suspect(text: Text) -> bool:
    encoded = text.encoded
    return (
        text.holds_any(_SIGNS)
        or (b"\xe2" in encoded and _DIRECTIONS.search(encoded) is not None)
        or (b"\xf3" in encoded and _TAG in encoded)
    )


def _kinds(text: str) -> Iterator[str]:
    rest = _FLAG.sub("", text)
    return (kind for kind, pattern in _EACH.items() if pattern.search(rest))
