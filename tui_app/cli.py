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

from data.file_modes import kept_private, make_private
from engine.environment import silence_telemetry
from engine.errors import FinetuiError, RunDirError
from engine.run_dir import finetui_home, write_atomic
from tui_app.command_modules import COMMANDS as WITH_OWN_PARSER
from tui_app.command_parser import CommandParser, NamedParser
from tui_app.help_page import HEADING, HelpPage
from tui_app.screen_options import add_looks

INTERRUPTED = 130
WITHOUT_DEFAULTS = (
    *("config", "doctor", "completion", "explain", "schema", "presets"),
    *("runs", "status", "attach", "report", "compare", "stop", "save", "pause", "continue", "clean"),
)
"""Commands that work although the file of defaults is broken: they mend it, or look at runs and end them."""
SOURCE = "preset name, recipe file, or run name or folder"
RUN = "name, its beginning, or folder; the newest if left out"
STEERED = "name, its beginning, or folder; left out: the only one going on"
ATTACH_USAGE = "finetui attach [OPTIONS] [RUN]"
EPILOG = """exit codes: 0 done and checked, 2 recipe or command, 3 data, 4 model, 5 memory,
6 died, 7 stopped, 8 replay refused, 9 run, 10 doctor, 11 diverged, 130 Ctrl-C"""


class _Version(argparse.Action):
    """Looked up only when it is asked for: reading an installed distribution takes as long as `finetui status`."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from tui_app.version_text import version_text

        print(version_text(is_verbose=bool(getattr(parser, "is_verbose", False))))  # noqa: T201
        parser.exit()


def build_parser() -> NamedParser:
    """Every command with its options."""
    parser = NamedParser(
        prog="finetui",
        usage="finetui [-h] [--version [--verbose]] COMMAND ...",
        description="From a model and some rows to a tuned model. Every command has its --help.",
        epilog=EPILOG,
        formatter_class=HelpPage,
        add_help=False,
    )
    # Both stand in the usage line: with a section of their own the page would not fit 24 lines.
    parser.add_argument("-h", "--help", action="help", help=argparse.SUPPRESS)
    parser.add_argument("--version", action=_Version, nargs=0, help=argparse.SUPPRESS)
    commands = parser.add_subparsers(
        dest="command", title=HEADING.rstrip(":"), prog="finetui", parser_class=CommandParser
    )
    _starting(commands)
    _looking(commands)
    _steering(commands)
    _asking(commands)
    for shown in commands._get_subactions():
        commands.choices[shown.dest].description = shown.help
    # These have parsers of their own, which are loaded only for them.
    data = commands.add_parser("data", help="inspect, check, convert, split, mix and make rows", add_help=False)
    data.set_defaults(module="data")
    for name, (_, told) in WITH_OWN_PARSER.items():
        commands.add_parser(name, help=told, add_help=False).set_defaults(module="own_parsers")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    parser = build_parser()
    parser.is_verbose = "--verbose" in (sys.argv if arguments is None else arguments)
    given = sys.argv[1:] if arguments is None else list(arguments)
    has_own_parser = given[:1] in (["data"], *([name] for name in WITH_OWN_PARSER))
    options = parser.parse_args(given[:1] if has_own_parser else with_command(given))
    options.words = given[1:]
    silence_telemetry()
    try:
        look_at_defaults(options.command)
    except FinetuiError as fault:
        tell(f"finetui: {fault}")
        return fault.exit_code
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without the letters of a title still shows it
    try:
        # What `data` writes lies where somebody asked for it; all others write into finetui's own folders above all.
        with contextlib.nullcontext() if options.module == "data" else kept_private():
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
        from engine.worker_edge import refused_by_disk

        if isinstance(fault, OSError) and not fault.filename and fault.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            tell(f"The output cannot be written: {fault.strerror}.")
            return RunDirError.exit_code
        if refused := refused_by_disk(fault):
            tell(f"finetui: {refused}")
            return refused.exit_code
        tell(f"finetui hit an unexpected {type(fault).__name__}: {fault}")
        tell(f"This is a defect; please report it with {write_traceback()}")
        return FinetuiError.exit_code


def with_command(given: list[str]) -> list[str]:
    """The words of the command line; without a command they are meant for `new`: `finetui --plain`."""
    names_none = not given or (given[0].startswith("-") and given[0] not in ("-h", "--help", "--version"))
    return ["new", *given] if names_none else given


def look_at_defaults(command: str) -> None:
    """Say what is wrong with the user's file of defaults. Raises RecipeError where something would be started by it."""
    from engine.own_defaults import own_file, refuse_faulty

    if command not in WITHOUT_DEFAULTS:
        refuse_faulty()
    elif command != "config":
        for fault in own_file().faults:
            tell(f"note: {fault} Mend it: finetui config edit")


