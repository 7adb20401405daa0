"""The page of the queue: what it lists, and what its keys do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from engine.queue.entries import Entry, Queue
from tests.tui_app.live_runs import recorded_run, running_run
from tests.tui_app.on_screen import sees, shown, until
from tui_app.app import FinetuiApp
from tui_app.glyphs import ASCII
from tui_app.looks import Looks
from tui_app.screens.live import LiveScreen
from tui_app.screens.queue import QueuePage
from tui_app.screens.runs import RunsPage

HOSTILE = "[bold]x[/]\x1b[31m\u202e" + "宽" * 30


def entry(name: str, **values: Any) -> Entry:
    return Entry(0, name, "mine.toml", "", "/", 0.0, **values)


def play(
    story: Callable[[Pilot[int], QueuePage], Awaitable[None]],
    *,
    size: tuple[int, int] = (80, 24),
    is_readonly: bool = False,
    **options: Any,
) -> None:
    async def run() -> None:
        page = QueuePage(is_readonly=is_readonly)
        app = FinetuiApp(lambda: page, Looks(**options))
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: page.is_mounted)
            await pilot.pause()
            await story(pilot, page)
        assert app.fault is None

    asyncio.run(run())


@pytest.mark.parametrize("size", [(80, 24), (140, 40), (50, 15)])
def test_every_entry_stands_there_with_its_state(size: tuple[int, int]) -> None:
    fault = {"happened": "no such model", "means": "", "remedy": "", "exit_code": 4}
    Queue.here().add(
        [
            entry("over", run=str(recorded_run("finished").path)),
            entry("going", run=str(running_run().path)),
            entry("refused", fault=fault),
            entry("last", sweep="ranks", point=(("adapter.r", "8"),)),
        ]
    )

    async def story(pilot: Pilot[int], page: QueuePage) -> None:
        text = shown(pilot.app)
        assert [each.phase for each in page.rows] == ["finished", "training", "failed", "waiting"]
        assert all(word in text for word in ("finished", "training", "failed", "waiting", "Nobody works"))
        await pilot.press("j", "j")
        await sees(pilot, "no such model")
        await pilot.press("end")
        await sees(pilot, "adapter.r=8")

    play(story, size=size)


def test_an_entry_is_opened_and_taken_out_and_what_runs_stays() -> None:
    Queue.here().add([entry("going", run=str(running_run().path)), entry("waits")])

    async def story(pilot: Pilot[int], page: QueuePage) -> None:
        await pilot.press("x")
        assert len(page.rows) == 2
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, LiveScreen))
        await pilot.press("escape")
        await until(pilot, lambda: page.is_current)
        await pilot.press("down", "x")
        await until(pilot, lambda: "kept nowhere else" in shown(pilot.app))
        await pilot.press("y")
        await until(pilot, lambda: len(page.rows) == 1)

    play(story)


def test_ended_entries_are_cleared_and_a_viewer_who_only_looks_changes_nothing() -> None:
    Queue.here().add([entry("over", run=str(recorded_run("finished").path)), entry("waits")])

    async def looking(pilot: Pilot[int], page: QueuePage) -> None:
        await pilot.press("C", "x", "S", "P")
        await pilot.pause()
        assert len(page.rows) == 2

    play(looking, is_readonly=True)

    async def clearing(pilot: Pilot[int], page: QueuePage) -> None:
        await pilot.press("C")
        await until(pilot, lambda: [each.entry.name for each in page.rows] == ["waits"])

    play(clearing)


def test_hostile_names_are_drawn_literally_and_ascii_stays_ascii() -> None:
    Queue.here().add([entry(HOSTILE, sweep=HOSTILE), entry("x", fault={"happened": HOSTILE, "exit_code": 1})])

    async def story(pilot: Pilot[int], _page: QueuePage) -> None:
        assert all(row.isprintable() for row in shown(pilot.app).splitlines())
        await sees(pilot, "[bold]x")

    play(story)
    play(story, glyphs=ASCII)


def test_an_empty_queue_says_how_to_fill_it_and_the_history_leads_there() -> None:
    async def story(pilot: Pilot[int], _page: QueuePage) -> None:
        await sees(pilot, "finetui queue add")
        await pilot.press("j", "x", "enter", "S", "P", "C")

    play(story)

    async def from_history() -> None:
        page = RunsPage()
        app = FinetuiApp(lambda: page, Looks())
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: page.is_mounted)
            await pilot.press("Q")
            await until(pilot, lambda: isinstance(pilot.app.screen, QueuePage))
            await pilot.press("escape")
            await until(pilot, lambda: page.is_current)
        assert app.fault is None

    asyncio.run(from_history())
