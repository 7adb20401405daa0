"""Loss and perplexity of held-out rows: how surprised the model is by the expected answers; nothing is generated.

The loss is the mean cross-entropy per trained token, in nats; the perplexity is e to its power. Both count every token
once, so long answers weigh more. Variants are comparable where they share a tokenizer. Where the model's figure for one
row is no number there is none for all: leaving that row out would flatter a broken model.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.evaluation.metrics import MeanOfRows, Need, Reply, Values
from engine.evaluation.statistics import weighted_mean_interval

if TYPE_CHECKING:
    from engine.recipe_sections import EvaluationSection

MOST_NATS = 700.0
"""Beyond this e to the power leaves what a float holds."""


class Loss(MeanOfRows):
    """Nats per token; the value of a row is its own mean."""

    NAME = "loss"
    TITLE = "loss"
    HIGHER_IS_BETTER: bool | None = False
    SHARE = False
    NEEDS: frozenset[Need] = frozenset({"loss"})

    def rows(self, replies: Sequence[Reply], settings: EvaluationSection) -> list[float | None]:  # noqa: ARG002
        """The mean of each row; None where no token of it is trained, or the model's figure is no number."""
        return [
            reply.loss if reply.num_loss_tokens and reply.loss is not None and math.isfinite(reply.loss) else None
            for reply in replies
        ]

    def whole(self, replies: Sequence[Reply], values: Values, settings: EvaluationSection) -> float | None:  # noqa: ARG002
        """The mean over all tokens."""
        if _is_broken(replies):
            return None
        known = _weighted(replies, values)
        num_tokens = sum(weight for _, weight in known)
        return math.fsum(value * weight for value, weight in known) / num_tokens if num_tokens else None

    def interval(
        self,
        replies: Sequence[Reply],
        values: Values,
        settings: EvaluationSection,  # noqa: ARG002 - the protocol's
    ) -> tuple[float, float] | None:
        """That of a mean of rows of unequal weight; no loss is below 0, and so no perplexity below 1."""
        known = _weighted(replies, values)
        if len(known) < 2 or _is_broken(replies):
            return None
        low, high = weighted_mean_interval(known)
        return max(low, 0.0), high


class Perplexity(Loss):
    """e to the power of the loss; the value of a row is that of its own loss."""

    NAME = "perplexity"
    TITLE = "perplexity"

    def rows(self, replies: Sequence[Reply], settings: EvaluationSection) -> list[float | None]:
        """Of each row's mean."""
        return [None if value is None else _exp(value) for value in super().rows(replies, settings)]

    def whole(self, replies: Sequence[Reply], values: Values, settings: EvaluationSection) -> float | None:  # noqa: ARG002
        """Of the mean over all tokens, which is not the mean over rows."""
        loss = super().whole(replies, super().rows(replies, settings), settings)
        return None if loss is None else _exp(loss)

    def interval(
        self,
        replies: Sequence[Reply],
        values: Values,  # noqa: ARG002 - the protocol's
        settings: EvaluationSection,
    ) -> tuple[float, float] | None:
        """That of the loss, as perplexities."""
        interval = super().interval(replies, super().rows(replies, settings), settings)
        return None if interval is None else (_exp(interval[0]), _exp(interval[1]))


def _weighted(replies: Sequence[Reply], values: Values) -> list[tuple[float, int]]:
    """(value, tokens) of the rows that have one."""
    return [
        (value, reply.num_loss_tokens or 0)
        for reply, value in zip(replies, values, strict=True)
        if value is not None and reply.num_loss_tokens
    ]


def _is_broken(replies: Sequence[Reply]) -> bool:
    return any(reply.loss is not None and not math.isfinite(reply.loss) for reply in replies)


def _exp(nats: float) -> float:
    return math.exp(min(nats, MOST_NATS))


METRICS = (Loss(), Perplexity())
