"""What grows with a run's events, its viewers and the number of runs: time, CPU, memory, bytes. Prints one table.

    python benchmarks/scaling.py                                    # under two minutes
    python benchmarks/scaling.py --steps 10000000 --folder /big/disk  # 3.9 GB of events, many minutes
    python benchmarks/scaling.py --viewers 100 --runs 10000

Real processes: events are written by `EventWriter` or by its `encode`; commands are started as a shell does and
measured from outside. CPU time is what to compare where other jobs run. What the figures mean stands in
docs/scaling.md. Rows: `data_throughput.py`; the screens: `terminal.py`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
sys.path.insert(0, str(CHECKOUT))

from benchmarks.terminal import begin, copied_run, fed_run, finetui, numbered  # noqa: E402
from engine.event_log import EventWriter, encode  # noqa: E402
from engine.events import CheckpointSaved, EvalLogged, Event, Stamped  # noqa: E402
from engine.units import format_bytes  # noqa: E402

TIMED_EVENTS = 5_000
EVAL_EVERY = 1_000
WATCH_SECONDS = 10.0
VIEW = """
import resource, sys, time
from pathlib import Path
from engine.run_dir import RunDir
from tui_app.panels.loss import LossPanel
from tui_app.runs.watch import RunWatch
watch, panel, started = RunWatch(RunDir(Path(sys.argv[1]))), LossPanel(), time.process_time()
watch.glimpse()
panel.draw(watch.view(), 140, 30)
first = time.process_time() - started
while watch.loading is not None:
    watch.gather()
whole = time.process_time() - started
panel.draw(watch.view(), 140, 30)
started = time.process_time()
panel.draw(watch.view(), 140, 30)
redraw = time.process_time() - started
print(first, whole, redraw, len(watch.trace), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""

Row = tuple[str, str]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=100_000, help="of the one long run")
    parser.add_argument("--viewers", type=int, default=5, help="line viewers on one growing run")
    parser.add_argument("--runs", type=int, default=300, help="in the history")
    parser.add_argument("--folder", help="where the files are written; they are removed afterwards")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="finetui-scaling-", dir=options.folder) as folder:
        os.environ.update(FINETUI_HOME=folder, HF_HUB_OFFLINE="1")
        for part in (
            long_run(Path(folder), options.steps),
            many_viewers(Path(folder), options.viewers),
            many_runs(Path(folder), options.runs),
        ):
            for what, value in part:
                print(f"{what:<56} {value}", flush=True)
    return 0


def long_run(root: Path, num_steps: int) -> Iterator[Row]:
    run, before, steps = copied_run(root, "long-1")
    writer = begin(run, before, num_steps)
    yield f"events: write one, file of 0 to {TIMED_EVENTS:,}", timed(writer, [numbered(steps, 0, 9)] * TIMED_EVENTS)
    moment = time.time()
    with writer.path.open("ab") as file:
        for number in range(TIMED_EVENTS, num_steps):
            told: list[Event] = [numbered(steps, number, num_steps)]
            if number % EVAL_EVERY == 0:
                told += [EvalLogged(step=number, loss=1.5, num_rows=20, seconds=1.0)]
                told += [CheckpointSaved(step=number, path=f"checkpoints/{number}", num_bytes=10**7, seconds=1.0)]
            for event in told:
                file.write(encode(Stamped(moment + number / 1e4, "attempt-1", number, event)))
    size = writer.path.stat().st_size
    writer = EventWriter(writer.path)
    last = [numbered(steps, num_steps + number, num_steps) for number in range(TIMED_EVENTS)]
    yield f"events: write one, file of {num_steps:,} steps", timed(writer, last)
    yield "events: bytes a step", f"{size / num_steps:.0f} ({format_bytes(size)})"
    told = subprocess.run(
        [sys.executable, "-c", VIEW, str(run.path)], cwd=CHECKOUT, capture_output=True, text=True, check=True
    ).stdout.split()
    first, whole, redraw = (float(part) for part in told[:3])
    yield "viewer: first picture, chart drawn", f"{first:.2f} s of CPU"
    yield "viewer: whole history read", f"{whole:.1f} s of CPU, {1e6 * whole / num_steps:.1f} us a step"
    yield "viewer: chart redrawn", f"{1000 * redraw:.1f} ms of CPU, {told[3]} entries"
    yield "viewer: largest memory", format_bytes(int(told[4]) * 1024)
    yield "finetui status", measured(finetui("status", "long-1"))
    yield "finetui runs", measured(finetui("runs"))
    yield "finetui report", measured(finetui("report", "long-1"))
    shutil.rmtree(run.path)


def timed(writer: EventWriter, events: list[Event]) -> str:
    started, before = time.perf_counter(), time.process_time()
    for event in events:
        writer.write(event)
    wall, cpu = time.perf_counter() - started, time.process_time() - before
    return f"{1e6 * cpu / len(events):.1f} us of CPU, {1e6 * wall / len(events):.1f} us in all"


