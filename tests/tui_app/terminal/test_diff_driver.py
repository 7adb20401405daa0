"""The driver in a real terminal: a small dashboard in a pty, keys, suspensions, a stalled line."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from benchmarks.pty_session import PtySession, Screen
from tui_app.terminal.diff_driver import DiffDriver, TerminalFile, driver_class

APP = Path(__file__).with_name("small_app.py")
ROOT = Path(__file__).parents[3]
COLUMNS, ROWS = 80, 20
Start = Callable[..., PtySession]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the small application in a pty; what runs at the end of the test is ended."""
    sessions: list[PtySession] = []

    def begin(*arguments: str, **environ: str) -> PtySession:
        command = [sys.executable, APP, tmp_path / "journal", *arguments]
        session = PtySession(command, columns=COLUMNS, rows=ROWS, environ={"PYTHONPATH": str(ROOT), **environ})
        sessions.append(session)
        session.wait_for(r"step \d+/857[^$]*q quit")
        return session

    yield begin
    for session in sessions:
        session.close()


def journal(folder: Path) -> list[tuple[str, str]]:
    """What the application wrote down so far; a line that it is still writing is left for the next look."""
    whole, _, _ = (folder / "journal").read_bytes().rpartition(b"\n")
    return [tuple(json.loads(line)) for line in whole.splitlines()]


def replayed(entries: list[tuple[str, str]]) -> tuple[Screen, int]:
    """The screen of a terminal that got everything Textual asked for, after comparing it at every frame sent."""
    full, diffed, frames = Screen(COLUMNS, ROWS), Screen(COLUMNS, ROWS), 0
    for kind, text in entries:
        if kind == "asked":
            full.feed(text.replace("\n", "\r\n"))
        elif kind == "size":
            columns, rows = map(int, text.split())
            for screen in (full, diffed):
                screen.resize(rows, columns)
                screen.reset()
                screen.feed("\x1b[?7l")
        else:
            diffed.feed(text)
            frames += 1
            assert diffed.cells() == full.cells(), f"frame {frames}: {text!r}"
    return full, frames


def test_every_frame_shows_what_textual_drew(start: Start, tmp_path: Path) -> None:
    session = start()
    for step in range(2, 9):
        session.send("t")
        session.wait_for(f"step {step}/857")
    enter_the_field(session)
    session.send("世界e\u0301🙂x")
    session.wait_for("世界e\u0301🙂x")
    session.send("\x1b[D\x1b[D\x7f")  # left, left, backspace
    session.wait_for("世界e🙂x")
    session.send("\x10")  # the command palette
    session.wait_for("Search for commands")
    session.send("th")
    session.wait_for("🔎 th")
    session.send("\x1b")
    session.wait_for(lambda screen: "🔎" not in "".join(screen.lines_of_text()))
    session.resize(100, 30)
    session.wait_for(lambda screen: len(screen.lines_of_text()) == 30 and "palette" in screen.lines_of_text()[29])
    session.send("\x11")  # ctrl+q: q is a letter in the field
    session.wait_exit()
    entries = journal(tmp_path)
    _, frames = replayed(entries)
    assert frames > 20
    asked, sent = (sum(len(text.encode()) for side, text in entries if side == wanted) for wanted in ("asked", "sent"))
    assert sent < asked / 3


def test_the_terminal_cursor_stands_in_the_field_that_is_typed_into(start: Start, tmp_path: Path) -> None:
    session = start()
    enter_the_field(session)
    session.send("世x")
    session.wait_for("世x")

    def cursor_is_where_textual_put_it(screen: Screen) -> bool:
        full, _ = replayed(journal(tmp_path))
        assert full.cursor.y == next(y for y, line in enumerate(full.lines_of_text()) if "世x" in line)
        return (screen.cursor.x, screen.cursor.y) == (full.cursor.x, full.cursor.y)

    session.wait_for(cursor_is_where_textual_put_it)


def test_after_another_program_has_used_the_screen_all_of_it_is_repainted(start: Start, tmp_path: Path) -> None:
    session = start()
    session.send("v")
    session.wait_for("press enter")
    session.send("\n")
    session.wait_for("step 1/857")
    session.wait_for(lambda screen: "scribbled" not in "".join(screen.lines_of_text()))
    session.send("t")
    session.wait_for("step 2/857")
    session.wait_for(lambda screen: screen.cells() == replayed(journal(tmp_path))[0].cells())