def tell(text: str) -> None:
    """Say it to the person at the terminal; control characters of a file name or a row are shown, not obeyed."""
    from engine.redaction import redacted
    from tui_app.plain import printable

    print(printable(redacted(text)), file=sys.stderr)  # noqa: T201


def write_traceback() -> Path:
    """Keep the traceback of the present fault in a file; its path."""
    folder = finetui_home()
    from engine.redaction import redacted

    with contextlib.suppress(OSError, RunDirError):
        make_private(folder)
        words = redacted(traceback.format_exc()).encode(errors="backslashreplace").decode()
        write_atomic(folder / "last-error.txt", words)  # a new file: nothing that lies there in its name is written to
    return folder / "last-error.txt"


def _starting(commands: argparse._SubParsersAction[CommandParser]) -> None:
    new = commands.add_parser("new", help="from a model and rows to a run, step by step", usage="finetui new [OPTIONS]")
    new.set_defaults(module="new", json=False)
    new.add_argument("--preset", metavar="START", help="start from a preset, a recipe file or an earlier run")
    new.add_argument("--model", metavar="MODEL", help="hub id, folder, .gguf file or bundled:NAME")
    new.add_argument("--dataset", metavar="ROWS", help="file, folder, hub dataset or generator:NAME")
    new.add_argument("--size", metavar="SIZE", help="of your own model: balanced, fast or quality")
    new.add_argument("--method", metavar="METHOD", help="full, lora, qlora, dora, rslora; joined by +")
    new.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="answer any other field")
    new.add_argument("--save", metavar="FILE", help="write the recipe, ask nothing")
    new.add_argument("--name", default="", metavar="RUN_NAME", help="what the run is to be called, with --start")
    new.add_argument("--start", action="store_true", help="start the run, ask nothing")
    new.add_argument("--yes", action="store_true", help="start with what suits this machine, ask nothing")
    new.add_argument("--detach", action="store_true", help="return once it is started")
    new.add_argument("--line", action="store_true", help="ask line by line instead of on the whole screen")
    new.add_argument("--plain", action="store_true", help="ask in plain text, without escape sequences")
    add_looks(new)
    replay = commands.add_parser(
        "replay",
        help="carry out a preset, a recipe file or an earlier run",
        usage="finetui replay [OPTIONS] PRESET|RECIPE|RUN",
    )
    replay.set_defaults(module="replay")
    replay.add_argument("source", metavar="PRESET|RECIPE|RUN", help=SOURCE)
    replay.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override section.key")
    replay.add_argument("--vram", metavar="SIZE|CARD", help="rehearse a smaller card: 6GiB or t4")
    replay.add_argument("--name", default="", metavar="RUN_NAME", help="what the run is to be called")
    replay.add_argument("--dry-run", action="store_true", help="show the plan, start nothing")
    replay.add_argument("--allow-changes", action="store_true", help="although a run's rows or model differ from then")
    _watched(replay)
    resume = commands.add_parser(
        "resume", help="go on with a stopped, failed or died run", usage="finetui resume [OPTIONS] RUN"
    )
    resume.set_defaults(module="replay")
    resume.add_argument("run", metavar="RUN", help="its name, the beginning of it, or its folder; - is the newest")
    resume.add_argument("--take-over", action="store_true", help="from a host that is silent: it is surely gone")
    _watched(resume)
    join = commands.add_parser(
        "join", help="let this host take part in a run of another host", usage="finetui join [OPTIONS] RUN"
    )
    join.set_defaults(module="joining")
    join.add_argument("run", metavar="RUN", help="its folder, on a filesystem that all hosts share")
    join.add_argument("--node-rank", type=int, metavar="N", help="1, 2, …: needed with the static rendezvous only")
    join.add_argument("--address", metavar="IP", help="of this host, where it has several; found if left out")
    join.add_argument(
        "--wait", type=float, default=600.0, metavar="SECONDS", help="for the run to be started there; 600 if left out"
    )
    join.add_argument("--detach", action="store_true", help="return at once; it goes on in the background")


