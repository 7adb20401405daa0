"""The chat page with a real worker: both sides stream, answers are stopped, a killed process is said."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from engine.chat.settings import Settings
from engine.run_dir import RunDir
from tests.engine.evaluation.conftest import SYSTEM, Rig, one_thread, rig  # noqa: F401 - fixtures
from tests.tui_app.on_screen import sees, shown, until
from tui_app.app import FinetuiApp
from tui_app.looks import Looks
from tui_app.screens.chat import ChatPage
from tui_app.screens.fault import FaultDialog

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

Story = Callable[[Pilot[int], ChatPage], Awaitable[None]]


def play(page: ChatPage, story: Story, *, size: tuple[int, int] = (80, 24)) -> None:
    async def run() -> None:
        app = FinetuiApp(lambda: page, Looks())
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: page.is_mounted)
            await story(pilot, page)
        assert app.fault is None

    asyncio.run(run())


async def answered(pilot: Pilot[int], page: ChatPage, num_turns: int) -> None:
    await until(pilot, lambda: len(page.dialogue.turns) == num_turns and not page.is_answering)


def talkative(made: Rig, folder: Path) -> RunDir:
    """The run with a model that goes on until it is stopped: nothing ends its answers, and its context is long."""
    run = made.run
    shutil.copytree(json.loads(run.model.read_text())["folder"], folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 100_000}))
    run.model.write_text(json.dumps({"folder": str(folder)}))
    run.prepared.write_text(json.dumps(json.loads(run.prepared.read_text()) | {"stop_ids": []}))
    return run


def test_a_conversation_on_the_screen(rig: Callable[..., Rig], tmp_path: Path) -> None:  # noqa: F811 - the fixture
    page = ChatPage(talkative(rig(), tmp_path / "model"), settings=Settings(max_new_tokens=90_000))

    async def story(pilot: Pilot[int], page: ChatPage) -> None:
        assert "starting" in shown(pilot.app) or "loading" in shown(pilot.app) or not page.is_ready
        await pilot.press(*"number 3", "enter")
        await until(pilot, lambda: "then your message" in shown(pilot.app) or page.is_ready)
        await until(pilot, lambda: page.is_answering and bool(page.dialogue.last_answers()))
        await sees(pilot, SYSTEM)
        await pilot.press("escape")
        await answered(pilot, page, 1)
        figures = [answer.figures or {} for answer in page.dialogue.turns[0].answers.values()]
        assert any(each.get("is_stopped") for each in figures)
        await until(pilot, lambda: "stopped by you" in shown(pilot.app))
        await sees(pilot, "tuned, tiny-1")
        await pilot.press("up")
        assert page.field.value == "number 3"
        await pilot.press("down")
        assert not page.field.value
        await pilot.press("f2", "end", "!", "enter")
        assert page.dialogue.system == f"{SYSTEM}!"
        await pilot.press("ctrl+t", "ctrl+y", "pageup", "pagedown")
        assert page.asked == ["tuned"]
        await pilot.press("a", "enter")
        await until(pilot, lambda: len(page.dialogue.turns) == 2 and page.is_answering)
        await pilot.press("ctrl+c")
        await answered(pilot, page, 2)
        assert list(page.dialogue.turns[1].answers) == ["tuned"]
        assert page.dialogue.turns[1].answers["tuned"].fault == ""
        await pilot.press("ctrl+n")
        assert page.dialogue.turns == []
        for size in ((140, 40), (60, 18)):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda: "base, " in shown(pilot.app))

    play(page, story)


def test_a_killed_process_is_said_and_the_next_message_starts_it_again(
    rig: Callable[..., Rig],  # noqa: F811 - the fixture
) -> None:
    page = ChatPage(rig().run, None, settings=Settings(max_new_tokens=3))

    async def story(pilot: Pilot[int], page: ChatPage) -> None:
        assert page.worker is not None
        os.kill(page.worker.process.pid, signal.SIGKILL)
        await until(pilot, lambda: isinstance(pilot.app.screen, FaultDialog))
        await sees(pilot, "was ended by signal 9")
        await pilot.press("escape")
        await until(pilot, lambda: "Enter loads the model again" in shown(pilot.app))
        await pilot.press("b", "enter")
        await answered(pilot, page, 1)
        assert page.dialogue.turns[0].answers["tuned"].is_over

    play(page, story, size=(60, 18))
