"""Telling of a run's end where nobody may be looking: the desktop, and the user's own program (`notify.command`).

The supervisor does it, after the final event, so it comes without any viewer. Bounded in time; what goes wrong is a
line in `log/notify.txt` and changes nothing about the run. Not here: terminals (`tui_app/terminal/notifying`).
"""

from __future__ import annotations

import contextlib
import html
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO

from engine.errors import DiedError, OutOfMemoryError
from engine.events import RunFailed, RunFinished, RunStopped
from engine.first_look import glimpse
from engine.own_defaults import effective
from engine.redaction import redacted
from engine.run_dir import RunDir
from engine.run_state import RunState, fold_all
from engine.units import format_seconds

LIMIT_SECONDS = 10.0
"""For a program of the user's and for the desktop's, each."""
BEAT_SECONDS = 0.05
CHUNK_BYTES = 64 * 1024
MAX_PRINTED = 64 * 1024
"""Of what such a program prints, in bytes, goes to the log: it may print without end, and the disk is the run's."""
LOG = "notify"
MAX_LETTERS = 300


@dataclass(frozen=True, slots=True)
class End:
    """How a run ended, in the words of a notification. `state` is finished, stopped, failed, out_of_memory or died."""

    run: str
    state: str
    result: str
    exit_code: int

    @property
    def title(self) -> str:
        """One line for the head of a message."""
        return f"{self.run} {self.state.replace('_', ' ').replace('out of memory', 'ran out of memory')}"


def end_of(state: RunState, *, died: bool = False) -> End | None:
    """The end that a run's events tell of; None for a request carried out later, and while it goes on.

    With `died` a run without a final event is known to have no process any more.
    """
    match state.final:
        case RunFinished(seconds=seconds, of_requests=False):
            return End(state.run, "finished", f"{_score(state)}in {format_seconds(seconds)}", 0)
        case RunStopped(kept=kept):
            return End(state.run, "stopped", f"kept: {_clean(kept)}", 7)
        case RunFailed(exit_code=code, happened=happened):
            kind = "out_of_memory" if code == OutOfMemoryError.exit_code else "failed"
            return End(state.run, kind, _clean(happened), code)
        case None if died:
            return End(state.run, "died", "its processes are gone", DiedError.exit_code)
    return None


def told_end(run: RunDir, exit_code: int, keep_alive: Callable[[], None] = lambda: None) -> int:
    """Tell of the end of a run, if anybody wants to be told; the exit code given. Never raises.

    `keep_alive` is called now and then while a program is waited for.
    """
    with contextlib.suppress(Exception):  # the run is over and its events are written: nothing may spoil that
        commands = wanted_commands(os.environ)
        end = end_of(fold_all(glimpse(run.events), RunState(run=run.reference))) if commands else None
        if end is not None:
            for command in commands:
                carry_out(run, end, command, keep_alive)
    return exit_code


def wanted_commands(environ: Mapping[str, str]) -> list[tuple[str, ...]]:
    """What is to be started at the end of a run: the user's own program, and the desktop's where there is one."""
    own = tuple(effective("notify.command").value)
    desktop = ("notify-send", "--app-name=finetui", "{title}", "{result_as_html}")
    return [*([own] if own else []), *([desktop] if tells_desktop(environ) else [])]


def tells_desktop(environ: Mapping[str, str]) -> bool:
    """Whether a run started from here tells the desktop of its end: one is there, and somebody sits in front of it."""
    has_desktop = bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))
    is_elsewhere = bool(environ.get("SSH_CONNECTION") or environ.get("SSH_TTY") or is_automatic(environ))
    return has_desktop and not is_elsewhere and bool(effective("notify.desktop").value and shutil.which("notify-send"))


def is_automatic(environ: Mapping[str, str]) -> bool:
    """Whether this is the work of a build service, which nobody hears or sees."""
    return environ.get("CI", "").lower() not in ("", "0", "false")


def carry_out(run: RunDir, end: End, command: Sequence[str], keep_alive: Callable[[], None] = lambda: None) -> None:
    """Start a program, wait a bounded time, and write down what went wrong. What it prints goes to the same log."""
    words = filled(command, run, end)
    told = {
        "FINETUI_RUN_NAME": end.run,
        "FINETUI_RUN_PATH": str(run.path),
        "FINETUI_RUN_STATE": end.state,
        "FINETUI_RUN_RESULT": end.result,
        "FINETUI_EXIT_CODE": str(end.exit_code),
    }
    with run.log_file(LOG).open("ab", buffering=0) as log:
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=run.path,
                env={**os.environ, **told},
            )
        except (OSError, ValueError) as fault:
            log.write(redacted(f"{words[0]} cannot be started: {fault}\n").encode())
            return
        assert process.stdout is not None
        with process.stdout:
            _keep_printed(process, process.stdout, log, keep_alive)
            is_late = process.poll() is None
            if is_late:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if is_late:
            log.write(f"{words[0]} was ended: it took more than {LIMIT_SECONDS:.0f} s\n".encode())
        elif process.returncode:
            log.write(f"{words[0]} ended with {process.returncode}\n".encode())


def _keep_printed(
    process: subprocess.Popen[bytes], pipe: IO[bytes], log: IO[bytes], keep_alive: Callable[[], None]
) -> None:
    """Write down the first MAX_PRINTED bytes that it prints until its end or the time limit; the rest goes nowhere.

    What it leaves running may hold the pipe open: only the program itself is waited for.
    """
    num_kept, line, deadline = 0, b"", time.monotonic() + LIMIT_SECONDS
    os.set_blocking(pipe.fileno(), False)
    while time.monotonic() < deadline:
        is_over = process.poll() is not None
        chunk = pipe.read(CHUNK_BYTES) or b""
        kept = chunk[: MAX_PRINTED - num_kept]
        num_kept += len(kept)
        whole, end, line = (line + kept).rpartition(b"\n")  # a secret may be cut in two, but not by the end of a line
        log.write(_clean_bytes(whole + end))
        if is_over and (not chunk or num_kept == MAX_PRINTED):
            break
        keep_alive()
        if not chunk:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(BEAT_SECONDS)
    log.write(_clean_bytes(line + b"\n" if line else b""))


def _clean_bytes(printed: bytes) -> bytes:
    return redacted(printed.decode(errors="replace")).encode()


def filled(command: Sequence[str], run: RunDir, end: End) -> list[str]:
    """The words with what they hold in braces: {run}, {state}, {result}, {path}, {exit_code}. Nothing else is read."""
    values = {
        "{run}": end.run,
        "{state}": end.state,
        "{result}": end.result,
        "{path}": str(run.path),
        "{exit_code}": str(end.exit_code),
        "{title}": end.title,
        "{result_as_html}": html.escape(end.result),
    }
    return [_filled(word, values) for word in command]


def _filled(word: str, values: Mapping[str, str]) -> str:
    """Each place once, from left to right: what a value holds is never taken for a place."""
    told, rest = "", word
    while rest:
        name = next((name for name in values if rest.startswith(name)), "")
        told, rest = (told + values[name], rest[len(name) :]) if name else (told + rest[0], rest[1:])
    return told


def _score(state: RunState) -> str:
    """The tuned model's exact match on the test rows; else the last eval loss; empty for neither."""
    tuned = [each for each in state.scores if each.variant == "tuned" and each.dataset == "test" and each.num_rows]
    if tuned:
        return f"exact match {100 * tuned[0].num_correct / tuned[0].num_rows:.1f} % of {tuned[0].num_rows} rows, "
    return ""


def _clean(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)[:MAX_LETTERS]
