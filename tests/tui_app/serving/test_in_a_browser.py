"""finetui in a real browser: headless Chromium, driven through its DevTools protocol.

What the browser received is replayed in a terminal emulator, which gives the text; what it drew is a picture.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pyte
import pytest

from engine.event_log import EventWriter
from engine.events import RunFinished, RunStarted
from engine.launcher import kill_group
from engine.run_dir import RunDir

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SWITCHES = (
    "--headless",
    "--no-sandbox",  # root in a container has no other choice
    "--disable-gpu",
    "--enable-unsafe-swiftshader",  # xterm.js draws with WebGL
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--remote-debugging-port=0",
    "--window-size=1000,600",
)
LEAST_PICTURE_BYTES = 12_000
"""An empty page of this size takes half of that as PNG."""


@dataclass
class Tab:
    """One page of the browser. `asked` holds every address it asked for."""

    devtools: aiohttp.ClientWebSocketResponse
    asked: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    screen: pyte.Screen = field(default_factory=lambda: pyte.Screen(80, 24))
    _numbers: Any = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self._stream = pyte.ByteStream(self.screen)

    async def do(self, method: str, **values: Any) -> dict[str, Any]:
        """Send a command, and take in what comes until it is answered."""
        number = next(self._numbers)
        await self.devtools.send_json({"id": number, "method": method, "params": values})
        while True:
            message = await self._receive()
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    async def see(self, wanted: Callable[[str], bool]) -> str:
        """Take in what comes until the text of the terminal is as wanted."""
        while not wanted(text := "\n".join(self.screen.display)):
            await self._receive()
        return text

    async def picture(self) -> bytes:
        return base64.b64decode((await self.do("Page.captureScreenshot", format="png"))["data"])

    async def _receive(self) -> dict[str, Any]:
        message = json.loads((await self.devtools.receive(timeout=30)).data)
        values = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.asked.append(values["request"]["url"])
            case "Network.webSocketCreated":
                self.asked.append(values["url"])
            case "Network.webSocketFrameSent":
                kind, *rest = json.loads(values["response"]["payloadData"])
                if kind == "resize":
                    self.screen.resize(rest[0]["height"], rest[0]["width"])
            case "Network.webSocketFrameReceived":
                if values["response"]["opcode"] == 2:
                    self._stream.feed(base64.b64decode(values["response"]["payloadData"]))
            case "Runtime.exceptionThrown" | "Log.entryAdded":
                self.faults.append(json.dumps(values))
        return message


@contextlib.asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Tab]:
    assert CHROMIUM is not None
    process = await asyncio.create_subprocess_exec(
        CHROMIUM,
        *SWITCHES,
        f"--user-data-dir={folder}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stderr is not None
        async for line in process.stderr:
            if b"DevTools listening on " in line:
                address = line.decode().partition("listening on ")[2].strip()
                break
        else:
            pytest.fail("Chromium ended before it listened")
        port = address.split(":")[2].split("/")[0]
        async with aiohttp.ClientSession() as client:
            async with client.get(f"http://127.0.0.1:{port}/json/list") as answer:
                (page,) = [each for each in await answer.json() if each["type"] == "page"]
            async with client.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as devtools:
                tab = Tab(devtools)
                for domain in ("Page", "Network", "Runtime", "Log"):
                    await tab.do(f"{domain}.enable")
                yield tab
    finally:
        kill_group(process.pid, signal.SIGKILL)
        await process.communicate()


def finished_run(root: Path, recipe: str) -> None:
    run = RunDir.create(root / "runs", recipe)
    writer = EventWriter(run.event_file("supervisor"))
    writer.write(RunStarted(run=run.name, recipe=recipe, resumed=False, host="gpu-box", pid=1))
    writer.write(RunFinished(seconds=61.0))
    writer.close()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")
def test_the_history_is_seen_and_steered_in_a_browser(with_site: Any, own_machine: Path, tmp_path: Path) -> None:
    """Opened with the token, clicked once, a key pressed, reloaded without the token, and nothing asked of others."""
    finished_run(own_machine, "seen in a browser")

    async def story(site: Any) -> None:
        async with browser(tmp_path / "chromium") as tab:
            await tab.do("Page.navigate", url=site.url())
            await tab.see(lambda text: "seen-in-a-browser-1" in text and "finished" in text)
            await tab.do("Runtime.evaluate", expression="document.fonts.ready", awaitPromise=True)
            location = await tab.do("Runtime.evaluate", expression="location.href + '|' + document.cookie")
            assert location["result"]["value"] == f"{site.base}/|"
            before = await tab.picture()
            assert len(before) > LEAST_PICTURE_BYTES

            for kind in ("mousePressed", "mouseReleased"):
                await tab.do("Input.dispatchMouseEvent", type=kind, x=300, y=300, button="left", clickCount=1)
            for kind in ("keyDown", "keyUp"):
                await tab.do("Input.dispatchKeyEvent", type=kind, key="d", text="d" if kind == "keyDown" else "")
            await tab.see(lambda text: "folder" in text and str(own_machine) in text)
            after = await tab.picture()
            assert after != before

            tab.screen.reset()
            await tab.do("Page.reload")
            await tab.see(lambda text: "seen-in-a-browser-1" in text)
            assert {address.split("?")[0].split("/")[2] for address in tab.asked if "://" in address} == {
                site.base.partition("://")[2]
            }
            assert tab.faults == []

    with_site(story)
