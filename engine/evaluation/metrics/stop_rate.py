"""Stop rate: how many answers the model ended by itself, instead of being cut at `evaluation.max_new_tokens`.

A tuned model that never stops was trained without its end token, or on cut rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.evaluation.metrics import MeanOfRows, Need, Reply

if TYPE_CHECKING:
    from engine.recipe_sections import EvaluationSection


class StopRate(MeanOfRows):
    """1 or 0 for each row."""

    NAME = "stop_rate"
    TITLE = "ended by itself"
    NEEDS: frozenset[Need] = frozenset({"whole_answer", "ended"})

    def rows(self, replies: Sequence[Reply], settings: EvaluationSection) -> list[float | None]:  # noqa: ARG002
        """1 where it ended; None where nobody knows."""
        return [None if reply.ended is None else float(reply.ended) for reply in replies]


METRICS = (StopRate(),)
