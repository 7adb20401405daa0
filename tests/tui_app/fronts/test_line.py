"""Questionary's front end: Enter through everything, Ctrl-C, a wrong text, a setting changed from the review."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from tui_app.fronts.line import ask_in_lines, wants_line_draft
from tui_app.fronts.walk import Outcome
from tui_app.steps.answering import first_draft
from tui_app.steps.draft import Draft
from tui_app.steps.surroundings import Surroundings, gather

ENTER, DOWN, UP, CLEAR = "\r", "\x1b[B", "\x1b[A", "\x15"


@pytest.fixture(scope="module")
def surroundings() -> Surroundings:
    return gather(Path("/nowhere"))


@contextmanager
def typed(keys: str) -> Iterator[None]:
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        pipe.send_text(keys)
        yield


def talk(surroundings: Surroundings, keys: str) -> tuple[Outcome, str]:
    said: list[str] = []
    with typed(keys):
        outcome = ask_in_lines(first_draft(surroundings), surroundings, say=said.append)
    return outcome, "\n".join(said)


def test_enter_through_everything_starts_the_proposed_run(surroundings: Surroundings) -> None:
    outcome, said = talk(surroundings, ENTER * 5)
    assert outcome == Outcome("start", Draft("demo-cpu"))
    assert "peak allocated" in said


def test_ctrl_c_changes_nothing_and_says_so(surroundings: Surroundings) -> None:
    outcome, said = talk(surroundings, ENTER + "\x03")
    assert outcome.action == "leave"
    assert "nothing was started and nothing changed" in said


def test_a_wrong_text_is_not_taken_until_it_is_mended(surroundings: Surroundings) -> None:
    other = UP + ENTER  # the last choice of methods asks for a text
    outcome, _ = talk(surroundings, ENTER * 3 + other + CLEAR + "magic" + ENTER + CLEAR + "rslora+dora" + ENTER * 2)
    assert outcome.draft.value("method") == "rslora+dora"


def test_leaving_at_the_review_is_leaving(surroundings: Surroundings) -> None:
    outcome, _ = talk(surroundings, ENTER * 4 + UP + ENTER)
    assert outcome.action == "leave"


def test_the_draft_of_an_earlier_visit_is_taken_with_enter_and_left_with_no() -> None:
    with typed(ENTER):
        assert wants_line_draft("Go on?")
    with typed("n"):
        assert not wants_line_draft("Go on?")


def test_rows_of_unknown_columns_are_told_and_the_menu_begins_at_changing_a_setting(
    surroundings: Surroundings, tmp_path: Path
) -> None:
    path = tmp_path / "odd.csv"
    path.write_text("Question,Reply\n" + "what?,that\n" * 8)
    draft = first_draft(surroundings).with_answer("data.dataset", str(path))
    said: list[str] = []
    with typed(ENTER * 9 + "\x03"):
        outcome = ask_in_lines(draft, surroundings, say=said.append)
    told = "\n".join(said)
    assert "! These rows cannot be read yet." in told
    assert "The file's columns: Question, Reply." in told
    assert "This cannot be started yet:\n! Data: the rows cannot be read." in told
    assert outcome.action == "leave"
