"""The worker process that makes dry runs, as seen by who asks it: started late, watched, ended.

One JSON object a line: a question {"id", "config", "spec", "full_depth"} in, {"id", "result"} or {"id", "error"}
out. Not here: what is asked and what becomes of the answers (`dry_runs`).
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import tempfile
import time
from collections.abc import Callable
from types import TracebackType
from typing import IO, Any, NoReturn

import psutil

from engine.environment import looking_environment, worker_command
from engine.errors import DiedError, ModelError

MODULE = "engine.training.dry_run.worker"
QUIET_SECONDS, ANSWER_SECONDS = 120.0, 900.0
"""A worker that uses no processor time for so long, or needs so long for an answer, is given up. An answer takes 1 to
12 s on an idle machine, and many times that beside a run that computes."""
LOOK_SECONDS = 0.25
END_SECONDS = 2.0
LONGEST_LINE = 1 << 20


class DryRunProcess:
    """One worker. It is started by the first question, and a worker that failed once is not started again."""

    def __init__(
        self,
        module: str = MODULE,
        *,
        quiet_seconds: float = QUIET_SECONDS,
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_wait` is called four times a second while an answer is awaited; what it raises ends the waiting."""
        self.module, self.quiet_seconds, self.on_wait = module, quiet_seconds, on_wait
        self.process: subprocess.Popen[bytes] | None = None
        self.errors: IO[bytes] | None = None
        self.failure = ""
        self.last_id = 0
        self._tail = b""

    def __enter__(self) -> DryRunProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, _: TracebackType | None) -> None:
        if kind is not None and self.process is not None:
            self.process.kill()  # nobody waits for what it computes, and it has nothing to lose
        self.close()

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """The result for one question.

        Raises ModelError where the dry run says that this model cannot be run, DiedError where there is no worker
        (any more), or none that answers in time.
        """
        if self.failure:
            raise _unavailable(self.failure)
        self.last_id += 1
        try:
            answer = self._exchange(json.dumps({"id": self.last_id, **question}).encode() + b"\n")
        except OSError as fault:
            self._give_up(self._last_words() or str(fault))
        if "error" in answer:
            error = answer["error"]
            raise ModelError(str(error["happened"]), means=str(error["means"]), remedy=str(error["remedy"]))
        result: dict[str, Any] = answer["result"]
        return result

    def close(self) -> None:
        """End the worker. It ends by itself once nobody can ask any more."""
        process, self.process = self.process, None
        if process is not None:
            assert process.stdin is not None
            assert process.stdout is not None
            with contextlib.suppress(OSError):
                process.stdin.close()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
        if self.errors is not None:
            self.errors.close()
            self.errors = None

    def _exchange(self, line: bytes) -> dict[str, Any]:
        process = self.process or self._start()
        assert process.stdin is not None
        process.stdin.write(line)
        process.stdin.flush()
        while True:
            answer = self._line()
            # Libraries may print lines of their own; an answer to an earlier question is out of date.
            with contextlib.suppress(ValueError):
                told = json.loads(answer)
                if isinstance(told, dict) and told.get("id") == self.last_id:
                    return told

    def _start(self) -> subprocess.Popen[bytes]:
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the worker; a pipe nobody reads could fill up)
        self.process = subprocess.Popen(
            worker_command(self.module),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            env=looking_environment(),
        )
        return self.process

    def _line(self) -> bytes:
        """The next line of the worker. Raises DiedError when it ended, hangs or took too long."""
        assert self.process is not None
        assert self.process.stdout is not None
        started = quiet_since = time.monotonic()
        worked = self._cpu_seconds()
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._tail:
                if not selector.select(min(LOOK_SECONDS, self.quiet_seconds)):
                    self.on_wait()
                    now, works = time.monotonic(), self._cpu_seconds()
                    if works > worked:
                        worked, quiet_since = works, now
                    if now - quiet_since > self.quiet_seconds or now - started > ANSWER_SECONDS:
                        self._give_up("its worker did not answer in time")
                    continue
                read = os.read(self.process.stdout.fileno(), 1 << 16)
                if not read or len(self._tail) > LONGEST_LINE:
                    self._give_up(self._last_words())
                self._tail += read
        line, _, self._tail = self._tail.partition(b"\n")
        return line

    def _cpu_seconds(self) -> float:
        """Processor time of the worker so far; where that cannot be told it counts as hanging."""
        assert self.process is not None
        try:
            times = psutil.Process(self.process.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return float(times.user + times.system)

    def _last_words(self) -> str:
        """How the worker ended: the last line that it wrote as an error."""
        assert self.process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(END_SECONDS)
        if self.errors is None:
            return ""
        self.errors.seek(0)
        said = [line.strip() for line in self.errors.read().decode(errors="replace").splitlines() if line.strip()]
        code = self.process.returncode
        ended = (
            f"its worker was killed by signal {-code}" if code and code < 0 else f"its worker ended with code {code}"
        )
        return f"{ended}: {said[-1][:200]}" if said else ended

    def _give_up(self, failure: str) -> NoReturn:
        """Raises DiedError, now and for every later question."""
        self.failure = failure
        if self.process is not None:
            self.process.kill()
        self.close()
        raise _unavailable(failure)


def _unavailable(failure: str) -> DiedError:
    return DiedError(
        f"The dry run is not available: {failure}.",
        means="Memory is predicted by the closed form instead, which is less exact.",
        remedy="finetui doctor checks whether the training libraries can be loaded.",
    )
