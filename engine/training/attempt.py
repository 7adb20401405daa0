"""One attempt: a fresh process that owns the device and follows one plan to its end, a stop or an OOM.

Run as `python -P -m engine.training.attempt RUN_DIR SUPERVISOR_PID NUMBER`. Not here: what happens after an
OOM; the supervisor decides.
"""

from __future__ import annotations

import gc
import shutil
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from engine import carrying, checkpoints
from engine.checkpoints import Checkpoint
from engine.event_log import EventWriter
from engine.events import AttemptStarted, OomHit, TrainingEnded, TrainingStarted, WarningRaised, clip
from engine.plan import Plan
from engine.recipe import Recipe
from engine.run_dir import RunDir, read_json
from engine.training.building import build
from engine.training.callbacks import RunCallback
from engine.training.capping import Reserve, probe_margin, settle
from engine.training.carry_over import carry_over
from engine.training.out_of_memory import OutOfMemory, Raised, disk_full, forget_frames, is_disk_full, out_of_memory
from engine.training.probe import allocated_bytes, check_loaded, probe
from engine.training.result import save_result
from engine.training.trainer import RunTrainer
from engine.worker_edge import at_edge, die_with_parent

OUT_OF_MEMORY = 5
SAVABLE = ("first step", "step", "between steps", "eval", "save")
"""Phases in which the weights are those of the last finished step. In the optimizer some may be changed already."""
IN_STEP = ("first step", "step")


@dataclass(slots=True)
class StopFlag:
    """Set by SIGTERM, SIGINT or SIGHUP; looked at between steps."""

    raised: bool = False

    def watch(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._raise)

    def _raise(self, *_: Any) -> None:
        self.raised = True


@dataclass(slots=True)
class Attempt:
    """One attempt and how far it came. `newest` is the checkpoint that it goes on from."""

    run: RunDir
    number: int
    writer: EventWriter
    stop: StopFlag
    recipe: Recipe
    plan: Plan
    newest: Checkpoint | None
    reserve: Reserve
    trainer: RunTrainer | None = None
    callback: RunCallback | None = None

    @property
    def step(self) -> int:
        """The last finished step."""
        trained = self.trainer.state.global_step if self.trainer else 0
        return max(trained, self.newest.step if self.newest else 0)

    def follow(self) -> int:
        """The plan, from the newest checkpoint that can go on under it. The last event says how it ended."""
        self.trainer, self.callback = trainer, callback = build(
            self.run, self.recipe, self.plan, self.writer, lambda: self.stop.raised, attempt=self.number
        )
        if not self.stop.raised:
            callback.enter("resume")
            self.newest = take_up(self.newest, trainer, self.writer)
            if self.recipe.memory.probe and self.step < trainer.total_steps:
                callback.enter("probe")
                self.probe(trainer, callback)
        if not self.stop.raised:
            train(trainer, callback, self.newest, self.plan, self.writer)
        if self.stop.raised or callback.stopped_because:
            reason = callback.stopped_because or "a signal asked for it"
            self.writer.write(TrainingEnded(outcome="stopped", step=self.step, reason=reason))
            return 0
        if trainer.eval_dataset is not None and callback.evaluated_at != trainer.state.global_step:
            trainer.evaluate()
        trainer.save_now()
        callback.enter("save")
        trainer.let_go_of_optimizer()
        self.writer.write(save_result(self.run, trainer.model, trainer.processing_class))
        self.writer.write(TrainingEnded(outcome="completed", step=trainer.state.global_step))
        return 0

    def probe(self, trainer: RunTrainer, callback: RunCallback) -> None:
        """Compare what was loaded with what was predicted, then run the longest rows once."""
        if self.plan.memory and (warning := check_loaded(allocated_bytes(trainer), self.plan.memory)):
            self.writer.write(WarningRaised(text=warning))
        folder = self.run.checkpoints / checkpoints.STAGING / "probe"
        margin = probe_margin(self.plan)
        probed = probe(trainer, self.plan.memory, folder, attempt=self.number)
        margin.give_up()
        self.writer.write(probed)
        callback.on_probed(probed)

    def end_without_memory(self, lacking: OutOfMemory) -> int:
        """Keep what the last finished step left, where that is possible, and say what is kept."""
        phase = self.callback.phase if self.callback else "load"
        step = self.step
        self.writer.write(
            OomHit(attempt=self.number, phase=phase, step=step, message=lacking.message, cause=lacking.cause)
        )
        self.reserve.give_up()
        kept = self.newest.step if self.newest else 0
        if self.trainer is not None and self.callback is not None:
            kept = self.save(self.trainer, self.callback, phase, kept)
        reason = lacking.message
        if lost := step - kept:
            where = f"from the checkpoint of step {kept}" if kept else "from step 0, no checkpoint was written yet"
            why = ": weights may be changed in part" if phase == "optimizer" else ""
            reason = f"{lost} {'step is' if lost == 1 else 'steps are'} lost{why}; it goes on {where}. {reason}"
        self.writer.write(TrainingEnded(outcome="out_of_memory", step=kept, reason=clip(reason, 600)))
        return OUT_OF_MEMORY

    def save(self, trainer: RunTrainer, callback: RunCallback, phase: str, kept: int) -> int:
        """A checkpoint of the last finished step, as an uninterrupted run's would be. Returns the step kept."""
        callback.drop_measurement()
        kept = max(kept, trainer.last_sealed_step)
        if phase not in SAVABLE or trainer.state.global_step <= kept:
            return kept
        trainer.model.zero_grad(set_to_none=True)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if phase in IN_STEP and callback.at_step_begin is not None:
            callback.at_step_begin.restore()  # the lost half of a step has drawn from them
        try:
            trainer.save_now()
        except Raised as fault:
            said = clip(str(fault).split("\n")[0], 200)
            self.writer.write(WarningRaised(text=f"no checkpoint of step {trainer.state.global_step}: {said}"))
        return max(kept, trainer.last_sealed_step)


