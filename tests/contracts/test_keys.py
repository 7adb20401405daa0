"""What holds for every page's table of keys: each key does something, says what in a sentence, and is no one else's.

Pages are found by being subclasses of `Page` and `StepPage` in `tui_app/screens`; a new one is held to it unasked.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections import Counter
from collections.abc import Iterator

import pytest
from textual.actions import parse

import tui_app.screens
from tui_app.app import FinetuiApp
from tui_app.keys import HELP, Key
from tui_app.screens.page import Page
from tui_app.screens.wizard_frame import WizardFrame
from tui_app.screens.wizard_page import StepPage


def below(kind: type) -> Iterator[type]:
    """The classes below one that have none below themselves."""
    for each in kind.__subclasses__():
        yield from below(each) if each.__subclasses__() else [each]


FOUND = [f"tui_app.screens.{found.name}" for found in pkgutil.iter_modules(tui_app.screens.__path__)]
NAMES = {importlib.import_module(name).__name__ for name in FOUND}
PAGES = {each.__name__: each for kind in (Page, StepPage) for each in below(kind) if each.__module__ in NAMES}


def table_of(page: type) -> tuple[Key, ...]:
    return tuple(getattr(page, "KEYS", ()))


@pytest.mark.parametrize("name", PAGES)
def test_every_key_does_something_and_says_what_in_a_sentence(name: str) -> None:
    page = PAGES[name]
    for key in table_of(page):
        target, action, _ = parse(key.action)
        owner = FinetuiApp if target == "app" else page
        assert hasattr(owner, f"action_{action}"), f"{name}: {key.name} calls {key.action}, which is not there"
        assert key.help.endswith("."), f"{name}: {key.name}"
        assert key.label, f"{name}: {key.name}"


@pytest.mark.parametrize("name", PAGES)
def test_no_key_has_two_meanings_on_a_page(name: str) -> None:
    around = table_of(WizardFrame) if issubclass(PAGES[name], StepPage) else ()
    keys = [each for key in (*table_of(PAGES[name]), *around, HELP) for each in key.keys.split(",")]
    assert [key for key, times in Counter(keys).items() if times > 1] == []
