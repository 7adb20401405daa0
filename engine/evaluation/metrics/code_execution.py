"""Code execution: the code of an answer passes the tests of its row, as MBPP's rows have them.

J. Austin et al., "Program Synthesis with Large Language Models" (2021): one answer per row, all tests must pass
(pass@1, greedy). The tests are columns of the row (test_list, with test_setup_code or test_imports before them), or
stand in the request in MBPP's words, as `data.formats.mbpp` puts them there. A row whose own expected code does not
pass them has no value: its tests cannot be judged by. Code is what stands between the first pair of ``` marks, else
what `evaluation.answer_pattern` finds, else the whole answer.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING

from data.conversation import single_turn
from data.formats import mbpp
from data.rows import RowProblem
from engine.evaluation.code_running import CodeResult, run_code
from engine.evaluation.metrics import MeanOfRows, Reply
from engine.evaluation.scoring import Scorer

if TYPE_CHECKING:
    from engine.recipe_sections import EvaluationSection

_FENCED = re.compile(r"^[ \t]*```[^\n]*\n(.*?)^[ \t]*```", re.MULTILINE | re.DOTALL)


class CodeExecution(MeanOfRows):
    """1 or 0 for each row whose tests can be judged by."""

    NAME = "code_execution"
    TITLE = "code passes its tests"

    def problems(self, settings: EvaluationSection) -> list[tuple[str, str, str]]:
        """Nobody has allowed it."""
        if settings.run_code:
            return []
        text = "code_execution runs the code that the models write, and nobody has allowed that."
        return [("evaluation.run_code", text, "Set evaluation.run_code = true (--run-code), or leave the metric out.")]

    def rows(self, replies: Sequence[Reply], settings: EvaluationSection) -> list[float | None]:
        """1 where all tests pass. Raises ValueError unless running code is allowed."""
        if not settings.run_code:
            raise ValueError("evaluation.run_code is off")
        scorer = Scorer.of(settings)

        def value(reply: Reply) -> float | None:
            tests = tests_of(reply)
            if not tests or not _result(code_in(reply.expected, scorer), tests).passed:
                return None
            return float(_result(code_in(reply.answer, scorer), tests).passed)

        with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as runners:
            return list(runners.map(value, replies))


def unconfined(replies: Iterable[Reply]) -> tuple[str, ...]:
    """What this machine does not take away from code that is run: files, network, processes. Empty without tests."""
    if not any(tests_of(reply) for reply in replies):
        return ()
    return _result("", ()).unconfined


def tests_of(reply: Reply) -> tuple[str, ...]:
    """The row's tests, what they need before them; empty where it has none."""
    found = reply.row.get("test_list")
    if isinstance(found, list | tuple) and found and all(isinstance(test, str) for test in found):
        imports, setup = reply.row.get("test_imports") or (), reply.row.get("test_setup_code") or ""
        before = [line for line in imports if isinstance(line, str)]
        before += [setup] if isinstance(setup, str) and setup.strip() else []
        return (*before, *found)
    try:
        shown = mbpp.row_of(single_turn(reply.request, reply.expected, 1))
    except RowProblem:
        return ()
    return ("\n".join(shown["test_list"]),)  # where one test ends and the next begins is lost there


def code_in(text: str, scorer: Scorer) -> str:
    """The code of an answer."""
    fenced = _FENCED.search(text)
    if fenced:
        return fenced[1]
    found = scorer.found(text)
    return text if found is None else found


@cache
def _result(code: str, tests: tuple[str, ...]) -> CodeResult:
    """The same code and tests are run once: the expected code is that of every variant."""
    return run_code(code, tests)


METRICS = (CodeExecution(),)
