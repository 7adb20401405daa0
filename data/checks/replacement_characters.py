"""U+FFFD, what a decoder writes for bytes that it could not read."""

from __future__ import annotations

from data.findings import Level
from data.looking import Setup, TextLooking

TITLE = "Lost characters (U+FFFD)"
LEVEL: Level = "warning"
MEANS = "An earlier step read the text in the wrong encoding; what stood there is gone, and the gap is learned."
IS_DROPPABLE = True
EXAMPLE = ({"prompt": "Where shall we meet?", "completion": "In the caf\ufffd."},)

_LOST = "\ufffd"


def start(_: Setup) -> TextLooking:
    """The check, ready for the first rows."""
    return TextLooking(
        lambda text: _LOST in text.text, lambda text: ["U+FFFD"] if _LOST in text else [], in_ascii=False
    )
