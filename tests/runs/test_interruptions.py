"""Stops, kills and hang-ups: nothing is lost, and the resumed run equals the uninterrupted one.

One is resumed in another shape of its adapter: from the same step, with what it had learned.
"""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from engine import events as ev
from engine.checkpoints import newest
from engine.event_log import EventReader, read_events
from engine.plan import Plan
from engine.run_dir import RunDir, read_json
from engine.run_state import fold_all

pytestmark = pytest.mark.slow(seconds=160)


def assert_equal(workshop: Any, run: RunDir, straight: RunDir) -> None:
    """Every loss and gradient norm to the last digit, and the adapter byte for byte."""
    assert workshop.losses(run) == workshop.losses(straight)
    assert workshop.adapter_bytes(run) == workshop.adapter_bytes(straight)


def test_a_stopped_run_resumes_with_the_losses_of_an_uninterrupted_one(workshop: Any, straight: RunDir) -> None:
    run = workshop.begin("stopped")
    workshop.hold_after_step(run, 2)
    stopped = workshop.finetui("stop", run.name)
    assert stopped.returncode == 0, stopped.stderr
    assert "stopped" in workshop.finetui("status", run.name).stdout
    assert workshop.finetui("attach", run.name).returncode == 7
    resumed = workshop.finetui("resume", run.name)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert_equal(workshop, run, straight)


def test_a_killed_attempt_is_started_again_from_its_last_checkpoint(workshop: Any, straight: RunDir) -> None:
    run = workshop.begin("killed")
    workshop.wait_for_step(run, 6)
    os.kill(workshop.worker_pid(run, "engine.training.attempt"), signal.SIGKILL)
    watched = workshop.finetui("attach", run.name)
    assert watched.returncode == 0, watched.stdout
    state = fold_all(read_events(run.events))
    assert state.attempt == 2
    assert any("killed by signal 9" in warning for warning in state.warnings)
    assert_equal(workshop, run, straight)


def test_a_run_whose_supervisor_was_killed_is_shown_as_died_and_resumes_at_once(
    workshop: Any, straight: RunDir
) -> None:
    run = workshop.begin("orphan")
    workshop.wait_for_step(run, 2)
    os.kill(workshop.worker_pid(run, "engine.supervisor"), signal.SIGKILL)
    watched = workshop.finetui("attach", run.name)
    assert watched.returncode == 6
    assert f"finetui resume {run.name}" in watched.stdout
    assert "died" in workshop.finetui("runs").stdout
    assert workshop.finetui("resume", run.name).returncode == 0
    assert_equal(workshop, run, straight)


def test_a_damaged_checkpoint_is_passed_over(workshop: Any, straight: RunDir) -> None:
    run = workshop.begin("damaged")
    workshop.hold_after_step(run, 5)
    assert workshop.finetui("stop", run.name).returncode == 0
    key = Plan.from_json(read_json(run.plan(1))).checkpoint_key()
    chosen, _ = newest(run.checkpoints, key)
    assert chosen is not None
    (chosen.path / "optimizer.pt").unlink()
    resumed = workshop.finetui("resume", run.name)
    assert resumed.returncode == 0, resumed.stdout
    assert "optimizer.pt is missing" in resumed.stdout
    assert_equal(workshop, run, straight)


def test_closing_the_terminal_ends_nothing(workshop: Any, straight: RunDir) -> None:
    master, slave = pty.openpty()
    environment = os.environ | {"FINETUI_HOME": str(workshop.home)}
    command = [sys.executable, "-P", "-m", "tui_app", "replay", "tiny.toml", "--set", "run.name=hangup"]
    viewer = subprocess.Popen(
        command, cwd=workshop.folder, env=environment, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    told = b""
    while b"== " not in told:
        told += os.read(master, 4096)
    run = workshop.run("hangup-1")
    os.close(master)
    viewer.kill()
    viewer.wait()
    assert workshop.finetui("attach", run.name).returncode == 0
    assert_equal(workshop, run, straight)


def test_ctrl_c_leaves_the_run_going_and_says_so(workshop: Any) -> None:
    viewer = workshop.start("replay", "tiny.toml", "--set", "run.name=ctrlc", "--set", "training.max_steps=400")
    assert viewer.stdout is not None
    assert "started run ctrlc-1" in viewer.stdout.readline()
    viewer.send_signal(signal.SIGINT)
    _, err = viewer.communicate(timeout=30)
    assert viewer.returncode == 130
    assert " attach ctrlc-1" in err
    run = workshop.run("ctrlc-1")
    workshop.wait_for_step(run, 1)
    assert workshop.finetui("save", run.name).returncode == 0
    assert workshop.finetui("pause", run.name).returncode == 0
    assert fold_all(read_events(run.events)).phase == "paused"
    assert workshop.finetui("continue", run.name).returncode == 0
    assert workshop.finetui("stop", run.name).returncode == 0
    assert workshop.finetui("resume", run.name, "--detach").returncode == 0
    again = workshop.finetui("stop", run.name)
    assert "ending the run at once" not in again.stdout, "one stop before a resume and one after it are two first ones"
    assert workshop.finetui("resume", run.name, "--detach").returncode == 0
    second = workshop.finetui("resume", run.name)
    assert second.returncode == 9
    assert "already has a supervisor" in second.stderr
    os.kill(workshop.worker_pid(run, "engine.supervisor"), signal.SIGTERM)
    assert workshop.finetui("attach", run.name).returncode == 7
    assert workshop.finetui("stop", run.name).returncode == 9


@pytest.mark.long
def test_a_run_resumed_under_half_the_rank_goes_on_from_its_step_with_its_weights(
    workshop: Any, straight: RunDir
) -> None:
    run = workshop.begin("narrowed", "training.save_steps=2")
    workshop.hold_after_step(run, 4)
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
