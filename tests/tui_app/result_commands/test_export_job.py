"""`finetui export RECIPE --to slurm|skypilot`: what is written where, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.errors import DataError, RecipeError, RunDirError
from engine.foreign_code import confirm
from engine.jobs.engines import JOB_ENGINES
from engine.recipe import Recipe
from tui_app.command_modules import carry_out, job_parser

ROWS = "[model]\nname_or_path = 'some/model'\n[data]\ndataset = 'rows.jsonl'\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(ROWS)
    (tmp_path / "rows.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    return tmp_path


def test_a_preset_becomes_a_job_that_says_what_to_type_next(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert carry_out("export", ["demo-cpu", "--to", "slurm"]) == 0
    told = capsys.readouterr().out
    assert f"Next:  sbatch {here}/demo-cpu-slurm/job.sbatch" in told
    script = (here / "demo-cpu-slurm" / "job.sbatch").read_text()
    assert "gpus-per-node" not in script  # the preset is for a machine without one
    assert "#SBATCH --mem=" in script


def test_a_recipe_file_is_written_complete_with_its_rows_by_their_whole_path(here: Path) -> None:
    words = ["mine.toml", "--to", "slurm", "--set", "training.max_steps=7", "--gpus", "2", "-o", "job"]
    carry_out("export", [*words, "--set", "distributed.nproc_per_node=2", "--nodes", "3"])
    recipe = Recipe.load(here / "job" / "recipe.toml")
    assert (recipe.data.dataset, recipe.training.max_steps) == (str(here / "rows.jsonl"), 7)
    assert (recipe.distributed.nnodes, recipe.distributed.nproc_per_node) == (3, 2)
    assert "#SBATCH --nodes=3" in (here / "job" / "job.sbatch").read_text()


def test_what_was_written_is_told_to_a_program(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    carry_out("export", ["mine.toml", "--to=skypilot", "--gpus", "L4:1", "--json", "--name", "My Job"])
    told = json.loads(capsys.readouterr().out)
    assert (told["job"], told["engine"], told["files"]) == ("my-job", "skypilot", ["recipe.toml", "task.yaml"])
    assert told["command"] == ["sky", "launch", "-c", "my-job", str(here / "my-job-skypilot" / "task.yaml")]


def test_a_file_that_reads_otherwise_is_kept_unless_forced(here: Path) -> None:
    words = ["mine.toml", "--to", "slurm", "-o", "job"]
    carry_out("export", words)
    script = here / "job" / "job.sbatch"
    carry_out("export", words)  # the same again changes nothing
    script.write_text("mine now")
    with pytest.raises(RunDirError, match=r"another job\.sbatch"):
        carry_out("export", words)
    assert script.read_text() == "mine now"
    carry_out("export", [*words, "--force"])
    assert script.read_text().startswith("#!/bin/bash")


def test_a_job_whose_rows_are_not_there_is_not_written(here: Path) -> None:
    (here / "rows.jsonl").unlink()
    with pytest.raises(DataError):
        carry_out("export", ["mine.toml", "--to", "slurm", "-o", "job"])
    assert not (here / "job").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--to", "slrm"], "Did you mean slurm?"),
        (["--to", "gguf,slurm"], "Export it alone: --to slurm"),
        (["--to", "skypilot", "--device", "6GiB"], "Name a card"),
        (["--to", "skypilot", "--device", "t4", "--gpus", "0"], "Give one"),
        (["--to", "slurm", "--env-setup", "a\nb"], "Mend it"),
        (["--to", "slurm", "--nodes", "0"], "--nodes 1"),
    ],
)
@pytest.mark.usefixtures("here")
def test_nonsense_is_refused(words: list[str], told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        carry_out("export", ["mine.toml", *words])
    assert told in caught.value.remedy


@pytest.mark.usefixtures("here")
def test_a_misspelled_option_is_told_the_nearest_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        carry_out("export", ["mine.toml", "--to", "slurm", "--partitoin", "x"])
    assert "perhaps --partition is meant" in capsys.readouterr().err


@pytest.mark.parametrize("engine", JOB_ENGINES)
def test_the_options_of_a_scheduler_fit_a_screen(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = job_parser(engine).format_help().splitlines()
    assert len(lines) < 25
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("engine", JOB_ENGINES)
def test_code_of_a_model_is_confirmed_before_its_job_is_written_and_the_job_confirms_it_there(
    engine: str, here: Path
) -> None:
    words = ["mine.toml", f"--to={engine}", "--gpus=L4:1", "--set", "model.trust_remote_code=true", "-o", "job"]
    with pytest.raises(RecipeError, match="trust_remote_code"):
        carry_out("export", words)
    assert not (here / "job").exists()
    confirm("code", "some/model")
    carry_out("export", words)
    (script,) = (path for path in (here / "job").iterdir() if path.suffix in (".sbatch", ".yaml"))
    assert "finetui trust some/model > /dev/null" in script.read_text()
