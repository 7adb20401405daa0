"""Runs a program in a terminal of its own: types keys, reads the screen, counts bytes and CPU time.

Used by the tests and by the benchmarks. `Screen` is the terminal: pyte, corrected where it differs from xterm.
"""

from __future__ import annotations

import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import psutil
import pyte
import pyte.modes
from rich.cells import split_graphemes

# Sequences that pyte reads wrongly (it prints parts of them) and that change no cell.
_NOT_FOR_PYTE = re.compile(
    r"\x1b\[[<>=][\d;]*[a-z]|\x1b\[\?[\d;]*\$p|\x1b\[\?2026[hl]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
)
_UNFINISHED = re.compile(r"\x1b(?:\[[ -?]*|\][^\x07\x1b]*\x1b?)?\Z")
# Makes the pty the controlling terminal of the new session, so that ctrl+z and hang-ups mean something.
_TAKE_TERMINAL = "import fcntl,os,sys,termios; fcntl.ioctl(0,termios.TIOCSCTTY,0); os.execvp(sys.argv[1],sys.argv[1:])"

Answers = Mapping[bytes, bytes]
SYNC_ANSWERS: Answers = {b"\x1b[?2026$p": b"\x1b[?2026;2$y"}


class Screen(pyte.Screen):
    """pyte's screen with xterm's rules for wide characters, zero-width characters and the last column."""

    def __init__(self, columns: int, rows: int) -> None:
        super().__init__(columns, rows)
        self._stream = pyte.Stream(self)
        self._unfinished = ""

    def feed(self, text: str) -> None:
        """Take output, in pieces of any length."""
        text = self._unfinished + text
        match = _UNFINISHED.search(text)
        self._unfinished = match.group() if match else ""
        self._stream.feed(_NOT_FOR_PYTE.sub("", text[: len(text) - len(self._unfinished)]))

    def draw(self, data: str) -> None:
        """Put characters at the cursor."""
        for start, end, width in split_graphemes(data)[0]:
            cluster = data[start:end]
            if width == 0:
                self._join(cluster)
            else:
                self._place(cluster, width)
        self.dirty.add(self.cursor.y)

    def _place(self, cluster: str, width: int) -> None:
        if self.cursor.x + width > self.columns:
            if pyte.modes.DECAWM in self.mode:
                self.carriage_return()
                self.linefeed()
            else:
                self.cursor.x = self.columns - 1
                if width == 2:
                    cluster, width = " ", 1
        line, x = self.buffer[self.cursor.y], self.cursor.x
        if line[x].data == "" and x > 0:
            line[x - 1] = line[x - 1]._replace(data=" ")
        if x + width < self.columns and line[x + width].data == "":
            line[x + width] = line[x + width]._replace(data=" ")
        line[x] = self.cursor.attrs._replace(data=cluster)
        if width == 2:
            line[x + 1] = self.cursor.attrs._replace(data="")
        self.cursor.x = x + width

    def _join(self, marks: str) -> None:
        line, x = self.buffer[self.cursor.y], self.cursor.x - 1
        if x > 0 and line[x].data == "":
            x -= 1
        if x >= 0:
            line[x] = line[x]._replace(data=line[x].data + marks)

    def cells(self) -> list[list[pyte.screens.Char]]:
        """Every cell, row by row, with its colours and attributes."""
        return [[self.buffer[y][x] for x in range(self.columns)] for y in range(self.lines)]

    def lines_of_text(self) -> list[str]:
        """The rows as text, without what follows the last character."""
        return ["".join(cell.data for cell in row).rstrip() for row in self.cells()]


class PtySession:
    """A running program in a pty. Nothing is read while nobody calls `read` or `wait_for`: that is a stalled line."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        columns: int = 80,
        rows: int = 24,
        environ: Mapping[str, str | None] | None = None,
        cwd: Path | None = None,
        answers: Answers = SYNC_ANSWERS,
    ) -> None:
        """Start `command`. `environ` is laid over this process's (None removes a name); `answers` is what the
        terminal says to a question in the output.
        """
        self.screen = Screen(columns, rows)
        self.output = bytearray()
        self._answers = dict(answers)
        self._asked = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._tty, program_side = pty.openpty()
        self.resize(columns, rows)
        self.started_s = time.perf_counter()
        launcher = [sys.executable, "-I", "-S", "-c", _TAKE_TERMINAL]
        self.process = subprocess.Popen(
            [*launcher, *map(str, command)],
            stdin=program_side,
            stdout=program_side,
            stderr=program_side,
            env=_environment(environ or {}),
            cwd=cwd,
            start_new_session=True,
        )
        os.close(program_side)

    def __enter__(self) -> PtySession:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def send(self, keys: str | bytes) -> None:
        """Type: what a terminal sends for keys."""
        os.write(self._tty, keys.encode() if isinstance(keys, str) else keys)

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size, in cells; the program is told by SIGWINCH."""
        fcntl.ioctl(self._tty, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def read(self, timeout_s: float = 0.05) -> bytes:
        """What arrives within `timeout_s`, at most 64 kB, also drawn on `screen`; empty on silence or at the end."""
        ready, _, _ = select.select([self._tty], [], [], timeout_s)
        if not ready:
            return b""
        try:
            data = os.read(self._tty, 65536)
        except OSError:  # Linux says EIO when the program's side is closed
            return b""
        self.output += data
        self.screen.feed(self._decoder.decode(data))
        for question, answer in self._answers.items():
            if self.output.find(question, max(0, self._asked - len(question) + 1)) >= 0:
                self.send(answer)
        self._asked = len(self.output)
        return data

    def wait_for(self, what: str | Callable[[Screen], bool], timeout_s: float = 20) -> None:
        """Read until the screen matches a regular expression, or until a predicate on it holds.

        Raises:
            TimeoutError: with the screen in its text.
        """
        holds = what if callable(what) else lambda screen: _matches(what, screen)
        end = time.monotonic() + timeout_s
        while not holds(self.screen):
            if time.monotonic() > end:
                shown = "\n".join(self.screen.lines_of_text())
                ended = self.process.poll()
                raise TimeoutError(f"{what!r} did not come within {timeout_s} s (exit status {ended}):\n{shown}")
            self.read()

    def wait_exit(self, timeout_s: float = 20) -> int:
        """Read until the program has ended; its exit status."""
        end = time.monotonic() + timeout_s
        while self.process.poll() is None:
            if time.monotonic() > end:
                raise TimeoutError(f"still running after {timeout_s} s:\n" + "\n".join(self.screen.lines_of_text()))
            self.read()
        while self.read(0):
            pass
        return self.process.returncode

    def cpu_seconds(self) -> float:
        """User and system time of the program so far."""
        times = psutil.Process(self.process.pid).cpu_times()
        return times.user + times.system

    def close(self) -> None:
        """Hang up; a program that is still there is killed with its group."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        os.close(self._tty)
        self.process.wait()


def _environment(changes: Mapping[str, str | None]) -> dict[str, str]:
    base = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TMUX", "COLUMNS", "LINES")}
    wanted = {**base, "TERM": "xterm-256color", "COLORTERM": "truecolor", **changes}
    return {name: value for name, value in wanted.items() if value is not None}


def _matches(pattern: str, screen: Screen) -> bool:
    return re.search(pattern, "\n".join(screen.lines_of_text())) is not None
