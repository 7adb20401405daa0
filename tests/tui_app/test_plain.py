"""How a run reads on a plain terminal. That every event type is drawn literally is held in contracts/."""

from __future__ import annotations

import pytest

from engine.events import (
    AdapterSaved,
    CheckpointSaved,
    Event,
    MemoryMeasured,
    MemoryPredicted,
    MemoryProbed,
    OomHit,
    RecipeSettled,
    RequestStarted,
    RunFailed,
    RunFinished,
    RungTaken,
    RunStarted,
    RunStopped,
    StageStarted,
    Stamped,
    StepLogged,
    TrainingStarted,
    VariantScored,
    WarningRaised,
    WeightsCarried,
)
from engine.run_state import RunState, fold, fold_all
from tui_app.plain import ago, ending, lines, one_line, printable, result_table, status_lines

MARKUP = "[bold red]x[/bold red] [link=file:///etc/passwd]y[/] \\[z]"
ESCAPES = "\x1b[31mred\x1b[0m \x1b]0;title\x07 \r\x08\x00 \u202egnp.exe \u200b\x9b2J"


def step(number: int, **changes: object) -> StepLogged:
    values: dict[str, object] = {
        "step": number,
        "max_steps": 120,
        "epoch": 0.5,
        "loss": 1.23456,
        "learning_rate": 2e-4,
        "grad_norm": None,
        "num_tokens": 500,
        "step_seconds": 2.0,
        "rss_bytes": 3 << 30,
    }
    return StepLogged(**values | changes)  # type: ignore[arg-type]


def scored(title: str, hits: dict[str, int], unseen: int) -> VariantScored:
    return VariantScored(
        variant=title,
        title=title,
        metric="exact_match",
        num_rows=150,
        num_correct=sum(hits.values()),
        low=0.81,
        high=0.94,
        seconds=20.0,
        answers_file="answers/x.jsonl",
        unseen_rows=8,
        unseen_correct=unseen,
        groups=tuple((name, 75, hit) for name, hit in hits.items()),
        scores=(("rougeL", 0.5),),
    )


def started(title: str = "demo") -> RunStarted:
    return RunStarted(run="demo-1", recipe=title, resumed=False, host="h", pid=1)


def state_after(*events: Event) -> RunState:
    return fold_all(Stamped(1000.0 + n, "w", n, event) for n, event in enumerate(events))


def told(event: Event, state: RunState | None = None) -> list[str]:
    stamped = Stamped(1000.0, "w", 0, event)
    return lines(stamped, fold(state or RunState(), stamped))


def test_markup_is_text() -> None:
    assert printable(MARKUP) == MARKUP
    assert told(WarningRaised(text=MARKUP)) == [f"!! {MARKUP}"]


def test_control_characters_are_shown_and_none_is_obeyed() -> None:
    shown = printable(ESCAPES)
    assert shown.isprintable()
    assert "\\x1b[31mred" in shown
    assert "\\u202egnp.exe" in shown
    assert printable("two\nlines") == "two\nlines"
    assert one_line("two\nlines\t") == "two\\nlines\\t"


@pytest.mark.parametrize("text", [MARKUP, ESCAPES, "a\nrun demo-1 finished in 1 s."])
def test_titles_warnings_and_group_names_are_drawn_literally_each_on_its_line(text: str) -> None:
    literal = one_line(text)
    (title,) = told(started(text))
    assert title == f"started run demo-1: {literal}"
    state = state_after(started(text), scored("tuned", {text: 70, "ls": 60}, 4))
    assert f"  recipe      {literal}" in status_lines(state, "alive", "/runs/demo-1")
    table = result_table(state)
    assert any(row.startswith(literal) for row in table)
    assert all(row.isprintable() for row in table)
    assert len({len(row) for row in table if row}) <= 2, "the columns stay aligned"


def test_a_step_is_one_line_with_loss_pace_memory_and_what_is_left() -> None:
    state = state_after(
        started(), TrainingStarted(max_steps=120, num_rows=8, effective_batch_size=8, resumed_from_step=0), step(6)
    )
    (line,) = told(step(7), state)
    assert line == "step   7/120  loss  1.2346  lr 2.00e-04      250 tok/s  RSS   3.0 GiB  eta 3 min 46 s"
    (line,) = told(step(8, allocated_bytes=5 << 30), state)
    assert "5.0 GiB" in line


