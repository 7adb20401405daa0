"""A whole visit at a terminal, keys only: the wizard, a run of the real model, leaving it, losing it, steering it.

Not here: two viewers (`test_on_screen_viewers`), running out of memory (`test_memory_ladder`).
"""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from engine.event_log import EventReader
from engine.events import AttemptStarted, CheckpointSaved, Event, RunStopped, StepLogged
from engine.liveness import liveness
from engine.run_dir import RunDir, list_runs
from tests.tmux import Tmux, finetui

pytestmark = pytest.mark.slow(seconds=70)
NUM_STEPS = 60
FIELDS = {"Optimizer steps": str(NUM_STEPS), "Rows per forward and backward": "1"}
"""The beginning of a field's sentence, and what is typed there: quick steps, so that the test is."""
STEP = re.compile(rf"(\d+)/{NUM_STEPS}\b")
LOSS = re.compile(r"loss (\d+\.\d+)")


def step_on(screen: str) -> int:
    """The step in the header; 0 before the first."""
    found = STEP.search(screen)
    return int(found.group(1)) if found else 0


def loss_on(screen: str) -> str:
    """The loss below the chart; empty before the first step."""
    found = LOSS.search(screen)
    return found.group(1) if found else ""


def help_row(screen: str) -> str:
    """The wizard's row with the sentence of the field that the keyboard is in."""
    return screen.splitlines()[-3]


def go_to(terminal: Tmux, key: str, wanted: str, row: Any) -> None:
    """Press the key until the row of the screen that `row` picks holds the text."""
    while wanted not in (before := row(terminal.screen())):
        terminal.keys(key)
        terminal.wait_until(lambda screen, old=before: row(screen) != old, f"answer to {key} in {before!r}")


def pointed(screen: str) -> str:
    """The row of the list that the pointer is on."""
    return next((row for row in screen.splitlines()[1:] if row.startswith(" ▸ ")), "")


def walk_through(terminal: Tmux) -> None:
    """All five steps, with one value changed on the way, to the live view."""
    terminal.wait(r"▸ 1 Hardware & preset")
    terminal.wait(r"^ Start from")
    terminal.wait_until(lambda screen: "○ Plain English" in screen or "● Plain English" in screen, "the demo's preset")
    terminal.wait_until(lambda screen: bool(pointed(screen)), "pointer in the list")
    go_to(terminal, "Down", "Plain English to venvy command lines, on any CPU", pointed)
    terminal.keys("Enter")
    terminal.wait(r"▸ 2 Model[^▸]*\n(.*\n)*.*135 M parameters")
    terminal.keys("Enter")
    terminal.wait(r"▸ 3 Data[^▸]*\n(.*\n)*.*trained")
    terminal.keys("Enter")
    terminal.wait(r"▸ 4 Method[^▸]*\n(.*\n)*.*Memory at the peak")
    for sentence, value in FIELDS.items():
        go_to(terminal, "Tab", sentence, help_row)
        terminal.text(value)
    terminal.keys("Enter")
    terminal.wait(r"▸ 5 Review")
    terminal.wait(r"\[ Start run \]")
    terminal.keys("Enter")
    terminal.wait(r"\[1 Loss\]", 120)


def new_events(run: RunDir) -> list[Event]:
    return [stamped.event for stamped in EventReader(run.events).poll()]


def wait_for_more_steps(run: RunDir, workshop: Any) -> None:
    """The run makes two steps that it has not made yet."""
    made = max((event.step for event in new_events(run) if isinstance(event, StepLogged)), default=0)
    workshop.wait_for_step(run, made + 2)


def test_a_run_is_started_left_lost_found_again_stopped_and_resumed_with_keys_only(
    workshop: Any, lone_runs: Path
) -> None:
    assert lone_runs.is_dir()
    with finetui() as terminal:
        walk_through(terminal)
        first = terminal.wait_until(lambda screen: step_on(screen) >= 2 and bool(loss_on(screen)), "step 2", 400)
        assert "RUNNING" in first
        moved = terminal.wait_until(
            lambda screen: step_on(screen) > step_on(first) and loss_on(screen) != loss_on(first), "moving loss"
        )
        assert float(loss_on(moved)) < 10
        terminal.keys("q")
        assert terminal.exit_code() == 0
        (run,) = list_runs()
        last_line = [row for row in terminal.lines().splitlines() if row.strip() and "Pane is dead" not in row][-1]
        assert last_line.rstrip().endswith(f"finetui attach {run.name}")
    assert liveness(run) == "alive"
    wait_for_more_steps(run, workshop)

    with finetui("attach", run.reference) as terminal:
        terminal.wait_until(lambda screen: step_on(screen) > step_on(moved), "later step")
        os.kill(terminal.pid(), signal.SIGKILL)
        assert terminal.exit_code() != 0
    assert liveness(run) == "alive"
    wait_for_more_steps(run, workshop)

    with finetui("attach", columns=140, rows=40) as terminal:
        terminal.wait(r"RUNNING +\d+/60")
        terminal.wait(r"─ 5 Log ─")
        terminal.keys("S")
        terminal.wait(r"Stop .*\?")
        terminal.keys("Right", "Enter")
        stopped = terminal.wait(r"STOPPED")
        terminal.wait(r"R resume ")
        kept = [event for event in new_events(run) if isinstance(event, CheckpointSaved)][-1].step
        assert kept == step_on(stopped)
        assert liveness(run) != "alive" or [event for event in new_events(run) if isinstance(event, RunStopped)]
        terminal.keys("R")
        terminal.wait_until(lambda screen: "RUNNING" in screen and step_on(screen) > kept, "step after resuming", 400)
        starts = [event.resumed_from_step for event in new_events(run) if isinstance(event, AttemptStarted)]
        assert starts == [0, kept]
        terminal.keys("S")
        terminal.wait(r"Stop .*\?")
        terminal.keys("y")
        terminal.keys("S")
        terminal.wait(r"STOPPED")
        terminal.keys("q")
        assert terminal.exit_code() == 7
        assert f"finetui resume {run.name}" in terminal.lines()
