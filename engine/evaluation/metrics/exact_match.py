"""Exact match: the part compared is that of the expected answer, after `evaluation.normalization`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.evaluation.metrics import MeanOfRows, Need, Reply
from engine.evaluation.scoring import Scorer

if TYPE_CHECKING:
    from engine.recipe_sections import EvaluationSection


class ExactMatch(MeanOfRows):
    """1 or 0 for each row."""

    NAME = "exact_match"
    TITLE = "exact match"
    NEEDS: frozenset[Need] = frozenset({"answer"})

    def rows(self, replies: Sequence[Reply], settings: EvaluationSection) -> list[float | None]:
        """1 where the parts compared are equal."""
        scorer = Scorer.of(settings)
        return [float(scorer.judge(reply.expected, reply.answer).correct) for reply in replies]


METRICS = (ExactMatch(),)
