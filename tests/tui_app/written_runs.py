"""Small run folders written event by event, for tests of the history.

Not here: runs made from recordings (`live_runs`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from engine.event_log import EventWriter
from engine.events import DeviceSampled, Event, RunFailed, RunStarted, StageStarted, StepLogged, TrainingStarted
from engine.run_dir import RunDir

HOSTILE = "[bold]x[/] \x1b[31mred\x1b[0m \u202eright\r\n" + "宽" * 40
STEP = StepLogged(
    step=1,
    max_steps=9,
    epoch=0.1,
    loss=2.5,
    learning_rate=1e-4,
    grad_norm=1.0,
    num_tokens=100,
    step_seconds=0.5,
    rss_bytes=1 << 30,
)
SAMPLE = DeviceSampled(
    device="cpu", device_used_bytes=1, device_total_bytes=2, ram_used_bytes=1, ram_total_bytes=2, disk_free_bytes=1
)
FAILED = RunFailed(error="DataError", exit_code=3, happened="no rows", means="", remedy="")


def started(recipe: str = "a recipe") -> RunStarted:
    return RunStarted(run="r-1", recipe=recipe, resumed=False, host="gpu-box", pid=1)


def written(root: Path, name: str, *events: Event, steps: int = 0, recipe: str = "a recipe") -> RunDir:
    """A run whose supervisor told of its start and of `events`, and that trained so many steps."""
    run = RunDir.create(root, name)
    supervisor = EventWriter(run.event_file("supervisor"))
    supervisor.write(started(recipe))
    if steps:
        supervisor.write(StageStarted(stage="train"))
        attempt = EventWriter(run.event_file("attempt-1"))
        attempt.write(TrainingStarted(max_steps=9, num_rows=9, effective_batch_size=1, resumed_from_step=0))
        for step in range(1, steps + 1):
            attempt.write(replace(STEP, step=step, loss=3.0 / step))
        attempt.close()
    for event in events:
        supervisor.write(event)
    supervisor.close()
    return run
