"""How a role of `tui_app/drawing` looks: a colour of the present theme, and bold, dim or reverse.

Under NO_COLOR only bold, underline and reverse are left. Not here: which text has which role.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from rich.style import Style

from tui_app.drawing import Role

if TYPE_CHECKING:
    from textual.app import App

LOOKS: dict[str, tuple[str, str]] = {
    "": ("", ""),
    "dim": ("quiet", ""),
    "faint": ("faint", ""),
    "chosen": ("", "reverse"),
    "strong": ("", "bold"),
    "title": ("primary", "bold"),
    "key": ("accent", "bold"),
    "good": ("success", ""),
    "warn": ("warning", ""),
    "bad": ("error", "bold"),
    "accent": ("accent", ""),
    "axis": ("faint", ""),
    "curve-raw": ("curve-raw", ""),
    "curve-ema": ("curve-ema", ""),
    "curve-eval": ("curve-eval", "bold"),
    "curve-other": ("curve-other", ""),
    "curve-4": ("primary", ""),
    "curve-5": ("error", ""),
    "curve-6": ("warning", ""),
    "curve-7": ("secondary", ""),
    "curve-8": ("foreground", ""),
    "trained": ("success", "bold underline"),
    "masked": ("quiet", ""),
    "weights": ("term-weights", ""),
    "adapter": ("term-adapter", ""),
    "optimizer": ("term-optimizer", ""),
    "activations": ("term-activations", ""),
    "others": ("quiet", ""),
    "free": ("faint", ""),
}
"""Per role: a variable of the theme (empty: the text's own colour), and attributes."""


def style_of(role: Role, app: App[object]) -> Style:
    """The look of a role in the app's present theme."""
    variable, attributes = LOOKS[role]
    if not variable or getattr(app, "is_colourless", False):
        return _look("", attributes)
    return _look(app.theme_variables.get(variable, ""), attributes)


@cache
def _look(colour: str, attributes: str) -> Style:
    attribute_style = Style.parse(attributes) if attributes else Style.null()
    return attribute_style + Style(color=colour) if colour.startswith("#") else attribute_style
