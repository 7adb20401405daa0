"""Two runs side by side: what differs, what is better, and the page at both sizes, from recorded runs."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.events import VariantScored
from engine.run_dir import RunDir
from tui_app.app import FinetuiApp
from tui_app.comparison import (
    Difference,
    Fact,
    Side,
    difference_lines,
    facts,
    facts_lines,
    recipe_differences,
    recipe_values,
)
from tui_app.drawing import plain_text, width_of
from tui_app.glyphs import ASCII
from tui_app.screens.compare import ComparePage

RECORDED = Path(__file__).parents[2] / "recorded" / "runs"
HOSTILE = "[bold]x[/]\x1b[31m\u202e\n" + "宽" * 30


def copied(root: Path, recorded: str, name: str = "") -> RunDir:
    """A recorded run under another name, to be changed."""
    shutil.copytree(RECORDED / recorded, root / (name or recorded))
    return RunDir(root / (name or recorded))


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


def test_a_recipe_that_is_gone_or_broken_is_said_and_the_rest_is_shown(tmp_path: Path) -> None:
    run = copied(tmp_path, "finished")
    run.recipe.write_text("= = =")
    values, why = recipe_values(run)
    assert values == {}
    assert "recipe.toml cannot be read" in why
    run.recipe.unlink()
    assert "recipe.toml cannot be read" in plain_text(difference_lines(read(run), read(run), 80))
    assert fact(facts(read(run), read(run)), "state").left == "finished"


@pytest.mark.parametrize("width", [30, 40, 60, 80, 140])
def test_no_line_is_wider_than_its_place_and_hostile_text_is_drawn_literally(tmp_path: Path, width: int) -> None:
    left, right = read(copied(tmp_path, "finished", HOSTILE.replace("/", "|"))), read(RunDir(RECORDED / "stopped"))
    left.recipe = {HOSTILE: HOSTILE, **left.recipe}
    left.state = replace(left.state, host=HOSTILE, scores=(replace(left.state.scores[0], title=HOSTILE),))
    for drawn in (*facts_lines(left, right, width), *difference_lines(left, right, width)):
        assert width_of(drawn) <= width
        assert plain_text([drawn]).isprintable()


# -- the page --------------------------------------------------------------------------------------------------------


def words(pilot: Pilot[int]) -> str:
    return "\n".join(strip.text.rstrip() for strip in pilot.app.screen._compositor.render_strips())


async def until(pilot: Pilot[int], holds: Callable[[], bool]) -> None:
    """Let the app work until the condition holds; fails with what is on the screen."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, words(pilot)
        await pilot.pause()
        await asyncio.sleep(0.005)


def play(
    left: RunDir,
    right: RunDir,
    story: Callable[[Pilot[int], ComparePage], Awaitable[None]],
    *,
    size: tuple[int, int] = (80, 24),
    **options: Any,
) -> None:
    async def run() -> None:
        page = ComparePage(left, right)
        app = FinetuiApp(lambda: page, **options)
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: page.is_mounted and all(side.loading == 1.0 for side in page.sides))
            await pilot.pause()
            await story(pilot, page)
        assert app.fault is None

    asyncio.run(run())


@pytest.mark.parametrize("size", [(80, 24), (140, 40), (60, 18)])
def test_curves_facts_and_differences_are_on_the_page(size: tuple[int, int]) -> None:
    async def story(pilot: Pilot[int], _page: ComparePage) -> None:
        assert "What came of them" in words(pilot)
        assert any(c in words(pilot) for c in "⠁⠂⠄⡀⠒⠉⠤⣀")
        await pilot.press("end")
        await until(pilot, lambda: "What was asked differently" in words(pilot))

    play(RunDir(RECORDED / "finished"), RunDir(RECORDED / "stopped"), story, size=size)


def test_the_curves_are_drawn_over_steps_or_tokens_and_the_sides_swap() -> None:
    async def story(pilot: Pilot[int], page: ComparePage) -> None:
        assert " steps" in words(pilot)
        await pilot.press("x")
        await until(pilot, lambda: " tokens" in words(pilot))
        await pilot.press("w")
        assert [side.run.name for side in page.sides] == ["stopped", "finished"]
        assert "stopped | finished" in words(pilot)
        for key in ("l", "s", "plus", "left", "right", "comma", "full_stop", "minus", "0", "e", "t"):
            await pilot.press(key)
            await pilot.pause()
        assert page.is_current

    play(RunDir(RECORDED / "finished"), RunDir(RECORDED / "stopped"), story, size=(140, 40))


def test_two_runs_that_trained_nothing_say_so_instead_of_a_chart(tmp_path: Path) -> None:
    async def story(pilot: Pilot[int], _page: ComparePage) -> None:
        assert "no curve to draw" in words(pilot)
        assert "What came of them" in words(pilot)
        *body, _footer = words(pilot).splitlines()
        assert all(row.isascii() for row in body)

    empty = copied(tmp_path, "stopped")
    for attempt in empty.events.glob("attempt-*.jsonl"):
        attempt.unlink()
    play(empty, empty, story, size=(100, 30), glyphs=ASCII)


def test_a_damaged_run_beside_a_whole_one_does_not_end_the_page(tmp_path: Path) -> None:
    run = copied(tmp_path, "finished", "damaged")
    run.supervisor.write_text("{")

    async def story(pilot: Pilot[int], _page: ComparePage) -> None:
        await pilot.press("end")
        await until(pilot, lambda: "cannot be read: Expecting property name" in words(pilot))
        assert "40 of 40" in words(pilot).split("What came of them")[1]

    play(run, RunDir(RECORDED / "finished"), story, size=(140, 40))
