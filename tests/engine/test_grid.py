"""Grids: how values are written, every combination of them, and what their runs are called."""

from __future__ import annotations

import pytest

from engine.errors import RecipeError
from engine.grid import MAX_NAME, Axis, Point, parse_axis, points


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("adapter.r=8,16, 32", ("8", "16", "32")),
        ("training.learning_rate=1e-4", ("1e-4",)),
        ('adapter.target_modules=["q_proj","v_proj"],all-linear', ('["q_proj","v_proj"]', "all-linear")),
        ('data.system="a, b",c', ('"a, b"', "c")),
        ("data.system=[a,b", ("[a,b",)),
    ],
)
def test_values_are_parted_at_commas_but_a_list_is_one_value(text: str, values: tuple[str, ...]) -> None:
    assert parse_axis(text) == Axis(text.partition("=")[0], values)


@pytest.mark.parametrize("text", ["", "adapter.r", "adapter.r=", "=8,16", "adapter.r=8,,16", "adapter.r=8,"])
def test_what_is_no_axis_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(RecipeError, match="is not of the form") as caught:
        parse_axis(text)
    assert "--grid adapter.r=8,16,32" in caught.value.remedy


def test_a_value_or_a_field_given_twice_is_refused() -> None:
    with pytest.raises(RecipeError, match="names 8 twice"):
        parse_axis("adapter.r=8,16,8")
    with pytest.raises(RecipeError, match=r"names adapter\.r twice"):
        points([Axis("adapter.r", ("8",)), Axis("adapter.r", ("16",))])


def test_every_combination_is_a_point_and_the_last_axis_changes_fastest() -> None:
    found = points([Axis("adapter.r", ("8", "16")), Axis("training.learning_rate", ("1e-4", "2e-4"))])
    assert [point.label for point in found] == [
        "r=8, learning_rate=1e-4",
        "r=8, learning_rate=2e-4",
        "r=16, learning_rate=1e-4",
        "r=16, learning_rate=2e-4",
    ]
    assert found[0].overrides == ["adapter.r=8", "training.learning_rate=1e-4"]
    assert found[3].name("demo-cpu") == "demo-cpu-r-16-learning-rate-2e-4"


def test_fields_that_end_alike_keep_their_sections() -> None:
    point = Point((("data.seed", "1"), ("training.seed", "2")))
    assert point.label == "data.seed=1, training.seed=2"
    assert point.name("x") == "x-data-seed-1-training-seed-2"


def test_the_limits_are_stated() -> None:
    with pytest.raises(RecipeError, match="4 fields and 256 points; 6 and 100 are the most"):
        points([Axis(f"a.{letter}", ("1", "2", "3", "4")) for letter in "bcde"])
    with pytest.raises(RecipeError, match="7 fields"):
        points([Axis(f"a.{letter}", ("1",)) for letter in "bcdefgh"])


def test_a_long_value_makes_no_name_that_a_file_system_refuses() -> None:
    assert len(Point((("data.system", "words " * 100),)).name("demo")) <= MAX_NAME
