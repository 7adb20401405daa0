"""What rows cost on their way to training: time, throughput and memory, beside reading and parsing the file once.

    python benchmarks/data_throughput.py [--mb 200] [--gb 5] [--only NAME ...] [--keep FOLDER]

A JSON Lines file of that size is made in a temporary folder (short and long alpaca rows, some of them duplicates, some
unusable; UTF-8 beyond ASCII in some). Each job is a process of its own; right before it the bare loop runs
(`json.loads` of every line), and the ratio is that of the two neighbours, so that a machine with other work slows both.
Memory is the most that the process had at once (ru_maxrss). Not measured here: tokenizing, which needs a model.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

BARE = "import json, sys\nfor line in open(sys.argv[1], 'rb'): json.loads(line)"
ROWS = "import sys\nfrom data.loading import Rows\nfor row in Rows(sys.argv[1]): pass"
PREPARE = (
    "import sys\nfrom pathlib import Path\nfrom data.preparation import DataRequest, prepare\n"
    "prepare(DataRequest(sys.argv[1]), Path(sys.argv[2]))"
)
TEXTS = 20_000
"""Different texts in the file."""
COMMAND = "import sys\nfrom tui_app.cli import main\nsys.exit(main(sys.argv[1:]))"


@dataclass(frozen=True, slots=True)
class Job:
    """A program with its arguments; `{rows}` is the file, `{out}` a folder that is not there yet."""

    name: str
    program: str
    arguments: tuple[str, ...]
    fine: tuple[int, ...] = (0,)


JOBS = (
    Job("data.loading.Rows", ROWS, ("{rows}",)),
    Job("finetui data check", COMMAND, ("data", "check", "{rows}"), (0, 3)),
    Job("finetui data convert", COMMAND, ("data", "convert", "{rows}", "-o", "{out}.jsonl")),
    Job("finetui data split", COMMAND, ("data", "split", "{rows}", "-o", "{out}")),
    Job("preparation of a run, without tokens", PREPARE, ("{rows}", "{out}")),
)


@dataclass(frozen=True, slots=True)
class Measured:
    """Wall and CPU seconds, the process's most memory in bytes, and its exit code."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int
    code: int


def make_rows(path: Path, num_bytes: int) -> int:
    """Write alpaca rows until there are so many bytes; how many rows. Their texts come round; their numbers do not."""
    draw = random.Random(5)
    words = [f"word{number}" if number % 9 else f"größe{number}" for number in range(5000)]
    rests = []
    for number in range(TEXTS):
        row = {
            "instruction": " ".join(draw.choices(words, k=draw.randint(5, 40))),
            "input": "" if number % 3 else " ".join(draw.choices(words, k=10)),
            "output": " ".join(draw.choices(words, k=draw.randint(5, 120))) if number % 500 else "",
        }
        rests.append(json.dumps(row, ensure_ascii=False).removeprefix('{"instruction": "').encode() + b"\n")
    written, num_rows, before = 0, 0, b""
    with path.open("wb") as file:
        while written < num_bytes:
            line = b'{"instruction": "Task %d: ' % num_rows + rests[num_rows % TEXTS]
            if num_rows % 100 == 99:
                line = before
            written += file.write(line)
            num_rows, before = num_rows + 1, line
    return num_rows


def measured(program: str, arguments: list[str], log: Path) -> Measured:
    """Run a program of its own and wait for it; what it prints goes to `log`."""
    started = time.monotonic()
    into = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    process = os.posix_spawn(
        sys.executable,
        [sys.executable, "-P", "-c", program, *arguments],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, into, 1), (os.POSIX_SPAWN_DUP2, into, 2)],
    )
    os.close(into)
    _, status, usage = os.wait4(process, 0)
    seconds, code = time.monotonic() - started, os.waitstatus_to_exitcode(status)
    return Measured(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, code)


def line_of(name: str, job: Measured, bare: Measured, num_bytes: int) -> str:
    speed, memory, ratio = num_bytes / 1e6 / job.seconds, job.peak_bytes / 1e6, job.cpu_seconds / bare.cpu_seconds
    return f"| {name} | {job.seconds:.1f} | {job.cpu_seconds:.1f} | {speed:.0f} | {ratio:.1f} | {memory:.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mb", type=int, default=200, help="size of the file in MB (10^6 bytes); 200 if left out")
    parser.add_argument("--gb", type=int, help="the same in GB")
    parser.add_argument("--only", nargs="*", help="jobs whose name holds one of these words")
    parser.add_argument("--keep", type=Path, help="work in this folder and leave it there; rows.jsonl in it is used")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.keep) as work:
        rows = (options.keep or Path(work)) / "rows.jsonl"
        if not rows.exists():
            make_rows(rows, (options.gb * 1000 if options.gb else options.mb) * 10**6)
        num_bytes = rows.stat().st_size
        print(f"{num_bytes / 1e6:,.0f} MB; Python {platform.python_version()}, {os.cpu_count()} cores")
        print(
            "| job | wall s | CPU s | MB/s | CPU, times the bare loop | peak RSS MB |\n|---|---:|---:|---:|---:|---:|"
        )
        for number, job in enumerate(JOBS):
            if options.only and not any(word in job.name for word in options.only):
                continue
            bare = measured(BARE, [str(rows)], Path(work) / "log")
            print(line_of("bare json.loads loop", bare, bare, num_bytes), flush=True)
            log, out = Path(work) / f"log-{number}", Path(work) / f"out-{number}"
            arguments = [argument.format(rows=rows, out=out) for argument in job.arguments]
            if job.program == PREPARE:
                out.mkdir()
            done = measured(job.program, arguments, log)
            print(line_of(job.name, done, bare, num_bytes), flush=True)
            if done.code not in job.fine:
                print(f"  exit code {done.code}: {log.read_text(errors='replace')[-600:]}", flush=True)
            for left in (out, *Path(work).glob(f"{out.name}*")):
                remove(left)


def remove(path: Path) -> None:
    """A file or a folder with what is in it."""
    if path.is_dir():
        for inside in path.iterdir():
            remove(inside)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
