"""`finetui config`: shows where each value comes from, and changes a file without touching what else stands in it."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.own_defaults import config_file
from tui_app.cli import main
from tui_app.desk_commands.config_file import alone, changed
from tui_app.desk_commands.config_file import written as save

HAND_WRITTEN = """# my machine
[screen]
theme = "dark"   # the office is bright

[recipe]
training.seed = 7  # for all of us
"""


@pytest.fixture
def written(own_machine: Path) -> Path:
    """A file with comments of its owner's."""
    assert own_machine.is_dir()
    config_file().parent.mkdir(parents=True)
    config_file().write_text(HAND_WRITTEN)
    return config_file()


def shown(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, object]]:
    capsys.readouterr()
    main(["config", "--json"])
    return dict(json.loads(capsys.readouterr().out)["values"])


def test_each_value_is_shown_with_where_it_comes_from(
    written: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINETUI_DIFF", "0")
    assert main(["config"]) == 0
    told = capsys.readouterr().out
    assert str(written) in told
    lines = {line.split()[0]: line.split()[1:] for line in told.splitlines()[1:]}
    assert lines["screen.theme"] == ["dark", "file"]
    assert lines["screen.diff"] == ["false", "environment", "FINETUI_DIFF"]
    assert lines["screen.ascii"] == ["false", "default"]
    assert lines["recipe.training.seed"] == ["7", "file"]


def test_a_change_keeps_comments_order_and_everything_else(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "set", "screen.ascii", "yes"]) == 0
    assert main(["config", "set", "notify.command", "mail", "-s", "{run}", "me"]) == 0
    assert main(["config", "set", "recipe.training.learning_rate", "1e-4"]) == 0
    text = written.read_text()
    assert all(line in text.splitlines() for line in HAND_WRITTEN.splitlines())
    values = shown(capsys)
    assert values["screen.ascii"]["value"] is True
    assert values["notify.command"]["value"] == ["mail", "-s", "{run}", "me"]
    assert values["recipe.training.learning_rate"]["value"] == 1e-4
    for key in ("screen.ascii", "notify.command", "recipe.training.learning_rate"):
        assert main(["config", "unset", key]) == 0
    assert written.read_text().split() == HAND_WRITTEN.split()


def test_a_file_that_is_a_link_stays_one_and_as_readable_as_it_was(own_machine: Path) -> None:
    real = own_machine / "dotfiles.toml"
    real.write_text("")
    real.chmod(0o640)
    config_file().parent.mkdir(parents=True)
    config_file().symlink_to(real)
    assert main(["config", "set", "screen.theme", "light"]) == 0
    assert config_file().is_symlink()
    assert 'theme = "light"' in real.read_text()
    assert real.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["set", "screen.theme", "pink"], "screen.theme takes one of auto, dark, light, not 'pink'."),
        (["set", "screen.thme", "dark"], "Did you mean screen.theme?"),
        (["set", "recipe.training.lr", "1"], "finetui spells it training.learning_rate"),
        (["set", "recipe.training.seed", "many"], "training.seed"),
        (["set", "recipe.model", "x"], "is no setting"),
        (["set", "screen.theme"], "needs a value"),
        (["get", "recipe.training.max_steps"], "is not set"),
        (["unset", "screen.ascii"], "is not set in"),
        (["get"], "Which setting to get is not said."),
        (["path", "screen.theme"], "takes no key"),
    ],
)
def test_what_cannot_be_set_is_refused_and_changes_nothing(
    words: list[str], told: str, written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["config", *words]) == 2
    assert told in capsys.readouterr().err
    assert written.read_text() == HAND_WRITTEN


