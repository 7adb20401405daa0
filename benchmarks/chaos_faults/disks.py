"""Faults of disks, put to whole runs of a tiny real model: full, failing, without locks, without room for names.

The disk is made to refuse by `refusing_disk.c`, which every process of the run loads: the n-th write below the runs and
all that follow fail, for any n. Then the disk is mended, the run resumed, and its losses compared with those of a run
that met no fault. Not here: files that a power cut left damaged (`files`).
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.chaos_faults import Fault, Trial
from benchmarks.chaos_faults.damage import DAMAGES
from benchmarks.chaos_faults.tormented import CHECKOUT, MODEL, Bench, Ended, Run, out_of_count, wait

SOURCE = Path(__file__).with_name("refusing_disk.c")
RECIPE = """
title = "on a bad disk"
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
max_steps = 6
per_device_train_batch_size = 2
learning_rate = 1e-3
save_steps = 2
max_length = 64
[evaluation]
max_new_tokens = 4
max_rows = 4
"""
NUM_WRITES = 420
"""About how many writes such a run makes below its folder."""
PATIENCE_SECONDS = 600.0
HUNG = 124
"""Exit code of a command that did not end in that time."""
DEFECT = re.compile(r"Traceback \(most recent|This is a defect|hit an unexpected")


@dataclass(slots=True)
class Bed:
    """Where such runs are made: their bench, the library that refuses, and what an undisturbed run came to."""

    bench: Bench
    library: Path
    losses: dict[int, Any]
    adapter: bytes
    num_runs: int = 0

    def refusing(self, calls: str, number: int, after: int, part: str = "", root: Path | None = None) -> dict[str, str]:
        """Variables under which calls of that kind fail with an errno once so many went through."""
        self.count.write_bytes(bytes(8))
        values = {
            "ROOT": root or self.bench.runs,
            "CALLS": calls,
            "ERRNO": number,
            "AFTER": after,
            "COUNT": self.count,
        }
        named = {f"CHAOS_DISK_{name}": str(value) for name, value in values.items()}
        return named | ({"CHAOS_DISK_PART": part} if part else {}) | {"LD_PRELOAD": str(self.library)}

    @property
    def count(self) -> Path:
        return self.bench.folder / f"count-{os.getpid()}"

    @property
    def num_calls(self) -> int:
        return int.from_bytes(self.count.read_bytes(), sys.byteorder)

    def next_name(self) -> str:
        self.num_runs += 1
        return f"bad{self.num_runs}"


@functools.cache
def bed_in(place: Path) -> Bed:
    """The bed that the trials below one folder share; made once, about 15 s of one core."""
    bench = Bench(place / "disks-bed")
    bench.folder.mkdir(parents=True, exist_ok=True)
    library = bench.folder / "refusing_disk.so"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"], check=True)
    if not (bench.folder / "model").is_dir():
        subprocess.run([sys.executable, "-c", MODEL, str(bench.folder / "model")], cwd=CHECKOUT, check=True)
    rows = [{"prompt": f"add {n} and {n + 1}", "completion": f"{n} + {n + 1} = {2 * n + 1}"} for n in range(40)]
    (bench.folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (bench.folder / "bad.toml").write_text(RECIPE)
    straight = Run(bench, bench.runs / "straight-1")
    if not straight.path.is_dir():
        done = command(bench, "replay", "bad.toml", "--set", "run.name=straight")
        if done.code:
            raise AssertionError(f"the undisturbed run ended with {done.code}: {done.out}{done.err}")
    return Bed(bench, library, straight.told_losses()[0], _adapter(straight))


def command(bench: Bench, *words: str, variables: dict[str, str] | None = None) -> Ended:
    """One command to its end, which on a busy machine takes its time."""
    process = bench.start(*words, variables=variables or {})
    try:
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return Ended(HUNG, *process.communicate())
    return Ended(process.returncode, out, err)


def _adapter(run: Run) -> bytes:
    return (run.path / "adapter" / "adapter_model.safetensors").read_bytes()


def wrong_words(done: Ended, what: str) -> str:
    """What is wrong with how a command ended and what it said; "" where nothing is."""
    said = done.out + done.err
    if DEFECT.search(said):
        return f"{what} shows a defect: {said[-600:]}"
    if done.code and not said.strip():
        return f"{what} ended with {done.code} without a word"
    if done.code not in (0, 1, 3, 4, 6, 7, 9):
        return f"{what} ended with {done.code}: {said[-300:]}"
    return ""


def half_written(run: Run) -> str:
    """Which visible checkpoint is not whole; "" where all are."""
    seen = {int(path.name.partition("-")[2]) for path in (run.path / "checkpoints").glob("checkpoint-*")}
    broken = seen - set(run.complete_checkpoints())
    return f"checkpoints {sorted(broken)} are visible and not whole" if broken else ""


def untrue(bed: Bed, run: Run) -> str:
    """Where `status --json` tells another state than the run's last word, read from the raw file."""
    done = command(bed.bench, "status", run.name, "--json")
    if done.code:
        return wrong_words(done, "status")
    told, true = json.loads(done.out)["phase"], run.standing()
    return (
        "" if told == true or (true == "damaged" and told in ("died", "waiting")) else f"{told!r} shown, {true!r} true"
    )


