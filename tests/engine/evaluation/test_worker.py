"""The evaluation stage on a trained run: variants in order, answers on disk, events in the log."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from data.conversation import Conversation, Message, PlainText, single_turn
from engine.environment import worker_command
from engine.evaluation.worker import evaluate
from engine.events import EvaluationProgressed

# Of peft 0.21, with transformers 5.23; a run's own processes are started with it ignored.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def test_base_and_tuned_model_become_lines_of_the_result_table(rig: Callable[..., Any]) -> None:
    made = rig()
    assert evaluate(made.run, made.writer()) == 0
    scores = made.scores()
    assert [(score.variant, score.title) for score in scores] == [
        ("base_zero_shot", "base, zero-shot"),
        ("base_examples", "base, 3 examples in the prompt"),
        ("tuned", "tuned"),
    ]
    for score in scores:
        assert (score.metric, score.num_rows, score.unseen_rows) == ("exact_match", 12, 2)
        assert score.groups == (("ls", 4, 0), ("scan", 4, 0), ("stats", 4, 0))
        assert score.low <= score.num_correct / 12 <= score.high
        assert score.answers_file == f"answers/{score.variant}.jsonl"
        assert len(made.answers(score.variant)) == 12
    assert made.warnings() == []
    assert json.loads((made.run.answers / "done.json").read_text())["rows"] == 12


def test_progress_ends_with_every_row_of_every_variant(rig: Callable[..., Any]) -> None:
    made = rig()
    evaluate(made.run, made.writer())
    progress = [event for event in made.events() if isinstance(event, EvaluationProgressed)]
    last = {event.variant: (event.num_done, event.num_rows) for event in progress}
    assert last == {"base_zero_shot": (12, 12), "base_examples": (12, 12), "tuned": (12, 12)}


def test_an_answer_tells_its_row_and_what_was_compared(rig: Callable[..., Any]) -> None:
    made = rig(baselines=[])
    evaluate(made.run, made.writer())
    assert [score.variant for score in made.scores()] == ["tuned"]
    answers = sorted(made.answers("tuned"), key=lambda answer: answer["row"])
    assert [answer["line"] for answer in answers] == list(range(101, 113))
    assert [answer["line"] for answer in answers if answer["unseen"]] == [101, 112]
    first = answers[0]
    assert first["request"].startswith("please do number 101")
    assert (first["wanted"], first["found"], first["group"]) == ("venvy stats", None, "stats")


def test_tuned_and_base_answer_differently_and_the_tuned_one_as_its_adapter_does(rig: Callable[..., Any]) -> None:
    from engine.evaluation.contenders import Contenders, with_adapter
    from engine.evaluation.generation import Limits, generate
    from engine.evaluation.prompts import question
    from engine.training.rendering import Renderer
    from engine.training.tokenizer_loading import load_tokenizer

    made = rig()
    evaluate(made.run, made.writer())
    tokenizer = load_tokenizer(made.run.path / json.loads(made.run.model.read_text())["folder"])
    renderer = Renderer(tokenizer, "chat", True)
    model = with_adapter(Contenders(made.run, made.recipe, made.plan).base(), made.run.adapter, merge=False)
    rows = [json.loads(line) for line in (made.run.dataset / "test.jsonl").read_text().splitlines()]
    prompts = [renderer.prompt_ids(question(Conversation.from_json(row))) for row in rows]
    limits = Limits(frozenset(renderer.stop_ids()), max_new_tokens=6, batch_size=1, pad_id=0)
    expected = {row: tokenizer.decode(ids, skip_special_tokens=True) for row, ids in generate(model, prompts, limits)}
    assert {answer["row"]: answer["answer"] for answer in made.answers("tuned")} == expected
    assert {answer["row"]: answer["answer"] for answer in made.answers("base_zero_shot")} != expected


def test_a_stage_that_was_killed_goes_on_where_it_was(rig: Callable[..., Any]) -> None:
    made = rig()
    evaluate(made.run, made.writer())
    whole, first = made.answers("base_examples"), made.scores()
    path = made.run.answers / "base_examples.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:5]) + lines[5][:40])
    (made.run.answers / "tuned.jsonl").unlink()
    kept = path.read_bytes()[: len(b"".join(lines[:5]))]
    assert evaluate(made.run, made.writer()) == 0
    assert path.read_bytes().startswith(kept)
    texts = {answer["row"]: answer["answer"] for answer in whole}
    assert {answer["row"]: answer["answer"] for answer in made.answers("base_examples")} == texts
    again = made.scores()[3:]
    assert [(score.variant, score.num_correct) for score in again] == [(s.variant, s.num_correct) for s in first]


def test_an_answer_equal_to_the_expected_one_is_counted_as_correct(rig: Callable[..., Any]) -> None:
    made = rig(baselines=[], answer_pattern=None, group_pattern=None)
    evaluate(made.run, made.writer())
    said = {answer["line"]: answer["answer"] for answer in made.answers("tuned")}
    test = [json.loads(line) for line in (made.run.dataset / "test.jsonl").read_text().splitlines()]
    for row in test[:7]:
        row["messages"][-1]["content"] = said[row["line"]]
    (made.run.dataset / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in test))
    (made.run.answers / "tuned.jsonl").unlink()
    evaluate(made.run, made.writer())
    assert (made.scores()[-1].num_correct, made.scores()[-1].num_rows) == (7, 12)
    assert made.scores()[-1].unseen_correct == 1


def test_only_the_first_rows_are_scored_when_the_recipe_limits_them(rig: Callable[..., Any]) -> None:
    made = rig(baselines=[], max_rows=5)
    evaluate(made.run, made.writer())
    assert sorted(answer["line"] for answer in made.answers("tuned")) == [101, 102, 103, 104, 105]


def test_whole_answers_are_kept_and_rated_where_overlap_is_asked_for(rig: Callable[..., Any]) -> None:
    made = rig(baselines=["zero_shot"], metrics=["exact_match", "rouge", "bleu"])
    evaluate(made.run, made.writer())
    for score in made.scores():
        assert [name for name, _ in score.scores] == ["rouge1", "rouge2", "rougeL", "bleu"]
        assert all(0 <= value <= 1 for _, value in score.scores)


@pytest.mark.parametrize("rendering", ["chat", "plain"])
def test_rows_of_several_turns_are_asked_for_their_last_answer(rig: Callable[..., Any], rendering: str) -> None:
    turns = (Message("user", "a"), Message("assistant", "b"), Message("user", "c"), Message("assistant", "d"))
    made = rig(test=[Conversation(turns, 4)], rendering=rendering)
    evaluate(made.run, made.writer())
    assert [(answer["request"], answer["expected"]) for answer in made.answers("tuned")] == [("c", "d")]
    assert [score.groups for score in made.scores()] == [(("other", 1, 0),)] * 3


def test_plain_text_rows_are_left_out_with_a_warning(rig: Callable[..., Any]) -> None:
    made = rig(test=[PlainText("once upon a time", 1), single_turn("list them", "COMMAND: venvy ls", 2)])
    evaluate(made.run, made.writer())
    assert made.warnings() == ["1 of 2 test rows ask nothing, so they are not scored."]
    assert [score.num_rows for score in made.scores()] == [1, 1, 1]


def test_a_test_split_without_a_row_to_score_ends_the_stage_with_a_warning(rig: Callable[..., Any]) -> None:
    made = rig(test=[PlainText("once upon a time", 1)])
    assert evaluate(made.run, made.writer()) == 0
    assert "no result table" in made.warnings()[-1]
    assert made.scores() == []
    assert json.loads((made.run.answers / "done.json").read_text()) == {"variants": [], "rows": 0}


def test_a_prompt_longer_than_the_context_counts_as_wrong_and_is_told(rig: Callable[..., Any]) -> None:
    long = single_turn("now " * 600, "COMMAND: venvy ls", 1)
    made = rig(test=[long, single_turn("list them", "COMMAND: venvy ls", 2)], baselines=[])
    evaluate(made.run, made.writer())
    assert made.warnings() == ["tuned: 1 prompts do not fit the model's 512 tokens; they count as wrong."]
    assert {answer["line"]: answer["answer"] == "" for answer in made.answers("tuned")}[1]


def test_a_whole_trained_model_is_scored_too(rig: Callable[..., Any]) -> None:
    made = rig(method="full", baselines=["zero_shot"])
    evaluate(made.run, made.writer())
    base, tuned = ([answer["answer"] for answer in made.answers(name)] for name in ("base_zero_shot", "tuned"))
    assert len(tuned) == 12
    assert tuned != base


def test_the_stage_runs_as_a_process_of_its_own(rig: Callable[..., Any]) -> None:
    made = rig(baselines=["zero_shot"], autocast="bfloat16")
    command = worker_command("engine.evaluation.worker", str(made.run.path), str(os.getpid()))
    done = subprocess.run(command, cwd=made.run.path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [score.variant for score in made.scores()] == ["base_zero_shot", "tuned"]
    assert (made.run.answers / "done.json").exists()


def test_a_run_whose_adapter_is_damaged_ends_with_its_reason_in_the_log(rig: Callable[..., Any]) -> None:
    made = rig(baselines=[])
    (made.run.adapter / "adapter_model.safetensors").write_bytes(b"\x10")
    command = worker_command("engine.evaluation.worker", str(made.run.path), str(os.getpid()))
    done = subprocess.run(command, cwd=made.run.path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 9, done.stderr
    assert "adapter" in made.events()[-1].happened
    assert not (made.run.answers / "done.json").exists()


@pytest.mark.parametrize("kind", ["a 4-bit base", "DoRA"])
def test_an_adapter_that_is_not_merged_is_scored_beside_its_base(rig: Callable[..., Any], kind: str) -> None:
    made = rig(method="qlora") if kind == "a 4-bit base" else rig(use_dora=True)
    evaluate(made.run, made.writer())
    base, tuned = ([row["answer"] for row in made.answers(name)] for name in ("base_zero_shot", "tuned"))
    assert len(tuned) == 12
    assert tuned != base
