"""What findings say of recorded runs, and of runs made of events: each only where its numbers show it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data.receipt import Receipt, RowNote
from engine import events as ev
from engine.event_log import EventReader
from engine.findings import Finding, findings
from engine.run_dir import RunDir, read_json
from engine.run_state import RunState, fold_all
from engine.run_trace import RunTrace

RUNS = Path(__file__).parents[1] / "recorded" / "runs"


def step(number: int, loss: float) -> ev.StepLogged:
    return ev.StepLogged(
        step=number,
        max_steps=100,
        epoch=0.1,
        loss=loss,
        learning_rate=1e-3,
        grad_norm=1.0,
        num_tokens=100,
        step_seconds=1.0,
        rss_bytes=1,
    )


def eval_loss(number: int, loss: float) -> ev.EvalLogged:
    return ev.EvalLogged(step=number, loss=loss, num_rows=30, seconds=1.0)


def score(variant: str, right: int, low: float, high: float, *, rows: int = 150, **more: Any) -> ev.VariantScored:
    return ev.VariantScored(
        variant=variant,
        title=variant.replace("_", " "),
        metric="exact_match",
        num_rows=rows,
        num_correct=right,
        low=low,
        high=high,
        seconds=1.0,
        answers_file="",
        **more,
    )


def compared(better: int, worse: int, p_value: float) -> ev.VariantsCompared:
    return ev.VariantsCompared(
        dataset="test",
        metric="exact_match",
        base="base_zero_shot",
        other="tuned",
        num_rows=150,
        num_better=better,
        num_worse=worse,
        difference=(better - worse) / 150,
        low=0.0,
        high=0.0,
        p_value=p_value,
        rows_file="",
    )


def told(*events: ev.Event, receipt: Receipt | None = None, kept: Sequence[int] = ()) -> list[Finding]:
    stamped = [ev.Stamped(float(number), "w", number, event) for number, event in enumerate(events)]
    trace = RunTrace()
    for each in stamped:
        trace.add(each)
    return findings(fold_all(stamped, RunState(run="demo-1")), trace, receipt, kept)


def kinds(found: Sequence[Finding]) -> list[str]:
    return [finding.kind for finding in found]


def of_recorded(name: str) -> list[Finding]:
    stamped = list(EventReader(RUNS / name / "events").poll())
    trace = RunTrace()
    for each in stamped:
        trace.add(each)
    receipt = Receipt.from_json(read_json(RunDir(RUNS / name).receipt))
    return findings(fold_all(stamped), trace, receipt)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("finished", ["no_difference", "few_rows"]),
        ("laddered", ["not_scored"]),
        ("resumed", ["not_scored"]),
        ("stopped", []),
        ("failed", []),
        ("died", []),
        ("running", []),
    ],
)
def test_a_recorded_run_is_found_to_have_this_and_nothing_else(name: str, expected: list[str]) -> None:
    assert kinds(of_recorded(name)) == expected


def test_the_recorded_runs_twelve_rows_show_no_difference_and_their_numbers_are_named() -> None:
    first, second = of_recorded("finished")
    assert "8.3 % against 0.0 % of 12 rows right" in first.text
    assert "34 points wide" in second.text


def test_a_tuned_model_that_was_asked_fewer_rows_is_not_called_better_than_a_base_that_was_asked_more() -> None:
    state = RunState(
        run="r", phase="finished", scores=(score("base", 8, 0.02, 0.1), score("tuned", 49, 0.9, 1, rows=50))
    )
    kinds = {each.kind: each.text for each in findings(state, RunTrace())}
    assert "better" not in kinds
    assert kinds["not_scored"] == "Tuned and base were not asked the same rows: 50 against 150."


def test_overfitting_names_the_best_step_and_its_checkpoint_if_it_is_kept() -> None:
    steps = [step(number, 2.0 / number) for number in range(1, 61)]
    events = [*steps[:20], eval_loss(20, 0.50), *steps[20:40], eval_loss(40, 0.55), *steps[40:], eval_loss(60, 0.70)]
    [found] = told(*events, kept=(20, 60))
    assert found.kind == "overfitting"
    assert "from 0.500 at step 20 to 0.700 at step 60" in found.text
    assert found.remedy.startswith("Its checkpoint-20 is kept.")
    [gone] = told(*events, kept=(60,))
    assert gone.remedy.startswith("Train 20 steps")
    assert told(*events[:21]) == [], "one eval loss alone shows nothing"


def test_an_eval_loss_that_wobbles_is_no_overfitting() -> None:
    steps = [step(number, 1.0 + 1.0 / number) for number in range(1, 61)]
    assert told(*steps[:30], eval_loss(30, 1.00), *steps[30:], eval_loss(60, 1.03)) == []


def test_a_loss_that_does_not_fall_is_said_once_there_are_enough_steps() -> None:
    steps = [step(number, 2.0 + 0.1 * math.sin(number)) for number in range(1, 41)]
    assert kinds(told(*steps)) == ["flat"]
    assert told(*steps[:15]) == []


def test_a_diverged_run_is_told_with_its_first_step() -> None:
    [found] = told(step(1, 2.0), step(2, math.nan), step(3, math.inf))
    assert (found.kind, found.severity) == ("diverged", "bad")
    assert "2 steps, from step 2 on" in found.text


def test_a_spike_names_the_lines_of_its_rows() -> None:
    [found] = told(step(1, 1.0), ev.LossSpiked(step=1, loss=5.0, usual=0.5, rows=(47, 3)))
    assert "step 1 stood out: 5.00, usual was 0.50" in found.text
    assert "lines 47, 3" in found.remedy


@pytest.mark.parametrize(
    ("pair", "kind", "words"),
    [
        (compared(140, 0, 1e-30), "better", "Better than base zero shot: 140 rows got better, 0 got worse, of 150"),
        (compared(3, 30, 1e-6), "worse_than_base", "Worse than base zero shot"),
        (compared(0, 0, 1.0), "no_difference", "none of 150 rows got better or worse"),
        (compared(9, 7, 0.80), "no_difference", "chance alone does that in 80 of 100 cases"),
    ],
)
def test_the_sign_test_decides_what_is_said_of_the_base(pair: ev.VariantsCompared, kind: str, words: str) -> None:
    base, tuned = score("base_zero_shot", 5, 0.01, 0.07), score("tuned", 100, 0.6, 0.7)
    [found] = told(base, tuned, pair)
    assert found.kind == kind
    assert words in found.text


def test_without_a_comparison_intervals_decide() -> None:
    assert kinds(told(score("base_zero_shot", 5, 0.01, 0.07), score("tuned", 146, 0.93, 0.99))) == ["better"]
    assert kinds(told(score("base_zero_shot", 146, 0.93, 0.99), score("tuned", 5, 0.01, 0.07))) == ["worse_than_base"]
    assert kinds(told(score("base_zero_shot", 70, 0.4, 0.6), score("tuned", 80, 0.45, 0.65))) == ["no_difference"]


def test_a_model_that_does_not_stop_is_said_to() -> None:
    [found] = told(score("tuned", 100, 0.6, 0.7, scores=(("stop_rate", 0.4),)))
    assert found.kind == "runs_on"
    assert "60 % of its answers" in found.text


def test_rows_that_were_cut_and_lack_their_end_are_counted() -> None:
    recorded = Receipt.from_json(read_json(RunDir(RUNS / "finished").receipt))
    cut = replace(
        recorded,
        share_over_length=0.4,
        max_length=64,
        num_trained_lost=321,
        length_p99=200,
        without_stop_token=RowNote("no trained stop token", recorded.num_rows_kept // 2, (1, 2)),
    )
    found = told(receipt=cut)
    assert kinds(found) == ["truncated", "no_stop_token"]
    assert "40 % of the rows are longer than 64 tokens" in found[0].text
    assert found[0].remedy == "training.max_length = 200 holds 99 % of the rows."


def test_what_the_ladder_gave_up_and_an_artifact_that_answers_otherwise_are_said() -> None:
    rung = ev.RungTaken(rung="halve_rank", cost="", changes_objective=True, plan_file="plan-2.json", kept="step 4")
    artifact = ev.ArtifactExported(
        artifact="gguf-Q4_K_M", kind="gguf", path="", num_bytes=1, seconds=1.0, num_rows=32, agreement=0.5
    )
    assert kinds(told(rung, artifact)) == ["objective_changed", "artifact_differs"]
