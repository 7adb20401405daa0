"""Whether the folder of a run is still where it was found."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from engine.errors import RunDirError
from engine.event_log import EventWriter
from engine.footing import Footing
from engine.liveness import ProcessIdentity
from engine.run_dir import RunDir
from engine.supervisor import Supervisor

MOVES = """
import os, signal, sys, time
from pathlib import Path
run = Path(sys.argv[1])
while not (run / "worker.json").exists():
    pass
run.rename(run.with_name("moved"))
signal.pause()
"""


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path, "demo")


def test_a_folder_that_stayed_is_fine(run: RunDir) -> None:
    Footing.of(run).require()


def test_a_renamed_folder_is_told_with_its_new_place_by_a_process_that_began_in_it(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    footing, new = Footing.of(run), run.path.with_name("another name")
    monkeypatch.chdir(run.path)
    run.path.rename(new)
    with pytest.raises(RunDirError, match="moved or removed") as told:
        footing.require()
    assert f"which is {new} now" in told.value.means
    assert told.value.remedy == f"Go on there: finetui resume '{new}'"


@pytest.mark.parametrize("replaced", [False, True])
def test_a_folder_that_is_gone_or_another_one_has_no_new_place(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, replaced: bool
) -> None:
    footing = Footing.of(run)
    monkeypatch.chdir(run.path.parent)
    if replaced:
        run.path.rename(run.path.with_name("kept"))  # its inode stays taken
        run.path.mkdir()
    else:
        shutil.rmtree(run.path)
    with pytest.raises(RunDirError) as told:
        footing.require()
    assert "wherever it is now" in told.value.means
    assert str(run.path) in told.value.happened
    assert os.sep not in told.value.remedy


def test_a_run_whose_folder_is_moved_ends_with_its_worker_and_makes_no_folder_at_the_old_place(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = EventWriter(run.event_file("supervisor"))
    supervisor = Supervisor(run, writer, EventWriter(run.event_file("samples")), resumed=False)
    monkeypatch.chdir(run.path)
    command = [sys.executable, "-c", MOVES, str(run.path)]
    with pytest.raises(RunDirError, match="moved or removed"):
        supervisor.follow(command, "prepare", ())
    moved = RunDir(run.path.with_name("moved"))
    worker = ProcessIdentity.read(moved.worker)
    assert worker is not None
    assert not worker.is_alive()
    assert not run.path.exists()


def test_a_fault_over_a_file_of_a_folder_that_was_moved_is_told_as_the_move(run: RunDir) -> None:
    footing = Footing.of(run)

    def work() -> int:
        return len(run.recipe.read_text())

    with pytest.raises(FileNotFoundError, match=r"recipe\.toml"):
        footing.held(work)()
    run.path.rename(run.path.with_name("moved"))
    with pytest.raises(RunDirError, match="moved or removed"):
        footing.held(work)()


@pytest.mark.parametrize(
    ("there", "kept"),
    [
        ("checkpoints/staging/", False),
        ("checkpoints/staging/checkpoint-4/weights", False),
        ("checkpoints/checkpoint-4/weights", True),
        ("recipe.toml", True),
    ],
)
def test_half_a_checkpoint_made_at_the_old_place_is_removed_and_anything_else_there_is_kept(
    run: RunDir, there: str, kept: bool
) -> None:
    footing = Footing.of(run)

    def moved_while_saving() -> int:
        run.path.rename(run.path.with_name("moved"))
        (run.checkpoints / "staging" / "checkpoint-4").mkdir(parents=True)
        if not there.endswith("/"):
            (run.path / there).parent.mkdir(parents=True, exist_ok=True)
            (run.path / there).touch()
        raise FileNotFoundError(run.recipe)

    with pytest.raises(RunDirError, match="moved or removed"):
        footing.held(moved_while_saving)()
    assert run.path.exists() == kept
    assert not kept or (run.path / there).is_file()


def test_a_link_at_the_old_place_is_kept_with_what_it_leads_to(run: RunDir, tmp_path: Path) -> None:
    footing, elsewhere = Footing.of(run), tmp_path / "elsewhere"
    elsewhere.mkdir()

    def replaced() -> int:
        run.path.rename(run.path.with_name("moved"))
        run.path.mkdir()
        (run.path / "rows").symlink_to(elsewhere)
        raise FileNotFoundError(run.recipe)

    with pytest.raises(RunDirError, match="moved or removed"):
        footing.held(replaced)()
    assert (run.path / "rows").is_symlink()
    assert elsewhere.is_dir()
