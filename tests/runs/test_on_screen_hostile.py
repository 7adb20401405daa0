"""Texts that want to be more than text, on a real terminal: none is obeyed, and every column stays in its place.

Title, paths, warnings, log lines and file names hold markup, escapes, controls, right-to-left marks, 10,000 letters in
a row, and letters two cells wide. Not here: what `literal` makes of each (`tests/tui_app`).
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from rich.cells import cell_len

from engine.control import claim
from engine.event_log import EventReader
from engine.events import RunStarted, Stamped, WarningRaised, clip
from engine.run_dir import RunDir
from tests.tmux import Tmux, finetui
from tests.tui_app.live_runs import append, rewrite, running_run

MAGENTA = "\x1b[48;5;201m"
ORDERS = f"\x1b[2J\x1b[H{MAGENTA}\x1b]0;stolen\x07\x1b[?1049l\x1b[31;10H\x9b2J\rCR\bBS\x00"
TEXTS = {
    "markup": "[bold red]x[/] [x] [/] [@click=app.quit]press[/] \\[y",
    "orders": f"before{ORDERS}after",
    "bidi": "a\u202egnp.exe\u2066x\u2069\u200f\u061c b\u200b\ufeff\u2028c",
    "wide": "宽字符 ｆｕｌｌ 한국어 👩\u200d👧 e\u0301\u0301 x",
    "long": "loooong" * 1500,
}
EVERY = " ".join(text for name, text in TEXTS.items() if name != "long")
PANELS = "12345678"


NAME = "".join(each for each in TEXTS["markup"] + TEXTS["bidi"] + "\x1b[2J\x1b[48;5;201m\r\b宽字符" if each != "/")
SEEN = {
    "click=app": r"\[bold red\]x\[/\] \[x\] \[/\] \[@click=app\.quit\]press",
    "STOLEN": r"before\\x1b\[2J\\x1b\[H\\x1b\[48;5;201m\\x1b\]0;stolen\\x07",
    "egnp": r"a\\u202egnp\.exe\\u2066x\\u2069",
    "한국": r"宽字符 ｆｕｌｌ 한국어",
    "ngloo": r"loooongloooongloooongloooongloooo[ong]*…$",
}
"""A part of each text, and how the whole is seen where there is room for it."""


def hostile_run() -> RunDir:
    """A run in the middle of training whose every free text is hostile."""
    run = running_run()
    events = list(EventReader(run.events).poll())
    starts = [replace(each, event=replace(each.event, recipe=EVERY)) for each in events if is_start(each)]
    rewrite(run, [*starts, *(each for each in events if not is_start(each))])
    append(run, *(WarningRaised(text=clip(text)) for text in TEXTS.values()))
    with (run.log / "attempt-1.txt").open("a", encoding="utf-8", newline="") as log:
        log.write("".join(f"{name} {text}\n" for name, text in TEXTS.items()))
    return run


def is_start(stamped: Stamped) -> bool:
    return isinstance(stamped.event, RunStarted)


def nothing_was_obeyed(terminal: Tmux) -> None:
    assert terminal.value("pane_title") != "stolen"
    assert terminal.value("alternate_on") == "1"
    assert re.search(r"\x1b\[[0-9;]*48;5;201", terminal.colours()) is None


def column_of(row: str, text: str) -> int:
    """The cell in which the text begins."""
    assert text in row, row
    return cell_len(row[: row.index(text)])


def cell_at(row: str, column: int) -> str:
    """The letter in that cell; blank beyond the end of the row."""
    for place in range(len(row)):
        if cell_len(row[: place + 1]) > column:
            return row[place]
    return " "


def test_a_hostile_run_is_drawn_in_its_columns_in_a_wide_window() -> None:
    run = hostile_run()
    with finetui("attach", run.reference, columns=140, rows=40) as terminal:
        terminal.wait(r"!! loooong")
        for key in PANELS:
            terminal.keys(key)
            rows = terminal.wait(rf"─ {key} [A-Z]").splitlines()
            assert "RUNNING" in rows[0]
            assert "? help" in rows[-1]
            assert max(cell_len(row) for row in rows) <= 140
            side, below = (next(row for row in rows if text in row) for text in ("─ 2 Memory ─", "─ 6 Events ─"))
            first, second = column_of(side, "─ 2 Memory"), column_of(below, "─ 6 Events")
            top, middle = rows.index(side), rows.index(below)
            gaps = [cell_at(row, first - 1) for row in rows[top:middle]]
            gaps += [cell_at(row, second - 1) for row in rows[middle:-2]]
            assert set(gaps) == {" "}, terminal.screen()
            nothing_was_obeyed(terminal)
        terminal.keys("q")
        assert terminal.exit_code() == 0


def test_every_hostile_text_of_a_run_can_be_read_and_none_is_obeyed() -> None:
    run = hostile_run()
    with finetui("attach", run.reference) as terminal:
        terminal.wait(r"\[1 Loss\]")
        terminal.keys("z")
        terminal.wait(r"─ 1 Loss ─")
        for part, seen in SEEN.items():
            terminal.keys("/")
            terminal.wait(r"^ only lines with this text")
            terminal.text(part)
            shown = terminal.wait(rf"─ 5 Log ─ /{part},(.*\n)+?.*{seen}")
            assert max(cell_len(row) for row in shown.splitlines()) <= 80
            terminal.keys("Escape")
            terminal.wait(r"─ 5 Log ─ following")
        nothing_was_obeyed(terminal)
        assert claim(run) == [], "letters of a filter steer nothing"


def test_a_file_with_a_hostile_name_and_hostile_rows_goes_through_the_wizard(
    tmp_path: Path, tiny_model_folder: Path
) -> None:
    rows = [{"prompt": f"{n} {text[:300]}", "completion": text[:300]} for n, text in enumerate(TEXTS.values())] * 8
    (tmp_path / f"{NAME}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ("--model", str(tiny_model_folder), "--dataset", f"{NAME}.jsonl")
    with finetui("new", *options, cwd=tmp_path) as terminal:
        for number, waited in enumerate((r"Start from", r"Base model", r"trained", r"at the peak", r"Start run"), 1):
            terminal.wait(rf"▸ {number} [A-Z]")
            shown = terminal.wait(waited)
            drawn = shown.splitlines()
            assert "NEW RUN" in drawn[0]
            assert "? help" in drawn[-1]
            assert max(cell_len(row) for row in drawn) <= 80, shown
            nothing_was_obeyed(terminal)
            terminal.keys("Enter") if number < 5 else None
