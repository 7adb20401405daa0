"""Asking for dry runs: one worker process, its answers kept on disk, the closed form where it cannot answer.

The worker (`python -P -m engine.training.dry_run.worker`) loads torch; this module does not. Every answer is kept
in `cache_dir()/dry-runs` under a hash of all that it depends on, library versions and our own code included. Not
here: the question (`step_specs`), the dry run itself (`training.dry_run`).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from data.file_modes import make_private
from engine.calibration import calibrated, with_transient
from engine.dry_run_process import DryRunProcess
from engine.dry_run_types import DryRun, StepSpec
from engine.errors import DiedError, ModelError, RunDirError
from engine.library_versions import step_versions
from engine.memory import MemoryPrediction, Predictor, judge, needed_bytes, outside_bytes, predict
from engine.model_shape import ModelShape
from engine.plan import Plan
from engine.ranks.rank_memory import per_rank
from engine.run_dir import cache_dir, write_atomic
from engine.step_specs import spec_of

MAX_CACHED = 2000
"""Answers kept; each is about 1 kB."""
IRRELEVANT = ("_name_or_path", "transformers_version", "architectures_note")
"""Keys of a config.json that change no layer."""
CODE = (
    *("training/dry_run", "training/lean_dora.py", "training/frozen_head_loss.py", "training/segment_attention.py"),
    *("training/joining.py", "training/varlen_attention.py", "training/selective_checkpointing.py"),
    *("training/row_attention.py", "training/shared_casts.py"),
    *("allocator.py", "dry_run_types.py"),
)
"""Our own sources that an answer depends on."""


@dataclass(slots=True)
class DryRunPredictor:
    """Predicts plans of one model by dry runs. Call it with a plan.

    `reason` says why the last plan was not predicted by a dry run, "" if it was. `on_question` is called with a
    running number before each question to the worker, which takes seconds.
    """

    config: Mapping[str, Any]
    shape: ModelShape | None
    cache: Path
    process: DryRunProcess
    full_depth_for_first: bool = False
    on_question: Callable[[int], None] = lambda _: None
    reason: str = ""
    _known: dict[str, DryRun] = field(default_factory=dict)
    _num_asked: int = 0
    _num_questions: int = 0
    _ratio: float = 1.0
    """Transient part of the last dry run, as a multiple of the closed form's."""

    def __call__(self, plan: Plan) -> MemoryPrediction:
        """Raises ModelError or DiedError where neither a dry run nor the closed form can predict this model."""
        full_depth = self.full_depth_for_first and self._num_asked == 0
        self._num_asked += 1
        closed = predict(plan, self.shape) if self.shape else None
        try:
            result = self.answer(spec_of(plan), full_depth=full_depth)
        except (ModelError, DiedError) as fault:
            self.reason = fault.happened
            if closed is None:
                raise
            # Beside dry runs of the same model, only figures on the same footing can be compared.
            return replace(with_transient(closed, self._ratio), source=f"no dry run: {fault.happened}")
        self.reason = ""
        memory = prediction_of(plan, result)
        if closed is None:
            return replace(memory, source=stack())
        transient = closed.peak_bytes - closed.static_bytes
        self._ratio = (memory.peak_bytes - memory.static_bytes) / transient if transient else 1.0
        return replace(memory, closed_form_peak_bytes=closed.peak_bytes, source=stack())

    def answer(self, spec: StepSpec, *, full_depth: bool = False) -> DryRun:
        """The dry run of one step: remembered, from disk, or from the worker. Raises ModelError or DiedError."""
        key = key_of(self.config, spec, full_depth=full_depth)
        if key not in self._known:
            self._known[key] = self._cached(key) or self._asked(key, spec, full_depth)
        return self._known[key]

    def _asked(self, key: str, spec: StepSpec, full_depth: bool) -> DryRun:
        if not self.process.failure:
            self._num_questions += 1
            self.on_question(self._num_questions)
        question = {"config": dict(self.config), "spec": spec.to_json(), "full_depth": full_depth}
        try:
            result = DryRun.from_json(self.process.ask(question))
        except ValueError as fault:
            raise ModelError(f"The dry run gave an answer that makes no sense: {fault}.") from fault
        with contextlib.suppress(OSError, RunDirError):  # a full disk costs the cache, not the prediction
            make_private(self.cache)
            write_atomic(self.cache / f"{key}.json", json.dumps({"versions": step_versions(), **result.to_json()}))
        return result

    def _cached(self, key: str) -> DryRun | None:
        path = self.cache / f"{key}.json"
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            stored.pop("versions")
            return DryRun.from_json(stored)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None  # not there, or cut short by a crash: asked again and written anew


