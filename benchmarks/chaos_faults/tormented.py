"""Runs of a tiny real model that faults are put to, and what must be true of them afterwards.

A run is used for many tries: each begins with `finetui resume`, so that one run has many lives, and its losses have to
equal those of a run that nobody disturbed. What holds is read from the raw files here, never by the code under test.
Not here: the faults (`processes`).
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[2]
MARK = "CHAOS_RUN"
"""An environment variable: whatever a run starts inherits it, so that no process of it can hide."""
QUIET_SECONDS, COMMAND_SECONDS = 300.0, 900.0
"""Long, since a machine that does other work as well may give a try next to nothing for minutes."""
WAIT_SECONDS = 120.0
LOOK_SECONDS, SEARCH_SECONDS = 0.01, 0.2
"""Between two looks at files, and between two searches for processes, which cost a hundredth of a second each."""
MAX_STEPS, SAVE_STEPS = 40, 4
FINAL = {"RunFinished": "finished", "RunStopped": "stopped", "RunFailed": "failed"}
RECIPE = f"""
title = "tormented"
[model]
name_or_path = "model"
[data]
dataset = "rows.jsonl"
eval_fraction = 0.1
test_fraction = 0.1
[adapter]
r = 4
lora_dropout = 0.1
[training]
max_steps = {MAX_STEPS}
per_device_train_batch_size = 2
learning_rate = 1e-3
save_steps = {SAVE_STEPS}
max_length = 64
[evaluation]
enabled = false
"""
MODEL = "import sys; from pathlib import Path; from tests.tiny_model import write_tiny_model as w; w(Path(sys.argv[1]))"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended: its exit code, and what it said on both streams."""

    code: int
    out: str
    err: str


@dataclass(slots=True)
class Bench:
    """A folder with a model, rows, a recipe and a home for runs, and the losses of a run that nobody disturbed."""

    folder: Path
    losses: dict[int, Any] = field(default_factory=dict)
    adapter: bytes = b""
    num_runs: int = 0

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def runs(self) -> Path:
        return self.home / "runs"

    @staticmethod
    def made_in(folder: Path) -> Bench:
        """Make model and rows and let the undisturbed run finish: about 20 s of one core. One made before is taken."""
        bench = Bench(folder)
        straight = Run(bench, bench.runs / "straight-1")
        if straight.standing() != "finished":
            shutil.rmtree(folder, ignore_errors=True)
            bench._make(straight)
        bench.losses = straight.told_losses()[0]
        bench.adapter = (straight.path / "adapter" / "adapter_model.safetensors").read_bytes()
        bench.num_runs = len(list(bench.runs.glob("tormented*")))
        assert sorted(bench.losses) == list(range(1, MAX_STEPS + 1)), sorted(bench.losses)
        return bench

    def _make(self, straight: Run) -> None:
        folder = self.folder
        folder.mkdir(parents=True)
        subprocess.run([sys.executable, "-c", MODEL, str(folder / "model")], cwd=CHECKOUT, check=True)
        rows = [{"prompt": f"add {n} and {n + 1}", "completion": f"{n} + {n + 1} = {2 * n + 1}"} for n in range(80)]
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "tormented.toml").write_text(RECIPE)
        done = self.command("replay", "tormented.toml", "--set", "run.name=straight")
        if done.code:
            raise AssertionError(f"the undisturbed run ended with {done.code}: {done.out}{done.err}")
        assert straight.path.is_dir()

    def environment(self, **more: str) -> dict[str, str]:
        cache = os.environ.get("FINETUI_CACHE") or self.folder / "cache"
        places = {"FINETUI_HOME": str(self.home), "FINETUI_CACHE": str(cache), MARK: str(self.folder)}
        return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(CHECKOUT)} | places | more

    def start(self, *words: str, **more: Any) -> subprocess.Popen[str]:
        """Start one command; `more` goes to Popen, but for `variables`, which join its environment."""
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environment = self.environment(**more.pop("variables", {}))
        command = [sys.executable, "-P", "-m", "tui_app", *words]
        return subprocess.Popen(command, cwd=self.folder, env=environment, text=True, **streams | more)

    def command(self, *words: str, **more: Any) -> Ended:
        process = self.start(*words, **more)
        out, err = process.communicate(timeout=COMMAND_SECONDS)
        return Ended(process.returncode, out, err)

    def processes(self) -> list[int]:
        """Every process that a command of this bench started, directly or not, and that still lives."""
        mark = f"{MARK}={self.folder}".encode()
        there = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        return [pid for pid in there if mark in _read(Path(f"/proc/{pid}/environ")).split(b"\0")]

    def end_all(self) -> None:
        for pid in self.processes():
            strike(pid, signal.SIGKILL)


