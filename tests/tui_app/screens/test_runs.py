"""The page with the history of runs: what its keys and the mouse do, with damaged and hostile runs in it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot

from engine.event_log import EventWriter
from engine.events import RunFinished, RunStopped
from engine.liveness import announce
from tests.tui_app.live_runs import RECORDED
from tests.tui_app.on_screen import sees, shown, until
from tests.tui_app.written_runs import FAILED, HOSTILE, STEP, written
from tui_app.app import FinetuiApp
from tui_app.glyphs import ASCII, UNICODE, Glyphs
from tui_app.looks import Looks
from tui_app.screens.compare import ComparePage
from tui_app.screens.dialog import Confirm
from tui_app.screens.fault import FaultDialog
from tui_app.screens.live import LiveScreen
from tui_app.screens.runs import RunsPage
from tui_app.widgets.run_list import RunList

Play = Callable[[Pilot[int], RunsPage], Awaitable[None]]


@pytest.fixture
def root(own_machine: Path) -> Path:
    return own_machine / "runs"


def play(
    story: Play, *, size: tuple[int, int] = (100, 24), is_readonly: bool = False, glyphs: Glyphs = UNICODE
) -> None:
    async def run() -> None:
        page = RunsPage(is_readonly=is_readonly)
        app = FinetuiApp(lambda: page, Looks(glyphs=glyphs))
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: page.is_mounted and all(row.phase for row in page.listing.rows))
            await pilot.pause()
            await story(pilot, page)
        assert app.fault is None

    asyncio.run(run())


def test_the_empty_history_says_what_to_press() -> None:
    async def story(pilot: Pilot[int], page: RunsPage) -> None:
        await sees(pilot, "No runs yet", "Press n for a new one")
        await pilot.press("enter", "c", "d", "s", "R", "y")
        assert pilot.app.screen is page

    play(story)


def test_runs_are_listed_newest_first_and_the_filter_narrows_them_as_it_is_typed(root: Path) -> None:
    written(root, "older", RunFinished(seconds=1.0))
    written(root, "newer", FAILED, recipe="summaries")

    async def story(pilot: Pilot[int], page: RunsPage) -> None:
        assert shown(pilot.app).index("newer-1") < shown(pilot.app).index("older-1")
        await pilot.press("slash", *"failed")
        await until(pilot, lambda: "older-1" not in shown(pilot.app))
        await sees(pilot, "newer-1")
        await pilot.press("enter")
        assert page.listing.has_focus
        await sees(pilot, "filter: failed (1 match)")
        await pilot.press("escape")
        await until(pilot, lambda: "older-1" in shown(pilot.app))
        await pilot.press("slash", *"zzz")
        await until(pilot, lambda: "No run matches 'zzz'" in shown(pilot.app))
        await pilot.press("escape")
        await until(pilot, lambda: "older-1" in shown(pilot.app))
        assert page.listing.has_focus

    play(story)


def test_enter_opens_the_run_and_escape_comes_back_to_the_same_row(root: Path) -> None:
    written(root, "first", RunFinished(seconds=1.0))
    written(root, "second", RunFinished(seconds=1.0))

    async def story(pilot: Pilot[int], page: RunsPage) -> None:
        await pilot.press("j", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, LiveScreen))
        assert pilot.app.screen.viewer.run.name == "first-1"
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is page)
        assert page.pointed is not None
        assert page.pointed.run.name == "first-1"

    play(story)


def test_two_marked_runs_are_compared_the_first_marked_on_the_left(root: Path) -> None:
    written(root, "first", RunFinished(seconds=1.0))
    written(root, "second", RunFinished(seconds=1.0))

    async def story(pilot: Pilot[int], page: RunsPage) -> None:
        await pilot.press("j", "c", "k", "c")
        await until(pilot, lambda: isinstance(pilot.app.screen, ComparePage))
        assert [side.run.name for side in pilot.app.screen.sides] == ["first-1", "second-1"]
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is page)
        assert page.listing.marked == []

    play(story)


def test_details_show_the_folder_and_y_copies_it(root: Path) -> None:
    run = written(root, "one", RunFinished(seconds=1.0))

    async def story(pilot: Pilot[int], _page: RunsPage) -> None:
        assert str(run.path) not in shown(pilot.app)
        await pilot.press("d", "y")
        await until(pilot, lambda: "folder" in shown(pilot.app))
        await until(pilot, lambda: str(run.path) in shown(pilot.app).replace("\n           ", ""))
        assert pilot.app.clipboard == str(run.path)

    play(story, size=(140, 24))


def test_a_run_that_goes_on_is_told_anew_and_only_its_row_is_drawn(root: Path) -> None:
    written(root, "done", RunFinished(seconds=1.0))
    run = written(root, "going", steps=2)
    announce(run)

    async def story(pilot: Pilot[int], page: RunsPage) -> None:
        await sees(pilot, "2/9", "1 going on")
        before = page.listing.lines
        writer = EventWriter(run.event_file("attempt-1"))
        writer.write(replace(STEP, step=3))
        writer.close()
        await until(pilot, lambda: "3/9" in shown(pilot.app))
        assert [old[2] for old in before] == [new[2] for new in page.listing.lines]

    play(story)


def test_resuming_asks_first_and_a_refusal_is_shown_with_what_to_do(root: Path) -> None:
    run = written(root, "halted", RunStopped(kept="step 1", step=1), steps=1)
    announce(run)  # somebody else took charge of it this moment

    async def story(pilot: Pilot[int], page: RunsPage) -> None:
        await pilot.press("R")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("enter")  # the safe answer has the focus
        await until(pilot, lambda: pilot.app.screen is page)
        await pilot.press("R")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: isinstance(pilot.app.screen, FaultDialog))
        await until(pilot, lambda: "already has a supervisor" in shown(pilot.app))

    play(story)


def test_a_read_only_history_starts_nothing(root: Path) -> None:
    written(root, "halted", RunStopped(kept="step 1", step=1))

    async def story(pilot: Pilot[int], page: RunsPage) -> None:
        await pilot.press("R", "n")
        assert pilot.app.screen is page

    play(story, is_readonly=True)


def test_a_damaged_run_cannot_be_opened_and_says_why(root: Path) -> None:
    run = written(root, "broken")
    run.supervisor.write_text("{")

    async def story(pilot: Pilot[int], page: RunsPage) -> None:
        await sees(pilot, "damaged", "supervisor.json")
        await pilot.press("enter", "c")
        assert pilot.app.screen is page
        assert page.listing.marked == []

    play(story)


def test_hostile_names_and_recipes_are_drawn_as_they_are_written(root: Path) -> None:
    run = written(root, "plain", RunFinished(seconds=1.0), recipe=HOSTILE)
    shutil.move(run.path, root / "[red]\x1b]0;owned\x07")

    async def story(pilot: Pilot[int], _page: RunsPage) -> None:
        await pilot.press("d")
        await until(pilot, lambda: "folder" in shown(pilot.app))
        await sees(pilot, r"[red]\x1b]0;owned", r"[bold]x[/] \x1b[31mred")
        assert all(line.isprintable() for line in shown(pilot.app).splitlines())

    play(story, size=(140, 30))


def test_the_mouse_points_opens_and_scrolls(root: Path) -> None:
    for _ in range(30):
        written(root, "many", RunFinished(seconds=1.0))

    async def story(pilot: Pilot[int], page: RunsPage) -> None:
        await pilot.click(RunList, offset=(5, 2))
        assert page.listing.pointed == 2
        await pilot.press("end")
        assert page.listing.top == 30 - page.listing.size.height
        await pilot.press("home")
        await pilot.click(RunList, offset=(5, 0))
        await until(pilot, lambda: isinstance(pilot.app.screen, LiveScreen))

    play(story)


def test_without_unicode_every_row_is_drawn_in_ascii(root: Path) -> None:
    shutil.copytree(RECORDED / "finished", root / ("a-long-name" * 5))
    shutil.copytree(RECORDED / "failed", root / "broken")
    (root / "broken" / "supervisor.json").write_text("{")

    async def story(pilot: Pilot[int], _page: RunsPage) -> None:
        for size in ((60, 18), (80, 24), (140, 40)):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda: "damaged" in shown(pilot.app))
            assert all(row.isascii() for row in shown(pilot.app).splitlines())

    play(story, glyphs=ASCII)
