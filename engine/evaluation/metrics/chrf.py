"""chrF of the whole set of answers: runs of up to six letters, recall counted twice, by the library sacrebleu.

M. Popović, "chrF: character n-gram F-score for automatic MT evaluation" (2015). It needs no words, so it suits
languages without spaces, and code. It counts over the whole set; the value of a row is that of the row alone.
"""

from __future__ import annotations

from engine.evaluation.text_overlap import CorpusScore, chrf

METRICS = (CorpusScore("chrf", "chrF", chrf),)