@dataclass(slots=True)
class Run:
    """One run's folder, read by other means than the product's."""

    bench: Bench
    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    def files(self) -> dict[str, bytes]:
        """What the event files hold now, samples of the device left out."""
        return {path.name: _read(path) for path in (self.path / "events").glob("*.jsonl") if path.stem != "samples"}

    def num_events(self) -> int:
        return sum(content.count(b"\n") for content in self.files().values())

    def events(self, name: str) -> list[dict[str, Any]]:
        """The whole lines of one writer that are JSON, in the order of the file."""
        found = []
        for line in _read(self.path / "events" / f"{name}.jsonl").split(b"\n")[:-1]:
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def attempts(self) -> list[str]:
        """Writers of attempts, in the order of their numbers."""
        found = [path.stem for path in (self.path / "events").glob("attempt-*.jsonl")]
        return sorted(found, key=lambda name: int(name.partition("-")[2]))

    def told_losses(self) -> tuple[dict[int, Any], str]:
        """(loss, gradient norm) by step, and where two attempts told different ones."""
        found: dict[int, Any] = {}
        unequal = ""
        for name in self.attempts():
            for event in self.events(name):
                if event["event"] == "StepLogged":
                    told = event["loss"], event["grad_norm"]
                    if found.setdefault(event["step"], told) != told:
                        unequal = f"step {event['step']} was {found[event['step']]}, in {name} it is {told}"
        return found, unequal

    def newest(self) -> str:
        """Name of the newest event, by the files' own order: where in its life the run is."""
        names = [
            "supervisor",
            *(path.stem for path in (self.path / "events").glob("*.jsonl") if path.stem != "samples"),
        ]
        last = [told[-1] for name in names if (told := self.events(name))]
        return max(last, key=lambda event: event["time"])["event"] if last else "nothing"

    def standing(self) -> str:
        """The state that must be shown once no process is left: what the supervisor's last word was."""
        state = "died"
        for event in self.events("supervisor"):
            state = "died" if event["event"] == "RunStarted" else FINAL.get(event["event"], state)
        return state

    def complete_checkpoints(self) -> list[int]:
        """Steps of the checkpoints whose every file is what its list says, by size and hash."""
        found = []
        for folder in (self.path / "checkpoints").glob("checkpoint-*"):
            try:
                files = json.loads((folder / "finetui-checkpoint.json").read_bytes())["files"]
                hashes = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files}
            except (OSError, ValueError, KeyError):
                continue
            if files and all(files[name]["sha256"] == hashes[name] for name in files):
                found.append(int(folder.name.partition("-")[2]))
        return sorted(found)

    def pid(self, who: str) -> int | None:
        """The process that `supervisor.json` or `worker.json` names, if it lives and is one of this bench."""
        try:
            pid = int(json.loads(_read(self.path / f"{who}.json"))["pid"])
        except (ValueError, KeyError):
            return None
        return pid if pid in self.bench.processes() else None


def wait(until: Any, seconds: float = WAIT_SECONDS) -> bool:
    """Whether a condition came true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if until():
            return True
        time.sleep(LOOK_SECONDS)
    return bool(until())


def wait_for_end(bench: Bench, seconds: float) -> bool:
    """Whether no process of the bench is left in time."""
    deadline = time.monotonic() + seconds
    while bench.processes() and time.monotonic() < deadline:
        time.sleep(SEARCH_SECONDS)
    return not bench.processes()


def strike(pid: int, number: int) -> bool:
    """Send a signal; whether there was somebody to take it."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def power_cut(bench: Bench) -> int:
    """Kill all at one instant: each is held first, so that none sees another die. How many there were."""
    found = bench.processes()
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in found:
            strike(pid, number)
    return len(found)


def at_some_instant(run: Run, chance: random.Random, num_before: int) -> None:
    """Wait for a random event of this life or for a file that stands for a phase, then up to 0.3 s more.

    Ends early where no process of the run is left.
    """
    files = ("worker.json", "checkpoints/staging", "adapter", "dataset/prepared.json")
    kind = chance.choice(("loading", "loading", "loading", "early", "step", "step", "file"))
    wanted = num_before + chance.randint(*{"loading": (0, 3), "early": (3, 8)}.get(kind, (8, 40)))
    file = run.path / chance.choice(files)

    until = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < until and run.bench.processes():
        if wait(lambda: file.exists() if kind == "file" else run.num_events() >= wanted, SEARCH_SECONDS):
            break
    if chance.random() < 0.7:
        time.sleep(chance.uniform(0, 0.3))


def torn_from(before: dict[str, bytes], after: dict[str, bytes]) -> Iterator[str]:
    """What of the events before is not there any more, an unfinished last line left out."""
    for name, content in before.items():
        whole = content[: content.rfind(b"\n") + 1]
        if not after.get(name, b"").startswith(whole):
            yield f"events/{name} no longer begins with its {len(whole)} bytes from before the fault"


def out_of_count(run: Run) -> Iterator[str]:
    """Event files whose numbers do not count 0, 1, 2, …: an event was lost or written twice."""
    for name in ("supervisor", *run.attempts()):
        numbers = [event["seq"] for event in run.events(name)]
        if numbers != list(range(len(numbers))):
            yield f"the events of {name} are numbered {numbers[:60]}"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
