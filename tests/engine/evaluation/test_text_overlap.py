"""ROUGE and BLEU as the published libraries compute them."""

from __future__ import annotations

import pytest

from engine.evaluation.text_overlap import overlap_scores


def test_rouge_and_bleu_of_equal_answers_are_one() -> None:
    answers = ["the cat sat on the mat", "a dog ran over the hill"]
    assert overlap_scores(["rouge", "bleu"], answers, answers) == (
        ("rouge1", 1.0),
        ("rouge2", 1.0),
        ("rougeL", 1.0),
        ("bleu", 1.0),
    )


def test_rouge_is_the_mean_f_measure_over_rows() -> None:
    # "ls the cat" against "ls -a the cat": 3 of 3 and 3 of 4 words, so 6/7; the second row shares nothing.
    scores = dict(overlap_scores(["rouge"], ["ls -a the cat", "one"], ["ls the cat", "two"]))
    assert scores["rouge1"] == pytest.approx(3 / 7, abs=1e-4)
    assert set(scores) == {"rouge1", "rouge2", "rougeL"}


def test_answers_in_other_scripts_are_not_empty_to_rouge() -> None:
    scores = dict(overlap_scores(["rouge"], ["η γάτα κοιμάται"], ["η γάτα τρέχει"]))
    assert scores["rouge1"] == pytest.approx(2 / 3, abs=1e-4)


def test_empty_answers_and_lone_full_stops_score_zero_without_a_warning() -> None:
    scores = dict(overlap_scores(["rouge", "bleu"], ["some words here ."] * 120, [""] * 60 + ["x ."] * 60))
    assert scores["rouge1"] == 0.0
    assert scores["bleu"] < 0.05


def test_nothing_is_scored_without_rows_or_when_not_asked_for() -> None:
    assert overlap_scores(["rouge", "bleu"], [], []) == ()
    assert overlap_scores(["exact_match"], ["a"], ["a"]) == ()
