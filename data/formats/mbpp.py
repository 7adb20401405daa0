"""text (or prompt), code and test_list: programming tasks with their tests (MBPP).

    {"text": "Write a function to add two numbers.", "code": "def add(a, b):\n    return a + b",
     "test_list": ["assert add(1, 2) == 3"]}

The tests are part of the request, in the words that Austin et al. used for MBPP ("Program Synthesis with Large
Language Models", 2021, https://github.com/google-research/google-research/tree/master/mbpp), less their marks
around the code. "prompt" instead of "text" is the sanitized edition.
"""

from __future__ import annotations

from typing import Any

from data.conversation import Conversation, Example, single_turn
from data.rows import Row, RowProblem, checked_text, kind_of, text_of
from data.understanding.pairs import SYSTEM, parts_of, system_of
from data.understanding.turns import unpacked

EXAMPLE = {
    "text": "Write a function to add two numbers.",
    "code": "def add(a, b):\n    return a + b",
    "test_list": ["assert add(1, 2) == 3", "assert add(0, 0) == 0"],
}
DEPTH = 1
COLUMNS = ("text", "prompt", "code", "test_list", *SYSTEM)
_BEFORE = "You are an expert Python programmer, and here is your task: "
_BETWEEN = " Your code should pass these tests:\n\n"


def matches(row: Row) -> bool:
    """Has the task under either name, its code and its tests."""
    return "code" in row and "test_list" in row and ("text" in row or "prompt" in row)


def convert(row: Row, line: int) -> Conversation:
    """The task and its tests -> user, code -> assistant."""
    task = text_of(row, "text" if row.get("text") is not None or "prompt" not in row else "prompt")
    tests = unpacked(row.get("test_list"))
    if not isinstance(tests, list | tuple):
        raise RowProblem(f"'test_list' is {kind_of(tests)}, not a list of tests")
    if not tests:
        raise RowProblem("'test_list' holds no test")
    shown = "\n".join(checked_text(test, "a test in 'test_list'") for test in tests)
    return single_turn(f"{_BEFORE}{task}{_BETWEEN}{shown}", text_of(row, "code"), line, system_of(row))


def row_of(example: Example) -> dict[str, Any]:
    """The task and its tests taken apart again, one test per line where no line is blank."""
    system, request, code = parts_of(example, "mbpp")
    start, between, tests = request.rpartition(_BETWEEN)
    task = start.removeprefix(_BEFORE)
    if not (between and start.startswith(_BEFORE) and task.strip() and tests.strip()):
        raise RowProblem("the request names no tests in MBPP's words, and mbpp wants them apart")
    lines = tests.split("\n")
    row = {"text": task, "code": code, "test_list": lines if all(line.strip() for line in lines) else [tests]}
    return row if system is None else {"system": system, **row}
