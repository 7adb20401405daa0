"""UTF-8 that was read as Windows-1252 or Latin-1 once, so that é stands as Ã© and ’ as â€™."""

from __future__ import annotations

import re
from collections.abc import Collection

from data.findings import Level
from data.looking import Setup, Text, TextLooking

TITLE = "Letters garbled by a wrong encoding (Ã© for é)"
LEVEL: Level = "warning"
MEANS = "The model learns to write them."
IS_DROPPABLE = True
EXAMPLE = ({"prompt": "Where shall we meet?", "completion": "In the cafÃ© â€“ at five."},)

_MENDABLE = "can be mended"

# The 27 characters that Windows-1252 has where Latin-1 has C1 controls.
_CP1252 = "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_LATER = f"[\x80-\xbf{_CP1252}]"
# What UTF-8's first bytes and as many later ones as they ask for look like, where nobody would write that.
_SIGNS = re.compile(f"Ã[\x80-\x9f¡-ª¬-º¼-¿{_CP1252}]|Â[\x80-\xbf]|â€{_LATER}|[ÐÑ]{_LATER}[ÐÑ]{_LATER}|ðŸ{_LATER}{{2}}")
_TO_BYTES = {ord(character): character.encode("cp1252").decode("latin-1") for character in _CP1252}
# Single characters, of which all signs hold one: a search for one is many times as fast as for two.
_LEADS = ("Ã", "Â", "€", "Ð", "Ñ", "Ÿ")


def start(_: Setup) -> TextLooking:
    """The check, ready for the first rows."""
    return TextLooking(_is_suspect, _kinds, in_ascii=False)


def mends(kinds: Collection[str]) -> bool:
    """Whether `repaired` helps against these kinds."""
    return _MENDABLE in kinds


def repaired(text: str) -> str:
    """The text as it was before, where every letter of it can be brought back; otherwise unchanged."""
    if text.isascii() or _SIGNS.search(text) is None:
        return text
    try:
        before = text.translate(_TO_BYTES).encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text
    return before if all(c.isprintable() or c in "\n\t\r\xa0\ufeff\xad\u200d" for c in before) else text


def _is_suspect(text: Text) -> bool:
    return text.holds_any(_LEADS)


def _kinds(text: str) -> list[str]:
    if _SIGNS.search(text) is None:
        return []
    return [_MENDABLE if repaired(text) != text else "cannot be mended letter by letter"]
