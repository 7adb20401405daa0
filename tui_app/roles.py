"""How a role of `tui_app/drawing` looks: a colour of the present theme, and bold, dim or reverse.

Under NO_COLOR only bold, underline and reverse are left. Not here: which text has which role.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.style import Style

from tui_app.drawing import Role

if TYPE_CHECKING:
    from textual.app import App

LOOKS: dict[str, tuple[str, str]] = {
    "": ("", ""),
    "dim": ("text-muted", ""),
    "strong": ("", "bold"),
    "title": ("primary", "bold"),
    "key": ("accent", "bold"),
    "good": ("success", ""),
    "warn": ("warning", ""),
    "bad": ("error", "bold"),
    "accent": ("accent", ""),
    "axis": ("text-disabled", ""),
    "curve-raw": ("curve-raw", ""),
    "curve-ema": ("curve-ema", ""),
    "curve-eval": ("curve-eval", "bold"),
    "curve-other": ("curve-other", ""),
    "trained": ("success", "bold underline"),
    "masked": ("text-muted", ""),
    "weights": ("term-weights", ""),
    "adapter": ("term-adapter", ""),
    "optimizer": ("term-optimizer", ""),
    "activations": ("term-activations", ""),
    "others": ("text-muted", ""),
    "free": ("text-disabled", ""),
}
"""Per role: a variable of the theme (empty: the text's own colour), and attributes."""


def style_of(role: Role, app: App[object]) -> Style:
    """The look of a role in the app's present theme."""
    cache: dict[str, Style] = app.__dict__.setdefault("_role_styles", {})
    key = f"{app.theme}/{role}"
    if key not in cache:
        cache[key] = _style(role, app)
    return cache[key]


def _style(role: Role, app: App[object]) -> Style:
    variable, attributes = LOOKS[role]
    attribute_style = Style.parse(attributes) if attributes else Style.null()
    if not variable or getattr(app, "is_colourless", False):
        return attribute_style
    colour = app.theme_variables.get(variable, "")
    return attribute_style + Style(color=colour) if colour.startswith(("#", "ansi")) else attribute_style
