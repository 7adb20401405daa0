"""Pictures of screens that tests compare with those kept in `tests/snapshots/`: `cat` one in a terminal to see it.

A picture is the screen's text with its colours as escape sequences, one row a line. `NEW_PICTURES=1` writes
what is drawn now instead of comparing; look at each change before it is committed. `python -m tests.pictures NAME...`
turns kept pictures into SVG files. Not here: the README's pictures (`tests/readme_pictures.py`).
"""

from __future__ import annotations

import difflib
import io
import os
import re
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text
from textual.app import App

FOLDER = Path(__file__).parent / "snapshots"
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def picture_of(app: App[Any]) -> str:
    """The present screen, rows as they are drawn."""
    size = app.size
    console = Console(
        width=size.width, height=size.height, force_terminal=True, color_system="truecolor", legacy_windows=False
    )
    strips = app.screen._compositor.render_strips()
    return "".join(f"{strip.render(console)}\n" for strip in strips)


def words_of(picture: str) -> list[str]:
    """The rows of a picture without their colours."""
    return [row.rstrip() for row in ESCAPE.sub("", picture).splitlines()]


def assert_looks_as_kept(app: App[Any], name: str) -> None:
    """Fails with the rows that differ when the screen is not the one kept under `name`."""
    drawn, kept_file = picture_of(app), FOLDER / f"{name}.ansi"
    if os.environ.get("NEW_PICTURES"):
        FOLDER.mkdir(exist_ok=True)
        kept_file.write_text(drawn, encoding="utf-8")
        return
    assert kept_file.exists(), f"no picture is kept as {kept_file.name}: make it with NEW_PICTURES=1"
    kept = kept_file.read_text(encoding="utf-8")
    if drawn == kept:
        return
    rows = list(difflib.unified_diff(words_of(kept), words_of(drawn), "kept", "drawn", lineterm=""))
    raise AssertionError(f"{name} looks different:\n" + "\n".join(rows or ["the same words in other colours"]))


def as_svg(name: str) -> str:
    """A kept picture as SVG."""
    kept = (FOLDER / f"{name}.ansi").read_text(encoding="utf-8")
    rows = kept.splitlines()
    width = max(len(row) for row in words_of(kept))
    console = Console(width=width, record=True, file=io.StringIO(), force_terminal=True)
    for row in rows:
        console.print(Text.from_ansi(row), no_wrap=True, crop=False)
    return console.export_svg(title="finetui")


if __name__ == "__main__":
    for word in sys.argv[1:]:
        Path(f"{word}.svg").write_text(as_svg(word), encoding="utf-8")
        print(f"{word}.svg")
