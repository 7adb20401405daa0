"""Records real runs of the bundled model into `runs/`, for tests and benchmarks that look at a run without making one.

    FINETUI_HOME=/some/empty/folder python tests/recorded/record_runs.py [NAME ...]
    FINETUI_HOME=/some/empty/folder python tests/recorded/record_runs.py --release

The second records two short ones into `releases/VERSION/`, which later versions have to open: once for each version,
when it is released, and never again.

Takes one to three minutes a run and two cores. What is kept of each: recipe, plans, manifest, receipt, events, the
ends of the logs. Weights are not, and nothing names this machine: its paths become /home/ada, its host becomes gpu-box.

finished: to the end, base and tuned model scored. laddered: memory ran out three times under a RAM cap, the third rung
was enough. stopped: by command. failed: a cap that nothing fits under. died: its supervisor was killed; without a
supervisor.json, so that it counts as dead everywhere. running: cut off in the middle of training. resumed: killed,
started again from an earlier checkpoint (steps are repeated), stopped, and resumed to the end.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from data.generators import venvy
from engine import events as ev
from engine.event_log import EventReader
from engine.recipe import field_names
from engine.run_dir import RunDir, cache_dir, finetui_home

RUNS, RELEASES = (Path(__file__).with_name(name) for name in ("runs", "releases"))
KEPT = (
    "recipe.toml",
    "settled.toml",
    "plan-*.json",
    "manifest.json",
    "model_config.json",
    "supervisor.json",
    "dataset/receipt.json",
    "events/*.jsonl",
    "log/*.txt",
)
OF_A_RELEASE = (
    *KEPT,
    "model.json",
    "dataset/prepared.json",
    "requests/*.json",
    "answers/*.json*",
    "checkpoints/*/finetui-checkpoint.json",
    "adapter/finetui-checkpoint.json",
)
"""What decides how a later version goes on with a run, too."""
LADDER_CAP = "1300MiB"
"""The long row needs 2.0 GiB without recomputed activations, 0.8 GiB with them."""
MAX_LOG_BYTES = 20_000
MAX_SAMPLES = 30
"""Of a release, which stays in the repository for ever."""
WAIT_SECONDS = 600.0
NUM_WORDS = 500
"""Of the one long row among the short ones of the laddered run."""
FEW = (
    "training.per_device_train_batch_size=2",
    "training.max_length=128",
    "adapter.r=8",
    "run.logging_steps=1",
)
GENERATED = (*FEW, "data.generator_rows=240")
Recorder = Callable[[], RunDir]


def finetui(*arguments: str) -> int:
    """Run one command to its end; its exit code."""
    command = [sys.executable, "-P", "-m", "tui_app", *arguments]
    return subprocess.run(command, cwd=finetui_home(), check=False).returncode


def begin(name: str, *overrides: str, source: str = "demo-cpu") -> RunDir:
    """Start a detached run of the preset, or of another recipe."""
    sets = [part for override in (*overrides, f"run.name={name}") for part in ("--set", override)]
    if code := finetui("replay", source, "--detach", *sets):
        raise SystemExit(f"{name} did not start: exit code {code}")
    return RunDir.open(f"{name}-1")


def wait_for(run: RunDir, wanted: Callable[[ev.Event], bool]) -> None:
    reader, deadline = EventReader(run.events), time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if any(wanted(stamped.event) for stamped in reader.poll()):
            return
        time.sleep(0.05)
    raise SystemExit(f"{run.name} never told what was waited for")


def wait_for_step(run: RunDir, step: int) -> None:
    wait_for(run, lambda event: isinstance(event, ev.StepLogged) and event.step >= step)


def to_its_end(run: RunDir) -> RunDir:
    finetui("attach", run.name)
    return run


def kill(run: RunDir, module: str) -> None:
    """SIGKILL to the process of that module that works on the run."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
            if module.encode() in words and str(run.path).encode() in words:
                os.kill(int(entry.name), signal.SIGKILL)


def finished() -> RunDir:
    sets = ("training.max_steps=40", "training.eval_steps=10", "training.save_steps=10", "evaluation.max_rows=12")
    return to_its_end(begin("finished", *GENERATED, *sets))


