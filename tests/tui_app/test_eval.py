"""`finetui eval`: what is asked for, refused before anything starts, and told at the end."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.event_log import read_events
from engine.events import Event, VariantsCompared, VariantScored
from engine.liveness import supervisor_of
from engine.requests import is_evaluation_only, pending
from engine.run_dir import RunDir, list_runs, write_atomic
from engine.run_state import RunState, fold_all
from tests.tui_app.written_runs import HOSTILE, written
from tui_app.changed_rows import changed_rows, row_lines
from tui_app.cli import main
from tui_app.result_commands.evaluate import fewer_rows
from tui_app.result_table import WIDTH, comparison_lines, result_table

RECIPE = '[model]\nname_or_path = "bundled:smollm2-135m-instruct"\n[data]\ndataset = "rows.jsonl"\n'
SCORE = VariantScored(
    variant="tuned",
    title="tuned",
    metric="exact_match",
    num_rows=150,
    num_correct=131,
    low=0.811,
    high=0.917,
    seconds=20.0,
    answers_file="answers/tuned.jsonl",
    scores=(("perplexity", 1.234), ("stop_rate", 1.0)),
    intervals=(("perplexity", 1.2, 1.3),),
)
BASE = replace(SCORE, variant="base_zero_shot", title="base, zero-shot", num_correct=5, low=0.01, high=0.08)
PAIR = VariantsCompared(
    dataset="test",
    metric="exact_match",
    base="base_zero_shot",
    other="tuned",
    num_rows=150,
    num_better=126,
    num_worse=0,
    difference=0.84,
    low=0.7712,
    high=0.8921,
    p_value=1e-30,
    rows_file="answers/comparison.json",
)


def run_with(root: Path, *events: Event) -> tuple[RunDir, RunState]:
    run = written(root, "demo", *events)
    write_atomic(run.recipe, RECIPE)
    return run, fold_all(read_events(run.events))


@pytest.fixture
def no_run_outlives(own_machine: Path) -> Iterator[Path]:
    yield own_machine
    for run in list_runs(own_machine / "evaluations"):
        identity = supervisor_of(run)
        if identity and identity.is_alive():
            os.kill(identity.pid, signal.SIGKILL)


def test_the_table_puts_variants_beside_each_other_and_fits_eighty_columns(tmp_path: Path) -> None:
    others = [replace(SCORE, variant=f"gguf-{name}", title=f"GGUF {name}") for name in ("F16", "Q8_0", "Q4_K_M")]
    _, state = run_with(tmp_path, BASE, SCORE, *others)
    table = result_table(state, "test")
    assert max(map(len, table)) <= WIDTH
    words = [" ".join(line.split()) for line in table]
    assert "all 150 3.3% 87.3% 87.3%" in words
    assert "perplexity 1.234 1.234 1.234" in words
    assert "95 % interval 1.200-1.300 1.200-1.300 1.200-1.300" in words
    assert "ended by itself 100.0% 100.0%" in words, "the last two stand below"


def test_a_difference_is_told_in_words_with_its_interval_and_the_sign_test(tmp_path: Path) -> None:
    _, state = run_with(tmp_path, BASE, SCORE, PAIR)
    assert " ".join(" ".join(comparison_lines(state, "test")).split()) == (
        "tuned is better than base, zero-shot: 126 of 150 rows better, 0 worse; "
        "exact match +84.0 points (95 %: +77.1 to +89.2), sign test p < 0.001"
    )
    assert max(map(len, comparison_lines(state, "test"))) <= WIDTH
    worse = replace(PAIR, num_better=1, num_worse=9, difference=-0.05, low=-0.09, high=-0.01, p_value=0.021)
    chance = replace(PAIR, num_better=4, num_worse=2, difference=0.01, low=-0.02, high=0.05, p_value=0.69)
    none = replace(PAIR, num_better=0, num_worse=0, difference=0.0, p_value=1.0)
    for pair, said in ((worse, "is worse than"), (chance, "no difference of tuned"), (none, "as well as base")):
        _, state = run_with(tmp_path, BASE, SCORE, pair)
        assert said in " ".join(comparison_lines(state, "test"))


def test_a_variant_that_was_asked_fewer_rows_says_so_and_is_held_against_none_that_was_asked_more(
    tmp_path: Path,
) -> None:
    _, state = run_with(tmp_path, BASE, SCORE, PAIR, replace(SCORE, num_rows=20, num_correct=19))
    table = "\n".join(result_table(state, "test"))
    assert "tuned, 20 rows" in table
    assert "all    " in table
    assert comparison_lines(state, "test") == []


def test_rows_of_several_sets_have_a_table_each(tmp_path: Path) -> None:
    _, state = run_with(tmp_path, SCORE, replace(SCORE, dataset="others", num_rows=7, num_correct=7))
    words = [" ".join(line.split()) for line in result_table(state)]
    assert words.index("rows: test") < words.index("rows: others")
    assert "all 7 100.0%" in words


def test_scores_of_fewer_rows_than_before_say_so_and_how_to_have_all_again(tmp_path: Path) -> None:
    run, before = run_with(tmp_path, BASE, SCORE)
    fewer = replace(SCORE, num_rows=20, num_correct=19)
    after = replace(before, scores=(BASE, fewer))
    told = " ".join(fewer_rows(run, before, after, "test"))
    assert "Before, 150 rows were scored" in told
    assert "finetui eval" in told
    assert fewer_rows(run, after, before, "test") == fewer_rows(run, before, before, "test") == []


def test_rows_that_changed_are_listed_literally(tmp_path: Path) -> None:
    run, state = run_with(tmp_path, BASE, SCORE, PAIR)
    row = {"line": 7, "request": HOSTILE, "expected": "COMMAND: a", "base_answer": "no", "other_answer": HOSTILE}
    write_atomic(run.path / PAIR.rows_file, json.dumps({"better": [row, row], "worse": []}))
    rows = changed_rows(run, state, "test", "better")
    told = row_lines("better", rows, rows[:1], {"tuned": HOSTILE})
    assert told[1] == "2 rows better, the first 1 of them:"
    assert all(line.isprintable() for line in told)
    assert row_lines("worse", changed_rows(run, state, "test", "worse"), [], {}) == []


def test_the_rows_of_a_run_that_was_scored_are_listed_without_scoring_it_again(
    own_machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, _ = run_with(own_machine / "runs", BASE, SCORE, PAIR)
    row = {"line": 7, "request": "list them", "expected": "a", "base_answer": "b", "other_answer": "a"}
    write_atomic(run.path / PAIR.rows_file, json.dumps({"better": [row] * 5, "worse": []}))
    assert main(["eval", "demo-1", "--rows", "better"]) == 0
    told = capsys.readouterr().out
    assert "5 rows better:" in told
    assert told.count("line 7: list them") == 5
    assert main(["eval", "demo-1", "--rows", "worse"]) == 0
    assert "No row got worse." in capsys.readouterr().out
    assert pending(run) == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["demo-1", "--metric", "exact_mach"], 2, "Did you mean exact_match"),
        (["demo-1", "--metric", "code_execution"], 2, "--run-code"),
        (["demo-1", "--variant", "tunde"], 2, "Did you mean tuned"),
        (["demo-1", "--variant", "merged"], 2, "finetui export demo-1 --to merged"),
        (["demo-1", "--max-rows", "0"], 2, "--max-rows is 0"),
        (["demo-1", "--batch-size", "0"], 2, "--batch-size is 0"),
        (["demo-1", "--name", "x"], 2, "--name has no effect without --data"),
        (["demo-1", "--answer-pattern", "("], 2, "no regular expression"),
        (["demo-1", "--data", "absent.jsonl"], 3, "absent.jsonl"),
        (["demo-1"], 9, "no trained result yet"),
        (["dmo-1"], 9, "Did you mean demo-1"),
        (["bundled:smollm2-135m-instrukt", "--data", "x.jsonl"], 4, "Did you mean bundled:smollm2-135m-instruct"),
        (["./absent/model", "--data", "x.jsonl"], 4, "There is no model at"),
    ],
)
def test_a_bad_word_is_answered_before_anything_starts(
    own_machine: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    run, _ = run_with(own_machine / "runs")
    run.adapter.mkdir()
    (run.adapter / "adapter_config.json").write_text("{}")
    assert main(["eval", *words]) == code
    assert said in capsys.readouterr().err
    assert pending(run) == []
    assert not (own_machine / "evaluations").exists()


def test_a_model_without_rows_is_told_how_to_name_them(
    tmp_path: Path, tiny_model_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", str(tiny_model_folder)]) == 2
    told = capsys.readouterr().err
    assert "has no test split of its own" in told
    assert "--data ROWS" in told
    broken = tmp_path / "adapter"
    broken.mkdir()
    (broken / "adapter_config.json").write_text("{}")
    assert main(["eval", str(broken), "--data", "x"]) == 4
    assert "names no base model" in capsys.readouterr().err


def adapter_on(base: Path, folder: Path) -> Path:
    """An adapter whose product is not zero, as anybody's training leaves it."""
    import torch
    from peft import LoraConfig, get_peft_model

    from engine.training.model_loading import load_model

    torch.manual_seed(5)
    config = LoraConfig(r=4, lora_alpha=32, target_modules="all-linear", init_lora_weights=False)
    model: Any = get_peft_model(load_model(base, dtype="float32"), config)  # type: ignore[arg-type]
    model.save_pretrained(folder)
    return folder


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.slow(seconds=25)
def test_somebodys_adapter_is_scored_against_its_base_in_a_folder_of_its_own_and_again_in_the_same(
    no_run_outlives: Path, tmp_path: Path, tiny_model_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    adapter = adapter_on(tiny_model_folder, tmp_path / "mine")
    rows = [{"prompt": f"add {n} and {n + 1}", "completion": f"{n} + {n + 1} = {2 * n + 1}"} for n in range(6)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["eval", str(adapter), "--data", str(path), "--max-new-tokens", "5"]
    assert main([*words, "--json"]) == 0
    out = capfd.readouterr()
    told = json.loads(out.out)
    assert [variant["variant"] for variant in told["variants"]] == ["base_zero_shot", "tuned"]
    for variant in told["variants"]:
        assert set(variant["metrics"]) >= {"exact_match", "loss", "perplexity", "stop_rate", "answer_length"}
    assert {pair["metric"] for pair in told["comparisons"]} >= {"exact_match", "loss", "stop_rate"}
    assert "tuned: answered 6 of 6" in out.err
    (run,) = list_runs(no_run_outlives / "evaluations")
    assert is_evaluation_only(run)
    assert told["dataset"] == "rows"
    before = (run.evaluations / "rows" / "answers" / "tuned.jsonl").read_bytes()
    assert main([*words, "--rows", "wrong"]) == 0
    again = capfd.readouterr().out
    assert "6 rows wrong:" in again
    assert "tuned" in again
    assert (run.evaluations / "rows" / "answers" / "tuned.jsonl").read_bytes() == before, "nothing was asked again"
    assert list_runs(no_run_outlives / "evaluations") == [run]
