"""The loss panel: what it says in each state of a run, that nothing breaks it, and that little of it moves."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.event_log import read_events
from engine.events import (
    AttemptStarted,
    CheckpointSaved,
    EvalLogged,
    Event,
    ModelLoaded,
    OomHit,
    RunFinished,
    RungTaken,
    StageStarted,
    Stamped,
    StepLogged,
    TrainingStarted,
)
from engine.run_state import RunState, fold
from engine.run_trace import RunTrace
from tui_app.chart.view import ACTIONS
from tui_app.drawing import Line, plain_text, width_of
from tui_app.glyphs import ASCII, UNICODE
from tui_app.panels.loss import LossPanel
from tui_app.runs.phases import doing
from tui_app.runs.view import RunView

RECORDED = sorted(path for path in (Path(__file__).parents[2] / "recorded/runs").iterdir() if path.is_dir())
SIZES = ((20, 4), (40, 8), (78, 12), (100, 24), (200, 60))


class Run:
    """A run that goes on: events in, views out."""

    def __init__(self, max_steps: int = 0, eval_steps: int | None = None) -> None:
        self.state, self.trace = RunState(), RunTrace()
        self.max_steps, self.eval_steps = max_steps, eval_steps
        self._seq = 0

    def tell(self, *events: Event) -> Run:
        for event in events:
            stamped = Stamped(1000.0 + self._seq, "attempt-1", self._seq, event)
            self.state, self._seq = fold(self.state, stamped), self._seq + 1
            self.trace.add(stamped)
        return self

    def train(self, losses: Sequence[float]) -> Run:
        for loss in losses:
            step = (self.trace.steps[-1] if self.trace.steps else 0) + 1
            self.tell(step_logged(step, loss, self.max_steps))
        return self

    def view(self) -> RunView:
        return RunView(
            name="demo-1", folder="/runs/demo-1", state=self.state, trace=self.trace, now=1000.0,
            eval_steps=self.eval_steps,
        )  # fmt: skip


def step_logged(step: int, loss: float, max_steps: int = 0) -> StepLogged:
    return StepLogged(
        step=step, max_steps=max_steps, epoch=0.1, loss=loss, learning_rate=2e-4, grad_norm=0.38, num_tokens=2000,
        step_seconds=2.0, rss_bytes=2**30,
    )  # fmt: skip


def evaluated(step: int, loss: float) -> EvalLogged:
    return EvalLogged(step=step, loss=loss, num_rows=10, seconds=1.0)


def noisy(num_steps: int, start: int = 0) -> list[float]:
    """Falling losses with a fixed jitter and a spike now and then."""
    return [
        0.6 + 2 * math.exp(-step / 400) + 0.2 * math.sin(step * 12.9898) + (0.8 if step % 97 == 0 else 0)
        for step in range(start, start + num_steps)
    ]


def text_of(run: Run | RunView, width: int = 100, height: int = 24, panel: LossPanel | None = None) -> str:
    view = run.view() if isinstance(run, Run) else run
    return plain_text((panel or LossPanel()).draw(view, width, height))


def words(text: str) -> str:
    return " ".join(text.split())


def test_before_anything_has_happened_it_says_what_is_waited_for() -> None:
    assert "No step yet: the supervisor is starting." in words(text_of(Run()))


def test_between_loading_and_the_first_step_it_says_what_the_status_says() -> None:
    run = (
        Run()
        .tell(StageStarted(stage="train"))
        .tell(ModelLoaded(num_parameters=10, num_trainable_parameters=1, seconds=1.0))
    )
    assert f"No step yet: {doing(run.view())}." in words(text_of(run))
    assert "the longest rows are tried (fit probe)" in words(text_of(run))
    run.tell(TrainingStarted(max_steps=165, num_rows=10, effective_batch_size=8, resumed_from_step=0))
    assert f"No step yet: {doing(run.view())}." in words(text_of(run))
    assert "the first step is being made" in words(text_of(run))


def test_a_history_that_is_still_read_and_a_run_without_steps_are_told_apart() -> None:
    assert "Reading the run's history: 40%." in words(text_of(replace(Run().view(), loading=0.4)))
    assert "ended before its first step" in words(text_of(Run().tell(RunFinished(seconds=1.0))))
    assert "died before its first step" in words(text_of(replace(Run().view(), liveness="dead")))


def test_the_first_eval_is_announced_with_its_step_and_time() -> None:
    run = Run(max_steps=200, eval_steps=50).train(noisy(10))
    assert "first eval at step 50, about 1 min 20 s" in text_of(run)
    assert "no eval loss yet" in text_of(replace(run.view(), eval_steps=None))


def test_the_legend_holds_the_newest_values_and_the_best_eval() -> None:
    run = Run(max_steps=200).train([2.0, 1.0]).tell(evaluated(1, 1.5), evaluated(2, 1.25))
    legend = text_of(run, 120).split("\n")[-2]
    assert words(legend) == "⣿ loss 1.000 ⠒ EMA .9 1.474 ◆ eval 1.250 ▼ best 1.250 @2 lr 2e-4 grad norm 0.38"


def test_an_eval_worse_than_the_best_before_it_points_upwards() -> None:
    run = Run(max_steps=200).train([2.0, 1.0, 1.0]).tell(evaluated(1, 1.0), evaluated(2, 1.5), evaluated(3, 1.2))
    assert "eval 1.200 ▲   best 1.000 @1" in text_of(run, 120)
    assert "eval 1.000   lr" in text_of(Run().train([2.0]).tell(evaluated(1, 1.0)), 120)


def test_in_a_narrow_place_the_loss_and_the_eval_stay_in_the_legend() -> None:
    run = Run(max_steps=200).train([2.0, 1.0]).tell(evaluated(2, 1.25))
    assert words(text_of(run, 34, 8).split("\n")[-1]) == "⣿ loss 1.000 ◆ eval 1.250"


def test_marks_stand_below_the_step_at_which_they_happened() -> None:
    run = Run(max_steps=92).train(noisy(40))
    run.tell(CheckpointSaved(step=40, path="c", num_bytes=1, seconds=0.1)).train([math.nan, *noisy(9)])
    run.tell(OomHit(attempt=1, phase="step", step=60, message="m"))
    axis = text_of(run, 100, 24).split("\n")[-4]
    assert [(cell - 7, sign) for cell, sign in enumerate(axis) if sign in "▪!✗"] == [(40, "▪"), (41, "!"), (60, "✗")]


def test_after_a_rung_the_repeated_steps_are_drawn_once() -> None:
    run = Run(max_steps=92).train([2.0] * 50)
    run.tell(
        OomHit(attempt=1, phase="step", step=51, message="m"),
        RungTaken(rung="micro-batch", cost="none", changes_objective=False, plan_file="p", kept="step 40"),
        AttemptStarted(attempt=2, plan_file="p", resumed_from_step=40),
    )
    panel = LossPanel()
    text_of(run, panel=panel)
    run.tell(step_logged(41, 1.0), step_logged(42, 1.0))
    again = text_of(run, panel=panel)
    assert again == text_of(run)
    axis = again.split("\n")[-4]
    assert "✗" in axis or "▾" in axis
    assert "loss 1.000" in again


def test_losses_that_are_all_nan_are_explained_instead_of_drawn() -> None:
    text = words(text_of(Run(max_steps=50).train([math.nan] * 7)))
    assert "No loss so far is a number (step 7: nan): the training has diverged. A lower learning rate" in text


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e308, -1e308])
def test_one_bad_loss_hides_none_of_the_others(bad: float) -> None:
    losses = noisy(100)
    healthy = text_of(Run(max_steps=120).train(losses)).split("\n")
    hurt = text_of(Run(max_steps=120).train([*losses[:60], bad, *losses[61:]])).split("\n")
    assert [row[:7] for row in hurt[:-3]] == [row[:7] for row in healthy[:-3]]
    cells = {(y, x) for y, row in enumerate(healthy[:20]) for x, sign in enumerate(row[:50]) if sign != " "}
    kept = {(y, x) for y, row in enumerate(hurt[:20]) for x, sign in enumerate(row[:50]) if sign != " "}
    assert kept == cells


def test_one_point_is_a_sign_of_its_own() -> None:
    assert "●" in text_of(Run(max_steps=100).train([2.0]))


def test_a_constant_loss_is_a_straight_line() -> None:
    rows = text_of(Run(max_steps=100).train([2.0] * 50)).split("\n")[:20]
    assert len([row for row in rows if row[7:].strip()]) == 1


def test_too_small_a_place_is_told_in_one_line() -> None:
    lines = LossPanel().draw(Run().train([2.0]).view(), 19, 3)
    assert plain_text(lines) == "Loss needs 20x4 ce…"
    assert LossPanel().draw(Run().view(), 19, 0) == []


def test_the_cursor_shows_exact_values() -> None:
    run, panel = Run(max_steps=200).train([2.0, 1.23456789, 1.5]).tell(evaluated(2, 1.25)), LossPanel()
    for action in ("cursor_left", "cursor_left"):
        panel.press(action, run.view())
    text = text_of(run, panel=panel)
    assert words(text.split("\n")[-1]) == "│ step 2 loss 1.23457 EMA 1.59714 eval 1.25 lr 2e-4 grad norm 0.38"
    assert any("│" in row[7:] for row in text.split("\n")[:20])


def test_the_table_has_the_newest_step_first_and_scrolls_to_the_cursor() -> None:
    run, panel = Run(max_steps=200).train(noisy(100)).tell(evaluated(50, 1.25)), LossPanel()
    panel.press("table", run.view())
    lines = text_of(run, 80, 11, panel).split("\n")
    assert lines[0].split() == ["step", "loss", "EMA", ".9", "eval", "lr", "grad", "norm", "tok/s"]
    assert [row.split()[0] for row in lines[1:10]] == [str(step) for step in range(100, 91, -1)]
    panel.chart = replace(panel.chart, cursor=50)
    marked = next(row for row in text_of(run, 80, 11, panel).split("\n") if row.startswith("▸"))
    assert marked.split()[1:5] == ["50", f"{run.trace.losses[49]:.3f}", average_at(run, 50), "1.250"]
    panel.press("evals", run.view())
    assert [row.split()[1] for row in text_of(run, 80, 11, panel).split("\n")[1:2]] == ["50"]


def average_at(run: Run, step: int) -> str:
    weights = [0.9 ** (step - at) for at in range(1, step + 1)]
    return f"{sum(w * loss for w, loss in zip(weights, run.trace.losses, strict=False)) / sum(weights):.3f}"


def test_the_same_data_give_the_same_lines() -> None:
    run = Run(max_steps=300).train(noisy(200)).tell(evaluated(100, 1.25))
    panel = LossPanel()
    assert panel.draw(run.view(), 100, 24) == panel.draw(run.view(), 100, 24) == LossPanel().draw(run.view(), 100, 24)


@pytest.mark.parametrize("max_steps", [3000, 0])
@pytest.mark.parametrize(("actions", "rows"), [((), 5), (("log",), 8), (("zoom_in", "zoom_in"), 8)])
def test_in_a_long_run_five_more_steps_change_few_rows(max_steps: int, actions: Sequence[str], rows: int) -> None:
    run, panel = Run(max_steps=max_steps).train(noisy(1500)), LossPanel()
    for action in actions:
        panel.press(action, run.view())
    before, changed, axes = panel.draw(run.view(), 100, 30), [], set()
    for start in range(1500, 2000, 5):
        run.train(noisy(5, start))
        lines = panel.draw(run.view(), 100, 30)
        changed.append(sum(old != new for old, new in zip(before, lines, strict=True)))
        axes.add(tuple(line[0] for line in lines[:26]))
        before = lines
    assert sum(changed) / len(changed) < rows
    assert len(axes) <= 2


def test_a_run_of_a_hundred_thousand_steps_is_redrawn_in_milliseconds() -> None:
    run, panel = Run(max_steps=120_000), LossPanel()
    run.train(noisy(2))
    for step in range(3, 100_001):  # as `train` does, without the cost of folding
        run.trace.add(Stamped(1000.0, "attempt-1", step, step_logged(step, 1 + math.sin(step), 120_000)))
    panel.draw(run.view(), 100, 30)
    seconds = []
    for step in range(100_001, 100_031):
        run.trace.add(Stamped(1000.0, "attempt-1", step, step_logged(step, 1 + math.sin(step), 120_000)))
        start = time.process_time()
        panel.draw(run.view(), 100, 30)
        seconds.append(time.process_time() - start)
    assert sorted(seconds)[len(seconds) // 2] < 0.02  # measured: 0.002


def is_inside(lines: Sequence[Line], width: int, height: int) -> bool:
    return len(lines) <= height and all(width_of(each) <= width for each in lines)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.sampled_from([0.0, 1.0, 1e308])), max_size=60
    ),
    st.lists(st.tuples(st.integers(1, 60), st.floats(allow_nan=True, allow_infinity=True)), max_size=5),
    st.lists(st.sampled_from(ACTIONS), max_size=6),
    st.sampled_from([0, 30, 60, 1000]),
    st.integers(0, 120),
    st.integers(0, 40),
)
def test_any_losses_are_drawn_inside_their_place(
    losses: list[float], evals: list[tuple[int, float]], actions: list[str], max_steps: int, width: int, height: int
) -> None:
    run, panel = Run(max_steps=max_steps).train(losses), LossPanel()
    run.tell(*[evaluated(step, loss) for step, loss in sorted(evals)])
    for glyphs in (UNICODE, ASCII):
        view = replace(run.view(), glyphs=glyphs)
        for action in (None, *actions):
            if action is not None:
                panel.press(action, view)
            lines = panel.draw(view, width, height)
            assert is_inside(lines, width, height)
            assert glyphs.is_unicode or plain_text(lines).isascii()


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda path: path.name)
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_recorded_runs_are_drawn_at_every_moment_and_size(recorded: Path, size: tuple[int, int]) -> None:
    run, panel = Run(), LossPanel()
    width, height = size
    for stamped in read_events(recorded / "events"):
        run.tell(stamped.event)
        assert is_inside(panel.draw(run.view(), width, height), width, height)
    assert panel.draw(run.view(), width, height)
