"""The command line: `finetui …`. Parses, hands over to one command module, turns errors into exit codes.

A command's module is imported only when it is called, so `finetui status` loads neither pydantic nor torch.
Not here: what the commands do (`tui_app/commands/`) and how things read on a plain terminal (`tui_app/plain`).
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import io
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from engine.environment import silence_telemetry
from engine.errors import FinetuiError, RunDirError
from engine.run_dir import finetui_home

INTERRUPTED = 130
EPILOG = """exit codes: 0 done and checked, 2 recipe or command line, 3 data, 4 model,
5 out of memory after the last rung, 6 died, 7 stopped, 8 replay refused,
9 run not usable, 10 doctor found a fault, 11 diverged, 130 Ctrl-C"""


class _Version(argparse.Action):
    """Looked up only when it is asked for: reading an installed distribution takes as long as `finetui status`."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"finetui {version('finetui')}")  # noqa: T201
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """Every command with its options."""
    parser = argparse.ArgumentParser(
        prog="finetui",
        usage="finetui [-h] [--version] COMMAND ...",
        description="From a model and some rows to a tuned model, in a run that outlives your terminal.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    # Both stand in the usage line: with a section of their own the page would not fit 24 lines.
    parser.add_argument("-h", "--help", action="help", help=argparse.SUPPRESS)
    parser.add_argument("--version", action=_Version, nargs=0, help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND [--help]", prog="finetui")
    _starting(commands)
    _looking(commands)
    _steering(commands)
    _asking(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        print("\nThe full-screen wizard is not there yet. Start with: finetui replay demo-cpu")  # noqa: T201
        return 0
    silence_telemetry()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without the letters of a title still shows it
    try:
        module = importlib.import_module(f"tui_app.commands.{options.module}")
        return int(module.COMMANDS[options.command](options))
    except FinetuiError as fault:
        tell(f"finetui: {fault}")
        return fault.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output is gone (`finetui runs | head`); nothing is left to tell anyone.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as fault:  # noqa: BLE001 - the process edge: a traceback belongs in a file, not on the screen
        if isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            tell(f"The output cannot be written: {fault.strerror}.")
            return RunDirError.exit_code
        tell(f"finetui hit an unexpected {type(fault).__name__}: {fault}")
        tell(f"This is a defect; please report it with {write_traceback()}")
        return FinetuiError.exit_code


def tell(text: str) -> None:
    """Say it to the person at the terminal; control characters of a file name or a row are shown, not obeyed."""
    from tui_app.plain import printable

    print(printable(text), file=sys.stderr)  # noqa: T201


def write_traceback() -> Path:
    """Keep the traceback of the present fault in a file; its path."""
    folder = finetui_home()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / "last-error.txt").write_text(traceback.format_exc(), encoding="utf-8", errors="backslashreplace")
    return folder / "last-error.txt"


def _starting(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    replay = commands.add_parser("replay", help="carry out a preset, a recipe file or an earlier run")
    replay.set_defaults(module="replay")
    replay.add_argument("source", metavar="PRESET|RECIPE|RUN", help="preset name, recipe file, or run name or folder")
    replay.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override one field")
    replay.add_argument("--detach", action="store_true", help="start it and return at once")
    replay.add_argument("--json", action="store_true", help="print events, one JSON line each, instead of text")
    replay.add_argument(
        "--vram",
        metavar="SIZE|CARD",
        help="rehearse a smaller card, for example 6GiB or t4: no more memory than it has",
    )
    replay.add_argument("--dry-run", action="store_true", help="show the plan, start nothing")
    replay.add_argument(
        "--allow-changes", action="store_true", help="replay a run although its rows or model differ from then"
    )
    resume = commands.add_parser("resume", help="go on with a stopped, failed or died run")
    resume.set_defaults(module="replay")
    resume.add_argument("run", metavar="RUN")
    resume.add_argument("--detach", action="store_true", help="start it and return at once")
    resume.add_argument("--json", action="store_true", help="print events, one JSON line each, instead of text")


def _looking(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    runs = commands.add_parser("runs", help="list runs")
    runs.set_defaults(module="watching")
    runs.add_argument("--json", action="store_true", help="one JSON object per run")
    status = commands.add_parser("status", help="how a run stands")
    status.set_defaults(module="watching")
    status.add_argument("run", metavar="RUN", nargs="?", help="name or folder; the newest run if left out")
    status.add_argument("--json", action="store_true", help="one JSON object")
    attach = commands.add_parser("attach", help="watch a run; Ctrl-C leaves it running")
    attach.set_defaults(module="watching")
    attach.add_argument("run", metavar="RUN", nargs="?", help="name or folder; the newest run if left out")
    attach.add_argument("--json", action="store_true", help="print events, one JSON line each, instead of text")


def _steering(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    texts = {
        "stop": "write a checkpoint and end the run; a second stop ends it at once",
        "save": "write a checkpoint now and go on",
        "pause": "hold the run at the next step",
        "continue": "let a paused run go on",
    }
    for name, text in texts.items():
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(module="steering")
        command.add_argument("run", metavar="RUN", nargs="?", help="name or folder; the newest run if left out")
        command.add_argument("--no-wait", action="store_true", help="do not wait until it is done")


def _asking(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    plan = commands.add_parser("plan", help="show what a recipe becomes on this machine, and why")
    plan.set_defaults(module="planning")
    plan.add_argument("source", metavar="PRESET|RECIPE|RUN")
    plan.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override one field")
    target = plan.add_mutually_exclusive_group()
    target.add_argument("--vram", metavar="SIZE|CARD", help="plan for a card of so much memory, for example 6GiB")
    target.add_argument("--device", metavar="CARD", help="plan for a card by name, for example t4 or rtx4090; or cpu")
    target.add_argument("--against", choices=["all"], help="one line for every card that is known by name")
    plan.add_argument("--closed-form", action="store_true", help="an estimate at once, without a dry run")
    plan.add_argument("--json", action="store_true", help="one JSON object; one per card with --against")
    presets = commands.add_parser("presets", help="list the presets and how they suit this machine")
    presets.set_defaults(module="planning")
    presets.add_argument("name", nargs="?", help="print this preset's recipe")
    presets.add_argument("--json", action="store_true", help="one JSON object per preset")
    schema = commands.add_parser("schema", help="print the JSON Schema of a recipe")
    schema.set_defaults(module="planning")
    doctor = commands.add_parser("doctor", help="check this machine and say how to mend it")
    doctor.set_defaults(module="doctor")
    doctor.add_argument("--json", action="store_true", help="one JSON object per finding")


if __name__ == "__main__":
    sys.exit(main())
