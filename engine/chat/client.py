"""The viewer's end of a conversation: starts the worker, hands it questions, and reads what it tells.

Loads no library. Not here: what the lines mean to a person (`tui_app`), answering (`worker`).
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Generator, Mapping, Sequence
from typing import Any, cast

from engine.chat.settings import Settings
from engine.chat.sides import Side
from engine.environment import child_environment, device_environment, worker_command
from engine.errors import DiedError, FinetuiError
from engine.run_dir import RunDir, read_json

MODULE = "engine.chat.worker"
Turns = Sequence[Mapping[str, str]]
"""A conversation as {role, content} messages; the last one is the question."""


class ChatWorker:
    """One worker process. `messages` blocks and belongs in one thread; all else may be called from any, at any time."""

    def __init__(self, sides: Sequence[Side]) -> None:
        self.sides = tuple(sides)
        self.is_closed = False
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self._number = 0
        run = RunDir(self.sides[0].run)
        plan = read_json(run.newest_plan_file())
        environment = child_environment(offline=run.model.exists()) | device_environment(
            device=plan["device"],
            uuid=plan.get("device_uuid", ""),
            expandable_segments=bool(plan.get("expandable_segments")),
            is_capped=False,
        )
        self.process = subprocess.Popen(
            worker_command(MODULE, str(os.getpid()), json.dumps([side.to_json() for side in self.sides])),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=environment,
            start_new_session=True,  # Ctrl-C at the terminal ends an answer, not the process with its models
        )

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def ask(self, turns: Mapping[str, Turns], settings: Settings) -> int:
        """Put a question to some sides, each with its own conversation; the number that its answers carry."""
        self._number += 1
        asked = {side: [dict(turn) for turn in each] for side, each in turns.items()}
        self._send({"ask": self._number, "turns": asked, "settings": settings.to_json()})
        return self._number

    def stop(self) -> None:
        """End the present answer."""
        self._send({"stop": True})

    def messages(self) -> Generator[dict[str, Any], None, None]:
        """What the worker tells, line by line, until it is closed.

        Raises what kept it from loading, and DiedError when it ends unasked. A fault of one question is a message:
        {"number", "error"}.
        """
        assert self.process.stdout is not None
        try:
            for line in self.process.stdout:
                told = cast(dict[str, Any], json.loads(line))
                if "error" in told and "number" not in told:
                    self.process.wait()
                    raise error_of(told["error"])
                yield told
            code = self.process.wait()
            if not self.is_closed:
                raise self._died(code)
        finally:
            self._close_files()

    def close(self) -> None:
        """End the process; `messages` ends by it."""
        self.is_closed = True
        with contextlib.suppress(OSError):
            self.process.kill()
        self.process.wait()

    def _send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # it ended: `messages` says so
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()

    def _close_files(self) -> None:
        for file in (self.process.stdin, self.process.stdout, self._said):
            with contextlib.suppress(OSError):
                file.close()  # type: ignore[union-attr]

    def _died(self, code: int) -> DiedError:
        self._said.seek(0)
        last = (self._said.read().decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        was_killed = code == -9
        how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
        return DiedError(
            f"The process that answers {how}: {last[:300]}",
            means="It was killed; memory may have run out. Nothing of the run is damaged."
            if was_killed
            else "What was said so far is kept; nothing of the run is damaged.",
            remedy="Send the message again: the model is loaded anew. With too little memory, talk to one side only.",
        )


def error_of(told: Mapping[str, str]) -> FinetuiError:
    """A worker's fault as the error it was there."""
    from engine.row_preview import error_of as as_error

    return as_error(dict(told))
