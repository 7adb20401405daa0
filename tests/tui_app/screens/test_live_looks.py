"""How the live view looks: in every size, in ASCII, with a panel that fails, with hostile text in the run."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.pilot import Pilot

from engine.event_log import read_events
from engine.events import WarningRaised
from tests.tui_app.live_driving import WIDE, drive
from tests.tui_app.live_runs import append, rewrite, running_run
from tests.tui_app.on_screen import sees, shown, until
from tui_app.drawing import Line
from tui_app.glyphs import ASCII
from tui_app.panels.events import Events
from tui_app.runs.view import RunView
from tui_app.screens.help import HelpPage
from tui_app.screens.live import LiveScreen
from tui_app.screens.live_keys import PANELS
from tui_app.widgets.line_view import LineView
from tui_app.widgets.panel_view import PanelView


def test_the_first_picture_has_curve_memory_speed_ladder_and_the_keys() -> None:
    async def test(pilot: Pilot[int], _screen: LiveScreen) -> None:
        text = shown(pilot.app)
        for words in ("RUNNING", "16/40", "[1 Loss]", "RAM", "tok/s", "OOM ladder", "p pause", "? help", "^p commands"):
            assert words in text
        assert "step 16" in text

    drive(running_run(), test)


def test_every_digit_opens_its_panel_and_tab_goes_round() -> None:
    async def test(pilot: Pilot[int], screen: LiveScreen) -> None:
        for number, name in enumerate(PANELS, start=1):
            await pilot.press(str(number))
            assert screen.active == name
            await sees(pilot, f"[{number} ")
        await pilot.press("tab")
        assert screen.active == PANELS[0]
        await pilot.press("shift+tab")
        assert screen.active == PANELS[-1]

    drive(running_run(), test)


def test_zoom_shows_one_panel_alone_and_escape_brings_the_others_back() -> None:
    async def test(pilot: Pilot[int], _screen: LiveScreen) -> None:
        await sees(pilot, "Events")
        await pilot.press("2", "z")
        await sees(pilot, "2 Memory")
        text = shown(pilot.app)
        assert "5 Log" not in text
        await pilot.press("escape")
        await sees(pilot, "5 Log")

    drive(running_run(), test, size=WIDE)


@pytest.mark.parametrize("size", [(40, 10), (60, 18), (80, 24), (119, 50), (120, 32), (200, 60)])
def test_every_size_shows_how_far_the_run_is_and_nothing_sticks_out(size: tuple[int, int]) -> None:
    async def test(pilot: Pilot[int], screen: LiveScreen) -> None:
        await sees(pilot, "16/40")
        for view in screen.query(LineView).results(LineView):
            if view.display and view.size.width:
                assert len(view.lines) <= view.size.height
        await pilot.resize_terminal(100, 30)
        await pilot.pause()
        await sees(pilot, "[1 Loss]")

    drive(running_run(), test, size=size)


def test_help_lists_every_key_and_explains_the_words() -> None:
    async def test(pilot: Pilot[int], screen: LiveScreen) -> None:
        await pilot.press("question_mark")
        assert isinstance(pilot.app.screen, HelpPage)
        await sees(pilot, "Hold the run after this step")
        await pilot.press("end")
        await sees(pilot, "95 % interval")
        await pilot.press("escape")
        assert pilot.app.screen is screen

    drive(running_run(), test)


def test_the_palette_offers_every_key_of_the_page() -> None:
    async def test(_pilot: Pilot[int], screen: LiveScreen) -> None:
        labels = {command.label for command in screen.commands()}
        assert {"Pause  (p)", "Stop…  (S)", "Zoom  (z)", "Filter  (/)", "History  (h)"} <= labels

    drive(running_run(), test)


class _Broken(Events):
    """The events panel with a fault in it."""

    def draw(self, _view: RunView, _width: int, _height: int) -> list[Line]:
        raise ZeroDivisionError("[b]no[/b] \x1b[2J such width")


def test_a_panel_that_fails_says_so_and_the_others_go_on() -> None:
    run = running_run()

    async def test(pilot: Pilot[int], screen: LiveScreen) -> None:
        screen.panels["events"] = screen.query_one("#second", PanelView).panel = _Broken()
        screen.paint()
        await pilot.pause()
        text = shown(pilot.app)
        assert "panel failed: ZeroDivisionError: [b]no[/b]" in " ".join(text.split())
        await pilot.press("y")
        assert "last-error.txt" in pilot.app.clipboard
        append(run, WarningRaised(text="still here"))
        await until(pilot, lambda: "still here" in shown(pilot.app))

    drive(run, test, size=WIDE)


def test_nothing_in_a_hostile_run_is_obeyed() -> None:
    run = running_run()
    evil = "[red]x[/red] \x1b[2J\x1b]0;owned\x07 \u202egnp 宽字符\n" + "y" * 500
    events = [
        replace(each, event=replace(each.event, recipe=evil, host=evil)) if hasattr(each.event, "recipe") else each
        for each in read_events(run.events)
    ]
    rewrite(run, events)
    append(run, WarningRaised(text=evil))
    run.log_file("attempt-1").write_text(evil + "z" * 10_000 + "\n", encoding="utf-8")

    async def test(pilot: Pilot[int], _screen: LiveScreen) -> None:
        for number in range(1, len(PANELS) + 1):
            await pilot.press(str(number), "z")
            text = shown(pilot.app)
            assert all(each.isprintable() or each == "\n" for each in text)
            assert max(len(row) for row in text.splitlines()) <= WIDE[0]
            await pilot.press("z")
        await sees(pilot, "[red]x[/red]")

    drive(run, test, size=WIDE)


def test_in_ascii_nothing_but_ascii_is_drawn() -> None:
    async def test(pilot: Pilot[int], _screen: LiveScreen) -> None:
        for number in range(1, len(PANELS) + 1):
            await pilot.press(str(number))
            assert shown(pilot.app).isascii(), shown(pilot.app)

    drive(running_run(), test, glyphs=ASCII)
