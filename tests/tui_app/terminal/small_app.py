"""A small dashboard for the terminal tests: panels that tick, a field, wide characters, suspension on keys.

    python small_app.py JOURNAL [driver] [seconds between ticks]

JOURNAL gets one JSON line for each piece that Textual asked to write and each that was sent, in order. `driver` is
"diff" (the default), "textual" or "inline"; 0 seconds means that it ticks only on the key t.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.widgets import Footer, Input, Log, Static

from tui_app.terminal.diff_driver import DiffDriver, driver_class, repaint

JOURNAL = Path(sys.argv[1]).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115 - open as long as the process


def note(kind: str, text: str) -> None:
    """One line of the journal."""
    JOURNAL.write(json.dumps([kind, text]) + "\n")


class JournalDriver(DiffDriver):
    """The driver, keeping a journal of both sides."""

    def write(self, data: str) -> None:
        note("asked", data)
        super().write(data)

    def _follow_size(self) -> None:
        before = (self._grid.columns, self._grid.rows)
        super()._follow_size()
        if before != (self._grid.columns, self._grid.rows):
            note("size", f"{self._grid.columns} {self._grid.rows}")

    def _hand_over(self, text: str) -> None:
        if text:
            note("sent", text)
        super()._hand_over(text)


class SmallApp(App[None]):
    """A dashboard of a loss, a gauge, a log and a field."""

    CSS = """
    #chart { width: 60%; border: round $primary; }
    #log { width: 40%; overflow-y: scroll; scrollbar-size: 0 0; }
    Horizontal { height: 1fr; }
    """
    BINDINGS: ClassVar = [
        Binding("t", "tick", "tick"),
        Binding("v", "shell", "shell"),
        Binding("z", "suspend_process", "stop"),
        Binding("i", "invalidate", "redraw"),
        Binding("f", "field", "field"),
        Binding("q", "quit", "quit"),
    ]
    AUTO_FOCUS = ""
    step = 0

    def compose(self) -> ComposeResult:
        yield Static("", id="head", markup=False)
        with Horizontal():
            yield Static("", id="chart", markup=False)
            yield Log(id="log")
        yield Input(placeholder="名前 name", id="field")
        yield Footer()

    def on_mount(self) -> None:
        self.query_one("#log").can_focus = False
        self.action_tick()
        if (seconds := float(sys.argv[3]) if len(sys.argv) > 3 else 0) > 0:
            self.set_interval(seconds, self.action_tick)

    def action_tick(self) -> None:
        """One step: a number, a curve with wide characters in it, a line of log."""
        self.step += 1
        loss = f"loss {2 - self.step / 900:.3f}"
        self.query_one("#head", Static).update(f" step {self.step}/857  {loss}  行 {'世' * (self.step % 5)}|")
        curve = ["".join("⣿" if (x * y + self.step) % 7 == 0 else "⠒" for x in range(30)) for y in range(12)]
        self.query_one("#chart", Static).update("\n".join(curve))
        self.query_one("#log", Log).write_line(f"14:02 step {self.step} 損失 {loss} 👩\u200d🔬 ok")

    def action_field(self) -> None:
        """Put the cursor into the field."""
        self.query_one("#field").focus()

    def action_invalidate(self) -> None:
        """Repaint the whole terminal."""
        repaint(self)

    def action_shell(self) -> None:
        """What $EDITOR does: another program writes all over the terminal."""
        with self.suspend():
            os.write(2, b"\x1b[31;42m" + b"scribbled over everything \r\n" * 30 + b"press enter")
            sys.__stdin__.readline()


if __name__ == "__main__":
    kind = sys.argv[2] if len(sys.argv) > 2 else "diff"
    own = driver_class(os.environ, wanted=kind != "textual")
    SmallApp(driver_class=JournalDriver if own is DiffDriver else own).run(inline=kind == "inline")