def measured(command: list[str]) -> str:
    """Wall time, CPU time and largest resident memory of a command."""
    started = time.perf_counter()
    child = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert child.stderr is not None
    with child.stderr:
        complaint = child.stderr.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall, cpu = time.perf_counter() - started, used.ru_utime + used.ru_stime
    ended = "" if not child.returncode else f"; ended with {child.returncode}: {complaint.decode().strip()[:80]}"
    return f"{wall:.2f} s, {cpu:.2f} s of CPU, {format_bytes(used.ru_maxrss * 1024)}{ended}"


def many_viewers(root: Path, num_viewers: int) -> Iterator[Row]:
    with fed_run(root) as name:
        feeder = next(pid for pid in processes() if "--feed" in command_of(pid))
        alone = cpu_share([feeder])
        shown = [root / f"viewer-{number}.txt" for number in range(num_viewers)]
        viewers = [viewer_of(name, path) for path in shown]
        try:
            while not all(path.stat().st_size for path in shown):  # they start, and read what is there
                time.sleep(0.2)
            pids = [viewer.pid for viewer in viewers]
            reads = -num_reads(pids)
            together = cpu_share(pids)
            reads += num_reads(pids)
            watched = cpu_share([feeder])
            resident = sum(resident_bytes(pid) for pid in pids) / num_viewers
        finally:
            for viewer in viewers:
                viewer.kill()
                viewer.wait()
    yield f"{num_viewers} viewers (lines): CPU of each", f"{100 * together / num_viewers:.2f} % of a core"
    yield f"{num_viewers} viewers (lines): memory of each", format_bytes(int(resident))
    yield f"{num_viewers} viewers (lines): reads of each", f"{reads / num_viewers / WATCH_SECONDS:.1f} a second"
    yield "the run's writer: CPU alone, and watched", f"{100 * alone:.2f} %, {100 * watched:.2f} %"
    shutil.rmtree(root / "runs" / "live-1")


def viewer_of(name: str, shown: Path) -> subprocess.Popen[bytes]:
    """A line viewer; what it prints goes to the file `shown`."""
    with shown.open("wb") as out:
        return subprocess.Popen(finetui("attach", name), cwd=CHECKOUT, stdin=subprocess.DEVNULL, stdout=out)


def processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace") if os.getpid() == parent_of(pid) else ""
    except OSError:
        return ""


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])


def cpu_share(pids: list[int]) -> float:
    """Cores kept busy by processes over `WATCH_SECONDS`."""

    def ticks() -> int:
        stats = (Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids)
        return sum(int(fields[11]) + int(fields[12]) for fields in stats)

    before = ticks()
    time.sleep(WATCH_SECONDS)
    return (ticks() - before) / os.sysconf("SC_CLK_TCK") / WATCH_SECONDS


def num_reads(pids: list[int]) -> int:
    """System calls that read, made so far."""
    return sum(int(Path(f"/proc/{pid}/io").read_text().split("syscr: ")[1].split()[0]) for pid in pids)


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def many_runs(root: Path, num_runs: int) -> Iterator[Row]:
    first, _, _ = copied_run(root, "many-0")
    recorded = CHECKOUT / "tests" / "recorded" / "runs" / "finished"
    for number in range(num_runs):
        target = root / "runs" / f"many-{number}"
        (target / "events").mkdir(parents=True, exist_ok=True)
        for path in (recorded / "events").glob("*.jsonl"):
            shutil.copy(path, target / "events")
        for name in ("recipe.toml", "plan-1.json", "supervisor.json"):
            if (recorded / name).exists():
                shutil.copy(recorded / name, target)
    yield f"{num_runs:,} runs: finetui runs", measured(finetui("runs"))
    yield f"{num_runs:,} runs: finetui status (the newest)", measured(finetui("status"))
    yield f"{num_runs:,} runs: finetui status {first.name}", measured(finetui("status", first.name))
    from tui_app.runs.history import History

    history, started = History(root / "runs"), time.process_time()
    history.look()
    looked = time.process_time() - started
    history.read(0.1)
    yield (
        f"{num_runs:,} runs: history page, rows in 0.1 s",
        f"{len(history.rows)} after a look of {1000 * looked:.0f} ms",
    )
    while history.read(1.0):
        pass
    whole = time.process_time() - started
    yield f"{num_runs:,} runs: history page, all rows", f"{whole:.2f} s of CPU, {1000 * whole / num_runs:.2f} ms a run"
    started = time.process_time()
    history.look()
    history.shown()
    yield f"{num_runs:,} runs: history page, looked at again", f"{1000 * (time.process_time() - started):.0f} ms of CPU"


if __name__ == "__main__":
    sys.exit(main())
