"""`finetui serve`: the same screens in a browser, for this machine only. Nothing listens unless this is asked for."""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys

from data.file_modes import make_private
from engine.errors import FinetuiError, RecipeError
from engine.run_dir import finetui_home


def serve(options: argparse.Namespace) -> int:
    """Serve until Ctrl-C. `options`: port, readonly, sessions. Raises FinetuiError."""
    try:
        from tui_app.serving.server import Server, listen, log_to, serve_until_signalled
        from tui_app.serving.session import app_command
    except ModuleNotFoundError as fault:
        raise not_installed(fault) from None
    from tui_app.serving.access import LOOPBACK, Access, new_token

    if options.sessions < 1:
        raise RecipeError(f"--sessions {options.sessions} would let nobody in.", remedy="Allow one tab or more.")
    endpoint = listen(options.port)
    port = int(endpoint.getsockname()[1])
    access = Access(new_token(), port)
    home = finetui_home()
    make_private(home)
    log_to(home / "serve.log", access.token)
    server = Server(access, app_command(is_readonly=options.readonly), options.sessions)

    def tell() -> None:
        address = f"http://{LOOPBACK}:{port}/?token={access.token}"
        print("\n".join(["finetui is at", f"  {address}", "", *hints(port, options)]), flush=True)

    asyncio.run(serve_until_signalled(server, endpoint, tell))
    print("\nno longer served; runs go on by themselves.")
    return 0


def hints(port: int, options: argparse.Namespace) -> list[str]:
    """What stands under the address."""
    can = "look at runs" if options.readonly else "do everything you can do here"
    return [
        f"Whoever has this address and an account on this machine can {can}: keep it to yourself.",
        "From another machine, make a tunnel and open the same address there:",
        f"  ssh -L {port}:127.0.0.1:{port} {socket.gethostname()}",
        f"At most {options.sessions} tabs at once. Ctrl-C ends it; runs go on.",
    ]


def not_installed(fault: ModuleNotFoundError) -> FinetuiError:
    return FinetuiError(
        f"`finetui serve` needs textual-serve, which is not installed here ({fault.name} is missing).",
        means="It is an extra: what does not serve needs no web server.",
        remedy=f"Install it: {sys.executable} -m pip install 'finetui[serve]'",
    )


COMMANDS = {"serve": serve}
