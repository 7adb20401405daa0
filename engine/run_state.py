"""What the events of a run add up to. Panels, `status`, history, report and tests all draw this.

Pure: no files, no clock. Whether the process behind a run is alive is not an event; `liveness` tells it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import singledispatch

from engine import events as ev
from engine.events import Event, Stamped


@dataclass(frozen=True, slots=True)
class RunState:
    """The state of a run after some of its events."""

    phase: str = "waiting"
    """waiting, preparing, training, paused, evaluating, exporting, finished, stopped or failed."""
    run: str = ""
    recipe: str = ""
    host: str = ""
    started_at: float | None = None
    updated_at: float | None = None
    model: ev.ModelReady | None = None
    data: ev.DataReady | None = None
    loaded: ev.ModelLoaded | None = None
    attempt: int = 0
    attempts: tuple[ev.AttemptEnded, ...] = ()
    """Those that ended, of every supervisor."""
    step: int = 0
    max_steps: int = 0
    first_loss: float | None = None
    last_step: ev.StepLogged | None = None
    num_tokens: int = 0
    training_seconds: float = 0.0
    """Of the present attempt's steps, the first left out: it also warms up."""
    num_attempt_steps: int = 0
    evals: tuple[ev.EvalLogged, ...] = ()
    checkpoint: ev.CheckpointSaved | None = None
    predicted: ev.MemoryPredicted | None = None
    probed: ev.MemoryProbed | None = None
    measured: ev.MemoryMeasured | None = None
    """Predicted, probed and running peak of the present plan."""
    device: ev.DeviceSampled | None = None
    ranks: tuple[ev.RankMeasured, ...] = ()
    """What each rank of the present attempt takes, by its number; empty for a lone process."""
    ooms: tuple[ev.OomHit, ...] = ()
    rungs: tuple[ev.RungTaken, ...] = ()
    carried: tuple[ev.WeightsCarried, ...] = ()
    settled: ev.RecipeSettled | None = None
    adapter: ev.AdapterSaved | None = None
    progress: ev.EvaluationProgressed | None = None
    scores: tuple[ev.VariantScored, ...] = ()
    comparisons: tuple[ev.VariantsCompared, ...] = ()
    spikes: tuple[ev.LossSpiked, ...] = ()
    request: ev.RequestStarted | None = None
    """What is being done of what was asked for after training."""
    newest_request: ev.RequestStarted | None = None
    """The one begun last, also once it is over."""
    request_faults: tuple[ev.RequestFailed, ...] = ()
    exporting: ev.ExportProgressed | None = None
    artifacts: tuple[ev.ArtifactExported, ...] = ()
    finished: ev.RunFinished | None = None
    """How the run itself finished, whatever was asked of it later."""
    warnings: tuple[str, ...] = ()
    commands: tuple[ev.CommandAcknowledged, ...] = ()
    final: ev.RunFinished | ev.RunStopped | ev.RunFailed | None = None

    @property
    def is_over(self) -> bool:
        return self.final is not None

    @property
    def eta_seconds(self) -> float | None:
        """Seconds of training left at the attempt's mean pace, None before its second step."""
        if self.phase not in ("training", "paused") or self.num_attempt_steps < 2:
            return None
        return (self.max_steps - self.step) * self.training_seconds / (self.num_attempt_steps - 1)


def fold(state: RunState, stamped: Stamped) -> RunState:
    """The state after one more event."""
    if type(stamped.event) is ev.StepLogged:
        return _fold_steps(state, [stamped])
    state = replace(state, updated_at=stamped.time, started_at=state.started_at or stamped.time)
    return _fold(stamped.event, state)


