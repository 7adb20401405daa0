"""What a run's record shows that somebody should know, in plain words: overfitting, spikes, worse than the base …

Pure: from the state, the history and the data receipt to sentences. Each finding appears only where the recorded
numbers show it, and names them. Not here: drawing (`tui_app`, `report`) and detecting spikes (`loss_spikes`).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from data.receipt import Receipt
from engine.events import LossSpiked, VariantsCompared, VariantScored
from engine.run_state import RunState
from engine.run_trace import RunTrace

Severity = Literal["good", "note", "warning", "bad"]
OWN_ROWS = "test"
TUNED = "tuned"
SURE = 0.05
"""A sign test's p below which a difference is called one."""
FEW_ROWS = 50
"""With fewer test rows a 95 % interval is up to 28 points wide and more."""
RISE = 0.05
"""Share by which the eval loss has to rise above its best before that is called overfitting."""
GAP = 0.3
"""Nats that the eval loss has to lie above twice the train loss before the gap is worth a word."""
MIN_FALL = 0.02
MIN_STEPS = 20
LOW_STOP_RATE = 0.9
HIGH_CUT = 0.1
LINES_NAMED = 16
SPIKES_NAMED = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing worth knowing. `kind` is a stable name; `remedy` is empty where there is nothing to do."""

    kind: str
    severity: Severity
    text: str
    remedy: str = ""


def findings(
    state: RunState, trace: RunTrace, receipt: Receipt | None = None, kept_steps: Collection[int] = ()
) -> list[Finding]:
    """All of them, the verdict against the base first. `kept_steps` are those of checkpoints still on the disk."""
    return [
        *_against_base(state),
        *_few_rows(state),
        *_runs_on(state),
        *_diverged(trace),
        *_overfitting(trace, kept_steps),
        *_flat(trace),
        *_spiked(state.spikes),
        *_cut(receipt),
        *_given_up(state),
        *_artifacts(state),
    ]


def _against_base(state: RunState) -> Iterator[Finding]:
    tuned = next((score for score in state.scores if (score.variant, score.dataset) == (TUNED, OWN_ROWS)), None)
    if tuned is None:
        if state.phase == "finished":
            text = "Nobody knows whether it got better: base and tuned model were not scored on the same rows."
            yield Finding("not_scored", "note", text, f"Score them: finetui eval {state.run or 'RUN'}")
        return
    main = _comparison(state, tuned)
    if main is not None:
        yield _compared(state, main)
        return
    bases = [score for score in state.scores if score.dataset == OWN_ROWS and score.variant.startswith("base")]
    alike = [score for score in bases if score.num_rows == tuned.num_rows]
    if bases and not alike:
        text = f"Tuned and base were not asked the same rows: {tuned.num_rows} against {bases[0].num_rows}."
        yield Finding("not_scored", "note", text, f"Score them together: finetui eval {state.run or 'RUN'}")
        return
    bases = alike
    if bases and tuned.num_rows:
        best = max(bases, key=lambda score: score.num_correct / max(score.num_rows, 1))
        yield _by_intervals(best, tuned)


def _comparison(state: RunState, tuned: VariantScored) -> VariantsCompared | None:
    """Tuned against base on the test rows: by the result table's own metric, else by the first there is."""
    candidates = [
        each
        for each in state.comparisons
        if (each.other, each.dataset) == (TUNED, OWN_ROWS)
        and each.base.startswith("base")
        and each.num_rows <= tuned.num_rows  # else the tuned model was scored again since, on fewer rows
    ]
    wanted = tuned.metric.replace(" ", "_")
    return next((each for each in candidates if each.metric == wanted), candidates[0] if candidates else None)


