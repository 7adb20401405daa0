"""Driving the live view by keys: it is shown, a test presses keys and looks, it is left.

Not here: the runs it shows (`live_runs`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from textual.pilot import Pilot

from engine.run_dir import RunDir
from tests.tui_app.on_screen import until
from tui_app.app import FinetuiApp
from tui_app.looks import Looks
from tui_app.screens.live import LiveScreen

Test = Callable[[Pilot[int], LiveScreen], Awaitable[None]]
NARROW, WIDE = (80, 24), (140, 40)


def drive(
    run: RunDir, test: Test, *, size: tuple[int, int] = NARROW, is_readonly: bool = False, **looks: Any
) -> FinetuiApp:
    """Show the run, let the test press keys, and leave; the app as it was then."""
    app = FinetuiApp(lambda: LiveScreen(run, is_readonly=is_readonly), Looks(**looks))

    async def main() -> None:
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            screen = app.screen
            assert isinstance(screen, LiveScreen)
            await until(pilot, lambda: screen.viewer.loading is None)
            await app.workers.wait_for_complete()
            screen.paint()
            await pilot.pause()
            await test(pilot, screen)

    asyncio.run(main())
    return app