def test_a_loss_that_is_no_number_and_a_step_without_time_are_drawn_all_the_same() -> None:
    (line,) = told(step(1, loss=float("nan"), learning_rate=0.0, step_seconds=0.0))
    assert "loss     nan" in line


def test_the_result_table_compares_the_variants_per_group_and_in_all() -> None:
    state = state_after(started(), scored("base", {"ls": 0, "scan": 3}, 0), scored("tuned", {"ls": 70, "scan": 65}, 4))
    table = [" ".join(row.split()) for row in result_table(state) if row]
    assert table == [
        "exact match rows base tuned",
        "ls 75 0.0% 93.3%",
        "scan 75 4.0% 86.7%",
        "all 150 2.0% 90.0%",
        "95 % interval 81.0%-94.0% 81.0%-94.0%",
        "never seen in training 8 0.0% 50.0%",
        "rougeL 0.500 0.500",
    ]


def test_without_scores_there_is_no_table() -> None:
    assert result_table(RunState()) == []


def test_a_finished_run_ends_with_its_result_and_commands_to_copy() -> None:
    state = state_after(started(), AdapterSaved(path="adapter", num_bytes=9, sha256="x"), RunFinished(seconds=65.0))
    shown = ending(state, "/runs/demo-1", "/runs/demo-1/log")
    assert "run demo-1 finished in 1 min 05 s." in shown
    assert "Result: /runs/demo-1/adapter" in shown
    assert any(line.startswith("  finetui status demo-1") for line in shown)


def test_a_stopped_run_says_what_was_kept_and_how_to_go_on() -> None:
    state = state_after(started(), RunStopped(kept="the checkpoint of step 4", step=4))
    assert ending(state, "", "") == [
        "run demo-1 is stopped; kept: the checkpoint of step 4.",
        "Go on with: finetui resume demo-1",
    ]


def test_a_failed_run_says_what_happened_what_it_means_and_what_to_do() -> None:
    failed = RunFailed(error="DataError", exit_code=3, happened="no rows\x1b", means="nothing done", remedy="add rows")
    shown = ending(state_after(started(), failed), "", "/runs/demo-1/log")
    assert shown == [
        "run demo-1 failed.",
        "no rows\\x1b",
        "nothing done",
        "add rows",
        "Log folder: /runs/demo-1/log",
    ]


def test_a_run_without_a_final_event_died_and_can_be_resumed() -> None:
    saved = CheckpointSaved(step=30, path="checkpoints/checkpoint-30", num_bytes=9, seconds=0.1)
    shown = ending(state_after(started(), step(31), saved), "", "/runs/demo-1/log")
    assert "died" in shown[0]
    assert "the checkpoint of step 30 is kept" in shown[0]
    assert "finetui resume demo-1" in shown[1]
    assert "no checkpoint was written" in ending(state_after(started()), "", "")[0]


@pytest.mark.parametrize(
    ("alive", "phase"),
    [("alive", "preparing"), ("dead", "died"), ("unknown, on host h2", "preparing (unknown, on host h2)")],
)
def test_the_status_tells_a_run_that_goes_on_from_one_that_died(alive: str, phase: str) -> None:
    shown = status_lines(state_after(started(), step(3)), alive, "/runs/demo-1")
    assert shown[0] == f"demo-1: {phase}"
    assert ("  go on       finetui resume demo-1" in shown) == (alive == "dead")


def test_the_status_names_every_rung_with_its_cost_and_the_latest_warnings() -> None:
    rung = RungTaken(rung="halve_rank", cost="the adapter learns less", changes_objective=True, plan_file="p", kept="k")
    warnings = [WarningRaised(text=f"warning {n}") for n in range(5)]
    shown = status_lines(state_after(started(), rung, *warnings), "alive", "")
    assert "  rung        halve_rank: the adapter learns less; k" in shown
    assert [line.split()[-1] for line in shown if line.startswith("  warning")] == ["2", "3", "4"]


def test_a_clock_that_was_set_back_makes_nothing_happen_in_the_future() -> None:
    assert ago(None) == "never"
    assert ago(4e9) == "0.0 s ago"


GIB = 2**30


def predicted(peak: int, verdict: str = "fits") -> MemoryPredicted:
    return MemoryPredicted(
        plan_file="plan-1.json",
        method="dry run",
        peak_bytes=peak,
        static_bytes=GIB,
        needed_bytes=peak + GIB // 2,
        capacity_bytes=16 * GIB,
        verdict=verdict,
        terms=(("weights", peak),),
        calibration="3 runs",
    )


