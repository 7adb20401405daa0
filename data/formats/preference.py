"""prompt, chosen and rejected (DPO), each a text or a list of messages; the chosen answer is trained.

    {"prompt": "Greet me.", "chosen": "Good morning!", "rejected": "What now?"}

The refused answer is kept and not trained on. The prompt may be called question, instruction or input, the answers
chosen_response and rejected_response. Without a prompt, both are lists of messages that differ in the last one
(UltraFeedback), or texts of "Human:" and "Assistant:" turns (Anthropic's hh-rlhf).
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from data.conversation import Conversation, Example, Message, Role
from data.rows import Row, RowProblem, checked_text, kind_of, text_of
from data.understanding.pairs import SYSTEM, pair_in, system_of
from data.understanding.turns import conversation_of, messages_of, turns_in, writable

EXAMPLE = {"prompt": "Greet me.", "chosen": "Good morning!", "rejected": "What now?"}
DEPTH = 3
NOTE = "the chosen answers are trained, the refused ones are kept and not trained on"
_PAIRS = (("chosen", "rejected"), ("chosen_response", "rejected_response"))
_PROMPTS = ("prompt", "question", "instruction", "input")
COLUMNS = (*_PROMPTS, *(name for pair in _PAIRS for name in pair), *SYSTEM)
_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant):")


def matches(row: Row) -> bool:
    """Has an answer that was chosen and one that was not."""
    return pair_in(row, _PAIRS) is not None


def convert(row: Row, line: int) -> Conversation:
    """prompt -> user, chosen -> assistant; rejected -> refused."""
    pair = pair_in(row, _PAIRS) or _PAIRS[0]
    chosen, refused = (_conversation(row, column, line) for column in pair)
    if chosen.messages[:-1] != refused.messages[:-1]:
        raise RowProblem(f"'{pair[0]}' and '{pair[1]}' differ before their last message")
    return replace(chosen, refused=refused.answer)


def row_of(example: Example) -> dict[str, Any]:
    """Three texts for one turn; for more of them, three lists of messages."""
    conversation = writable(example, "preference", keeps_refused=True)
    if conversation.refused is None:
        raise RowProblem("it holds no refused answer, and preference sets one against the answer")
    refused = checked_text(conversation.refused, "the refused answer")
    *before, last = conversation.messages
    answers_are_text = turns_in(last.content) is None and turns_in(refused) is None
    if len(before) == 1 and answers_are_text and _said(before[0].content, "prompt") is None:
        return {"prompt": before[0].content, "chosen": last.content, "rejected": refused}
    return {
        "prompt": [message.to_json() for message in before],
        "chosen": [last.to_json()],
        "rejected": [Message("assistant", refused).to_json()],
    }


def _conversation(row: Row, column: str, line: int) -> Conversation:
    """The prompt and the answer in `column`; messages there that someone else than the assistant begins hold both."""
    asked = next((name for name in _PROMPTS if row.get(name) is not None), None)
    if asked is None:
        together = _said(row.get(column), column)
        if together is None:
            raise RowProblem(f"there is no prompt, and '{column}' is {_kind(row, column)}")
    else:
        answer = () if turns_in(row.get(column)) is None else messages_of(row.get(column), column)
        request = _said(row[asked], asked) or (Message("user", checked_text(row[asked], f"'{asked}'")),)
        if not answer:
            together = (*request, Message("assistant", text_of(row, column)))
        else:
            together = answer if answer[0].role != "assistant" else (*request, *answer)
    return conversation_of([message.to_json() for message in together], column, line, system_of(row))


def _kind(row: Row, column: str) -> str:
    value = row.get(column)
    return "text without turns" if isinstance(value, str) else f"{kind_of(value)}, not a list of messages"


def _said(value: object, column: str) -> tuple[Message, ...] | None:
    """The messages in a list of turns, or in a text of Human: and Assistant: turns; None for anything else."""
    if turns_in(value) is not None:
        return messages_of(value, column)
    if not isinstance(value, str) or _TURN.match(value) is None:
        return None
    roles: dict[str, Role] = {"Human": "user", "Assistant": "assistant"}
    pieces = _TURN.split(value)[1:]
    turns = [(roles[name], text.strip()) for name, text in zip(pieces[::2], pieces[1::2], strict=True)]
    if len(turns) > 1 and not turns[-1][1] and column in _PROMPTS:
        turns.pop()  # "Assistant:" at the end of a prompt asks for the answer
    return tuple(Message(role, checked_text(text, f"a turn in '{column}'")) for role, text in turns)
