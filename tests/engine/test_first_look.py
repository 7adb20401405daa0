"""A first look at a long history: its ends, the shape of its curve, and what came last of what comes seldom."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from engine.event_log import EventReader, encode
from engine.events import CheckpointSaved, EvalLogged, RunStarted, Stamped, StepLogged
from engine.first_look import LONG_HISTORY_BYTES, glimpse, num_event_bytes
from engine.run_dir import RunDir
from engine.run_state import fold_all
from tui_app.cli import main

NUM_STEPS = 110_000


def long_run(folder: Path) -> RunDir:
    """Steps as a training writes them, an eval and a checkpoint long before the end, and half a line at the end."""
    run = RunDir.create(folder, "long")
    started = RunStarted(run=run.name, recipe="long", resumed=False, host="gpu-box", pid=1)
    run.event_file("supervisor").write_bytes(encode(Stamped(1.0, "supervisor", 0, started)))
    step = StepLogged(
        step=777, max_steps=NUM_STEPS, epoch=0.1, loss=1.5, learning_rate=1e-3, grad_norm=1.25, num_tokens=8,
        step_seconds=0.1, rss_bytes=1 << 30, allocated_bytes=1 << 30, reserved_bytes=1 << 30, device_used_bytes=1 << 30,
    )  # fmt: skip
    before, after = encode(Stamped(2.0, "attempt-1", 888, step)).split(b"777")
    lines = [before.replace(b"888", b"%d" % n) + b"%d" % n + after for n in range(1, NUM_STEPS + 1)]
    events = (EvalLogged(step=90_000, loss=1.25, num_rows=5, seconds=1.0), checkpoint(90_000))
    lines.insert(90_000, b"".join(encode(Stamped(2.0, "attempt-1", 90_000, event)) for event in events))
    run.event_file("attempt-1").write_bytes(b"".join(lines) + b'{"v":1,"seq"')
    return run


def checkpoint(step: int) -> CheckpointSaved:
    return CheckpointSaved(step=step, path=f"checkpoints/checkpoint-{step}", num_bytes=1, seconds=1.0)


def test_a_long_history_is_told_at_once_and_followed_from_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = long_run(tmp_path)
    assert num_event_bytes(run.events) > LONG_HISTORY_BYTES
    seen = glimpse(run.events)
    assert len(seen) < 4_000
    state = fold_all(seen)
    assert (state.step, state.evals[-1].step, state.checkpoint) == (NUM_STEPS, 90_000, checkpoint(90_000))
    steps = [each.event.step for each in seen if isinstance(each.event, StepLogged)]
    assert steps == sorted(set(steps))
    assert max(later - earlier for earlier, later in pairwise(steps)) < NUM_STEPS / 50

    assert main(["status", "--json", str(run.path)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["step"], told["is_partial"]) == (NUM_STEPS, True)
    assert main(["attach", "--plain", str(run.path)]) != 0  # nobody is in charge of it
    told = capsys.readouterr().out
    assert "MiB of events so far are left out" in told
    assert len(told.splitlines()) < 40

    reader = EventReader(run.events)
    reader.go_to_end()
    assert reader.poll() == []
    with run.event_file("attempt-1").open("ab") as file:
        file.write(b"\n" + encode(Stamped(3.0, "attempt-1", NUM_STEPS + 9, checkpoint(7))))
    assert [each.event for each in reader.poll()] == [checkpoint(7)]
    assert reader.num_bad_lines == 1
