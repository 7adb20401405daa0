"""Answers on disk: appended row by row, continued after a kill."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.evaluation.answers_file import Answer, AnswersFile


def answer(row: int, text: str = "venvy ls") -> Answer:
    return Answer(
        row, row + 10, "list them", "venvy ls", text, "venvy ls", text, text == "venvy ls", "ls", False, row / 2
    )


def test_what_was_appended_is_there_again(tmp_path: Path) -> None:
    path = tmp_path / "tuned.jsonl"
    texts = ["venvy ls", "two\nlines\x85\u2028", "half a character \udce9", "[x] \x1b[31m"]
    with AnswersFile(path) as answers:
        for row, text in enumerate(texts):
            answers.append(answer(row, text))
    with AnswersFile(path) as answers:
        assert [answers.done[row].answer for row in range(4)] == texts
        assert answers.seconds == 1.5


@pytest.mark.parametrize("tail", [b'{"row": 2, "li', b'{"row": 2}\n', b"\x00\x00\x00\n", b'{"row": 2, "line": 3}'])
def test_a_torn_last_line_is_cut_off_and_its_row_answered_again(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "tuned.jsonl"
    with AnswersFile(path) as answers:
        answers.append(answer(0))
        answers.append(answer(1))
    whole = path.read_bytes()
    path.write_bytes(whole + tail)
    with AnswersFile(path) as answers:
        assert sorted(answers.done) == [0, 1]
        answers.append(answer(2))
    assert path.read_bytes().startswith(whole)
    with AnswersFile(path) as answers:
        assert sorted(answers.done) == [0, 1, 2]


def test_a_last_line_that_lacks_only_its_line_break_is_answered_again(tmp_path: Path) -> None:
    path = tmp_path / "tuned.jsonl"
    with AnswersFile(path) as answers:
        answers.append(answer(0))
    path.write_bytes(path.read_bytes()[:-1])
    with AnswersFile(path) as answers:
        assert answers.done == {}
