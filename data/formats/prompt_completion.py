"""prompt and completion, each a text or a list of messages, and an optional system prompt.

    {"prompt": "The capital of Peru is", "completion": " Lima."}

"response" is read as another name for "completion".
"""

from __future__ import annotations

from data.conversation import Conversation, single_turn
from data.rows import Row, RowProblem, optional_text, text_of
from data.turns import conversation_of

EXAMPLE = {"prompt": "The capital of Peru is", "completion": " Lima."}


def matches(row: Row) -> bool:
    """Has a prompt and either name of the completion."""
    return "prompt" in row and ("completion" in row or "response" in row)


def convert(row: Row, line: int) -> Conversation:
    """prompt -> user, completion -> assistant; lists of messages are put one behind the other."""
    answer = "completion" if "completion" in row else "response"
    system = optional_text(row, "system")
    prompt, completion = row.get("prompt"), row.get(answer)
    if isinstance(prompt, list) and isinstance(completion, list):
        return conversation_of([*prompt, *completion], "prompt", line, system)
    if isinstance(prompt, list) or isinstance(completion, list):
        raise RowProblem(f"'prompt' and '{answer}' are not both text or both lists of messages")
    return single_turn(text_of(row, "prompt"), text_of(row, answer), line, system)
