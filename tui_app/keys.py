"""One table of keys: what a key is called, what it does, and for whom. Bindings, footer, help and docs come from it.

A screen has a tuple of `Key`s and nothing else about keys. Not here: what an action does (its screen's `action_…`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from textual.binding import Binding, BindingType

from tui_app.drawing import Line, line, spread, width_of

MAX_IN_FOOTER = 6
SPELLED = str.maketrans({"…": "...", "↑": "Up", "↓": "Dn", "←": "Left", "→": "Right", "⇧": "Shift+"})
NARROW = 60
"""On a narrower screen keys of the page come before the palette."""


@dataclass(frozen=True, slots=True)
class Key:
    """`keys` as Textual spells them, comma-separated; `shown` as people read it; `footer` for the six that matter."""

    keys: str
    action: str
    label: str
    help: str
    shown: str = ""
    footer: bool = False
    steers: bool = False
    """Changes the run: not offered in a read-only view."""
    opens_field: bool = False
    """What is typed next goes into a field. Obeyed at once, so that letters typed in one burst are no keys any more."""

    @property
    def name(self) -> str:
        return self.shown or self.keys.split(",")[0]


HELP = Key("question_mark,f1", "help", "help", "What this page shows, and every key of it.", shown="?")
HELP_WHILE_TYPING = replace(HELP, shown="F1")
COMMANDS = Key("ctrl+p", "command_palette", "commands", "Find any command by its name.", shown="^p")


def bindings(keys: Iterable[Key]) -> list[BindingType]:
    """The table as Textual's bindings; footers and help are drawn from the table itself."""
    return [
        Binding(key.keys, key.action, key.label, show=False, tooltip=key.help, priority=key.opens_field)
        for key in keys
        if key.action != COMMANDS.action  # the app's own
    ]


def footer_line(
    keys: Iterable[Key], width: int, refused: Mapping[str, str] | None = None, help_key: Key = HELP
) -> Line:
    """One row: at most six keys, `? help`, and the palette at the right. Those in `refused` (action: why) are grey.

    `help_key` stands in for `?` where that would be typed.
    """
    refused = refused or {}
    right = _named(COMMANDS, is_grey=False)
    room = width - 2 - (width_of(right) + 2 if width >= NARROW else 0)
    told: tuple[Line, ...] = ()
    offered = [key for key in keys if key.footer][:MAX_IN_FOOTER]
    help_part = _named(help_key, is_grey=False)
    for key in offered:
        part = _named(key, is_grey=key.action in refused)
        used = sum(width_of(each) + 3 for each in told) + width_of(part) + 3 + width_of(help_part)
        if used > room:
            break
        told = (*told, part)
    left: Line = line(" ")
    for part in (*told, help_part):
        left = (*left, *part, *line("   "))
    if width_of(left) + width_of(right) > width:  # the last part of `left` is a gap
        return left[:-1]
    return spread(left[:-1], (*right, *line(" ")), width)


def in_ascii(keys: Iterable[Key]) -> list[Key]:
    """The keys with their signs spelled out, for terminals without them."""
    return [replace(key, shown=key.name.translate(SPELLED), label=key.label.translate(SPELLED)) for key in keys]


def _named(key: Key, *, is_grey: bool) -> Line:
    return line((key.name, "faint" if is_grey else "key"), (f" {key.label}", "faint" if is_grey else "dim"))
