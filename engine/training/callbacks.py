"""What happens between steps: events out, commands in.

The callback returns nothing: whatever a callback returns replaces the trainer's control object. Not here:
saving (the trainer seals its own checkpoints).
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from typing import Any

import psutil
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from engine import control as commands
from engine.checkpoints import Checkpoint
from engine.control import Command
from engine.event_log import EventWriter
from engine.events import (
    CheckpointSaved,
    CommandAcknowledged,
    EvalLogged,
    LossSpiked,
    MemoryProbed,
    RankMeasured,
    StepLogged,
    TrainingContinued,
    TrainingPaused,
    WarningRaised,
)
from engine.footing import Footing
from engine.loss_spikes import WINDOW, is_spike, usual_loss
from engine.memory import MemoryPrediction
from engine.ranks.beats import PAUSED
from engine.run_dir import RunDir
from engine.training.random_states import RandomStates
from engine.training.ranks import Ranks
from engine.training.running_peak import RunningPeak

MEMORY_SECONDS = 5.0
"""Between two words of a rank about its memory, at least."""
WRITING = ("save", "probe")
"""Phases that begin with files in the run's folder."""
COMMANDS = ("stop", "save", "pause", "continue")
PAUSE_POLL_SECONDS = 0.2
MOST_LINES = 200
"""Lines that an event of 4 kB has room for."""


