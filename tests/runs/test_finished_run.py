"""A run from recipe to result, what it told on the way, and the same run again with and without the fit probe."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from engine import events as ev
from engine.event_log import EventReader, read_events
from engine.events import DeviceSampled
from engine.run_dir import RunDir, read_json
from engine.run_state import fold_all
from tests import planted

pytestmark = pytest.mark.slow(seconds=85)


def test_a_finished_run_has_a_result_that_was_read_back(straight: RunDir) -> None:
    state = fold_all(read_events(straight.events))
    assert state.phase == "finished"
    assert state.adapter is not None
    assert state.step == state.max_steps == 12
    assert state.last_step is not None
    assert state.first_loss is not None
    assert state.last_step.loss < state.first_loss
    assert [event.step for event in state.evals] == [12]
    assert state.last_step.data_seconds is not None
    assert [ended.outcome for ended in state.attempts] == ["completed"]


def test_the_device_was_looked_at_while_its_processes_worked(straight: RunDir) -> None:
    samples = [each.event for each in read_events(straight.events) if isinstance(each.event, DeviceSampled)]
    assert samples
    assert all(sample.own_bytes is not None and sample.own_bytes < sample.ram_total_bytes for sample in samples)
    assert any(sample.own_bytes for sample in samples)
    assert {sample.device for sample in samples} == {"cpu"}


def test_the_manifest_names_what_the_run_was_made_from(straight: RunDir) -> None:
    manifest = json.loads(straight.manifest.read_text())
    assert {"recipe_sha256", "versions", "device_name", "seed", "git", "hardware"} <= set(manifest)
    model = json.loads(straight.model.read_text())
    assert all(len(file["sha256"]) == 64 for file in model["files"])
    prepared = json.loads(straight.prepared.read_text())
    assert {"train", "eval"} == set(prepared["splits"])
    assert len(prepared["files"][0]["sha256"]) == 64


def test_every_event_line_is_small_and_of_its_own_writer(straight: RunDir) -> None:
    for path in straight.events.glob("*.jsonl"):
        for line in path.read_bytes().splitlines(keepends=True):
            assert len(line) <= 4096
            assert line.endswith(b"\n")
            assert json.loads(line)["writer"] == path.stem


def test_every_file_of_a_run_is_closed_to_others_and_holds_no_secret(workshop: Any, straight: RunDir) -> None:
    """Under a umask that closes nothing, with secrets planted: of training, its report, an export and a job."""
    elsewhere = workshop.folder / "asked" / "for"
    for words in (
        ("report", straight.name),
        ("export", straight.name, "--to", "adapter"),
        ("export", straight.name, "--to", "notebook", "-o", str(elsewhere)),
        ("export", straight.name, "--to", "slurm", "-o", str(elsewhere / "job")),
    ):
        done = workshop.finetui(*words)
        assert done.returncode == 0, done.stderr
        assert not any(secret in done.stdout + done.stderr for secret in planted.SECRETS.values())
    assert planted.num_files(straight.path) > 60
    assert planted.open_to_others(workshop.home) == []
    assert planted.leaks(workshop.home) == planted.leaks(elsewhere) == []
    assert (elsewhere / "notebook.ipynb").stat().st_mode & 0o777 == 0o666
    assert (elsewhere / "job" / "job.sbatch").stat().st_mode & 0o777 == 0o666
    assert elsewhere.stat().st_mode & 0o777 == 0o777


def test_status_runs_and_attach_tell_of_it(workshop: Any, straight: RunDir) -> None:
    assert "straight-1: finished" in workshop.finetui("status", "straight-1").stdout
    assert json.loads(workshop.finetui("status", "straight-1", "--json").stdout)["phase"] == "finished"
    assert "finished" in workshop.finetui("runs").stdout
    again = workshop.finetui("attach", "straight-1")
    assert again.returncode == 0
    assert "step 12/12" in again.stdout
    assert str(straight.adapter) in again.stdout


def test_a_replayed_run_has_the_same_losses_and_the_same_adapter(workshop: Any, straight: RunDir) -> None:
    done = workshop.finetui("replay", "straight-1", "--json", "--set", "run.name=again")
    assert done.returncode == 0, done.stderr
    assert all(json.loads(line)["event"] for line in done.stdout.splitlines())
    again = workshop.run("again-1")
    assert workshop.losses(again) == workshop.losses(straight)
    assert workshop.adapter_bytes(again) == workshop.adapter_bytes(straight)


def test_a_replay_whose_rows_changed_is_refused_by_name(workshop: Any, straight: RunDir) -> None:
    rows = workshop.folder / "rows.jsonl"
    before = rows.read_text()
    rows.write_text(before.replace("add 3 and 4", "add 3 to 4"))
    try:
        done = workshop.finetui("replay", straight.name, "--set", "run.name=changed")
    finally:
        rows.write_text(before)
    assert done.returncode == 8
    assert "rows" in done.stdout + done.stderr
    assert "--allow-changes" in done.stdout + done.stderr


def test_a_finished_run_is_not_resumed(workshop: Any, straight: RunDir) -> None:
    done = workshop.finetui("resume", straight.name)
    assert done.returncode == 9
    assert f"finetui replay {straight.name}" in done.stderr


def test_a_run_folder_can_be_moved_and_still_be_read(workshop: Any, straight: RunDir) -> None:
    moved = workshop.folder / "elsewhere"
    shutil.copytree(straight.path, moved)
    assert "finished" in workshop.finetui("status", str(moved)).stdout


def test_a_run_that_lost_only_its_result_gets_it_back_without_another_step(workshop: Any, straight: RunDir) -> None:
    copy = workshop.folder / "resultless"
    shutil.copytree(straight.path, copy)
    shutil.rmtree(copy / "adapter")
    done = workshop.finetui("resume", str(copy))
    assert done.returncode == 9, "its last event says finished"
    (copy / "events" / "supervisor.jsonl").write_text("")
    done = workshop.finetui("resume", str(copy))
    assert done.returncode == 0, done.stdout + done.stderr
    run = RunDir(copy)
    assert max(workshop.losses(run)) == 12
    assert workshop.adapter_bytes(run) == workshop.adapter_bytes(straight)


def test_a_target_module_that_the_model_lacks_is_an_error_that_names_those_it_has(workshop: Any) -> None:
    done = workshop.finetui("replay", "tiny.toml", "--set", 'adapter.target_modules=["q_proj","nope"]')
    assert done.returncode == 2
    assert "nope" in done.stdout
    assert "down_proj" in done.stdout


def test_a_run_probes_before_its_first_step_and_ends_as_one_without(workshop: Any, straight: RunDir) -> None:
    """`straight` ran with the probe, as every run does unless its recipe says otherwise."""
    done = workshop.finetui("replay", "tiny.toml", "--set", "run.name=unprobed", "--set", "memory.probe=false")
    assert done.returncode == 0, done.stdout + done.stderr
    unprobed = workshop.run("unprobed-1")
    told = [stamped.event for stamped in EventReader(straight.events).poll() if stamped.writer == "attempt-1"]
    kinds = [type(event) for event in told]
    assert kinds.index(ev.MemoryProbed) < kinds.index(ev.TrainingStarted) < kinds.index(ev.StepLogged)
    (probed,) = [event for event in told if isinstance(event, ev.MemoryProbed)]
    (measured,) = [event for event in told if isinstance(event, ev.MemoryMeasured)]
    assert measured.step == 2
    assert measured.static_bytes == probed.static_bytes
    assert measured.peak_bytes >= probed.peak_bytes
    without = [stamped.event for stamped in EventReader(unprobed.events).poll()]
    assert not [event for event in without if isinstance(event, ev.MemoryProbed)]
    assert workshop.losses(unprobed) == workshop.losses(straight)
    assert workshop.adapter_bytes(unprobed) == workshop.adapter_bytes(straight)


def test_a_run_records_how_long_its_rows_are(straight: RunDir) -> None:
    record = read_json(straight.prepared)
    for split, name in (("train", "row_lengths"), ("eval", "eval_row_lengths")):
        lengths = record[name]
        assert lengths["num_rows"] == record["splits"][split]["rows"]
        tokens = [row[0] for row in lengths["longest"]]
        assert tokens == sorted(tokens, reverse=True)
        assert all(0 < trained < num_tokens for num_tokens, trained in lengths["longest"])
