"""How the history of runs is drawn: one row a run, as many columns as fit, and what is known of the chosen one.

Pure: lines of spans from rows. Not here: reading the rows (`tui_app/runs/history`), keys and the screen.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.events import VariantScored
from engine.units import format_bytes, format_seconds
from tui_app.drawing import Line, Role, Span, fit, fit_line, line, literal, padded, spread, width_of, wrap
from tui_app.glyphs import UNICODE, Glyphs
from tui_app.runs.history import RunRow

MIN_NAME, MAX_NAME = 16, 32
MIN_RECIPE = 16
ROLES: dict[str, Role] = {
    "finished": "good",
    "failed": "bad",
    "died": "bad",
    "damaged": "bad",
    "stopped": "warn",
    "paused": "warn",
    "": "dim",
}


@dataclass(frozen=True, slots=True)
class Column:
    """`width` in cells, the gap before it not counted; `text` from (row, now, glyphs). Numbers stand on the right."""

    title: str
    width: int
    text: Callable[[RunRow, float, Glyphs], str]
    is_number: bool = True


def state_text(row: RunRow, glyphs: Glyphs) -> str:
    """Sign and word of a run's state; of a copy of a run that goes on elsewhere the moment it shows, in 11 cells."""
    if not row.phase:
        return f"{glyphs.upcoming} reading"
    signs = {"finished": glyphs.done, "stopped": glyphs.unselected, "paused": glyphs.paused}
    if row.phase.startswith("as of"):
        moment = re.match(r"as of (\d\d:\d\d)", row.phase)
        return f"as of {moment[1]}" if moment else "as of ?"
    if row.phase.startswith("unknown"):
        return f"{glyphs.asks} unknown"
    failed = row.phase in ("failed", "died", "damaged")
    sign = glyphs.impossible if failed else signs.get(row.phase, glyphs.running if row.is_live else glyphs.bullet)
    return f"{sign} {row.phase}"


def age(seconds: float | None) -> str:
    """ "42 s", "5 min", "3 h", "2 d": one unit, as short as a column needs it."""
    if seconds is None:
        return "-"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0.0):.0f} s"


def share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}" if value < 0.9995 else "100%"


def number(value: float | None) -> str:
    """A loss in at most seven cells."""
    if value is None:
        return "-"
    return f"{value:.4f}" if math.isfinite(value) and abs(value) < 100 else f"{value:.1e}" if value == value else "NaN"


def _score(row: RunRow, glyphs: Glyphs) -> str:
    if row.base is None and row.tuned is None:
        return "-"
    return f"{share(row.base)} {glyphs.arrow} {share(row.tuned)}"


COLUMNS = (
    Column("state", 12, lambda row, _now, glyphs: state_text(row, glyphs), is_number=False),
    Column("step", 9, lambda row, _now, _glyphs: f"{row.step}/{row.max_steps}" if row.max_steps else "-"),
    Column("loss", 7, lambda row, _now, _glyphs: number(row.loss)),
    Column("age", 6, lambda row, now, _glyphs: age(None if row.updated_at is None else now - row.updated_at)),
    Column("base → tuned", 14, lambda row, _now, glyphs: _score(row, glyphs)),
    Column("peak", 9, lambda row, _now, _glyphs: "-" if row.peak_bytes is None else format_bytes(row.peak_bytes)),
    Column("took", 11, lambda row, now, _glyphs: took(row, now)),
    Column("eval loss", 9, lambda row, _now, _glyphs: number(row.eval_loss)),
    Column("host", 10, lambda row, _now, _glyphs: literal(row.host) or "-", is_number=False),
)
"""In the order in which they find room."""
PLACES = ("state", "step", "loss", "eval loss", "base → tuned", "peak", "age", "took", "host")


def took(row: RunRow, now: float) -> str:
    seconds = row.seconds(now)
    return "-" if seconds is None else format_seconds(seconds)


def columns_for(width: int) -> tuple[list[Column], int, int]:
    """(columns in order, cells of the name, cells of the recipe or 0) for lines of `width` cells."""
    room = width - 4 - MIN_NAME - 1
    chosen = []
    for column in COLUMNS:
        needed = column.width + 2 + (MIN_RECIPE + 2 if column.title == "host" else 0)
        if needed > room:
            break
        chosen.append(column)
        room -= column.width + 2
    has_recipe = room >= MIN_RECIPE + 2
    name = MIN_NAME + min(max(room - (MIN_RECIPE + 2 if has_recipe else 0), 0), MAX_NAME - MIN_NAME)
    recipe = room - (name - MIN_NAME) - 2 if has_recipe else 0
    chosen.sort(key=lambda column: PLACES.index(column.title))
    return chosen, name, recipe


def header_line(width: int, glyphs: Glyphs = UNICODE) -> Line:
    """The titles of the columns."""
    columns, name, recipe = columns_for(width)
    told = "   " + padded("run", name)
    for column in columns:
        title = column.title.replace("→", glyphs.arrow)
        told += "  " + (title.rjust(column.width) if column.is_number else title.ljust(column.width))
    return line((fit(told + ("  recipe" if recipe else ""), width, ellipsis=glyphs.ellipsis), "dim"))