def test_after_stopping_and_continuing_the_screen_is_repainted(start: Start, tmp_path: Path) -> None:
    session = start()
    program = psutil.Process(session.process.pid)
    session.send("z")
    session.wait_for(lambda _: program.status() == psutil.STATUS_STOPPED)
    session.screen.feed("\x1b[31mthe shell's prompt $ \r\n" * ROWS)
    os.kill(program.pid, signal.SIGCONT)
    session.wait_for(lambda screen: "$" not in "".join(screen.lines_of_text()))
    session.send("t")
    session.wait_for("step 2/857")
    session.wait_for(lambda screen: screen.cells() == replayed(journal(tmp_path))[0].cells())


def test_a_full_redraw_can_be_asked_for(start: Start) -> None:
    session = start()
    before = session.screen.cells()
    session.screen.feed("\x1b[2J\x1b[5;5Hwall: the host goes down")
    session.send("i")
    session.wait_for(lambda screen: screen.cells() == before)


def test_a_window_that_is_back_at_its_old_size_is_repainted(start: Start) -> None:
    session = start()
    session.resize(COLUMNS + 1, ROWS)
    session.resize(COLUMNS, ROWS)
    session.screen.feed("\x1b[2J")
    session.wait_for("step 1/857[^$]*q quit")


def test_a_stalled_line_costs_frames_but_neither_the_newest_one_nor_the_event_loop(
    start: Start, tmp_path: Path
) -> None:
    session = start("diff", "0.005")
    session.send("i" * 40)  # full repaints, until the pty takes no more

    def drawn_since_the_last_one_sent(_: Screen) -> int:
        kinds = [kind for kind, _ in journal(tmp_path)]
        return kinds[::-1].index("sent")

    # Nothing is read from here on: the event loop goes on drawing all the same.
    wait_until(lambda: drawn_since_the_last_one_sent(session.screen) > 150)
    stalled = journal(tmp_path)
    newest = sum("step " in text for kind, text in stalled if kind == "asked")
    frames = sum(kind == "sent" for kind, _ in stalled)
    session.wait_for(lambda screen: shown_step(screen) >= newest)
    session.send("q")
    session.wait_exit()
    entries = journal(tmp_path)
    replayed(entries)
    # The first frame after the stall is one, and not the hundreds that were drawn meanwhile.
    caught_up = next(text for kind, text in entries[len(stalled) :] if kind == "sent")
    assert len(caught_up.encode()) < 20_000
    assert frames < newest


def test_what_the_terminal_is_left_with_is_what_it_had(start: Start) -> None:
    session = start()
    session.send("q")
    assert session.wait_exit() == 0
    for ended in ("\x1b[m", "\x1b[?1049l", "\x1b[?25h", "\x1b[?7h", "\x1b[?1003l", "\x1b[<u"):
        assert ended in session.output[-120:].decode()


def test_a_terminal_that_the_shell_left_non_blocking_gets_every_byte() -> None:
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    taken = []
    with os.fdopen(writes, "w", encoding="utf-8") as file, os.fdopen(reads, "rb") as reader:
        terminal = TerminalFile(file, lambda: taken.append(True))
        writer = threading.Thread(target=terminal.write, args=("⣿" * 200_000,))
        writer.start()
        assert reader.read(600_000).decode() == "⣿" * 200_000
        writer.join()
    assert (terminal.taken, taken) == (1, [True])


def test_a_terminal_that_is_gone_is_written_to_no_more() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w", encoding="utf-8") as file:
        terminal = TerminalFile(file, lambda: None)
        terminal.write("one")
        terminal.write("two")
    assert terminal.taken == 2


@pytest.mark.parametrize(
    ("environ", "wanted"), [({"FINETUI_DIFF": "0"}, True), ({}, False), ({"TEXTUAL_DRIVER": "mine:Driver"}, True)]
)
def test_the_driver_can_be_turned_off(environ: dict[str, str], wanted: bool) -> None:
    assert driver_class(environ, wanted=wanted) is None
    assert driver_class({}) is DiffDriver


@pytest.mark.parametrize(("kind", "environ"), [("inline", {}), ("diff", {"FINETUI_DIFF": "0"})])
def test_inline_and_turned_off_textual_draws_itself(
    start: Start, tmp_path: Path, kind: str, environ: dict[str, str]
) -> None:
    session = start(kind, **environ)
    session.send("t")
    session.wait_for("step 2/857")
    assert journal(tmp_path) == []


def enter_the_field(session: PtySession) -> None:
    session.send("f")
    session.wait_for(lambda screen: "q quit" not in screen.lines_of_text()[-1])


def shown_step(screen: Screen) -> int:
    words = " ".join(screen.lines_of_text()[0].split()).partition("step ")[2].partition("/")[0]
    return int(words) if words.isdigit() else 0


def wait_until(holds: Callable[[], bool], timeout_s: float = 60) -> None:
    """Wait for a condition on a file that another process writes."""
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)
