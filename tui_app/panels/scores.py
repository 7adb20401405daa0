"""Scores in lines: one table of all variants, what is better and worse in words, and which groups of rows are.

No panel of its own: the result panel, `finetui status` and the pages about a finished run show parts of it. Not here:
how scores come about (`engine/evaluation`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from engine import events as ev
from engine.findings import SURE
from engine.run_state import RunState
from tui_app.drawing import Line, Role, line, literal, padded, wrap
from tui_app.glyphs import Glyphs
from tui_app.result_table import PERCENT, metric_name, value_text

MIN_TITLE = 12
SHOWN_GROUPS = 6


class Cell(NamedTuple):
    text: str
    role: Role = ""


def datasets(state: RunState) -> list[str]:
    """The row sets that were scored, the run's own test split first."""
    names = dict.fromkeys(score.dataset for score in state.scores)
    return sorted(names, key=lambda name: name != "test")


def scores_on(state: RunState, dataset: str) -> list[ev.VariantScored]:
    """The variants scored on these rows, in the order people compare them: base, tuned, exports."""
    found = [score for score in state.scores if score.dataset == dataset]
    return sorted(found, key=lambda score: _place(score.variant))


def _place(variant: str) -> int:
    if variant.startswith("base"):
        return 0
    return 1 if variant == "tuned" else 2 if variant == "merged" else 3


def table_blocks(state: RunState, dataset: str, width: int, glyphs: Glyphs) -> list[list[Line]]:
    """One row a variant; metrics that find no room beside the first stand in further tables of the same rows."""
    scores = scores_on(state, dataset)
    if not scores:
        return []
    names = list(dict.fromkeys(name for score in scores for name, _ in score.scores))
    columns = [
        (literal(metric_name(scores[0].metric)), [_share_of(score) for score in scores]),
        ("95 % interval", [Cell(f"{score.low:.1%} to {score.high:.1%}", "dim") for score in scores]),
        *((literal(metric_name(name)), [_metric_of(score, name) for score in scores]) for name in names),
    ]
    titles = [literal(score.title) for score in scores]
    room = max(len(title) for title in titles)
    title_width = max(min(room, width - 36), min(room, MIN_TITLE))
    tables: list[list[Line]] = []
    while columns:
        block: list[tuple[str, list[Cell]]] = []
        used = title_width + 2
        while columns and (not block or used + _width(columns[0]) + 2 <= width):
            block.append(columns.pop(0))
            used += _width(block[-1]) + 2
        head = "".join(f"  {title.rjust(_width((title, cells)))}" for title, cells in block)
        tables.append([line("  ", padded("", title_width), (head, "dim"))])
        for place, title in enumerate(titles):
            role: Role = "strong" if scores[place].variant == "tuned" else ""
            parts: list[tuple[str, Role]] = [(padded(title, title_width, ellipsis=glyphs.ellipsis), role)]
            for name, cells in block:
                parts.append((f"  {cells[place].text.rjust(_width((name, cells)))}", cells[place].role or role))
            tables[-1].append(line("  ", *parts))
    return tables


def _width(column: tuple[str, Sequence[Cell]]) -> int:
    return max(len(column[0]), *(len(cell.text) for cell in column[1]))


def _share_of(score: ev.VariantScored) -> Cell:
    return Cell(f"{score.num_correct / score.num_rows:.1%}" if score.num_rows else "-")


def _metric_of(score: ev.VariantScored, name: str) -> Cell:
    value = dict(score.scores).get(name)
    return Cell("-", "dim") if value is None else Cell(value_text(name, value))


def verdict_lines(state: RunState, dataset: str, width: int, glyphs: Glyphs) -> list[Line]:
    """In words: what is better, what is worse, and what nobody can tell from these rows."""
    scores = scores_on(state, dataset)
    titles = {score.variant: literal(score.title) for score in scores}
    compared = [each for each in state.comparisons if each.dataset == dataset]
    if compared:
        seen = [_pair_lines(each, titles, width, glyphs) for each in compared if each.metric == compared[0].metric]
        rows = [each for told in seen for each in told]
    else:
        rows = _by_intervals(scores, width, glyphs)
    return [*rows, *group_lines(scores, width, glyphs), *_unseen(scores, width)]


