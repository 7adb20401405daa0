"""Events about what comes after the last step: scores, artifacts, and what was asked for later.

Read them through `engine.events`, which offers all events.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.event import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationProgressed(Event):
    variant: str
    num_done: int
    num_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantScored(Event):
    """One row of the result table; per-row answers lie in `answers_file`."""

    variant: str
    title: str
    metric: str
    num_rows: int
    num_correct: int
    low: float
    high: float
    seconds: float
    answers_file: str
    unseen_rows: int = 0
    unseen_correct: int = 0
    groups: tuple[tuple[str, int, int], ...] = ()
    """(group, rows, correct), for example per subcommand."""
    scores: tuple[tuple[str, float], ...] = ()
    """Further metrics by name, for example rougeL (0 to 1), perplexity, stop_rate, tokens_per_second."""
    intervals: tuple[tuple[str, float, float], ...] = ()
    """(metric, low, high): 95 % intervals of those further metrics that have one."""
    dataset: str = "test"
    """The rows asked: the run's own test split, or the name of other ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantsCompared(Event):
    """Two variants on the same rows, row by row: `other` against `base` by one metric.

    `difference` is the mean of other - base with its 95 % interval; `p_value` that of a two-sided sign test.
    """

    dataset: str
    metric: str
    base: str
    other: str
    num_rows: int
    num_better: int
    num_worse: int
    difference: float
    low: float
    high: float
    p_value: float
    rows_file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestStarted(Event):
    """Something asked for after training, or by the recipe's `export`, is being done: `evaluate` or `export`."""

    number: int
    stage: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFinished(Event):
    number: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFailed(Event):
    """It could not be done, or was stopped; the trained result is as it was."""

    number: int
    error: str
    exit_code: int
    happened: str
    means: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportProgressed(Event):
    """What is being done for an artifact at the moment; `num_total` 0 where nobody knows how much there is."""

    artifact: str
    doing: str
    num_done: int = 0
    num_total: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactExported(Event):
    """An artifact was written, loaded again, checked and put in place.

    `artifact` names it within the run (merged, gguf-Q8_0), `path` is relative to the run unless it lies elsewhere.
    `agreement` is the share of `num_rows` rows answered as the tuned model does; `perplexity_change` is relative.
    """

    artifact: str
    kind: str
    path: str
    num_bytes: int
    seconds: float
    file_type: str = ""
    bits_per_weight: float | None = None
    num_rows: int = 0
    agreement: float | None = None
    perplexity: float | None = None
    perplexity_change: float | None = None
    seconds_per_answer: float | None = None
    notes: tuple[str, ...] = ()
