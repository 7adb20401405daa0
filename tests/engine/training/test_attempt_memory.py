"""Attempts that run out of memory for real: processes of their own under a RAM cap, met by one huge row.

Each phase has its test: what is told, what is kept, and that the next attempt goes on as if nothing had been.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from engine import carrying, checkpoints
from engine.attempt_outcome import outcome_of, silent_oom
from engine.control import send
from engine.environment import child_environment, device_environment, worker_command
from engine.event_log import EventReader, EventWriter
from engine.events import (
    AttemptStarted,
    CheckpointSaved,
    Event,
    MemoryProbed,
    OomHit,
    StepLogged,
    TrainingEnded,
    TrainingPaused,
    WarningRaised,
)
from engine.plan import Plan
from engine.run_dir import RunDir
from engine.training.attempt import Attempt
from engine.training.capping import Reserve
from engine.training.dataset_files import write_split
from engine.training.out_of_memory import OutOfMemory
from engine.training.rendering import Rendered

# peft asks a model of transformers under the old name of a property; it answers as ever.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

MIB = 2**20
OUT_OF_MEMORY = 5
WAIT_SECONDS = 120.0
NO_PROBE = {"probe": False}
HUGE = 12_000
"""Tokens of the row that does not fit. The others have at most 30."""


def huge(line: int, num_tokens: int = HUGE) -> Rendered:
    ids = [token % 200 for token in range(num_tokens)]
    return Rendered(line, ids, [-100] * (num_tokens - 50) + ids[-50:], True)


def add_huge_row(made: Any, split: str, num_tokens: int = HUGE) -> None:
    """Put one huge row behind the others of a split."""
    import pyarrow.parquet as pq

    table = pq.read_table(made.run.dataset / f"{split}.parquet").to_pylist()
    rows = [Rendered(row["line"], row["input_ids"], row["labels"], True) for row in table]
    write_split(made.run.dataset, split, [*rows, huge(len(rows) + 1, num_tokens)])


def attempt(made: Any, plan: Plan) -> int:
    """One attempt under that plan, as the supervisor starts it, to its end; its exit code."""
    process = begin(made, plan)
    _, errors = process.communicate()
    assert process.returncode in (0, OUT_OF_MEMORY), errors[-4000:]
    return process.returncode


def begin(made: Any, plan: Plan) -> subprocess.Popen[str]:
    run: RunDir = made.run
    number = run.next_attempt()
    run.plan(number).write_text(json.dumps(plan.to_json()))
    environment = child_environment() | device_environment(
        device="cpu", uuid="", expandable_segments=False, is_capped=plan.enforce_limit
    )
    command = worker_command("engine.training.attempt", str(run.path), str(os.getpid()), str(number))
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=run.path, env=environment
    )


def wait_for(made: Any, kind: type[Event]) -> Any:
    """The first event of that kind, waited for."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if found := told(made, kind):
            return found[0]
        time.sleep(0.05)
    raise AssertionError(f"no {kind.__name__} in {WAIT_SECONDS:.0f} s")


def lower_the_cap(pid: int) -> None:
    """Below what the process uses: it keeps that, and gets nothing more."""
    used = psutil.Process(pid).memory_info().data - 16 * MIB
    _, hard = resource.prlimit(pid, resource.RLIMIT_DATA)
    resource.prlimit(pid, resource.RLIMIT_DATA, (used, hard))


def told(made: Any, kind: type[Event]) -> list[Any]:
    return [stamped.event for stamped in EventReader(made.run.events).poll() if isinstance(stamped.event, kind)]


def capped(plan: Plan, num_bytes: int) -> Plan:
    return replace(plan, capacity_bytes=num_bytes, enforce_limit=True)


def losses(made: Any) -> dict[int, tuple[float, float | None, int]]:
    return {event.step: (event.loss, event.grad_norm, event.num_tokens) for event in told(made, StepLogged)}


def final_adapter(made: Any) -> bytes:
    return bytes((made.run.adapter / "adapter_model.safetensors").read_bytes())


def with_one_huge_row(rig: Callable[..., Any]) -> Any:
    made = rig(
        adapter={"lora_dropout": 0.1},
        training={"max_steps": 8, "save_steps": 100, "max_length": HUGE, "per_device_train_batch_size": 3, "seed": 3},
        memory={"probe": False},
    )
    add_huge_row(made, "train")
    return made


