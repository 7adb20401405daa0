"""Several terminals at one run that is being trained: what one does the others see, and one of them may only look.

Not here: the whole visit of one person (`test_on_screen_visit`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from rich.cells import cell_len

from engine.event_log import read_events
from engine.events import CommandAcknowledged
from engine.run_dir import RunDir
from tests.tmux import finetui

NUM_STEPS = 100_000
SIZES = ((140, 40), (80, 24), (50, 15), (80, 24), (140, 40))
LANDMARKS = {140: r"─ 4 OOM ladder ─", 80: r"^ \[1 Loss\] 2 Memory", 50: r"^─ 1 Loss ─"}


@pytest.fixture(scope="module")
def endless(workshop: Any) -> Iterator[RunDir]:
    """A run that nobody lives to see the end of."""
    long = (f"training.max_steps={NUM_STEPS}", f"training.save_steps={NUM_STEPS}")
    run = workshop.begin("endless", *long, "ladder.predict=false", "memory.probe=false")
    workshop.wait_for_step(run, 3)
    yield run
    workshop.finetui("stop", run.name)


def step_on(screen: str) -> int:
    found = re.search(rf" (\d+)/{NUM_STEPS}", screen)
    return int(found.group(1)) if found else 0


def test_two_watch_one_run_and_only_one_of_them_can_change_it(workshop: Any, endless: RunDir) -> None:
    where = {"FINETUI_HOME": str(workshop.home)}
    with (
        finetui("attach", endless.reference, env=where) as steering,
        finetui("attach", "--readonly", endless.reference, columns=140, rows=40, env=where) as looking,
    ):
        steering.wait(r"RUNNING")
        shown = looking.wait(r"RUNNING(.*\n)*.*tok/s")
        assert "read-only" in shown.splitlines()[0]
        for key in ("p", "k", "S", "R"):
            looking.keys(key)
            looking.wait(r"this view is read-only")
        assert not list(endless.control.glob("*.json"))
        assert not [each for each in read_events(endless.events) if isinstance(each.event, CommandAcknowledged)]
        steering.keys("k")
        steering.wait(r"save: sent → done")
        steering.keys("p")
        steering.wait(r"PAUSED")
        held = step_on(looking.wait(r"PAUSED"))
        assert held == step_on(steering.screen())
        looking.keys("q")
        assert looking.exit_code() == 0
        steering.keys("p")
        steering.wait_until(lambda screen: "RUNNING" in screen and step_on(screen) > held, "a step after the pause")


def test_the_screen_follows_the_size_of_the_window(workshop: Any, endless: RunDir) -> None:
    with finetui(
        "attach", endless.reference, columns=140, rows=40, env={"FINETUI_HOME": str(workshop.home)}
    ) as terminal:
        for columns, rows in SIZES:
            terminal.resize(columns, rows)
            terminal.wait_until(
                lambda screen, wide=columns: is_sane(screen, wide), f"a sane screen of {columns}x{rows}"
            )
            assert len(terminal.screen().splitlines()) == rows
        before = step_on(terminal.screen())
        terminal.wait_until(lambda screen: step_on(screen) > before, "a later step")


def is_sane(screen: str, columns: int) -> bool:
    """What belongs there at this width is there, each once, in its row, and nothing is wider than the window."""
    rows = screen.splitlines()
    return (
        all(cell_len(row) <= columns for row in rows)
        and screen.count("RUNNING") == 1
        and "RUNNING" in rows[0]
        and screen.count("? help") == 1
        and "? help" in rows[-1]
        and len(re.findall(LANDMARKS[columns], screen, re.MULTILINE)) == 1
    )
