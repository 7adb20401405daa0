"""Somebody else's program, run without a shell for a limited time: what it printed, and how it ended.

It runs in a session of its own, and all that it has started ends with it. What its output means is for the caller.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_PIECE_BYTES, _LOOK_SECONDS = 65_536, 0.05


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that has ended, or was ended because it printed too much; then `exit_code` is negative."""

    exit_code: int
    printed: bytes


def ended(
    command: Sequence[str],
    seconds: float,
    most_bytes: int,
    env: Mapping[str, str] | None = None,
    only_errors: bool = False,
) -> Ended:
    """Run it. It reads nothing.

    Of what it prints the first `most_bytes` are kept, and it is ended there; with `only_errors` the last of its error
    output. Raises TimeoutError after so many seconds, and OSError where it cannot be started.
    """
    program = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL if only_errors else subprocess.PIPE,
        stderr=subprocess.PIPE if only_errors else subprocess.STDOUT,
        env=env,
        start_new_session=True,
    )
    output = program.stderr if only_errors else program.stdout
    assert output is not None
    try:
        printed = _read(program.pid, output.fileno(), time.monotonic() + seconds, most_bytes, only_errors)
    finally:
        # Not waited for yet, so its number is still its own.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(program.pid, signal.SIGKILL)
        output.close()
        program.wait()
    return Ended(program.returncode, printed)


def _read(process: int, output: int, deadline: float, most_bytes: int, only_last: bool) -> bytes:
    """What comes through the pipe until the program has ended; whatever it left running may hold the pipe open."""
    printed, is_open = bytearray(), True
    with selectors.DefaultSelector() as waiting:
        waiting.register(output, selectors.EVENT_READ)
        while time.monotonic() < deadline:
            has_ended = os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
            if is_open and waiting.select(0 if has_ended else _LOOK_SECONDS):
                piece = os.read(output, _PIECE_BYTES)
                printed += piece
                is_open = bool(piece)
                if len(printed) > most_bytes:
                    if not only_last:
                        return bytes(printed[:most_bytes])
                    del printed[:-most_bytes]
            elif has_ended:
                return bytes(printed)
            elif not is_open:
                time.sleep(_LOOK_SECONDS)
    raise TimeoutError
