"""The page with runs side by side: at several sizes, with damaged and empty runs, from recorded runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.run_dir import RunDir
from tests.tui_app.live_runs import RECORDED, recorded_run
from tests.tui_app.on_screen import sees, shown, until
from tui_app.app import FinetuiApp
from tui_app.glyphs import ASCII
from tui_app.looks import Looks
from tui_app.screens.compare import ComparePage


def play(
    runs: Sequence[RunDir],
    story: Callable[[Pilot[int], ComparePage], Awaitable[None]],
    *,
    size: tuple[int, int] = (80, 24),
    **options: Any,
) -> None:
    async def run() -> None:
        page = ComparePage(runs)
        app = FinetuiApp(lambda: page, Looks(**options))
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: page.is_mounted and all(side.loading == 1.0 for side in page.sides))
            await pilot.pause()
            await story(pilot, page)
        assert app.fault is None

    asyncio.run(run())


@pytest.mark.parametrize("size", [(80, 24), (140, 40), (60, 18)])
def test_curves_facts_and_differences_are_on_the_page(size: tuple[int, int]) -> None:
    async def story(pilot: Pilot[int], _page: ComparePage) -> None:
        await sees(pilot, "What came of them")
        await until(pilot, lambda: any(c in shown(pilot.app) for c in "⠁⠂⠄⡀⠒⠉⠤⣀"))
        await pilot.press("end")
        await until(pilot, lambda: "What was asked differently" in shown(pilot.app))

    play([RunDir(RECORDED / "finished"), RunDir(RECORDED / "stopped")], story, size=size)


def test_the_curves_are_drawn_over_steps_or_tokens_and_the_sides_swap() -> None:
    async def story(pilot: Pilot[int], page: ComparePage) -> None:
        await sees(pilot, " steps")
        await pilot.press("x")
        await until(pilot, lambda: " tokens" in shown(pilot.app))
        await pilot.press("w")
        assert [side.run.name for side in page.sides] == ["stopped", "finished"]
        await sees(pilot, "stopped | finished")
        for key in ("l", "s", "plus", "left", "right", "comma", "full_stop", "minus", "0", "o", "t"):
            await pilot.press(key)
            await pilot.pause()
        assert page.is_current

    play([RunDir(RECORDED / "finished"), RunDir(RECORDED / "stopped")], story, size=(140, 40))


def test_two_runs_that_trained_nothing_say_so_instead_of_a_chart() -> None:
    async def story(pilot: Pilot[int], _page: ComparePage) -> None:
        await sees(pilot, "no curve to draw", "What came of them")
        *body, _footer = shown(pilot.app).splitlines()
        assert all(row.isascii() for row in body)

    empty = recorded_run("stopped")
    for attempt in empty.events.glob("attempt-*.jsonl"):
        attempt.unlink()
    play([empty, empty], story, size=(100, 30), glyphs=ASCII)


def test_a_damaged_run_beside_a_whole_one_does_not_end_the_page() -> None:
    run = recorded_run("finished", called="damaged")
    run.supervisor.write_text("{")

    async def story(pilot: Pilot[int], _page: ComparePage) -> None:
        await until(pilot, lambda: "40 of 40" in shown(pilot.app).partition("What came of them")[2])
        await until(pilot, lambda: "supervisor.json" in shown(pilot.app))

    play([run, RunDir(RECORDED / "finished")], story, size=(140, 40))


@pytest.mark.parametrize("size", [(80, 24), (140, 40)])
def test_many_runs_share_the_chart_each_with_its_number_and_colours_are_not_needed(size: tuple[int, int]) -> None:
    async def story(pilot: Pilot[int], page: ComparePage) -> None:
        await sees(pilot, "8 runs", "1 finished", "3 one")
        await pilot.press("end")
        await until(pilot, lambda: "What was asked differently" in shown(pilot.app))
        await pilot.press("w")
        assert page.sides[-1].run.name == "finished"

    runs = [RunDir(RECORDED / "finished"), RunDir(RECORDED / "stopped")]
    runs += [recorded_run("finished", called=name) for name in ("one", "two", "three", "four", "five", "six")]
    play(runs, story, size=size, is_colourless=True)


def test_runs_that_answered_the_same_rows_are_told_row_by_row() -> None:
    runs = [recorded_run("finished", called=name) for name in ("first", "second")]
    for run, correct in zip(runs, (False, True), strict=True):
        rows = [{"request": f"q{n}", "expected": "a", "correct": correct or n < 2} for n in range(20)]
        (run.answers / "tuned.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    async def story(pilot: Pilot[int], _page: ComparePage) -> None:
        await pilot.press("pagedown")
        await until(pilot, lambda: "18 better, 0 worse" in shown(pilot.app))

    play(runs, story, size=(140, 60))
