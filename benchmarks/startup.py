"""How long the commands take that people type while a run goes on. The promise: `status` under 200 ms.

Each command is a whole process, timed several times over; the median is the answer and the minimum tells what
a quiet machine would give. The run looked at is made here, with 1,000 recorded steps.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from engine.event_log import EventWriter
from engine.events import (
    RunStarted,
    StageStarted,
    StepLogged,
    TrainingStarted,
)
from engine.run_dir import RunDir

REPEATS = 9
STEPS = 1000
STATUS_BUDGET_MS = 200


def record_run(root: Path) -> str:
    """A run of 1,000 steps whose supervisor is gone; its name."""
    run = RunDir.create(root / "runs", "benchmark")
    supervisor = EventWriter(run.event_file("supervisor"))
    started = RunStarted(run=run.name, recipe="benchmark", resumed=False, host=socket.gethostname(), pid=os.getpid())
    supervisor.write(started)
    supervisor.write(StageStarted(stage="train"))
    attempt = EventWriter(run.event_file("attempt-1"))
    start = TrainingStarted(max_steps=STEPS, num_rows=8 * STEPS, effective_batch_size=8, resumed_from_step=0)
    attempt.write(start)
    for step in range(1, STEPS + 1):
        attempt.write(
            StepLogged(
                step=step,
                max_steps=STEPS,
                epoch=step / STEPS,
                loss=3.0 / step,
                learning_rate=2e-4,
                grad_norm=1.0,
                num_tokens=540,
                step_seconds=2.2,
                rss_bytes=3 << 30,
            )
        )
    supervisor.close()
    attempt.close()
    return run.name


def milliseconds(command: list[str]) -> list[float]:
    """Wall time of each of `REPEATS` runs of a command, after one that warms the disk cache."""
    times = []
    for _ in range(REPEATS + 1):
        begin = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        times.append((time.perf_counter() - begin) * 1000)
    return times[1:]


def main() -> int:
    """Print one line per command; 1 when `status` misses its promise on the median."""
    finetui = str(Path(sys.executable).with_name("finetui"))
    with tempfile.TemporaryDirectory(prefix="finetui-bench-") as folder:
        os.environ["FINETUI_HOME"] = folder
        name = record_run(Path(folder))
        print(f"{'':28}{'median':>9}{'min':>9}   ms, {REPEATS} runs each")
        commands = (["--version"], ["presets"], ["runs"], ["status", name])
        bare = milliseconds([sys.executable, "-P", "-c", "pass"])
        print(f"{'(python alone)':28}{statistics.median(bare):9.0f}{min(bare):9.0f}")
        for arguments in commands:
            times = milliseconds([finetui, *arguments])
            print(f"{'finetui ' + ' '.join(arguments):28}{statistics.median(times):9.0f}{min(times):9.0f}")
    kept = statistics.median(times) <= STATUS_BUDGET_MS
    print(f"status of a run of {STEPS} steps under {STATUS_BUDGET_MS} ms: {'kept' if kept else 'MISSED'}")
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