def test_predicted_probed_and_running_peak_stand_side_by_side() -> None:
    probed = MemoryProbed(
        attempt=1,
        predicted_bytes=9 * GIB,
        predicted_static_bytes=GIB,
        peak_bytes=10 * GIB,
        static_bytes=GIB,
        phases=(("load", GIB),),
        seconds=3.0,
    )
    measured = MemoryMeasured(
        attempt=1, step=2, peak_bytes=11 * GIB, static_bytes=GIB, predicted_bytes=9 * GIB, rho=1.1
    )
    assert told(predicted(9 * GIB)) == [
        "   memory: 9.0 GiB predicted (dry run, 3 runs); needs 9.5 GiB, 16.0 GiB may be used: fits"
    ]
    assert told(probed) == ["   memory: the longest rows took 10.0 GiB; 9.0 GiB predicted (probe, 3.0 s)"]
    assert told(measured) == ["   memory: 11.0 GiB used by step 2; 9.0 GiB predicted"]
    shown = status_lines(state_after(started(), predicted(9 * GIB), probed, measured), "alive", "")
    assert "  memory      predicted 9.0 GiB, probe 10.0 GiB, now 11.0 GiB" in shown


def test_a_rung_is_told_with_what_it_saves_why_it_was_taken_and_what_is_kept() -> None:
    rung = RungTaken(
        rung="halve_rank",
        cost="the adapter learns less",
        changes_objective=True,
        plan_file="plan-2.json",
        kept="continues from step 3",
        before_bytes=12 * GIB,
        after_bytes=11 * GIB,
    )
    oom = OomHit(attempt=1, phase="step", step=3, message="no room for 2 GiB", cause="cuda")
    assert told(oom) == ["!! out of memory (step, after step 3, cuda): no room for 2 GiB"]
    (line,) = told(rung)
    assert line == (
        "   ladder: halve rank, 12.0 GiB -> 11.0 GiB (the adapter learns less; changes what is learned; "
        "out of memory); continues from step 3"
    )
    shown = status_lines(state_after(started(), oom, rung), "alive", "")
    assert "  ran out     once, in step after step 3" in shown
    assert "  rung        halve_rank, 12.0 GiB -> 11.0 GiB: the adapter learns less; continues from step 3" in shown


def test_carried_weights_are_told_with_what_it_cost_them() -> None:
    carried = WeightsCarried(
        step=3,
        changes=("rank 64 -> 32",),
        error=0.0123,
        optimizer_kept=False,
        warmup_steps=5,
        eval_loss_before=1.5,
        eval_loss_after=1.625,
    )
    (line,) = told(carried)
    assert line == (
        "   weights of step 3 carried over (rank 64 -> 32): relative error 0.012; eval loss 1.5000 -> 1.6250; "
        "the optimizer starts anew, 5 steps of warm-up"
    )


def test_a_run_that_went_down_the_ladder_ends_with_the_recipe_that_starts_there() -> None:
    settled = RecipeSettled(path="settled.toml", rungs=("halve_rank", "halve_rank"))
    shown = ending(state_after(started(), settled, RunFinished(seconds=1.0)), "/runs/demo-1", "")
    assert "Memory was short, so the ladder took halve_rank. The recipe that starts there:" in shown
    assert "  /runs/demo-1/settled.toml" in shown
    plain = ending(
        state_after(started(), RecipeSettled(path="settled.toml", rungs=()), RunFinished(seconds=1.0)), "", ""
    )
    assert not any("ladder" in line for line in plain)


def test_what_is_asked_of_a_trained_run_is_told_by_its_title_and_not_as_a_resumed_training() -> None:
    back = RunStarted(run="demo", recipe="a recipe", resumed=True, host="box", pid=1)
    asked = RequestStarted(number=1, stage="evaluate", title="score demo on its test rows")
    state, told = RunState(run="demo"), []
    for number, event in enumerate((RunFinished(seconds=1.0), back, asked, StageStarted(stage="evaluate"))):
        stamped = Stamped(1_000.0 + number, "supervisor", number, event)
        state = fold(state, stamped)
        told += lines(stamped, state)
    assert told[-2:] == ["back at trained run demo: a recipe", "== score demo on its test rows"]
