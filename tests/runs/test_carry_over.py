"""A run whose plan changes its adapter's shape on the way: it goes on from the same step with what it learned."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from engine import events as ev
from engine.event_log import EventReader
from engine.plan import Plan
from engine.run_dir import RunDir, read_json


def test_a_run_resumed_under_half_the_rank_goes_on_from_its_step_with_its_weights(
    workshop: Any, straight: RunDir
) -> None:
    run = workshop.begin("narrowed", "training.save_steps=2")
    workshop.wait_for_step(run, 4)
    workshop.finetui("stop", run.name)
    workshop.wait_for(run, lambda event: isinstance(event, ev.RunStopped))
    plan = Plan.from_json(read_json(run.plan(run.latest_plan_number())))
    narrower = replace(plan, r=2, rungs=("halve_rank",), memory=None)
    run.plan(run.latest_plan_number() + 1).write_text(json.dumps(narrower.to_json()))
    done = workshop.finetui("resume", run.name)
    assert done.returncode == 0, done.stdout + done.stderr
    told = [stamped.event for stamped in EventReader(run.events).poll()]
    (carried,) = [event for event in told if isinstance(event, ev.WeightsCarried)]
    stopped_at = next(event.step for event in told if isinstance(event, ev.RunStopped))
    assert (carried.step, carried.changes) == (stopped_at, ("rank 4 -> 2",))
    assert 0 < carried.error < 1
    assert carried.eval_loss_before is not None
    assert carried.eval_loss_after is not None
    losses, expected = workshop.losses(run), workshop.losses(straight)
    assert list(losses) == list(expected)
    assert all(losses[step] == expected[step] for step in range(1, stopped_at + 1))
    config = json.loads((run.adapter / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"]) == (2, plan.lora_alpha)
