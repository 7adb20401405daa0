"""One attempt: a fresh process that owns the device and follows one plan to its end, a stop or an OOM.

Run as `python -P -m engine.training.attempt RUN_DIR SUPERVISOR_PID NUMBER`, by torchrun once for each rank. Not here:
what happens after an OOM; the supervisor decides. What ranks agree on is `ranks`.
"""

from __future__ import annotations

import gc
import shutil
import signal
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from engine import carrying, checkpoints
from engine.checkpoints import Checkpoint
from engine.errors import RunDirError
from engine.event_log import EventWriter
from engine.events import AttemptStarted, OomHit, PeerLost, TrainingEnded, TrainingStarted, WarningRaised, clip
from engine.foreign_code import refuse_unconfirmed
from engine.plan import Plan
from engine.ranks.beats import PAUSED, mark_lost, writer_of
from engine.ranks.planning import SHARDED, can_save_alone
from engine.recipe import Recipe
from engine.run_dir import RunDir, read_json
from engine.training import rank_states
from engine.training.building import build
from engine.training.callbacks import RunCallback
from engine.training.capping import Reserve, probe_margin, settle
from engine.training.carry_over import carry_over
from engine.training.dataset_files import num_rows as row_count
from engine.training.out_of_memory import OutOfMemory, Raised, disk_full, forget_frames, is_disk_full, out_of_memory
from engine.training.probe import allocated_bytes, check_loaded, probe, worst
from engine.training.random_states import RandomStates
from engine.training.ranks import Heart, QuietWriter, Ranks, follow_agent, leave_now, peer_lost, speak_into
from engine.training.result import save_result
from engine.training.sharding import is_sharded, whole_state
from engine.training.trainer import RunTrainer
from engine.worker_edge import at_edge, die_with_parent