def unlike(bed: Bed, run: Run) -> str:
    """Where a finished run differs from the undisturbed one; "" where it is equal."""
    losses, unequal = run.told_losses()
    if unequal:
        return unequal
    if losses != bed.losses:
        return f"losses {losses}, undisturbed {bed.losses}"
    return "" if _adapter(run) == bed.adapter else "the adapter is not that of the undisturbed run"


def aftermath(bed: Bed, run: Run, done: Ended, what: str) -> str:
    """Everything that must hold after a fault, the resumed run included; the first that does not."""
    if told := wrong_words(done, what) or half_written(run) or untrue(bed, run):
        return told
    if told := next(out_of_count(run), ""):
        return told
    if run.standing() != "finished":
        again = command(bed.bench, "resume", run.name)
        if again.code:
            return f"resume on a mended disk ended with {again.code}: {(again.out + again.err)[-600:]}"
    return half_written(run) or untrue(bed, run) or unlike(bed, run)


def struck(folder: Path, calls: str, number: int, after: int, part: str = "", *, everywhere: bool = False) -> Trial:
    """A run whose disk begins to refuse after so many calls; then a mended disk and `finetui resume`."""
    bed = bed_in(folder.parent)
    name, place = bed.next_name(), bed.bench.folder if everywhere else bed.bench.runs
    words = ("replay", "bad.toml", "--set", f"run.name={name}")
    done = command(bed.bench, *words, variables=bed.refusing(calls, number, after, part, place))
    met = bed.num_calls > after
    seen = f"{os.strerror(number)} after {after} {calls}s{' of ' + part if part else ''}: ended with {done.code}"
    run = Run(bed.bench, bed.bench.runs / f"{name}-1")
    bed.bench.end_all()
    if not run.path.is_dir():
        return Trial(seen, wrong_words(done, "replay") or ("" if done.code else "no folder was made, exit code 0"))
    if not (run.path / "manifest.json").exists():
        shown = command(bed.bench, "runs")
        return Trial(seen, wrong_words(done, "replay") or wrong_words(shown, "runs"))
    if not met and done.code:
        return Trial(seen, f"nothing was refused, and it failed: {(done.out + done.err)[-600:]}")
    return Trial(seen, aftermath(bed, run, done, "replay"))


def full_at_any_write(folder: Path, chance: random.Random) -> Trial:
    return struck(folder, "write", errno.ENOSPC, chance.randrange(NUM_WRITES))


def full_while(part: str, most: int) -> Fault:
    def fault(folder: Path, chance: random.Random) -> Trial:
        return struck(folder, "write", errno.ENOSPC, chance.randrange(most), part)

    return fault


def failing_at_any_write(folder: Path, chance: random.Random) -> Trial:
    return struck(folder, "write", errno.EIO, chance.randrange(NUM_WRITES))


def failing_flush(folder: Path, chance: random.Random) -> Trial:
    return struck(folder, "sync", errno.EIO, chance.randrange(120))


def without_locks(folder: Path, chance: random.Random) -> Trial:
    number = chance.choice((errno.ENOLCK, errno.EOPNOTSUPP))
    return struck(folder, "lock", number, 0, everywhere=True)


