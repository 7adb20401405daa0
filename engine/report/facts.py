"""Everything a report tells, read from a run's folder once. What is missing is None or empty, never an error.

A run that still trains, died, or was never scored has a report too. Not here: how it is told (`sections`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from data.receipt import Receipt
from engine import events as ev
from engine.checkpoints import MANIFEST
from engine.errors import FinetuiError
from engine.event_log import EventReader
from engine.findings import OWN_ROWS, TUNED, Finding, findings
from engine.liveness import liveness
from engine.recipe import Recipe
from engine.run_dir import RunDir
from engine.run_state import RunState, fold_all
from engine.run_trace import RunTrace


@dataclass(frozen=True, slots=True)
class PlanMemory:
    """What one plan was predicted to take and took, in bytes of allocated memory; None where nobody measured."""

    number: int
    predicted_bytes: int | None = None
    probed_bytes: int | None = None
    peak_bytes: int | None = None
    needed_bytes: int | None = None
    capacity_bytes: int | None = None
    method: str = ""
    verdict: str = ""

    @property
    def largest_bytes(self) -> int:
        return max(self.predicted_bytes or 0, self.probed_bytes or 0, self.peak_bytes or 0)


@dataclass(frozen=True, slots=True)
class Sample:
    """One test row before and after."""

    line: int
    request: str
    expected: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Facts:
    """A run, read."""

    run: RunDir
    state: RunState
    trace: RunTrace
    alive: str
    """alive, unknown or dead: whether its process is."""
    recipe: Recipe | None
    settled: Recipe | None
    manifest: dict[str, Any]
    prepared: dict[str, Any]
    receipt: Receipt | None
    plans: tuple[PlanMemory, ...]
    findings: tuple[Finding, ...]
    better: tuple[Sample, ...]
    worse: tuple[Sample, ...]
    compared: str
    """What the samples before stand for."""
    files: tuple[tuple[str, int, str], ...]
    """(path in the run, bytes, SHA-256) of what training left."""


def read_facts(run: RunDir) -> Facts:
    """Read a run's folder. Raises RunDirError where its events cannot be read."""
    alive = liveness(run)
    state, trace, told = RunState(run=run.name), RunTrace(), list[ev.Event]()
    for batch in EventReader(run.events).batches():
        state = fold_all(batch, state)
        for stamped in batch:
            trace.add(stamped)
        told += [stamped.event for stamped in batch if not isinstance(stamped.event, ev.StepLogged | ev.DeviceSampled)]
    kept = [int(path.name.rpartition("-")[2]) for path in run.checkpoints.glob("checkpoint-*[0-9]")]
    receipt = _receipt(run)
    compared, better, worse = _samples(run, state)
    return Facts(
        run=run,
        state=state,
        trace=trace,
        alive=alive,
        recipe=_recipe(run.recipe),
        settled=_recipe(run.settled),
        manifest=_json(run.manifest),
        prepared=_json(run.prepared),
        receipt=receipt,
        plans=_plans(told),
        findings=tuple(findings(state, trace, receipt, kept)),
        better=better,
        worse=worse,
        compared=compared,
        files=_files(run),
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _recipe(path: Path) -> Recipe | None:
    try:
        return Recipe.load(path) if path.exists() else None
    except FinetuiError:
        return None


def _receipt(run: RunDir) -> Receipt | None:
    raw = _json(run.receipt)
    try:
        return Receipt.from_json(raw) if raw else None
    except (KeyError, TypeError, ValueError):
        return None


def _plans(told: list[ev.Event]) -> tuple[PlanMemory, ...]:
    """Each plan that was predicted or followed, in order, with the figures of its last attempt."""
    found: dict[int, PlanMemory] = {}
    number = 0
    for event in told:
        if isinstance(event, ev.MemoryPredicted | ev.AttemptStarted):
            number = int("".join(filter(str.isdigit, event.plan_file)) or 0)
            found.setdefault(number, PlanMemory(number))
        plan = found.get(number, PlanMemory(number))
        match event:
            case ev.MemoryPredicted():
                sizes = {"predicted_bytes": event.peak_bytes, "needed_bytes": event.needed_bytes}
                told_of = {"capacity_bytes": event.capacity_bytes, "method": event.method, "verdict": event.verdict}
                found[number] = replace(plan, **sizes, **told_of)  # type: ignore[arg-type]
            case ev.MemoryProbed():
                found[number] = replace(plan, probed_bytes=event.peak_bytes)
            case ev.MemoryMeasured():
                found[number] = replace(plan, peak_bytes=max(event.peak_bytes, plan.peak_bytes or 0))
    return tuple(found[number] for number in sorted(found))


def _samples(run: RunDir, state: RunState) -> tuple[str, tuple[Sample, ...], tuple[Sample, ...]]:
    """(against what, rows that got better, rows that got worse)."""
    for pair in state.comparisons:
        if (pair.other, pair.dataset) == (TUNED, OWN_ROWS) and pair.base.startswith("base"):
            told = _json(run.path / pair.rows_file)
            better, worse = (
                tuple(
                    Sample(row["line"], row["request"], row["expected"], row["base_answer"], row["other_answer"])
                    for row in told.get(name, ())
                )
                for name in ("better", "worse")
            )
            return pair.base, better, worse
    return _from_answers(run, state)


def _from_answers(run: RunDir, state: RunState) -> tuple[str, tuple[Sample, ...], tuple[Sample, ...]]:
    """The same, from the answers of the best base and of the tuned model."""
    own = [score for score in state.scores if score.dataset == OWN_ROWS]
    tuned = next((score for score in own if score.variant == TUNED), None)
    base = max(
        (score for score in own if score.variant.startswith("base")), key=lambda each: each.num_correct, default=None
    )
    if tuned is None or base is None:
        return "", (), ()
    before, after = _answers(run.path / base.answers_file), _answers(run.path / tuned.answers_file)
    better, worse = [], []
    for row in sorted(set(before) & set(after)):
        old, new = before[row], after[row]
        sample = Sample(new["line"], new["request"], new["expected"], old["answer"], new["answer"])
        if new["correct"] and not old["correct"]:
            better.append(sample)
        elif old["correct"] and not new["correct"]:
            worse.append(sample)
    return base.variant, tuple(better), tuple(worse)


def _answers(path: Path) -> dict[int, dict[str, Any]]:
    from engine.evaluation.answers_file import read_answers

    return {
        answer.row: {name: getattr(answer, name) for name in ("line", "request", "expected", "answer", "correct")}
        for answer in read_answers(path)
    }


def _files(run: RunDir) -> tuple[tuple[str, int, str], ...]:
    listed = _json(run.adapter / MANIFEST).get("files", {})
    return tuple((f"adapter/{name}", int(entry["bytes"]), str(entry["sha256"])) for name, entry in listed.items())
