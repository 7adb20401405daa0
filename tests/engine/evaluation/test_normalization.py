"""What is made equal before texts are compared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.evaluation.normalization import SQUAD, normalised

EVERY = ["lower_case", "punctuation", "articles", "white_space", "numbers"]


def test_blanks_alone_are_normalised_unless_more_is_asked() -> None:
    assert normalised("  a\t b\n\nc ") == "a b c"
    assert normalised("Ünï 'A'.") == "Ünï 'A'."
    assert normalised(" The  A ", []) == " The  A "


@pytest.mark.parametrize(
    ("text", "plain"),
    # As normalize_answer of SQuAD's evaluate-v2.0.py gives them.
    [
        ("The  Denver Broncos.", "denver broncos"),
        ("an apple a day, theatre", "apple day theatre"),
        ("U.S.-led", "usled"),
        ("A", ""),
        ("«Ναι»、那", "ναι那"),  # ASCII alone is SQuAD's; other scripts have punctuation too
    ],
)
def test_all_four_steps_are_squads(text: str, plain: str) -> None:
    assert normalised(text, SQUAD) == plain


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("1,200.50", "1200.5"),
        ("+7 and -7", "7 and -7"),
        ("3.0", "3"),
        ("-0.00", "0"),
        ("007", "7"),
        ("$1,000,000!", "$1000000!"),
        ("1,20", "1,20"),  # no thousands
        ("v1.2.3", "v1.2.3"),
        ("10.0.0.1", "10.0.0.1"),
        ("x2 2nd", "x2 2nd"),
    ],
)
def test_numbers_are_written_one_way(text: str, plain: str) -> None:
    assert normalised(text, ["numbers"]) == plain


def test_punctuation_leaves_the_points_of_numbers_where_numbers_count() -> None:
    assert normalised("It is -3.50!", ["numbers", "punctuation", "white_space"]) == "It is -3.5"
    assert normalised("It is -3.50!", ["punctuation", "white_space"]) == "It is 350"


@given(st.text(), st.lists(st.sampled_from(EVERY)))
def test_the_order_and_number_of_steps_in_the_recipe_change_nothing(text: str, steps: list[str]) -> None:
    assert normalised(text, steps) == normalised(text, [*sorted(steps), *steps])


@given(st.text(alphabet="a b,.-+019\nThe"))
def test_text_made_equal_stays_as_it_is(text: str) -> None:
    once = normalised(text, ["lower_case", "white_space"])
    assert normalised(once, ["lower_case", "white_space"]) == once
