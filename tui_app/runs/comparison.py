"""Runs side by side, as values: how they differ in what was asked, and in what came of it.

Pure but for `Side.catch_up` and `recipe_values`, which read files. Not here: the table (`comparison_table`), row by row
differences (`paired_answers`), the curves (`tui_app/chart`) and keys.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.errors import RunDirError
from engine.event_log import BATCH_SECONDS, EventReader
from engine.events import MemoryPredicted, MemoryProbed, RunFinished, VariantScored
from engine.liveness import liveness
from engine.run_dir import RunDir
from engine.run_state import RunState, fold_all
from engine.run_trace import RunTrace
from engine.units import format_bytes, format_seconds
from tui_app.drawing import literal
from tui_app.plain import standing

SAYS_NOTHING = ("title", "description", "hardware", "version", "run.root", "run.name")
"""Fields that change nothing about the result."""


@dataclass(slots=True)
class Side:
    """One of the runs, read slice by slice. `loading` is the share of its events that is read."""

    run: RunDir
    state: RunState = field(default_factory=RunState)
    trace: RunTrace = field(default_factory=RunTrace)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    alive: str = "dead"
    loading: float = 0.0
    fault: str = ""
    _reader: EventReader | None = None

    def catch_up(self, budget_seconds: float) -> bool:
        """Take in what is new, for about so long; whether more lies there."""
        if self._reader is None:
            self._reader = EventReader(self.run.events)
            self.recipe, self.fault = recipe_values(self.run)
        try:
            self.alive = liveness(self.run)
        except RunDirError as fault:
            self.alive, self.fault = "dead", fault.happened
        try:
            fresh, self.loading = self._reader.drain(budget_seconds)
        except OSError as fault:
            self.loading, self.fault = 1.0, f"{fault.filename}: {fault.strerror}"
            return False
        self.state = fold_all(fresh, self.state)
        for stamped in fresh:
            self.trace.add(stamped)
        return self.loading < 1.0

    def read_all(self) -> Side:
        """Everything that is there now; itself."""
        while self.catch_up(BATCH_SECONDS):
            pass
        return self

    @property
    def phase(self) -> str:
        return standing(self.state, self.alive)

    @property
    def name(self) -> str:
        return literal(self.run.name)


def recipe_values(run: RunDir) -> tuple[dict[str, Any], str]:
    """(field -> value of the run's recipe, "") or ({}, why it cannot be read)."""
    try:
        return dict(_flat(tomllib.loads(run.recipe.read_text(encoding="utf-8")))), ""
    except (OSError, ValueError, RecursionError) as fault:
        return {}, f"{run.recipe.name} cannot be read: {getattr(fault, 'strerror', None) or fault}"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@dataclass(frozen=True, slots=True)
class Difference:
    """A field of the recipe that differs, with its value in each run; "-" where a recipe leaves it out."""

    field: str
    values: tuple[str, ...]


def recipe_differences(recipes: Sequence[Mapping[str, Any]]) -> list[Difference]:
    """Only what differs, in the order of the recipes."""
    names = dict.fromkeys(name for recipe in recipes for name in recipe)
    return [
        Difference(literal(name), tuple(_told(recipe, name) for recipe in recipes))
        for name in names
        if name not in SAYS_NOTHING and any(recipe.get(name) != recipes[0].get(name) for recipe in recipes[1:])
    ]


def _told(values: Mapping[str, Any], name: str) -> str:
    if name not in values:
        return "-"
    value = values[name]
    told = ("yes" if value else "no") if isinstance(value, bool) else str(value)
    if isinstance(value, list):
        told = ", ".join(map(str, value))
    return literal(told) if told else "(empty)"


@dataclass(frozen=True, slots=True)
class Fact:
    """A line of the comparison: each run's value as text, and whether it is the better one.

    `numbers` are the same for programs: bytes, seconds, shares from 0 to 1; None where nothing is known.
    """

    name: str
    values: tuple[str, ...]
    is_best: tuple[bool, ...]
    numbers: tuple[float | str | None, ...] = ()


def facts(sides: Sequence[Side]) -> list[Fact]:
    """What came of the runs. Facts that no run has are left out."""
    rows = same_rows(sides)
    # A token is not the same thing to two models, and the loss is per token.
    loss = True if rows and len({side.recipe.get("model.name_or_path") for side in sides}) == 1 else None
    told = [
        _word("state", sides, lambda side: side.phase),
        _word("steps", sides, lambda side: f"{side.state.step} of {side.state.max_steps or '?'}"),
        _number("last loss", sides, _last_loss, lambda value: f"{value:.4f}", lower=loss),
        _number("eval loss", sides, eval_loss, lambda value: f"{value:.4f}", lower=loss),
        *_scores(sides, is_comparable=rows),
        _number("training time", sides, _training_seconds, format_seconds, lower=None),
        _number("whole time", sides, whole_seconds, format_seconds, lower=None),
        _number("tokens/s", sides, _tokens_per_second, lambda value: f"{value:,.0f}", lower=False),
        _number("tokens", sides, lambda side: side.state.num_tokens or None, lambda value: f"{value:,.0f}", lower=None),
        _number("trained parameters", sides, _trained_parameters, _millions, lower=None),
        _number("peak predicted", sides, lambda side: _peak_of(side.state.predicted), _bytes, lower=None),
        _number("peak probed", sides, lambda side: _peak_of(side.state.probed), _bytes, lower=None),
        _number("peak allocated", sides, peak_bytes, _bytes, lower=True),
        _word("out of memory", sides, lambda side: _times(len(side.state.ooms))),
        _word("rungs", sides, lambda side: ", ".join(rung.rung for rung in side.state.rungs) or "none"),
        _word("attempts", sides, lambda side: str(side.state.attempt or "-")),
        _word("host", sides, lambda side: literal(side.state.host) or "-"),
    ]
    return [fact for fact in told if set(fact.values) != {"-"}]


def same_rows(sides: Sequence[Side]) -> bool:
    """Whether all were asked to learn and to answer the same rows: only then is a lower loss a better one."""
    of_rows = [{name: value for name, value in side.recipe.items() if name.startswith("data.")} for side in sides]
    return bool(of_rows[0]) and all(each == of_rows[0] for each in of_rows)


def _word(name: str, sides: Sequence[Side], text: Callable[[Side], str]) -> Fact:
    told = tuple(text(side) for side in sides)
    return Fact(name, told, (False,) * len(sides), tuple(None if each == "-" else each for each in told))


def _number(
    name: str,
    sides: Sequence[Side],
    value: Callable[[Side], float | None],
    text: Callable[[float], str],
    *,
    lower: bool | None,
) -> Fact:
    """A fact with numbers; `lower`: whether less is better, None where neither is. Best where the others read worse."""
    values = [value(side) for side in sides]
    told = tuple("-" if each is None else text(each) for each in values)
    known = [each for each in values if each is not None and math.isfinite(each)]
    best = (min(known) if lower else max(known)) if known and lower is not None else None
    is_worth_it = best is not None and len({each for each in told if each != "-"}) > 1
    is_best = tuple(is_worth_it and best is not None and each == text(best) for each in told)
    return Fact(name, told, is_best, tuple(values))


def _scores(sides: Sequence[Side], *, is_comparable: bool) -> list[Fact]:
    """One line a variant and rows asked, with its 95 % interval; better only where no other interval meets it."""
    titles: dict[tuple[str, str], str] = {}
    for side in sides:
        for score in side.state.scores:
            of_rows = "" if score.dataset == "test" else f" on {score.dataset}"
            titles.setdefault((score.variant, score.dataset), literal(score.title + of_rows))
    told = []
    for (variant, dataset), title in titles.items():
        found = [score_of(side, variant, dataset) for side in sides]
        shares = tuple(each.num_correct / each.num_rows if each and each.num_rows else None for each in found)
        is_best = _beyond([(each.low, each.high) if each else None for each in found], higher=True)
        marks = is_best if is_comparable else (False,) * len(sides)
        told.append(Fact(title, tuple(score_text(each) for each in found), marks, shares))
        told += _further(title, found)
    return told


def _further(title: str, found: Sequence[VariantScored | None]) -> list[Fact]:
    """The other metrics of a variant that more than one run has."""
    names = dict.fromkeys(name for score in found if score for name, _ in score.scores)
    told = []
    for name in names:
        values = tuple(dict(score.scores).get(name) if score else None for score in found)
        spans = [
            {each: (low, high) for each, low, high in score.intervals}.get(name) if score else None for score in found
        ]
        texts = tuple(
            "-" if value is None else f"{value:.3g}" + (f" ({span[0]:.3g}-{span[1]:.3g})" if span else "")
            for value, span in zip(values, spans, strict=True)
        )
        told.append(Fact(literal(f"{title}: {name}"), texts, (False,) * len(found), values))
    return told


def _beyond(spans: Sequence[tuple[float, float] | None], *, higher: bool) -> tuple[bool, ...]:
    """Which interval lies beyond all others; none where it is the only one."""
    known = [span for span in spans if span is not None]
    if len(known) < 2:
        return (False,) * len(spans)

    def is_beyond(span: tuple[float, float] | None) -> bool:
        others = [each for each in known if each is not span]
        return span is not None and all(span[0] > each[1] if higher else span[1] < each[0] for each in others)

    return tuple(is_beyond(span) for span in spans)


def score_of(side: Side, variant: str = "tuned", dataset: str = "test") -> VariantScored | None:
    """The newest score of a variant on some rows."""
    found = (each for each in side.state.scores if (each.variant, each.dataset) == (variant, dataset))
    return next(found, None)


def score_text(score: VariantScored | None) -> str:
    """ "97.3% (93.3%-99.0%)": the share of exact answers with its 95 % interval."""
    if score is None or not score.num_rows:
        return "-"
    return f"{score.num_correct / score.num_rows:.1%} ({score.low:.1%}-{score.high:.1%})"


def _last_loss(side: Side) -> float | None:
    return side.state.last_step.loss if side.state.last_step else None


def eval_loss(side: Side) -> float | None:
    """The last one: that of the weights which are kept."""
    return side.state.evals[-1].loss if side.state.evals else None


def _training_seconds(side: Side) -> float | None:
    waited = sum(seconds for seconds in side.trace.data_seconds if seconds == seconds)
    return sum(side.trace.step_seconds) + waited if len(side.trace) else None


def whole_seconds(side: Side) -> float | None:
    return side.state.final.seconds if isinstance(side.state.final, RunFinished) else None


def _tokens_per_second(side: Side) -> float | None:
    seconds = _training_seconds(side)
    return sum(side.trace.num_tokens) / seconds if seconds else None


def _trained_parameters(side: Side) -> float | None:
    return side.state.loaded.num_trainable_parameters if side.state.loaded else None


def _millions(value: float) -> str:
    return f"{value / 1e6:,.2f} M" if value >= 1e4 else f"{value:,.0f}"


def _bytes(value: float) -> str:
    return format_bytes(int(value))


def _peak_of(event: MemoryPredicted | MemoryProbed | None) -> float | None:
    return event.peak_bytes if event is not None else None


def peak_bytes(side: Side) -> float | None:
    """The most that tensors took at once, as measured in the probe or in steps."""
    peaks = [event.peak_bytes for event in (side.state.probed, side.state.measured) if event is not None]
    allocated = max(side.trace.allocated_bytes, default=-1)
    return max([*peaks, *([allocated] if allocated >= 0 else [])], default=None)


def _times(count: int) -> str:
    return "never" if not count else "once" if count == 1 else f"{count} times"
