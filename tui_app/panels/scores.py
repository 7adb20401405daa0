"""Scores in lines: one table of all variants, what is better and worse in words, and which groups of rows are.

No panel of its own: the result panel, `finetui status` and the pages about a finished run show parts of it. Not here:
how scores come about (`engine/evaluation`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from engine import events as ev
from engine.run_state import RunState
from tui_app.drawing import Line, Role, line, literal, padded, wrap
from tui_app.glyphs import Glyphs
from tui_app.result_table import is_of_these_rows, metric_name, value_text

if TYPE_CHECKING:
    from engine.evaluation.verdicts import Verdict

MIN_TITLE = 12
SHOWN_GROUPS = 6
MARKS: dict[str, tuple[str, Role]] = {
    "better": ("done", "good"),
    "same": ("", "good"),
    "unclear": ("", "warn"),
    "worse": ("impossible", "bad"),
}
"""Glyph and role of each kind of verdict."""


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
    titles = [literal(title) for title in row_titles(scores)]
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


def row_titles(scores: Sequence[ev.VariantScored]) -> list[str]:
    """What each is called, with its number of rows where not all were asked as many."""
    is_even = len({score.num_rows for score in scores}) == 1
    return [score.title if is_even else f"{score.title}, {score.num_rows} rows" for score in scores]


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
    compared = [each for each in state.comparisons if each.dataset == dataset and is_of_these_rows(each, scores)]
    if compared:
        seen = [_pair_lines(each, titles, width, glyphs) for each in compared if each.metric == compared[0].metric]
        rows = [each for told in seen for each in told]
    else:
        rows = _by_intervals(scores, width, glyphs)
    return [*rows, *group_lines(scores, width, glyphs), *_unseen(scores, width)]


def _told(found: Verdict, width: int, glyphs: Glyphs, *, has_figures: bool) -> list[Line]:
    """One verdict with its mark and colour, and what it rests on where that does not stand in the table already."""
    sign, role = MARKS[found.kind]
    mark = f"{getattr(glyphs, sign)} " if sign else ""
    rows = wrapped(f"{mark}{found.text}", width, role)
    return [*rows, *wrapped(found.figures, width, "dim", indent=3)] if has_figures else rows


def _pair_lines(pair: ev.VariantsCompared, titles: dict[str, str], width: int, glyphs: Glyphs) -> list[Line]:
    """One comparison row by row."""
    from engine.evaluation.verdicts import verdict  # late: the first frame has no use for the metrics behind it

    named = {pair.other: literal(pair.other), pair.base: literal(pair.base)} | titles
    found = verdict(pair, named)
    return _told(found, width, glyphs, has_figures=found.kind != "same")


def _by_intervals(scores: Sequence[ev.VariantScored], width: int, glyphs: Glyphs) -> list[Line]:
    """Tuned against the best base, by their intervals: no comparison row by row is there."""
    from engine.evaluation.verdicts import verdict_of_intervals  # late, as above

    tuned, base = tuned_and_base(scores)
    if tuned is None:
        return []
    if base is None:
        asked = sorted({score.num_rows for score in scores if score.variant.startswith("base")})
        if not asked:
            return []
        told = f"tuned was asked {tuned.num_rows} rows and base {asked[-1]}: score them together to compare them (v)"
        return wrapped(told, width, "warn")
    named = [replace(each, title=literal(each.title)) for each in (tuned, base)]
    return _told(verdict_of_intervals(*named), width, glyphs, has_figures=False)


def tuned_and_base(scores: Sequence[ev.VariantScored]) -> tuple[ev.VariantScored | None, ev.VariantScored | None]:
    """The tuned model, and the best base of those that were asked as many rows."""
    tuned = next((score for score in scores if score.variant == "tuned"), None)
    if tuned is None:
        return None, None
    bases = [each for each in scores if each.variant.startswith("base") and each.num_rows == tuned.num_rows]
    return tuned, max(bases, key=lambda score: score.num_correct, default=None)


def group_lines(scores: Sequence[ev.VariantScored], width: int, glyphs: Glyphs) -> list[Line]:
    """Groups of rows that the tuned model answers worse than the best base, and those it answers better."""
    tuned, base = tuned_and_base(scores)
    if tuned is None or base is None or not tuned.groups:
        return []
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
