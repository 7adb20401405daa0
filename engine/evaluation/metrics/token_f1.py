"""Token F1: words that the compared parts share, after SQuAD's normalization, by SQuAD 2.0's official evaluation.

P. Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text" (2016).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from engine.evaluation.metrics import MeanOfRows, Need, Reply
from engine.evaluation.normalization import SQUAD, normalised
from engine.evaluation.scoring import Scorer

if TYPE_CHECKING:
    from engine.recipe_sections import EvaluationSection


class TokenF1(MeanOfRows):
    """Harmonic mean of precision and recall of words, for each row."""

    NAME = "token_f1"
    TITLE = "token F1"
    NEEDS: frozenset[Need] = frozenset({"answer"})

    def rows(self, replies: Sequence[Reply], settings: EvaluationSection) -> list[float | None]:
        """F1 of the parts compared; 0 where the pattern finds none in the answer."""
        scorer = Scorer.of(settings)
        found = [(scorer.wanted(reply.expected), scorer.found(reply.answer)) for reply in replies]
        return [0.0 if part is None else token_f1(wanted, part) for wanted, part in found]


def token_f1(wanted: str, found: str) -> float:
    """0 to 1; where one of them holds no word, whether both do."""
    gold, given = normalised(wanted, SQUAD).split(), normalised(found, SQUAD).split()
    if not gold or not given:
        return float(gold == given)
    num_shared = sum((Counter(gold) & Counter(given)).values())
    return 2 * num_shared / (len(gold) + len(given))


METRICS = (TokenF1(),)
