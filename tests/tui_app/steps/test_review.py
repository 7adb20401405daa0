"""The review: everything before it is spent, at once and without a network; and the end of the steps."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from engine.errors import RecipeError
from engine.hardware import emulate, read_hardware
from engine.recipe import Recipe
from engine.units import GIB
from tui_app.fronts.review_text import fault_lines, faults, review_lines
from tui_app.steps.draft import Draft
from tui_app.steps.model_facts import licence_in, look_up, model_facts
from tui_app.steps.review import review
from tui_app.steps.starting import free_recipe_path, save_recipe, start

CPU = dataclasses.replace(
    read_hardware(), gpus=(), gpu_note="no NVIDIA card", ram_available_bytes=8 * GIB, cpu_flags=("avx2",)
)
DEMO = Draft("demo-cpu")


def test_a_good_draft_can_be_started_and_every_value_has_its_reason() -> None:
    seen = review(DEMO.with_answer("adapter.r", "8"), CPU)
    assert (seen.can_start, seen.is_sharp, seen.fault, seen.obstacle) == (True, False, "", "")
    reasons = {value.name: value.reason for value in seen.values}
    assert (reasons["r"], reasons["learning_rate"], reasons["use_dora"]) == ("you", "preset demo-cpu", "default")
    assert "CPU" in reasons["dtype"]
    assert "adapter" in reasons["optim"]
    assert seen.outlook is not None
    assert seen.outlook.plan.memory is not None
    assert seen.disk is not None
    assert seen.disk.needed_bytes == (seen.disk.checkpoint_bytes or 0) + (seen.disk.result_bytes or 0)


def test_what_keeps_a_run_from_starting_is_told_before() -> None:
    no_rows = review(Draft("trinity-gemma3-12b-16gb"), emulate(CPU, "t4"))
    assert not no_rows.can_start
    assert "there is no rows.jsonl" in no_rows.obstacle
    faulty = review(DEMO.with_answer("adapter.r", "0").with_answer("training.max_length", "x"), CPU)
    assert [each.field for each in faulty.problems] == ["adapter.r", "training.max_length"]
    assert (faulty.can_start, faulty.found) == (False, None)
    impossible = review(DEMO.with_answer("model.attn_implementation", "flash_attention_2"), CPU)
    assert "no NVIDIA card" in impossible.fault


def test_a_hub_model_that_is_not_here_is_not_asked_for(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"text": "a"}\n')
    draft = Draft().with_answer("model.name_or_path", "nobody/unknown").with_answer("data.dataset", str(rows))
    seen = review(draft, CPU)  # the fixture no_network fails the test if anything is sent
    assert seen.found is not None
    assert seen.found.recipe.model.offline is False
    assert seen.disk is not None
    assert (seen.disk.download_bytes, seen.disk.needed_bytes) == (None, None)
    assert "how much is not known yet" in " ".join(seen.model.sentences())


def test_the_review_as_text_names_faults_values_memory_ladder_time_disk_and_command() -> None:
    told = "\n".join(review_lines(review(DEMO, CPU)))
    for part in (
        "learning_rate",
        "peak allocated",
        "when memory runs out",
        "time",
        "disk: 0 B to download",
        "finetui replay demo-cpu",
    ):
        assert part in told
    told = "\n".join(fault_lines(faults(review(DEMO.with_answer("adapter.r", "0"), CPU))))
    assert "! Method: adapter.r: input should be greater" in told


def test_a_hostile_title_and_path_stay_on_their_line_and_are_drawn_literally() -> None:
    draft = DEMO.with_answer("title", '"[red]\\u001b[2J\\n\\u202e"').with_answer("run.root", '"/tmp/\\u001b[31m"')
    for line in review_lines(review(draft, CPU)):
        assert line.isprintable()


def test_the_facts_of_a_model_are_told_without_a_network() -> None:
    facts = model_facts(DEMO)
    assert (facts.kind, facts.licence, facts.download_bytes) == ("bundled", "Apache-2.0", 0)
    gemma = model_facts(Draft("nlcli-gemma3-1b"))
    assert (gemma.is_gated, gemma.is_estimated) == (True, True)
    assert gemma.download_bytes == 2 * (gemma.num_parameters or 0)
    assert "gated: accept its licence" in " ".join(gemma.sentences())
    missing = model_facts(Draft().with_answer("model.name_or_path", "./nowhere/model"))
    assert "There is no model at" in missing.fault
    assert model_facts(Draft()).sentences() == ("No model is named yet.",)


def test_looking_a_local_model_up_asks_nobody() -> None:
    assert look_up(DEMO) == model_facts(DEMO)


@pytest.mark.parametrize(
    ("name", "content", "licence"),
    [
        ("README.md", "---\nlicense: apache-2.0\n---\n", "apache-2.0"),
        ("README.md", "license: not in a header", None),
        ("config.json", '{"license": "mit"}', "mit"),
        ("config.json", "[", None),
    ],
)
def test_a_licence_is_read_from_a_model_folder(tmp_path: Path, name: str, content: str, licence: str | None) -> None:
    (tmp_path / name).write_text(content)
    assert licence_in(tmp_path) == licence


def test_a_saved_recipe_is_the_drafts_and_never_overwrites(tmp_path: Path) -> None:
    path = free_recipe_path(DEMO, tmp_path)
    assert Recipe.load(save_recipe(DEMO, path)) == DEMO.recipe()
    assert free_recipe_path(DEMO, tmp_path).name == "demo-cpu-2.toml"
    for wrong in (path, tmp_path, tmp_path / "no" / "folder.toml"):
        with pytest.raises(RecipeError):
            save_recipe(DEMO, wrong)


def test_a_card_that_is_gone_is_told_before_the_run_and_starts_nothing(own_machine: Path) -> None:
    gone = DEMO.with_answer("device", "GPU-gone")
    assert "GPU-gone that was chosen is not visible" in review(gone, CPU).fault
    with pytest.raises(RecipeError, match="not visible here"):
        start(gone, lambda _: None)
    assert not (own_machine / "runs").exists()