def test_with_a_broken_file_runs_are_shown_but_none_is_started(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written.write_text("[screen\n")
    assert main(["runs"]) == 0
    assert "note: " in (told := capsys.readouterr()).err
    assert "line 1" in told.err
    assert "No runs yet" in told.out
    for words in (["replay", "demo-cpu"], ["config", "set", "screen.ascii", "true"], ["config"]):
        assert main(words) == 2
        assert "not valid TOML" in capsys.readouterr().err
    assert written.read_text() == "[screen\n"


def test_the_editor_gets_a_file_that_says_what_there_is_and_its_faults_are_told(
    own_machine: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    edits = (
        "import sys; p = sys.argv[1]; t = open(p).read(); open(p, 'w').write(t.replace('# ascii = false', 'ascii = 1'))"
    )
    editor = own_machine / "edits.py"
    editor.write_text(edits)
    monkeypatch.setenv("EDITOR", f"{sys.executable} {editor}")
    assert main(["config", "edit"]) == 2
    assert "screen.ascii takes true or false" in capsys.readouterr().err
    assert "# command = []" in config_file().read_text()
    monkeypatch.setenv("EDITOR", "no-such-editor")
    assert main(["config", "edit"]) == 2
    assert "There is no editor 'no-such-editor' here." in capsys.readouterr().err


def test_defaults_fill_only_what_a_preset_leaves_open_and_are_told(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written.write_text("[recipe]\ntraining.seed = 7\ntraining.max_steps = 3\nrun.logging_steps = 2\n")
    assert main(["plan", "demo-cpu", "--closed-form", "--set", "run.logging_steps=5"]) == 0
    first, *_ = capsys.readouterr().out.splitlines()
    assert first == f"from your defaults ({written}): training.seed = 7"  # the preset names max_steps itself


def test_a_recipe_file_is_complete_and_takes_nothing_from_the_defaults(written: Path, own_machine: Path) -> None:
    recipe = own_machine / "mine.toml"
    words = ["--model", "bundled:smollm2-135m-instruct", "--dataset", "generator:venvy", "--save", str(recipe)]
    assert main(["new", *words]) == 0
    assert "seed = 7" in recipe.read_text()
    written.write_text("[recipe.training]\nseed = 8\n")
    recipe.unlink()
    assert main(["new", *words]) == 0
    assert "seed = 8" in recipe.read_text()
    from tui_app.recipe_source import source_of

    written.write_text("[recipe.training]\nseed = 9\n")
    assert source_of(str(recipe), []).recipe.training.seed == 8
    assert source_of("demo-cpu", []).recipe.training.seed == 9
    assert source_of("demo-cpu", ["training.seed=10"]).recipe.training.seed == 10


def test_a_field_of_the_defaults_that_is_none_is_refused_with_the_nearest(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written.write_text("[recipe.training]\nlr = 1\n[recipe.adaptor]\nr = 8\n")
    assert main(["plan", "demo-cpu"]) == 2
    told = capsys.readouterr().err
    assert "finetui spells it training.learning_rate" in told
    assert "adaptor" in told
    assert str(written) in told


def link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def too_large(path: Path) -> None:
    path.write_text("#" * (1024**2 + 1))


@pytest.mark.parametrize("made", [os.mkfifo, Path.mkdir, link_to_itself, too_large])
@pytest.mark.parametrize("words", [["set", "screen.theme", "light"], ["unset", "screen.theme"]])
def test_what_is_no_file_of_defaults_is_neither_waited_for_nor_replaced(
    own_machine: Path, made: Callable[[Path], None], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    file = config_file()
    file.parent.mkdir(parents=True)
    made(file)
    before = file.lstat()
    assert main(["config", *words]) != 0
    assert "Nothing was changed." in capsys.readouterr().err
    assert (file.lstat().st_mode, file.lstat().st_ino) == (before.st_mode, before.st_ino)
    assert [*file.parent.iterdir()] == [file]
    assert not (own_machine / "last-error.txt").exists()


@pytest.mark.usefixtures("own_machine")
def test_a_pipe_in_place_of_the_file_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    config_file().parent.mkdir(parents=True)
    os.mkfifo(config_file())
    assert main(["config"]) == 2
    assert "is a pipe" in capsys.readouterr().err


@pytest.mark.usefixtures("own_machine")
def test_a_folder_of_nothing_is_refused_and_does_not_mean_the_present_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "set", "paths.home", ""]) == 2
    assert "whole path" in capsys.readouterr().err
    assert not config_file().exists()


def test_of_two_changes_at_the_same_instant_neither_is_lost(written: Path) -> None:
    with alone(written):
        made = changed(written, ["screen", "ascii"], value=True)
        other = threading.Thread(target=main, args=(["config", "set", "screen.diff", "no"],))
        other.start()
        other.join(0.3)  # long enough for it to have written, were it not waiting
        assert other.is_alive()
        save(made)
    other.join(20)
    assert {"ascii = true", "diff = false"} <= set(written.read_text().splitlines())
