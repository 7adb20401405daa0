"""BLEU of the whole set of answers, by the library sacrebleu (13a tokens, up to four words, exponential smoothing).

M. Post, "A Call for Clarity in Reporting BLEU Scores" (2018). It counts over the whole set, so it is no mean of rows;
the value of a row is sentence BLEU, which only serves to compare variants row by row.
"""

from __future__ import annotations

from engine.evaluation.text_overlap import CorpusScore, bleu

METRICS = (CorpusScore("bleu", "BLEU", bleu),)
