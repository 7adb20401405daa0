"""ROUGE-1, ROUGE-2 and ROUGE-L: words, pairs of words and longest common subsequence, by the library rouge-score.

C.-Y. Lin, "ROUGE: A Package for Automatic Evaluation of Summaries" (2004). The F-measure of whole answers, without
stemming; for all rows their mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.evaluation.metrics import MeanOfRows, Reply
from engine.evaluation.text_overlap import rouge_f_measures

if TYPE_CHECKING:
    from engine.recipe_sections import EvaluationSection


class Rouge(MeanOfRows):
    """One of the three."""

    def __init__(self, name: str, title: str) -> None:
        self.NAME, self.TITLE = name, title

    def rows(self, replies: Sequence[Reply], settings: EvaluationSection) -> list[float | None]:  # noqa: ARG002
        """The F-measure of each answer."""
        return [*rouge_f_measures(self.NAME, [(reply.expected, reply.answer) for reply in replies])]


METRICS = (Rouge("rouge1", "ROUGE-1"), Rouge("rouge2", "ROUGE-2"), Rouge("rougeL", "ROUGE-L"))
