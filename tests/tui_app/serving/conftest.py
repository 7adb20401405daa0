"""A server in the test's own loop, in front of a real app: what the tests of `finetui serve` share."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass

import aiohttp
import pytest

from tui_app.serving.access import Access, new_token
from tui_app.serving.server import Server, listen

HISTORY = (sys.executable, "-P", "-m", "tui_app", "runs", "--screen")


@dataclass(frozen=True)
class Site:
    """A server that answers at `base`; `client` keeps no cookies."""

    server: Server
    base: str
    client: aiohttp.ClientSession

    @property
    def token(self) -> str:
        return self.server.access.token

    def url(self, path: str = "/") -> str:
        return f"{self.base}{path}?token={self.token}"


@contextlib.asynccontextmanager
async def served(
    arguments: Sequence[str] = HISTORY, *, max_sessions: int = 4, patience: float = 30.0
) -> AsyncIterator[Site]:
    endpoint = listen(0)
    port = endpoint.getsockname()[1]
    server = Server(Access(new_token(), port), arguments, max_sessions, patience)
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client,
        server.running(endpoint),
    ):
        yield Site(server, f"http://127.0.0.1:{port}", client)


Story = Callable[[Site], Awaitable[None]]


@pytest.fixture
def with_site() -> Callable[..., None]:
    """Plays a story with a site that answers; what `served` takes may be given by name."""

    def play(story: Story, **options: object) -> None:
        async def run() -> None:
            async with served(**options) as site:  # type: ignore[arg-type]
                await asyncio.wait_for(story(site), 60)

        asyncio.run(run())

    return play
