"""The web server: one page, its files, and a websocket per tab behind which an app runs. Listens on loopback only.

Not here: who may come in (`access`), the app processes (`session`), the command line (`tui_app/commands/serve`).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from logging.handlers import RotatingFileHandler
from pathlib import Path

import textual_serve
from aiohttp import WSMsgType, web
from aiohttp.http import HttpProcessingError
from textual_serve.download_manager import DownloadManager

from engine.errors import FinetuiError
from engine.redaction import redacted
from tui_app.serving.access import HEADERS, LOOPBACK, Access
from tui_app.serving.session import QUIT_SECONDS, Session

PAGE = Path(str(files("tui_app.serving"))) / "page"
STATIC = Path(textual_serve.__file__).parent / "static"
FONT_SIZES = range(8, 33)
MAX_CELLS = 1000
MAX_MESSAGE_BYTES = 1024 * 1024
HEARTBEAT_SECONDS = 15.0
MAX_LOG_BYTES = 1024 * 1024
"""After which the log begins anew, the last one kept beside it: every account of this machine can send nonsense."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def listen(port: int) -> socket.socket:
    """A socket bound to loopback; port 0 takes any that is free. Raises FinetuiError when it cannot be had."""
    endpoint = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        endpoint.bind((LOOPBACK, port))
        endpoint.listen(64)
    except (OSError, OverflowError) as fault:
        endpoint.close()
        taken = isinstance(fault, OSError) and fault.errno == errno.EADDRINUSE
        why = fault.strerror if isinstance(fault, OSError) else "ports go from 0 to 65535"
        happened = f"Port {port} is in use." if taken else f"Port {port} cannot be listened on: {why}."
        raise FinetuiError(
            happened,
            means="Nothing is served.",
            remedy="Choose another one, for example: finetui serve --port 8010 (--port 0 takes any that is free).",
        ) from fault
    return endpoint