def _watched(command: argparse.ArgumentParser) -> None:
    """Options of a command that starts a run and watches it."""
    command.add_argument("--detach", action="store_true", help="start it and return at once")
    command.add_argument("--plain", action="store_true", help="watch it line by line")
    command.add_argument("--json", action="store_true", help="print events, one JSON line each, instead of text")
    add_looks(command)


def _looking(commands: argparse._SubParsersAction[CommandParser]) -> None:
    runs = commands.add_parser("runs", help="list runs", usage="finetui runs [OPTIONS]")
    runs.set_defaults(module="watching")
    runs.add_argument("--json", action="store_true", help="one JSON object per run")
    runs.add_argument("--screen", action="store_true", help="filter and compare them on the whole screen")
    runs.add_argument("--readonly", action="store_true", help="start and stop nothing from there")
    add_looks(runs)
    status = commands.add_parser("status", help="how a run stands")
    status.set_defaults(module="watching")
    status.add_argument("run", metavar="RUN", nargs="?", help=RUN)
    status.add_argument("--json", action="store_true", help="one JSON object")
    attach = commands.add_parser("attach", help="watch a run; leaving it leaves it running", usage=ATTACH_USAGE)
    attach.set_defaults(module="watching")
    attach.add_argument("run", metavar="RUN", nargs="?", help=RUN)
    attach.add_argument("--readonly", action="store_true", help="look only: no key stops or changes the run")
    attach.add_argument("--plain", action="store_true", help="one line per event instead of the screen")
    attach.add_argument("--json", action="store_true", help="print events, one JSON line each, instead of text")
    add_looks(attach)
    serve = commands.add_parser("serve", help="the screens in a browser on this machine")
    serve.set_defaults(module="serve")
    serve.add_argument("--port", type=int, default=8000, metavar="N", help="port on 127.0.0.1; 8000 if left out")
    serve.add_argument("--readonly", action="store_true", help="look only: nothing can be started or stopped")
    serve.add_argument("--sessions", type=int, default=4, metavar="N", help="tabs at once; 4 if left out")


def _steering(commands: argparse._SubParsersAction[CommandParser]) -> None:
    texts = {
        "stop": "save and end the run; a second stop ends it at once",
        "save": "write a checkpoint now and go on",
        "pause": "hold the run at the next step",
        "continue": "let a paused run go on",
    }
    for name, text in texts.items():
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(module="steering")
        command.add_argument("run", metavar="RUN", nargs="?", help=STEERED)
        command.add_argument("--no-wait", action="store_true", help="do not wait until it is done")


def _asking(commands: argparse._SubParsersAction[CommandParser]) -> None:
    plan = commands.add_parser(
        "plan",
        help="show what a recipe becomes on this machine, and why",
        usage="finetui plan [OPTIONS] PRESET|RECIPE|RUN",
    )
    plan.set_defaults(module="planning")
    plan.add_argument("source", metavar="PRESET|RECIPE|RUN", help=SOURCE)
    plan.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override section.key")
    target = plan.add_mutually_exclusive_group()
    target.add_argument("--vram", metavar="SIZE|CARD", help="plan for a card of so much memory: 6GiB")
    target.add_argument("--device", metavar="CARD", help="plan for a card by name, for example t4; or cpu")
    target.add_argument("--against", choices=["all"], help="one line for every card that is known by name")
    plan.add_argument("--closed-form", action="store_true", help="an estimate at once, without a dry run")
    plan.add_argument("--json", action="store_true", help="one JSON object; one per card with --against")
    presets = commands.add_parser("presets", help="list the presets and how they suit this machine")
    presets.set_defaults(module="planning")
    presets.add_argument("name", nargs="?", metavar="PRESET", help="print its recipe: one to start your own from")
    presets.add_argument("--json", action="store_true", help="one JSON object per preset")
    schema = commands.add_parser("schema", help="print the JSON Schema of a recipe")
    schema.set_defaults(module="planning")
    schema.add_argument("--events", action="store_true", help="of the lines in RUN/events/ instead")


if __name__ == "__main__":
    sys.exit(main())
