"""Why runs failed: recorded ones, and records with the common troubles. Every command is tried on its parser."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from engine.doctor.failed_runs import failed_run
from engine.doctor.finding import Finding
from engine.event_log import EventWriter
from engine.events import RunFailed
from engine.hardware import Hardware, emulate, read_hardware
from engine.recipe import Recipe
from engine.run_dir import RunDir
from tui_app.cli import build_parser

RECORDED = Path(__file__).resolve().parents[2] / "recorded" / "runs"
FAULTS = {
    "licence": (
        "ModelError",
        "google/gemma-3-1b-it is gated: the hub refused it (HTTP 403).",
        "1. Accept the licence at https://huggingface.co/google/gemma-3-1b-it  2. Log in with `hf auth login`.",
    ),
    "pad token": (
        "ModelError",
        "The tokenizer has no padding token and no end-of-text token.",
        "Use the model's own tokenizer files, with tokenizer_config.json.",
    ),
    "diverged": ("DivergedError", "Training diverged at step 4.", ""),
    "disk": ("RunDirError", "The disk is full.", "Free space on that disk."),
    "rows": ("DataError", "rows.jsonl, line 4: no answer.", "Look at the line."),
}


@pytest.fixture(scope="module")
def bare() -> Hardware:
    """This machine without a card."""
    return Hardware.from_json(read_hardware().to_json() | {"gpus": [], "gpu_note": "No NVIDIA card"})


def recorded(name: str, folder: Path) -> RunDir:
    return RunDir(Path(shutil.copytree(RECORDED / name, folder / name)))


def parses(command: str, run: RunDir) -> str:
    """The command's last part as the program itself understands it; its overrides are applied to the run's recipe."""
    words = shlex.split(command.split(" && ")[-1])
    assert words[0] == "finetui"
    options = build_parser().parse_args(words[1:])
    if overrides := getattr(options, "set", []):
        Recipe.load(run.recipe, overrides=overrides)
    return str(options.command)


def failed_with(kind: str, folder: Path) -> RunDir:
    run = recorded("died", folder)
    error, happened, remedy = FAULTS[kind]
    event = RunFailed(error=error, exit_code=4, happened=happened, means="", remedy=remedy)
    EventWriter(run.event_file("supervisor")).write(event)
    return run


def only(run: RunDir, hardware: Hardware) -> Finding:
    """The finding of how a run ended."""
    return next(failed_run(run, hardware))


def test_memory_that_ran_out_under_the_recipes_own_cap_is_answered_with_a_cap_that_is_enough(
    tmp_path: Path, bare: Hardware
) -> None:
    run = recorded("failed", tmp_path)

    found = only(run, bare)

    assert found.status == "fail"
    assert found.remedy.startswith("Out of memory under its own cap, 300MiB; 840 MiB are needed.")
    assert found.command == f"finetui replay {run.path} --set memory.limit=1GiB"
    assert parses(found.command, run) == "replay"


def test_memory_that_ran_out_without_a_cap_is_answered_with_rungs_to_allow(tmp_path: Path, bare: Hardware) -> None:
    run = recorded("failed", tmp_path)
    run.recipe.write_text(re.sub('limit = "300MiB"\n', "", run.recipe.read_text()))

    found = only(run, bare)

    assert """--set 'ladder.costly=["halve_rank","only_q_and_v"]'""" in found.command, "those that could be taken"
    assert parses(found.command, run) == "replay"
    allowed = run.recipe.read_text().replace("costly = []", 'costly = ["halve_rank", "only_q_and_v"]')
    run.recipe.write_text(allowed)
    assert only(run, bare).command.endswith("--set training.max_length=64")


def test_a_run_that_died_goes_on_from_its_checkpoint(tmp_path: Path, bare: Hardware) -> None:
    run = recorded("died", tmp_path)

    found = only(run, bare)

    assert (found.status, found.command) == ("fail", f"finetui resume {run.path}")
    assert "died in training without a last word" in found.found
    assert parses(found.command, run) == "resume"


@pytest.mark.parametrize(
    ("kind", "word", "command"),
    [
        ("licence", "https://huggingface.co/google/gemma-3-1b-it, log in", "hf auth login && finetui resume"),
        ("pad token", "The pad token is missing.", "finetui resume"),
        ("diverged", "Learn more slowly", "training.learning_rate="),
        ("disk", "Free space", "finetui resume"),
        ("rows", "Look at the line.", "finetui plan"),
    ],
)
def test_the_common_troubles_are_recognised(kind: str, word: str, command: str, tmp_path: Path, bare: Hardware) -> None:
    run = failed_with(kind, tmp_path)

    found = only(run, bare)

    assert found.status == "fail"
    assert word in found.remedy
    assert command in found.command
    assert parses(found.command, run) in ("resume", "replay", "plan")


def test_a_log_that_speaks_of_another_python_or_a_missing_library_is_read(tmp_path: Path, bare: Hardware) -> None:
    run = failed_with("rows", tmp_path)
    run.log_file("attempt-1").write_text(
        "ModuleNotFoundError: No module named 'bitsandbytes.nn'\n"
        "ImportError: libcudart.so.12: cannot open shared object file: No such file\n"
    )

    found = {each.name: each for each in failed_run(run, bare)}

    assert found["wrong Python"].found == "no module bitsandbytes"
    assert "pip install bitsandbytes==" in found["wrong Python"].command
    assert found["library"].found.startswith("libcudart.so.12")


def test_a_run_on_the_processor_of_a_machine_with_a_card_is_told(tmp_path: Path, bare: Hardware) -> None:
    run = recorded("died", tmp_path)

    with_card = {each.name: each for each in failed_run(run, emulate(bare, "t4"))}

    assert with_card["GPU not used"].command == f"finetui replay {run.path}"
    assert "GPU not used" not in {each.name for each in failed_run(run, bare)}


@pytest.mark.parametrize("name", ["finished", "stopped", "laddered", "resumed"])
def test_a_run_that_ended_well_has_no_trouble(name: str, tmp_path: Path, bare: Hardware) -> None:
    assert only(recorded(name, tmp_path), bare).status == "ok"
