"""What runs on this machine measured, kept to make the next prediction better.

Per card, library versions, method, attention and way of predicting: the factor rho between the measured and the
predicted transient part of the peak, and the speed reached. Only the transient part is scaled: what lies there
between steps is counted, not estimated. Lives in `finetui_home()/calibration.json`. Not here: measuring
(`training`), and predicting (`memory`, `dry_runs`).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from data.file_modes import make_private
from engine.errors import RunDirError
from engine.events import MemoryMeasured
from engine.library_versions import step_versions
from engine.memory import MemoryPrediction, Predictor, judge
from engine.plan import Plan
from engine.run_dir import finetui_home, write_atomic
from engine.units import format_seconds

FILE = "calibration.json"
VERSION = 1
RHO_MIN, RHO_MAX = 0.9, 1.25
"""A factor beyond these is no calibration but a misread configuration."""
MAX_SAMPLES = 20
"""Newest samples kept per key; older ones no longer say much."""
MAX_KEYS = 200
SIMILAR_SIZE = 3
"""Models whose sizes differ by more than this factor reach different speeds."""
EMULATED = " (emulated)"
STATIC_TERMS = ("weights", "quantization overhead", "adapter", "optimizer state")
"""Terms that are counted; the others share what calibration adds."""


@dataclass(frozen=True, slots=True)
class CalibrationKey:
    """What must be equal for a measurement to say something about a plan. `prediction`: closed form or dry run."""

    device_name: str
    versions: tuple[tuple[str, str], ...]
    method: str
    attention: str
    prediction: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement, `taken` in seconds since 1970. `flops` are the step's floating-point operations a second.

    `num_parameters` is of the model whose speed it is: a small one keeps no device busy.
    """

    taken: float
    rho: float | None = None
    flops: float | None = None
    num_parameters: int | None = None


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the samples of one key come to. `rho` lies between RHO_MIN and RHO_MAX and is 1 without a sample of it."""

    rho: float
    num_runs: int
    newest: float
    flops: float | None

    def sentence(self, now: float | None = None) -> str:
        """ "calibrated by 3 runs on this card, the last 2 d ago: x1.04"."""
        runs = "1 run" if self.num_runs == 1 else f"{self.num_runs} runs"
        age = format_seconds(max((time.time() if now is None else now) - self.newest, 0))
        return f"calibrated by {runs} on this device, the last {age} ago: x{self.rho:.2f}"


def key_of(plan: Plan, prediction: str) -> CalibrationKey:
    """The key of a plan on the libraries installed here."""
    method = plan.method
    if plan.use_dora:
        method += " lean dora" if plan.lean_dora else " dora"
    if plan.gradient_checkpointing:
        method += " checkpointing"
    return CalibrationKey(plan.device_name, step_versions(), method, plan.attn_implementation, prediction)


def record(
    key: CalibrationKey, *, rho: float | None = None, flops: float | None = None, num_parameters: int | None = None
) -> str:
    """Add one measurement; what had to be said about it, "" if nothing. Safe with several runs at once.

    A file that is damaged is put aside, and a disk that is full costs the sample, not the run.
    """
    sample = Sample(time.time(), rho, flops, num_parameters)
    try:
        with _locked():
            entries, problem = _read()
            samples = (*entries.pop(key, ()), sample)[-MAX_SAMPLES:]
            entries[key] = samples  # the newest key last: the first ones go when there are too many
            if problem:
                _path().replace(_path().with_suffix(".damaged.json"))
            kept = list(entries.items())[-MAX_KEYS:]
            stored = [{"key": asdict(each), "samples": [asdict(one) for one in some]} for each, some in kept]
            write_atomic(_path(), json.dumps({"version": VERSION, "entries": stored}, indent=1))
    except (OSError, RunDirError) as fault:
        return f"this run's measurement is not kept for later plans: {fault}"
    return problem


def record_measured(plan: Plan, event: MemoryMeasured) -> str:
    """Keep what an attempt measured after its second step; see `record`. Nothing without a prediction.

    `event.rho` is relative to the plan's prediction, which may have been scaled itself.
    """
    if plan.memory is None or event.rho is None:
        return ""
    return record(key_of(plan, plan.memory.method), rho=event.rho * plan.memory.transient_scale)


def record_speed(plan: Plan, flops: float, *, num_parameters: int) -> str:
    """Keep the speed that steps of this plan reached: floating-point operations a second, with a model of that size."""
    key = key_of(plan, plan.memory.method if plan.memory else "closed form")
    return record(key, flops=flops, num_parameters=num_parameters)


def lookup(plan: Plan, prediction: str, *, num_parameters: int | None = None) -> tuple[Calibration | None, str]:
    """(what was measured before under this plan's key, what has to be said about the file).

    A card that is only planned for takes what was measured on a real one of its kind. Speeds count where the model
    that reached them had about `num_parameters`.
    """
    entries, problem = _read()
    key = key_of(plan, prediction)
    real = replace(key, device_name=key.device_name.removesuffix(EMULATED))
    samples = entries.get(key) or entries.get(real) or ()
    if not samples:
        return None, problem
    rhos = [sample.rho for sample in samples if sample.rho is not None and math.isfinite(sample.rho)]
    speeds = [sample.flops for sample in samples if sample.flops and _alike(sample.num_parameters, num_parameters)]
    rho = min(max(statistics.median(rhos), RHO_MIN), RHO_MAX) if rhos else 1.0
    speed = statistics.median(speeds) if speeds else None
    return Calibration(rho, max(len(rhos), len(speeds)), max(sample.taken for sample in samples), speed), problem


def calibrated(predictor: Predictor) -> Predictor:
    """A predictor whose transient part is scaled by what earlier runs of this kind measured."""

    def predict(plan: Plan) -> MemoryPrediction:
        memory = predictor(plan)
        found, problem = lookup(plan, memory.method)
        if found is None or not found.num_runs:  # of some runs only the speed is known
            return replace(memory, calibration=problem) if problem else memory
        return scaled(memory, found)

    return predict


def scaled(memory: MemoryPrediction, calibration: Calibration) -> MemoryPrediction:
    """The prediction with every transient byte times rho, and the words that say so."""
    return replace(
        with_transient(memory, calibration.rho), transient_scale=calibration.rho, calibration=calibration.sentence()
    )


def with_transient(memory: MemoryPrediction, factor: float) -> MemoryPrediction:
    """The prediction with what does not lie there between steps times `factor`, judged anew."""
    grown = round((memory.peak_bytes - memory.static_bytes) * (factor - 1))
    needed = memory.needed_bytes + grown
    verdict, reason = judge(needed, memory.capacity_bytes)
    return replace(
        memory,
        terms=_scaled_terms(memory, grown),
        peak_bytes=memory.peak_bytes + grown,
        reserved_low_bytes=memory.reserved_low_bytes + grown,
        reserved_high_bytes=memory.reserved_high_bytes + grown,
        needed_bytes=needed,
        verdict=verdict,
        reason=reason,
    )


def _scaled_terms(memory: MemoryPrediction, grown: int) -> tuple[tuple[str, int], ...]:
    """The transient terms share `grown` bytes by their size; the largest takes what rounding leaves."""
    transient = {name: size for name, size in memory.terms if name not in STATIC_TERMS}
    total = sum(transient.values())
    if not total:
        return memory.terms
    shares = {name: grown * size // total for name, size in transient.items()}
    shares[max(transient, key=lambda name: transient[name])] += grown - sum(shares.values())
    return tuple((name, size + shares.get(name, 0)) for name, size in memory.terms)


def _alike(one: int | None, other: int | None) -> bool:
    """Whether models of so many parameters use a device alike."""
    if not one or not other:
        return False
    return max(one, other) <= SIMILAR_SIZE * min(one, other)


def _path() -> Path:
    return finetui_home() / FILE


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """Only one process at a time reads and writes back."""
    make_private(finetui_home())
    with _path().with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read() -> tuple[dict[CalibrationKey, tuple[Sample, ...]], str]:
    """(samples by key, what is wrong with the file or "")."""
    path = _path()
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if raw["version"] != VERSION:
            return {}, f"{path} is of another version of finetui: it is not used"
        return {_key(entry["key"]): tuple(map(_sample, entry["samples"])) for entry in raw["entries"]}, ""
    except FileNotFoundError:
        return {}, ""
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as fault:
        return {}, f"{path} is damaged and not used ({type(fault).__name__}): earlier measurements do not count"


def _key(raw: dict[str, Any]) -> CalibrationKey:
    return CalibrationKey(**raw | {"versions": tuple((str(name), str(version)) for name, version in raw["versions"])})


def _sample(raw: dict[str, Any]) -> Sample:
    rho, flops, size = raw["rho"], raw["flops"], raw["num_parameters"]
    return Sample(
        float(raw["taken"]),
        None if rho is None else float(rho),
        None if flops is None else float(flops),
        None if size is None else int(size),
    )
