"""ROUGE, BLEU and chrF as the published libraries compute them, checked by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from engine.evaluation.metrics import Measured, Reply, asked, measure
from engine.recipe_sections import EvaluationSection

Settings = Callable[..., EvaluationSection]
WORDS = ["rouge", "bleu", "chrf"]


def scores(pairs: list[tuple[str, str]], *words: str) -> dict[str, Measured]:
    settings = EvaluationSection.model_validate({})
    replies = [Reply(*pair) for pair in pairs]
    return {metric.NAME: measure(metric, replies, settings) for metric in asked(words or WORDS)}


def test_equal_answers_score_one_in_everything() -> None:
    found = scores([(text, text) for text in ("the cat sat on the mat", "a dog ran over the hill")])
    assert {name: each.value for name, each in found.items()} == {
        "rouge1": 1.0,
        "rouge2": 1.0,
        "rougeL": 1.0,
        "bleu": pytest.approx(1.0),
        "chrf": 1.0,
    }


def test_rouge_is_the_mean_f_measure_over_rows() -> None:
    # "ls the cat" against "ls -a the cat": 3 of 3 and 3 of 4 words, so 6/7; the second row shares nothing.
    found = scores([("ls -a the cat", "ls the cat"), ("one", "two")], "rouge")["rouge1"]
    assert found.values == (pytest.approx(6 / 7), 0.0)
    assert found.value == pytest.approx(3 / 7)


def test_rouge_2_counts_pairs_and_rouge_l_the_longest_common_subsequence() -> None:
    # Lin (2004), section 3: "police kill the gunman" against "police killed the gunman": 1 of 3 pairs, 3 of 4 words.
    found = scores([("police killed the gunman", "police kill the gunman")], "rouge")
    assert found["rouge2"].value == pytest.approx(1 / 3)
    assert found["rougeL"].value == pytest.approx(3 / 4)
    # Its third sentence, "the gunman kill police", keeps "the gunman" in order alone.
    assert scores([("police killed the gunman", "the gunman kill police")], "rouge")["rougeL"].value == 0.5


def test_answers_in_other_scripts_are_not_empty_to_rouge() -> None:
    assert scores([("η γάτα κοιμάται", "η γάτα τρέχει")], "rouge")["rouge1"].value == pytest.approx(2 / 3)


def test_bleu_clips_repeated_words_as_papineni_does() -> None:
    # Papineni et al. (2002), example 2: 2 of 7 words. No longer run is found: sacrebleu counts 1/2, 1/4, 1/8 of one.
    found = scores([("The cat is on the mat", "the the the the the the the")], "bleu")["bleu"]
    assert found.value == pytest.approx((1 / 7 / 12 / 20 / 32) ** 0.25, abs=1e-6)  # "The" is another word than "the"


def test_bleu_counts_over_the_set_and_sentence_bleu_over_the_row() -> None:
    found = scores([("one two three", "one two three"), ("a b c d e", "a b x d e")], "bleu")["bleu"]
    assert found.values[0] == pytest.approx(1.0)  # shorter than four words: longer runs are not asked for
    assert found.value is not None
    # Words 7 of 8, pairs 4 of 6, threes 1 of 4, fours 0 of 2 (counted as half of one).
    assert found.value == pytest.approx((7 / 8 * 4 / 6 * 1 / 4 * 0.5 / 2) ** 0.25)


def test_chrf_weighs_recall_twice() -> None:
    # Letters 1 of 2, pairs 0 of 1: precision and recall are a quarter. Then 2 of 2 letters, recall 2 of 4.
    assert scores([("ac", "ab")], "chrf")["chrf"].value == pytest.approx(0.25)
    longer = scores([("abcd", "ab")], "chrf")["chrf"].value
    recall, precision = (2 / 4 + 1 / 3) / 2, 1.0
    assert longer == pytest.approx(5 * precision * recall / (4 * precision + recall))


def test_a_score_of_a_set_has_an_interval_around_it_that_never_changes() -> None:
    pairs = [("the cat sat on the mat today", f"the cat sat {'on' if row % 3 else 'by'} the mat") for row in range(40)]
    first, again = scores(pairs), scores(pairs)
    for name, found in first.items():
        assert found.low is not None
        assert found.high is not None
        assert found.value is not None
        assert found.low < found.value < found.high
        assert found == again[name]


def test_empty_answers_and_lone_full_stops_score_zero_without_a_warning() -> None:
    found = scores([("some words here .", "")] * 60 + [("some words here .", "x .")] * 60)
    assert found["rouge1"].value == 0.0
    assert found["bleu"].value == pytest.approx(0.0, abs=0.05)


def test_nothing_is_scored_without_rows() -> None:
    assert {each.value for each in scores([]).values()} == {None}
