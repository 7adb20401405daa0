"""`finetui completion bash|zsh|fish`: the script that makes the shell ask finetui at Tab, and where it belongs.

The scripts are argcomplete's, but for one line. Not here: what is offered (`tui_app/completion`).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from pathlib import Path

from engine.base_folders import config_base, data_base
from engine.errors import RecipeError, RunDirError
from engine.run_dir import write_atomic

HELP = "Tab completion for bash, zsh or fish: prints the shell's script"
USAGE = "[--install] [bash|zsh|fish]"
SHELLS = ("bash", "zsh", "fish")
EXAMPLES = """without --install, in the shell's own start file:
  bash  eval "$(finetui completion bash)"                in ~/.bashrc
  zsh   autoload -U compinit && compinit                 in ~/.zshrc
        eval "$(finetui completion zsh)"
  fish  finetui completion fish | source                 in ~/.config/fish/config.fish"""


def add(parser: argparse.ArgumentParser) -> None:
    told = "the shell of this terminal ($SHELL) if left out"
    parser.add_argument("shell", nargs="?", choices=SHELLS, metavar="SHELL", help=told)
    parser.add_argument("--install", action="store_true", help="write it where the shell looks; changes no other file")
    parser.epilog = EXAMPLES


def run(options: argparse.Namespace) -> int:
    shell = options.shell or own_shell()
    if not options.install:
        print(script(shell), end="")
        if sys.stdout.isatty():
            print(f"# To keep it: finetui completion {shell} --install", file=sys.stderr)
        return 0
    path = place(shell)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise RunDirError(
            f"{path.parent} cannot be made: {fault.strerror}.",
            means="Nothing was installed.",
            remedy=f"Put the script into a place of your own: finetui completion {shell} > FILE",
        ) from fault
    write_atomic(path, script(shell))
    path.chmod(0o644)
    with contextlib.suppress(OSError, ValueError):  # the first Tab would wait for it otherwise
        from tui_app.completion.described import described

        described()
    print(f"written: {path}\n{afterwards(shell, path)}")
    return 0


def own_shell() -> str:
    """The shell that is used here, by $SHELL. Raises RecipeError for one without completion."""
    name = Path(os.environ.get("SHELL", "")).name
    if name not in SHELLS:
        raise RecipeError(
            f"Which shell is used here cannot be told: SHELL is {os.environ.get('SHELL') or 'not set'}.",
            remedy="Name it: finetui completion bash (or zsh, fish)",
        )
    return name


def script(shell: str) -> str:
    """What the shell runs once, to know whom to ask at Tab."""
    from argcomplete.shell_integration import shellcode

    return str(shellcode(["finetui"], False, shell))


def place(shell: str) -> Path:
    """Where the shell looks for completions of a user; for zsh where users keep their own."""
    if shell == "fish":
        return config_base() / "fish" / "completions" / "finetui.fish"
    if shell == "zsh":
        return data_base() / "zsh" / "site-functions" / "_finetui"
    own = os.environ.get("BASH_COMPLETION_USER_DIR", "")
    base = Path(own) if os.path.isabs(own) else data_base() / "bash-completion"  # noqa: PTH117 - no Path of ""
    return base / "completions" / "finetui"


def afterwards(shell: str, path: Path) -> str:
    """What is left to do by hand."""
    if shell == "zsh":
        return f"Put this into ~/.zshrc, before compinit, and open a new shell:\n  fpath=({path.parent} $fpath)"
    if shell == "bash":
        return f"Open a new shell. Without the package bash-completion put this into ~/.bashrc:\n  source {path}"
    return "Open a new shell, then try: finetui <Tab>"
