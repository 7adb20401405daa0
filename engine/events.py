"""The vocabulary of a run: frozen facts, past tense, units in the field names.

A new event is one dataclass below and one branch in `run_state.fold`. Those about scores, artifacts and requests stand
in `result_events`, those of ranks in `rank_events`; all are offered here. Does not live here: how events are written
and read (`event_log`), and what they add up to (`run_state`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from engine.event import Event as Event
from engine.rank_events import PeerLost as PeerLost
from engine.rank_events import RankMeasured as RankMeasured
from engine.result_events import ArtifactExported as ArtifactExported
from engine.result_events import EvaluationProgressed as EvaluationProgressed
from engine.result_events import ExportProgressed as ExportProgressed
from engine.result_events import RequestFailed as RequestFailed
from engine.result_events import RequestFinished as RequestFinished
from engine.result_events import RequestStarted as RequestStarted
from engine.result_events import VariantsCompared as VariantsCompared
from engine.result_events import VariantScored as VariantScored


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """A supervisor took charge of the run, for the first time or again."""

    run: str
    recipe: str
    resumed: bool
    host: str
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStarted(Event):
    """One of `prepare`, `train`, `evaluate`, `export` began."""

    stage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFinished(Event):
    stage: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReady(Event):
    """The base model lies complete in a local folder."""

    name: str
    folder: str
    num_files: int
    num_bytes: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DataReady(Event):
    """The rows are read, split and tokenized; the whole receipt lies in `receipt_file`."""

    num_train: int
    num_eval: int
    num_test: int
    num_rejected: int
    trained_share: float
    receipt_file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted(Event):
    attempt: int
    plan_file: str
    resumed_from_step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnded(Event):
    """How the attempt's process ended: `completed`, `stopped`, `out_of_memory`, `failed` or `killed`."""

    attempt: int
    outcome: str
    exit_code: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLoaded(Event):
    num_parameters: int
    num_trainable_parameters: int
    seconds: float
    allocated_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStarted(Event):
    max_steps: int
    num_rows: int
    effective_batch_size: int
    resumed_from_step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLogged(Event):
    """One optimizer step. `num_tokens` counts real (non-padding) tokens of the step.

    `step_seconds` is the work, `data_seconds` what it waited for its rows before that.
    """

    step: int
    max_steps: int
    epoch: float
    loss: float
    learning_rate: float
    grad_norm: float | None
    num_tokens: int
    step_seconds: float
    rss_bytes: int
    allocated_bytes: int | None = None
    reserved_bytes: int | None = None
    device_used_bytes: int | None = None
    data_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSampled(Event):
    """What the supervisor sees of the device and machine while a worker runs; None where nothing tells.

    `device`: cpu, or cuda:N by NVML's index. Of a card: memory in use by all and by the worker's processes, busy
    share. Of a CPU: the same of RAM, and the worker's share of the usable cores.
    """

    device: str
    device_used_bytes: int
    device_total_bytes: int
    ram_used_bytes: int
    ram_total_bytes: int
    disk_free_bytes: int
    own_bytes: int | None = None
    utilisation_percent: float | None = None
    temperature_celsius: int | None = None
    power_watts: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSpiked(Event):
    """A step's loss stood out from those before it; `rows` are the lines of its rows in the train split's source.

    `usual` is the median of the steps before it, or the loss itself where there is none. Of a very large batch the
    first rows are named.
    """

    step: int
    loss: float
    usual: float
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalLogged(Event):
    """Mean loss per trained token on the eval split."""

    step: int
    loss: float
    num_rows: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointSaved(Event):
    """A checkpoint became visible: complete, hashed, renamed into place."""

    step: int
    path: str
    num_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandAcknowledged(Event):
    """A file in `control/` was seen: `accepted`, `done` or `refused` with a reason."""

    command_id: str
    command: str
    status: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPaused(Event):
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingContinued(Event):
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPredicted(Event):
    """What a plan is predicted to take, before an attempt follows it. `method`: closed form or dry run."""

    plan_file: str
    method: str
    peak_bytes: int
    static_bytes: int
    needed_bytes: int
    capacity_bytes: int
    verdict: str
    terms: tuple[tuple[str, int], ...]
    calibration: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryProbed(Event):
    """One real step of the longest rows, an eval batch and a save, before step 1. Bytes are peaks of allocated memory.

    `phases`: (load, forward, backward, optimizer, eval or save; its peak). Static is what lies there between steps.
    """

    attempt: int
    predicted_bytes: int | None
    predicted_static_bytes: int | None
    peak_bytes: int
    static_bytes: int
    phases: tuple[tuple[str, int], ...]
    seconds: float
    reserved_bytes: int | None = None
    device_used_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryMeasured(Event):
    """Running peak after step 2. `rho` scales the predicted transient part: (peak - static) / the same as predicted."""

    attempt: int
    step: int
    peak_bytes: int
    static_bytes: int
    predicted_bytes: int | None
    rho: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OomHit(Event):
    """Memory ran out: in which phase and step, what the allocator said, and which one it was.

    `phase`: load, probe, first step, step, optimizer, between steps, eval, save or resume. `cause`: cuda,
    cublas, cpu allocator or host.
    """

    attempt: int
    phase: str
    step: int
    message: str
    cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RungTaken(Event):
    """The ladder changed the plan. `kept` says from where the next attempt goes on, `why` what made it necessary.

    Bytes are the predicted peaks of allocated memory before and after this rung, None where nothing is predicted.
    """

    rung: str
    cost: str
    changes_objective: bool
    plan_file: str
    kept: str
    why: str = "out of memory"
    before_bytes: int | None = None
    after_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsCarried(Event):
    """Weights trained under one plan went on under another. `error`: relative error of the adapters' products.

    Eval losses are of the same rows before and after; None where the old shape cannot be run.
    """

    step: int
    changes: tuple[str, ...]
    error: float
    optimizer_kept: bool
    warmup_steps: int
    eval_loss_before: float | None = None
    eval_loss_after: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipeSettled(Event):
    """The plan that training ended with, as a recipe that starts there."""

    path: str
    rungs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSaved(Event):
    """The trained weights were written, read back and compared."""

    path: str
    num_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingEnded(Event):
    """Last line of an attempt: `completed`, `stopped`, `out_of_memory` or `failed`."""

    outcome: str
    step: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarningRaised(Event):
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event):
    """The result was checked; nothing is left to do. `of_requests`: it was finished before, and asked for more."""

    seconds: float
    of_requests: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStopped(Event):
    kept: str
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFailed(Event):
    error: str
    exit_code: int
    happened: str
    means: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFailed(Event):
    """Last line of a worker that could not do its part; the supervisor decides what it means for the run."""

    error: str
    exit_code: int
    happened: str
    means: str
    remedy: str


FINAL_EVENTS = (RunFinished, RunStopped, RunFailed)
EVENT_TYPES: dict[str, type[Event]] = {event.__name__: event for event in Event.__subclasses__()}


@dataclass(frozen=True, slots=True)
class Stamped:
    """An event with where and when it was written; `time` is Unix seconds."""

    time: float
    writer: str
    seq: int
    event: Event


def clip(text: str, limit: int = 800) -> str:
    """Shorten a text to `limit` bytes as JSON writes it, so that an event holding it stays inside one line."""
    if _num_bytes(text) <= limit:
        return text
    kept, size = [], _num_bytes("…")
    for character in text:
        size += _num_bytes(character)
        if size > limit:
            break
        kept.append(character)
    return "".join(kept) + "…"


def _num_bytes(text: str) -> int:
    """Bytes between the quotes: a control character takes six, most of the world's letters two to four."""
    return len(json.dumps(text, ensure_ascii=False).encode(errors="backslashreplace")) - 2