@contextlib.contextmanager
def own_disk(folder: Path, bed: Bed, options: str) -> Iterator[tuple[Bed, Callable[[str], None]]]:
    """A bench whose home is a file system of its own, and what changes its options. OSError where none can be made."""
    bench = Bench(folder / "bench")
    shutil.copytree(bed.bench.folder / "model", bench.folder / "model")
    for name in ("rows.jsonl", "bad.toml"):
        shutil.copy(bed.bench.folder / name, bench.folder / name)
    (bench.folder / "cache").symlink_to(bed.bench.folder / "cache")
    bench.home.mkdir()

    def mount(wanted: str) -> None:
        subprocess.run(["mount", *wanted.split(), str(bench.home)], check=True, capture_output=True)

    try:
        mount(f"-t tmpfs -o {options} tmpfs")
    except subprocess.CalledProcessError as fault:
        raise OSError(errno.EPERM, f"no file system can be mounted: {fault.stderr.decode()}") from fault
    try:
        yield Bed(bench, bed.library, bed.losses, bed.adapter), lambda wanted: mount(f"-o remount,{wanted}")
    finally:
        bench.end_all()
        subprocess.run(["umount", "-l", str(bench.home)], check=True)


def no_names_left(folder: Path, chance: random.Random) -> Trial:
    """A file system with few inodes: it has bytes, but takes no new file."""
    most = chance.randrange(8, 120)
    with own_disk(folder, bed_in(folder.parent), f"size=1200m,nr_inodes={most}") as (bed, change):
        done = command(bed.bench, "replay", "bad.toml", "--set", "run.name=names")
        run = Run(bed.bench, bed.bench.runs / "names-1")
        change("nr_inodes=100000")
        seen = f"{most} inodes: ended with {done.code}"
        if not run.path.is_dir():
            return Trial(seen, wrong_words(done, "replay") or ("" if done.code else "no folder, exit code 0"))
        return Trial(seen, aftermath(bed, run, done, "replay"))


def disk_filled(folder: Path, chance: random.Random) -> Trial:
    """A file system that shrinks under a run until a few kilobytes are free; then it grows again."""
    free = chance.randrange(4, 256) * 1024
    with own_disk(folder, bed_in(folder.parent), "size=1200m") as (bed, change):
        begun = command(bed.bench, "replay", "bad.toml", "--set", "run.name=filled", "--detach")
        run = Run(bed.bench, bed.bench.runs / "filled-1")
        wanted = chance.randint(3, 24)
        wait(lambda: run.num_events() >= wanted or not bed.bench.processes(), PATIENCE_SECONDS)
        stat = os.statvfs(bed.bench.home)
        change(f"size={(stat.f_blocks - stat.f_bfree) * stat.f_frsize + free}")
        done = command(bed.bench, "attach", run.name, "--plain")
        change("size=1200m")
        seen = f"{free} bytes free after {wanted} events: begun with {begun.code}, ended with {done.code}"
        return Trial(seen, wrong_words(begun, "replay") or aftermath(bed, run, done, "attach"))


def finished_run_cut(folder: Path, chance: random.Random) -> Trial:
    """The result of a finished run is damaged, or its newest checkpoint too: `resume` makes it again."""
    bed = bed_in(folder.parent)
    run = Run(bed.bench, bed.bench.runs / f"{bed.next_name()}-1")
    shutil.copytree(bed.bench.runs / "straight-1", run.path)
    kind = chance.choice([name for name in DAMAGES if name != "last page zeroed"])
    seen = f"weights {kind}"
    DAMAGES[kind](run.path / "adapter" / "adapter_model.safetensors", chance)
    if chance.random() < 0.5:
        newest = max(run.complete_checkpoints())
        DAMAGES[kind](run.path / "checkpoints" / f"checkpoint-{newest}" / "optimizer.pt", chance)
        seen += f", optimizer of checkpoint {newest} too"
    done = command(bed.bench, "resume", run.name)
    if done.code:
        return Trial(seen, f"resume ended with {done.code}: {(done.out + done.err)[-600:]}")
    told = "" if "is damaged" in done.out else f"nothing was said of the damage: {done.out}"
    return Trial(seen, told or untrue(bed, run) or unlike(bed, run))


FAULTS: dict[str, Fault] = {
    "disk full at any write": full_at_any_write,
    "disk full in a checkpoint": full_while("/checkpoints/", 60),
    "disk full in the adapter": full_while("/adapter", 20),
    "disk full in the events": full_while("/events/", 40),
    "disk full in the answers": full_while("/answers/", 12),
    "disk full in the rows": full_while("/dataset/", 20),
    "disk full in the logs": full_while("/log/", 6),
    "disk failing at any write": failing_at_any_write,
    "disk failing at a flush": failing_flush,
    "no locks": without_locks,
    "no inodes left": no_names_left,
    "a disk that fills up": disk_filled,
    "power cut, result of a finished run": finished_run_cut,
}
