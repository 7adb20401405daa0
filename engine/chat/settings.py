"""How answers are chosen and how long they may be, and the turns that are put before a model within its context.

Pure. Not here: tokens and weights (`speakers`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from data.conversation import Message
from engine.errors import DataError, RecipeError

if TYPE_CHECKING:
    import numpy as np

MAX_NEW_TOKENS = 512


@dataclass(frozen=True, slots=True)
class Settings:
    """Temperature 0 is greedy: the likeliest token each time. `top_p` keeps the likeliest tokens with that share."""

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    max_new_tokens: int = MAX_NEW_TOKENS

    def __post_init__(self) -> None:
        """Raises RecipeError naming the option that cannot be."""
        faults = []
        if not (math.isfinite(self.temperature) and 0 <= self.temperature <= 10):
            faults.append("--temperature is from 0 (greedy) to 10")
        if not 0 < self.top_p <= 1:
            faults.append("--top-p is above 0 and at most 1")
        if self.max_new_tokens < 1:
            faults.append("--max-new-tokens is 1 or more")
        if self.seed < 0:
            faults.append("--seed is 0 or more")
        if self.temperature == 0 and self.top_p < 1:
            faults.append("--top-p has no effect without --temperature: at 0 the likeliest token is taken")
        if faults:
            raise RecipeError(
                "; ".join(faults) + ".", means="Nothing was asked.", remedy="For example: --temperature 0.7 --top-p 0.9"
            )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def chooser(self) -> Callable[[np.ndarray], int] | None:
        """Takes a token from the logits of the whole vocabulary; None is greedy. Starts from the seed each time."""
        if self.temperature == 0:
            return None
        import numpy as np

        random = np.random.default_rng(self.seed)

        def choose(logits: np.ndarray) -> int:
            scaled = logits.astype(np.float64) / self.temperature
            shares = np.exp(scaled - scaled.max())
            shares /= shares.sum()
            order = np.argsort(-shares, kind="stable")
            kept = order[: int(np.searchsorted(shares[order].cumsum(), self.top_p)) + 1]
            return int(random.choice(kept, p=shares[kept] / shares[kept].sum()))

        return choose


def fitting(
    messages: Sequence[Message],
    count: Callable[[tuple[Message, ...]], list[int]],
    context: int | None,
    max_new_tokens: int,
) -> tuple[list[int], int, int]:
    """(token ids of the prompt, dropped messages, room for new tokens) of a conversation that ends with a question.

    Where prompt and answer outgrow `context` tokens, the oldest questions go with their answers, never the system
    message; the last question may shorten its answer. Raises DataError when that question alone is too long.
    """
    start = 1 if messages and messages[0].role == "system" else 0
    kept, dropped = tuple(messages), 0
    while True:
        ids = count(kept)
        if context is None or len(ids) + max_new_tokens <= context:
            return ids, dropped, max_new_tokens
        following = next((i for i in range(start + 1, len(kept)) if kept[i].role == "user"), None)
        if following is None:
            break
        dropped += following - start
        kept = (*kept[:start], *kept[following:])
    room = context - len(ids)
    if room < 1:
        raise DataError(
            f"The message has {len(ids):,} tokens with its system prompt, and the model reads {context:,}.",
            means="It was not asked.",
            remedy="Shorten it.",
        )
    return ids, dropped, room
