"""`finetui trust`: names of models whose code may run, confirmed, listed and taken back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tui_app.cli import main


def test_a_name_is_confirmed_listed_and_taken_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(tmp_path)
    assert main(["trust", model]) == 0
    assert main(["trust", "--answers", "org/model"]) == 0
    capsys.readouterr()
    assert main(["trust", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"code": [model], "answers": ["org/model"]}
    assert main(["trust"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{model}: Python that came with it",
        "org/model: Python that it writes when it is scored",
    ]
    assert main(["trust", "--remove", model]) == 0
    assert main(["trust", "--remove", "--answers", "org/model"]) == 0
    assert main(["trust", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"code": [], "answers": []}


@pytest.mark.parametrize("words", [["--remove"], ["--answers"], ["--remove", "never/confirmed"]])
def test_what_names_nothing_is_an_error(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trust", *words]) == 2
    assert "Nothing was changed." in capsys.readouterr().err


def test_a_hostile_name_is_kept_as_it_is_and_shown_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    name = "a\x1b[2J/b\nmay run: everything"
    assert main(["trust", name]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert len(shown.splitlines()) == 1
    assert main(["trust", "--remove", name]) == 0
