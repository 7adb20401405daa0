"""Power cuts: each file of a finished, stopped, laddered, failed or dying run damaged, and every reading command asked.

The runs are recordings of real ones, with checkpoints and a result of the same form beside them. A trial is cheap:
nothing is trained. Not here: whole runs on a disk that refuses (`disks`).
"""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.chaos_faults import Fault, Trial
from benchmarks.chaos_faults.asking import at_home, complaints, lost_events
from benchmarks.chaos_faults.damage import DAMAGES
from engine import requests, salvage
from engine.calibration import CalibrationKey, record
from engine.checkpoints import MANIFEST, STAGING, Progress, newest, seal, sealed_files
from engine.errors import FinetuiError
from engine.event_log import EventReader, EventWriter
from engine.events import EvalLogged, WarningRaised
from engine.liveness import ProcessIdentity
from engine.plan import Plan
from engine.queue.entries import Queue
from engine.run_dir import RunDir, read_json
from tui_app.steps import draft_file
from tui_app.steps.draft import Draft

RECORDED = Path(__file__).parents[2] / "tests" / "recorded" / "runs"
NAMES = ("finished", "laddered", "stopped", "failed", "died", "resumed")
STEPS = (4, 8, 12)
QUICK = ("status", "status --json", "runs", "runs --json", "attach")
SLOW = ("compare", "report", "replay")
HURT, SOUND = "hurt-1", "sound-1"
MOST_BYTES, MOST_SECONDS = 200 * 1024 * 1024, 10.0
"""What a command may take to look at a run whose files are huge: resident memory and seconds of one core."""
DEAD_PID = 4_190_000
"""Of no process: above what Linux gives out unless told to."""


def home_with(folder: Path, recorded: str) -> tuple[Path, RunDir]:
    """A home with a copy of a recorded run, its checkpoints and result, and a sound run beside it."""
    home = folder / "home"
    for name, source in ((HURT, recorded), (SOUND, "stopped")):
        shutil.copytree(RECORDED / source, home / "runs" / name)
        run = RunDir(home / "runs" / name)
        dataclasses.replace(ProcessIdentity.of(os.getpid()), pid=DEAD_PID).write(run.supervisor)
    run = RunDir(home / "runs" / HURT)
    key = Plan.from_json(read_json(run.newest_plan_file())).checkpoint_key()
    for step in STEPS:
        staged = run.checkpoints / STAGING / f"checkpoint-{step}"
        staged.mkdir(parents=True)
        for name in (*Progress().required, "adapter_model.safetensors", "adapter_config.json"):
            (staged / name).write_bytes(f"{name} of step {step} ".encode() * 300)
        seal(staged, run.checkpoints, step, key)
    run.adapter.mkdir()
    (run.adapter / "adapter_model.safetensors").write_bytes(b"weights " * 2000)
    (run.adapter / "adapter_config.json").write_text(json.dumps({"r": 4}))
    (run.adapter / MANIFEST).write_text(json.dumps({"files": sealed_files(run.adapter)}))
    requests.add(run, "export", "Export to merged", {"to": ["merged"]})
    return home, run


def hurt(path: Path, chance: random.Random) -> str:
    """Damage a file in one of the ways; which."""
    name = chance.choice(list(DAMAGES))
    DAMAGES[name](path, chance)
    return name


def reading(kinds: Sequence[str], wanted: str = "**/*") -> Fault:
    """One file of a run folder is damaged; two commands of these, and the readers of its parts, are asked."""

    def fault(folder: Path, chance: random.Random) -> Trial:
        home, run = home_with(folder, chance.choice(NAMES))
        path = chance.choice([each for each in sorted(run.path.glob(wanted)) if each.is_file()])
        seen = f"{path.relative_to(run.path)} {hurt(path, chance)}"
        told = complaints(home, HURT, SOUND, chance.sample(kinds, min(2, len(kinds))))
        if lost := lost_events(run.events):
            told.append(lost)
        return Trial(seen, "; ".join(told or parts_of(run)))

    return fault


def parts_of(run: RunDir) -> list[str]:
    """What the readers of single files make of it beyond an answer or an error of ours."""
    asked: dict[str, Callable[[], object]] = {
        "plan": lambda: Plan.from_json(read_json(run.newest_plan_file())),
        "requests": lambda: (requests.pending(run), requests.damaged(run)),
        "result": lambda: salvage.result_fault(run.adapter),
        "readiness": lambda: requests.is_ready(run),
        "checkpoints": lambda: newest(run.checkpoints, {}),
    }
    told = []
    for name, ask in asked.items():
        try:
            ask()
        except FinetuiError:
            continue
        except Exception as fault:  # noqa: BLE001 - whatever else escapes a reader is what is looked for
            told.append(f"{name}: {type(fault).__name__}: {fault}")
    return told


def checkpoint_cut(folder: Path, chance: random.Random) -> Trial:
    """Files of the newest checkpoints are damaged: an older whole one is taken, or none."""
    _, run = home_with(folder, "finished")
    key = Plan.from_json(read_json(run.newest_plan_file())).checkpoint_key()
    before = {path: path.read_bytes() for path in run.checkpoints.rglob("*") if path.is_file()}
    chosen = chance.sample(sorted(before), chance.randint(1, 3))
    seen = ", ".join(f"{path.parent.name}/{path.name} {hurt(path, chance)}" for path in chosen)
    spoiled = {path.parent.name for path in chosen if not path.exists() or path.read_bytes() != before[path]}
    whole = [step for step in STEPS if f"checkpoint-{step}" not in spoiled]
    found, _ = newest(run.checkpoints, key)
    taken = found.step if found else None
    expected = max(whole, default=None)
    return Trial(seen, "" if taken == expected else f"checkpoint {taken} was taken, {expected} is the newest whole one")


