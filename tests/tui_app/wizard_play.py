"""Playing the wizard in tests: keys in, what is on the screen out. Waits for what is so, never for time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from textual.app import App
from textual.pilot import Pilot
from textual.widgets import Input

from tui_app.app import FinetuiApp
from tui_app.glyphs import UNICODE, Glyphs
from tui_app.screens.wizard import WizardScreen
from tui_app.steps import draft_file
from tui_app.steps.draft import Draft
from tui_app.widgets.field_row import FieldRow

Script = Callable[[Pilot[int], WizardScreen], Awaitable[None]]
DEMO = Draft("demo-cpu")
HARDWARE, MODEL, DATA, METHOD, REVIEW = range(5)
HOSTILE = "[bold]x[/] \x1b[31mred \u202e宽"


def play(
    script: Script,
    *,
    size: tuple[int, int] = (80, 24),
    draft: Draft | None = DEMO,
    saved: draft_file.Saved | None = None,
    glyphs: Glyphs = UNICODE,
) -> FinetuiApp:
    """Run the wizard with a script's keys; the app, after it has ended."""
    screen = WizardScreen(draft, saved=saved)
    app = FinetuiApp(lambda: screen, glyphs=glyphs)

    async def played() -> None:
        async with app.run_test(size=size) as pilot:
            await script(pilot, screen)

    asyncio.run(played())
    assert app.fault is None
    return app


async def until(pilot: Pilot[int], is_so: Callable[[], bool], seconds: float = 25.0) -> None:
    """Wait for something to be so; what is on the screen where it never is."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, text_of(pilot.app)
        await pilot.pause(0.01)
    await pilot.pause()


async def known(pilot: Pilot[int], wizard: WizardScreen) -> None:
    """Wait until the machine was looked at and the draft worked out."""
    await until(pilot, lambda: wizard.desk.surroundings.is_complete and wizard.desk.is_current)


def rows_of(app: App[int]) -> list[str]:
    return ["".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips()]


def text_of(app: App[int]) -> str:
    return "\n".join(rows_of(app))


def row_named(wizard: WizardScreen, name: str) -> FieldRow:
    return next(row for row in wizard.page.query(FieldRow) if row.question.name == name)


async def typed(pilot: Pilot[int], field: Input, text: str) -> None:
    """Put a text into a field as if it were pasted."""
    field.focus()
    field.value = ""
    field.insert_text_at_cursor(text)
    await pilot.pause()
