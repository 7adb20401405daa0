"""What the result panel and its neighbours say of a finished run: scores, differences, artifacts, work that goes on."""

from __future__ import annotations

from dataclasses import replace

from engine import events as ev
from engine.events import Event
from engine.run_trace import RunTrace
from engine.units import MIB
from tests.tui_app.panels.test_words import STEP, TRAINING, score, text_of, view_of
from tui_app.runs.rungs import rung_steps
from tui_app.runs.view import RungStep

FINISHED = ev.RunFinished(seconds=5.0)
BASE, TUNED = score("base_zero_shot", 20, 0.13, 0.29), score("tuned", 90, 0.82, 0.95)
LATER = (replace(TRAINING[0], resumed=True),)
ARTIFACT = ev.ArtifactExported(
    artifact="gguf-Q8_0", kind="gguf", path="exports/gguf/m-Q8_0.gguf", num_bytes=138 * MIB, seconds=4.0,
    file_type="Q8_0", bits_per_weight=8.5, num_rows=150, agreement=0.9867, perplexity_change=0.001,
    seconds_per_answer=0.31, notes=("two tensors are Q5_0",),
)  # fmt: skip


def pair(other: str, better: int, worse: int, difference: float, p_value: float) -> Event:
    return ev.VariantsCompared(
        dataset="test", metric="exact_match", base="base_zero_shot", other=other, num_rows=100, num_better=better,
        num_worse=worse, difference=difference, low=difference - 0.05, high=difference + 0.05, p_value=p_value,
        rows_file="answers/rows.json",
    )  # fmt: skip


def result(*events: Event, width: int = 100) -> str:
    return text_of("result", view_of(*TRAINING, *events), width=width, height=80)


def test_every_variant_is_a_line_of_one_table_base_first_whatever_was_scored_last() -> None:
    merged = replace(score("merged", 89, 0.81, 0.94), scores=(("perplexity", 1.25), ("stop_rate", 0.5)))
    text = result(merged, TUNED, BASE, FINISHED)
    lines = [line.split()[0] for line in text.splitlines() if "%" in line and " to " in line][:3]
    assert lines == ["base_zero_shot", "tuned", "merged"]
    assert "1.250" in text
    assert "50.0%" in text


def test_on_a_narrow_screen_further_metrics_stand_in_a_table_below_what_they_mean() -> None:
    names = ("perplexity", "stop_rate", "answer_length", "tokens_per_second", "rougeL")
    scored = [replace(each, scores=tuple((name, 0.5) for name in names)) for each in (BASE, TUNED)]
    text = result(*scored, FINISHED, width=60)
    assert text.index("better than base_zero_shot") < text.index("tokens per second")
    assert max(map(len, text.splitlines())) <= 60


def test_a_difference_is_told_row_by_row_and_one_that_chance_explains_is_called_none() -> None:
    text = result(BASE, TUNED, pair("tuned", 72, 2, 0.7, 1e-9), FINISHED)
    assert "tuned is better than base_zero_shot: 72 of 100 rows better, 2 worse" in text
    assert "exact match +70.0 points (95 %: +65.0 to +75.0), sign test p < 0.001" in text
    text = result(BASE, TUNED, pair("tuned", 5, 4, 0.01, 1.0), FINISHED)
    assert "no difference of tuned to base_zero_shot is shown" in text
    text = result(BASE, TUNED, pair("tuned", 1, 11, -0.1, 0.006), FINISHED)
    assert "tuned is worse than base_zero_shot" in text
    assert "tuned does as well as base_zero_shot on each of 100 rows" in result(
        BASE, TUNED, pair("tuned", 0, 0, 0.0, 1.0), FINISHED
    )


def test_scores_of_fewer_rows_are_marked_and_not_held_against_those_of_more() -> None:
    fewer = replace(TUNED, num_rows=20, num_correct=19)
    text = result(BASE, TUNED, pair("tuned", 72, 2, 0.7, 1e-9), fewer, FINISHED)
    assert "scores on 20 to 100 rows nobody trained on" in text
    assert "tuned, 20 rows" in text
    assert "better than" not in text
    assert "tuned was asked 20 rows and base 100: score them together" in text


