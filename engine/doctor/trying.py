"""Has tasks done in a process of their own (`worker`), and goes on in another one where a task kills it.

Not here: what the answers mean.
"""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from engine.doctor.worker import MARK
from engine.environment import child_environment, worker_command

MODULE = "engine.doctor.worker"
TIMEOUT_SECONDS = 300.0
"""For all tasks together. Importing the stack takes 6 s from a warm disk; a network disk can take minutes."""

Answers = dict[str, dict[str, Any]]
"""Task -> what it told. {"raised": …} is an exception, {"ended": …} the end of the process it ran in,
{"untried": …} the reason why it was not done."""


def answers_of(
    tasks: Sequence[str],
    spoiled_by: Callable[[str, str], bool] = lambda _bad, _task: False,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Answers:
    """Every task's answer. `spoiled_by(bad, task)` says that after `bad` failed nothing can be learned from `task`."""
    answers: Answers = {}
    left = list(tasks)
    until = time.monotonic() + timeout_seconds
    while left:
        done, at = _in_one_process(left, until)
        answers |= done
        left = [task for task in left if task not in answers]
        bad = [task for task, answer in answers.items() if "raised" in answer or "ended" in answer]
        for task in list(left):
            if blamed := next((each for each in bad if spoiled_by(each, task)), None):
                answers[task] = {"untried": blamed}
                left.remove(task)
        if time.monotonic() >= until or (left and not at):
            answers |= {task: {"untried": "the time was over"} for task in left}
            break
    for task, answer in answers.items():  # what raised after its reason had failed is no finding of its own
        blamed = next(
            (each for each in answers if each != task and _failed(answers[each]) and spoiled_by(each, task)), ""
        )
        if blamed and _failed(answer):
            answers[task] = {"untried": blamed}
    return {task: answers[task] for task in tasks}


def _failed(answer: dict[str, Any]) -> bool:
    return "raised" in answer or "ended" in answer


def _in_one_process(tasks: Sequence[str], until: float) -> tuple[Answers, str]:
    """What one process told of the tasks before it ended, and the last task it came to."""
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            worker_command(MODULE, *tasks),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=errors,
            env=child_environment() | {"PYTHONWARNINGS": "ignore", "PYTHONFAULTHANDLER": ""},
        )
        try:
            code = process.wait(max(until - time.monotonic(), 0.1))
            ended = _ending(code)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            code, ended = 1, "it did not end in time"
        said.seek(0)
        errors.seek(0)
        lines = said.read().decode("utf-8", errors="replace").splitlines()
        words = _last_line(errors.read().decode("utf-8", errors="replace").splitlines())
    answers: Answers = {}
    at = ""
    for line in lines:
        if line.startswith(MARK):
            told = json.loads(line.removeprefix(MARK))
            at = told["task"]
            if "answer" in told:
                answers[at] = told["answer"]
    if code and at and at not in answers:
        answers[at] = {"ended": ended, "words": words}
    elif code and not at:  # it came to no task at all
        answers[tasks[0]] = {"ended": ended, "words": words}
    return answers, at


def _ending(code: int) -> str:
    if code >= 0:
        return f"its process ended with exit code {code}"
    try:
        return f"its process was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"its process was killed by signal {-code}"


def _last_line(lines: Iterable[str]) -> str:
    return next((line.strip() for line in reversed(list(lines)) if line.strip()), "")


def in_background(
    tasks: Sequence[str], spoiled_by: Callable[[str, str], bool] = lambda _bad, _task: False
) -> Future[Answers]:
    """`answers_of`, while the caller does something else."""
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="doctor")
    try:
        return pool.submit(answers_of, tasks, spoiled_by)
    finally:
        pool.shutdown(wait=False)


def reason_of(answer: dict[str, Any]) -> str:
    """Why a task failed, in words; "" where it did not."""
    if "raised" in answer:
        return str(answer["raised"])
    if "ended" in answer:
        return f"{answer['ended']}" + (f" ({answer['words']})" if answer.get("words") else "")
    return ""
