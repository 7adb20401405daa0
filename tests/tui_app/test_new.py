"""`finetui new` from the command line: complete answers ask nothing, incomplete ones name what lacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.recipe import Recipe
from tests.tui_app.live_runs import recorded_run
from tui_app.cli import main
from tui_app.steps.draft import Draft
from tui_app.steps.draft_file import save, saved_draft


@pytest.mark.parametrize(
    "arguments", [[], ["new"], ["new", "--line"], ["new", "--plain"], ["new", "--preset", "demo-cpu"]]
)
def test_where_nobody_can_be_asked_the_lacking_options_are_named(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["finetui"])
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "not a terminal" in shown.err
    assert "--start (or --save FILE)" in shown.err
    assert ("--model and --dataset (or --preset NAME)" in shown.err) == ("--preset" not in arguments)


@pytest.mark.parametrize(
    ("arguments", "lacks"),
    [
        (["--start"], "--model and --dataset (or --preset NAME)"),
        (["--model", "m", "--start"], "line: --dataset (or"),
        (["--dataset", "d", "--save", "x.toml"], "line: --model (or"),
    ],
)
def test_a_start_without_everything_names_what_lacks(
    arguments: list[str], lacks: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", *arguments]) == 2
    assert lacks in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--preset", "demo-gpu"], "Did you mean demo-cpu"),
        (["--preset", "demo-cpu", "--method", "magic"], "no way of training"),
        (["--preset", "demo-cpu", "--set", "adapter.r=0"], "adapter.r: input should be greater"),
        (["--preset", "demo-cpu", "--set", "training.lr=1"], "training.learning_rate"),
        (["--preset", "demo-cpu", "--set", "nothing"], "not of the form"),
        (["--model", "a/b", "--dataset", "generator:venvy", "--size", "huge"], "no size 'huge'"),
        (["--preset", "demo-cpu", "--size", "fast"], "has sizes of its own"),
    ],
)
def test_a_wrong_option_is_told_with_what_to_do(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", *arguments, "--save", str(tmp_path / "x.toml")]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "x.toml").exists()


def test_the_recipe_is_written_and_nothing_started(own_machine: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    assert main(["new", "--preset", "demo-cpu", "--set", "adapter.r=4", "--save", str(path)]) == 0
    assert Recipe.load(path).adapter.r == 4
    assert not (own_machine / "runs").exists()


def test_a_saved_draft_is_left_alone_by_a_complete_command_line(tmp_path: Path) -> None:
    save(Draft("demo-cpu"))
    assert main(["new", "--preset", "demo-cpu", "--save", str(tmp_path / "x.toml")]) == 0
    assert saved_draft() is not None


def test_a_page_that_is_only_a_screen_says_so_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--screen"]) == 2
    assert "needs a terminal to draw on" in capsys.readouterr().err


def test_two_runs_are_compared_as_text_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    names = [str(recorded_run(name).path) for name in ("finished", "stopped")]
    assert main(["compare", *names]) == 0
    told = capsys.readouterr().out
    for words in ("What came of them", "40 of 40", "13 of 30", "What was asked differently", "training.max_steps"):
        assert words in told
