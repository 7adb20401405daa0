"""What web pages leave behind: entities, layout tags, cookie notices. Those inside code fences are meant."""

from __future__ import annotations

import re
from collections.abc import Iterator

from data.findings import Level
from data.looking import Setup, Text, TextLooking

TITLE = "Leftovers of web pages"
LEVEL: Level = "warning"
MEANS = "The model learns to write markup and notices that nobody asked for."
IS_DROPPABLE = True
EXAMPLE = ({"prompt": "What is on the page?", "completion": "Tom &amp; Jerry<br>All rights reserved."},)

_KINDS = {
    "entities": re.compile(r"&(?:nbsp|amp|quot|lt|gt|#\d{1,5}|#x[0-9a-fA-F]{1,4});"),
    "layout tags": re.compile(r"<br ?/?>|</(?:p|div|span|font|center)>"),
    "scripts and styles": re.compile(r"</(?:script|style|noscript)>"),
    "notices": re.compile(
        r"[Cc]lick here to |[Aa]ll rights reserved|[Tt]his (?:site|website) uses cookies|[Aa]ccept (?:all )?cookies|"
        r"[Ll]orem ipsum|[Ss]ubscribe to our newsletter"
    ),
}
_ENTITIES = ("&nbsp;", "&amp;", "&quot;", "&lt;", "&gt;", "&#")
_TAGS = ("<br", "</p>", "</div>", "</span>", "</font>", "</center>", "script>", "</style>")
_NOTICES = ("lick here to ", "ll rights reserved", "cookies", "orem ipsum", "our newsletter")
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)


def start(_: Setup) -> TextLooking:
    """The check, ready for the first rows."""
    return TextLooking(_is_suspect, _kinds)


def _is_suspect(text: Text) -> bool:
    return (
        ("<" in text.text and text.holds_any(_TAGS))
        or ("&" in text.text and text.holds_any(_ENTITIES))
        or text.holds_any(_NOTICES)
    )


def _kinds(text: str) -> Iterator[str]:
    prose = _CODE.sub("", text)
    return (kind for kind, pattern in _KINDS.items() if pattern.search(prose))
