"""How far predicted memory is from measured memory, row by row. Run it, or a part of it:

    python benchmarks/memory_accuracy.py [--part cpu,t4,l40s,verdicts,gpu] [--rows FILE.jsonl] [--full-depth]

`cpu` takes real steps here, `gpu` on a card if there is one; the others replay what others measured on a T4 and an
L40S. Nothing is fitted to rows. The last line sums up; exit code 1 when a row misses its bound.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

# ruff: noqa: E402
from benchmarks.measured_rows import T4_CONTEXT_MIB, T4_USABLE_MIB, Row, Skipped, read_rows
from engine.dry_run_types import DryRun
from engine.memory import TIGHT_MARGIN

DATA = Path(__file__).parent / "data"
MIB = 1 << 20
BOUNDS = {"allocated": 0.03, "reserved": 0.05, "cpu": 0.01, "gpu": 0.03}
"""Largest relative error of a row."""
PARTS = ("cpu", "t4", "l40s", "verdicts", "gpu")


@dataclass(slots=True)
class Score:
    """What came out so far: relative errors, the rows that missed, and verdicts that would have cost a run."""

    errors: list[float] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    false_fits: list[str] = field(default_factory=list)
    false_noes: list[str] = field(default_factory=list)
    verdicts: int = 0
    skipped: int = 0

    def judge(self, name: str, kind: str, measured: float, predicted: float) -> None:
        """One row; both in MiB."""
        error = predicted / measured - 1
        self.errors.append(abs(error))
        missed = abs(error) > BOUNDS[kind]
        if missed:
            self.missed.append(name)
        note = "  MISSED" if missed else ""
        print(f"{name}: {kind} measured {measured:.1f} predicted {predicted:.1f} MiB  {error:+.2%}{note}", flush=True)

    def verdict(self, name: str, needed_mib: float, survived: bool) -> None:
        """`needed_mib` includes the device's context."""
        said = verdict_of(needed_mib, T4_USABLE_MIB)
        self.verdicts += 1
        note = ""
        if said == "fits" and not survived:
            self.false_fits.append(name)
            note = "  FALSE FIT"
        elif said == "will not fit" and survived:
            self.false_noes.append(name)
            note = "  false no"
        truth = "ran" if survived else "ran out of memory"
        print(f"{name}: needs {needed_mib:.0f} of {T4_USABLE_MIB} MiB: {said}; it {truth}{note}", flush=True)

    def summary(self) -> str:
        """The last line."""
        if not self.errors:
            return f"median - p95 - worst - false_fits {len(self.false_fits)}"
        ordered = sorted(self.errors)
        p95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
        return (
            f"median {statistics.median(ordered):.2%} p95 {p95:.2%} worst {ordered[-1]:.2%} "
            f"false_fits {len(self.false_fits)}"
        )


def verdict_of(needed: float, capacity: float) -> str:
    """fits, tight or will not fit; both in the same unit."""
    if needed <= capacity * (1 - TIGHT_MARGIN):
        return "fits"
    return "tight" if needed <= capacity else "will not fit"


def replay_rows(rows: Iterable[Row | Skipped], score: Score, *, full_depth: bool) -> None:
    """Judge rows that others measured. Equal questions are asked once."""
    from engine.training.dry_run.dry_run import dry_run

    asked: dict[str, DryRun] = {}
    for row in rows:
        if isinstance(row, Skipped):
            score.skipped += 1
            print(f"{row.name}: skipped, {row.reason}", flush=True)
            continue
        key = json.dumps([row.config, row.spec.to_json()], sort_keys=True)
        try:
            run = asked[key] = asked.get(key) or dry_run(row.config, row.spec, full_depth=full_depth)
        except Exception as fault:  # noqa: BLE001 - one row that cannot be asked must not hide the others
            score.missed.append(row.name)
            print(f"{row.name}: MISSED, no prediction: {type(fault).__name__}: {fault}", flush=True)
            continue
        if row.survived is not None:
            score.verdict(row.name, run.needed_bytes / MIB + T4_CONTEXT_MIB, row.survived)
        else:
            assert row.measured_mib is not None
            predicted = run.peak_bytes if row.kind == "allocated" else run.reserved_bytes
            score.judge(row.name, row.kind, row.measured_mib, predicted / MIB)


def real_rows(module: str, kind: str, score: Score) -> None:
    """Judge real steps taken here, by a module with `rows()` -> (name, real bytes, predicted bytes)."""
    if importlib.util.find_spec(f"benchmarks.{module}") is None:
        print(f"{kind}: skipped, benchmarks/{module}.py is not here")
        return
    for name, real, predicted in importlib.import_module(f"benchmarks.{module}").rows():
        score.judge(name, kind, real / MIB, predicted / MIB)


def gpu_rows(score: Score) -> None:
    import torch

    if not torch.cuda.is_available():
        print("gpu: skipped, there is no NVIDIA card here")
        return
    real_rows("gpu_steps", "gpu", score)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--part", default=",".join(PARTS), help="comma-separated: " + ", ".join(PARTS))
    parser.add_argument("--rows", type=Path, help="judge the rows of this file instead; lines of any of the formats")
    parser.add_argument("--full-depth", action="store_true", help="run every layer instead of as few as will do")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")

    import torch

    torch.set_num_threads(1)
    total = Score()
    files = {"t4": "memory_t4.jsonl", "l40s": "memory_l40s.jsonl", "verdicts": "memory_t4_verdicts.jsonl"}
    chosen = ["rows"] if options.rows else options.part.split(",")
    for part in chosen:
        score = Score()
        parts: dict[str, Callable[[], None]] = {
            "cpu": lambda score=score: real_rows("real_steps", "cpu", score),
            "gpu": lambda score=score: gpu_rows(score),
        }
        if part in parts:
            parts[part]()
        else:
            path = options.rows or DATA / files[part]
            replay_rows(read_rows(path), score, full_depth=options.full_depth)
        print(f"-- {part}: {len(score.errors)} rows, {score.verdicts} verdicts, {score.summary()}")
        for name in ("errors", "missed", "false_fits", "false_noes"):
            getattr(total, name).extend(getattr(score, name))
        total.verdicts += score.verdicts
        total.skipped += score.skipped
    report(total)
    return 1 if total.missed or total.false_fits else 0


def report(total: Score) -> None:
    for title, names in (
        ("missed their bound", total.missed),
        ("false fits", total.false_fits),
        ("false noes", total.false_noes),
    ):
        if names:
            print(f"{title}: {'; '.join(names)}")
    print(f"{len(total.errors)} rows, {total.verdicts} verdicts, {total.skipped} skipped")
    print(total.summary())


if __name__ == "__main__":
    sys.exit(main())
