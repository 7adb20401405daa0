"""finetui's two themes, dark and light, with the colours of curves and memory terms. They read well in 256 colours.

Not here: which role takes which colour (`tui_app/roles`).
"""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    name="finetui-dark",
    primary="#5fafd7",
    secondary="#87afaf",
    accent="#ffaf5f",
    foreground="#d0d0d0",
    background="#121212",
    surface="#1c1c1c",
    panel="#262626",
    success="#87d787",
    warning="#ffd75f",
    error="#ff5f5f",
    dark=True,
    variables={
        "quiet": "#949494",
        "faint": "#767676",
        "curve-raw": "#5f87af",
        "curve-ema": "#ffaf5f",
        "curve-eval": "#87d787",
        "curve-other": "#d787d7",
        "term-weights": "#5fafd7",
        "term-adapter": "#87d787",
        "term-optimizer": "#d7af5f",
        "term-activations": "#d787af",
    },
)
LIGHT = Theme(
    name="finetui-light",
    primary="#005f87",
    secondary="#5f8787",
    accent="#af5f00",
    foreground="#262626",
    background="#ffffff",
    surface="#f0f0f0",
    panel="#e4e4e4",
    success="#008700",
    warning="#875f00",
    error="#af0000",
    dark=False,
    variables={
        "quiet": "#5f5f5f",
        "faint": "#878787",
        "curve-raw": "#87afd7",
        "curve-ema": "#af5f00",
        "curve-eval": "#008700",
        "curve-other": "#870087",
        "term-weights": "#005f87",
        "term-adapter": "#008700",
        "term-optimizer": "#875f00",
        "term-activations": "#87005f",
    },
)
