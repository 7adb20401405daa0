"""One app process behind one browser tab: started without a shell, told nothing secret, ended for certain.

textual-serve's AppService moves the bytes. Runs that the app starts are processes of their own and outlive it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from functools import partial
from typing import Any

from textual_serve.app_service import AppService

from engine.launcher import kill_group
from engine.worker_edge import die_with_parent

QUIT_SECONDS = 3.0
"""How long an app may take to end when asked, before its processes are killed."""
FRAMES_PER_SECOND = "30"
READY = b"__GANGLION__\n"
"""What Textual's web driver writes before its first packet."""
PRELUDE_LINES = 10
MAX_WORDS = 8 * 1024
log = logging.getLogger("finetui.serving")


def app_command(*, is_readonly: bool) -> list[str]:
    """How the served app is started: this installation, whatever lies in the present folder."""
    return [sys.executable, "-P", "-m", "tui_app", *(["runs", "--screen", "--readonly"] if is_readonly else [])]


class Session(AppService):
    """`arguments` is the command as a list; there is no shell to read it."""

    def __init__(self, arguments: Sequence[str], **rest: Any) -> None:
        super().__init__(" ".join(arguments), **rest)
        self._arguments = tuple(arguments)

    def _build_environment(self, width: int = 80, height: int = 24) -> dict[str, str]:
        environment = super()._build_environment(width, height)
        # What the browser can do, whatever the terminal can that the server was started in. SSH_CONNECTION stays: who
        # looks through a tunnel looks over the same line.
        can = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LC_ALL": "C.UTF-8"}
        environment |= can | {"TEXTUAL_FPS": FRAMES_PER_SECOND}
        for name in ("TMUX", "STY", "COLORFGBG"):
            environment.pop(name, None)
        return environment

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        self._process = process = await asyncio.create_subprocess_exec(
            *self._arguments,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            env=self._build_environment(width, height),
            start_new_session=True,  # Ctrl-C at the server reaches the server alone, which then ends its apps
            # Textual's web driver does not notice that its standard input ended: an app without its server would stay.
            preexec_fn=partial(die_with_parent, os.getpid()),
        )
        self._stdin = process.stdin
        return process

    async def run(self) -> None:
        """Hand the app's packets to the browser until the app ends; then close the browser's connection."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        assert process.stderr is not None
        words = asyncio.create_task(last_words(process.stderr))
        try:
            await self._relay(process.stdout)
        except (asyncio.IncompleteReadError, ConnectionResetError):
            pass
        finally:
            words.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await words
            with contextlib.suppress(ConnectionResetError):
                await self.remote_close()

    async def _relay(self, stdout: asyncio.StreamReader) -> None:
        takers = {b"D": self.on_data, b"M": self.on_meta, b"P": self.on_packed}
        for _ in range(PRELUDE_LINES):
            line = await stdout.readline()
            if line == READY or not line:
                break
        while True:
            kind = await stdout.readexactly(1)
            size = int.from_bytes(await stdout.readexactly(4), "big")
            if kind not in takers:  # what an app prints once it has left the screen
                return
            await takers[kind](await stdout.readexactly(size))

    async def stop(self) -> None:
        """Ask the app to end; kill it, and what it started in its group, if it does not."""
        process, task = self._process, self._task
        if process is None or task is None:
            return
        self._task = None
        await self._download_manager.cancel_app_downloads(app_service_id=self.app_service_id)
        await self.send_meta({"type": "quit"})
        try:
            await asyncio.wait_for(process.wait(), QUIT_SECONDS)
        except TimeoutError:
            kill_group(process.pid, signal.SIGKILL)
            await process.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def last_words(stderr: asyncio.StreamReader) -> None:
    """Read all that an app writes to standard error, and log the end of it."""
    kept = b""
    try:
        while data := await stderr.read(4096):
            kept = (kept + data)[-MAX_WORDS:]
    finally:
        if kept.strip():
            log.warning("an app said: %s", kept.decode(errors="replace"))
