"""The panels of a live run. Each module of this folder holds one, found by being here; there is no list to add it to.

A panel is a class with NAME, TITLE and `draw(view, width, height)`: lines of spans from a `RunView`, nothing else. It
reads no file and no clock, so it is tested with recorded runs and drawn by any widget.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Protocol, cast

from tui_app.drawing import Line
from tui_app.runs.view import RunView


class Panel(Protocol):
    """What every member of this folder offers."""

    NAME: str
    TITLE: str

    def draw(self, view: RunView, width: int, height: int) -> list[Line]:
        """At most `height` lines of at most `width` cells. Draws something for every state of a run."""


@cache
def all_panels() -> dict[str, type[Panel]]:
    """Every panel's class by name."""
    modules = [importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__)]
    return {module.PANEL.NAME: cast(type[Panel], module.PANEL) for module in modules if hasattr(module, "PANEL")}
