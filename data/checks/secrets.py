"""Keys and tokens that open something. They are counted by kind and placed; none is ever shown.

Not here: what they look like (`data/secret_forms`).
"""

from __future__ import annotations

from data.findings import Level
from data.looking import Setup, Text, TextLooking
from data.secret_forms import SIGNS, secret_kinds

TITLE = "Keys and tokens"
LEVEL: Level = "warning"
MEANS = "A model can give them away word for word; whoever owns them should withdraw them, too."
IS_DROPPABLE = True
EXAMPLE = ({"prompt": "How do I log in?", "completion": f"With hf_{'a' * 34}, or ghp_{'a' * 36}."},)

# Every key is at least so long but for Slack's, some private keys' first line, and passwords.
_LONG_RUN = b"x" * 14


def start(_: Setup) -> TextLooking:
    """The check, ready for the first rows."""
    return TextLooking(_is_suspect, secret_kinds)


def _is_suspect(text: Text) -> bool:
    runs = text.runs
    return (
        (_LONG_RUN in runs and text.holds_any(SIGNS))
        or ("@" in text.text and "://" in text.text)
        or "PRIVATE KEY" in text.text
    )
