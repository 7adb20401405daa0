"""What the screens look like, kept as pictures (`tests/pictures.py`): recorded runs, two sizes, every kind of terminal.

A change of a picture is no fault by itself; a change that nobody meant is.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import Screen

from engine.run_dir import RunDir
from tests.pictures import assert_looks_as_kept
from tests.tui_app.live_driving import until
from tests.tui_app.live_runs import recorded_run
from tui_app.app import FinetuiApp
from tui_app.glyphs import ASCII, UNICODE
from tui_app.screens.compare import ComparePage
from tui_app.screens.live import LiveScreen

SMALL, LARGE = (80, 24), (140, 40)
LOOKS: dict[str, dict[str, Any]] = {
    "dark": {},
    "light": {"light": True},
    "ascii": {"glyphs": ASCII},
    "colourless": {"is_colourless": True},
}


@pytest.fixture(autouse=True)
def one_time_zone(monkeypatch: pytest.MonkeyPatch, own_machine: Path) -> None:
    """Times of day are those of UTC, paths those below the present folder: the same on every machine."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.chdir(own_machine)


def run_named(name: str) -> RunDir:
    recorded_run(name)
    return RunDir(Path("runs") / name)


def assert_drawn(first: Callable[[], Screen[Any]], size: tuple[int, int], look: str, keys: str, name: str) -> None:
    """Show a screen, press keys, compare it with the picture of that name."""
    app = FinetuiApp(first, **({"glyphs": UNICODE} | LOOKS[look]))

    async def main() -> None:
        async with app.run_test(size=size) as pilot:
            await settled(pilot)
            for key in keys:
                await pilot.press(key)
                await settled(pilot)
            assert_looks_as_kept(app, f"{name}-{size[0]}x{size[1]}-{look}")

    asyncio.run(main())


async def settled(pilot: Pilot[int]) -> None:
    """Wait until the history is read and the workers are done, and for what they made the screen do."""
    await pilot.pause()
    screen = pilot.app.screen
    if isinstance(screen, LiveScreen):
        await until(pilot, lambda: screen.viewer.loading is None)
    await pilot.app.workers.wait_for_complete()
    if isinstance(screen, LiveScreen):
        screen.paint()
    await pilot.pause()


LIVE = [
    ("finished", SMALL, "dark", ""),
    ("finished", LARGE, "dark", ""),
    ("finished", SMALL, "light", "8"),
    ("finished", SMALL, "ascii", ""),
    ("finished", SMALL, "colourless", "2"),
    ("laddered", SMALL, "dark", "4"),
    ("laddered", LARGE, "light", ""),
    ("laddered", LARGE, "ascii", ""),
    ("resumed", LARGE, "colourless", ""),
    ("failed", SMALL, "dark", ""),
    ("died", SMALL, "dark", ""),
    ("stopped", LARGE, "dark", "7"),
]


@pytest.mark.parametrize(("name", "size", "look", "keys"), LIVE)
def test_a_recorded_run_looks_as_it_did(name: str, size: tuple[int, int], look: str, keys: str) -> None:
    run = run_named(name)
    assert_drawn(lambda: LiveScreen(run), size, look, keys, f"live-{name}{keys and '-' + keys}")


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_two_recorded_runs_look_as_they_did_side_by_side(size: tuple[int, int]) -> None:
    left, right = run_named("finished"), run_named("laddered")
    assert_drawn(lambda: ComparePage(left, right), size, "dark", "", "compare")
