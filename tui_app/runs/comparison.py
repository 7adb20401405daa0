"""Two runs side by side, as values and lines: how they differ in what was asked, and in what came of it.

Pure but for `Side.catch_up` and `recipe_values`, which read files. Not here: the curves (`tui_app/chart`) and keys.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.errors import RunDirError
from engine.event_log import EventReader
from engine.events import RunFinished, VariantScored
from engine.liveness import liveness
from engine.run_dir import RunDir
from engine.run_state import RunState, fold
from engine.run_trace import RunTrace
from engine.units import format_bytes, format_seconds
from tui_app.drawing import Line, Role, Span, fit, line, literal, padded, wrap
from tui_app.glyphs import UNICODE, Glyphs
from tui_app.plain import standing

SCORE_WIDTH = 20
"""Cells that a score with its interval takes."""
MOST_LINES = 4
"""Of one value in a table."""
SAYS_NOTHING = ("title", "description", "hardware", "version", "run.root", "run.name")
"""Fields that change nothing about the result."""


@dataclass(slots=True)
class Side:
    """One of the two runs, read slice by slice. `loading` is the share of its events that is read."""

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
        for stamped in fresh:
            self.state = fold(self.state, stamped)
            self.trace.add(stamped)
        return self.loading < 1.0

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
    """A field of the recipe that differs; "-" where a recipe leaves it out."""

    field: str
    left: str
    right: str


def recipe_differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[Difference]:
    """Only what differs, in the order of the recipe."""
    names = dict.fromkeys((*left, *right))
    return [
        Difference(literal(name), _told(left, name), _told(right, name))
        for name in names
        if name not in SAYS_NOTHING and left.get(name) != right.get(name)
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
    """A line of the comparison; `better` is -1 where the left is better, 1 where the right is, 0 where neither."""

    name: str
    left: str
    right: str
    better: int = 0


def facts(left: Side, right: Side) -> list[Fact]:
    """What came of the two runs."""
    sides = (left, right)
    less = True if same_rows(left, right) else None
    told = [
        _word("state", sides, lambda side: side.phase),
        _word("steps", sides, lambda side: f"{side.state.step} of {side.state.max_steps or '?'}"),
        _number("last loss", sides, _last_loss, lambda value: f"{value:.4f}", lower=less),
        _number("eval loss", sides, _eval_loss, lambda value: f"{value:.4f}", lower=less),
        *_scores(left, right, is_comparable=less is True),
        _number("training time", sides, _training_seconds, format_seconds, lower=None),
        _number("whole time", sides, _seconds, format_seconds, lower=None),
        _number("tokens/s", sides, _tokens_per_second, lambda value: f"{value:,.0f}", lower=False),
        _number("tokens", sides, lambda side: side.state.num_tokens or None, lambda value: f"{value:,.0f}", lower=None),
        _number("peak allocated", sides, _peak, lambda value: format_bytes(int(value)), lower=True),
        _word("out of memory", sides, lambda side: _times(len(side.state.ooms))),
        _word("rungs", sides, lambda side: ", ".join(rung.rung for rung in side.state.rungs) or "none"),
        _word("attempts", sides, lambda side: str(side.state.attempt or "-")),
        _word("host", sides, lambda side: literal(side.state.host) or "-"),
    ]
    return [fact for fact in told if (fact.left, fact.right) != ("-", "-")]


def same_rows(left: Side, right: Side) -> bool:
    """Whether both runs were asked to learn and to answer the same rows: only then is a lower loss a better one."""
    of_rows = [
        {name: value for name, value in side.recipe.items() if name.startswith("data.")} for side in (left, right)
    ]
    return bool(of_rows[0]) and of_rows[0] == of_rows[1]


def _word(name: str, sides: tuple[Side, Side], text: Callable[[Side], str]) -> Fact:
    return Fact(name, text(sides[0]), text(sides[1]))


def _number(
    name: str,
    sides: tuple[Side, Side],
    value: Callable[[Side], float | None],
    text: Callable[[float], str],
    *,
    lower: bool | None,
) -> Fact:
    """A fact with two numbers; `lower`: whether less is better, None where neither is."""
    left, right = (value(side) for side in sides)
    better = 0
    if left is not None and right is not None and lower is not None and text(left) != text(right):
        better = -1 if (left < right) == lower else 1
    return Fact(name, "-" if left is None else text(left), "-" if right is None else text(right), better)


def _scores(left: Side, right: Side, *, is_comparable: bool) -> list[Fact]:
    """One line a variant, with its 95 % interval; better only where the intervals do not meet."""
    titles = {score.variant: score.title for side in (left, right) for score in side.state.scores}
    told = []
    for variant, title in titles.items():
        first, second = (
            next((score for score in side.state.scores if score.variant == variant), None) for side in (left, right)
        )
        better = 0
        if is_comparable and first and second and (first.high < second.low or second.high < first.low):
            better = -1 if first.low > second.high else 1
        told.append(Fact(literal(title), _score(first), _score(second), better))
    return told


def _score(score: VariantScored | None) -> str:
    if score is None or not score.num_rows:
        return "-"
    return f"{score.num_correct / score.num_rows:.1%} ({score.low:.1%}-{score.high:.1%})"


def _last_loss(side: Side) -> float | None:
    return side.state.last_step.loss if side.state.last_step else None


def _eval_loss(side: Side) -> float | None:
    return side.state.evals[-1].loss if side.state.evals else None


def _training_seconds(side: Side) -> float | None:
    waited = sum(seconds for seconds in side.trace.data_seconds if seconds == seconds)
    return sum(side.trace.step_seconds) + waited if len(side.trace) else None


def _seconds(side: Side) -> float | None:
    return side.state.final.seconds if isinstance(side.state.final, RunFinished) else None


def _tokens_per_second(side: Side) -> float | None:
    seconds = _training_seconds(side)
    return sum(side.trace.num_tokens) / seconds if seconds else None


def _peak(side: Side) -> float | None:
    peaks = [event.peak_bytes for event in (side.state.probed, side.state.measured) if event is not None]
    allocated = max(side.trace.allocated_bytes, default=-1)
    return max([*peaks, *([allocated] if allocated >= 0 else [])], default=None)


def _times(count: int) -> str:
    return "never" if not count else "once" if count == 1 else f"{count} times"


def facts_lines(left: Side, right: Side, width: int, glyphs: Glyphs = UNICODE) -> list[Line]:
    """The facts as a table, the better of two marked."""
    rows = facts(left, right)
    names = max((len(fact.name) for fact in rows), default=0)
    column = min(names, max(width - 2 * SCORE_WIDTH - 4, width // 3, 10))
    half = max((width - column - 4) // 2, 8)
    drawn = [_titles(left, right, column, half, glyphs)]
    for fact in rows:
        cells: list[tuple[str, Role]] = []
        for text, side in ((fact.left, -1), (fact.right, 1)):
            is_better = fact.better == side
            cells.append((f"{text} {glyphs.done}" if is_better else text, "good" if is_better else ""))
        drawn += _row(fact.name, cells, column, half, glyphs)
    return drawn


def _row(name: str, cells: Sequence[tuple[str, Role]], column: int, half: int, glyphs: Glyphs) -> list[Line]:
    """Name and two values side by side; a long value goes on below itself, at most over `MOST_LINES` lines."""
    wrapped = [wrap(text, half, role) for text, role in cells]
    drawn = []
    for number in range(min(max(map(len, wrapped)), MOST_LINES)):
        spans = [Span(padded("" if number else fit(name, column, ellipsis=glyphs.ellipsis), column), "dim")]
        for lines in wrapped:
            text, role = lines[number][0] if number < len(lines) else Span("")
            if number == MOST_LINES - 1 and len(lines) > MOST_LINES:
                text = fit(f"{text}{glyphs.ellipsis}", half - 1, ellipsis=glyphs.ellipsis)
            spans += [Span("  "), Span(padded(text, half), role)]
        drawn.append(tuple(spans))
    return drawn


def difference_lines(left: Side, right: Side, width: int, glyphs: Glyphs = UNICODE) -> list[Line]:
    """The fields in which the recipes differ."""
    faults = [
        each
        for side in (left, right)
        if side.fault
        for each in wrap(f"{side.name}: {literal(side.fault.replace(f'{side.run.path}/', ''))}", width, "warn")
    ]
    if not (left.recipe and right.recipe):
        return faults or [line(("reading the recipes", "dim"))]
    rows = recipe_differences(left.recipe, right.recipe)
    if not rows:
        return [*faults, line(("The recipes are the same.", "dim"))]
    column = min(max(len(row.field) for row in rows), max(width * 2 // 5, 12))
    half = max((width - column - 4) // 2, 6)
    drawn = [*faults, _titles(left, right, column, half, glyphs)]
    for row in rows:
        drawn += _row(row.field, [(row.left, "curve-ema"), (row.right, "curve-other")], column, half, glyphs)
    return drawn


def _titles(left: Side, right: Side, column: int, half: int, glyphs: Glyphs) -> Line:
    """The names of the two runs in the colours of their curves."""
    return line(
        " " * (column + 2),
        (padded(fit(left.name, half, ellipsis=glyphs.ellipsis), half), "curve-ema"),
        "  ",
        (padded(fit(right.name, half, ellipsis=glyphs.ellipsis), half), "curve-other"),
    )
