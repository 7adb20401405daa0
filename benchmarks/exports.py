"""What each GGUF type costs and keeps: size, agreement with the tuned model, perplexity, divergence, time per answer.

Exports a finished run into a folder of its own, every type and the k-quants with an importance matrix too, and prints
one table: `python benchmarks/exports.py RUN [--rows 150] [--types F16,Q8_0] [--output FOLDER]`. The run gets a merged
model where it has none. On an idle machine it takes some minutes; on a busy one the seconds mean nothing.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import tempfile
from importlib.metadata import version
from pathlib import Path

from engine.event_log import EventWriter
from engine.events import ArtifactExported
from engine.exporters.gguf import EXPORTER
from engine.exporters.worker import job_of
from engine.gguf_runtime.file_types import CODES, WITHOUT_MATRIX
from engine.run_dir import RunDir
from engine.units import format_bytes

HEADER = "| file | size | bits per weight | agrees | perplexity | change | s per answer | made and checked in |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--rows", type=int, default=150)
    parser.add_argument("--types", default=",".join(CODES))
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    run = RunDir.open(options.run)
    types = options.types.split(",")
    with tempfile.TemporaryDirectory(prefix="exports-") as temporary:
        place = options.output or Path(temporary)
        print(_machine())
        print(f"\n{HEADER}\n|{'---|' * 8}")
        notes: list[str] = []
        by_matrix = [each for each in types if each not in WITHOUT_MATRIX]
        for imatrix, wanted in ((False, types), (True, by_matrix)):
            if not wanted:
                continue
            common = {"to": ["gguf"], "rows": options.rows, "output": str(place)}
            settings = {**common, "quantizations": wanted, "imatrix": imatrix}
            writer = EventWriter(Path(temporary) / "benchmark.jsonl")
            for event in EXPORTER.export(job_of(run, settings, writer)):
                print(_line(event), flush=True)
                notes += [f"- {event.artifact}: {note}" for note in event.notes]
        print("\n" + "\n".join(notes))


def _machine() -> str:
    parts = [f"{name} {version(name)}" for name in ("torch", "transformers", "gguf", "llama-cpp-python")]
    cores = len(os.sched_getaffinity(0))
    today = datetime.datetime.now(datetime.UTC).date()
    load = " ".join(f"{each:.1f}" for each in os.getloadavg())
    return f"{today}; {cores} cores of {platform.machine()}, load average at the start {load}; {', '.join(parts)}"


def _line(event: ArtifactExported) -> str:
    agrees = "-" if event.agreement is None else f"{event.agreement * event.num_rows:.0f} of {event.num_rows}"
    perplexity = "-" if event.perplexity is None else f"{event.perplexity:.4f}"
    change = "-" if event.perplexity_change is None else f"{event.perplexity_change:+.2%}"
    seconds = "-" if event.seconds_per_answer is None else f"{event.seconds_per_answer:.2f}"
    bits = "-" if event.bits_per_weight is None else f"{event.bits_per_weight:.2f}"
    cells = (event.artifact, format_bytes(event.num_bytes), bits, agrees, perplexity, change, seconds)
    return f"| {' | '.join(cells)} | {event.seconds:.0f} s |"


if __name__ == "__main__":
    main()