def _compared(state: RunState, pair: VariantsCompared) -> Finding:
    what = pair.metric.replace("_", " ")
    base = title_of(state, pair.base)
    changed = f"{pair.num_better} rows got better, {pair.num_worse} got worse, of {pair.num_rows} ({what})"
    if not pair.num_better + pair.num_worse:
        text = f"No difference to {base} is shown: none of {pair.num_rows} rows got better or worse ({what})."
        return Finding("no_difference", "warning", text, "Train longer or on more rows, or score by another metric.")
    if pair.p_value >= SURE:
        text = f"No difference to {base} is shown: {changed}; chance alone does that in {_chance(pair.p_value)}."
        return Finding("no_difference", "warning", text, "Score more rows, or train longer or on more rows.")
    if pair.num_better > pair.num_worse:
        return Finding("better", "good", f"Better than {base}: {changed}; {_sure(pair.p_value)}.")
    text = f"Worse than {base}: {changed}; {_sure(pair.p_value)}."
    remedy = "Look at the rows that got worse. A lower learning rate or fewer epochs forget less."
    return Finding("worse_than_base", "bad", text, remedy)


def _by_intervals(base: VariantScored, tuned: VariantScored) -> Finding:
    """Without a row-by-row comparison: whether the 95 % intervals lie apart."""
    told = f"{_rate(tuned)} against {_rate(base)} of {tuned.num_rows} rows right ({tuned.metric.replace('_', ' ')})"
    if tuned.low > base.high:
        return Finding("better", "good", f"Better than {base.title}: {told}; the 95 % intervals lie apart.")
    if tuned.high < base.low:
        text = f"Worse than {base.title}: {told}; the 95 % intervals lie apart."
        remedy = "Look at the rows that got worse. A lower learning rate or fewer epochs forget less."
        return Finding("worse_than_base", "bad", text, remedy)
    text = f"No difference to {base.title} is shown: {told}; the 95 % intervals overlap."
    return Finding("no_difference", "warning", text, "Score more rows, or train longer or on more rows.")


def _few_rows(state: RunState) -> Iterator[Finding]:
    for score in state.scores:
        if (score.variant, score.dataset) == (TUNED, OWN_ROWS) and 0 < score.num_rows < FEW_ROWS:
            wide = 100 * (score.high - score.low)
            text = f"Only {score.num_rows} test rows were scored: the 95 % interval is {wide:.0f} points wide."
            yield Finding(
                "few_rows", "note", text, "Raise data.test_fraction, or score other rows: finetui eval --data."
            )


def _runs_on(state: RunState) -> Iterator[Finding]:
    for score in state.scores:
        rate = dict(score.scores).get("stop_rate")
        if (score.variant, score.dataset) == (TUNED, OWN_ROWS) and rate is not None and rate < LOW_STOP_RATE:
            text = (
                f"It does not end by itself: {100 * (1 - rate):.0f} % of its answers ran to the longest length allowed."
            )
            remedy = "See whether the stop token is trained (data receipt), or raise evaluation.max_new_tokens."
            yield Finding("runs_on", "warning", text, remedy)


def _diverged(trace: RunTrace) -> Iterator[Finding]:
    bad = [step for step, loss in zip(trace.steps, trace.losses, strict=True) if not math.isfinite(loss)]
    if bad:
        many = f"{len(bad)} steps, from step {bad[0]} on" if len(bad) > 1 else f"step {bad[0]}"
        text = f"The training diverged: the loss of {many} is no number."
        yield Finding("diverged", "bad", text, "Lower training.learning_rate, or add warm-up; look at the rows named.")


def _overfitting(trace: RunTrace, kept_steps: Collection[int]) -> Iterator[Finding]:
    evals = [(step, loss) for step, loss in trace.evals if math.isfinite(loss)]
    if not evals or len(trace) < MIN_STEPS:
        return
    best_step, best = min(evals, key=lambda each: each[1])
    last_step, last = evals[-1]
    then, now = _mean_until(trace, best_step), _mean_until(trace, last_step)
    if best_step < last_step and last > best * (1 + RISE) and now < then:
        text = (
            f"Overfitting: the eval loss rose from {best:.3f} at step {best_step} to {last:.3f} at step {last_step}, "
            f"while the train loss fell from {then:.3f} to {now:.3f}."
        )
        kept = f"Its checkpoint-{best_step} is kept. " if best_step in kept_steps else ""
        yield Finding(
            "overfitting", "warning", text, f"{kept}Train {best_step} steps (training.max_steps), or more rows."
        )
    elif last > 2 * now + GAP:
        text = f"It knows the training rows far better than others: train loss {now:.3f}, eval loss {last:.3f}."
        yield Finding("gap", "note", text, "More or more varied rows, or fewer epochs.")


