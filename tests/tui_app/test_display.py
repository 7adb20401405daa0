"""Which front end a command gets: no terminal, a browser, the options that say how to draw."""

from __future__ import annotations

import argparse

import pytest

from tui_app.display import front_for, live_looks, shaded


def options(**given: bool) -> argparse.Namespace:
    return argparse.Namespace(**given)


def test_without_a_terminal_nothing_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    choice, _ = front_for(options())
    assert choice.front == "none"
    assert live_looks(options()) is None
    assert live_looks(options(json=True)) is None
    assert capsys.readouterr().out == ""


def test_complete_answers_ask_nothing_even_in_a_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTUAL_DRIVER", "textual.drivers.web_driver:WebDriver")
    assert front_for(options(), answers_complete=True)[0].front == "none"


def test_in_a_browser_the_screens_need_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTUAL_DRIVER", "textual.drivers.web_driver:WebDriver")
    assert front_for(options())[0].front == "screens"


def test_light_dark_and_ascii_are_the_persons_say() -> None:
    _, terminal = front_for(options(ascii=True))
    assert terminal.unicode is False
    assert shaded(terminal, options(light=True, dark=False)).dark is False
    assert shaded(terminal, options(light=False, dark=True)).dark is True
