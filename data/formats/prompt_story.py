"""prompt and story, an optional system prompt, for creative writing.

{"prompt": "A lighthouse keeper finds a letter.", "story": "It came with the storm, folded small."}
"""

from __future__ import annotations

from typing import Any

from data.conversation import Conversation, Example
from data.rows import Row
from data.understanding.pairs import SYSTEM, converted_pair, pair_in, row_of_pair

EXAMPLE = {"prompt": "A lighthouse keeper finds a letter.", "story": "It came with the storm, folded small."}
DEPTH = 1
_PAIRS = (("prompt", "story"),)
COLUMNS = ("prompt", "story", *SYSTEM)


def matches(row: Row) -> bool:
    """Has both columns."""
    return pair_in(row, _PAIRS) is not None


def convert(row: Row, line: int) -> Conversation:
    """prompt -> user, story -> assistant."""
    return converted_pair(row, line, _PAIRS)


def row_of(example: Example) -> dict[str, Any]:
    """The whole request is the prompt."""
    return row_of_pair(example, _PAIRS[0], "prompt_story")
