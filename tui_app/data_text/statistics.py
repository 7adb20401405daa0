"""What `finetui data stats` prints: lines of at most 80 columns from counts. Pure.

Not here: counting (`data.statistics`, `engine.token_counts`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len

from data.figures.spread import Spread, spread
from data.figures.statistics import RowStatistics
from tui_app.data_text.histogram import histogram_lines
from tui_app.drawing import fit
from tui_app.glyphs import UNICODE, Glyphs
from tui_app.plain import one_line

if TYPE_CHECKING:
    from engine.length_advice import TokenReport
    from engine.token_counts import Loss

COLUMNS = 80
HISTOGRAM_LINES = 7
NAME = 18
"""Cells of the first column."""


def row_lines(found: RowStatistics, glyphs: Glyphs = UNICODE) -> list[str]:
    """Turns, roles, lengths and beginnings of answers."""
    lines = [_named("rows", f"{found.num_rows:,}" + _unused(found))]
    if found.turns:
        most = sorted(found.turns)
        texts = [f"{turns}: {_percent(found.turns[turns], found.num_used)}" for turns in most[:5]]
        lines.append(_named("answers per row", "   ".join(texts) + (f"   up to {most[-1]}" if len(most) > 5 else "")))
    if found.roles:
        roles = sorted(found.roles.items(), key=lambda one: -one[1])
        lines.append(_named("messages", "   ".join(f"{name} {number:,}" for name, number in roles)))
    lines += ["", _columns("", "mean", "50 %", "95 %", "99 %", "longest")]
    parts = [("request", found.requests), ("answer", found.answers)]
    for name, lengths in parts:
        if lengths.words:
            lines.append(_spread(f"{name}, words", spread(lengths.words)))
            lines.append(_spread(f"{name}, characters", spread(lengths.characters)))
    lines += ["", *_beginnings(found, glyphs)]
    return lines


def _beginnings(found: RowStatistics, glyphs: Glyphs) -> list[str]:
    first = found.commonest()
    if not first:
        return []
    lines = ["answers" if found.are_labels else "answers begin with"]
    for text, count in first:
        share = f"{count:>9,}  {_percent(count, found.num_used):>6}  "
        bar = glyphs.full * round(20 * count / max(found.num_used, 1))  # of 20 cells, as of 100 %
        lines.append(f"{share}{bar:<20}  {fit(one_line(text), COLUMNS - 43, ellipsis=glyphs.ellipsis)}".rstrip())
    return lines


def token_lines(report: TokenReport, model: str, glyphs: Glyphs = UNICODE) -> list[str]:
    """Lengths in tokens, what max_length cuts, and batches: at most 24 lines with their histogram."""
    counts, lengths = report.counts, report.lengths
    how_many = f"{lengths.num:,} rows" + (f" of {counts.num_rows:,}, drawn at random" if counts.is_sample else "")
    head = f"tokens of {model} ({counts.rendering}), {how_many}"
    lines = [
        fit(one_line(head), COLUMNS, ellipsis=glyphs.ellipsis),
        _columns("", "mean", "50 %", "95 %", "99 %", "longest"),
        _spread("tokens a row", lengths),
        *_error_lines(report, glyphs),
        *histogram_lines(counts.counts, COLUMNS, HISTOGRAM_LINES, glyphs),
        f"trained: {counts.num_trained:,} of {lengths.total:,} tokens ({_percent(counts.num_trained, lengths.total)})",
    ]
    if counts.num_refused:
        text = f"{counts.num_refused:,} rows are refused by the chat template: {one_line(counts.refusal)}"
        lines.append(fit(text, COLUMNS, ellipsis=glyphs.ellipsis))
    lines += [f"{'max_length':>12}{'rows cut':>20}{'answer tokens lost':>24}"]
    lines += [_loss(loss, report, glyphs) for loss in report.choices]
    lines += [f"advice: {report.advice}", *_batch_lines(report)]
    return lines


def _error_lines(report: TokenReport, glyphs: Glyphs) -> list[str]:
    if not report.errors:
        return []
    sign = "±" if glyphs.is_unicode else "+-"
    spans = "".join(f"{'{}-{}'.format(*report.errors[name]):>12}" for name in ("p50", "p95", "p99"))
    return [f"{'  95 % certain':<{NAME}}{sign + format(report.errors['mean'], '.1f'):>12}{spans}"]


def _loss(loss: Loss, report: TokenReport, glyphs: Glyphs) -> str:
    num, trained = report.lengths.num, report.counts.num_trained
    cut = f"{loss.num_rows_over:,}" + (f" ({_percent(loss.num_rows_over, num)})" if loss.num_rows_over else "")
    lost = _percent(loss.num_trained_lost, trained) if loss.num_rows_over else "0"
    is_asked = loss.max_length == report.max_length
    gone = f"   {loss.num_without_answer:,} without any answer" if loss.num_without_answer else ""
    return f"{glyphs.pointer if is_asked else ' '}{loss.max_length:>11,}{cut:>20}{lost:>24}{gone}"


def _batch_lines(report: TokenReport) -> list[str]:
    found = report.batches
    of_sample = ", of the rows drawn" if report.counts.is_sample else ""
    lines = [
        f"in micro-batches of {report.batch_size} rows at max_length {report.max_length:,}{of_sample}",
        f"  padded           {found.share_padding:.1%} padding; joined (CPU, cards from Ampere on): none",
    ]
    for packs in report.packs:
        cut = f", {packs.num_rows_cut:,} cut" if packs.num_rows_cut else ", no row cut"
        lost = (
            f", {_percent(packs.num_tokens_lost, packs.num_tokens_lost + packs.num_tokens)} of tokens lost"
            if packs.num_tokens_lost
            else ""
        )
        full = f"{packs.num_packs:,} packs, {packs.share_filled:.1%} full"
        name = "packing = true" if packs.strategy == "bfd" else f"TRL's {packs.strategy}"
        lines.append(f"  {name:<16} {full}{cut}{lost}")
    return lines


def _unused(found: RowStatistics) -> str:
    unused = found.num_rows - found.num_used
    return f"; {unused:,} cannot be used (`finetui data check` says why)" if unused else ""


def _named(name: str, text: str) -> str:
    return f"{name:<{NAME}}{text}"


def _columns(name: str, *words: str) -> str:
    return name + " " * (NAME - cell_len(name)) + "".join(f"{word:>12}" for word in words)


def _spread(name: str, found: Spread) -> str:
    values = (found.p50, found.p95, found.p99, found.largest)
    return _columns(name, f"{found.mean:,.1f}", *(f"{value:,}" for value in values))


def _percent(part: int, of: int) -> str:
    share = part / of if of else 0.0
    return "<0.1 %" if 0 < share < 0.0005 else f"{share:.1%}".replace("%", " %")
