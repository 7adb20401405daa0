"""`finetui serve` seen from outside: who gets in, what is handed out, and what is left when it ends.

The browser itself is in test_serve_in_a_browser.py.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from engine.errors import FinetuiError
from tui_app.commands.serve import not_installed
from tui_app.serving.access import Access
from tui_app.serving.server import PAGE, STATIC, listen
from tui_app.serving.session import app_command

Play = Callable[..., None]

FOREIGN = re.compile(rb"(?:https?:)?//[a-z0-9-]+(?:\.[a-z0-9-]+)*\.[a-z]{2,}", re.IGNORECASE)


async def status_of(site: Any, url: str, **headers: str) -> int:
    async with site.client.get(url, headers=headers) as answer:
        return answer.status


@pytest.mark.parametrize("path", ["/", "/ws", "/static/js/textual.js", "/page/finetui.js", "/download/x", "/nothing"])
def test_nothing_is_answered_without_the_token(with_site: Play, path: str) -> None:
    async def story(site: Any) -> None:
        origin = {"Origin": site.base}
        assert await status_of(site, f"{site.base}{path}", **origin) == 403
        assert await status_of(site, f"{site.base}{path}?token=", **origin) == 403
        assert await status_of(site, f"{site.base}{path}?token={'x' * 43}", **origin) == 403
        assert await status_of(site, f"{site.base}{path}", Cookie=f"{site.server.access.cookie}=wrong") == 403

    with_site(story)


def test_the_right_token_opens_the_page_and_becomes_a_cookie_that_no_script_reads(
    with_site: Play,
) -> None:
    async def story(site: Any) -> None:
        async with site.client.get(site.url()) as answer:
            assert answer.status == 200
            cookie = answer.headers["Set-Cookie"]
            page = await answer.text()
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert answer.headers["Cache-Control"] == "no-store"
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert site.token not in page
        assert await status_of(site, f"{site.base}/", Cookie=cookie.partition(";")[0]) == 200

    with_site(story)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "0.0.0.0", 'localhost"><script>', ""])
def test_a_name_that_was_made_to_point_here_is_refused_even_with_the_token(with_site: Play, host: str) -> None:
    async def story(site: Any) -> None:
        assert await status_of(site, site.url(), Host=host) == 403
        assert await status_of(site, site.url("/ws"), Host=host, Origin=f"http://{host}") == 403

    with_site(story)


def test_the_other_end_of_a_tunnel_may_use_another_port(with_site: Play) -> None:
    async def story(site: Any) -> None:
        async with site.client.get(site.url(), headers={"Host": "localhost:9000"}) as answer:
            assert answer.status == 200
            assert 'data-session-websocket-url="ws://localhost:9000/ws"' in await answer.text()

    with_site(story)


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "https://127.0.0.1:{port}", "http://127.0.0.1:1"]
)
def test_a_websocket_of_another_page_is_refused_even_with_the_token(with_site: Play, origin: str | None) -> None:
    async def story(site: Any) -> None:
        named = {} if origin is None else {"Origin": origin.format(port=site.server.access.port)}
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await site.client.ws_connect(site.url("/ws"), headers=named)
        assert refused.value.status == 403
        assert site.server.sessions == set()

    with_site(story)


def test_no_folder_is_listed_and_nothing_outside_the_two_folders_is_handed_out(with_site: Play) -> None:
    async def story(site: Any) -> None:
        for path in (
            "/static",
            "/static/",
            "/static/js/",
            "/page/",
            "/static/../server.py",
            "/static/%2e%2e/server.py",
        ):
            assert await status_of(site, site.url(path)) in (403, 404), path

    with_site(story)


def test_every_file_that_is_served_names_no_other_machine(with_site: Play) -> None:
    async def story(site: Any) -> None:
        paths = [f"/page/{path.relative_to(PAGE)}" for path in PAGE.rglob("*") if path.is_file()]
        paths += [f"/static/{path.relative_to(STATIC)}" for path in STATIC.rglob("*") if path.suffix in (".js", ".css")]
        assert "/static/js/textual.js" in paths
        for path in ("/", *paths):
            async with site.client.get(site.url(path)) as answer:
                assert answer.status == 200, path
                policy = answer.headers["Content-Security-Policy"].split("; ")
                assert {"default-src 'none'", "frame-ancestors 'none'"} <= set(policy)
                body = await answer.read()
            if path.endswith(".css"):  # a licence names its author's page; a browser does not read comments
                body = re.sub(rb"/\*.*?\*/", b"", body, flags=re.DOTALL)
            assert FOREIGN.findall(body) == [], path

    with_site(story)


def test_the_server_listens_on_loopback_only() -> None:
    endpoint = listen(0)
    try:
        assert endpoint.getsockname()[0] == "127.0.0.1"
        assert endpoint.family == socket.AF_INET
    finally:
        endpoint.close()


def test_a_port_that_is_taken_is_said_with_what_to_do() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(FinetuiError, match=f"Port {port} is in use") as fault:
            listen(port)
        assert "--port" in fault.value.remedy


def test_without_the_extra_the_error_says_how_to_install_it() -> None:
    fault = not_installed(ModuleNotFoundError(name="textual_serve"))
    assert "finetui[serve]" in str(fault)
    assert "textual_serve is missing" in str(fault)


def test_tokens_are_compared_whole() -> None:
    access = Access("s3cret", 8000)
    assert access.is_token("s3cret")
    assert not any(access.is_token(wrong) for wrong in ("", "s3cre", "s3crets", "S3cret", "é", "\udcff", None))


async def text_until(browser: aiohttp.ClientWebSocketResponse, words: bytes) -> bytes:
    seen = b""
    while words not in seen:
        message = await browser.receive(timeout=30)
        assert message.type == aiohttp.WSMsgType.BINARY, message
        seen += message.data
    return seen


def connect(site: Any) -> AbstractAsyncContextManager[aiohttp.ClientWebSocketResponse]:
    return site.client.ws_connect(f"{site.url('/ws')}&width=80&height=24", headers={"Origin": site.base})


def test_the_app_runs_behind_the_websocket_knows_no_secret_and_ends_with_its_tab(with_site: Play) -> None:
    async def story(site: Any) -> None:
        async with connect(site) as browser:
            await text_until(browser, b"No runs yet")
            (session,) = site.server.sessions
            assert session._process is not None
            app = psutil.Process(session._process.pid)
            assert site.token not in " ".join(app.cmdline())
            assert site.token not in " ".join(app.environ().values())
        while site.server.sessions:
            await asyncio.sleep(0.01)
        assert not app.is_running()

    with_site(story)


def test_one_session_more_than_allowed_is_refused(with_site: Play) -> None:
    async def story(site: Any) -> None:
        async with connect(site) as browser:
            await text_until(browser, b"\x1b[")
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await connect(site).__aenter__()
            assert refused.value.status == 503

    with_site(story, max_sessions=1, patience=0.05)


def test_a_page_that_is_loaded_again_gets_the_place_of_its_last_visit(with_site: Play) -> None:
    async def story(site: Any) -> None:
        for _ in range(2):
            async with connect(site) as browser:
                await text_until(browser, b"No runs yet")

    with_site(story, max_sessions=1)


def test_leaving_the_app_closes_its_tab(with_site: Play) -> None:
    async def story(site: Any) -> None:
        async with connect(site) as browser:
            await text_until(browser, b"No runs yet")
            await browser.send_str('["stdin", "q"]')
            while (await browser.receive(timeout=30)).type != aiohttp.WSMsgType.CLOSE:
                pass

    with_site(story)


@pytest.mark.parametrize("message", ["{", '["resize", {"width": []}]', "[" * 2000])
def test_a_message_that_the_page_never_sends_ends_that_session_at_most(with_site: Play, message: str) -> None:
    async def story(site: Any) -> None:
        async with connect(site) as browser:
            await text_until(browser, b"\x1b[")
            await browser.send_str(message)
            await browser.send_str('["ping", "1"]')
            while not browser.closed:
                answer = await browser.receive(timeout=30)
                if answer.type == aiohttp.WSMsgType.TEXT:
                    break
        assert await status_of(site, site.url()) == 200

    with_site(story)


def test_an_app_that_does_not_start_closes_the_session(with_site: Play) -> None:
    async def story(site: Any) -> None:
        async with connect(site) as browser:
            assert (await browser.receive(timeout=30)).type == aiohttp.WSMsgType.CLOSE

    with_site(story, arguments=(sys.executable, "-c", "raise SystemExit('no')"))


@pytest.fixture
def running() -> Iterator[subprocess.Popen[str]]:
    server = subprocess.Popen(
        [sys.executable, "-P", "-m", "tui_app", "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield server
    server.kill()
    server.communicate()


def address_of(server: subprocess.Popen[str]) -> str:
    assert server.stdout is not None
    return next(line.strip() for line in server.stdout if "?token=" in line)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_server_and_every_app(running: subprocess.Popen[str], number: int, own_machine: Path) -> None:
    address = address_of(running)
    base, _, token = address.partition("/?token=")
    apps: list[psutil.Process] = []

    async def story() -> None:
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(f"{base}/ws?token={token}", headers={"Origin": base}) as browser,
        ):
            await browser.receive(timeout=30)
            apps.extend(psutil.Process(running.pid).children(recursive=True))
            assert apps
            running.send_signal(number)
            while not browser.closed:
                await browser.receive(timeout=30)

    asyncio.run(story())
    rest, errors = running.communicate(timeout=30)
    assert running.returncode == 0
    assert errors == ""
    assert "runs go on" in rest
    assert psutil.wait_procs(apps, timeout=60)[1] == []
    said = (own_machine / "serve.log").read_text() if (own_machine / "serve.log").exists() else ""
    assert token not in said


def test_a_server_that_is_killed_takes_its_apps_along(running: subprocess.Popen[str]) -> None:
    base, _, token = address_of(running).partition("/?token=")
    apps: list[psutil.Process] = []

    async def story() -> None:
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(f"{base}/ws?token={token}", headers={"Origin": base}) as browser,
        ):
            await browser.receive(timeout=30)
            apps.extend(psutil.Process(running.pid).children(recursive=True))
            os.kill(running.pid, signal.SIGKILL)

    asyncio.run(story())
    assert apps
    assert psutil.wait_procs(apps, timeout=20)[1] == []


def test_the_served_app_is_this_installation_whatever_lies_in_the_folder() -> None:
    assert app_command(is_readonly=False) == [sys.executable, "-P", "-m", "tui_app"]
    assert "--readonly" in app_command(is_readonly=True)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--port", "70000"], "ports go from 0 to 65535"),
        (["--sessions", "0"], "nobody"),
        (["--host", "0.0.0.0"], "--host"),
    ],
)
def test_what_cannot_be_served_is_an_error_in_a_sentence(options: list[str], words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "tui_app", "serve", *options], capture_output=True, text=True, timeout=60
    )
    assert done.returncode != 0
    assert words in done.stderr
    assert "Traceback" not in done.stderr
