"""What every test of a page needs: the text that is on the screen, and letting the app work until something holds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from textual.app import App
from textual.pilot import Pilot


async def until(pilot: Pilot[Any], holds: Callable[[], bool], seconds: float = 25.0) -> None:
    """Let the app work until something holds; fails with what is on the screen."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, shown(pilot.app)
        await pilot.pause(0.01)
    await pilot.pause()


async def sees(pilot: Pilot[Any], *words: str) -> None:
    """Wait until all these words are on the screen: pages draw what has changed at their next look, not at each key."""
    await until(pilot, lambda: all(each in shown(pilot.app) for each in words))


def rows_of(app: App[Any]) -> list[str]:
    """The screen row by row, each as wide as the screen."""
    return [strip.text for strip in app.screen._compositor.render_strips()]


def shown(app: App[Any]) -> str:
    """The screen's text, row by row."""
    return "\n".join(row.rstrip() for row in rows_of(app))
