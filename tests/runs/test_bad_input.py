"""What cannot work ends early, with the exit code of its kind, and says what to do."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.slow(seconds=20)


def test_a_wrong_recipe_lists_every_fault_and_starts_nothing(workshop: Any) -> None:
    done = workshop.finetui(
        "replay", "tiny.toml", "--set", "training.learning_rat=1", "--set", "adapter.r=0", "--set", "run.name=wrong"
    )
    assert done.returncode == 2
    assert "training.learning_rate?" in done.stderr
    assert "adapter.r" in done.stderr
    assert not list((workshop.home / "runs").glob("wrong-*"))


def test_rows_that_cannot_be_read_end_the_run_with_exit_code_3(workshop: Any) -> None:
    (workshop.folder / "broken.jsonl").write_text('{"prompt": "a"\nnot json\n')
    done = workshop.finetui("replay", "tiny.toml", "--set", "data.dataset=broken.jsonl", "--set", "run.name=broken")
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_rows_longer_than_max_length_are_refused_where_the_recipe_says_so(workshop: Any) -> None:
    done = workshop.finetui(
        "replay",
        "tiny.toml",
        "--set",
        "training.max_length=8",
        "--set",
        "data.on_overflow=refuse",
        "--set",
        "run.name=long",
    )
    assert done.returncode == 3, done.stdout + done.stderr


def test_a_model_that_is_not_there_ends_with_exit_code_4(workshop: Any) -> None:
    done = workshop.finetui("replay", "tiny.toml", "--set", "model.name_or_path=./no-such-model", "--set", "run.name=x")
    assert done.returncode == 4
    assert "no-such-model" in done.stderr


def test_a_hub_model_that_is_not_cached_is_named_with_the_way_to_get_it(workshop: Any) -> None:
    done = workshop.finetui(
        "replay",
        "tiny.toml",
        "--set",
        "model.name_or_path=google/gemma-3-270m",
        "--set",
        "model.offline=true",
        "--set",
        "run.name=offline",
    )
    assert done.returncode == 4, done.stdout + done.stderr
    assert "google/gemma-3-270m" in done.stdout


def test_an_export_that_cannot_be_made_is_said_before_training(workshop: Any) -> None:
    full = ("--set", "adapter.method=full", "--set", "training.optim=adamw_torch")
    done = workshop.finetui("replay", "tiny.toml", *full, "--set", 'export.to=["adapter"]')
    assert done.returncode == 2
    assert "there is no adapter" in done.stderr