def fold_all(stamped_events: Iterable[Stamped], state: RunState | None = None) -> RunState:
    """The state after all these events, from `state` on. Far quicker than one by one where most are steps and evals."""
    state = state or RunState()
    steps: list[Stamped] = []
    evals: list[ev.EvalLogged] = []
    for stamped in stamped_events:
        if type(stamped.event) is ev.StepLogged:
            steps.append(stamped)
            continue
        state = _fold_steps(state, steps) if steps else state
        steps.clear()
        if type(stamped.event) is ev.EvalLogged:  # no branch reads them: added at once, the tuple is copied once
            evals.append(stamped.event)
            state = replace(state, updated_at=stamped.time, started_at=state.started_at or stamped.time)
        else:
            state = fold(state, stamped)
    state = _fold_steps(state, steps) if steps else state
    return replace(state, evals=(*state.evals, *evals)) if evals else state


def _fold_steps(state: RunState, steps: Sequence[Stamped]) -> RunState:
    """The state after steps that follow one another."""
    logged = [stamped.event for stamped in steps if isinstance(stamped.event, ev.StepLogged)]
    first, last = logged[0], logged[-1]
    timed = logged if state.num_attempt_steps else logged[1:]
    return replace(
        state,
        started_at=state.started_at or steps[0].time,
        updated_at=steps[-1].time,
        step=last.step,
        max_steps=last.max_steps,
        last_step=last,
        first_loss=first.loss if state.first_loss is None else state.first_loss,
        num_tokens=state.num_tokens + sum(event.num_tokens for event in logged),
        training_seconds=sum((event.step_seconds for event in timed), start=state.training_seconds),
        num_attempt_steps=state.num_attempt_steps + len(logged),
    )


@singledispatch
def _fold(event: Event, _state: RunState) -> RunState:
    raise ValueError(f"{type(event).__name__} has no branch in the fold")


@_fold.register
def _(_event: ev.StageFinished | ev.TrainingEnded | ev.WorkerFailed | ev.PeerLost, state: RunState) -> RunState:
    """The next stage, attempt or final event tells the same to the people who look."""
    return state


@_fold.register
def _(event: ev.AttemptEnded, state: RunState) -> RunState:
    return replace(state, attempts=(*state.attempts, event))


@_fold.register
def _(event: ev.DeviceSampled, state: RunState) -> RunState:
    return replace(state, device=event)


@_fold.register
def _(event: ev.RunStarted, state: RunState) -> RunState:
    state = replace(state, final=None, progress=None, commands=(), device=None)
    return replace(state, phase="preparing", run=state.run or event.run, recipe=event.recipe, host=event.host)


@_fold.register
def _(event: ev.StageStarted, state: RunState) -> RunState:
    phases = {"prepare": "preparing", "train": "training", "evaluate": "evaluating", "export": "exporting"}
    return replace(state, phase=phases.get(event.stage, event.stage), progress=None, exporting=None)


@_fold.register
def _(event: ev.ModelReady, state: RunState) -> RunState:
    return replace(state, model=event)


@_fold.register
def _(event: ev.DataReady, state: RunState) -> RunState:
    return replace(state, data=event)


@_fold.register
def _(event: ev.AttemptStarted, state: RunState) -> RunState:
    state = replace(state, num_attempt_steps=0, training_seconds=0.0, ranks=())
    return replace(state, attempt=event.attempt, step=event.resumed_from_step)


@_fold.register
def _(event: ev.ModelLoaded, state: RunState) -> RunState:
    return replace(state, loaded=event)


@_fold.register
def _(event: ev.TrainingStarted, state: RunState) -> RunState:
    return replace(state, phase="training", max_steps=event.max_steps, step=event.resumed_from_step)


@_fold.register
def _(event: ev.EvalLogged, state: RunState) -> RunState:
    return replace(state, evals=(*state.evals, event))


@_fold.register
def _(event: ev.CheckpointSaved, state: RunState) -> RunState:
    return replace(state, checkpoint=event)


@_fold.register
def _(event: ev.CommandAcknowledged, state: RunState) -> RunState:
    return replace(state, commands=(*state.commands, event))


