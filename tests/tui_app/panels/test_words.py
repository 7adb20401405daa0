"""What the panels of a live run say in particular situations; that they fit is in tests/contracts/test_panels.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine import events as ev
from engine.events import Event, Stamped
from engine.run_state import RunState, fold
from engine.run_trace import RunTrace
from engine.units import GIB
from tui_app.drawing import plain_text
from tui_app.panels import all_panels
from tui_app.runs.view import LogLine, RungStep, RunView, SentCommand

STEP = ev.StepLogged(
    step=1, max_steps=10, epoch=0.1, loss=1.0, learning_rate=1e-4, grad_norm=0.5, num_tokens=100, step_seconds=1.0,
    rss_bytes=GIB, allocated_bytes=3 * GIB, reserved_bytes=4 * GIB, data_seconds=0.25,
)  # fmt: skip
CARD = ev.DeviceSampled(
    device="cuda:0", device_used_bytes=8 * GIB, device_total_bytes=12 * GIB, ram_used_bytes=14 * GIB,
    ram_total_bytes=31 * GIB, disk_free_bytes=200 * GIB, own_bytes=7 * GIB, utilisation_percent=97.0,
    temperature_celsius=68, power_watts=214.4,
)  # fmt: skip
PREDICTED = ev.MemoryPredicted(
    plan_file="plan-1.json", method="dry run", peak_bytes=6 * GIB, static_bytes=3 * GIB, needed_bytes=7 * GIB,
    capacity_bytes=11 * GIB, verdict="fits",
    terms=(("weights", 2 * GIB), ("adapter", GIB), ("optimizer state", GIB), ("activations", GIB), ("logits", GIB)),
)  # fmt: skip
TRAINING = (
    ev.RunStarted(run="r", recipe="a recipe", resumed=False, host="box", pid=1),
    ev.StageStarted(stage="train"),
    ev.AttemptStarted(attempt=1, plan_file="plan-1.json", resumed_from_step=0),
    ev.TrainingStarted(max_steps=10, num_rows=5, effective_batch_size=2, resumed_from_step=0),
)


def view_of(*events: Event, **fields: Any) -> RunView:
    """The view after these events, one a second."""
    state, trace = RunState(run="r"), RunTrace()
    for number, event in enumerate(events):
        stamped = Stamped(1_000.0 + number, "supervisor", number, event)
        state = fold(state, stamped)
        trace.add(stamped)
    now = 1_000.0 + len(events) - 1
    return RunView(**({"name": "r", "folder": "/runs/r", "state": state, "trace": trace, "now": now} | fields))


def text_of(name: str, view: RunView, width: int = 78, height: int = 20) -> str:
    return plain_text(all_panels()[name]().draw(view, width, height))


def test_memory_of_a_card_is_told_apart_by_owner_and_by_term() -> None:
    text = text_of("memory", view_of(*TRAINING, PREDICTED, CARD, STEP))
    for words in ("VRAM 8.0 of 12.0 GiB", "M mine 7.0 GiB", ": others 1.0 GiB", ". free 4.0 GiB", "W weights 2.0 GiB",
                  "# activations+loss 2.0 GiB", "allocated 3.0 GiB", "reserved 4.0 GiB",
                  "needs 7.0 GiB of 11.0 GiB: fits"):  # fmt: skip
        assert words in text


def test_memory_of_a_cpu_is_ram_and_says_that_mine_is_resident() -> None:
    sample = replace(CARD, device="cpu", temperature_celsius=None, power_watts=None)
    text = text_of("memory", view_of(*TRAINING, sample, replace(STEP, allocated_bytes=None)))
    assert "RAM 8.0 of 12.0 GiB" in text
    assert "M mine (RSS, libraries too) 7.0 GiB" in text


def test_on_a_cpu_the_strip_tells_resident_memory_from_the_tensors_that_were_planned() -> None:
    sample = replace(CARD, device="cpu", temperature_celsius=None, power_watts=None)
    view = view_of(*TRAINING, PREDICTED, sample, replace(STEP, allocated_bytes=None))
    strip = text_of("memory", view, height=1)
    assert "RSS 7.0 GiB  tensors: plan 6.0 GiB" in strip
    assert "mine" not in strip
    assert "tensors: predicted 6.0 GiB" in text_of("memory", view)


def test_the_header_says_that_a_stop_or_a_pause_is_under_way_until_it_took_effect() -> None:
    going = view_of(*TRAINING, STEP)
    assert "STOPPING" in text_of("header", replace(going, is_stopping=True))
    assert "PAUSING" in text_of("header", replace(going, is_pausing=True))
    paused = view_of(*TRAINING, STEP, ev.TrainingPaused(step=1), is_pausing=True)
    assert "PAUSED" in text_of("header", paused)
    stopped = view_of(*TRAINING, STEP, ev.RunStopped(kept="k", step=1), is_stopping=True)
    assert "STOPPED" in text_of("header", stopped)


def test_a_strip_of_log_shows_events_and_the_panel_what_libraries_wrote_dim_and_with_a_sign() -> None:
    noise = LogLine(None, "USDT:0 SyncActivityProfilerHandler.cpp", "output")
    view = view_of(log=(LogLine(1.0, "checkpoint of step 5 saved"), LogLine(2.0, "step 6", "step"), noise))
    strip = text_of("log", view, height=2)
    assert "checkpoint of step 5 saved" in strip.splitlines()[0]
    assert "USDT" not in strip
    for width in (40, 78):
        last = all_panels()["log"]().draw(view, width, 9)[-1]
        assert plain_text([last]).strip().startswith("·")
        assert "USDT" in plain_text([last])
        assert last[-1].role == "dim"


def test_ladder_lines_of_log_and_events_speak_as_the_ladder_does() -> None:
    rung = ev.RungTaken(rung="halve_micro_batch", cost="slower", changes_objective=False, plan_file="p", kept="k",
                        before_bytes=2 * GIB, after_bytes=GIB)  # fmt: skip
    assert "halve micro batch, 2.0 GiB → 1.0 GiB" in text_of("events", view_of(*TRAINING, rung))
    line = LogLine(1.0, "ladder: halve micro batch, 2.0 GiB -> 1.0 GiB")
    assert "halve micro batch, 2.0 GiB → 1.0 GiB" in text_of("log", view_of(log=(line,)))
    assert "a -> b" in text_of("log", view_of(log=(LogLine(1.0, "a -> b", "output"),)))


def test_nobody_is_sent_to_the_panel_that_is_open() -> None:
    view = view_of(*TRAINING, ev.RunFinished(seconds=5.0))
    panel: Any = all_panels()["status"]()
    assert "8 shows it" in plain_text(panel.draw(view, 78, 1))
    panel.opened = "result"
    assert "8 shows it" not in plain_text(panel.draw(view, 78, 1))


def test_memory_shows_every_plan_there_was() -> None:
    second = replace(PREDICTED, plan_file="plan-2.json", verdict="tight")
    view = view_of(*TRAINING, PREDICTED, predictions=(PREDICTED, second))
    assert "plan-2  6.0 GiB peak, needs 7.0 GiB: tight" in text_of("memory", view)


def test_speed_counts_the_wait_for_rows_and_shows_the_card() -> None:
    steps = [replace(STEP, step=number) for number in range(1, 5)]
    text = text_of("throughput", view_of(*TRAINING, CARD, *steps))
    for words in ("80 tok/s", "1.00 s/step", "data wait 20%", "GPU 97%", "68°C", "214 W", "RAM 14.0/31.0 GiB"):
        assert words in text


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ((), "the supervisor is starting"),
        ((TRAINING[0], ev.StageStarted(stage="prepare")), "the model is being looked for"),
        (TRAINING[:2], "memory is being predicted"),
        ((*TRAINING[:2], PREDICTED), "memory is predicted; the worker is being started"),
        ((*TRAINING[:2], replace(PREDICTED, verdict="will not fit")), "the ladder looks for a plan that fits"),
        (TRAINING[:3], "attempt 1: the model is being loaded"),
        (TRAINING, "the first step is being made"),
        ((TRAINING[0], ev.StageStarted(stage="evaluate")), "the model is being loaded to be scored"),
    ],
)
def test_what_is_being_waited_for_is_said(events: tuple[Event, ...], words: str) -> None:
    assert words in text_of("status", view_of(*events))
    assert "no speed yet" in text_of("throughput", view_of(*events))
    assert words in " ".join(text_of("loss", view_of(*events)).split()), "the panels do not contradict each other"


def test_a_finished_command_is_told_for_a_while_and_an_open_one_until_it_is_answered() -> None:
    view = view_of(*TRAINING, STEP)
    fresh = SentCommand("save", "done", "saved at step 1", changed_at=view.now)
    assert "save: sent → done (saved at step 1)" in text_of("status", replace(view, sent=(fresh,)))
    assert "save" not in text_of("status", replace(view, sent=(fresh,), now=view.now + 60)).replace("saved", "")
    old = SentCommand("pause", "accepted", changed_at=view.now - 500)
    assert "pause: sent → accepted" in text_of("status", replace(view, sent=(old,)))


def test_the_next_eval_is_announced() -> None:
    assert "no eval yet: at step 50" in text_of("status", view_of(*TRAINING, STEP, eval_steps=50))


def test_the_ladder_tells_what_was_kept_what_is_in_use_and_what_asks_first() -> None:
    oom = ev.OomHit(attempt=1, phase="backward", step=57, message="no memory")
    rungs = (
        RungStep("halve_micro_batch", "slower", "current", before_bytes=9 * GIB, after_bytes=8 * GIB,
                 why="out of memory", kept="from step 50", attempt=2, step=50),
        RungStep("gradient_checkpointing", "a third slower", "next", before_bytes=8 * GIB, after_bytes=6 * GIB),
        RungStep("halve_rank", "learns less", "asks", changes_objective=True),
    )  # fmt: skip
    text = text_of("ladder", view_of(*TRAINING, oom, rungs=rungs, max_attempts=8))
    for words in ("attempt 1 of at most 8", "memory ran out once, in backward after step 57", "▸ 1 halve micro batch",
                  "in use", "9.0 GiB → 8.0 GiB", "attempt 2 went on from step 50", "· 2 gradient checkpointing",
                  "~6.0 GiB", "? 3 halve rank", "asks first"):  # fmt: skip
        assert words in text


def score(variant: str, correct: int, low: float, high: float, groups: tuple[tuple[str, int, int], ...] = ()) -> Event:
    return ev.VariantScored(
        variant=variant, title=variant, metric="exact_match", num_rows=100, num_correct=correct, low=low, high=high,
        seconds=1.0, answers_file="a", groups=groups,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("tuned", "words"),
    [
        (score("tuned", 90, 0.82, 0.95), "better than base"),
        (score("tuned", 2, 0.01, 0.07), "worse than base"),
        (score("tuned", 25, 0.17, 0.34), "no difference of tuned to base is shown"),
    ],
)
def test_the_result_says_in_words_whether_training_helped(tuned: Event, words: str) -> None:
    view = view_of(*TRAINING, score("base", 20, 0.13, 0.29), tuned, ev.RunFinished(seconds=5.0))
    assert words in text_of("result", view, height=40)


def test_groups_that_got_worse_are_named() -> None:
    base = score("base", 20, 0.13, 0.29, (("scan", 10, 8), ("ls", 10, 1)))
    tuned = score("tuned", 90, 0.82, 0.95, (("scan", 10, 5), ("ls", 10, 9)))
    text = text_of("result", view_of(*TRAINING, base, tuned, ev.RunFinished(seconds=5.0)), height=40)
    assert "worse in: scan 80% → 50%" in text


def test_a_failure_stands_under_its_three_names_with_the_log() -> None:
    failed = ev.RunFailed(error="E", exit_code=5, happened="No memory.", means="All is kept.", remedy="Use less.")
    text = text_of("result", view_of(*TRAINING, failed), height=40)
    for words in ("happened  No memory.", "it means  All is kept.", "to do     Use less.", "/runs/r/log", "resume r"):
        assert words in text


def test_the_log_says_when_nothing_holds_the_filter() -> None:
    panel: Any = all_panels()["log"]()
    view = view_of(log=(LogLine(None, "a line"), LogLine(1.0, "another"), LogLine(2.0, "A LINE")))
    panel.wanted = "a line"
    assert plain_text(panel.draw(view, 40, 9)).splitlines() == ["a line", "A LINE"]
    panel.wanted = "zebra"
    assert "no line holds 'zebra'" in plain_text(panel.draw(view, 80, 9))


def test_a_run_on_another_host_is_unknown_not_dead() -> None:
    text = text_of("header", view_of(*TRAINING, STEP, liveness="unknown, on host elsewhere"))
    assert "UNKNOWN" in text
    assert "unknown, on host elsewhere" in text_of("status", view_of(*TRAINING, liveness="unknown, on host elsewhere"))
