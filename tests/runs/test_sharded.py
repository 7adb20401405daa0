"""A model of which two real ranks hold a part each: it trains, stops, goes on and is saved as a whole one is."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from engine import control
from engine import events as ev
from engine.event_log import read_events
from engine.ranks.beats import read_beats
from engine.run_dir import RunDir, read_json

STEPS = ("training.max_steps=6", "training.save_steps=3", "adapter.lora_dropout=0", "training.seed=3")
TWO = ("distributed.nproc_per_node=2", "training.per_device_train_batch_size=2", *STEPS)


def told(run: RunDir, kind: type[Any]) -> list[Any]:
    return [stamped.event for stamped in read_events(run.events) if isinstance(stamped.event, kind)]


def sets(*overrides: str) -> list[str]:
    return [part for override in overrides for part in ("--set", override)]


def finished(workshop: Any, name: str, *overrides: str) -> RunDir:
    done = workshop.finetui("replay", "tiny.toml", *sets(f"run.name={name}", *overrides))
    assert done.returncode == 0, done.stdout + done.stderr
    run: RunDir = workshop.run(f"{name}-1")
    return run


def is_done(event: ev.Event, command_id: str) -> bool:
    return isinstance(event, ev.CommandAcknowledged) and (event.command_id, event.status) == (command_id, "done")


def hold(workshop: Any, run: RunDir, attempt: int, *commands: str) -> None:
    """Pause an attempt between two steps, then send it commands and wait until each is done."""
    workshop.wait_for(run, lambda event: isinstance(event, ev.AttemptStarted) and event.attempt == attempt)
    for command in ("pause", *commands):
        sent = control.send(run, command)
        workshop.wait_for(run, lambda event, sent=sent: is_done(event, sent.command_id))


def gone_through(workshop: Any, name: str, *overrides: str) -> RunDir:
    """A run that loses a rank after its first step and goes on by itself."""
    run: RunDir = workshop.begin(name, *overrides)
    hold(workshop, run, 1, "save")
    os.kill(read_beats(run.beats(1))[1].process.pid, signal.SIGKILL)
    workshop.wait_for(run, lambda event: isinstance(event, ev.RunFinished))
    return run


@pytest.mark.slow(seconds=40)
@pytest.mark.long
def test_a_model_in_two_parts_trains_loses_a_part_goes_on_and_is_saved_as_a_whole_one(workshop: Any) -> None:
    with ThreadPoolExecutor(1) as beside:
        whole = beside.submit(finished, workshop, "whole", "distributed.strategy=ddp", *TWO)
        parts = gone_through(workshop, "parts", "distributed.strategy=fsdp2", *TWO)
        expected = whole.result()
    assert read_json(parts.plan(1))["strategy"] == "fsdp2"
    assert [event.outcome for event in told(parts, ev.AttemptEnded)] == ["killed", "completed"]
    starts = [event.resumed_from_step for event in told(parts, ev.AttemptStarted)]
    assert starts == [0, told(parts, ev.CheckpointSaved)[0].step]
    losses, wanted = workshop.losses(parts), workshop.losses(expected)
    assert list(losses) == list(wanted) == [1, 2, 3, 4, 5, 6]
    for step, (loss, norm) in losses.items():
        assert loss == pytest.approx(wanted[step][0], abs=1e-2)  # bfloat16, and another head
        assert norm == pytest.approx(wanted[step][1], rel=0.05)
    assert told(parts, ev.EvalLogged)[-1].loss == pytest.approx(told(expected, ev.EvalLogged)[-1].loss, abs=1e-2)
    for probed in told(parts, ev.MemoryProbed):
        assert 0.75 < probed.predicted_bytes / probed.peak_bytes < 1.25
    for place in ("adapter", "checkpoints/checkpoint-6"):
        tensors, others = (load_file(run.path / place / "adapter_model.safetensors") for run in (parts, expected))
        assert {name: each.shape for name, each in tensors.items()} == {n: each.shape for n, each in others.items()}
        flat, other = (torch.cat([each[name].flatten() for name in sorted(each)]) for each in (tensors, others))
        assert (flat - other).norm() < 0.02 * other.norm()
