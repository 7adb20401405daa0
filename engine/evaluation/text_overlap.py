"""ROUGE and BLEU of whole answers, by the libraries that papers cite: rouge-score and sacrebleu.

Not here: exact match (`scoring`), which judges one row at a time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

ROUGE = ("rouge1", "rouge2", "rougeL")


class WordTokenizer:
    """Lower-case words and numbers of any script. rouge-score's own keeps only a-z and 0-9: Greek would be empty."""

    def tokenize(self, text: str) -> list[str]:
        return re.findall(r"[^\W_]+", text.lower())


def overlap_scores(
    metrics: Sequence[str], expected: Sequence[str], answers: Sequence[str]
) -> tuple[tuple[str, float], ...]:
    """(name, 0 to 1) for each of `rouge` and `bleu` among the metrics; nothing without rows.

    ROUGE is the mean F-measure over rows, without stemming. BLEU is that of the whole set (13a tokens).
    """
    if not expected:
        return ()
    scores: list[tuple[str, float]] = []
    if "rouge" in metrics:
        from rouge_score.rouge_scorer import RougeScorer

        scorer = RougeScorer(list(ROUGE), tokenizer=WordTokenizer())
        rows = [scorer.score(want, got) for want, got in zip(expected, answers, strict=True)]
        scores += [(name, round(sum(row[name].fmeasure for row in rows) / len(rows), 4)) for name in ROUGE]
    if "bleu" in metrics:
        from sacrebleu.metrics.bleu import BLEU

        # force: answers may well end in a lone full stop, which sacrebleu takes for tokenized text and warns of.
        bleu = BLEU(force=True).corpus_score(list(answers), [list(expected)])
        scores.append(("bleu", round(bleu.score / 100, 4)))
    return tuple(scores)
