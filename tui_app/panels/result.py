"""What came of the run: base against tuned with intervals, what is better and what is not, where it lies, what next.

Before the end it says what comes. Not here: how rows are scored (`engine/evaluation`).
"""

from __future__ import annotations

from typing import ClassVar

from engine import events as ev
from engine.units import format_bytes, format_seconds
from tui_app.drawing import Line, Role, line, literal, padded, wrap
from tui_app.meters import short_seconds
from tui_app.panels.failure import failure
from tui_app.panels.header import eta_of
from tui_app.panels.scrolled import Scrolled
from tui_app.runs.phases import doing
from tui_app.runs.view import RunView

FEW_ROWS = 100
"""Below this an interval of 95 % is some twenty points wide."""


class Result(Scrolled):
    """Scrolled from its beginning."""

    NAME: ClassVar[str] = "result"
    TITLE: ClassVar[str] = "Result"

    def rows(self, view: RunView, width: int) -> list[Line]:
        state, width = view.state, max(width, 12)
        if isinstance(state.final, ev.RunFinished):
            took = format_seconds(state.final.seconds)
            rows = [line(" ", (f"{view.glyphs.done} finished in {took}; the result was checked", "good"))]
        elif isinstance(state.final, ev.RunFailed):
            rows = failure(state.final, width, view)
        elif isinstance(state.final, ev.RunStopped):
            rows = _wrapped(f"stopped after step {state.final.step}; kept: {literal(state.final.kept)}", width, "warn")
        elif view.liveness == "dead":
            rows = _wrapped("the supervisor is gone and left no final event; R resumes the run", width, "bad")
        else:
            rows = _wrapped(self._waiting(view), width, "dim")
        return [*rows, *comparison(view, width), *artifacts(view, width), *next_actions(view, width)]

    def _waiting(self, view: RunView) -> str:
        if view.state.phase == "evaluating":
            return doing(view)
        eta = eta_of(view)
        when = f" (in about {short_seconds(eta)})" if eta is not None else ""
        if view.has_evaluation is False:
            return f"no result yet: the trained weights are saved and checked at the end{when}; nothing is scored"
        return f"no result yet: base and tuned model are scored after the last step{when}"


def comparison(view: RunView, width: int) -> list[Line]:
    """Each variant with its interval, and in words what is better, what is not, and which groups got worse."""
    scores = view.state.scores
    if not scores:
        return []
    rows = [
        line(""),
        line(" ", (f"exact match on {scores[0].num_rows} rows nobody trained on, 95 % interval", "title")),
    ]
    column = min(max(len(literal(score.title)) for score in scores), max(width - 30, 10))
    for score in scores:
        share = score.num_correct / max(score.num_rows, 1)
        role: Role = "strong" if score.variant == "tuned" else ""
        interval = f"{score.low:6.1%} to {score.high:6.1%}"
        rows.append(
            line(
                "  ",
                (padded(literal(score.title), column, ellipsis=view.glyphs.ellipsis), role),
                (f" {share:6.1%}", role),
                (f"  {interval}", "dim"),
            )
        )
    tuned = next((score for score in scores if score.variant == "tuned"), None)
    bases = [score for score in scores if score.variant != "tuned"]
    if tuned is None or not bases:
        return rows
    best = max(bases, key=lambda score: score.num_correct)
    return [*rows, line(""), *verdict(tuned, best, width, view)]


def verdict(tuned: ev.VariantScored, base: ev.VariantScored, width: int, view: RunView) -> list[Line]:
    """In words; a difference that the intervals do not part is called none."""
    against = literal(base.title)
    if tuned.low > base.high:
        rows = _wrapped(f"{view.glyphs.done} better than {against}: the intervals do not touch", width, "good")
    elif tuned.high < base.low:
        rows = _wrapped(f"{view.glyphs.impossible} worse than {against}: the intervals do not touch", width, "bad")
    else:
        rows = _wrapped(f"no difference to {against} is shown: the intervals overlap", width, "warn")
        if tuned.num_rows < FEW_ROWS:
            rows += _wrapped(
                f"{tuned.num_rows} rows show only large differences; more test rows show smaller ones", width, "dim"
            )
    before = {name: correct / total for name, total, correct in base.groups if total}
    worse = [
        f"{literal(name)} {before[name]:.0%} {view.glyphs.arrow} {correct / total:.0%}"
        for name, total, correct in tuned.groups
        if total and name in before and correct / total < before[name]
    ]
    if worse:
        rows += _wrapped(f"worse in: {', '.join(worse)}", width, "bad")
    elif tuned.groups:
        rows += _wrapped("no group of rows got worse", width, "dim")
    if tuned.unseen_rows:
        text = f"answers never seen in training: {tuned.unseen_correct} of {tuned.unseen_rows} right"
        rows += _wrapped(text, width, "dim")
    return rows


def artifacts(view: RunView, width: int) -> list[Line]:
    """Where what is left lies."""
    state, found = view.state, list[tuple[str, str]]()
    if state.adapter:
        found.append((state.adapter.path, f"the result, {format_bytes(state.adapter.num_bytes)}, read back"))
    if state.settled:
        found.append((state.settled.path, "the recipe that starts where the ladder ended"))
    if state.scores:
        found.append(("answers/", "every answer, row by row"))
    if state.checkpoint and not state.adapter:
        found.append((state.checkpoint.path, f"checkpoint of step {state.checkpoint.step}"))
    if not found:
        return []
    rows = [line(""), line(" ", ("where it lies", "title")), *_wrapped(literal(str(view.folder)), width, "", indent=2)]
    column = max(len(literal(path)) for path, _ in found)
    for path, what in found:
        told = wrap(what, max(width - column - 6, 16), "dim")
        rows += [
            (*line("    ", (padded(literal(path) if not number else "", column + 2), "strong")), *each)
            for number, each in enumerate(told)
        ]
    return rows


def next_actions(view: RunView, width: int) -> list[Line]:
    """Commands that make sense now."""
    run, final = literal(view.state.run), view.state.final
    if final is None and view.liveness != "dead":
        return []
    found = list[tuple[str, str]]()
    if not isinstance(final, ev.RunFinished):
        kept = (
            f"from the checkpoint of step {view.state.checkpoint.step}" if view.state.checkpoint else "from the start"
        )
        found.append((f"finetui resume {run}", f"go on {kept} (R)"))
    found.append((f"finetui replay {run}", "the same again, same rows and seed"))
    found.append((f"finetui status {run}", "how it went, in one screen"))
    column = max(len(command) for command, _ in found)
    rows = [line(""), line(" ", ("next", "title"))]
    for command, text in found:
        if column + len(text) + 5 <= width:
            rows.append(line("  ", (padded(command, column), "key"), "  ", (text, "dim")))
        else:
            rows += [line("  ", (command, "key")), line("    ", (text, "dim"))]
    return rows


def _wrapped(text: str, width: int, role: Role, *, indent: int = 1) -> list[Line]:
    return [(*line(" " * indent), *each) for each in wrap(text, max(width - indent, 8), role)]


PANEL = Result
