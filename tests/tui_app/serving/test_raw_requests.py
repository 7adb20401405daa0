"""`finetui serve` under requests that no browser sends: raw bytes on its port, and what it writes about them."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tui_app.serving.server import log_to

Play = Callable[..., None]
WAITING = (sys.executable, "-c", "input()")


async def answer_to(site: Any, *lines: str) -> bytes:
    """What comes back for a request written out line by line, `{host}`, `{token}` and `{cookie}` filled in."""
    port = site.server.access.port
    known = {"host": f"127.0.0.1:{port}", "token": site.token, "cookie": site.server.access.cookie}
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write("".join(line.format(**known) + "\r\n" for line in (*lines, "")).encode("latin-1"))
    answer = await asyncio.wait_for(reader.read(65536), 20)
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (("GET /?token={token} HTTP/1.1",), 400),  # no Host at all
        (("GET /?token={token} HTTP/1.0",), 403),
        (("GET /?token={token} HTTP/1.1", "Host: {host}", "Host: evil.example"), 400),
        (("GET /?token={token} HTTP/1.1", "Host: evil@{host}"), 403),
        (("GET /?token={token} HTTP/1.1", "Host: 2130706433"), 403),  # 127.0.0.1 as one number
        (("GET /?token=x&token={token} HTTP/1.1", "Host: {host}"), 403),
        (("CONNECT evil.example:80 HTTP/1.1", "Host: {host}"), 403),
        (("POST /?token={token} HTTP/1.1", "Host: {host}", "Content-Length: 0"), 405),
        (("TRACE /?token={token} HTTP/1.1", "Host: {host}"), 405),
        (("OPTIONS / HTTP/1.1", "Host: {host}", "Cookie: {cookie}={token}"), 405),
        (("POST / HTTP/1.1", "Host: {host}", "Cookie: {cookie}={token}", "Origin: http://evil.example"), 403),
        (("GET / HTTP/1.1", "Host: {host}", "Cookie: {cookie}={token}", "Origin: null"), 403),
        (("GET /ws?token={token} HTTP/1.1", "Host: {host}", "Origin: http://{host}", "Origin: http://evil"), 400),
        (("POST / HTTP/1.1", "Host: {host}", "Content-Length: 4", "Transfer-Encoding: chunked"), 400),
        (("GET /static/..%2f..%2fserver.py?token={token} HTTP/1.1", "Host: {host}"), 404),
        (("GET /static/%252e%252e/server.py?token={token} HTTP/1.1", "Host: {host}"), 404),
        (("GET /static//etc/passwd?token={token} HTTP/1.1", "Host: {host}"), 404),
        (("GET /page/../../../../etc/passwd?token={token} HTTP/1.1", "Host: {host}"), 404),
        (("GET /static/js/textual.js%00.png?token={token} HTTP/1.1", "Host: {host}"), 404),
        (("GET /download/..%2f..%2fetc%2fpasswd?token={token} HTTP/1.1", "Host: {host}"), 404),
        (("GET /" + "a" * 20_000 + " HTTP/1.1", "Host: {host}"), 400),
        (("GET / HTTP/1.1", "Host: {host}", *(f"X-{n}: 1" for n in range(5_000))), 400),
    ],
)
def test_a_request_that_no_page_of_ours_makes_opens_nothing(
    with_site: Play, lines: tuple[str, ...], status: int
) -> None:
    async def story(site: Any) -> None:
        head, _, body = (await answer_to(site, *lines)).partition(b"\r\n\r\n")
        assert head.split()[1] == str(status).encode()
        assert b"Set-Cookie" not in head
        assert site.token.encode() not in body
        assert b"root:" not in body
        if status != 400:  # what is no HTTP is answered by the parser
            assert b"nosniff" in head
            assert b"frame-ancestors 'none'" in head
        assert site.server.sessions == set()

    with_site(story, arguments=WAITING)


@pytest.fixture
def serve_log(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    names = ("finetui.serving", "textual-serve", "aiohttp", "asyncio")
    before = {name: (logging.getLogger(name).handlers, logging.getLogger(name).propagate) for name in names}

    def start(secret: str) -> Path:
        log_to(tmp_path / "serve.log", secret)
        return tmp_path / "serve.log"

    yield start
    for handler in logging.getLogger("aiohttp").handlers:
        handler.close()
    for name, (handlers, propagate) in before.items():
        logging.getLogger(name).handlers, logging.getLogger(name).propagate = handlers, propagate


def test_nonsense_from_another_account_neither_fills_the_disk_nor_brings_the_token_into_the_log(
    with_site: Play, serve_log: Callable[[str], Path]
) -> None:
    async def story(site: Any) -> None:
        log = serve_log(site.token)
        for _ in range(20):
            await answer_to(site, "GET /?token={token}" + "a" * 20_000 + " HTTP/1.1", "Host: {host}")
        said = log.read_text()
        assert said.count("a request that is no HTTP") == 20
        assert len(said) < 20 * 120
        assert "Traceback" not in said
        logging.getLogger("finetui.serving").warning("an app said: %s, hf_%s", site.token, "a" * 34)
        said = log.read_text()
        assert "an app said: …, ***" in said
        assert site.token not in said

    with_site(story, arguments=WAITING)
