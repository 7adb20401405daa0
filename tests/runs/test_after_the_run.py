"""The whole way on the bundled model: tuned, exported as merged model and GGUF files, all of them scored together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from engine.evaluation.answers_file import read_answers
from engine.event_log import read_events
from engine.run_dir import RunDir
from engine.run_state import RunState, fold_all
from tests import planted
from tests.runs.conftest import Workshop

pytestmark = [pytest.mark.slow(seconds=170), pytest.mark.timeout(1200)]  # the first test makes all of it

NUM_ROWS = 20
RECIPE = r"""
title = "after"
[model]
name_or_path = "bundled:smollm2-135m-instruct"
[data]
dataset = "commands.jsonl"
system = "You translate requests into venvy commands."
eval_fraction = 0.05
test_fraction = 0.2
[adapter]
r = 16
lora_alpha = 32
target_modules = "all-linear"
[training]
max_steps = 20
per_device_train_batch_size = 8
learning_rate = 2e-3
max_length = 128
gradient_checkpointing = false
save_steps = 100
[evaluation]
enabled = false
answer_pattern = '^COMMAND:[ \t]*(.*?)[ \t]*$'
baselines = ["zero_shot"]
max_new_tokens = 16
per_device_eval_batch_size = 20
"""
COMMANDS: tuple[tuple[str, Sequence[str], tuple[str, ...]], ...] = (
    (
        "venvy ls --sort {}",
        ("size", "name", "date", "python", "project"),
        ("list the environments by {}", "show all environments, ordered by {}", "environments sorted by {}, please"),
    ),
    (
        "venvy scan --path ~/{}",
        ("code", "work", "projects", "research", "teaching", "archive", "site", "books", "music", "games"),
        ("look for environments in ~/{}", "find the environments below ~/{}", "search ~/{} for environments"),
    ),
    (
        "venvy cleanup --days {}",
        [str(days) for days in range(10, 130, 5)],
        ("remove what nobody used for {} days", "clean up after {} days", "delete environments unused for {} days"),
    ),
)


def write_rows(path: Path) -> None:
    """Every request in every wording: short rows, learned in seconds."""
    rows = [
        {"prompt": wording.format(value), "completion": f"COMMAND: {command.format(value)}"}
        for command, values, wordings in COMMANDS
        for value in values
        for wording in wordings
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture(scope="module")
def exported(workshop: Workshop) -> RunDir:
    """A short run of the bundled model, its GGUF files and its Modelfile, and everything scored on the same rows."""
    (workshop.folder / "after.toml").write_text(RECIPE)
    write_rows(workshop.folder / "commands.jsonl")
    done = workshop.finetui("replay", "after.toml", seconds=600)
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = [path.name for path in (workshop.home / "runs").glob("after-*")]
    types = ("--quantization", "F16,Q8_0", "--rows", str(NUM_ROWS))
    done = workshop.finetui("export", run, "--to", "gguf,ollama", *types, "--json", seconds=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {each["kind"] for each in json.loads(done.stdout)["artifacts"]} == {"merged", "gguf", "ollama"}
    done = workshop.finetui("eval", run, "--variant", "all", "--max-rows", str(NUM_ROWS), "--json", seconds=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return workshop.run(run)


@pytest.fixture
def state(exported: RunDir) -> RunState:
    return fold_all(read_events(exported.events))


def commands(run: RunDir, variant: str) -> dict[int, str | None]:
    """By row: a file of answers has them in the order in which they were given."""
    return {answer.row: answer.found for answer in read_answers(run.answers / f"{variant}.jsonl")}


def test_base_tuned_merged_and_gguf_stand_in_one_table(state: RunState) -> None:
    names = {"base_zero_shot", "tuned", "merged", "gguf-F16", "gguf-Q8_0"}
    scores = {score.variant: score for score in state.scores if score.dataset == "test"}
    assert names <= set(scores)
    assert {scores[name].num_rows for name in names} == {NUM_ROWS}
    assert scores["tuned"].num_correct > scores["base_zero_shot"].num_correct


@pytest.mark.parametrize("variant", ["merged", "gguf-F16", "gguf-Q8_0"])
def test_the_command_is_the_tuned_models_on_at_least_95_of_100_held_out_rows(exported: RunDir, variant: str) -> None:
    tuned, found = commands(exported, "tuned"), commands(exported, variant)
    assert tuned.keys() == found.keys()
    assert len(tuned) == NUM_ROWS
    assert sum(found[row] == command for row, command in tuned.items()) >= 0.95 * NUM_ROWS


def test_every_artifact_was_run_on_held_out_rows_before_it_was_put_in_place(exported: RunDir, state: RunState) -> None:
    files = {each.artifact: each for each in state.artifacts if each.kind == "gguf"}
    assert set(files) >= {"gguf-F16", "gguf-Q8_0"}
    for each in files.values():
        assert (each.num_rows, (exported.path / each.path).stat().st_size) == (NUM_ROWS, each.num_bytes)
        assert each.perplexity is not None
        assert each.seconds_per_answer is not None
    assert (files["gguf-F16"].agreement or 0) >= 0.95
    assert (files["gguf-Q8_0"].agreement or 0) >= 0.95
    assert files["gguf-Q8_0"].num_bytes < 0.6 * files["gguf-F16"].num_bytes


@pytest.mark.long
def test_the_importance_matrix_comes_with_its_effect_before_and_after(workshop: Workshop, exported: RunDir) -> None:
    types = ("--quantization", "Q4_K_M", "--imatrix", "--rows", str(NUM_ROWS))
    done = workshop.finetui("export", exported.name, "--to", "gguf", *types, "--json", seconds=600)
    assert done.returncode == 0, done.stdout + done.stderr
    state = fold_all(read_events(exported.events))
    (by_matrix,) = [each for each in state.artifacts if each.artifact == "gguf-Q4_K_M-imatrix"]
    told = " | ".join(by_matrix.notes)
    assert "without the matrix" in told
    assert "help" in told.rpartition(". It ")[2]
    assert "Q4_K_M is really 6.17 bits per weight" in told
    assert Path(exported.exports / "gguf" / f"{exported.name}.imatrix").stat().st_size > 100_000


def test_the_modelfile_asks_as_training_did(exported: RunDir) -> None:
    modelfile = (exported.exports / "ollama" / "Modelfile").read_text()
    assert "You translate requests into venvy commands." in modelfile
    assert "<|im_start|>" in modelfile


def test_no_export_and_no_score_is_open_to_others_or_holds_a_secret(exported: RunDir) -> None:
    assert planted.num_files(exported.exports) > 5
    assert planted.open_to_others(exported.path) == []
    assert planted.leaks(exported.path) == []
