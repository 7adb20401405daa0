"""A model's code and its tests, run in a process that may do almost nothing, for a limited time.

Each run is a clean interpreter (`python -I -S`: no environment, no site-packages, nobody's modules) in an empty folder,
in a session of its own that ends with it, without the variables of this process. It gets so much processor time,
memory and output, and writes no file. On Linux it reaches no network, starts no process or thread, signals nobody and
reads no file but the interpreter's. What the machine could not take away is said with the result. That stops accidents
and greed of generated code, and a good deal of malice; it is no virtual machine, so it is off unless asked.

Not here: which code and which tests (`metrics.code_execution`).
"""

from __future__ import annotations

import json
import math
import secrets
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data.command_line.running import ended
from engine.errors import DiagnosisError

PROGRAM = Path(__file__).with_name("confined_program.py")
MIB = 1024**2


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What one run of code may use."""

    seconds: float = 10.0
    """By the clock; as much processor time, rounded up."""
    memory_bytes: int = 1024 * MIB
    """Address space, that of the interpreter included."""
    output_bytes: int = MIB


@dataclass(frozen=True, slots=True)
class CodeResult:
    """What came of one run. `where` and `fault` tell what failed: test 2, AssertionError.

    `unconfined` names what this machine could not take away from it: files, network, processes.
    """

    outcome: Literal["passed", "failed", "timed_out", "printed_too_much", "ended"]
    where: str = ""
    fault: str = ""
    unconfined: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether all tests were reached and passed."""
        return self.outcome == "passed"


DEFAULT_LIMITS = RunLimits()


def run_code(code: str, tests: Sequence[str], limits: RunLimits = DEFAULT_LIMITS) -> CodeResult:
    """Run `code`, then each test with the names it left. Nothing that the code does escapes.

    Leaving early is no pass: the end of the last test must be reached. Code that searches this program's frames for
    the mark could still lie. Raises DiagnosisError when no process can be started here.
    """
    mark = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="finetui-code-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        job = {
            "mark": mark,
            "code": code,
            "tests": list(tests),
            "limits": {"cpu_seconds": math.ceil(limits.seconds), "memory_bytes": limits.memory_bytes},
        }
        (folder / "job.json").write_text(json.dumps(job))
        command = [sys.executable, "-I", "-S", "-B", "-X", "utf8", str(PROGRAM), name]
        try:
            end = ended(command, limits.seconds, limits.output_bytes, env={})
        except TimeoutError:
            return CodeResult("timed_out", fault=f"not done after {limits.seconds:g} seconds")
        except OSError as fault:
            raise DiagnosisError(
                f"No process can be started to run code in: {fault.strerror or fault}.",
                means="Whether the code of the answers passes its tests cannot be found out.",
                remedy="Leave code_execution out, or allow more processes (ulimit -u).",
            ) from fault
    return _result(end.printed, mark, end.exit_code, len(end.printed) >= limits.output_bytes)


def _result(printed: bytes, mark: str, exit_code: int, is_cut: bool) -> CodeResult:
    start = f"\n{mark}".encode()
    told = [piece.partition(b"\n")[0] for piece in printed.split(start)[1:]]
    unconfined = tuple(json.loads(told[0])["left"]) if told else ()
    if len(told) == 2:
        verdict, _, text = told[1].partition(b" ")
        if verdict == b"passed":
            return CodeResult("passed", unconfined=unconfined)
        if verdict == b"failed":
            return CodeResult("failed", *_why(text), unconfined)
    if is_cut:
        return CodeResult("printed_too_much", fault="printed more than is read", unconfined=unconfined)
    return CodeResult("ended", fault=f"the code ended its process (exit code {exit_code})", unconfined=unconfined)


def _why(text: bytes) -> tuple[str, str]:
    """Where and how it failed, as the process told; nothing where the code spoiled what tells it."""
    try:
        told = json.loads(text)
        return str(told["where"]), str(told["fault"])
    except (ValueError, KeyError, TypeError):
        return "", ""