def laddered() -> RunDir:
    """One row is far longer than the others; its step has no room until activations are recomputed."""
    rows = [{"prompt": row["instruction"], "completion": row["output"]} for row in venvy.rows(48, 7)]
    rows[40]["completion"] = " ".join(str(number % 100) for number in range(NUM_WORDS))
    (finetui_home() / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sets = (
        "data.dataset=rows.jsonl",
        "data.unseen_answers=0",
        "data.test_fraction=0",
        "training.max_length=2048",
        "training.per_device_train_batch_size=2",
        "training.max_steps=16",
        "training.save_steps=4",
        "evaluation.enabled=false",
        "ladder.predict=false",
        "memory.probe=false",
        f"memory.limit={LADDER_CAP}",
    )
    return to_its_end(begin("laddered", *FEW, *sets))


def stopped() -> RunDir:
    run = begin("stopped", *GENERATED, "training.max_steps=30", "training.save_steps=10")
    wait_for_step(run, 12)
    finetui("stop", run.name)
    return to_its_end(run)


def released() -> RunDir:
    sets = ("training.max_steps=6", "training.eval_steps=3", "training.save_steps=3", "evaluation.max_rows=4")
    return to_its_end(begin("released", *GENERATED, *sets))


def interrupted() -> RunDir:
    run = begin("interrupted", *GENERATED, "training.max_steps=12", "training.save_steps=2", "memory.probe=false")
    wait_for_step(run, 4)
    finetui("stop", run.name)
    return to_its_end(run)


def failed() -> RunDir:
    return to_its_end(begin("failed", *GENERATED, "memory.limit=300MiB", "ladder.predict=false", "memory.probe=false"))


def died() -> RunDir:
    run = begin("died", *GENERATED, "training.max_steps=30", "training.save_steps=10")
    wait_for_step(run, 8)
    kill(run, "engine.supervisor")
    return to_its_end(run)


def running() -> RunDir:
    """Killed whole, so that no event tells of an end."""
    run = begin("running", *GENERATED, "training.max_steps=60", "training.eval_steps=8", "training.save_steps=10")
    wait_for_step(run, 26)
    for module in ("engine.supervisor", "engine.training.attempt"):
        kill(run, module)
    return run


def resumed() -> RunDir:
    run = begin("resumed", *GENERATED, "training.max_steps=24", "training.save_steps=5", "evaluation.enabled=false")
    wait_for_step(run, 8)
    kill(run, "engine.training.attempt")
    wait_for_step(run, 12)  # which only the second attempt reaches
    finetui("stop", run.name)
    to_its_end(run)
    finetui("resume", run.name)
    return run


RECORDERS: dict[str, Recorder] = {
    each.__name__: each for each in (finished, laddered, stopped, failed, died, running, resumed)
}


def keep(target: Path, run: RunDir, patterns: Sequence[str] = KEPT) -> None:
    """Copy what is kept of a run, made to name nothing of this machine."""
    name = target.name
    shutil.rmtree(target, ignore_errors=True)
    for pattern in patterns:
        for source in sorted(run.path.glob(pattern)):
            if name == "died" and source.name == "supervisor.json":
                continue
            copy = target / source.relative_to(run.path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            text = source.read_bytes()[-MAX_LOG_BYTES:] if source.suffix == ".txt" else source.read_bytes()
            if source.name == "samples.jsonl" and patterns is OF_A_RELEASE:
                text = b"".join(text.splitlines(keepends=True)[:MAX_SAMPLES])
            copy.write_text(anonymous(text.decode(errors="replace"), name, run), encoding="utf-8")


def anonymous(text: str, name: str, run: RunDir) -> str:
    places = {
        str(run.path): f"/home/ada/finetui/runs/{name}",
        str(finetui_home()): "/home/ada/finetui",
        str(cache_dir()): "/home/ada/.cache/finetui",
        str(Path(sys.prefix)): "/home/ada/venv",
        str(Path(__file__).parents[2]): "/home/ada/venv/finetui",
        run.name: name,
    }
    for here, there in places.items():
        text = text.replace(here, there)
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    host = re.compile(rf'("host": ?)"{re.escape(socket.gethostname())}"')
    return host.sub(r'\1"gpu-box"', text.replace(boot, "00000000-0000-4000-8000-000000000000"))


def main(arguments: list[str]) -> int:
    finetui_home().mkdir(parents=True, exist_ok=True)
    if arguments == ["--release"]:
        release = RELEASES / importlib.metadata.version("finetui")
        for name, record in (("finished", released), ("stopped", interrupted)):
            keep(release / name, record(), OF_A_RELEASE)
        (release / "recipe-fields.json").write_text(json.dumps(field_names(), indent=1) + "\n")
        return 0
    for name in arguments or list(RECORDERS):
        keep(RUNS / name, RECORDERS[name]())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