def row_line(row: RunRow, width: int, now: float, *, pointed: bool, marked: bool, glyphs: Glyphs = UNICODE) -> Line:
    """One run."""
    columns, name, recipe = columns_for(width)
    spans = [
        Span(glyphs.pointer if pointed else " ", "key"),
        Span(f"{glyphs.selected if marked else ' '} ", "accent"),
        Span(padded(fit(literal(row.run.name), name, ellipsis=glyphs.ellipsis), name), "strong" if pointed else ""),
    ]
    if row.damage:
        state = padded(state_text(row, glyphs), 12)
        rest = fit(f"  {literal(row.damage)}", max(width - 3 - name - 14, 0), ellipsis=glyphs.ellipsis)
        return fit_line((*spans, Span(f"  {state}", "bad"), Span(rest, "dim")), width)
    for column in columns:
        text = fit(column.text(row, now, glyphs), column.width, ellipsis=glyphs.ellipsis)
        placed = text.rjust(column.width) if column.is_number else padded(text, column.width)
        role = ROLES.get(row.phase, "accent") if column.title == "state" else "dim" if text == "-" else ""
        spans.append(Span(f"  {placed}", role))
    if recipe:
        spans.append(Span("  " + fit(literal(row.recipe), recipe, ellipsis=glyphs.ellipsis), "dim"))
    return fit_line(tuple(spans), width, ellipsis=glyphs.ellipsis)


def list_lines(
    rows: Sequence[RunRow],
    *,
    pointed: int,
    top: int,
    marked: Collection[Path],
    width: int,
    height: int,
    now: float,
    glyphs: Glyphs = UNICODE,
) -> list[Line]:
    """The rows from `top` on that fit `height` lines."""
    return [
        row_line(row, width, now, pointed=place == pointed, marked=row.run.path in marked, glyphs=glyphs)
        for place, row in list(enumerate(rows))[top : top + height]
    ]


def detail_lines(row: RunRow, width: int, now: float, *, is_long: bool, glyphs: Glyphs = UNICODE) -> list[Line]:
    """What is known of the pointed-at run beyond its row: one line, or all of it."""
    recipe = literal(row.recipe) or "no recipe is known"
    if not is_long:
        why = f"damaged: {literal(row.damage)}" if row.damage else recipe
        told = line(" ", (why, "bad" if row.damage else ""))
        return [fit_line(told, width, ellipsis=glyphs.ellipsis)]
    results = [f"loss {number(row.loss)}" if row.loss is not None else "no step was made"]
    results += [f"eval loss {number(row.eval_loss)}"] if row.eval_loss is not None else []
    results += [f"base to tuned {_score(row, glyphs)}"] if _score(row, glyphs) != "-" else ["not scored"]
    results += [f"peak {format_bytes(row.peak_bytes)}"] if row.peak_bytes is not None else []
    since = "-" if row.updated_at is None else f"{format_seconds(max(now - row.updated_at, 0))} ago"
    whole_state = literal(row.phase) if row.phase.startswith(("unknown", "as of")) else state_text(row, glyphs)
    facts: list[tuple[str, str]] = [
        ("recipe", recipe),
        ("folder", literal(str(row.run.path))),
        ("state", f"{whole_state}, last event {since}, took {took(row, now)}, host {literal(row.host)}"),
        ("result", ", ".join(results)),
    ]
    if row.asked:
        facts.append(("now", literal(row.asked)))
    if len(row.scores) > 2:
        facts.append(("scored", ", ".join(_scored(score) for score in row.scores)))
    if row.artifacts:
        made = (f"{literal(each.artifact)} {format_bytes(each.num_bytes)}" for each in row.artifacts)
        facts.append(("exported", ", ".join(made)))
    if row.damage:
        facts = [("damaged", literal(row.damage)), ("folder", literal(str(row.run.path)))]
    told_lines: list[Line] = []
    for name, text in facts:
        first, *rest = wrap(text, max(width - 11, 10)) or [line("")]
        told_lines.append((*line((f" {name:<9} ", "dim")), *first))
        told_lines += [(*line(" " * 11), *each) for each in rest]
    return told_lines


def _scored(score: VariantScored) -> str:
    where = "" if score.dataset == "test" else f" on {literal(score.dataset)}"
    value = share(score.num_correct / score.num_rows if score.num_rows else None)
    return f"{literal(score.title)}{where} {value} ({score.low:.0%} to {score.high:.0%})"


def summary_line(num_runs: int, num_live: int, words: str, num_shown: int, sort: str, width: int) -> Line:
    """How many there are, what is left out, in which order."""
    told = line(" ", (f"{num_runs:,} run{'s' * (num_runs != 1)}", "strong"))
    if num_live:
        told = (*told, *line((f", {num_live} going on", "accent")))
    if words.strip():
        told = (*told, *line(f"   filter: {literal(words.strip())}", (f" ({num_shown:,} match)", "dim")))
    right = line((f"order: {sort} ", "dim"))
    return spread(told, right, width) if width_of(told) + width_of(right) < width else fit_line(told, width)


def empty_lines(words: str, *, is_readonly: bool) -> list[Line]:
    """What stands where no run is to be shown, and what to press."""
    if words.strip():
        return [
            line(""),
            line("  ", (f"No run matches {literal(words.strip())!r}.", "dim")),
            line("  ", ("Esc", "key"), (" drops the filter", "dim")),
        ]
    told = [line(""), line("  No runs yet.")]
    if not is_readonly:
        told += [
            line("  Press ", ("n", "key"), " for a new one: model, rows and method in five steps."),
            line(""),
            line("  ", ("Or try the demo, which needs no GPU and no network:", "dim")),
            line("    finetui replay demo-cpu"),
        ]
    return told
