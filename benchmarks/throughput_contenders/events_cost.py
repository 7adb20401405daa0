"""What a step's events cost, asked directly: too little to be seen in the time of whole runs.

The attempt's own callback goes through steps that compute nothing, into a real run folder; then a reader follows
them as a viewer does. In CPU-seconds of this process.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

STEPS = 500
FIRST = 5
"""Steps before the count begins: the memory of one of them is measured."""
POLLS = 50
LOOKS_PER_SECOND = 5
"""Of `finetui attach` and of the live view."""


@dataclass(frozen=True, slots=True)
class EventsCost:
    """Seconds of CPU: the callback's in one step, a reader's for one new step, and one look that finds nothing new."""

    callback: float
    reading: float
    look: float

    def seconds(self, step_seconds: float) -> float:
        """Of one step that takes that long, with one viewer attached."""
        return self.callback + self.reading + self.look * LOOKS_PER_SECOND * step_seconds

    def words(self) -> str:
        return (
            f"callback {self.callback * 1e6:.0f} us, a reader {self.reading * 1e6:.0f} us for the new line and "
            f"{self.look * 1e6:.0f} us for each of its {LOOKS_PER_SECOND} looks a second"
        )


def measure(folder: Path) -> EventsCost:
    """All three, the callback with everything it does in a step: random states, commands, the line itself."""
    import torch
    from transformers import TrainerControl, TrainerState, TrainingArguments

    from engine.event_log import EventReader, EventWriter
    from engine.liveness import announce, liveness
    from engine.run_dir import RunDir
    from engine.run_state import RunState, fold
    from engine.training.callbacks import RunCallback

    run = RunDir.create(folder, "events")
    announce(run)
    writer = EventWriter(run.event_file("attempt-1"))
    callback = RunCallback(
        run,
        writer,
        logging_steps=1,
        num_eval_rows=0,
        stop_asked=lambda: False,
        take_num_tokens=lambda: 1000,
        data_seconds=lambda: 0.0,
        lines=lambda: (),
    )
    arguments = TrainingArguments(output_dir=str(folder / "staging"), report_to="none", use_cpu=True)
    state, control = TrainerState(max_steps=STEPS), TrainerControl()
    reader, seen = EventReader(run.events), RunState(run=run.reference)
    model = torch.nn.Linear(1, 1)
    own = {"model": model, "optimizer": torch.optim.AdamW(model.parameters())}
    reading = callback_seconds = 0.0
    for step in range(1, STEPS + 1):
        begun = time.process_time()
        callback.on_step_begin(arguments, state, control)
        callback.on_pre_optimizer_step(arguments, state, control)
        state.global_step, state.epoch = step, step / STEPS
        callback.on_step_end(arguments, state, control, **own)
        logs = {"loss": 2.0 + 1 / step, "learning_rate": 1e-4, "grad_norm": 1.0}
        state.log_history.append(logs)
        callback.on_log(arguments, state, control, logs=logs)
        written = time.process_time()
        for stamped in reader.poll():
            seen = fold(seen, stamped)
        if step > FIRST:
            callback_seconds += written - begun
            reading += time.process_time() - written
    begun = time.process_time()
    for _ in range(POLLS):
        liveness(run)
        reader.poll()
    look = (time.process_time() - begun) / POLLS
    return EventsCost(callback_seconds / (STEPS - FIRST), reading / (STEPS - FIRST), look)