def test_an_artifact_says_its_size_type_and_how_it_was_checked() -> None:
    text = " ".join(result(BASE, TUNED, ARTIFACT, FINISHED).split())
    for words in ("exports/gguf/m-Q8_0.gguf", "138 MiB", "8.50 bits per weight", "98.7% of 150 rows",
                  "perplexity +0.1%", "0.31 s an answer", "two tensors are Q5_0"):  # fmt: skip
        assert words in text


def test_what_stands_out_is_told_with_what_to_do() -> None:
    spike = ev.LossSpiked(step=7, loss=9.0, usual=1.0, rows=(3, 5))
    text = result(replace(STEP, step=1), spike, BASE, TUNED, FINISHED)
    assert "what stands out" in text
    assert "step 7" in text


def test_the_keys_of_a_finished_run_stand_under_next() -> None:
    text = result(BASE, TUNED, FINISHED)
    after = text[text.index(" next") :]
    assert [line.split()[0] for line in after.splitlines()[1:6]] == ["x", "e", "v", "w", "c"]


def exporting(*progress: ev.ExportProgressed) -> tuple[Event, ...]:
    asked = ev.RequestStarted(number=1, stage="export", title="export gguf Q8_0")
    return (*TRAINING, STEP, FINISHED, *LATER, asked, ev.StageStarted(stage="export"), *progress)


def test_an_export_that_goes_on_shows_a_bar_what_is_done_and_no_speed_of_steps() -> None:
    writing = ev.ExportProgressed(artifact="gguf-Q8_0", doing="writing", num_done=10, num_total=40)
    merged = replace(ARTIFACT, artifact="merged")
    view = view_of(*exporting(), merged, writing, replace(writing, num_done=20))
    header = text_of("header", view)
    assert "EXPORTING" in header
    assert "20/40" in header
    assert "ETA 2 s" in header
    text = text_of("result", view, height=40)
    for words in ("export gguf Q8_0", "gguf-Q8_0: writing", "50%  20 of 40", "✓ merged", "goes on when you leave"):
        assert words in text
    assert "tok/s" not in text_of("throughput", view)
    assert "gguf-Q8_0: writing: 20 of 40, about 2 s left" in text_of("status", view)


def test_what_is_left_after_the_last_artifact_is_not_called_a_start() -> None:
    text = text_of("result", view_of(*exporting(), replace(ARTIFACT, artifact="merged")), height=40)
    assert "what is left is being done" in text
    assert "is being started" not in text


def test_no_rung_is_announced_once_the_steps_are_over() -> None:
    ahead = (RungStep("halve_micro_batch", "slower", "next"),)
    state = view_of(*exporting()).state
    assert rung_steps(state, RunTrace(), ahead) == ()
    assert "it was not needed" in text_of("ladder", view_of(*exporting()), height=12)


def test_scoring_counts_answers_and_an_export_without_a_count_has_no_bar() -> None:
    stage = (*TRAINING, STEP, ev.StageStarted(stage="evaluate"))
    answers = [ev.EvaluationProgressed(variant="base_zero_shot", num_done=done, num_rows=50) for done in (0, 10)]
    assert "scoring base zero shot: 10 of 50 answers, about 4 s left" in text_of("status", view_of(*stage, *answers))
    view = view_of(*exporting(ev.ExportProgressed(artifact="merged", doing="reading back")))
    assert "merged: reading back" in text_of("result", view, height=40)
    assert "%" not in text_of("header", view)


def test_a_request_that_failed_is_told_in_three_sentences_until_something_else_is_asked() -> None:
    fault = ev.RequestFailed(number=1, error="E", exit_code=9, happened="It broke.", means="Kept.", remedy="Use Q8_0.")
    failed = (*exporting(), fault, replace(FINISHED, of_requests=True))
    view = view_of(*failed)
    text = text_of("result", view, height=60)
    for words in ("not done: export gguf Q8_0", "It broke.", "Kept.", "Use Q8_0."):
        assert words in text
    assert "It broke" in text_of("status", view)
    again = ev.RequestStarted(number=2, stage="export", title="export merged")
    after = view_of(*failed, *LATER, again, ev.RequestFinished(number=2, seconds=1.0), FINISHED)
    assert "It broke" not in text_of("result", after, height=60)


def test_a_supervisor_that_died_over_a_request_leaves_the_result_and_says_so() -> None:
    view = view_of(*exporting(), liveness="dead")
    assert "the trained result is kept" in text_of("status", view)
    assert "DIED" in text_of("header", view)
