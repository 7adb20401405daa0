"""Memory running out for real, as somebody sees it who watches: the rung, what it saved, and from where it went on.

Not here: which rungs are taken when, and that no step is lost (`test_memory_ladder`).
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from engine.event_log import read_events
from engine.events import Event, OomHit, RungTaken
from engine.run_dir import RunDir
from tests.runs.one_long_row import LATE, ONE_BY_ONE
from tests.tmux import finetui

pytestmark = pytest.mark.slow(seconds=70)
CAP = "memory.limit=340MiB"
"""Too little for the long row beside a short one, and for it alone; enough with recomputed activations."""
PATIENCE_SECONDS = 240.0


def told(run: RunDir, kind: type[Event]) -> list[Any]:
    return [stamped.event for stamped in read_events(run.events) if isinstance(stamped.event, kind)]


def test_who_watches_sees_memory_run_out_the_rungs_taken_and_the_run_finish(heavy: Any) -> None:
    sets = [word for each in ("run.name=watched", CAP, LATE, *ONE_BY_ONE) for word in ("--set", each)]
    with finetui("replay", "heavy.toml", *sets, cwd=heavy.folder, env={"FINETUI_HOME": str(heavy.home)}) as terminal:
        terminal.wait(r"OOM ladder +not needed so far", PATIENCE_SECONDS)
        terminal.wait(r"RUNNING +[12]/6", PATIENCE_SECONDS)
        terminal.keys("4")
        terminal.wait(r"\[4 Ladder\]")
        during = terminal.wait(r"▸ 1 halve micro batch.* in use", PATIENCE_SECONDS)
        assert "memory ran out once, in step after step 2 (attempt 1)" in during
        terminal.wait(r"▸ 2 gradient checkpointing.* in use", PATIENCE_SECONDS)
        terminal.wait(r"FINISHED +6/6", PATIENCE_SECONDS)
        shown = terminal.wait(r"✓ 2 gradient checkpointing|▸ 2 gradient checkpointing")
        run = heavy.run("watched-1")
        rungs, ooms = told(run, RungTaken), told(run, OomHit)
        assert [rung.rung for rung in rungs] == ["halve_micro_batch", "gradient_checkpointing"]
        size = r"[\d.]+ [MG]iB"
        words = " ".join(shown.split())
        assert re.search(rf"✓ 1 halve micro batch {size} → {size}", words)
        assert re.search(rf". 2 gradient checkpointing .*{size} → {size}", words)
        assert len(re.findall(f"went on from step {ooms[0].step}", words)) == 2
        assert f"memory ran out 2 times, last in first step after step {ooms[-1].step}" in words
        terminal.keys("q")
        assert terminal.exit_code() == 0
        assert "watched-1" in terminal.lines()
