"""A Slurm job: what its directives say, what is refused. Whether Slurm takes it: tests/runs/test_slurm_job.py."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from engine.errors import RecipeError
from engine.jobs.job import Job, JobFiles, Needs
from engine.jobs.slurm import make
from engine.recipe import Recipe
from engine.units import GIB

VALUES: dict[str, Any] = {"model": {"name_or_path": "some/model"}, "data": {"dataset": "/data/rows.jsonl"}}


def job(*, uses_card: bool = True, **distributed: Any) -> Job:
    recipe = Recipe.from_values(VALUES | {"distributed": distributed})
    needs = Needs(uses_card, int(9.5 * GIB), ("t4", "l4"))
    return Job("tiny", Path("/jobs/tiny"), recipe, needs, ("/opt/a b/finetui",), "0.1.0", Path("/home/me/runs"))


def directives(made: JobFiles) -> dict[str, str]:
    lines = [line for line in made.files["job.sbatch"].splitlines() if line.startswith("#SBATCH --")]
    return dict(line.removeprefix("#SBATCH --").partition("=")[::2] for line in lines)


def test_a_job_without_options_takes_one_card_saves_before_its_limit_and_may_be_queued_again() -> None:
    made = make(job(), {})
    told = directives(made)
    assert (told["nodes"], told["ntasks-per-node"], told["gpus-per-node"], told["mem"]) == ("1", "1", "1", "10G")
    assert told["signal"] == "B:USR1@300"
    assert {"requeue", "open-mode"} <= set(told)
    assert "partition" not in told
    assert made.command == ("sbatch", "/jobs/tiny/job.sbatch")
    assert any("/data/rows.jsonl" in note for note in made.notes)


def test_the_options_are_the_directives_and_the_recipe_says_how_many_hosts_and_cards() -> None:
    settings: dict[str, Any] = {
        "partition": "gpu",
        "account": "lab-7",
        "time": "1-12:00:00",
        "grace": "120",
        "cpus": "12",
        "mem": "64GiB",
        "gpus": "a100:4",
        "run_root": "/shared/my runs",
        "env_setup": ["module load cuda/12"],
    }
    distributed = {"nnodes": 2, "nproc_per_node": 4, "rdzv_endpoint": "first-host:29400"}
    made = make(job(**distributed), settings)
    told = directives(made)
    assert (told["nodes"], told["gpus-per-node"], told["cpus-per-task"], told["mem"]) == ("2", "a100:4", "12", "64G")
    assert (told["time"], told["signal"], told["account"]) == ("1-12:00:00", "B:USR1@120", "lab-7")
    script = made.files["job.sbatch"]
    assert "run_root='/shared/my runs'" in script
    assert script.index("module load cuda/12") < script.index("finetui() {")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"gpus": "4"}, "--set distributed.nproc_per_node=4"),
        ({"gpus": "four cards"}, "--gpus a100:2"),
        ({"mem": "64"}, "--mem 64G"),
        ({"time": "two days"}, "1-12:00:00"),
        ({"partition": "gpu\n#SBATCH --wrap=x"}, "letters, digits"),
        ({"cpus": "0"}, "--cpus 1"),
        ({"grace": "5"}, "--grace 30"),
    ],
)
def test_an_option_that_cannot_be_applied_is_refused_with_what_to_type(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        make(job(), settings)
    assert told in caught.value.remedy


def test_a_number_of_cards_is_asked_for_where_the_recipe_takes_every_card() -> None:
    with pytest.raises(RecipeError, match="takes every card"):
        make(job(nproc_per_node="auto"), {})
    assert directives(make(job(nproc_per_node="auto"), {"gpus": "8"}))["gpus-per-node"] == "8"


def test_a_job_without_cards_asks_for_none() -> None:
    assert "gpus-per-node" not in directives(make(job(uses_card=False), {}))
    assert "gpus-per-node" not in directives(make(job(), {"gpus": "0"}))


def test_bash_reads_the_script_and_the_recipe_is_complete(tmp_path: Path) -> None:
    made = make(job(), {"env_setup": ["source /opt/env/bin/activate"]})
    script = tmp_path / "job.sbatch"
    script.write_text(made.files["job.sbatch"])
    assert subprocess.run(["bash", "-n", str(script)], capture_output=True, check=False).stderr == b""
    assert Recipe.parse(made.files["recipe.toml"]) == Recipe.from_values(VALUES)
