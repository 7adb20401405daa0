"""Faults of processes: killed, signalled, doubled, mistaken for others, moved away from, and told wrong times.

Not here: the runs that they are put to (`tormented`), what is held against them (`living`), and faults of files.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.chaos_faults import Fault, Trial
from benchmarks.chaos_faults.living import Life, LostError, in_time, life_for, tried
from benchmarks.chaos_faults.tormented import CHECKOUT, power_cut, strike, wait

SIGNALS = {"kill -9": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT, "SIGHUP": signal.SIGHUP}
SECONDS_TO_END = 120.0
CLOCK = "CHAOS_CLOCK"
SHIFTED = f'''
import os, time
_time, _time_ns = time.time, time.time_ns
def _ahead():
    try:
        with open(os.environ["{CLOCK}"]) as file:
            return float(file.read() or 0)
    except (KeyError, OSError, ValueError):
        return 0.0
time.time = lambda: _time() + _ahead()
time.time_ns = lambda: _time_ns() + int(_ahead() * 1e9)
'''
"""A sitecustomize: every Python process that is started with it has a clock that is wrong by what a file says."""


def ended(what: str, number: int, who: str, folder: Path, chance: random.Random) -> Trial:
    """A signal to the supervisor, to its worker, or to all at one instant."""
    life = life_for(folder)
    life.strike_at(chance)
    if who == "all":
        hit = power_cut(life.bench) > 0
    else:
        pid = life.run.pid(who)
        hit = pid is not None and strike(pid, number)
    what = what if hit else f"{what} (none was left to take it)"
    if who != "worker":
        return life.after(what)
    # The supervisor lives: it starts another worker, or ends because the worker was asked to.
    num_events = life.run.num_events()
    wait(lambda: life.run.num_events() > num_events + 1 or not life.bench.processes())
    return life.still_goes_on(what) if number == signal.SIGKILL and life.bench.processes() else _either(life, what)


def _either(life: Life, what: str) -> Trial:
    """A worker that was asked to stop stops the run; one that was still loading is started again."""
    if wait(lambda: not life.bench.processes(), 3.0):
        return life.after(what)
    return life.still_goes_on(what)


def watched(what: str, number: int, folder: Path, chance: random.Random) -> Trial:
    """A signal to who looks at the run: on the screen, line by line, or the command that resumed it."""
    life = life_for(folder)
    kind = chance.choice(("screen", "lines", "resume"))
    if kind == "resume":
        life = life_for(folder, going=False)
        life.num_before = life.run.num_events()
        viewer = life.bench.start("resume", str(life.run.path))
        wait(lambda: life.run.num_events() > life.num_before or viewer.poll() is not None)
    elif kind == "lines":
        viewer = life.bench.start("attach", str(life.run.path))
    else:
        viewer = _on_a_terminal(life)
    supervisor = life.run.pid("supervisor")
    life.strike_at(chance)
    hit = viewer.poll() is None
    viewer.send_signal(number)
    _drain(viewer)
    life.said(in_time(viewer, SECONDS_TO_END))
    if supervisor is not None and life.run.pid("supervisor") not in (supervisor, None):
        raise LostError(f"the supervisor was {supervisor}, and is another one now")
    return life.still_goes_on(f"{what} ({kind}{'' if hit else ', ended before'})")


_terminals: dict[int, int] = {}


def _on_a_terminal(life: Life) -> subprocess.Popen[str]:
    """The live view on a terminal of its own."""
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), slave)
    variables = {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    viewer = life.bench.start("attach", str(life.run.path), variables=variables, start_new_session=True, **streams)
    os.close(slave)
    _terminals[viewer.pid] = master
    return viewer


def _drain(viewer: subprocess.Popen[str]) -> None:
    """Read what a viewer still says to its terminal, until it has ended: a full terminal holds it up."""
    master = _terminals.pop(viewer.pid, None)
    if master is None:
        return

    def is_over() -> bool:
        with contextlib.suppress(OSError):
            os.read(master, 65536)
        return viewer.poll() is not None

    wait(is_over, SECONDS_TO_END)
    os.close(master)


def doubled(folder: Path, chance: random.Random) -> Trial:
    """Several `resume` at the same instant: one takes charge, the others say that it did."""
    life = life_for(folder, going=False)
    life.note()
    num_starts = _num_starts(life)
    rivals = [life.bench.start("resume", str(life.run.path), "--detach") for _ in range(chance.choice((2, 2, 3, 4)))]
    told = [life.said(in_time(rival)) for rival in rivals]
    codes = sorted(each.code for each in told)
    if codes != [0, *[9] * (len(rivals) - 1)]:
        raise LostError(f"{len(rivals)} resumes at once ended with {codes}: {[each.err for each in told]}")
    life.num_before = life.run.num_events()
    life.strike_at(chance)
    power_cut(life.bench)
    trial = life.after(f"{len(rivals)} resumes at once, then all killed")
    if _num_starts(life) > num_starts + 1:
        raise LostError(f"{_num_starts(life) - num_starts} supervisors took charge")
    return trial


def _num_starts(life: Life) -> int:
    return sum(event["event"] == "RunStarted" for event in life.run.events("supervisor"))


def commanded(command: str, folder: Path, chance: random.Random) -> Trial:
    """A command to the run and a kill at the same instant: the command comes back with an answer."""
    life = life_for(folder)
    life.strike_at(chance)
    who = chance.choice(("supervisor", "worker", "all"))
    sender = life.bench.start(command, str(life.run.path))
    commands = set((life.run.path / "control").iterdir())
    if chance.random() < 0.7:  # the instant at which it is sent, else any while it is being started
        wait(lambda: set((life.run.path / "control").iterdir()) != commands or sender.poll() is not None)
        time.sleep(chance.choice((0.0, chance.uniform(0, 0.05), chance.uniform(0, 0.3))))
    else:
        time.sleep(chance.uniform(0, 0.4))
    pids = [life.run.pid(each) for each in (("supervisor", "worker") if who == "all" else (who,))]
    for pid in pids:
        if pid is not None:
            strike(pid, signal.SIGKILL)
    told = life.said(in_time(sender))
    if told.code not in (0, 9):
        raise LostError(f"{command} ended with {told.code}: {told.out}{told.err}")
    power_cut(life.bench)
    return life.after(f"{command} ({told.code}) at the instant of kill -9 of {who}")


def mistaken(kind: str, folder: Path, chance: random.Random) -> Trial:
    """The pid that the run's files name belongs to somebody else by now, or is of an earlier boot."""
    life = life_for(folder, going=False)
    life.note()
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    try:
        for who in ("supervisor", "worker"):
            file = life.run.path / f"{who}.json"
            if not file.exists():
                continue
            told = json.loads(file.read_bytes()) | {"pid": stranger.pid}
            if kind == "earlier boot":
                told |= {"boot_id": "00000000-0000-0000-0000-000000000000", "start_time": _start_time(stranger.pid)}
            file.write_text(json.dumps(told))
        life.state_is_told()
        done = life.resume()
        if done.code:
            raise LostError(f"resume ended with {done.code}: {done.err}")
        life.strike_at(chance)
        power_cut(life.bench)
        trial = life.after(f"pid of {kind}, resumed, then all killed")
        if stranger.poll() is not None:
            raise LostError(f"a process that had nothing to do with the run was ended with {stranger.poll()}")
    finally:
        stranger.kill()
        stranger.wait()
    return trial


