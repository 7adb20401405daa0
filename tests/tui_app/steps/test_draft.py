"""The draft: what answers add up to, what follows from them, and the sentence for a wrong one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import RecipeError
from engine.hardware import emulate, read_hardware
from engine.recipe import Recipe, field_names, values_of
from presets.preset import all_presets
from tui_app.recipe_values import as_text
from tui_app.steps.draft import Draft
from tui_app.steps.methods import fields_of_method, method_of
from tui_app.steps.sequence import STEPS, step_of

DEMO = Draft("demo-cpu")


@pytest.mark.parametrize("name", [each.name for each in all_presets()])
def test_a_draft_without_answers_is_its_preset_and_shows_its_values(name: str) -> None:
    draft = Draft(name)
    preset = next(each for each in all_presets() if each.name == name).recipe()
    kept = draft.with_answer("export.to", as_text(list(preset.export.to)))
    assert kept.recipe() == preset
    assert draft.value("model.name_or_path") == preset.model.name_or_path
    assert float(draft.value("training.learning_rate")) == preset.training.learning_rate
    assert draft.reason("model.name_or_path") == f"preset {name}"


@pytest.mark.parametrize("name", [each.name for each in all_presets()])
def test_every_value_that_is_shown_can_be_given_back_as_an_answer(name: str) -> None:
    draft = Draft(name)
    for step in STEPS:
        for question in step.questions:
            shown = draft.value(question.name)
            if question.name not in ("preset", "device", "size") and shown:
                assert draft.with_answer(question.name, shown).recipe() == draft.recipe(), question.name


def test_an_answer_is_kept_once_and_can_be_taken_back() -> None:
    draft = DEMO.with_answer("adapter.r", "8").with_answer("adapter.r", "4")
    assert (draft.answers, draft.value("adapter.r"), draft.reason("adapter.r")) == ((("adapter.r", "4"),), "4", "you")
    assert draft.without("adapter.r") == DEMO
    assert DEMO.with_answer("training.max_steps", "").value("training.max_steps") == ""


def test_a_wrong_answer_is_told_in_the_words_of_the_recipe() -> None:
    told = DEMO.problem("adapter.r", "0")
    with pytest.raises(RecipeError) as fault:
        Recipe.parse('[model]\nname_or_path="m"\n[data]\ndataset="d"\n', overrides=["adapter.r=0"])
    assert told in fault.value.happened
    assert DEMO.problem("adapter.r", "8") == ""


def test_faults_between_fields_are_told_where_they_arise() -> None:
    assert "leaves no rows to train on" in DEMO.problem("data.test_fraction", "0.99")
    assert "no test split" in DEMO.problem("data.test_fraction", "0")


def test_a_model_or_rows_that_are_not_there_are_told_at_once() -> None:
    assert "There is no model at" in DEMO.problem("model.name_or_path", "./nowhere/x")
    assert "there is no rows.jsonl" in DEMO.problem("data.dataset", "rows.jsonl")


def test_other_rows_take_back_what_described_the_presets_rows_and_say_so(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_text("{}")
    draft = DEMO.with_answer("data.dataset", str(tmp_path / "mine.jsonl"))
    recipe = draft.recipe()
    assert (recipe.data.system, recipe.evaluation.answer_pattern, recipe.data.unseen_answers) == (None, None, 0)
    assert recipe.evaluation.baselines == ["zero_shot"]
    assert recipe.title == "smollm2-135m-instruct on mine.jsonl"
    assert "base's own rows" in draft.reason("data.system")
    assert draft.with_answer("data.system", "Mine.").recipe().data.system == "Mine."


def test_full_training_takes_a_tenth_of_the_learning_rate_and_leaves_rungs_out_that_need_an_adapter() -> None:
    draft = Draft("trinity-gemma3-12b-16gb").with_answer("method", "full")
    recipe = draft.recipe()
    assert (recipe.training.learning_rate, recipe.ladder.costly) == (2e-5, ["halve_max_length"])
    assert "a tenth" in draft.reason("training.learning_rate")
    assert "can never be taken" in draft.reason("ladder.costly")
    assert draft.with_answer("training.learning_rate", "1e-3").recipe().training.learning_rate == 1e-3


def test_a_preset_that_wants_an_export_keeps_it_where_it_can_be_made() -> None:
    draft = Draft("nlcli-gemma3-1b")
    assert draft.recipe().export.to == ["gguf"]
    assert "export.to" not in draft.command()


def test_a_base_that_wants_an_export_drops_it_with_a_reason_where_it_cannot_be_made(tmp_path: Path) -> None:
    base = tmp_path / "base.toml"
    rows = '[data]\ndataset = "generator:venvy"\n'
    base.write_text(f'[model]\nname_or_path = "google/gemma-3-270m"\n{rows}[export]\nto = ["adapter"]\n')
    draft = Draft(str(base)).with_answer("method", "full")
    assert draft.recipe().export.to == []
    assert "there is no adapter" in draft.reason("export.to")
    assert "--set 'export.to=[]'" in draft.command()


@pytest.mark.parametrize("name", ["full", "lora", "qlora", "rslora", "dora", "qlora+rslora+dora", "rslora+dora"])
def test_a_method_is_three_fields_and_back(name: str) -> None:
    draft = DEMO.with_answer("method", name)
    adapter = draft.recipe().adapter
    assert method_of(adapter.method, adapter.use_rslora, adapter.use_dora) == name


@pytest.mark.parametrize("name", ["", "lorax", "full+dora", "lora+qlora", "dora+dora", "full+lora"])
def test_what_is_no_method_is_answered_with_those_there_are(name: str) -> None:
    assert fields_of_method(name) == {}
    assert "There are full, lora, qlora" in DEMO.problem("method", name)
    with pytest.raises(RecipeError, match="no way of training"):
        DEMO.with_answer("method", name).recipe()


def test_a_base_that_is_gone_is_a_problem_and_never_a_crash() -> None:
    draft = Draft("gone.toml").with_answer("adapter.r", "8")
    assert [each.field for each in draft.problems()] == ["preset"]
    assert draft.value("adapter.r") == "8"
    assert draft.reason("training.seed") == "default"
    assert "no preset, recipe file or run" in draft.problem("preset", "also-gone.toml")


def test_a_recipe_file_can_be_the_base(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[model]\nname_or_path = "bundled:smollm2-135m-instruct"\n[data]\ndataset = "generator:venvy"\n')
    draft = Draft(str(path)).with_answer("adapter.r", "4")
    assert draft.source().base_dir == tmp_path
    assert draft.command() == f"finetui replay {path} --set adapter.r=4"


def test_ones_own_draft_says_what_lacks_by_field() -> None:
    assert [each.field for each in Draft().problems()] == ["model.name_or_path", "data.dataset"]


def test_the_device_is_no_part_of_the_recipe_but_of_the_command() -> None:
    here = emulate(dataclasses.replace(read_hardware(), gpus=()), "t4")
    card = dataclasses.replace(here.gpus[0], uuid="GPU-1")
    here = dataclasses.replace(here, gpus=(card, dataclasses.replace(card, uuid="GPU-2", index=1)))
    assert DEMO.with_answer("device", "GPU-2").hardware(here).gpus[0].uuid == "GPU-2"
    assert DEMO.with_answer("device", "cpu").hardware(here).gpus == ()
    assert DEMO.with_answer("device", "cpu").recipe() == DEMO.recipe()
    assert DEMO.with_answer("device", "GPU-2").command() == "CUDA_VISIBLE_DEVICES=GPU-2 finetui replay demo-cpu"
    assert DEMO.with_answer("device", "cpu").command().startswith("CUDA_VISIBLE_DEVICES='' ")


texts = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\n\t"), min_size=1)
values = (
    st.tuples(st.just("data.system"), texts)
    | st.tuples(st.just("adapter.target_modules"), st.lists(texts))
    | st.tuples(st.just("data.columns"), st.dictionaries(texts, texts))
    | st.tuples(st.just("training.max_steps"), st.integers(1, 10**9))
    | st.tuples(st.just("data.completion_only_loss"), st.booleans())
    | st.tuples(st.just("training.learning_rate"), st.floats(1e-12, 1e12))
)


@given(value=values)
@settings(deadline=None)
def test_a_value_written_as_text_is_read_back_as_itself(value: tuple[str, object]) -> None:
    name, meant = value
    section, _, key = name.partition(".")
    assert values_of("", overrides=[f"{name}={as_text(meant)}"])[section][key] == meant


def test_every_question_is_a_field_or_one_of_ours_and_has_a_sentence() -> None:
    for step in STEPS:
        for question in step.questions:
            assert question.help, question.name
            assert question.name in {*field_names(), "preset", "device", "size", "method", "use_case"}
            assert step_of(question.name) is step
