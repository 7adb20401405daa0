"""Playing the wizard in tests: keys in, what is on the screen out. Waits for what is so, never for time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from textual import events
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Input

from tests.tui_app.on_screen import shown, until
from tui_app.app import FinetuiApp
from tui_app.glyphs import UNICODE, Glyphs
from tui_app.looks import Looks
from tui_app.screens.wizard import WizardScreen
from tui_app.screens.wizard_dialogs import SaveDialog
from tui_app.steps import draft_file
from tui_app.steps.answering import answered
from tui_app.steps.draft import Draft
from tui_app.steps.schema import Question
from tui_app.steps.sequence import STEPS, step_of
from tui_app.widgets.choice_list import ChoiceList
from tui_app.widgets.field_row import FieldRow, Turning

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
    app = FinetuiApp(lambda: screen, Looks(glyphs=glyphs))

    async def played() -> None:
        async with app.run_test(size=size) as pilot:
            await script(pilot, screen)

    asyncio.run(played())
    assert app.fault is None
    return app


async def known(pilot: Pilot[int], wizard: WizardScreen) -> None:
    """Wait until the machine was looked at and the draft worked out."""
    await until(pilot, lambda: wizard.desk.surroundings.is_complete and wizard.desk.is_current)


def row_named(wizard: WizardScreen, name: str) -> FieldRow:
    return next(row for row in wizard.page.query(FieldRow) if row.question.name == name)


async def typed(pilot: Pilot[int], field: Input, text: str) -> None:
    """Put a text into a field as if it were pasted."""
    field.focus()
    field.value = ""
    field.insert_text_at_cursor(text)
    await pilot.pause()


async def give_by_keys(pilot: Pilot[int], wizard: WizardScreen, name: str, text: str) -> None:
    """Answer one question of the wizard as a person without a mouse does: go to its step and field, fill it in."""
    place = STEPS.index(step_of(name))
    await pilot.press(f"ctrl+{place + 1}")
    await until(pilot, lambda: wizard.place == place)
    await known(pilot, wizard)
    if name not in {each.name for each in shown_questions(wizard)}:
        await pilot.press("e")
        await until(pilot, lambda: name in {each.name for each in shown_questions(wizard)})
    field = await go_to(pilot, wizard, name)
    desk = wizard.desk
    meant = answered(desk.draft, name, text, desk.surroundings).value(name)
    if isinstance(field, ChoiceList):
        await until(pilot, lambda: text in [each.value for each in field.choices])
        await pilot.press("home", *["down"] * [each.value for each in field.choices].index(text), "space")
    elif isinstance(field, Turning):
        for _ in field.values:
            await pilot.press(*[] if field.value == text else ["right"])
        assert field.value == text
    else:
        await pilot.press("end", "ctrl+u")
        field.post_message(events.Paste(text))
        await pilot.press("down")
    await until(pilot, lambda: desk.draft.value(name) == meant)


async def save_by_keys(pilot: Pilot[int], wizard: WizardScreen, path: str) -> None:
    """Write the recipe from the review page."""
    await pilot.press("ctrl+5")
    await until(pilot, lambda: wizard.place == REVIEW)
    await known(pilot, wizard)
    await pilot.press("w")
    await until(pilot, lambda: isinstance(pilot.app.screen, SaveDialog))
    await pilot.press("end", "ctrl+u")
    pilot.app.screen.query_one(Input).post_message(events.Paste(path))
    await pilot.press("enter")
    await until(pilot, lambda: pilot.app.screen is wizard)


def shown_questions(wizard: WizardScreen) -> list[Question]:
    """Those that have a field on the page."""
    fields = wizard.page.fields
    return [each for each in wizard.page.step.questions if any(part.display for part in fields.get(each.name, ()))]


async def go_to(pilot: Pilot[int], wizard: WizardScreen, name: str) -> Widget:
    """Move the keyboard to where a question is answered; a path is typed, not chosen from the list over it."""
    for _ in range(60):
        focused, question = wizard.focused, wizard.page.focused_question()
        is_there = question is not None and question.name == name
        if focused is not None and is_there and not (isinstance(focused, ChoiceList) and question.kind == "path"):
            return focused
        await pilot.press("down" if isinstance(focused, Input | Turning) else "tab")
    raise AssertionError(f"no key leads to {name}:\n{shown(pilot.app)}")