OUT_OF_MEMORY = 5
PEER_LOST = 1
SAVABLE = ("first step", "step", "between steps", PAUSED, "eval", "save")
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
    ranks: Ranks = field(default_factory=Ranks)
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
            self.run,
            self.recipe,
            self.plan,
            self.writer,
            lambda: self.stop.raised,
            attempt=self.number,
            ranks=self.ranks,
        )
        if not self.is_stopped():
            callback.enter("resume")
            self.newest = take_up(self.newest, trainer, self.writer)
            if self.recipe.memory.probe and self.step < trainer.total_steps:
                callback.enter("probe")
                self.probe(trainer, callback)
        if not self.is_stopped():
            train(trainer, callback, self.newest, self.plan, self.writer)
        if self.is_stopped() or callback.stopped_because:
            reason = callback.stopped_because or "a signal asked for it"
            self.writer.write(TrainingEnded(outcome="stopped", step=self.step, reason=reason))
            return 0
        if trainer.eval_dataset is not None and callback.evaluated_at != trainer.state.global_step:
            trainer.evaluate()
        trainer.save_now()
        callback.enter("save")
        trainer.let_go_of_optimizer()
        weights = whole_state(trainer.model) if is_sharded(trainer.model) else None
        if self.ranks.is_first:
            self.writer.write(save_result(self.run, trainer.model, trainer.processing_class, weights))
            self.writer.write(TrainingEnded(outcome="completed", step=trainer.state.global_step))
        return 0

    def is_stopped(self) -> bool:
        """Whether a signal asked this rank or another one to stop; all of them ask that now."""
        return self.ranks.any(self.stop.raised)

    def probe(self, trainer: RunTrainer, callback: RunCallback) -> None:
        """Compare what was loaded with what was predicted, then run the longest rows once."""
        whole = self.plan.strategy not in SHARDED  # the parts that were predicted are made in the first step
        if whole and self.plan.memory and (warning := check_loaded(allocated_bytes(trainer), self.plan.memory)):
            self.writer.write(WarningRaised(text=warning))
        folder = self.run.checkpoints / checkpoints.STAGING / f"probe-{self.ranks.rank}"
        margin = probe_margin(self.plan)
        probed = probe(trainer, self.plan.memory, folder, attempt=self.number)
        margin.give_up()
        callback.tell_memory("probe", self.step)
        probed = worst(probed, self.ranks)
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
        kept = self.keep(phase)
        if not self.ranks.is_first:
            return OUT_OF_MEMORY
        reason = lacking.message
        if lost := step - kept:
            where = f"from the checkpoint of step {kept}" if kept else "from step 0, no checkpoint was written yet"
            why = ": weights may be changed in part" if phase == "optimizer" else ""
            reason = f"{lost} {'step is' if lost == 1 else 'steps are'} lost{why}; it goes on {where}. {reason}"
        self.writer.write(TrainingEnded(outcome="out_of_memory", step=kept, reason=clip(reason, 600)))
        return OUT_OF_MEMORY

    def end_without_peer(self, said: str) -> int:
        """Another rank is gone: keep what the last finished step left, where that is possible."""
        phase, step = self.callback.phase if self.callback else "load", self.step
        kept = self.keep(phase)
        told = f"{said} It goes on from step {kept}." if self.ranks.is_first else said
        event = PeerLost(attempt=self.number, rank=self.ranks.rank, phase=phase, step=step, message=clip(told, 600))
        self.writer.write(event)
        return PEER_LOST

    def keep(self, phase: str) -> int:
        """What is left of the last finished step, before this process ends. Returns the step kept."""
        kept = self.newest.step if self.newest else 0
        if self.trainer is None or self.callback is None:
            return kept
        if self.ranks.size > 1:
            self.keep_random_states()
            mark_lost(self.run.beats(self.number))
            self.ranks.alone = True
        if not can_save_alone(self.plan):
            return max(kept, self.trainer.last_sealed_step)
        return self.save(self.trainer, self.callback, phase, kept) if self.ranks.is_first else kept

    def keep_random_states(self) -> None:
        """This rank's random states of the last finished step, for the checkpoint that rank 0 writes of it alone."""
        if self.trainer is None or self.callback is None:
            return
        begun = self.callback.at_step_begin if self.callback.phase in (*IN_STEP, "optimizer") else None
        step = self.trainer.state.global_step
        rank_states.keep(begun or RandomStates.now(), self.ranks, self.run.beats(self.number), step)

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


def attempt(run: RunDir, number: int, writer: EventWriter, stop: StopFlag, ranks: Ranks, heart: Heart) -> int:
    """Follow the newest plan of a run. Raises RunDirError when the disk is full."""
    plan_path = run.plan(run.latest_plan_number())
    plan, recipe = Plan.from_json(read_json(plan_path)), refuse_unconfirmed(Recipe.load(run.recipe))
    if ranks.size > 1 and plan.device != "cpu":
        plan = replace(plan, device=f"cuda:{ranks.local_rank}")
    newest, passed_over = carrying.to_continue(run.checkpoints, plan)
    for reason in passed_over:
        writer.write(WarningRaised(text=f"not resumed from {reason}"))
    step = newest.step if newest else 0
    writer.write(AttemptStarted(attempt=number, plan_file=plan_path.name, resumed_from_step=step))
    work = Attempt(run, number, writer, stop, recipe, plan, newest, settle(plan), ranks)
    heart.follow(lambda: (work.callback.phase if work.callback else "load", work.step), work.keep_random_states)
    try:
        ranks.join(plan.device, recipe.distributed.timeout_seconds)
        same_start(step, run, ranks)
        return work.follow()
    except Raised as fault:
        lacking, said = out_of_memory(fault), peer_lost(fault)
        if is_disk_full(fault):
            shutil.rmtree(run.checkpoints / checkpoints.STAGING, ignore_errors=True)
            raise disk_full(fault, str(run.path)) from fault
        if lacking is None and not (said and ranks.size > 1):
            raise
        forget_frames(fault)
    return work.end_without_memory(lacking) if lacking else work.end_without_peer(said)