@dataclass(slots=True)
class Server:
    """`arguments` start an app; at most `max_sessions` of them run at once.

    A tab that finds every place taken waits `patience_seconds` for one: a page that is loaded again comes before the
    app of its last visit has ended.
    """

    access: Access
    arguments: Sequence[str]
    max_sessions: int
    patience_seconds: float = 2 * QUIT_SECONDS
    places: asyncio.Semaphore = field(init=False)
    sessions: set[Session] = field(default_factory=set)
    sockets: set[web.WebSocketResponse] = field(default_factory=set)
    downloads: DownloadManager = field(default_factory=DownloadManager)

    def __post_init__(self) -> None:
        self.places = asyncio.Semaphore(self.max_sessions)

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._gate])
        app.on_response_prepare.append(_harden)
        app.router.add_get("/", self._index)
        app.router.add_get("/ws", self._websocket)
        app.router.add_get("/download/{key}", self._download)
        app.router.add_static("/page", PAGE)
        app.router.add_static("/static", STATIC)
        return app

    @web.middleware
    async def _gate(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Nothing is answered, not even that a page is missing, before the request is judged."""
        why = self.access.refusal(
            host=request.headers.get("Host"),
            origin=request.headers.get("Origin"),
            query=request.query,
            cookies=request.cookies,
            is_websocket=request.path == "/ws",
        )
        if why:
            return web.Response(status=403, text=f"{why}\n")
        try:
            return await handler(request)
        except web.HTTPException as answer:
            return web.Response(status=answer.status, text=f"{answer.reason}\n")

    async def _index(self, request: web.Request) -> web.Response:
        size = request.query.get("fontsize", "")
        font_size = int(size) if size.isascii() and size.isdigit() and int(size) in FONT_SIZES else 16
        text = (PAGE / "index.html").read_text(encoding="utf-8")
        # The gate let through only a host that is written in letters, digits, dots and a port.
        text = text.replace("@WEBSOCKET@", f"ws://{request.host}/ws").replace("@FONT_SIZE@", str(font_size))
        answer = web.Response(text=text, content_type="text/html")
        answer.set_cookie(self.access.cookie, self.access.token, httponly=True, samesite="Strict", path="/")
        return answer

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        try:
            await asyncio.wait_for(self.places.acquire(), self.patience_seconds)
        except TimeoutError:
            return web.Response(status=503, text=f"All {self.max_sessions} sessions are taken.\n")
        try:
            return await self._session(request)
        finally:
            self.places.release()

    async def _session(self, request: web.Request) -> web.WebSocketResponse:
        """One tab, from its first byte until browser and app are both gone."""
        browser = web.WebSocketResponse(heartbeat=HEARTBEAT_SECONDS, max_msg_size=MAX_MESSAGE_BYTES)
        session = Session(
            self.arguments,
            write_bytes=browser.send_bytes,
            write_str=browser.send_str,
            close=browser.close,
            download_manager=self.downloads,
        )
        self.sessions.add(session)
        self.sockets.add(browser)
        try:
            await browser.prepare(request)
            size = request.query
            await session.start(_cells(size.get("width"), 80), _cells(size.get("height"), 24))
            await _obey(browser, session)
        finally:
            await asyncio.shield(session.stop())
            self.sessions.discard(session)
            self.sockets.discard(browser)
        return browser

    async def _download(self, request: web.Request) -> web.StreamResponse:
        """A file that the app hands out, such as a picture of the screen; always saved, never shown as a page."""
        key = request.match_info["key"]
        try:
            about = await self.downloads.get_download_metadata(key)
        except KeyError:
            return web.Response(status=404, text="Not Found\n")
        answer = web.StreamResponse()
        answer.content_type = "application/octet-stream"
        name = "".join(c if c.isalnum() or c in "-_. " else "_" for c in about.file_name)
        answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        await answer.prepare(request)
        async for chunk in self.downloads.download(key):
            await answer.write(chunk)
        await answer.write_eof()
        return answer

    @contextlib.asynccontextmanager
    async def running(self, endpoint: socket.socket) -> AsyncIterator[None]:
        """Serve on that socket; at the end every app has ended and nothing listens."""
        runner = web.AppRunner(self.application(), access_log=None, handle_signals=False, shutdown_timeout=5.0)
        await runner.setup()
        try:
            await web.SockSite(runner, endpoint).start()
            yield
        finally:
            await asyncio.gather(*(session.stop() for session in tuple(self.sessions)))
            await asyncio.gather(*(browser.close() for browser in tuple(self.sockets)))
            await runner.cleanup()


async def _harden(request: web.Request, answer: web.StreamResponse) -> None:
    answer.headers.update(HEADERS)
    is_file = request.path.startswith(("/static/", "/page/"))
    answer.headers["Cache-Control"] = "private, no-cache" if is_file else "no-store"
    answer.headers.pop("Server", None)


async def _obey(browser: web.WebSocketResponse, session: Session) -> None:
    """Pass on what the browser sends, until either side has gone. What is no message of the page ends it."""
    async for message in browser:
        if message.type != WSMsgType.TEXT:
            continue
        try:
            kind, *rest = json.loads(message.data)
            match kind, rest:
                case "stdin", [str(text)]:
                    await session.send_bytes(text.encode(errors="replace"))
                case "resize", [{"width": width, "height": height}]:
                    await session.set_terminal_size(_cells(str(width), 80), _cells(str(height), 24))
                case "ping", [str(text)]:
                    await browser.send_json(["pong", text])
                case "blur", _:
                    await session.blur()
                case "focus", _:
                    await session.focus()
        except (ValueError, TypeError, ConnectionResetError):
            await browser.close()


def _cells(text: str | None, default: int) -> int:
    value = int(text) if text and text.isascii() and text.isdigit() else default
    return min(max(value, 1), MAX_CELLS)


async def serve_until_signalled(server: Server, endpoint: socket.socket, tell: Callable[[], None]) -> None:
    """Serve until Ctrl-C, SIGTERM or a hang-up; `tell` is called once the address answers."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, over.set)
    async with server.running(endpoint):
        tell()
        await over.wait()


class WithoutSecret(logging.Formatter):
    """Formats log lines; should the token ever stand in one, it does not reach the file."""

    def __init__(self, secret: str) -> None:
        super().__init__("%(asctime)s %(name)s %(levelname)s %(message)s")
        self._secret = secret

    def format(self, record: logging.LogRecord) -> str:
        if record.exc_info and isinstance(record.exc_info[1], HttpProcessingError):
            # What is no HTTP is answered before anyone is asked for the token, and tells nothing of this program.
            return f"{self.formatTime(record)} {record.name} a request that is no HTTP"
        return redacted(super().format(record).replace(self._secret, "…"))


def log_to(path: Path, secret: str) -> None:
    """Send what the server, aiohttp and asyncio have to say to a file instead of the terminal."""
    handler = RotatingFileHandler(
        path, maxBytes=MAX_LOG_BYTES, backupCount=1, encoding="utf-8", errors="backslashreplace", delay=True
    )
    handler.setFormatter(WithoutSecret(secret))
    for name in ("finetui.serving", "textual-serve", "aiohttp", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
