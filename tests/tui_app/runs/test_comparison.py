"""Runs side by side, as figures and lines: what differs, and what is better, from recorded runs."""

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
    facts,
    recipe_differences,
    recipe_values,
)
from tui_app.runs.comparison_table import difference_lines, facts_lines

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
    assert recipe_differences([left, right]) == [
        Difference("training.learning_rate", ("0.001", "0.002")),
        Difference("adapter.use_dora", ("no", "yes")),
        Difference("adapter.r", ("-", "8")),
    ]


def test_a_run_compared_with_itself_differs_in_nothing() -> None:
    side = read(RunDir(RECORDED / "finished"))
    assert plain_text(difference_lines([side, side], 60)) == "The recipes are the same."
    assert {each.is_best for each in facts([side, side])} == {(False, False)}
    assert all(len(set(each.values)) == 1 for each in facts([side, side]))


def test_a_recorded_run_tells_its_scores_with_intervals_its_speed_and_its_peak() -> None:
    told = facts([read(RunDir(RECORDED / "finished")), read(RunDir(RECORDED / "stopped"))])
    assert "%" in fact(told, "tuned").values[0]
    assert "(" in fact(told, "tuned").values[0]
    assert fact(told, "tuned").values[1] == "-"
    assert fact(told, "state").values == ("finished", "stopped")
    assert float(fact(told, "tokens/s").values[0].replace(",", "")) > 0
    assert "iB" in fact(told, "peak allocated").values[0]


@pytest.mark.parametrize(
    ("first", "second", "better"),
    [
        ((0.96, 0.99), (0.0, 0.03), (True, False)),
        ((0.0, 0.03), (0.96, 0.99), (False, True)),
        ((0.5, 0.8), (0.7, 0.9), (False, False)),
    ],
)
def test_a_score_is_called_better_only_where_the_intervals_do_not_meet(
    first: tuple[float, float], second: tuple[float, float], better: tuple[bool, bool]
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
    assert fact(facts(sides), "tuned").is_best == better


def test_a_lower_loss_is_better_only_on_the_same_rows() -> None:
    left, right = read(RunDir(RECORDED / "finished")), read(RunDir(RECORDED / "finished"))
    assert left.state.last_step is not None
    left.state = replace(left.state, last_step=replace(left.state.last_step, loss=0.001))
    assert fact(facts([left, right]), "last loss").is_best == (True, False)
    right.recipe = {**right.recipe, "data.seed": -1}
    assert fact(facts([left, right]), "last loss").is_best == (False, False)


def test_a_recipe_that_is_gone_or_broken_is_said_and_the_rest_is_shown() -> None:
    run = recorded_run("finished")
    run.recipe.write_text("= = =")
    values, why = recipe_values(run)
    assert values == {}
    assert "recipe.toml cannot be read" in why
    run.recipe.unlink()
    assert "recipe.toml cannot be read" in plain_text(difference_lines([read(run), read(run)], 80))
    assert fact(facts([read(run), read(run)]), "state").values[0] == "finished"


@pytest.mark.parametrize("width", [30, 40, 60, 80, 140])
@pytest.mark.parametrize("num_runs", [2, 3, 8])
def test_no_line_is_wider_than_its_place_and_hostile_text_is_drawn_literally(width: int, num_runs: int) -> None:
    left, right = read(recorded_run("finished", called=HOSTILE.replace("/", "|"))), read(RunDir(RECORDED / "stopped"))
    left.recipe = {HOSTILE: HOSTILE, **left.recipe}
    left.state = replace(left.state, host=HOSTILE, scores=(replace(left.state.scores[0], title=HOSTILE),))
    sides = [left, *[right] * (num_runs - 1)]
    for drawn in (*facts_lines(sides, width), *difference_lines(sides, width)):
        assert width_of(drawn) <= width
        assert plain_text([drawn]).isprintable()


def test_a_loss_per_token_is_not_compared_between_models_with_other_tokens() -> None:
    left, right = read(RunDir(RECORDED / "finished")), read(RunDir(RECORDED / "finished"))
    assert left.state.last_step is not None
    left.state = replace(left.state, last_step=replace(left.state.last_step, loss=0.001))
    right.recipe = {**right.recipe, "model.name_or_path": "another"}
    assert fact(facts([left, right]), "last loss").is_best == (False, False)


def test_of_three_runs_the_best_is_marked_and_each_has_a_column_where_there_is_room() -> None:
    sides = [read(RunDir(RECORDED / "finished")) for _ in range(3)]
    for place, side in enumerate(sides):
        assert side.state.last_step is not None
        side.state = replace(side.state, last_step=replace(side.state.last_step, loss=3.0 - place))
    assert fact(facts(sides), "last loss").is_best == (False, False, True)
    wide = plain_text(facts_lines(sides, 80)).split("\n")
    assert wide[0].split() == ["finished"] * 3
    narrow = plain_text(facts_lines(sides, 60)).split("\n")
    assert narrow[1].split()[0] == "finished"
    assert narrow[0].split()[0] == "state"


def test_with_many_runs_every_fact_is_still_there() -> None:
    sides = [read(RunDir(RECORDED / "finished")) for _ in range(8)]
    text = plain_text(facts_lines(sides, 80))
    for each in facts(sides):
        assert each.name[:20] in text
