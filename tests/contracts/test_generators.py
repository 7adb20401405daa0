"""What every bundled generator promises. Grows by itself: a new package in data/generators is tested here unasked."""

from __future__ import annotations

import json
from itertools import islice

import pytest

from data.errors import DataError
from data.generators import all_generators, form_named
from data.loading import Rows
from data.sources import SourceSettings

GENERATORS = sorted(all_generators())


@pytest.mark.parametrize("name", GENERATORS)
def test_it_says_what_it_makes_in_one_line(name: str) -> None:
    generator = all_generators()[name]
    assert name == generator.NAME
    assert 0 < len(generator.TITLE) <= 110
    assert "\n" not in generator.TITLE
    assert generator.DEFAULT_ROWS >= 10


@pytest.mark.parametrize("name", GENERATORS)
def test_its_rows_are_understood_as_they_are_and_none_is_rejected(name: str) -> None:
    read = list(Rows(f"generator:{name}", SourceSettings(generator_rows=30, seed=3)))
    assert len(read) == 30
    assert [row.rejection for row in read if row.rejection is not None] == []


@pytest.mark.parametrize("name", GENERATORS)
def test_the_same_seed_gives_the_same_different_rows_and_another_seed_gives_others(name: str) -> None:
    for form in all_generators()[name].FORMS.values():
        first, again, other = ([json.dumps(row) for row in form(40, seed)] for seed in (1, 1, 2))
        assert first == again != other
        assert len(set(first)) == 40


@pytest.mark.parametrize("name", GENERATORS)
def test_the_training_rows_are_one_of_its_forms(name: str) -> None:
    generator = all_generators()[name]
    trained = list(islice(generator.rows(10, 1), 10))
    assert any(list(form(10, 1)) == trained for form in generator.FORMS.values())
    with pytest.raises(DataError, match="makes no"):
        form_named(generator, "nonsense")


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("num_rows", [0, -5])
def test_a_number_of_rows_below_one_is_refused(name: str, num_rows: int) -> None:
    for form in all_generators()[name].FORMS.values():
        with pytest.raises(DataError, match=r"data\.generator_rows"):
            list(form(num_rows, 1))
