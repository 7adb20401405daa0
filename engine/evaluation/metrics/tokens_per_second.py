"""Tokens per second: answer tokens of all rows by the computing time of the variant, reading the prompts included.

It depends on the machine, its load and how many rows are answered at once: compare within one evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.evaluation.metrics import MeanOfRows, Need, Reply, Values

if TYPE_CHECKING:
    from engine.recipe_sections import EvaluationSection

CLOCK_SECONDS = 1e-9
"""What a clock tells apart; less is no time that was taken."""


class TokensPerSecond(MeanOfRows):
    """Only for all rows together: those of a batch share their time, so a row has none of its own."""

    NAME = "tokens_per_second"
    TITLE = "tokens/s"
    SHARE = False
    NEEDS: frozenset[Need] = frozenset({"num_tokens", "seconds"})

    def rows(self, replies: Sequence[Reply], settings: EvaluationSection) -> list[float | None]:  # noqa: ARG002
        """Never one."""
        return [None] * len(replies)

    def whole(self, replies: Sequence[Reply], values: Values, settings: EvaluationSection) -> float | None:  # noqa: ARG002
        """All tokens by all seconds; None where no time was taken."""
        timed = [
            (reply.num_tokens, reply.seconds)
            for reply in replies
            if reply.num_tokens is not None and reply.seconds is not None
        ]
        seconds = sum(each for _, each in timed)
        return sum(tokens for tokens, _ in timed) / seconds if seconds > CLOCK_SECONDS else None


METRICS = (TokensPerSecond(),)
