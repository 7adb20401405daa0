"""Length of the answers, in tokens of the model's own tokenizer without the stop token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.evaluation.metrics import MeanOfRows, Need, Reply

if TYPE_CHECKING:
    from engine.recipe_sections import EvaluationSection


class AnswerLength(MeanOfRows):
    """Tokens of each row; neither more nor fewer is better."""

    NAME = "answer_length"
    TITLE = "tokens per answer"
    HIGHER_IS_BETTER: bool | None = None
    SHARE = False
    NEEDS: frozenset[Need] = frozenset({"whole_answer", "num_tokens"})

    def rows(self, replies: Sequence[Reply], settings: EvaluationSection) -> list[float | None]:  # noqa: ARG002
        """Its tokens; None where nobody counted."""
        return [None if reply.num_tokens is None else float(reply.num_tokens) for reply in replies]


METRICS = (AnswerLength(),)
