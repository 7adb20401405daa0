"""`finetui clean`: what it finds, what it removes, and what it never touches."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from engine import checkpoints
from engine.checkpoints import MANIFEST, sealed_files
from engine.cleaning import size_of
from engine.liveness import ProcessIdentity, take_lock
from engine.run_dir import RunDir, write_atomic
from tui_app.cli import main

RECORDED = Path(__file__).parents[2] / "recorded" / "runs"
KEY = {"method": "lora"}
MANY = 400
"""Files of a checkpoint whose removal is killed: more than go before the signal comes."""


def checkpoint(run: RunDir, step: int, num_files: int = 0) -> Path:
    """A sealed one, as training leaves it."""
    staged = run.checkpoints / "staging" / f"checkpoint-{step}"
    staged.mkdir(parents=True)
    for name in (*checkpoints.REQUIRED, "rng_state.pth", *(f"shard-{number}" for number in range(num_files))):
        (staged / name).write_bytes(os.urandom(64))
    made = checkpoints.seal(staged, run.checkpoints, step, KEY).path
    (run.checkpoints / "staging").rmdir()
    return made


def with_result(run: RunDir) -> RunDir:
    """Its trained weights, sealed."""
    run.adapter.mkdir()
    (run.adapter / "adapter_model.safetensors").write_bytes(os.urandom(500))
    write_atomic(run.adapter / MANIFEST, json.dumps({"files": sealed_files(run.adapter)}))
    (run.dataset / "train.parquet").write_bytes(b"tokens" * 50)
    (run.exports / "merged").mkdir(parents=True)
    (run.exports / "merged" / "model.safetensors").write_bytes(b"merged" * 50)
    return run


@pytest.fixture(autouse=True)
def home(own_machine: Path) -> Path:
    """`done` is trained; `half` was stopped and can be resumed."""
    for recorded, name in (("finished", "done"), ("stopped", "half")):
        shutil.copytree(RECORDED / recorded, own_machine / "runs" / name)
        run = RunDir.open(name)
        checkpoint(run, 4)
        checkpoint(run, 8)
    with_result(RunDir.open("done"))
    return own_machine


def left(name: str) -> list[str]:
    return sorted(path.name for path in RunDir.open(name).checkpoints.iterdir())


def told(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    assert main(["clean", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_without_options_it_tells_sizes_and_commands_and_removes_nothing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = everything(home)
    assert main(["clean"]) == 0
    shown = capsys.readouterr().out
    for kind in ("checkpoints", "rows", "logs", "exports", "runs RUN…"):
        assert f"finetui clean --{kind}" in shown
    assert shown.rstrip().endswith("Nothing was removed.")
    assert everything(home) == before


def test_checkpoints_go_that_nothing_needs_and_a_run_that_can_be_resumed_keeps_its_newest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["clean", "--checkpoints", "--yes"]) == 0
    assert (left("done"), left("half")) == ([], ["checkpoint-8"])
    assert not checkpoints.fault_of(RunDir.open("half").checkpoints / "checkpoint-8")
    assert "freed" in capsys.readouterr().out
    for words in (["status", "done"], ["compare", "done", "half", "--plain"], ["attach", "done", "--plain"]):
        assert main(words) == 0, words
    assert main(["replay", "done", "--dry-run", "--set", "model.offline=true"]) == 0


def test_keep_says_how_many_stay_and_none_of_a_run_to_be_resumed_only_where_it_is_named() -> None:
    assert main(["clean", "--checkpoints", "--keep", "1", "--yes"]) == 0
    assert left("done") == left("half") == ["checkpoint-8"]
    assert main(["clean", "--checkpoints", "--keep", "0", "--yes"]) == 0
    assert (left("done"), left("half")) == ([], ["checkpoint-8"])
    assert main(["clean", "--checkpoints", "half", "--keep", "0", "--yes"]) == 0
    assert left("half") == []


def test_nobody_to_ask_is_a_refusal_and_a_dry_run_only_shows(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = everything(home)
    assert main(["clean", "--checkpoints"]) == 2
    assert "--yes" in capsys.readouterr().err
    assert main(["clean", "--checkpoints", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "checkpoint-4" in shown
    assert "nothing was removed" in shown
    assert everything(home) == before


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--yes"], 2),
        (["--keep", "1"], 2),
        (["--logs", "--keep", "1"], 2),
        (["--checkpoints", "--keep", "-1"], 2),
        (["--runs", "--yes"], 2),
        (["--runs", "nobody", "--yes"], 9),
        (["--cache", "nothing", "--yes"], 2),
        (["--older-than", "soon"], 2),
    ],
)
def test_nonsense_is_refused_and_removes_nothing(home: Path, words: list[str], code: int) -> None:
    before = everything(home)
    assert main(["clean", *words]) == code
    assert everything(home) == before


def test_a_run_in_use_is_left_alone_and_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    run = RunDir.open("done")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        ProcessIdentity.of(process.pid).write(run.supervisor)
        assert [item for item in told(capsys)["items"] if item["run"] == "done"] == []
        assert main(["clean", "--checkpoints", "--yes"]) == 0
        assert main(["clean", "--runs", "done", "--yes"]) == 9
        process.kill()
    assert left("done") == ["checkpoint-4", "checkpoint-8"]


def test_a_run_that_is_just_being_started_keeps_everything(home: Path) -> None:
    """Its lock is held before anything tells of its supervisor."""
    code = (
        "import sys; from pathlib import Path; from engine.liveness import take_lock; from engine.run_dir import RunDir"
    )
    code += "; assert take_lock(RunDir(Path(sys.argv[1]))); print('held', flush=True); input()"
    command = [sys.executable, "-c", code, str(home / "runs" / "done")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert main(["clean", "--checkpoints", "done", "--yes"]) == 9
        holder.kill()
    assert left("done") == ["checkpoint-4", "checkpoint-8"]


def test_a_damaged_result_keeps_what_it_can_be_made_again_from(capsys: pytest.CaptureFixture[str]) -> None:
    weights = RunDir.open("done").adapter / "adapter_model.safetensors"
    weights.write_bytes(b"\0" * weights.stat().st_size)
    assert main(["clean", "--checkpoints", "--rows", "--yes"]) == 9
    assert "is damaged" in capsys.readouterr().err
    assert left("done") == ["checkpoint-4", "checkpoint-8"]
    assert (RunDir.open("done").dataset / "train.parquet").exists()


def test_where_the_newest_checkpoint_is_damaged_the_earlier_one_stays() -> None:
    (RunDir.open("half").checkpoints / "checkpoint-8" / "optimizer.pt").write_bytes(b"cut")
    assert main(["clean", "--checkpoints", "half", "--yes"]) == 9
    assert left("half") == ["checkpoint-4", "checkpoint-8"]


def test_a_whole_run_goes_by_its_name_and_by_its_age(home: Path) -> None:
    assert main(["clean", "--runs", "half", "--yes"]) == 0
    assert not (home / "runs" / "half").exists()
    assert main(["clean", "--runs", "--older-than", "1d", "--yes"]) == 0
    assert (home / "runs" / "done").exists()
    month_ago = time.time() - 31 * 86400
    for file in (home / "runs" / "done" / "events").iterdir():
        os.utime(file, (month_ago, month_ago))
    assert main(["clean", "--runs", "--older-than", "30d", "--yes"]) == 0
    assert sorted(path.name for path in (home / "runs").iterdir()) == []


def test_no_link_is_followed(home: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("mine")
    run = RunDir.open("done")
    (run.exports / "linked").symlink_to(elsewhere)
    (run.checkpoints / "checkpoint-4" / "linked").symlink_to(elsewhere)
    shutil.move(run.dataset / "train.parquet", elsewhere / "train.parquet")
    shutil.rmtree(run.log)
    run.log.symlink_to(elsewhere)
    (elsewhere / "mine.txt").write_text("mine")
    shutil.copytree(home / "runs" / "half", tmp_path / "other")
    (home / "runs" / "other").symlink_to(tmp_path / "other")
    assert main(["clean", "--checkpoints", "--exports", "--logs", "--rows", "--leftovers", "--yes"]) == 9
    assert main(["clean", "--runs", "other", "--yes"]) == 9
    assert sorted(path.name for path in elsewhere.iterdir()) == ["mine.txt", "precious", "train.parquet"]
    assert sorted(path.name for path in (tmp_path / "other" / "checkpoints").iterdir()) == [
        "checkpoint-4",
        "checkpoint-8",
    ]
    assert left("done") == []
    assert (run.exports / "linked").is_symlink()


def test_exports_elsewhere_stay_and_those_of_the_run_go_when_named(tmp_path: Path) -> None:
    (tmp_path / "mine.gguf").write_bytes(b"gguf")
    assert main(["clean", "--exports", "done", "--yes"]) == 0
    assert list(RunDir.open("done").exports.iterdir()) == []
    assert (tmp_path / "mine.gguf").exists()
    assert left("done") == ["checkpoint-4", "checkpoint-8"]


def test_what_was_cut_off_is_found_and_what_lives_is_not(home: Path) -> None:
    exports = RunDir.open("done").exports
    names = (".a.unfinished-999999999", f".b.unfinished-{os.getpid()}", ".merged.previous", ".gone.previous")
    for name in names:
        (exports / name).mkdir()
    (RunDir.open("half").checkpoints / "staging" / "checkpoint-9").mkdir(parents=True)
    (home / "runs" / ".trash-0-gone").mkdir()
    assert main(["clean", "--leftovers", "--yes"]) == 0
    stay = {f".b.unfinished-{os.getpid()}", ".gone.previous", "merged"}
    assert {path.name for path in exports.iterdir()} == stay
    assert left("half") == ["checkpoint-4", "checkpoint-8"]
    assert not (home / "runs" / ".trash-0-gone").exists()


def test_a_model_in_the_cache_that_runs_need_goes_only_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("FINETUI_CACHE", str(cache))
    for name in ("used", "unused"):
        (cache / "converted" / name).mkdir(parents=True)
    (cache / "dry-runs").mkdir()
    RunDir.open("done").model.write_text(json.dumps({"folder": str(cache / "converted" / "used")}))
    assert main(["clean"]) == 0
    assert "done would need again" in " ".join(capsys.readouterr().out.split())
    assert main(["clean", "--cache", "--yes"]) == 0
    assert [path.name for path in (cache / "converted").iterdir()] == ["used"]
    assert not (cache / "dry-runs").exists()
    assert main(["clean", "--cache", "used", "--yes"]) == 0
    assert list((cache / "converted").iterdir()) == []


def test_a_kill_in_the_middle_leaves_no_half_a_checkpoint_and_is_cleaned_up_later() -> None:
    run = RunDir.open("done")
    checkpoint(run, 12, MANY)
    command = [sys.executable, "-P", "-m", "tui_app", "clean", "--checkpoints", "done", "--yes"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and (run.checkpoints / "checkpoint-12").exists():
            pass
        process.send_signal(signal.SIGKILL)
    for path in run.checkpoints.glob("checkpoint-*"):
        assert not checkpoints.fault_of(path), path
    assert main(["status", "done"]) == 0
    assert main(["clean", "--checkpoints", "--leftovers", "--yes"]) == 0
    assert left("done") == []


def test_a_folder_that_cannot_be_written_is_told_and_stays(capsys: pytest.CaptureFixture[str]) -> None:
    if os.geteuid() == 0:
        pytest.skip("root writes everywhere")
    folder = RunDir.open("done").checkpoints
    folder.chmod(0o500)
    assert main(["clean", "--checkpoints", "done", "--yes"]) == 9
    assert "cannot be removed" in capsys.readouterr().err
    folder.chmod(0o700)
    assert left("done") == ["checkpoint-4", "checkpoint-8"]


def test_json_names_everything_with_bytes_and_says_what_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    before = told(capsys, "--checkpoints", "half", "--dry-run")
    (item,) = before["items"]
    assert item["path"].endswith("half/checkpoints/checkpoint-4")
    assert item["num_bytes"] == before["num_bytes"] == size_of(Path(item["path"]))
    assert (before["removed"], item["run"], item["needed_by"]) == (False, "half", [])
    after = told(capsys, "--checkpoints", "half", "--yes")
    assert (after["removed"], after["faults"], after["num_bytes"]) == (True, [], before["num_bytes"])


def test_the_run_can_be_taken_again_afterwards() -> None:
    assert main(["clean", "--checkpoints", "--yes"]) == 0
    lock = take_lock(RunDir.open("done"))
    assert lock is not None
    os.close(lock)