class RunCallback(TrainerCallback):
    """Tells a run's events and obeys its commands.

    `stop_asked` says whether a signal asked to stop; `take_num_tokens` hands out the real tokens of the step,
    `data_seconds` tells how long it waited for its rows, `lines` which they are.
    `phase` is what is being done now, `at_step_begin` the random states that a checkpoint of the last finished
    step has to hold.
    """

    def __init__(
        self,
        run: RunDir,
        writer: EventWriter,
        *,
        attempt: int = 1,
        prediction: MemoryPrediction | None = None,
        logging_steps: int,
        num_eval_rows: int,
        stop_asked: Callable[[], bool],
        take_num_tokens: Callable[[], int],
        data_seconds: Callable[[], float],
        lines: Callable[[], tuple[int, ...]],
        ranks: Ranks | None = None,
    ) -> None:
        self.run, self.writer, self.footing = run, writer, Footing.of(run)
        self.ranks = ranks or Ranks()
        self.logging_steps, self.num_eval_rows = logging_steps, num_eval_rows
        self.stop_asked, self.take_num_tokens, self.data_seconds = stop_asked, take_num_tokens, data_seconds
        self.lines = lines
        self.stopped_because = ""
        self.phase = "load"
        self.evaluated_at = -1
        self.paused = False
        self.waiting_for_save: list[Command] = []
        self._sealed_step = -1
        self._begun = time.monotonic()
        self._step_seconds = 0.0
        self._process = psutil.Process()
        self._warned_nan = False
        self.at_step_begin: RandomStates | None = None
        self._epoch_begins = False
        self._num_steps = 0
        self._peak = RunningPeak(attempt, prediction)
        self._attempt = attempt
        self._next_memory = 0.0

    def enter(self, phase: str) -> None:
        """Told by the trainer of what it does between steps. Raises RunDirError before a moved run would be written."""
        if phase in WRITING:
            self.footing.require()  # transformers makes the folders that it misses, so the old place would come back
        self.phase = phase

    def on_probed(self, probed: MemoryProbed) -> None:
        self._peak.probed = probed

    def drop_measurement(self) -> None:
        """End what measures the running step, which will not be finished."""
        self._peak.drop()

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        # Opening the epoch draws the order of its rows; a run resumed at its first step opens it again.
        self.at_step_begin, self._epoch_begins = RandomStates.now(), True

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if not self._epoch_begins:
            self.at_step_begin = RandomStates.now()
        self._epoch_begins = False
        self.phase = "step" if self._num_steps else "first step"
        self._begun = time.monotonic()
        self._peak.on_step_begin(self._num_steps + 1, args)

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.phase = "optimizer"

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.phase = "between steps"
        self._step_seconds = time.monotonic() - self._begun
        self._num_steps += 1
        if measured := self._peak.on_step_end(state.global_step, kwargs.get("model"), kwargs.get("optimizer")):
            self.writer.write(measured)
        self._obey(state, control)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if self.paused:  # held up to let the checkpoint be written, and holds again
            self._obey(state, control)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if not logs or "loss" not in logs:
            return
        num_tokens = self.take_num_tokens()
        self._tell_memory_now_and_then(state.global_step)
        if not math.isfinite(logs["loss"]) and not self._warned_nan:
            self._warned_nan = True
            self.writer.write(WarningRaised(text=f"the loss of step {state.global_step} is {logs['loss']}"))
        self._tell_spike(logs["loss"], state)
        if state.global_step % self.logging_steps and state.global_step != state.max_steps:
            return
        cuda = torch.cuda.is_available() and torch.cuda.is_initialized()
        grad_norm = logs.get("grad_norm")
        figures = self.ranks.figures((num_tokens, self.data_seconds()))
        self.writer.write(
            StepLogged(
                step=state.global_step,
                max_steps=state.max_steps,
                epoch=state.epoch or 0.0,
                loss=logs["loss"],
                learning_rate=logs["learning_rate"],
                grad_norm=float(grad_norm) if grad_norm is not None else None,
                num_tokens=int(sum(tokens for tokens, _ in figures)),
                step_seconds=round(self._step_seconds, 4),
                rss_bytes=self._process.memory_info().rss,
                allocated_bytes=torch.cuda.max_memory_allocated() if cuda else None,
                reserved_bytes=torch.cuda.max_memory_reserved() if cuda else None,
                device_used_bytes=_device_used_bytes() if cuda else None,
                data_seconds=round(max(seconds for _, seconds in figures), 4),
            )
        )

    def tell_memory(self, phase: str, step: int) -> None:
        """What this rank takes, where it is not the only one."""
        if self.ranks.size == 1:
            return
        cuda = torch.cuda.is_available() and torch.cuda.is_initialized()
        told = RankMeasured(
            attempt=self._attempt,
            rank=self.ranks.rank,
            host=os.uname().nodename,
            device=f"cuda:{self.ranks.local_rank}" if cuda else "cpu",
            step=step,
            phase=phase,
            rss_bytes=self._process.memory_info().rss,
            allocated_bytes=torch.cuda.max_memory_allocated() if cuda else None,
            reserved_bytes=torch.cuda.max_memory_reserved() if cuda else None,
            device_used_bytes=_device_used_bytes() if cuda else None,
        )
        self.writer.write(told)

    def _tell_memory_now_and_then(self, step: int) -> None:
        if time.monotonic() >= self._next_memory:
            self._next_memory = time.monotonic() + MEMORY_SECONDS
            self.tell_memory("step", step)

    def _tell_spike(self, loss: float, state: TrainerState) -> None:
        """Say so when the step's loss stands out, and which rows it was made of.

        What came before is the trainer's own history, which checkpoints keep: a resumed run judges as a straight one.
        """
        before = [entry["loss"] for entry in state.log_history[-WINDOW - 1 : -1] if "loss" in entry]
        if is_spike(loss, before):
            usual = usual_loss(before)
            rows = tuple(line for lines in self.ranks.gather(self.lines()[:MOST_LINES]) for line in lines)[:MOST_LINES]
            spiked = LossSpiked(step=state.global_step, loss=loss, usual=loss if usual is None else usual, rows=rows)
            self.writer.write(spiked)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        if metrics:
            self.evaluated_at = state.global_step
            self.writer.write(
                EvalLogged(
                    step=state.global_step,
                    loss=metrics["eval_loss"],
                    num_rows=self.num_eval_rows,
                    seconds=round(metrics["eval_seconds"], 3),
                )
            )

    def on_sealed(self, checkpoint: Checkpoint, seconds: float) -> None:
        """Told by the trainer once a checkpoint is visible."""
        self._sealed_step = checkpoint.step
        self.writer.write(
            CheckpointSaved(
                step=checkpoint.step,
                path=checkpoint.path.relative_to(self.run.path).as_posix(),
                num_bytes=checkpoint.num_bytes,
                seconds=round(seconds, 3),
            )
        )
        for command in self.waiting_for_save:
            self._acknowledge(command, "done", f"saved at step {checkpoint.step}")
        self.waiting_for_save.clear()

    def _obey(self, state: TrainerState, control: TrainerControl) -> None:
        """Take the waiting commands; while paused, wait for more, unless something has to be saved first.

        Rank 0 takes them, a signal may reach any rank, and all ranks follow: one that stopped alone would leave the
        others waiting.
        """
        while True:
            for command in commands.claim(self.run, only=COMMANDS) if self.ranks.is_first else ():
                self._take(command, state, control)
            signalled, stops, saves, is_asked, self.paused = self.ranks.agree(
                (
                    self.stop_asked(),
                    control.should_training_stop,
                    control.should_save,
                    bool(self.stopped_because),
                    self.paused,
                )
            )
            control.should_training_stop, control.should_save = stops, saves
            if signalled and not stops:
                self._stop(state, control, "a signal asked for it")
            elif is_asked and not self.stopped_because:
                self.stopped_because = "it was asked for"
            if not self.paused or control.should_training_stop or control.should_save:
                return
            self.phase = PAUSED
            time.sleep(PAUSE_POLL_SECONDS)

    def _take(self, command: Command, state: TrainerState, control: TrainerControl) -> None:
        if command.command in ("stop", "save"):
            if self._sealed_step == state.global_step:
                self._acknowledge(command, "done", f"saved at step {state.global_step}")
            else:
                self._acknowledge(command, "accepted")
                self.waiting_for_save.append(command)
                control.should_save = True
            if command.command == "stop":
                self._stop(state, control, "it was asked for")
        elif command.command == "pause" and not self.paused and not control.should_training_stop:
            self.paused = True
            self._acknowledge(command, "done")
            self.writer.write(TrainingPaused(step=state.global_step))
        elif command.command == "continue" and self.paused:
            self.paused = False
            self._acknowledge(command, "done")
            self.writer.write(TrainingContinued(step=state.global_step))
        else:
            why = "it is no command" if command.command == "unreadable" else "it changes nothing now"
            self._acknowledge(command, "refused", why)

    def _stop(self, state: TrainerState, control: TrainerControl, reason: str) -> None:
        control.should_save = self._sealed_step != state.global_step
        control.should_training_stop = True
        self.stopped_because = reason

    def _acknowledge(self, command: Command, status: str, reason: str = "") -> None:
        self.writer.write(
            CommandAcknowledged(command_id=command.command_id, command=command.command, status=status, reason=reason)
        )


def _device_used_bytes() -> int:
    free, total = torch.cuda.mem_get_info()
    return int(total - free)