def attempt(run: RunDir, number: int, writer: EventWriter, stop: StopFlag) -> int:
    """Follow the newest plan of a run. Raises RunDirError when the disk is full."""
    plan_path = run.plan(run.latest_plan_number())
    plan = Plan.from_json(read_json(plan_path))
    newest, passed_over = carrying.to_continue(run.checkpoints, plan)
    for reason in passed_over:
        writer.write(WarningRaised(text=f"not resumed from {reason}"))
    step = newest.step if newest else 0
    writer.write(AttemptStarted(attempt=number, plan_file=plan_path.name, resumed_from_step=step))
    work = Attempt(run, number, writer, stop, Recipe.load(run.recipe), plan, newest, settle(plan))
    try:
        return work.follow()
    except Raised as fault:
        lacking = out_of_memory(fault)
        if is_disk_full(fault):
            shutil.rmtree(run.checkpoints / checkpoints.STAGING, ignore_errors=True)
            raise disk_full(fault, str(run.path)) from fault
        if lacking is None:
            raise
        forget_frames(fault)
    return work.end_without_memory(lacking)


def take_up(newest: Checkpoint | None, trainer: RunTrainer, writer: EventWriter) -> Checkpoint | None:
    """The checkpoint to resume from in the trainer's shape, carried over where it was made under another."""
    if newest is None:
        return None
    changed = carrying.change(newest.key, trainer.key)
    assert changed is not None
    if changed.words:
        newest = carry_over(newest, changed, trainer, writer)
    else:
        trainer.progress = newest.progress
    rows, num_rows = newest.progress.num_rows, len(trainer.train_dataset)
    if rows and rows != num_rows:
        text = f"step {newest.step} is kept, but the order of rows changes: {num_rows} rows are left of {rows}"
        writer.write(WarningRaised(text=text))
    trainer.progress = replace(trainer.progress, num_rows=num_rows)
    trainer.last_sealed_step = newest.step
    return newest


def train(
    trainer: RunTrainer, callback: RunCallback, newest: Checkpoint | None, plan: Plan, writer: EventWriter
) -> None:
    """The steps that are left. A run that already has its last step trains nothing."""
    writer.write(
        TrainingStarted(
            max_steps=trainer.total_steps,
            num_rows=len(trainer.train_dataset),
            effective_batch_size=plan.effective_batch_size,
            resumed_from_step=newest.step if newest else 0,
        )
    )
    if newest and newest.step >= trainer.total_steps:
        callback.enter("resume")
        trainer.take_over(newest)  # transformers would train one step more
        return
    callback.enter("resume" if newest else "first step")
    trainer.train(resume_from_checkpoint=str(newest.path) if newest else None)


def main(arguments: list[str]) -> int:
    run, number = RunDir(Path(arguments[0])), int(arguments[2])
    stop = StopFlag()
    stop.watch()
    die_with_parent(int(arguments[1]))
    writer = EventWriter(run.event_file(f"attempt-{number}"))
    return at_edge(lambda: attempt(run, number, writer, stop), writer)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
