"""A terminal that tests type into and read from: tmux with a server of its own.

Nothing sleeps: `wait` returns as soon as the screen matches, and shows the screen when it never does.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

POLL_SECONDS, LONGEST_POLL_SECONDS = 0.03, 0.2
"""Between looks at a screen, at first and when it has not changed for a while: each look takes the processor from
what is looked at."""
PATIENCE_SECONDS = 60.0
"""For what takes one second on an idle machine."""
# tmux 3.3a sometimes never learns how the program of a window ended.
NOTING = ("sh", "-c", 'status=$1; shift; "$@"; echo $? > "$status"', "sh")
BIN = Path(sys.executable).parent
FINETUI = (sys.executable, "-P", "-m", "tui_app")
SETTINGS = "remain-on-exit on,status off,default-terminal tmux-256color,escape-time 0,mouse off"
WORDS = {"LC_ALL": "C.UTF-8", "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "PS1": "shell> ", "ENV": ""}
"""The same in every terminal: letters beyond ASCII, `finetui` by its name, a prompt that a test can wait for."""
# COLUMNS and LINES: GNU readline sets them in the environment of a process that loads it, as pytest does.
UNSET = (
    "COLUMNS",
    "LINES",
    "COLORTERM",
    "NO_COLOR",
    "COLORFGBG",
    "SSH_CONNECTION",
    "SSH_TTY",
    "ACCESSIBLE",
    "FINETUI_ASCII",
)
Condition = Callable[[str], bool]


class ScreenTimeoutError(AssertionError):
    """The awaited text never came; the message holds the last screen."""


@dataclass(frozen=True, slots=True)
class Tmux:
    """One window on the server named `socket`; the exit code of its program goes to the file `status`."""

    socket: str
    status: Path

    def run(self, *arguments: str) -> str:
        words = ["tmux", "-u", "-L", self.socket, *arguments]
        done = subprocess.run(words, capture_output=True, text=True, encoding="utf-8", timeout=60)
        assert done.returncode == 0, f"tmux {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def keys(self, *keys: str) -> None:
        """Type keys by tmux's names: Enter, Escape, Tab, C-c, Up, or the letters themselves."""
        self.run("send-keys", *keys)

    def text(self, text: str) -> None:
        """Type a text letter by letter."""
        self.run("send-keys", "-l", text)

    def command(self, text: str) -> None:
        """Type a line into a shell."""
        self.text(text)
        self.keys("Enter")

    def screen(self) -> str:
        return self.run("capture-pane", "-p")

    def look(self) -> tuple[bool, str]:
        """Whether the program has ended, and the screen, in this order."""
        told = self.run("display-message", "-p", "#{pane_dead}", ";", "capture-pane", "-p")
        is_dead, _, screen = told.partition("\n")
        return is_dead == "1", screen

    def lines(self) -> str:
        """The screen and what has left it at the top, with the lines whole that were too long for a row."""
        return self.run("capture-pane", "-p", "-J", "-S", "-")

    def colours(self) -> str:
        """The screen with its escapes."""
        return self.run("capture-pane", "-p", "-e")

    def value(self, name: str) -> str:
        """What tmux knows of the window by one of its format names: alternate_on, cursor_flag, pane_title."""
        return self.run("display-message", "-p", f"#{{{name}}}").rstrip("\n")

    def record(self, path: Path) -> None:
        """From now on keep every byte that is written to the window."""
        self.run("pipe-pane", f"exec cat > '{path}'")

    def resize(self, columns: int, rows: int) -> None:
        self.run("resize-window", "-x", str(columns), "-y", str(rows))

    def wait(self, pattern: str, seconds: float = PATIENCE_SECONDS) -> str:
        """The first screen that `pattern` matches. Raises ScreenTimeoutError with the last screen."""
        compiled = re.compile(pattern, re.MULTILINE)
        return self.wait_until(lambda screen: compiled.search(screen) is not None, f"{pattern!r}", seconds)

    def wait_until(self, holds: Condition, what: str, seconds: float = PATIENCE_SECONDS) -> str:
        """The first screen for which it holds. A program that has ended changes nothing any more."""
        deadline, pause, before = time.monotonic() + seconds, POLL_SECONDS, ""
        while True:
            is_dead, screen = self.look()
            if holds(screen):
                return screen
            if is_dead or time.monotonic() > deadline:
                why = "before the program ended" if is_dead else f"within {seconds:.0f} s"
                raise ScreenTimeoutError(f"no {what} {why} on this screen:\n{screen}")
            pause = POLL_SECONDS if screen != before else min(pause * 1.2, LONGEST_POLL_SECONDS)
            before = screen
            time.sleep(pause)

    def wait_for_value(self, name: str, wanted: str, seconds: float = PATIENCE_SECONDS) -> None:
        """Until tmux tells this of the window."""
        self.wait_until(lambda _: self.value(name) == wanted, f"{name}={wanted}", seconds)

    def pid(self) -> int:
        """Process id of the program in the window."""
        (program,) = psutil.Process(int(self.value("pane_pid"))).children()
        return program.pid

    def exit_code(self, seconds: float = PATIENCE_SECONDS) -> int:
        """The program's exit code, once it has ended; 128 and the signal that ended it. A shell wrote it down."""
        deadline = time.monotonic() + seconds
        while self.value("pane_dead") != "1":
            if time.monotonic() > deadline:
                raise ScreenTimeoutError(f"the program has not ended within {seconds:.0f} s:\n{self.screen()}")
            time.sleep(POLL_SECONDS)
        return int(self.status.read_text())


@contextmanager
def tmux(
    *command: str,
    columns: int = 80,
    rows: int = 24,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[Tmux]:
    """`command` in a window of its own, which stays after its end so that the exit code can be read."""
    notes = Path(tempfile.mkdtemp(prefix="finetui-tmux-"))
    terminal = Tmux(f"finetui-test-{os.getpid()}-{secrets.token_hex(3)}", notes / "status")
    unset = [word for name in UNSET for word in ("-u", name)]
    values = [f"{name}={value}" for name, value in (WORDS | dict(env or {})).items()]
    words = [*NOTING, str(terminal.status), "env", *unset, *values, *command]
    start = ["new-session", "-d", "-x", str(columns), "-y", str(rows), *(["-c", str(cwd)] if cwd else [])]
    settings = [word for option in SETTINGS.split(",") for word in ("set", "-g", *option.split(" "), ";")]
    try:
        terminal.run("-f", "/dev/null", "start-server", ";", *settings, *start, "--", *literally(words))
        yield terminal
    finally:
        subprocess.run(["tmux", "-L", terminal.socket, "kill-server"], capture_output=True)
        shutil.rmtree(notes)
        folder = Path(os.environ.get("TMUX_TMPDIR", "/tmp"))
        (folder / f"tmux-{os.getuid()}" / terminal.socket).unlink(missing_ok=True)  # tmux leaves it behind


def literally(words: Sequence[str]) -> list[str]:
    """tmux takes a semicolon at the end of a word for the end of its command."""
    return [f"{word[:-1]}\\;" if word.endswith(";") else word for word in words]


def finetui(
    *arguments: str, columns: int = 80, rows: int = 24, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> AbstractContextManager[Tmux]:
    """The program itself in a window."""
    return tmux(*FINETUI, *arguments, columns=columns, rows=rows, env=env, cwd=cwd)
