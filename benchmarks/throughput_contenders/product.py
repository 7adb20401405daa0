"""finetui itself, measured through the product: a run in its own folder, its supervisor, its attempt and a reader.

The run is started by `finetui replay`, which stays and follows it as any viewer does. Time and tokens come from the
attempt's own event lines; CPU-seconds are those of every process of the run, the viewer's included, asked of the
system as soon as such a line appears.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.throughput_contenders.job import Job, Mark, peak_bytes
from engine import control
from engine.event_log import EventReader
from engine.events import EvalLogged, StepLogged
from engine.liveness import supervisor_of
from engine.run_dir import RunDir

LOOK_SECONDS = 0.005
PATIENCE_SECONDS = 1800.0


@dataclass(slots=True)
class Run:
    """One run of the product. `held_out` is the loss that it measured itself at the end."""

    marks: list[Mark] = field(default_factory=list)
    held_out: float | None = None


def recipe(job: Job, train: Path, held_out: Path) -> str:
    """The recipe: the job's numbers, and everything else as finetui picks it."""
    return f"""version = 1

[model]
name_or_path = "{job.model}"

[data]
dataset = "{train}"
eval_dataset = "{held_out}"
eval_fraction = 0
test_fraction = 0

[adapter]
method = "lora"
r = {job.r}
lora_alpha = {job.lora_alpha}
target_modules = "all-linear"

[training]
max_steps = {job.total_steps}
per_device_train_batch_size = {job.batch_size}
learning_rate = {job.learning_rate}
max_length = {job.max_length}
gradient_checkpointing = false
save_steps = {10**6}
seed = {job.seed}

[evaluation]
enabled = false

[run]
name = "{Path(job.folder).name}"
root = "{job.folder}"
"""


def measure(job: Job, train: Path, held_out: Path, environment: dict[str, str], cores: list[int]) -> Run:
    """Run the product once on `cores`. Raises RuntimeError with the end of its output where it fails."""
    folder = Path(job.folder)
    source = folder / "recipe.toml"
    source.write_text(recipe(job, train, held_out), encoding="utf-8")
    command = [sys.executable, "-P", "-m", "tui_app", "replay", str(source), "--plain"]
    log = folder / "replay.txt"
    with log.open("wb") as output, pinned(cores):
        viewer = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    run = RunDir(folder / f"{folder.name}-1")
    try:
        found = _follow(run, viewer)
        if viewer.wait(PATIENCE_SECONDS) != 0:
            logs = (log, run.log_file("attempt-1"))
            raise RuntimeError("".join(each.read_text(errors="replace")[-800:] for each in logs if each.exists()))
        return found
    finally:
        end(run, viewer)


@contextmanager
def pinned(cores: list[int]) -> Iterator[None]:
    """What is started inside stays on these cores; this process is free again afterwards."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)


def _follow(run: RunDir, viewer: subprocess.Popen[bytes]) -> Run:
    """A mark for each step, taken as its event line appears."""
    found, attempt = Run(), run.event_file("attempt-1")
    while viewer.poll() is None and not attempt.exists():
        time.sleep(LOOK_SECONDS)
    reader, size = EventReader(run.events), -1
    while True:
        is_over = viewer.poll() is not None
        grown = attempt.stat().st_size if attempt.exists() else 0
        if grown == size and not is_over:
            time.sleep(LOOK_SECONDS)
            continue
        size = grown
        for stamped in reader.poll():
            if isinstance(stamped.event, StepLogged):
                tokens = stamped.event.num_tokens + (found.marks[-1].tokens if found.marks else 0)
                cpu, peak = _spent(run, viewer)
                peak = stamped.event.allocated_bytes or peak
                found.marks.append(Mark(stamped.event.step, stamped.time, cpu, tokens, peak))
            elif isinstance(stamped.event, EvalLogged):
                found.held_out = stamped.event.loss
        if is_over:
            return found


def _spent(run: RunDir, viewer: subprocess.Popen[bytes]) -> tuple[float, int]:
    """(CPU-seconds of the run's processes and its viewer so far, the largest resident size that one of them had)."""
    supervisor = supervisor_of(run)
    assert supervisor is not None
    first = psutil.Process(supervisor.pid)
    processes = [psutil.Process(viewer.pid), first, *first.children(recursive=True)]
    times = [each.cpu_times() for each in processes]
    return sum(each.user + each.system for each in times), max(peak_bytes(each.pid) for each in processes)


def end(run: RunDir, viewer: subprocess.Popen[bytes]) -> None:
    """Leave no process behind: a run outlives the command that started it."""
    if run.path.exists() and (supervisor := supervisor_of(run)) is not None:
        while supervisor.is_alive():
            control.send(run, "abort")
            time.sleep(0.5)
    viewer.kill()
    viewer.wait()
