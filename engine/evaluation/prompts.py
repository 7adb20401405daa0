"""What is asked: which test rows can be scored, and the turns put before a model for each of them.

Not here: turning turns into tokens (`engine.training.rendering`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeGuard

from data.conversation import Conversation, Example, Message
from engine.evaluation.scoring import Scorer

MAX_EXAMPLES = 16
"""Examples in a prompt, however many groups there are: more would outgrow the context of small models."""


def is_scorable(example: Example) -> TypeGuard[Conversation]:
    """Whether a row asks something. Plain text has no request, so there is nothing to answer."""
    return isinstance(example, Conversation) and bool(example.request.strip())


def question(row: Conversation, shots: Sequence[Conversation] = ()) -> tuple[Message, ...]:
    """Everything before the last answer; `shots` stand as earlier turns, behind the system message."""
    turns = row.messages[:-1]
    start = 1 if turns[0].role == "system" else 0
    earlier = [message for shot in shots for message in shot.messages if message.role != "system"]
    return (*turns[:start], *earlier, *turns[start:])


def one_per_group(train: Iterable[Example], scorer: Scorer) -> list[Conversation]:
    """The training row with the shortest request of each group, by the group's name.

    Of equal lengths the one earlier in its file. Of more than `MAX_EXAMPLES` groups the largest take part.
    """
    sizes: Counter[str] = Counter()
    shortest: dict[str, Conversation] = {}
    for row in train:
        if not is_scorable(row):
            continue
        group = scorer.group_of(row.answer)
        sizes[group] += 1
        held = shortest.get(group)
        if held is None or (len(row.request), row.line) < (len(held.request), held.line):
            shortest[group] = row
    chosen = sorted(shortest, key=lambda group: (-sizes[group], group))[:MAX_EXAMPLES]
    return [shortest[group] for group in sorted(chosen)]