@contextlib.contextmanager
def dry_run_predictor(
    config: Mapping[str, Any],
    shape: ModelShape | None,
    *,
    cache: Path | None = None,
    calibrate: bool = True,
    full_depth_for_first: bool = False,
    first: Plan | None = None,
    on_question: Callable[[int], None] = lambda _: None,
    on_wait: Callable[[], None] = lambda: None,
) -> Iterator[Predictor | None]:
    """What predicts plans of the model that `config` describes, for as long as the context lasts.

    Plans that a dry run cannot answer are predicted by the closed form of `shape`; `MemoryPrediction.source` says
    why. Without a shape `first` is tried: None comes out where it cannot be predicted. `calibrate` scales by what
    earlier runs on this machine measured. `on_question` is called before each question, `on_wait` four times a second
    while an answer is awaited: a place for progress, a heartbeat, or a request to stop.
    """
    folder = cache or cache_dir() / "dry-runs"
    with DryRunProcess(on_wait=on_wait) as process:
        predictor = DryRunPredictor(config, shape, folder, process, full_depth_for_first, on_question)
        usable = True
        if shape is None and first is not None:
            try:
                predictor(first)
            except (ModelError, DiedError):
                usable = False
        yield per_rank(calibrated(predictor) if calibrate else predictor, shape) if usable else None
    _prune(folder)


def prediction_of(plan: Plan, run: DryRun) -> MemoryPrediction:
    """A dry run as a prediction: what the process needs on the plan's device, and the verdict."""
    outside = outside_bytes(plan.device, plan.compute_capability)
    if plan.expandable_segments:
        low, high = run.expandable_needed_bytes, run.expandable_reserved_bytes
    else:
        low, high = run.needed_bytes, run.reserved_bytes
    needed = needed_bytes(plan, low, run.terms)
    verdict, reason = judge(needed, plan.capacity_bytes)
    return MemoryPrediction(
        terms=run.terms,
        peak_bytes=run.peak_bytes,
        static_bytes=run.resident_bytes,
        reserved_low_bytes=low,
        reserved_high_bytes=max(low, high),
        outside_bytes=outside,
        needed_bytes=needed,
        capacity_bytes=plan.capacity_bytes,
        verdict=verdict,
        reason=reason,
        method="dry run",
    )


def stack() -> str:
    """The libraries whose step was run, in words: "torch 2.13.0, transformers 5.23.0, …"."""
    return ", ".join(f"{name} {version.partition('+')[0]}" for name, version in step_versions())


def key_of(config: Mapping[str, Any], spec: StepSpec, *, full_depth: bool) -> str:
    """SHA-256 of everything that the answer depends on."""
    depends_on = {
        "config": {name: value for name, value in config.items() if name not in IRRELEVANT},
        "spec": spec.to_json(),
        "full_depth": full_depth,
        "versions": step_versions(),
        "code": _code_hash(),
    }
    return hashlib.sha256(json.dumps(depends_on, sort_keys=True, default=str).encode()).hexdigest()


@functools.cache
def _code_hash() -> str:
    here, digest = Path(__file__).parent, hashlib.sha256()
    for name in CODE:
        path = here / name
        for source in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            digest.update(source.read_bytes())
    return digest.hexdigest()


def _prune(folder: Path) -> None:
    """Keep the newest answers only."""
    with contextlib.suppress(OSError):
        files = sorted(folder.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in files[MAX_CACHED:]:
            path.unlink(missing_ok=True)