@_fold.register
def _(_event: ev.TrainingPaused, state: RunState) -> RunState:
    return replace(state, phase="paused")


@_fold.register
def _(_event: ev.TrainingContinued, state: RunState) -> RunState:
    return replace(state, phase="training")


@_fold.register
def _(event: ev.MemoryPredicted, state: RunState) -> RunState:
    return replace(state, predicted=event, probed=None, measured=None)


@_fold.register
def _(event: ev.MemoryProbed, state: RunState) -> RunState:
    return replace(state, probed=event)


@_fold.register
def _(event: ev.MemoryMeasured, state: RunState) -> RunState:
    return replace(state, measured=event)


@_fold.register
def _(event: ev.RankMeasured, state: RunState) -> RunState:
    others = [each for each in state.ranks if each.rank != event.rank]
    return replace(state, ranks=tuple(sorted((*others, event), key=lambda each: each.rank)))


@_fold.register
def _(event: ev.WeightsCarried, state: RunState) -> RunState:
    return replace(state, carried=(*state.carried, event))


@_fold.register
def _(event: ev.RecipeSettled, state: RunState) -> RunState:
    return replace(state, settled=event)


@_fold.register
def _(event: ev.OomHit, state: RunState) -> RunState:
    return replace(state, ooms=(*state.ooms, event))


@_fold.register
def _(event: ev.RungTaken, state: RunState) -> RunState:
    return replace(state, rungs=(*state.rungs, event))


@_fold.register
def _(event: ev.AdapterSaved, state: RunState) -> RunState:
    return replace(state, adapter=event)


@_fold.register
def _(event: ev.EvaluationProgressed, state: RunState) -> RunState:
    return replace(state, progress=event)


@_fold.register
def _(event: ev.VariantScored, state: RunState) -> RunState:
    others = tuple(each for each in state.scores if (each.variant, each.dataset) != (event.variant, event.dataset))
    return replace(state, scores=(*others, event), progress=None)


@_fold.register
def _(event: ev.VariantsCompared, state: RunState) -> RunState:
    compared = (event.dataset, event.metric, event.base, event.other)
    others = [each for each in state.comparisons if (each.dataset, each.metric, each.base, each.other) != compared]
    return replace(state, comparisons=(*others, event))


@_fold.register
def _(event: ev.LossSpiked, state: RunState) -> RunState:
    return replace(state, spikes=(*(each for each in state.spikes if each.step != event.step), event))


@_fold.register
def _(event: ev.RequestStarted, state: RunState) -> RunState:
    return replace(state, request=event, newest_request=event)


@_fold.register
def _(_event: ev.RequestFinished, state: RunState) -> RunState:
    return replace(state, request=None, exporting=None, progress=None)


@_fold.register
def _(event: ev.RequestFailed, state: RunState) -> RunState:
    faults = (*state.request_faults, event)
    return replace(state, request=None, exporting=None, progress=None, request_faults=faults)


@_fold.register
def _(event: ev.ExportProgressed, state: RunState) -> RunState:
    return replace(state, exporting=event)


@_fold.register
def _(event: ev.ArtifactExported, state: RunState) -> RunState:
    others = tuple(each for each in state.artifacts if each.artifact != event.artifact)
    return replace(state, artifacts=(*others, event), exporting=None)


@_fold.register
def _(event: ev.WarningRaised, state: RunState) -> RunState:
    return replace(state, warnings=(*state.warnings, event.text))


@_fold.register
def _(event: ev.RunFinished, state: RunState) -> RunState:
    finished = (state.finished or event) if event.of_requests else event
    return replace(state, phase="finished", final=finished, finished=finished, request=None)


@_fold.register
def _(event: ev.RunStopped, state: RunState) -> RunState:
    return replace(state, phase="stopped", final=event)


@_fold.register
def _(event: ev.RunFailed, state: RunState) -> RunState:
    return replace(state, phase="failed", final=event)
