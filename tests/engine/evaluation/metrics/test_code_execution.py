"""The code of an answer passes the tests of its row, or it does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from data.formats import mbpp
from engine.evaluation.metrics import Reply, all_metrics
from engine.evaluation.metrics.code_execution import tests_of as found_tests
from engine.evaluation.metrics.code_execution import unconfined
from engine.recipe_sections import EvaluationSection

Settings = Callable[..., EvaluationSection]
CODE = str(mbpp.EXAMPLE["code"])
METRIC = all_metrics()["code_execution"]


def reply(answer: str, **columns: object) -> Reply:
    """An answer to a row as the mbpp format makes it, or to one with columns of its own."""
    row = mbpp.convert(mbpp.EXAMPLE, 1)
    return Reply(row.answer, answer, request="" if columns else row.messages[-2].content, row=columns)


def test_the_tests_in_the_words_of_the_request_decide(settings: Settings) -> None:
    replies = [reply(CODE), reply("def add(a, b):\n    return a - b"), reply("import sys; sys.exit(0)"), reply("")]
    assert METRIC.rows(replies, settings(run_code=True)) == [1.0, 0.0, 0.0, 0.0]


def test_code_is_taken_out_of_its_marks(settings: Settings) -> None:
    told = f"Here it is:\n```python\n{CODE}\n```\nIt adds.\n```\nadd(1, 2)\n```"
    assert METRIC.rows([reply(told)], settings(run_code=True)) == [1.0]
    pattern = settings(run_code=True, answer_pattern=r"^CODE: (.*)$")
    assert METRIC.rows([reply("CODE: add = lambda a, b: a + b\nDONE")], pattern) == [1.0]


def test_tests_may_be_columns_with_what_they_need_before_them(settings: Settings) -> None:
    columns = {
        "test_imports": ["import math"],
        "test_setup_code": "three = 3",
        "test_list": ["assert add(1, 2) == three", "assert add(0, 0) == math.floor(0.5)"],
    }
    found = METRIC.rows([reply(CODE, **columns), reply("add = max", **columns)], settings(run_code=True))
    assert found == [1.0, 0.0]


def test_rows_without_tests_or_whose_own_code_fails_them_have_no_value(settings: Settings) -> None:
    wrong = reply(CODE, test_list=["assert add(1, 2) == 4"])
    assert METRIC.rows([Reply("4", "4", request="2 + 2?"), wrong], settings(run_code=True)) == [None, None]
    assert found_tests(Reply("4", "4", request="2 + 2?", row={"test_list": "assert"})) == ()


def test_nothing_is_run_unless_it_was_allowed(settings: Settings) -> None:
    [(field, happened, remedy)] = METRIC.problems(settings())
    assert field == "evaluation.run_code"
    assert "nobody has allowed" in happened
    assert "run_code = true" in remedy
    with pytest.raises(ValueError, match="run_code"):
        METRIC.rows([reply(CODE)], settings())
    assert METRIC.problems(settings(run_code=True)) == []


def test_what_the_machine_cannot_take_away_is_known() -> None:
    assert unconfined([Reply("4", "4")]) == ()
    assert set(unconfined([reply(CODE)])) <= {"files", "network", "processes"}