def same_start(step: int, run: RunDir, ranks: Ranks) -> None:
    """Raises RunDirError where ranks would go on from different checkpoints."""
    steps = [int(found) for (found,) in ranks.figures([step])]
    if ranks.is_first and ranks.size > 1:
        shutil.rmtree(run.checkpoints / checkpoints.STAGING, ignore_errors=True)
    if len(set(steps)) > 1:
        told = ", ".join(f"rank {rank}: step {found}" for rank, found in enumerate(steps))
        raise RunDirError(
            f"The ranks see different checkpoints ({told}).",
            means="They would train different models under one name.",
            remedy=f"Every host has to see the same files under {run.checkpoints}.",
        )


def take_up(newest: Checkpoint | None, trainer: RunTrainer, writer: EventWriter) -> Checkpoint | None:
    """The checkpoint to resume from in the trainer's shape, carried over where it was made under another."""
    if newest is None:
        return None
    changed = carrying.change(newest.key, trainer.key)
    assert changed is not None
    if changed.words:
        newest = carried(newest, changed, trainer, writer)
    else:
        trainer.progress = newest.progress
    tell_of_ranks(newest, trainer.ranks, writer)
    rows, num_rows = newest.progress.num_rows, len(trainer.train_dataset)
    if rows and rows != num_rows:
        text = f"step {newest.step} is kept, but the order of rows changes: {num_rows} rows are left of {rows}"
        writer.write(WarningRaised(text=text))
    trainer.progress = replace(trainer.progress, num_rows=num_rows, num_ranks=trainer.ranks.size, without=())
    trainer.last_sealed_step = newest.step
    return newest


def carried(newest: Checkpoint, changed: carrying.Change, trainer: RunTrainer, writer: EventWriter) -> Checkpoint:
    """The checkpoint in the trainer's shape, which rank 0 makes of it; the others take it from there."""
    made = carry_over(newest, changed, trainer, writer) if trainer.ranks.is_first else newest
    trainer.ranks.wait()
    if trainer.ranks.is_first:
        return made
    made = checkpoints.opened(newest.path)
    trainer.progress = made.progress
    return made


def tell_of_ranks(newest: Checkpoint, ranks: Ranks, writer: EventWriter) -> None:
    """Say so where not every rank finds its random states in the checkpoint."""
    before = newest.progress
    if before.num_ranks != ranks.size:
        told = f"step {newest.step} was reached by {before.num_ranks} {'rank' if before.num_ranks == 1 else 'ranks'}"
        text = f"{told}, it goes on with {ranks.size}: their random numbers (dropout) begin anew"
        writer.write(WarningRaised(text=text))
    elif before.without:
        gone = f"{len(before.without)} of {ranks.size} ranks"
        text = f"step {newest.step} was saved when {gone} were gone: their random numbers (dropout) begin anew"
        writer.write(WarningRaised(text=text))


def train(
    trainer: RunTrainer, callback: RunCallback, newest: Checkpoint | None, plan: Plan, writer: EventWriter
) -> None:
    """The steps that are left. A run that already has its last step trains nothing."""
    writer.write(
        TrainingStarted(
            max_steps=trainer.total_steps,
            num_rows=row_count(trainer.train_dataset),
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
    stop, ranks = StopFlag(), Ranks()
    stop.watch()
    if ranks.size == 1:
        die_with_parent(int(arguments[1]))
        writer = EventWriter(run.event_file(writer_of(number, 0)))
        return at_edge(lambda: attempt(run, number, writer, stop, ranks, Heart(None, 0)), writer)
    follow_agent()
    ranks.folder = run.beats(number)
    file = run.event_file(writer_of(number, ranks.rank))
    writer = EventWriter(file) if ranks.is_first else QuietWriter(file)
    if not ranks.is_first:
        speak_into(run.log_file(writer_of(number, ranks.rank)))
    heart = Heart(run.beats(number), ranks.rank)
    heart.start()
    exit_code = at_edge(lambda: attempt(run, number, writer, stop, ranks, heart), writer)
    heart.stop()
    if exit_code == 0:
        ranks.leave()
    return leave_now(exit_code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
