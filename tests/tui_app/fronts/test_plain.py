"""Plain questions: numbers, help, going back, more settings, leaving; and not one escape in a real terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tui_app.fronts.plain import ask_plainly, chosen_text, wants_plain_draft
from tui_app.fronts.walk import Outcome, Walk
from tui_app.steps.answering import first_draft
from tui_app.steps.draft import Draft
from tui_app.steps.draft_file import saved_draft
from tui_app.steps.schema import Choice
from tui_app.steps.surroundings import Surroundings, gather


@pytest.fixture(scope="module")
def surroundings() -> Surroundings:
    return gather(Path("/nowhere"))


def talk(surroundings: Surroundings, *lines: str) -> tuple[Outcome, str]:
    """What comes of typing these lines, and everything that was said. The input ends behind them."""
    typed: Iterator[str] = iter(lines)
    said: list[str] = []

    def ask(prompt: str) -> str:
        said.append(prompt)
        line = next(typed, None)
        if line is None:
            raise EOFError
        return line

    outcome = ask_plainly(first_draft(surroundings), surroundings, ask=ask, say=said.append)
    return outcome, "\n".join(said)


def test_enter_through_everything_starts_the_proposed_run(surroundings: Surroundings) -> None:
    outcome, said = talk(surroundings, "", "", "", "", "")
    assert outcome == Outcome("start", Draft("demo-cpu"))
    assert "Step 1 of 5" in said
    assert "peak allocated" in said


def test_the_end_of_the_input_changes_nothing_and_the_draft_is_kept(surroundings: Surroundings) -> None:
    outcome, said = talk(surroundings, "", "", "", "qlora", *[])
    assert outcome.action == "leave"
    assert "nothing was started and nothing changed" in said
    saved = saved_draft()
    assert saved is not None
    assert saved.draft == Draft("demo-cpu", (("method", "qlora"),))


def test_a_wrong_answer_is_told_and_asked_again(surroundings: Surroundings) -> None:
    _, said = talk(surroundings, "99", "nonsense", "", "", "", "m", "", "0", "q")
    assert "! There is no choice 99." in said
    assert "There is no preset 'nonsense'" in said
    assert "greater than or equal to 1" in said


def test_help_names_the_choices_and_back_goes_back_across_steps(surroundings: Surroundings) -> None:
    _, said = talk(surroundings, "?", "", "b", "q")
    assert "A preset is a whole recipe" in said
    assert said.count("Step 1 of 5") == 2


def test_ones_own_model_must_be_named_before_it_goes_on(surroundings: Surroundings) -> None:
    _, said = talk(surroundings, "own", "", "", "q")
    assert said.count("! Base model is needed: Hub id") == 2


def test_a_question_that_its_answer_makes_superfluous_does_not_start_it_all_again(
    surroundings: Surroundings, tmp_path: Path
) -> None:
    (tmp_path / "odd.jsonl").write_text('{"Was?": "a", "wie": "b"}\n' * 5)
    lines = [
        "own",
        "bundled:smollm2-135m-instruct",
        "",
        str(tmp_path / "odd.jsonl"),
        "",
        "{Was?} -> {wie}",
        "",
        "",
        "5",
    ]
    _, said = talk(surroundings, *lines)
    assert said.count("Step 1 of 5") == 1
    assert "Step 5 of 5" in said


@pytest.mark.parametrize(
    ("typed", "answer"),
    [("1", "a"), (" 2 ", "b"), ("3", None), ("x y", "x y"), ("=1", "1"), ("=", ""), ("= b", " b"), ("==", "=")],
)
def test_a_typed_line_is_a_number_or_a_text(typed: str, answer: str | None) -> None:
    assert chosen_text(typed, [Choice("a", "A"), Choice("b", "B")]) == answer


def test_an_impossible_choice_cannot_be_taken(surroundings: Surroundings) -> None:
    walk = Walk(Draft("demo-cpu"), surroundings)
    place = walk.place("preset")
    assert place is not None
    impossible = next((each for each in walk.choices(place[1]) if each.impossible), None)
    if impossible is not None:
        assert walk.give(place[1], impossible.value) == impossible.impossible


def test_the_draft_of_an_earlier_visit_is_taken_with_enter_and_left_with_no() -> None:
    assert wants_plain_draft("Go on?", lambda _: "")
    assert not wants_plain_draft("Go on?", lambda _: "n")


def test_in_a_dumb_terminal_not_one_escape_is_written(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"} | {"TERM": "dumb"}
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "tui_app"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=tmp_path,
        env=environment,
    )
    os.close(theirs)
    os.write(ours, b"\n\n\n\n2\nmine.toml\n")
    written = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        written += piece
    os.close(ours)
    assert process.wait(timeout=60) == 0, written.decode()
    assert b"\x1b" not in written
    assert (tmp_path / "mine.toml").is_file()
    assert b"recipe written: " in written


def odd_rows(folder: Path) -> str:
    """A file whose columns no format has."""
    path = folder / "odd.csv"
    path.write_text("Question,Reply\n" + "what?,that\n" * 8)
    return str(path)


def test_rows_of_unknown_columns_are_told_at_once_and_keep_the_run_from_being_started(
    surroundings: Surroundings, tmp_path: Path
) -> None:
    enters = [""] * 5
    outcome, said = talk(
        surroundings, "own", "bundled:smollm2-135m-instruct", "", odd_rows(tmp_path), *enters, "1", "", ""
    )
    behind_rows = said.partition("Rows []: ")[2]
    assert "! These rows cannot be read yet." in behind_rows.partition("\nFormat\n")[0]
    assert "The file's columns: Question, Reply." in behind_rows
    assert '{ prompt = "Question", completion = "Reply" }' in behind_rows
    menu = said.partition("This cannot be started yet:\n! Data: the rows cannot be read.")[2]
    assert "What now [3]: " in menu
    assert "! It cannot be started yet; what is wrong stands above the menu." in menu
    assert "\nColumns [{  }]: " in menu, "changing begins at what is wrong"
    assert outcome.action == "leave"


def test_the_columns_that_the_example_names_make_the_rows_readable(surroundings: Surroundings, tmp_path: Path) -> None:
    columns = '{ prompt = "Question", completion = "Reply" }'
    lines = ["own", "bundled:smollm2-135m-instruct", "", odd_rows(tmp_path), "", "", "?", columns, "", "", ""]
    outcome, said = talk(surroundings, *lines)
    assert said.count("! These rows cannot be read yet.") == 1
    assert "\nRows: prompt_completion: " in said
    assert "What now [1]: " in said
    assert outcome.action == "start"


def test_what_columns_may_mean_is_offered_as_a_number(surroundings: Surroundings, tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    path.write_text("Question,Reply\n" + "what is it?,that\nwho?,me there\n" * 8)
    lines = ["own", "bundled:smollm2-135m-instruct", "", str(path), "", "", "2", "", "", ""]
    outcome, said = talk(surroundings, *lines)
    assert "1. as they are" in said
    assert outcome.draft.recipe().data.columns == {"prompt": "Question", "completion": "Reply"}
    assert outcome.action == "start"


@pytest.mark.parametrize("width", [70, 80, 100])
def test_nothing_is_wider_than_the_terminal_and_no_word_is_broken(
    surroundings: Surroundings, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    _, said = talk(surroundings, "?", "q")
    explained = said.partition("Start from [")[2]
    assert max(map(len, said.splitlines())) < width
    assert "A preset is a whole recipe" in " ".join(explained.split())
    assert "to answer with one of these letters type =b" in " ".join(said.split())


def test_well_known_datasets_are_offered_where_there_are_no_rows_and_bring_how_they_are_read(
    surroundings: Surroundings,
) -> None:
    lines = ["own", "bundled:smollm2-135m-instruct", "?", "reasoning", "?", "openai/gsm8k", "q"]
    outcome, said = talk(surroundings, *lines)
    told = " ".join(said.split())
    assert "Well-known datasets" in told
    assert "Scores on GSM8K and MATH mean little" in told, "what gets worse is the help of a use case"
    assert "openai/gsm8k, MIT, 7,473 rows" in told
    assert "Calculator marks such as" in told, "what gets worse is the help of a dataset"
    data = outcome.draft.recipe().data
    assert (data.dataset, data.subset, data.split, data.format) == ("openai/gsm8k", "main", "train", "question_answer")
    assert outcome.draft.reason("data.subset") == "so the catalog says"


def test_what_somebody_says_of_the_rows_stands_against_the_catalog() -> None:
    draft = Draft().with_answer("model.name_or_path", "bundled:smollm2-135m-instruct")
    draft = draft.with_answer("data.template", "{question} {answer}").with_answer("data.dataset", "openai/gsm8k")
    data = draft.recipe().data
    assert (data.format, data.template, data.subset) == ("auto", "{question} {answer}", "main")