def _pair_lines(pair: ev.VariantsCompared, titles: dict[str, str], width: int, glyphs: Glyphs) -> list[Line]:
    """One comparison row by row. A difference that chance explains is called none."""
    other = titles.get(pair.other, literal(pair.other))
    base = titles.get(pair.base, literal(pair.base))
    is_shown = pair.p_value < SURE and pair.num_better != pair.num_worse
    if not pair.num_better and not pair.num_worse:
        return wrapped(f"{other} answers every row as well as {base}", width, "good")
    if not is_shown:
        head, role = f"no difference of {other} to {base} is shown", "warn"
    elif pair.num_better > pair.num_worse:
        head, role = f"{glyphs.done} {other} is better than {base}", "good"
    else:
        head, role = f"{glyphs.impossible} {other} is worse than {base}", "bad"
    told = wrapped(f"{head}: {pair.num_better} better, {pair.num_worse} worse of {pair.num_rows} rows", width, role)  # type: ignore[arg-type]
    points = f"{pair.difference:+.4f} ({pair.low:+.4f} to {pair.high:+.4f})"
    if pair.metric in PERCENT:
        points = f"{100 * pair.difference:+.1f} points ({100 * pair.low:+.1f} to {100 * pair.high:+.1f})"
    return [*told, *wrapped(f"{points}, sign test {chance(pair.p_value)}", width, "dim", indent=3)]


def chance(p_value: float) -> str:
    """A p value in words: how often chance alone does that."""
    if p_value < 0.001:
        return "p < 0.001"
    return f"p = {p_value:.3f}" if p_value < 0.1 else f"p = {p_value:.2f}"


def _by_intervals(scores: Sequence[ev.VariantScored], width: int, glyphs: Glyphs) -> list[Line]:
    """Tuned against the best base, by their intervals: no comparison row by row is there."""
    tuned = next((score for score in scores if score.variant == "tuned"), None)
    bases = [score for score in scores if score.variant.startswith("base")]
    if tuned is None or not bases:
        return []
    base = max(bases, key=lambda score: score.num_correct)
    against = literal(base.title)
    if tuned.low > base.high:
        return wrapped(f"{glyphs.done} better than {against}: the intervals do not touch", width, "good")
    if tuned.high < base.low:
        return wrapped(f"{glyphs.impossible} worse than {against}: the intervals do not touch", width, "bad")
    return wrapped(f"no difference to {against} is shown: the intervals overlap", width, "warn")


def group_lines(scores: Sequence[ev.VariantScored], width: int, glyphs: Glyphs) -> list[Line]:
    """Groups of rows that the tuned model answers worse than the best base, and those it answers better."""
    tuned = next((score for score in scores if score.variant == "tuned"), None)
    bases = [score for score in scores if score.variant.startswith("base")]
    if tuned is None or not bases or not tuned.groups:
        return []
    base = max(bases, key=lambda score: score.num_correct)
    before = {name: correct / total for name, total, correct in base.groups if total}
    changed = [
        (correct / total - before[name], f"{literal(name)} {before[name]:.0%} {glyphs.arrow} {correct / total:.0%}")
        for name, total, correct in tuned.groups
        if total and name in before
    ]
    worse = [text for difference, text in sorted(changed) if difference < 0]
    better = [text for difference, text in sorted(changed, reverse=True) if difference > 0]
    rows = wrapped(f"worse in: {_some(worse)}", width, "bad") if worse else []
    rows += wrapped(f"better in: {_some(better)}", width, "good") if better else []
    return rows if worse else [*rows, *wrapped("no group of rows got worse", width, "dim")]


def _some(texts: Sequence[str]) -> str:
    more = len(texts) - SHOWN_GROUPS
    return ", ".join(texts[:SHOWN_GROUPS]) + (f" and {more} more" if more > 0 else "")


def _unseen(scores: Sequence[ev.VariantScored], width: int) -> list[Line]:
    tuned = next((score for score in scores if score.variant == "tuned"), None)
    if tuned is None or not 0 < tuned.unseen_rows < tuned.num_rows:
        return []
    told = f"answers never seen in training: {tuned.unseen_correct} of {tuned.unseen_rows} right"
    return wrapped(told, width, "dim")


def wrapped(text: str, width: int, role: Role, *, indent: int = 1) -> list[Line]:
    """A sentence in as many lines as it needs, each indented."""
    return [(*line(" " * indent), *each) for each in wrap(text, max(width - indent, 8), role)]
