"""Ladders that contradict their recipe are faults of the recipe, told before anything starts."""

from __future__ import annotations

import pytest

from engine.errors import RecipeError
from engine.recipe import Recipe

SMALLEST = '[model]\nname_or_path = "m"\n[data]\ndataset = "rows.jsonl"\n'


def faults(*overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as told:
        Recipe.parse(SMALLEST, overrides=overrides)
    assert told.value.exit_code == 2
    return [line.strip() for line in told.value.happened.splitlines()[1:]]


def test_a_rung_named_twice_is_a_fault() -> None:
    (told,) = faults('ladder.costly=["halve_rank","halve_rank"]')
    assert told.startswith("ladder.costly: names halve_rank twice.")


def test_rungs_allowed_on_a_ladder_that_is_off_are_a_fault() -> None:
    (told,) = faults('ladder.costly=["halve_rank"]', "ladder.enabled=false")
    assert "allows halve_rank, but the ladder is off" in told
    assert "ladder.enabled = true" in told


@pytest.mark.parametrize(
    ("rung", "overrides", "why"),
    [
        ("halve_rank", ("adapter.method=full",), "trains no adapter"),
        ("disable_dora", ("adapter.method=full",), "trains no adapter"),
        ("only_q_and_v", ("adapter.method=full",), "trains no adapter"),
        ("disable_dora", (), "use_dora is off already"),
        ("halve_rank", ("adapter.r=7",), "adapter.r = 7 is below ladder.min_rank = 4"),
        ("halve_max_length", ("training.max_length=511",), "below ladder.min_max_length = 256"),
        ("halve_max_length", ("data.on_overflow=refuse",), "no row may be cut"),
        ("only_q_and_v", ('adapter.target_modules=["v_proj","q_proj"]',), "names nothing else"),
        ("only_q_and_v", ('adapter.target_modules=["v_proj"]',), "names nothing else"),
        ("only_q_and_v", ('adapter.target_modules=["up_proj"]',), "neither q_proj nor v_proj"),
    ],
)
def test_a_rung_that_no_run_could_take_is_a_fault_with_its_reason(
    rung: str, overrides: tuple[str, ...], why: str
) -> None:
    (told,) = faults(f'ladder.costly=["{rung}"]', *overrides)
    assert told.startswith(f"ladder.costly: {rung} can never be taken: ")
    assert why in told
    assert "leave the rung out: ladder.costly = []" in told


@pytest.mark.parametrize(
    ("rung", "overrides"),
    [
        ("disable_dora", ("adapter.use_dora=true",)),
        ("halve_rank", ("adapter.r=8",)),
        ("halve_max_length", ("training.max_length=512", "data.on_overflow=drop")),
        ("only_q_and_v", ('adapter.target_modules=["v_proj","up_proj"]',)),
        ("halve_max_length", ("adapter.method=full",)),
    ],
)
def test_a_rung_that_can_be_taken_is_none(rung: str, overrides: tuple[str, ...]) -> None:
    recipe = Recipe.parse(SMALLEST, overrides=(f'ladder.costly=["{rung}"]', *overrides))
    assert recipe.ladder.costly == [rung]
