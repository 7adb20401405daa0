"""Scores that were asked for after a run: every artifact on the same rows, other rows, other settings, other models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data.loading import Rows
from engine import requests
from engine.errors import RecipeError, RunDirError
from engine.evaluation.contenders import Contenders
from engine.evaluation.request import Asked
from engine.evaluation.row_sets import keep_rows, row_set
from engine.evaluation.targets import Subject, run_of, subject_of
from engine.evaluation.variants import Variant, file_type_of, gguf_name, variants_of
from engine.evaluation.worker import evaluate
from engine.events import VariantsCompared

# Of peft 0.21, with transformers 5.23; a run's own processes are started with it ignored.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
QUICK = Asked(metrics=("exact_match", "perplexity", "stop_rate", "answer_length"), max_new_tokens=6)


def score(made: Any, asked: Asked) -> None:
    """What the supervisor does with a request."""
    request = requests.add(made.run, "evaluate", "score", asked.to_json())
    assert evaluate(made.run, made.writer(), request.number) == 0


def save_merged(made: Any) -> Path:
    from engine.training.tokenizer_loading import load_tokenizer

    folder: Path = made.run.exports / "merged"
    Contenders(made.run, made.recipe, made.plan).tuned().save_pretrained(folder)
    load_tokenizer(Path(json.loads(made.run.model.read_text())["folder"])).save_pretrained(folder)
    return folder


def comparisons(made: Any) -> list[VariantsCompared]:
    return [event for event in made.events() if isinstance(event, VariantsCompared)]


def test_base_tuned_and_merged_model_stand_in_one_table_with_loss_length_and_intervals(rig: Callable[..., Any]) -> None:
    made = rig()
    save_merged(made)
    score(made, QUICK)
    assert [each.variant for each in made.scores()] == ["base_zero_shot", "base_examples", "tuned", "merged"]
    by_name = {each.variant: dict(each.scores) for each in made.scores()}
    for scores in by_name.values():
        assert list(scores) == ["loss", "perplexity", "stop_rate", "answer_length"]
        assert 0 <= scores["stop_rate"] <= 1
    assert by_name["merged"]["loss"] == pytest.approx(by_name["tuned"]["loss"], abs=2e-3)
    assert by_name["base_zero_shot"]["loss"] != pytest.approx(by_name["tuned"]["loss"], abs=0.05)
    assert all(low <= dict(each.scores)[name] <= high for each in made.scores() for name, low, high in each.intervals)
    said = {name: [answer["answer"] for answer in made.answers(name)] for name in ("tuned", "merged")}
    assert said["tuned"] == said["merged"]


def test_an_answer_tells_how_long_it_is_and_whether_the_model_ended_it(rig: Callable[..., Any]) -> None:
    made = rig(baselines=[])
    score(made, QUICK)
    answers = made.answers("tuned")
    assert len(answers) == 12
    for answer in answers:
        assert answer["ended"] == (answer["num_tokens"] < 6)
        assert answer["loss"] > 0
        assert answer["num_loss_tokens"] > 5
    assert max(answer["seconds"] for answer in answers) == pytest.approx(
        sum(answer["own_seconds"] for answer in answers), abs=0.02
    )


def test_the_tuned_model_is_compared_row_by_row_and_the_rows_are_written_down(rig: Callable[..., Any]) -> None:
    made = rig()
    save_merged(made)
    score(made, QUICK)
    told = comparisons(made)
    pairs = {(each.other, each.base) for each in told}
    assert len(pairs) == 3
    assert ("merged", "tuned") in pairs
    same = next(each for each in told if (each.other, each.base, each.metric) == ("merged", "tuned", "exact_match"))
    assert (same.num_better, same.num_worse, same.num_rows, same.p_value) == (0, 0, 12, 1.0)
    changed = next(each for each in told if each.other == "tuned" and each.metric == "loss")
    rows = json.loads((made.run.path / changed.rows_file).read_text())
    assert (len(rows["better"]), len(rows["worse"])) == (changed.num_better, changed.num_worse)
    assert changed.num_better + changed.num_worse == 12
    first = (rows["better"] or rows["worse"])[0]
    assert first["request"].startswith("please do number")
    assert {"line", "expected", "base_answer", "other_answer", "base_value", "other_value"} <= set(first)


def test_answers_that_are_there_are_used_again_unless_the_question_or_the_weights_changed(
    rig: Callable[..., Any],
) -> None:
    made = rig(baselines=[])
    score(made, Asked(variants=("tuned",), metrics=QUICK.metrics, max_new_tokens=6, max_rows=4))
    first = made.answers("tuned")
    score(made, Asked(variants=("tuned",), metrics=QUICK.metrics, max_new_tokens=6))
    assert made.answers("tuned")[:4] == first, "times and all"
    score(made, Asked(variants=("tuned",), metrics=QUICK.metrics, max_new_tokens=3))
    again = made.answers("tuned")
    assert len(again) == 12
    assert max(answer["num_tokens"] for answer in again) == 3
    before = {answer["asked"] for answer in again}
    (made.run.adapter / "adapter_config.json").touch()
    score(made, Asked(variants=("tuned",), metrics=QUICK.metrics, max_new_tokens=3))
    assert before.isdisjoint(answer["asked"] for answer in made.answers("tuned"))


def test_old_answers_stay_until_the_new_ones_are_whole(rig: Callable[..., Any]) -> None:
    made = rig(baselines=[])
    evaluate(made.run, made.writer())
    old = made.answers("tuned")
    (made.run.exports / "merged").mkdir(parents=True)
    (made.run.exports / "merged" / "config.json").write_text("{}")
    request = requests.add(made.run, "evaluate", "score", Asked(variants=("tuned",)).to_json())
    path = made.run.answers / "tuned.jsonl"
    path.with_suffix(".new").write_bytes(b"torn")
    assert evaluate(made.run, made.writer(), request.number) == 0
    new = made.answers("tuned")
    assert [answer["num_tokens"] for answer in old] == [None] * 12
    assert None not in [answer["num_tokens"] for answer in new]
    assert not path.with_suffix(".new").exists()


def test_a_stage_of_the_recipe_keeps_its_quick_way_and_tells_no_length(rig: Callable[..., Any]) -> None:
    made = rig()
    evaluate(made.run, made.writer())
    assert {answer["ended"] for answer in made.answers("tuned")} == {None}
    assert [each.scores for each in made.scores()] == [()] * 3
    assert {each.metric for each in comparisons(made)} == {"exact_match"}


def test_a_forced_request_answers_anew_but_goes_on_where_it_was_when_it_is_taken_up_again(
    rig: Callable[..., Any],
) -> None:
    made = rig(baselines=[])
    score(made, QUICK)
    forced = Asked(variants=("tuned",), metrics=QUICK.metrics, max_new_tokens=6, force=True)
    request = requests.add(made.run, "evaluate", "score", forced.to_json())
    path = made.run.answers / "tuned.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    evaluate(made.run, made.writer(), request.number)
    assert path.read_bytes() != b"".join(lines)
    anew = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(anew[:5]))
    evaluate(made.run, made.writer(), request.number)
    assert path.read_bytes().splitlines(keepends=True)[:5] == anew[:5]


def test_other_rows_in_any_format_are_scored_beside_the_test_split(rig: Callable[..., Any], tmp_path: Path) -> None:
    made = rig(baselines=[])
    rows = tmp_path / "Other rows.csv"
    rows.write_text("question,answer\nlist them,COMMAND: venvy ls\nscan it,COMMAND: venvy scan\n")
    name = keep_rows(made.run, Rows(str(rows)), {"dataset": str(rows)}, "Other rows")
    assert name == "other-rows"
    score(made, Asked(rows=name, metrics=QUICK.metrics, max_new_tokens=4))
    (told, *_) = made.scores()
    assert (told.dataset, told.num_rows) == ("other-rows", 2)
    assert told.answers_file == "evaluations/other-rows/answers/base_zero_shot.jsonl"
    kept = row_set(made.run, name, None)
    assert [each["question"] for each in kept.columns] == ["list them", "scan it"]
    assert kept.unseen == frozenset()


def test_answers_get_the_room_that_the_longest_expected_one_needs(rig: Callable[..., Any]) -> None:
    made = rig(baselines=[], max_new_tokens=2)
    score(made, Asked(variants=("tuned",), metrics=("answer_length",), max_rows=3))
    assert max(answer["num_tokens"] for answer in made.answers("tuned")) > 20


def test_rows_that_the_chat_template_refuses_are_left_out_with_a_warning(
    rig: Callable[..., Any], tmp_path: Path, tiny_model_of: Callable[[str], Path]
) -> None:
    made = rig(baselines=[])
    refusing = json.dumps({"folder": str(tiny_model_of("gemma3"))})  # takes no system message
    made.run.model.write_text(refusing)
    rows = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}]
    rows.append({"messages": [{"role": "system", "content": "s"}, *rows[0]["messages"]]})
    path = tmp_path / "some.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    name = keep_rows(made.run, Rows(str(path)), {}, "some")
    score(made, Asked(rows=name, variants=("base",), metrics=("exact_match",), max_new_tokens=2))
    assert [told.num_rows for told in made.scores()] == [1]
    assert made.warnings() == ["The model's chat template refuses 1 of the rows: not scored."]


def test_rows_of_another_source_get_a_name_of_their_own(rig: Callable[..., Any], tmp_path: Path) -> None:
    made = rig(baselines=[])
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "test.jsonl").write_text('{"prompt": "p", "completion": "c"}\n')
    first, second = (
        keep_rows(made.run, Rows(str(path)), {"dataset": str(path)}, "test")
        for path in (tmp_path / "a" / "test.jsonl", tmp_path / "b" / "test.jsonl")
    )
    assert (first, second) == ("test-1", "test-2"), "test alone is the run's own"
    again = keep_rows(
        made.run, Rows(str(tmp_path / "a/test.jsonl")), {"dataset": str(tmp_path / "a/test.jsonl")}, "test"
    )
    assert again == first
    with pytest.raises(RunDirError, match="no rows named 'absent'"):
        row_set(made.run, "absent", None)


def test_a_variant_that_is_not_there_is_refused_with_the_nearest(rig: Callable[..., Any]) -> None:
    made = rig()
    with pytest.raises(RecipeError, match="no variant 'tunde'") as refused:
        variants_of(made.run, made.recipe, Asked(variants=("tunde",)))
    assert "tuned" in refused.value.remedy
    with pytest.raises(RecipeError) as refused:
        variants_of(made.run, made.recipe, Asked(variants=("gguf",)))
    assert "finetui export" in refused.value.remedy


@pytest.mark.parametrize(
    ("file", "found"),
    [
        ("demo-1-Q4_K_M.gguf", "gguf-Q4_K_M"),
        ("demo-1-Q4_K_M-imatrix.gguf", "gguf-Q4_K_M-imatrix"),
        ("F16.gguf", "gguf-F16"),
        ("a model.gguf", "gguf-a-model"),
    ],
)
def test_a_gguf_file_is_called_by_its_type(file: str, found: str) -> None:
    assert gguf_name(Path(file)) == found
    assert file_type_of(Path("x-Q8_0.gguf")) == "Q8_0"


def test_a_gguf_file_of_the_merged_model_answers_and_loses_as_the_tuned_model_does(rig: Callable[..., Any]) -> None:
    from engine.gguf_writing.writing import write_gguf

    made = rig(baselines=[])
    merged = save_merged(made)
    made.run.exports.joinpath("gguf").mkdir()
    write_gguf(merged, made.run.exports / "gguf" / "tiny-F16.gguf", name="tiny")
    score(made, Asked(variants=("tuned", "gguf"), metrics=QUICK.metrics, max_new_tokens=6))
    assert [(each.variant, each.title) for each in made.scores()] == [("tuned", "tuned"), ("gguf-F16", "GGUF F16")]
    tuned, gguf = (dict(each.scores) for each in made.scores())
    assert gguf["loss"] == pytest.approx(tuned["loss"], abs=0.05)
    said = [{answer["row"]: answer["answer"] for answer in made.answers(name)} for name in ("tuned", "gguf-F16")]
    assert sum(said[0][row] == said[1][row] for row in range(12)) >= 11


def test_the_examples_in_front_of_a_question_are_not_scored(rig: Callable[..., Any]) -> None:
    made = rig()
    score(made, Asked(variants=("base",), metrics=("perplexity",), max_new_tokens=6))
    per_row = {
        name: {answer["row"]: answer["num_loss_tokens"] for answer in made.answers(name)}
        for name in ("base_zero_shot", "base_examples")
    }
    assert per_row["base_zero_shot"] == per_row["base_examples"]


def test_the_run_is_worked_on_by_names_of_variants_that_are_files_of_it() -> None:
    assert Variant("merged", "merged", "merged").is_tuned
    assert not Variant("base_zero_shot", "base", "base").is_tuned


def test_a_gguf_file_of_its_own_is_run_by_llama_cpp_alone_and_an_adapter_beside_its_base(
    rig: Callable[..., Any], tmp_path: Path, tiny_model_folder: Path
) -> None:
    made = rig()
    file = tmp_path / "some-Q8_0.gguf"
    file.write_bytes(b"GGUF")
    assert subject_of(str(file)) == Subject(str(file), gguf=str(file))
    (alone,) = variants_of(made.run, made.recipe, Asked(gguf=str(file)))
    assert (alone.name, alone.title, alone.path) == ("gguf-Q8_0", "some-Q8_0.gguf, llama.cpp", file)
    adapter = subject_of(str(made.run.adapter))
    assert adapter == Subject(str(tiny_model_folder), adapter=str(made.run.adapter)), "its run names the base"
    found = variants_of(made.run, made.recipe, Asked(adapter=adapter.adapter))
    assert [variant.kind for variant in found] == ["base", "base", "tuned"]
    assert run_of(str(made.run.path)) == made.run
    assert run_of(str(tiny_model_folder)) is None
