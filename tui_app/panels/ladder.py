"""The OOM ladder of the run: what was taken and what it saved, what is in use, what comes next and what asks first.

Not here: which rungs there are (`engine/ladder`).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import ClassVar

from tui_app.drawing import Line, Role, fit, line, literal, spread, width_of, wrap
from tui_app.glyphs import Glyphs
from tui_app.meters import clipped, short_bytes
from tui_app.runs.rungs import is_past_steps
from tui_app.runs.view import RungStep, RunView

LADDER_LINES = ("ladder: ", "weights of step ")
ROLES: dict[str, Role] = {"done": "good", "current": "accent", "next": "dim", "asks": "warn"}


def spoken(name: str) -> str:
    """A rung's name for people: halve_micro_batch reads "halve micro batch"."""
    return literal(name.replace("_", " "))


def with_arrow(text: str, glyphs: Glyphs) -> str:
    """A line about the ladder with the arrow that its panel draws; any other line as it is."""
    return text.replace(" -> ", f" {glyphs.arrow} ") if text.startswith(LADDER_LINES) else text


def gathered(steps: Iterable[RungStep]) -> list[tuple[RungStep, RungStep, int]]:
    """(first, last, how often) of each row of equal rungs that follow one another."""
    found = []
    for _, members in groupby(steps, key=lambda step: (step.name, step.status, step.attempt)):
        every = list(members)
        found.append((every[0], every[-1], len(every)))
    return found


class Ladder:
    """One row for a strip; else a row or two for each rung."""

    NAME: ClassVar[str] = "ladder"
    TITLE: ClassVar[str] = "OOM ladder"

    def draw(self, view: RunView, width: int, height: int) -> list[Line]:
        if height == 1:
            return clipped([self._strip(view, width)], width, 1, view.glyphs)
        drawn = self._situation(view, width)
        rows = gathered(view.rungs)
        spare = height - len(drawn) - len(rows)
        for number, (first, last, count) in enumerate(rows, 1):
            drawn.append(self._rung(view, number, first, last, count, width))
            if first.status in ("done", "current"):
                detail = self._detail(view, first, width)
                if detail and spare >= len(detail):
                    drawn += detail
                    spare -= len(detail)
            elif spare > len(rows) and first.cost:
                drawn += [line("     ", (literal(first.cost), "faint"))]
                spare -= 1
        if not rows:
            if not is_past_steps(view.state):
                told = "the plan is being read" if view.plan is None else "no rung is left that would help"
                drawn.append(line(" ", (told, "dim")))
            drawn = drawn or [line(" ", ("it was not needed", "dim"))]
        return clipped(drawn, width, height, view.glyphs)

    def _sign(self, view: RunView, status: str) -> str:
        glyphs = view.glyphs
        return {"done": glyphs.done, "current": glyphs.current, "asks": glyphs.asks}.get(status, glyphs.upcoming)

    def _strip(self, view: RunView, width: int) -> Line:
        drawn = line(" ", ("OOM ladder", "strong"), "  ")
        rows = gathered(view.rungs)
        if not rows:
            return (*drawn, *line(("not needed" if not view.state.ooms else "nothing is left to try", "dim")))
        if not view.state.rungs:
            drawn = (*drawn, *line(("not needed so far", "good"), "   next: "))
        taken = sum(1 for first, _, _ in rows if first.status in ("done", "current"))
        shown = rows[max(taken - 2, 0) :]
        for number, (first, _, count) in enumerate(shown, max(taken - 2, 0) + 1):
            times = f" x{count}" if count > 1 else ""
            now = " (in use)" if first.status == "current" else ""
            part = line(
                (f"{self._sign(view, first.status)} {number} {spoken(first.name)}{times}{now}", ROLES[first.status])
            )
            if width_of(drawn) + width_of(part) + 2 > width and number > 1:
                break
            drawn = (*drawn, *part, *line("   "))
        return drawn

    def _situation(self, view: RunView, width: int) -> list[Line]:
        state = view.state
        of = f" of at most {view.max_attempts}" if view.max_attempts else ""
        drawn = [line(" ", (f"attempt {state.attempt}{of}", "dim"))] if state.attempt else []
        if state.ooms:
            last = state.ooms[-1]
            times = f"{len(state.ooms)} times, last" if len(state.ooms) > 1 else "once,"
            text = f"memory ran out {times} in {literal(last.phase)} after step {last.step} (attempt {last.attempt})"
            drawn += [(*line(" "), *row) for row in wrap(text, max(width - 1, 8), "warn")]
        elif not state.rungs:
            is_good = bool(state.attempt)
            told = (
                "memory has not run out"
                if not is_good
                else "it was not needed"
                if is_past_steps(state)
                else "not needed so far"
            )
            drawn.append(line(" ", (told, "good" if is_good else "dim")))
        return drawn

    def _rung(self, view: RunView, number: int, first: RungStep, last: RungStep, count: int, width: int) -> Line:
        times = f" x{count}" if count > 1 else ""
        role = ROLES[first.status]
        right: Line = ()
        if first.before_bytes is not None and last.after_bytes is not None:
            about = "" if first.status in ("done", "current") else "~"
            change = f"{short_bytes(first.before_bytes)} {view.glyphs.arrow} {about}{short_bytes(last.after_bytes)} "
            right = line((change, "" if first.status in ("done", "current") else "dim"))
        words = {"current": "in use", "asks": "asks first"}
        if word := words.get(first.status, ""):
            right = (*line((f"{word}  ", role)), *right)
        if width_of(right) > width // 2:
            right = line((f"{word} ", role)) if word else ()
        name = fit(
            f"{number} {spoken(first.name)}{times}", max(width - width_of(right) - 4, 6), ellipsis=view.glyphs.ellipsis
        )
        return spread(
            line(" ", (f"{self._sign(view, first.status)} ", role), (name, role)),
            right,
            width,
            ellipsis=view.glyphs.ellipsis,
        )

    def _detail(self, view: RunView, step: RungStep, width: int) -> list[Line]:
        """What made the rung necessary, and from where its attempt went on."""
        went_on, why = literal(step.kept), literal(step.why)
        if step.attempt is not None:
            where = f"step {step.step}" if step.step else "the beginning"
            went_on = f"attempt {step.attempt} went on from {where}"
            ooms = [oom for oom in view.state.ooms if oom.attempt < step.attempt]
            if ooms and step.why == "out of memory":
                why = f"memory ran out in {literal(ooms[-1].phase)} after step {ooms[-1].step}"
        text = "; ".join(part for part in (why, went_on) if part)
        return [(*line("     "), *row) for row in wrap(text, max(width - 6, 8), "dim")]


PANEL = Ladder