def _start_time(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])


def jumping(direction: int, folder: Path, chance: random.Random) -> Trial:
    """The wall clock jumps between two lives and again within the second."""
    life = life_for(folder, going=False)
    clock = folder / "clock"
    (folder / "sitecustomize.py").write_text(SHIFTED)
    clock.write_text("0")
    variables = {"PYTHONPATH": f"{folder}{os.pathsep}{CHECKOUT}", CLOCK: str(clock)}
    for _ in range(2):
        jump = direction * chance.choice((5.0, 60.0, 3600.0, 86400.0 * 30))
        clock.write_text(str(float(clock.read_text()) + jump))
        done = life.resume(variables=variables)
        if done.code == 9 and life.run.standing() == "finished":
            break
        if done.code:
            raise LostError(f"resume ended with {done.code}: {done.err}")
        life.strike_at(chance)
        clock.write_text(str(float(clock.read_text()) + direction * chance.uniform(0, 7200)))
        _is_shown_alive(life)
        life.strike_at(chance)
        power_cut(life.bench)
    return life.after(f"clock {float(clock.read_text()):+.0f} s, then all killed")


def _is_shown_alive(life: Life) -> None:
    """While the run goes on it is shown so, at a step that it has. Raises LostError."""
    step = life.step()
    told = life.status()
    if told["liveness"] == "alive" and told["phase"] in ("stopped", "failed", "finished", "died"):
        life.quiet()  # it may have ended at this moment; if not, this is a loss
    if told["liveness"] == "alive" and not min(step, life.step()) <= told["step"] <= max(step, life.step()):
        raise LostError(f"shown at step {told['step']}; its newest attempt was at {step}, then {life.step()}")