def result_cut(folder: Path, chance: random.Random) -> Trial:
    """Weights of the result are damaged: that is known before they are used."""
    _, run = home_with(folder, "finished")
    weights = run.adapter / "adapter_model.safetensors"
    before = weights.read_bytes()
    seen = hurt(weights, chance)
    changed = not weights.exists() or weights.read_bytes() != before
    told = salvage.result_fault(run.adapter)
    return Trial(f"{seen}: {told}", "" if bool(told) == changed else f"damaged: {changed}, told: {told!r}")


def events_cut(folder: Path, chance: random.Random) -> Trial:
    """The end of an event file is damaged and its writer goes on: what was whole before is read, and what comes."""
    _, run = home_with(folder, chance.choice(NAMES))
    path = chance.choice([each for each in sorted(run.events.glob("*.jsonl")) if each.stat().st_size])
    kind = chance.choice(("cut short", "last page zeroed", "a page zeroed", "empty", "all zeros"))
    DAMAGES[kind](path, chance)
    told = [lost_events(run.events)]
    writer = EventWriter(path)
    for number in range(3):
        writer.write(WarningRaised(text=f"after the cut {number}"))
    writer.close()
    told.append(lost_events(run.events))
    texts = [each.event.text for each in EventReader(run.events).poll() if isinstance(each.event, WarningRaised)]
    if texts[-3:] != [f"after the cut {number}" for number in range(3)]:
        told.append(f"what the writer told after the cut is read as {texts[-3:]}")
    return Trial(f"{path.name} {kind}", "; ".join(filter(None, told)))


def desk_file_cut(folder: Path, chance: random.Random) -> Trial:
    """Files beside the runs: draft, queue, calibration. Left out or an error; what is written next holds."""
    home = folder / "home"
    home.mkdir()
    key = CalibrationKey("cpu", (), "lora", "sdpa", "closed form")
    with at_home(home):
        draft_file.save(Draft("demo-cpu", (("training.max_steps", "3"),)), 2)
        record(key, rho=1.1)
        queue = Queue.here()
        path = chance.choice([each for each in sorted(home.rglob("*.json")) if each.is_file()])
        seen = f"{path.relative_to(home)} {hurt(path, chance)}"
        told = []
        try:
            draft_file.saved_draft()
            queue.entries()
            record(key, rho=1.2)
            draft_file.save(Draft("demo-cpu", ()), 1)
            if (saved := draft_file.saved_draft()) is None or saved.draft is None:
                told.append("a draft saved after the cut is not there")
        except FinetuiError:
            pass
        except Exception as fault:  # noqa: BLE001 - whatever else escapes is what is looked for
            told.append(f"{type(fault).__name__}: {fault}")
    return Trial(seen, "; ".join(told))


def huge_log(folder: Path, chance: random.Random) -> Trial:
    """A log and a supervisor's file of 1 GB (sparse) and 60 MB of events: told at once, and with little memory."""
    home, run = home_with(folder, "finished")
    with run.log_file("attempt-1").open("r+b") as log:
        log.truncate(1 << 30)
    line = json.dumps(
        {"v": 1, "seq": 0, "time": 1.7e9, "writer": "attempt-1", "event": "EvalLogged"}
        | {each.name: 1 for each in dataclasses.fields(EvalLogged)}
    )
    with run.event_file("attempt-1").open("a") as file:
        for _ in range(60):
            file.write((line + "\n") * (chance.randint(9, 10) * 700))
    with run.event_file("supervisor").open("r+b") as events:
        events.truncate(1 << 30)
    told = complaints(home, HURT, SOUND, QUICK[:4])
    most = 0
    for words in (("status", HURT), ("runs",), ("attach", HURT, "--plain")):
        command = [sys.executable, "-P", "-m", "tui_app", *words]
        process = subprocess.Popen(
            command, env=os.environ | {"FINETUI_HOME": str(home)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, _, used = os.wait4(process.pid, 0)
        process.returncode = 0  # reaped already
        most = max(most, used.ru_maxrss * 1024)
        if used.ru_maxrss * 1024 > MOST_BYTES or used.ru_utime + used.ru_stime > MOST_SECONDS:
            told.append(f"{words[0]} took {used.ru_maxrss} KiB and {used.ru_utime + used.ru_stime:.1f} s")
    return Trial(f"at most {most} bytes of memory", "; ".join(told))


FAULTS: dict[str, Fault] = {
    "power cut, any file, asked quickly": reading(QUICK),
    "power cut, any file, asked at length": reading(SLOW),
    "power cut, events": events_cut,
    "power cut, events, asked": reading(QUICK, "events/*.jsonl"),
    "power cut, checkpoints": checkpoint_cut,
    "power cut, result": result_cut,
    "power cut, draft, queue, calibration": desk_file_cut,
    "log and events of 1 GB": huge_log,
}
