"""A terminal that tests type into and read from: tmux with a server of its own.

Nothing sleeps: `wait` returns as soon as the screen matches, and shows the screen when it never does.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

POLL_SECONDS = 0.03
Condition = Callable[[str], bool]


class ScreenTimeoutError(AssertionError):
    """The awaited text never came; the message holds the last screen."""


@dataclass(frozen=True, slots=True)
class Tmux:
    """One window of `columns` x `rows` on the server named `socket`."""

    socket: str

    def run(self, *arguments: str) -> str:
        done = subprocess.run(["tmux", "-L", self.socket, *arguments], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, f"tmux {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def keys(self, *keys: str) -> None:
        """Type keys by tmux's names: Enter, Escape, Tab, C-c, Up, or the letters themselves."""
        self.run("send-keys", *keys)

    def text(self, text: str) -> None:
        """Type a text letter by letter."""
        self.run("send-keys", "-l", text)

    def screen(self) -> str:
        return self.run("capture-pane", "-p")

    def colours(self) -> str:
        """The screen with its escapes."""
        return self.run("capture-pane", "-p", "-e")

    def resize(self, columns: int, rows: int) -> None:
        self.run("resize-window", "-x", str(columns), "-y", str(rows))

    def wait(self, pattern: str, seconds: float = 30.0) -> str:
        """The first screen that `pattern` matches. Raises ScreenTimeoutError with the last screen."""
        compiled = re.compile(pattern, re.MULTILINE | re.DOTALL)
        return self.wait_until(lambda screen: compiled.search(screen) is not None, f"{pattern!r}", seconds)

    def wait_until(self, holds: Condition, what: str, seconds: float = 30.0) -> str:
        deadline = time.monotonic() + seconds
        while True:
            screen = self.screen()
            if holds(screen):
                return screen
            if time.monotonic() > deadline:
                raise ScreenTimeoutError(f"no {what} within {seconds:.0f} s on this screen:\n{screen}")
            time.sleep(POLL_SECONDS)

    def pane_pid(self) -> int:
        """Process id of the program in the window."""
        return int(self.run("display-message", "-p", "#{pane_pid}"))

    def exit_code(self, seconds: float = 30.0) -> int:
        """The program's exit code, once it has ended."""
        deadline = time.monotonic() + seconds
        while (status := self.run("display-message", "-p", "#{pane_dead}:#{pane_dead_status}").strip())[0] != "1":
            assert time.monotonic() < deadline, f"the program has not ended:\n{self.screen()}"
            time.sleep(POLL_SECONDS)
        return int(status.partition(":")[2] or -1)


@contextmanager
def tmux(
    command: list[str],
    *,
    columns: int = 80,
    rows: int = 24,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
) -> Iterator[Tmux]:
    """`command` in a window of its own, which stays after its end so that the exit code can be read."""
    terminal = Tmux(f"finetui-test-{os.getpid()}-{secrets.token_hex(3)}")
    words = ["env", *(f"{name}={value}" for name, value in (env or {}).items()), *command]
    start = ["new-session", "-d", "-x", str(columns), "-y", str(rows), *(["-c", cwd] if cwd else [])]
    options = "remain-on-exit on,status off,default-terminal tmux-256color,escape-time 0"
    settings = [word for option in options.split(",") for word in ("set", "-g", *option.split(" "), ";")]
    try:
        terminal.run("-f", "/dev/null", "start-server", ";", *settings, *start, shlex.join(words))
        yield terminal
    finally:
        subprocess.run(["tmux", "-L", terminal.socket, "kill-server"], capture_output=True)
