"""prompt and completion, each a text or a list of messages, and an optional system prompt.

    {"prompt": "The capital of Peru is", "completion": " Lima."}

Read as the same two: prompt and response, input and output (without an instruction), inputs and targets (FLAN,
Aya), user and assistant. A `label` of false marks a completion that is not wanted (KTO): such a row is rejected.
"""

from __future__ import annotations

from typing import Any

from data.conversation import Conversation, Example
from data.rows import Row, RowProblem
from data.understanding.pairs import SYSTEM, converted_pair, pair_in, row_of_pair, system_of
from data.understanding.turns import conversation_of, turns_in, writable

EXAMPLE = {"prompt": "The capital of Peru is", "completion": " Lima."}
DEPTH = 1
_PAIRS = (
    ("prompt", "completion"),
    ("prompt", "response"),
    ("input", "output"),
    ("inputs", "targets"),
    ("user", "assistant"),
)
COLUMNS = (*dict.fromkeys(name for pair in _PAIRS for name in pair), "label", *SYSTEM)


def matches(row: Row) -> bool:
    """Has two columns that go together; beside an instruction, input and output are Alpaca's."""
    pair = pair_in(row, _PAIRS)
    return pair is not None and not (pair[0] == "input" and "instruction" in row)


def convert(row: Row, line: int) -> Conversation:
    """prompt -> user, completion -> assistant; lists of messages are put one behind the other."""
    if row.get("label") is False:
        raise RowProblem("'label' is false: the completion is marked as unwanted")
    asked, answered = pair_in(row, _PAIRS) or _PAIRS[0]
    prompt, completion = turns_in(row.get(asked)), turns_in(row.get(answered))
    if prompt is not None and completion is not None:
        return conversation_of([*prompt, *completion], asked, line, system_of(row))
    if isinstance(row.get(asked), list) or isinstance(row.get(answered), list):
        raise RowProblem(f"'{asked}' and '{answered}' are not both text or both lists of messages")
    return converted_pair(row, line, _PAIRS)


def row_of(example: Example) -> dict[str, Any]:
    """Two texts for one turn; for more of them, lists of messages, the last answer being the completion."""
    conversation = writable(example, "prompt_completion")
    *before, last = conversation.messages
    spoken = [message for message in before if message.role != "system"]
    if len(spoken) == 1 and (turns_in(spoken[0].content) is None or turns_in(last.content) is None):
        return row_of_pair(conversation, _PAIRS[0], "prompt_completion")
    return {"prompt": [message.to_json() for message in before], "completion": [last.to_json()]}
