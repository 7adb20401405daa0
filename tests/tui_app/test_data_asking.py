"""Rows whose meaning cannot be told: asked on a terminal, an error with the choices everywhere else."""

from __future__ import annotations

import io
import json
import os
import pty
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data.errors import DataError
from data.loading import Rows, Shape
from tui_app.cli import main
from tui_app.data_options.asking import can_ask, understood

ROWS = [{"nummer": number, "frage": f"Was ist {number}?", "antwort": f"Eine Zahl: {number}."} for number in range(3)]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return written(tmp_path, ROWS)


@pytest.fixture
def typing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Puts a real terminal behind stdin and stderr, when called, and types a text into it."""
    master, slave = pty.openpty()
    with os.fdopen(slave, "r") as keys, os.fdopen(os.dup(slave), "w") as screen:

        def typed(text: str) -> None:
            monkeypatch.delenv("CI", raising=False)
            monkeypatch.setattr(sys, "stdin", keys)
            monkeypatch.setattr(sys, "stderr", screen)
            os.write(master, text.encode())

        yield typed
    os.close(master)


def written(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def asked(path: Path, *answers: str, shape: Shape | None = None) -> tuple[Rows, list[str]]:
    """The rows after these answers, and the prompts."""
    waiting, prompts = list(answers), []

    def answer(prompt: str) -> str:
        prompts.append(prompt)
        return waiting.pop(0)

    rows = understood(lambda shape: Rows(str(path), shape=shape), shape or Shape(), answer)
    assert not waiting
    return rows, prompts


def first_answer(rows: Rows) -> str:
    example = next(iter(rows)).example
    assert example is not None
    return f"{example.request} | {example.answer}"


def test_a_number_takes_what_is_proposed_and_the_option_for_next_time_is_said(
    rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found, _ = asked(rows, "1")
    assert first_answer(found) == "Was ist 0? | Eine Zahl: 0."
    told = capsys.readouterr()
    assert told.out == ""
    assert "1. frage is the prompt, antwort is the completion" in told.err
    assert "Was ist 0? -> Eine Zahl: 0." in told.err
    assert "next time: --column prompt=frage --column completion=antwort" in told.err


def test_a_format_is_chosen_where_several_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, [{"problem": "a", "solution": "b", "question": "c", "answer": "d"}])
    assert first_answer(asked(path, "2")[0]) == "c | d"
    assert first_answer(asked(path, "problem_solution")[0]) == "a | b"
    assert "next time: --format problem_solution" in capsys.readouterr().err


def test_names_and_a_template_can_be_typed(rows: Path) -> None:
    assert first_answer(asked(rows, "prompt=antwort completion=frage")[0]) == "Eine Zahl: 0. | Was ist 0?"
    assert first_answer(asked(rows, r"{nummer}:\n{frage}")[0]) == "0:\n | Was ist 0?"


def test_an_answer_that_is_none_is_asked_again_with_the_reason(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, prompts = asked(rows, "9", "nonsense", "prompt=fage completion=antwort", "{frage", "'", "1")
    assert first_answer(found).startswith("Was ist 0?")
    assert len(prompts) == 6
    told = capsys.readouterr().err
    assert "! 9 is none of them." in told
    assert "'fage', and no row has it" in told


def test_what_the_options_said_already_stays(rows: Path) -> None:
    shape = Shape(columns={"promt": "frage"}, system="Be brief.")
    assert first_answer(asked(rows, "1", shape=shape)[0]) == "Be brief.\nWas ist 0? | Eine Zahl: 0."


def test_an_empty_answer_leaves_with_the_error_in_words_of_the_command_line(rows: Path) -> None:
    with pytest.raises(DataError) as caught:
        asked(rows, "")
    assert "--column prompt=frage --column completion=antwort" in caught.value.remedy


def test_hostile_names_and_texts_are_shown_and_not_obeyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, [{"\x1b[2J": "x\x1b]0;t\x07", "b\n": "y[red]"}] * 2)
    asked(path, "1")
    told = capsys.readouterr().err
    assert not {"\x1b", "\x07"} & set(told)
    assert "y[red]" in told


def test_a_file_that_is_understood_asks_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked(written(tmp_path, [{"question": "a", "answer": "b"}]))
    assert capsys.readouterr().err == ""


def test_without_a_terminal_the_command_ends_with_the_choices(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "inspect", str(rows)]) == 3
    assert "--column prompt=frage --column completion=antwort" in capsys.readouterr().err


def test_on_a_terminal_the_command_asks_and_goes_on(
    rows: Path, typing: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    typing("1\n")
    assert main(["data", "inspect", str(rows)]) == 0
    assert "prompt_completion" in capsys.readouterr().out


def test_a_ci_job_is_not_asked(typing: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not can_ask({})
    typing("")
    assert can_ask({})
    assert can_ask({"CI": "false"})
    assert not can_ask({"CI": "true"})
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert not can_ask({})