def moved(folder: Path, chance: random.Random, *, running: bool) -> Trial:
    """The run's folder gets another name or another place."""
    life = life_for(folder, going=running)
    if running:
        life.strike_at(chance)
    else:
        life.note()
    was, inside = life.run.path, chance.random() < 0.5
    place = (was.parent if inside else was.parents[1]) / f"{was.name}-moved"
    was.rename(place)
    life.run.path = place
    trial = life.after("renamed" if inside else "moved to another folder")
    if was.exists():
        left = sorted(str(path.relative_to(was)) for path in was.rglob("*"))
        shutil.rmtree(was)
        raise LostError(f"at the old place there is a folder again: {left[:8]}")
    done = life.resume()
    if done.code and not (done.code == 9 and life.run.standing() == "finished"):
        raise LostError(f"resume at the new place ended with {done.code}: {done.err}")
    return trial


def again(folder: Path, chance: random.Random) -> Trial:
    """Killed while it is being resumed, and resumed at once, before the earlier worker has ended."""
    life = life_for(folder, going=False)
    for _ in range(chance.choice((1, 2, 3))):
        first = life.bench.start("resume", str(life.run.path), "--detach")
        time.sleep(chance.uniform(0, 1.5))
        if chance.random() < 0.5:
            first.kill()
        pid = life.run.pid("supervisor")
        if pid is not None:
            strike(pid, signal.SIGKILL)
        in_time(first)
        wait(lambda: life.run.pid("supervisor") is None, SECONDS_TO_END)
    life.num_before = life.run.num_events()
    done = life.resume()
    over_or_going = life.run.pid("supervisor") or life.run.standing() == "finished"
    if done.code and not (done.code == 9 and over_or_going):
        raise LostError(f"the last resume ended with {done.code}: {done.err}")
    life.strike_at(chance)
    power_cut(life.bench)
    return life.after("killed while being resumed, resumed, then all killed")


def _everyone(what: str) -> Iterator[tuple[str, Fault]]:
    """Each signal to each."""
    for name, number in SIGNALS.items():
        for who in ("supervisor", "worker"):
            yield f"{name} of the {who}", tried(partial(ended, f"{name} of the {who}", number, who))
        yield f"{name} of a viewer", tried(partial(watched, f"{name} of a viewer", number))
    yield what, tried(partial(ended, what, signal.SIGKILL, "all"))


FAULTS: dict[str, Fault] = {
    **dict(_everyone("power cut")),
    "resumed by several at once": tried(doubled),
    "resumed again while being resumed": tried(again),
    **{f"{name} at the instant of a kill": tried(partial(commanded, name)) for name in ("stop", "save", "pause")},
    "pid of another process": tried(partial(mistaken, "another process")),
    "pid of an earlier boot": tried(partial(mistaken, "earlier boot")),
    "clock set back": tried(partial(jumping, -1)),
    "clock set ahead": tried(partial(jumping, 1)),
    "folder renamed while running": tried(partial(moved, running=True)),
    "folder renamed after a kill": tried(partial(moved, running=False)),
}
