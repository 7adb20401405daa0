"""The application's edge: what ends it, its themes, and the dialogs and lines that all of its pages share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual import events
from textual.pilot import Pilot
from textual.screen import Screen

from engine.errors import RunDirError
from tests.tui_app.live_driving import drive
from tests.tui_app.live_runs import append, running_run
from tests.tui_app.on_screen import sees, shown, until
from tui_app.app import FinetuiApp
from tui_app.drawing import ROLES, plain_text, width_of
from tui_app.glyphs import ASCII, UNICODE
from tui_app.keys import Key, footer_line, in_ascii
from tui_app.looks import Looks
from tui_app.roles import LOOKS, style_of
from tui_app.screens.dialog import Confirm
from tui_app.screens.fault import FaultDialog
from tui_app.screens.live import BLURRED_SECONDS, LiveScreen
from tui_app.themes import DARK, LIGHT
from tui_app.widgets.crumbs import crumbs_line

KEYS = (
    Key("a", "one", "first…", "The first.", footer=True),
    Key("up", "two", "second", "The second.", shown="↑", footer=True),
    Key("c", "three", "hidden", "Not in the footer."),
)


class _Faulty(Screen[None]):
    """Fails as soon as it is shown."""

    def on_mount(self) -> None:
        raise ZeroDivisionError("[b]nothing[/b] to divide by")


def with_app(test: Callable[[Pilot[int], FinetuiApp], Awaitable[None]], **looks: Any) -> None:
    app = FinetuiApp(Screen, Looks(**looks))

    async def main() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.pause()
            await test(pilot, app)

    asyncio.run(main())


def test_a_fault_ends_the_app_without_a_traceback_and_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    app = FinetuiApp(_Faulty)
    assert app.run(headless=True) is None
    assert isinstance(app.fault, ZeroDivisionError)
    told = capsys.readouterr()
    assert "Traceback" not in told.out + told.err


@pytest.mark.parametrize("light", [False, True])
def test_every_role_has_a_look_in_both_themes(light: bool) -> None:
    async def test(_pilot: Pilot[int], app: FinetuiApp) -> None:
        assert app.theme == (LIGHT if light else DARK).name
        assert set(LOOKS) == {"", *ROLES}
        for role in ROLES:
            variable = LOOKS[role][0]
            assert (style_of(role, app).color is not None) == bool(variable), role  # type: ignore[arg-type]

    with_app(test, is_light=light)


def test_without_colours_only_bold_underline_and_reverse_are_left() -> None:
    async def test(_pilot: Pilot[int], app: FinetuiApp) -> None:
        assert all(style_of(role, app).color is None for role in ROLES)  # type: ignore[arg-type]

    with_app(test, is_colourless=True)


def test_the_palette_changes_between_dark_and_light() -> None:
    async def test(_pilot: Pilot[int], app: FinetuiApp) -> None:
        (colours,) = [each for each in app.get_system_commands(app.screen) if each.title.startswith("Colours")]
        assert colours.title == "Colours: light"
        colours.callback()
        assert app.theme == LIGHT.name

    with_app(test)


def test_a_question_is_answered_by_enter_safely_by_y_with_yes_and_by_escape_with_no() -> None:
    async def test(pilot: Pilot[int], app: FinetuiApp) -> None:
        answers: list[bool | None] = []
        for keys in (["enter"], ["right", "enter"], ["y"], ["escape"], ["n"]):
            app.push_screen(Confirm("Stop [b]it[/b]?", "\x1b[2Jtext", yes="Stop", no="Go on"), answers.append)
            await pilot.pause()
            await sees(pilot, "Stop [b]it[/b]?")
            await pilot.press(*keys)
        assert answers == [False, True, True, False, False]

    with_app(test)


def test_an_error_names_its_parts_and_can_be_copied() -> None:
    fault = RunDirError("It [red]broke[/red].", means="Nothing is lost.", remedy="Try again.")

    async def test(pilot: Pilot[int], app: FinetuiApp) -> None:
        app.push_screen(FaultDialog.of(fault, log="/log"))
        await until(pilot, lambda: "What to do" in shown(app))
        text = shown(app)
        for words in ("What happened", "It [red]broke[/red].", "What it means", "Try again.", "/log"):
            assert words in text
        await pilot.press("y")
        assert app.clipboard == "It [red]broke[/red].\nNothing is lost.\nTry again.\n/log"
        await pilot.press("escape")
        await until(pilot, lambda: "What happened" not in shown(app))

    with_app(test)


@pytest.mark.parametrize("width", [10, 30, 60, 80, 140])
def test_a_footer_fits_and_help_comes_before_the_page_s_own_keys(width: int) -> None:
    drawn = footer_line(KEYS, width)
    assert width_of(drawn) <= max(width, 9)
    assert "? help" in plain_text([drawn])
    assert "hidden" not in plain_text([drawn])


def test_keys_that_cannot_be_used_are_grey() -> None:
    drawn = footer_line(KEYS, 80, {"one": "the run is over"})
    assert next(span for span in drawn if span.text == "a").role == "faint"
    assert next(span for span in drawn if span.text == "↑").role == "key"


def test_keys_are_spelled_out_where_their_signs_cannot_be_drawn() -> None:
    assert plain_text([footer_line(in_ascii(KEYS), 80)]).isascii()


def test_crumbs_show_the_way_and_the_machine() -> None:
    text = plain_text([crumbs_line(["finetui", "runs", "a\x1b[2Jb"], "gpu-box", 60, UNICODE)])
    assert text.startswith(" finetui ▸ runs ▸ a\\x1b[2Jb")
    assert text.endswith("gpu-box")
    assert plain_text([crumbs_line(["finetui", "x" * 90], "host", 20, ASCII)]).isascii()


def test_an_unfocused_terminal_is_painted_rarely_and_at_once_when_somebody_comes_back() -> None:
    run = running_run()

    async def test(pilot: Pilot[int], screen: LiveScreen) -> None:
        pilot.app.post_message(events.AppBlur())
        await until(pilot, lambda: screen.seconds_to_next_look == BLURRED_SECONDS)
        last = screen.view.state.last_step
        assert last is not None
        append(run, last, writer="attempt-1")
        pilot.app.post_message(events.AppFocus())
        await until(pilot, lambda: screen.seconds_to_next_look < 1)

    drive(run, test)
