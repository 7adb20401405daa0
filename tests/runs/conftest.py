"""Real runs of a tiny real model: real processes, real files, started by the command a user types."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine import control
from engine.event_log import EventReader
from engine.events import Event, StepLogged, TrainingPaused
from engine.liveness import supervisor_of
from engine.run_dir import RunDir
from tests import planted
from tests.runs import one_long_row

WAIT_SECONDS = 240.0
RECIPE = """
title = "tiny"
[model]
name_or_path = "{model}"
[data]
dataset = "rows.jsonl"
eval_fraction = 0.1
test_fraction = 0.1
[adapter]
r = 4
lora_dropout = 0.1
[training]
max_steps = 12
per_device_train_batch_size = 4
learning_rate = 1e-3
save_steps = 4
max_length = 128
[evaluation]
enabled = false
"""


@dataclass(slots=True)
class Workshop:
    """A folder with a recipe and rows, and a place for runs."""

    folder: Path
    home: Path

    def start(self, *arguments: str, inside: Path | None = None) -> subprocess.Popen[str]:
        """Start one command, where asked for in a control group: it and all its children."""
        environment = os.environ | {"FINETUI_HOME": str(self.home)} | planted.environment(self.folder)
        join = ["sh", "-c", f'echo $$ > {inside}/cgroup.procs && exec "$0" "$@"'] if inside else []
        return subprocess.Popen(
            [*join, sys.executable, "-P", "-m", "tui_app", *arguments],
            cwd=self.folder,
            env=environment,
            umask=planted.OPEN_UMASK,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finetui(
        self, *arguments: str, inside: Path | None = None, seconds: float = WAIT_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run one command to its end, which must come within so many seconds."""
        process = self.start(*arguments, inside=inside)
        out, err = process.communicate(timeout=seconds)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def run(self, name: str) -> RunDir:
        return RunDir.open(name, self.home / "runs")

    def begin(self, name: str, *overrides: str, source: str = "tiny.toml") -> RunDir:
        """Start a detached run of the recipe, or of another source."""
        sets = [part for override in overrides for part in ("--set", override)]
        done = self.finetui("replay", source, "--detach", "--set", f"run.name={name}", *sets)
        assert done.returncode == 0, done.stderr
        return self.run(f"{name}-1")

    @staticmethod
    def wait_for(run: RunDir, wanted: Callable[[Event], bool]) -> Event:
        """The first event that is wanted, waited for."""
        deadline = time.monotonic() + WAIT_SECONDS
        reader = EventReader(run.events)
        while time.monotonic() < deadline:
            for stamped in reader.poll():
                if wanted(stamped.event):
                    return stamped.event
            time.sleep(0.02)
        raise AssertionError(f"{run.name} never told what was waited for")

    def wait_for_step(self, run: RunDir, number: int) -> None:
        self.wait_for(run, lambda event: isinstance(event, StepLogged) and event.step >= number)

    def hold_after_step(self, run: RunDir, number: int) -> None:
        """Pause it right behind that step: a command that has to start first could meet a run that is over."""
        self.wait_for_step(run, number)
        control.send(run, "pause")
        self.wait_for(run, lambda event: isinstance(event, TrainingPaused))

    @staticmethod
    def losses(run: RunDir) -> dict[int, tuple[float, float | None]]:
        """(loss, gradient norm) of every step, as it was told last."""
        told = [stamped.event for stamped in EventReader(run.events).poll()]
        return {event.step: (event.loss, event.grad_norm) for event in told if isinstance(event, StepLogged)}

    @staticmethod
    def adapter_bytes(run: RunDir) -> bytes:
        return (run.adapter / "adapter_model.safetensors").read_bytes()

    @staticmethod
    def worker_pid(run: RunDir, module: str) -> int:
        """The process of that module working on the run."""
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if module.encode() in words and str(run.path).encode() in words:
                return int(entry.name)
        raise AssertionError(f"no {module} of {run.name} runs")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory, tiny_model_folder: Path) -> Iterator[Workshop]:
    folder = tmp_path_factory.mktemp("workshop")
    (folder / "tiny.toml").write_text(RECIPE.format(model=tiny_model_folder))
    rows = [{"prompt": f"add {n} and {n + 1}", "completion": f"{n} + {n + 1} = {2 * n + 1}"} for n in range(80)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    shop = Workshop(folder, folder / "home")
    yield shop
    end_all(shop.home)


@pytest.fixture
def lone_runs(own_machine: Path) -> Iterator[Path]:
    """For a test that starts runs in its own home, `FINETUI_HOME`: none of them outlives it."""
    yield own_machine
    end_all(own_machine)


def end_all(home: Path) -> None:
    """Kill what still works on a run."""
    for run in (home / "runs").glob("*"):
        identity = supervisor_of(RunDir(run))
        if identity and identity.is_alive():
            os.kill(identity.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def straight(workshop: Workshop) -> RunDir:
    """An uninterrupted run, finished: what every interrupted one is compared with."""
    done = workshop.finetui("replay", "tiny.toml", "--set", "run.name=straight")
    assert done.returncode == 0, done.stdout + done.stderr
    return workshop.run("straight-1")


@pytest.fixture(scope="module")
def heavy(workshop: Any, tiny_models: Any) -> Any:
    """A recipe whose twelve rows are short but for one, on a model for which that row is a lot."""
    model = tiny_models.write_heavy_model(workshop.folder / "llama", "llama", layers=4)
    (workshop.folder / "heavy.toml").write_text(one_long_row.RECIPE.format(model=model))
    one_long_row.write_rows(workshop.folder / "rows.jsonl", 12, long_at=9)
    return workshop
