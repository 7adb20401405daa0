"""Faults of what stands around a run: the command that begins it, the queue that starts it, what is asked of it later.

Not here: faults of a run's own processes (`processes`).
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from pathlib import Path

from benchmarks.chaos_faults import Fault, Trial
from benchmarks.chaos_faults.living import Life, LostError, in_time, life_for, tried
from benchmarks.chaos_faults.tormented import Run, power_cut, strike, wait

STARTED_SECONDS = 300.0


def begun(folder: Path, chance: random.Random) -> Trial:
    """The command that begins a run is killed, alone or with all that it started."""
    bench = life_for(folder, going=False).bench
    name = f"begun{time.monotonic_ns()}"
    command = bench.start("replay", "tormented.toml", "--detach", "--set", f"run.name={name}")
    if chance.random() < 0.6:
        wait(lambda: list(bench.runs.glob(f"{name}-*")) or command.poll() is not None)
        time.sleep(chance.uniform(0, 0.4))
    else:
        time.sleep(chance.uniform(0, 2))
    kind = chance.choice(("alone", "with all"))
    command.kill()
    if kind == "with all":
        power_cut(bench)
    in_time(command)
    listed = Life.said(bench.command("runs", "--json"))
    if listed.code:
        raise LostError(f"runs ended with {listed.code}: {listed.err}")
    found = list(bench.runs.glob(f"{name}-*"))
    stage = _stage(found[0]) if found else "no folder"
    for path in found:
        life = Life(bench, Run(bench, path))
        if kind == "with all":
            life.quiet()
            life.state_is_told()
        done = life.resume()
        if done.code not in (0, 9) or (done.code == 9 and not bench.processes()):
            raise LostError(f"of a run with {stage}, resume ended with {done.code}: {done.err} [{path}]")
        wait(lambda life=life: life.run.num_events() > 1, STARTED_SECONDS)  # type: ignore[misc]
        power_cut(bench)
        life.note()
        life.after("begun")
        shutil.rmtree(path)
    return Trial(f"killed {kind} while beginning a run, with {stage}")


def _stage(path: Path) -> str:
    """The last of what a run's folder is made of, in the order of making."""
    there = [
        each for each in ("recipe.toml", "plan-1.json", "manifest.json", "supervisor.json") if (path / each).exists()
    ]
    return there[-1] if there else "an empty folder"


def queued(folder: Path, chance: random.Random) -> Trial:
    """The process that works on the queue is killed; started again it goes on, and no entry is run twice."""
    bench = life_for(folder, going=False).bench
    bench.command("queue", "remove", "all")
    name = f"queued{time.monotonic_ns()}"
    added = Life.said(bench.command("queue", "add", "tormented.toml", "--set", f"run.name={name}"))
    if added.code:
        raise LostError(f"queue add ended with {added.code}: {added.err}")
    if chance.random() < 0.6:
        wait(lambda: list(bench.runs.glob(f"{name}-*")), STARTED_SECONDS)
        time.sleep(chance.uniform(0, 0.5))
    else:
        time.sleep(chance.uniform(0, 2))
    kind = chance.choice(("alone", "with all"))
    runner = json.loads((bench.home / "queue" / "runner.json").read_bytes())["pid"]
    strike(runner, signal.SIGKILL)
    if kind == "with all":
        power_cut(bench)
    found = list(bench.runs.glob(f"{name}-*"))
    stage = _stage(found[0]) if found else "no folder"
    for words in (("queue", "list"), ("queue", "start")):
        done = Life.said(bench.command(*words))
        if done.code:
            raise LostError(f"{' '.join(words)} ended with {done.code}: {done.err}")

    def is_started() -> bool:
        return any(
            b"RunStarted" in _read(path / "events" / "supervisor.jsonl") for path in bench.runs.glob(f"{name}-*")
        )

    if not wait(is_started, STARTED_SECONDS):
        raise LostError(f"the entry was never started again; {done.out} [{name}]")
    power_cut(bench)
    found = list(bench.runs.glob(f"{name}-*"))
    if len(found) != 1:
        raise LostError(f"one entry became {len(found)} runs: {found}")
    life = Life(bench, Run(bench, found[0]))
    life.note()
    life.after("queued")
    shutil.rmtree(found[0])
    return Trial(f"queue's process killed {kind}, with {stage}")


def asked(folder: Path, chance: random.Random) -> Trial:
    """Killed while a finished run is exported: the result stays, and what was asked for can be gone on with."""
    bench = life_for(folder, going=False).bench
    path = bench.runs / f"asked{time.monotonic_ns()}"
    shutil.copytree(bench.runs / "straight-1", path)
    life = Life(bench, Run(bench, path))
    done = life.said(bench.command("export", str(path), "--to", "merged", "--rows", "1", "--detach"))
    if done.code:
        raise LostError(f"export ended with {done.code}: {done.err} [{path}]")
    time.sleep(chance.choice((chance.uniform(0, 0.5), chance.uniform(0, 8))))
    who = chance.choice(("supervisor", "worker", "all"))
    life.note()
    pid = life.run.pid(who) if who != "all" else None
    if pid is not None:
        strike(pid, signal.SIGKILL)
    if who != "supervisor":
        power_cut(bench)
    life.quiet()
    life.files_hold()
    life.is_equal()
    life.state_is_told()
    state = life.run.standing()
    if state != "finished":
        done = life.resume()
        if done.code:
            raise LostError(f"resume ended with {done.code}: {done.err} [{path}]")
        if chance.random() < 0.5:
            wait(lambda: life.run.standing() != "died", STARTED_SECONDS)
            made = path / "exports" / "merged"
            if life.run.standing() != "finished" or not made.is_dir():
                raise LostError(f"the export was gone on with, and then the run {life.run.standing()} [{path}]")
        power_cut(bench)
        life.is_equal()
    shutil.rmtree(path)
    return Trial(f"kill -9 of {who} during an export after {life.moment}; {state}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


FAULTS: dict[str, Fault] = {
    "beginning a run killed": tried(begun),
    "queue's process killed": tried(queued),
    "killed during an export": tried(asked),
}
