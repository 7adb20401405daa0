"""Two runs side by side, as figures and lines: what differs, and what is better, from recorded runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.events import VariantScored
from engine.run_dir import RunDir
from tests.tui_app.live_runs import RECORDED, recorded_run
from tui_app.drawing import plain_text, width_of
from tui_app.runs.comparison import (
    Difference,
    Fact,
    Side,
    difference_lines,
    facts,
    facts_lines,
    recipe_differences,
    recipe_values,
)

HOSTILE = "[bold]x[/]\x1b[31m\u202e\n" + "宽" * 30


def read(run: RunDir) -> Side:
    side = Side(run)
    while side.catch_up(1.0):
        pass
    return side


def fact(found: list[Fact], name: str) -> Fact:
    return next(each for each in found if each.name == name)


def test_only_the_fields_that_differ_are_listed_each_with_both_values() -> None:
    left = {"title": "one", "training.learning_rate": 1e-3, "adapter.use_dora": False, "data.seed": 1}
    right = {"title": "two", "training.learning_rate": 2e-3, "adapter.use_dora": True, "data.seed": 1, "adapter.r": 8}
    assert recipe_differences(left, right) == [
        Difference("training.learning_rate", "0.001", "0.002"),
        Difference("adapter.use_dora", "no", "yes"),
        Difference("adapter.r", "-", "8"),
    ]


def test_a_run_compared_with_itself_differs_in_nothing() -> None:
    side = read(RunDir(RECORDED / "finished"))
    assert plain_text(difference_lines(side, side, 60)) == "The recipes are the same."
    assert {each.better for each in facts(side, side)} == {0}
    assert all(each.left == each.right for each in facts(side, side))


def test_a_recorded_run_tells_its_scores_with_intervals_its_speed_and_its_peak() -> None:
    told = facts(read(RunDir(RECORDED / "finished")), read(RunDir(RECORDED / "stopped")))
    assert "%" in fact(told, "tuned").left
    assert "(" in fact(told, "tuned").left
    assert fact(told, "tuned").right == "-"
    assert fact(told, "state") == Fact("state", "finished", "stopped")
    assert float(fact(told, "tokens/s").left.replace(",", "")) > 0
    assert "iB" in fact(told, "peak allocated").left


@pytest.mark.parametrize(
    ("first", "second", "better"),
    [((0.96, 0.99), (0.0, 0.03), -1), ((0.0, 0.03), (0.96, 0.99), 1), ((0.5, 0.8), (0.7, 0.9), 0)],
)
def test_a_score_is_called_better_only_where_the_intervals_do_not_meet(
    first: tuple[float, float], second: tuple[float, float], better: int
) -> None:
    sides = []
    for low, high in (first, second):
        side = read(RunDir(RECORDED / "finished"))
        score = VariantScored(
            variant="tuned",
            title="tuned",
            metric="exact_match",
            num_rows=100,
            num_correct=round(50 * (low + high)),
            low=low,
            high=high,
            seconds=1.0,
            answers_file="",
        )
        side.state = replace(side.state, scores=(score,))
        sides.append(side)
    assert fact(facts(*sides), "tuned").better == better


def test_a_lower_loss_is_better_only_on_the_same_rows() -> None:
    left, right = read(RunDir(RECORDED / "finished")), read(RunDir(RECORDED / "finished"))
    assert left.state.last_step is not None
    left.state = replace(left.state, last_step=replace(left.state.last_step, loss=0.001))
    assert fact(facts(left, right), "last loss").better == -1
    right.recipe = {**right.recipe, "data.seed": -1}
    assert fact(facts(left, right), "last loss").better == 0


def test_a_recipe_that_is_gone_or_broken_is_said_and_the_rest_is_shown() -> None:
    run = recorded_run("finished")
    run.recipe.write_text("= = =")
    values, why = recipe_values(run)
    assert values == {}
    assert "recipe.toml cannot be read" in why
    run.recipe.unlink()
    assert "recipe.toml cannot be read" in plain_text(difference_lines(read(run), read(run), 80))
    assert fact(facts(read(run), read(run)), "state").left == "finished"


@pytest.mark.parametrize("width", [30, 40, 60, 80, 140])
def test_no_line_is_wider_than_its_place_and_hostile_text_is_drawn_literally(width: int) -> None:
    left, right = read(recorded_run("finished", called=HOSTILE.replace("/", "|"))), read(RunDir(RECORDED / "stopped"))
    left.recipe = {HOSTILE: HOSTILE, **left.recipe}
    left.state = replace(left.state, host=HOSTILE, scores=(replace(left.state.scores[0], title=HOSTILE),))
    for drawn in (*facts_lines(left, right, width), *difference_lines(left, right, width)):
        assert width_of(drawn) <= width
        assert plain_text([drawn]).isprintable()