def _mean_until(trace: RunTrace, step: int) -> float:
    """Mean train loss of the ten logged steps up to one; NaN where there is none."""
    until = [loss for at, loss in zip(trace.steps, trace.losses, strict=True) if at <= step and math.isfinite(loss)]
    return statistics.fmean(until[-10:]) if until else math.nan


def _flat(trace: RunTrace) -> Iterator[Finding]:
    losses = [loss for loss in trace.losses if math.isfinite(loss)]
    if len(losses) < MIN_STEPS:
        return
    tenth = max(3, len(losses) // 10)
    first, last = statistics.fmean(losses[:tenth]), statistics.fmean(losses[-tenth:])
    if last > first * (1 - MIN_FALL):
        text = f"The loss does not fall: {first:.3f} in the first {tenth} logged steps, {last:.3f} in the last {tenth}."
        yield Finding("flat", "warning", text, "Raise training.learning_rate (LoRA wants about 2e-4 to 2e-3).")


def _spiked(spikes: Sequence[LossSpiked]) -> Iterator[Finding]:
    for spike in [each for each in spikes if math.isfinite(each.loss)][:SPIKES_NAMED]:
        text = f"The loss of step {spike.step} stood out: {spike.loss:.2f}, usual was {spike.usual:.2f}."
        yield Finding("loss_spike", "warning", text, _rows_to_look_at(spike.rows))
    if (more := len(spikes) - SPIKES_NAMED) > 0:
        yield Finding("loss_spike", "warning", f"{more} more steps stood out.", "Lower training.learning_rate.")


def _rows_to_look_at(rows: Sequence[int]) -> str:
    if not rows:
        return ""
    named = ", ".join(map(str, rows[:LINES_NAMED])) + (", …" if len(rows) > LINES_NAMED else "")
    return f"Look at its rows, line{'s' if len(rows) > 1 else ''} {named} of the training data."


def _cut(receipt: Receipt | None) -> Iterator[Finding]:
    if receipt is None or receipt.on_overflow == "refuse":
        return
    if receipt.share_over_length > HIGH_CUT:
        done = "dropped" if receipt.on_overflow == "drop" else "cut"
        text = (
            f"{100 * receipt.share_over_length:.0f} % of the rows are longer than {receipt.max_length} tokens and were "
            f"{done}; {receipt.num_trained_lost} tokens of answers were lost."
        )
        yield Finding(
            "truncated", "warning", text, f"training.max_length = {receipt.length_p99} holds 99 % of the rows."
        )
    if receipt.without_stop_token.num_rows > HIGH_CUT * max(receipt.num_rows_kept, 1):
        text = f"{receipt.without_stop_token.num_rows} of {receipt.num_rows_kept} rows have no trained stop token."
        yield Finding("no_stop_token", "warning", text, "The model may not learn to end; raise training.max_length.")


def _given_up(state: RunState) -> Iterator[Finding]:
    costly = list(dict.fromkeys(rung.rung for rung in state.rungs if rung.changes_objective))
    if costly:
        text = f"Memory ran out, and what is learned was changed for it: {', '.join(costly)}."
        yield Finding("objective_changed", "note", text, "A card with more memory trains what was asked for.")


def _artifacts(state: RunState) -> Iterator[Finding]:
    for artifact in state.artifacts:
        if artifact.agreement is not None and artifact.agreement < LOW_STOP_RATE:
            text = (
                f"{artifact.artifact} answers as the tuned model does in {100 * artifact.agreement:.0f} % of "
                f"{artifact.num_rows} rows."
            )
            yield Finding("artifact_differs", "warning", text, "Take a larger type, such as Q8_0.")


def title_of(state: RunState, variant: str) -> str:
    """What a variant is called in the result table."""
    return next((score.title for score in state.scores if score.variant == variant), variant)


def _rate(score: VariantScored) -> str:
    return f"{100 * score.num_correct / score.num_rows:.1f} %" if score.num_rows else "none"


def _chance(p_value: float) -> str:
    return f"{100 * p_value:.0f} of 100 cases" if p_value < 0.995 else "nearly every case"


def _sure(p_value: float) -> str:
    return "chance alone would hardly do that (p < 0.001)" if p_value < 0.001 else f"p = {p_value:.3f}"
