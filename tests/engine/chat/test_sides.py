"""Which words name whom, and what is said where that one is not there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.chat.sides import Side, side_of, sides_of, subject_run
from engine.errors import ModelError, RecipeError, RunDirError
from engine.run_dir import RunDir
from tests.engine.evaluation.conftest import Rig

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def test_a_trained_run_and_its_base_are_found_by_their_words(rig: Callable[..., Rig]) -> None:
    run = rig().run
    tuned, base = sides_of(run, None, "base")
    assert (tuned.name, tuned.path, base.name) == ("tuned", run.adapter, "base")
    assert Side.from_json(tuned.to_json()) == tuned


def test_what_is_not_exported_names_the_command_that_makes_it(rig: Callable[..., Rig]) -> None:
    run = rig().run
    for word, what in (("merged", "merged"), ("gguf", "gguf"), ("gguf:Q8_0", "gguf")):
        with pytest.raises(RunDirError, match=f"finetui export .* --to {what}"):
            side_of(run, word)


def test_the_usual_file_type_is_taken_and_an_absent_one_names_its_like(rig: Callable[..., Rig]) -> None:
    run = rig().run
    folder = run.exports / "gguf"
    folder.mkdir(parents=True)
    for kind in ("F16", "Q4_K_M", "Q8_0"):
        (folder / f"tiny-{kind}.gguf").write_bytes(b"")
    assert side_of(run, "gguf").name == "gguf-Q4_K_M"
    assert side_of(run, "gguf:q8_0").path == folder / "tiny-Q8_0.gguf"
    with pytest.raises(RunDirError, match="Did you mean Q4_K_M"):
        side_of(run, "gguf:Q4_K_N")


def test_an_untrained_run_and_an_unknown_word_are_refused(rig: Callable[..., Rig], tmp_path: Path) -> None:
    run = rig().run
    with pytest.raises(RecipeError, match="Did you mean merged"):
        side_of(run, "mergd")
    with pytest.raises(RecipeError, match="beside itself"):
        sides_of(run, None, "tuned")
    with pytest.raises(RecipeError, match="There is no file"):
        side_of(run, str(tmp_path / "none.gguf"))
    run.adapter.rename(run.path / "gone")
    with pytest.raises(RunDirError, match="has no trained result yet"):
        sides_of(run, None, None)


def test_without_a_word_the_newest_trained_run_answers(own_machine: Path, rig: Callable[..., Rig]) -> None:
    with pytest.raises(RunDirError, match="There is no run yet"):
        subject_run(None)
    made = rig().run.path.rename(own_machine / "tiny-1") and RunDir(own_machine / "tiny-1")
    (own_machine / "runs").mkdir()
    made.path.rename(own_machine / "runs" / "tiny-1")
    RunDir.create(own_machine / "runs", "young")
    assert subject_run(None).name == "tiny-1"


def test_a_model_folder_answers_as_it_is(own_machine: Path, tiny_model_folder: Path) -> None:
    run = subject_run(str(tiny_model_folder))
    assert own_machine in run.path.parents
    assert sides_of(run, None, None)[0].kind == "base"
    with pytest.raises(ModelError):
        subject_run(str(own_machine / "nothing"))
