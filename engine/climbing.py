"""The plans of a run: predicted before an attempt follows them, changed when memory runs out, written back at the end.

Everything about rungs and predictions in a run is here; which rungs there are and how far to go is `ladder`,
how a refusal reads `memory_refusals`. Not here: starting attempts and judging how they ended.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from engine.attempt_outcome import said_by
from engine.carrying import continuation
from engine.dry_runs import dry_run_predictor
from engine.errors import ModelError
from engine.event_log import EventWriter
from engine.events import AttemptStarted, MemoryPredicted, OomHit, RecipeSettled, RungTaken, WarningRaised
from engine.hardware import Hardware
from engine.ladder import Descent, Failure, Step, bottom, consent_needed, descend
from engine.learning import learn
from engine.memory import MemoryPrediction, Predictor, closed_form
from engine.memory_refusals import exhausted, too_small, without_consent
from engine.model_facts import shape_for
from engine.model_shape import ModelShape, model_shape
from engine.plan import Plan, plan
from engine.recipe import Recipe
from engine.row_lengths import RowLengths
from engine.run_dir import RunDir, read_json, write_atomic
from engine.settling import settled

ERROR_BOUNDS = {"dry run": 0.05, "closed form": 0.20}
"""How far a prediction may be off. Within it an attempt is made and the probe decides; beyond it none is."""
STATIC_ERROR_BOUND = 0.02
"""Weights, adapter and optimizer state are known better: more than this off would be a misread configuration."""


@dataclass(slots=True)
class Climber:
    """The ladder of one run. `alive` is called while predicting: a heartbeat, and where a stop is honoured."""

    run: RunDir
    writer: EventWriter
    recipe: Recipe
    alive: Callable[[], None]
    predicting: Callable[..., AbstractContextManager[Predictor | None]] = dry_run_predictor
    """Opens a predictor of a config's plans: `dry_run_predictor`, or what takes and gives the same."""
    scale: float = 1.0
    """How much more than predicted the transient part takes at least, as the OOMs of this run proved."""

    def newest_plan(self) -> Plan:
        return Plan.from_json(read_json(self.run.newest_plan_file()))

    def shape(self) -> ModelShape | None:
        """The model's dimensions; None for a family whose memory nobody has worked out."""
        with contextlib.suppress(ModelError):
            return model_shape(read_json(self.run.model_config)) if self.run.model_config.exists() else None
        return None

    @contextlib.contextmanager
    def predictor(self) -> Iterator[Predictor | None]:
        """What predicts plans of this run's model; None where nothing can, or its config is not here yet."""
        if not self.run.model_config.exists():
            yield None
            return
        config = read_json(self.run.model_config)
        with self.predicting(config, self.shape(), first=self.newest_plan(), on_wait=self.alive) as predictor:
            yield self._watched(predictor) if predictor else None

    def refuse_hopeless(self) -> None:
        """Before anything is downloaded: end the run where not even the smallest plan's weights have room.

        Raises OutOfMemoryError.
        """
        first = self.newest_plan()
        if first.memory is None:
            return
        with contextlib.suppress(ModelError):  # preparation meets the same fault and explains it
            shape, _ = shape_for(self.recipe, self.run.path)
            if shape is not None:
                self._refuse_below_static(bottom(first, self.recipe.ladder, closed_form(shape)))

    def complete_first_plan(self, hardware: Hardware, prepared: dict[str, Any]) -> Plan:
        """Plan 1 again, now that model and rows are here: their true lengths decide what fits."""
        first = Plan.from_json(read_json(self.run.plan(1)))
        if self.run.latest_plan_number() > 1:
            return first
        rows = RowLengths.from_json(prepared["row_lengths"]) if "row_lengths" in prepared else None
        with self.predictor() as predictor:
            if predictor is not None:
                first = plan(self.recipe, hardware, self.shape(), rows=rows, predictor=predictor)
                write_atomic(self.run.plan(1), json.dumps(first.to_json(), indent=1))
        return first

    def before_attempts(self) -> None:
        """Predict the newest plan and go down as far as it must to fit, before an attempt is wasted on it.

        Raises OutOfMemoryError where no plan that the recipe allows comes near its capacity.
        """
        current, limits = self.newest_plan(), self.recipe.ladder
        with self.predictor() as predictor:
            if predictor is None:
                return
            memory = predictor(current)
            self._tell(memory)
            if memory.verdict != "will not fit" or self._was_tried():
                return
            self._refuse_below_static(bottom(current, limits, predictor))
            if not limits.predict:
                return
            found = descend(current, limits, predictor, tried=self._plans())
            if found is None or not found.suffices:
                self._refuse_far_off(found.plan if found else replace(current, memory=memory), predictor)
            if found is not None:
                self._adopt(found, "predicted")

    def climb_down(self, oom: OomHit) -> None:
        """After an OOM: write the next plan. Raises OutOfMemoryError when the ladder has none."""
        failed, limits = self.newest_plan(), self.recipe.ladder
        with self.predictor() as predictor:
            before = predictor(failed) if predictor else None
            failure = Failure.of(before, oom.phase, self.scale)
            self.scale = failure.scale
            walker = predictor if limits.predict else None
            found = descend(failed, limits, walker, failure=failure if walker else None, tried=self._plans())
            if found is None:
                consent = self._consent(failed, predictor, failure)
                raise exhausted(
                    failed, "no rung that the recipe allows is left", oom.message, oom.cause, consent, limits
                )
            if not found.suffices and predictor:
                self._refuse_far_off(found.plan, predictor)
            if predictor and before and walker is None:
                found = with_figures(found, before, predictor(found.plan))
            self._adopt(found, "out of memory")

    def learn_from(self, attempt: int, followed: Plan) -> None:
        """Keep what an attempt that ended has measured, for this run's later plans and other runs'."""
        for problem in learn(self.run, attempt, followed):
            self.writer.write(WarningRaised(text=problem))

    def settle(self) -> None:
        """Write the plan that training ended with back as a recipe."""
        last = self.newest_plan()
        write_atomic(self.run.settled, settled(self.recipe, last).to_toml())
        self.writer.write(RecipeSettled(path=self.run.settled.name, rungs=last.rungs))

    def _watched(self, predictor: Predictor) -> Predictor:
        def predict(chosen: Plan) -> MemoryPrediction:
            self.alive()
            return predictor(chosen)

        return predict

    def _refuse_below_static(self, lowest: Plan) -> None:
        memory = lowest.memory
        assert memory is not None
        floor = memory.static_bytes * (1 - STATIC_ERROR_BOUND) + memory.outside_bytes
        if floor > memory.capacity_bytes:
            raise too_small(lowest, memory)

    def _refuse_far_off(self, lowest: Plan, predictor: Predictor) -> None:
        """Raises OutOfMemoryError where the end of the ladder is over its capacity by more than predictions err."""
        memory = lowest.memory
        assert memory is not None
        if memory.needed_bytes <= memory.capacity_bytes * (1 + ERROR_BOUNDS.get(memory.method, 0.2)):
            return
        consent = self._consent(lowest, predictor, None)
        if consent:
            raise without_consent(lowest, memory, consent, self.recipe.ladder)
        raise too_small(lowest, memory)

    def _consent(self, lowest: Plan, predictor: Predictor | None, failure: Failure | None) -> tuple[Step, ...]:
        """What the recipe would have to allow: the ladder itself where it is off and enough, else costly rungs."""
        limits = self.recipe.ladder
        if not limits.enabled:
            found = descend(lowest, limits.model_copy(update={"enabled": True}), predictor, failure=failure)
            if found is not None and found.suffices:
                return found.steps
        return consent_needed(lowest, limits, predictor, failure)

    def _was_tried(self) -> bool:
        """Whether an attempt already followed the newest plan: then it is known what a prediction only guesses."""
        name, attempts = self.run.newest_plan_file().name, range(1, self.run.next_attempt())
        said = [event for number in attempts for event in said_by(self.run, f"attempt-{number}")]
        return any(isinstance(event, AttemptStarted) and event.plan_file == name for event in said)

    def _plans(self) -> list[Plan]:
        """Every plan that this run has followed or passed."""
        numbers = range(1, self.run.latest_plan_number() + 1)
        return [Plan.from_json(read_json(self.run.plan(number))) for number in numbers]

    def _adopt(self, found: Descent, why: str) -> None:
        path = self.run.plan(self.run.latest_plan_number() + 1)
        write_atomic(path, json.dumps(found.plan.to_json(), indent=1))
        _, kept = continuation(self.run.checkpoints, found.plan)
        for step in found.steps:
            self.writer.write(
                RungTaken(
                    rung=step.rung.name,
                    cost=step.rung.cost,
                    changes_objective=step.rung.changes_objective,
                    plan_file=path.name,
                    kept=kept,
                    why=why,
                    before_bytes=step.before_bytes,
                    after_bytes=step.after_bytes,
                )
            )
        if found.plan.memory:
            self._tell(found.plan.memory)

    def _tell(self, memory: MemoryPrediction) -> None:
        self.writer.write(
            MemoryPredicted(
                plan_file=self.run.newest_plan_file().name,
                method=memory.method,
                peak_bytes=memory.peak_bytes,
                static_bytes=memory.static_bytes,
                needed_bytes=memory.needed_bytes,
                capacity_bytes=memory.capacity_bytes,
                verdict=memory.verdict,
                terms=memory.terms,
                calibration=memory.calibration,
            )
        )


def with_figures(found: Descent, before: MemoryPrediction, after: MemoryPrediction) -> Descent:
    """One rung that was taken without looking, with what is predicted of it all the same."""
    (step,) = found.steps
    told = replace(step, before_bytes=before.peak_bytes, after_bytes=after.peak_bytes)
    return replace(found, plan=replace(found.plan, memory=after), steps=(told,))
