"""The part of a report that says whether it got better: all variants in one table, pairs, rows before and after."""

from __future__ import annotations

from engine.events import VariantScored
from engine.findings import title_of
from engine.report.document import Block, Code, Paragraph, Section, Table
from engine.report.facts import Facts, Sample

SAMPLES = 4
"""Rows of each kind; the rest is in the run's `answers/`."""
LONGEST = 1500
"""Characters of an answer that a page shows."""
AS_PERCENT = ("rate", "match", "rouge", "f1", "validity", "execution", "pass")


def result_section(facts: Facts) -> Section:
    """Every variant on the same rows, with 95 % intervals, then the pairs."""
    state = facts.state
    if not state.scores:
        return Section("Result", (Paragraph(f"Nothing was scored. finetui eval {facts.run.typed} does."),))
    blocks: list[Block] = []
    for dataset in dict.fromkeys(score.dataset for score in state.scores):
        scores = [score for score in state.scores if score.dataset == dataset]
        names = list(dict.fromkeys(name for score in scores for name, _ in score.scores))
        columns = ("Variant", scores[0].metric.replace("_", " "), "Rows right", "Never seen in training", *names)
        is_even = len({score.num_rows for score in scores}) == 1
        asked = "All variants on the same rows" if is_even else "Variants, not all asked the same rows"
        caption = f"{asked} ({dataset}); in brackets the 95 % interval"
        blocks.append(Table(caption, tuple(c.replace("_", " ") for c in columns), _variants(scores, names)))
        blocks += _groups(scores)
    pairs = tuple(
        (
            f"{title_of(state, pair.other)} against {title_of(state, pair.base)}",
            pair.metric.replace("_", " "),
            str(pair.num_better),
            str(pair.num_worse),
            str(pair.num_rows),
            f"{pair.difference:+.3f} ({pair.low:+.3f} to {pair.high:+.3f})",
            "< 0.001" if pair.p_value < 0.001 else f"{pair.p_value:.3f}",
            pair.dataset,
        )
        for pair in state.comparisons
    )
    if pairs:
        columns = ("Pair", "Metric", "Better", "Worse", "Rows", "Mean difference (95 %)", "Sign test p", "Asked")
        blocks.append(Table("Row by row", columns, pairs))
    return Section("Result", tuple(blocks))


def _variants(scores: list[VariantScored], names: list[str]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (
            score.title,
            f"{_share(score.num_correct, score.num_rows)} ({100 * score.low:.1f} to {100 * score.high:.1f} %)",
            f"{score.num_correct} of {score.num_rows}",
            f"{score.unseen_correct} of {score.unseen_rows}" if score.unseen_rows else "",
            *(_measured(score, name) for name in names),
        )
        for score in scores
    )


def _measured(score: VariantScored, name: str) -> str:
    value = dict(score.scores).get(name)
    if value is None:
        return ""
    interval = next(((low, high) for metric, low, high in score.intervals if metric == name), None)
    told = _number(name, value)
    return f"{told} ({_number(name, interval[0])} to {_number(name, interval[1])})" if interval else told


def _number(name: str, value: float) -> str:
    if any(word in name for word in AS_PERCENT) and 0 <= value <= 1:
        return f"{100 * value:.1f} %"
    return f"{value:.3g}"


def _groups(scores: list[VariantScored]) -> list[Block]:
    names = list(dict.fromkeys(name for score in scores for name, _, _ in score.groups))
    if not names:
        return []
    counts = [{name: f"{right} of {rows}" for name, rows, right in score.groups} for score in scores]
    rows = tuple((name, *(count.get(name, "") for count in counts)) for name in names)
    return [Table("Rows right by group", ("Group", *(score.title for score in scores)), rows)]


def samples_section(facts: Facts) -> Section | None:
    """Rows of the test split that got better, then those that got worse."""
    if not (facts.better or facts.worse):
        return None
    base = title_of(facts.state, facts.compared)
    blocks: list[Block] = []
    for words, samples in (("better", facts.better), ("worse", facts.worse)):
        shown = f", {min(SAMPLES, len(samples))} of them shown" if len(samples) > SAMPLES else ""
        many = f"{len(samples)} row{'' if len(samples) == 1 else 's'} got {words}{shown}."
        blocks.append(Paragraph(many))
        for sample in samples[:SAMPLES]:
            blocks += _sample(sample, base)
    return Section("Before and after", tuple(blocks))


def _sample(sample: Sample, base: str) -> list[Block]:
    texts = (
        (f"Line {sample.line}: what was asked", sample.request),
        ("Expected", sample.expected),
        (f"Before: {base}", sample.before),
        ("After: tuned", sample.after),
    )
    return [Code(label, _clipped(text)) for label, text in texts]


def _clipped(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}\n… {len(text) - LONGEST} more characters"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"