@pytest.fixture
def wide(tiny_model_folder: Path, tmp_path: Path) -> Path:
    """A model of 34 million parameters: what is kept per parameter is larger than what else a process takes."""
    folder = tmp_path / "wide"
    config = LlamaConfig(
        vocab_size=json.loads((tiny_model_folder / "config.json").read_text())["vocab_size"],
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=2,
        num_attention_heads=8,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((tiny_model_folder / name).read_bytes())
    return folder


def fully_trained(rig: Callable[..., Any], folder: Path, steps: int, **sections: Any) -> Any:
    made = rig(
        rows=4,
        eval_rows=2,
        adapter={"method": "full"},
        training={"max_steps": steps, "per_device_train_batch_size": 1, "learning_rate": 1e-5, **sections},
        memory={"probe": False},
    )
    made.run.model.write_text(json.dumps({"name": str(folder), "kind": "folder", "folder": str(folder)}))
    return made


@pytest.mark.slow(seconds=110)
def test_a_step_that_runs_out_of_memory_loses_nothing(rig: Callable[..., Any]) -> None:
    """The checkpoint of the step before is written then and there; the run that goes on is the uninterrupted one."""
    straight = with_one_huge_row(rig)
    assert attempt(straight, straight.plan) == 0
    expected = losses(straight)
    at = max(expected, key=lambda step: expected[step][2])
    assert at > 2, "the huge row has to come after some steps"
    made = with_one_huge_row(rig)
    assert attempt(made, capped(made.plan, 96 * MIB)) == OUT_OF_MEMORY
    (hit,) = told(made, OomHit)
    assert (hit.phase, hit.step, hit.cause) == ("step", at - 1, "cpu allocator")
    assert told(made, TrainingEnded) == [
        TrainingEnded(outcome="out_of_memory", step=at - 1, reason=hit.message),
    ]
    assert checkpoints.steps(made.run.checkpoints) == [at - 1]
    assert attempt(made, made.plan) == 0
    assert told(made, AttemptStarted)[1].resumed_from_step == at - 1
    assert losses(made) == expected
    assert len(told(made, StepLogged)) == 8, "no step was repeated"
    assert final_adapter(made) == final_adapter(straight)


@pytest.mark.slow
def test_the_probe_meets_it_before_anything_is_lost(rig: Callable[..., Any]) -> None:
    made = with_one_huge_row(rig)
    made.run.recipe.write_text(made.recipe.model_copy(update={"memory": type(made.recipe.memory)()}).to_toml())
    assert attempt(made, capped(made.plan, 96 * MIB)) == OUT_OF_MEMORY
    (hit,) = told(made, OomHit)
    assert (hit.phase, hit.step, hit.cause) == ("probe", 0, "cpu allocator")
    assert told(made, StepLogged) == []
    assert attempt(made, replace(capped(made.plan, 96 * MIB), max_length=64)) == 0
    (probed,) = told(made, MemoryProbed)
    assert probed.peak_bytes < 96 * MIB


@pytest.mark.slow
def test_an_eval_that_runs_out_of_memory_keeps_the_step_it_was_for(rig: Callable[..., Any]) -> None:
    made = rig(
        training={"max_steps": 6, "save_steps": 100, "eval_steps": 3, "max_length": 12 * HUGE}, memory={"probe": False}
    )
    add_huge_row(made, "eval", 12 * HUGE)
    assert attempt(made, capped(made.plan, 96 * MIB)) == OUT_OF_MEMORY
    (hit,) = told(made, OomHit)
    assert (hit.phase, hit.step) == ("eval", 3)
    assert checkpoints.steps(made.run.checkpoints) == [3]


@pytest.mark.slow
def test_a_save_that_runs_out_of_memory_keeps_the_last_checkpoint(rig: Callable[..., Any]) -> None:
    """While the run is held up its cap is lowered from outside: saving then finds no room."""
    made = rig(adapter={"r": 512}, training={"max_steps": 100_000, "save_steps": 100_000}, memory=NO_PROBE)
    plan = capped(made.plan, 400 * MIB)
    with begin(made, plan) as process:
        wait_for(made, StepLogged)
        send(made.run, "save")
        saved = wait_for(made, CheckpointSaved).step
        send(made.run, "pause")
        step = wait_for(made, TrainingPaused).step
        lower_the_cap(process.pid)
        send(made.run, "save")
        deadline = time.monotonic() + WAIT_SECONDS
        while process.poll() is None and len(told(made, CheckpointSaved)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        exit_code = process.poll()
        process.kill()
    kept = max(checkpoints.steps(made.run.checkpoints))
    assert saved <= kept <= step
    newest, passed_over = carrying.to_continue(made.run.checkpoints, made.plan)
    assert (newest and newest.step, passed_over) == (kept, []), "whole, and of this plan"
    if len(told(made, CheckpointSaved)) > 1:
        pytest.skip("the save found room enough in what the steps before it had given back")
    # Which allocation fails decides how: Python raises, the writer of safetensors aborts the process.
    assert exit_code is not None
    oom = outcome_of(made.run, 1, exit_code).oom or silent_oom(made.run, 1, plan, exit_code, "")
    assert oom is not None, exit_code
    assert oom.cause == "cpu allocator"


@pytest.mark.slow
def test_a_model_that_does_not_fit_is_met_while_it_is_loaded(rig: Callable[..., Any], wide: Path) -> None:
    made = fully_trained(rig, wide, 2)
    assert attempt(made, capped(made.plan, 90 * MIB)) == OUT_OF_MEMORY
    (hit,) = told(made, OomHit)
    assert (hit.phase, hit.step) == ("load", 0)
    (ended,) = told(made, TrainingEnded)
    assert (ended.outcome, ended.step) == ("out_of_memory", 0)


@pytest.mark.slow
def test_an_optimizer_that_finds_no_room_leaves_half_changed_weights_unsaved(
    rig: Callable[..., Any], wide: Path
) -> None:
    """Weights and gradients fit, its two moments do not."""
    made = fully_trained(rig, wide, 2)
    assert attempt(made, capped(made.plan, 430 * MIB)) == OUT_OF_MEMORY
    (hit,) = told(made, OomHit)
    assert (hit.phase, hit.step) == ("optimizer", 0)
    assert checkpoints.steps(made.run.checkpoints) == []


@pytest.mark.slow
@pytest.mark.long
def test_an_optimizer_state_that_does_not_fit_any_more_is_met_on_resuming(rig: Callable[..., Any], wide: Path) -> None:
    made = fully_trained(rig, wide, 1, save_steps=1)
    assert attempt(made, made.plan) == 0
    longer = fully_trained(rig, wide, 3, save_steps=1)
    (longer.run.checkpoints / "checkpoint-1").symlink_to(made.run.checkpoints / "checkpoint-1")
    assert attempt(longer, capped(longer.plan, 350 * MIB)) == OUT_OF_MEMORY
    (hit,) = told(longer, OomHit)
    assert (hit.phase, hit.step) == ("resume", 1)
    (ended,) = told(longer, TrainingEnded)
    assert (ended.step, ended.reason) == (1, hit.message)


@pytest.mark.parametrize(("phase", "kept"), [("optimizer", 2), ("step", 3), ("save", 3)])
def test_what_is_lost_is_said(rig: Callable[..., Any], phase: str, kept: int) -> None:
    """Step 3 is done, the checkpoint is of step 2. Half-way through the optimizer no weight can be trusted."""
    made = rig(training={"max_steps": 3, "save_steps": 2})
    trainer, callback = made.build()
    made.train(trainer, callback)
    writer = EventWriter(made.run.event_file("attempt-9"))
    work = Attempt(
        made.run, 9, writer, made.stop, made.recipe, made.plan, None, Reserve(0), trainer=trainer, callback=callback
    )
    shutil.rmtree(made.run.checkpoints / "checkpoint-3")
    trainer.last_sealed_step = 2
    callback.enter(phase)
    assert work.end_without_memory(OutOfMemory("cpu allocator", "no room")) == OUT_OF_MEMORY
    (ended,) = told(made, TrainingEnded)
    assert (ended.outcome, ended.step) == ("out_of_memory", kept)
    assert max(checkpoints.steps(made.run.checkpoints)) == kept
    lost = "1 step is lost: weights may be changed in part; it goes on from the checkpoint of step 2. no room"
    assert ended.reason == (lost if kept == 2 else "no room")


def test_where_saving_fails_too_the_last_checkpoint_serves_and_that_is_said(rig: Callable[..., Any]) -> None:
    made = rig(training={"max_steps": 3, "save_steps": 2})
    trainer, callback = made.build()
    made.train(trainer, callback)
    shutil.rmtree(made.run.checkpoints / "checkpoint-3")
    trainer.last_sealed_step = 2
    (made.run.checkpoints / "staging").write_text("in the way of every save")
    callback.enter("step")
    writer = EventWriter(made.run.event_file("attempt-9"))
    work = Attempt(
        made.run, 9, writer, made.stop, made.recipe, made.plan, None, Reserve(0), trainer=trainer, callback=callback
    )
    work.end_without_memory(OutOfMemory("cpu allocator", "no room"))
    (ended,) = told(made, TrainingEnded)
    assert ended.step == 2
    assert ended.reason.startswith("1 step is lost; it goes on from the checkpoint of step 2.")
    assert "no checkpoint of step 3" in told(made, WarningRaised)[-1].text
