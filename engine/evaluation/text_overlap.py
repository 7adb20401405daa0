"""Overlap of whole answers by the libraries that papers cite: rouge-score and sacrebleu.

Not here: which metrics there are (`metrics`), and exact match (`scoring`), which compares parts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from engine.evaluation.metrics import MeanOfRows, Reply, Values
from engine.evaluation.statistics import SEED

if TYPE_CHECKING:
    from engine.recipe_sections import EvaluationSection

NUM_RESAMPLES = 1000
"""As many as sacrebleu's own command line takes."""
AT_ONCE = 100
"""Resamples whose rows are counted together: 10,000 rows take 8 MB."""


class WordTokenizer:
    """Lower-case words and numbers of any script. rouge-score's own keeps only a-z and 0-9: Greek would be empty."""

    def tokenize(self, text: str) -> list[str]:
        return re.findall(r"[^\W_]+", text.lower())


def rouge_f_measures(name: str, pairs: Sequence[tuple[str, str]]) -> list[float]:
    """The F-measure of each (expected, answer); `name` is rouge1, rouge2 or rougeL."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer([name], tokenizer=WordTokenizer())
    return [float(scorer.score(expected, answer)[name].fmeasure) for expected, answer in pairs]


class CorpusScore(MeanOfRows):
    """A score of sacrebleu's, which counts over the whole set of answers and gives 0 to 100; here 0 to 1.

    The interval is that of P. Koehn, "Statistical Significance Tests for Machine Translation Evaluation" (2004): the
    score of 1,000 resamples of the rows, seeded, less 2.5 % at either end. sacrebleu can do that too, but not where an
    answer is empty (2.6: "don't know how to coerce float and float32").
    """

    def __init__(self, name: str, title: str, scorer: Callable[[bool], Any]) -> None:
        self.NAME, self.TITLE, self._scorer = name, title, scorer

    def rows(self, replies: Sequence[Reply], settings: EvaluationSection) -> list[float | None]:  # noqa: ARG002
        """The score of each answer alone."""
        scorer = self._scorer(True)
        return [_share(scorer.sentence_score(reply.answer, [reply.expected]).score) for reply in replies]

    def whole(self, replies: Sequence[Reply], values: Values, settings: EvaluationSection) -> float | None:  # noqa: ARG002
        """The score of the set, which is not the mean of its rows."""
        if not replies:
            return None
        return _share(self._scorer(False).corpus_score(*_texts(replies)).score)

    def interval(
        self,
        replies: Sequence[Reply],
        values: Values,  # noqa: ARG002 - the protocol's
        settings: EvaluationSection,  # noqa: ARG002 - the protocol's
    ) -> tuple[float, float] | None:
        """None for fewer than two answers."""
        if len(replies) < 2:
            return None
        scorer = self._scorer(False)
        counts = scorer._extract_corpus_statistics(*_texts(replies))
        scores = sorted(float(scorer._compute_score_from_stats(each).score) for each in _resampled(counts))
        outside = NUM_RESAMPLES // 40
        return _share(scores[outside]), _share(scores[-1 - outside])


def bleu(for_one_row: bool) -> Any:
    """sacrebleu's BLEU. Of one row, it counts only runs of words as long as the row has: sentence BLEU."""
    from sacrebleu.metrics.bleu import BLEU

    # force: answers may well end in a lone full stop, which sacrebleu takes for tokenized text and warns of.
    return BLEU(force=True, effective_order=for_one_row)


def chrf(for_one_row: bool) -> Any:  # noqa: ARG001 - one row is a set of one
    """sacrebleu's chrF."""
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()


def _resampled(counts: Sequence[Sequence[float]]) -> Iterator[list[float]]:
    """The counts of each resample, summed over its rows."""
    import numpy as np

    chance, table = np.random.default_rng(SEED), np.array(counts, dtype=np.float64)
    shares = np.full(len(counts), 1 / len(counts))
    for _ in range(NUM_RESAMPLES // AT_ONCE):
        yield from (chance.multinomial(len(counts), shares, size=AT_ONCE) @ table).tolist()


def _texts(replies: Sequence[Reply]) -> tuple[list[str], list[list[str]]]:
    """Answers, and the one list of references, as sacrebleu takes them."""
    return [reply.answer for reply in replies], [[reply.expected for reply in replies]]


def _share(score: float) -> float:
    """0 to 100 as 0 to 1; what floats add beyond is cut."""
    return min(max(float(score) / 100, 0.0), 1.0)
