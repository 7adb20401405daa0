"""Real tokens per second of finetui beside a bare loop, plain TRL and other trainers: same model, rows and batches.

Run it on an otherwise idle machine: `python benchmarks/throughput.py [CONTENDER...] [--shape mixed]`. Each measurement
is a fresh process on pinned cores, three warm-up steps do not count, and all take their turns forth and back
(A B B A); a ratio is that of two measurements of the same turn. On a CPU it is of CPU-seconds per real token, on a
card of time. finetui, `bare` and every `best` get the allocator settings that finetui gives its workers, the others
the system's. The exit code is 1 where a promise is broken.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

ROOT = str(Path(__file__).resolve().parent.parent)
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)

from benchmarks.throughput_contenders import events_cost, table  # noqa: E402 (found through the line above)
from benchmarks.throughput_contenders.measuring import CONTENDERS, Bench  # noqa: E402
from benchmarks.throughput_contenders.rows import SHAPES  # noqa: E402

USUAL = ("finetui", "bare", "bare-plain", "trl-default", "trl-best")
MODEL = "bundled:smollm2-135m-instruct"


def main(words: list[str] | None = None) -> int:
    options = parsed(words)
    cores = sorted(os.sched_getaffinity(0))[: options.threads]
    peers = dict(pair.split("=", 1) for pair in options.peer_python)
    text, broken = [table.heading(cores)], []
    print(text[0], flush=True)
    for shape in options.shape or ["mixed"]:
        page, faults = measured_page(options, shape, cores, peers)
        print(page, flush=True)
        text.append(page)
        broken += faults
    if options.out:
        options.out.write_text("\n".join(text) + "\n", encoding="utf-8")
    return 1 if broken else 0


def measured_page(
    options: argparse.Namespace, shape: str, cores: list[int], peers: dict[str, str]
) -> tuple[str, list[str]]:
    """All measurements of one shape of rows: (their page, the promises they break)."""
    with tempfile.TemporaryDirectory(prefix="throughput-") as temporary:
        folder = Path(temporary)
        bench = Bench.prepare(
            folder,
            shape,
            steps=options.steps,
            max_length=options.max_length,
            model=options.model,
            cores=cores,
            peers=peers,
        )
        rate = bench.matmul_rate()
        measured = []
        for each in bench.measurements(options.contender or list(USUAL), options.pairs):
            print(table.progress(each), file=sys.stderr, flush=True)
            measured.append(each)
        return table.page(bench, measured, rate, events_cost.measure(folder / "events"))


def parsed(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contender", nargs="*", help=f"of {', '.join(CONTENDERS)}; without any: {', '.join(USUAL)}")
    parser.add_argument("--shape", action="append", choices=SHAPES, help="rows; may be given more than once")
    parser.add_argument("--steps", type=int, default=4, help="measured optimizer steps of each measurement")
    parser.add_argument("--pairs", type=int, default=2, help="turns; with 2 and more in both orders")
    parser.add_argument("--threads", type=int, help="cores to use; all by default")
    parser.add_argument("--max-length", type=int, default=512, help="longest row in tokens")
    parser.add_argument("--model", default=MODEL, help="as a recipe names it")
    parser.add_argument("--peer-python", action="append", default=[], metavar="NAME=PATH", help="Python of a peer")
    parser.add_argument("--out", type=Path, help="also write the page to this file")
    options = parser.parse_args(words)
    if unknown := [name for name in options.contender if name not in CONTENDERS]:
        parser.error(f"no contender is called {', '.join(unknown)}; there are {', '.join(CONTENDERS)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
