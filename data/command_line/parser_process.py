"""The process that imports somebody's argparse or click program: describes its command line, or tries commands on it.

    python -P parser_process.py describe argparse|click MODULE:ATTRIBUTE OUT
    python -P parser_process.py verify   argparse|click MODULE:ATTRIBUTE OUT COMMANDS

OUT gets one JSON document; what the program prints goes elsewhere. COMMANDS holds one JSON list of words a line,
without the program's name.
Only the standard library is imported, besides the program and its click, so that any interpreter can run the file.
Who starts it, and what becomes of its answer, stands in `introspection`.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Described = dict[str, Any]
KINDS: dict[Any, str] = {int: "integer", float: "number", Path: "path", os.fspath: "path"}
ARITIES: dict[Any, str] = {None: "1", 1: "1", 2: "2", 3: "3", "?": "?", "*": "*", "+": "+", "...": "*", "A...": "+"}


class Refused(Exception):  # noqa: N818 - it ends the description, and nothing has failed
    """The program's command line cannot be described; the message says why."""


class Found(BaseException):
    """Carries the parser out of a function that was about to read a command line with it."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


def loaded(target: str) -> Any:
    """What MODULE:ATTRIBUTE names. Raises Refused."""
    module, _, names = target.partition(":")
    if not (module and names):
        raise Refused(f"{target} is not MODULE:ATTRIBUTE")
    sys.path.append(str(Path.cwd()))
    try:
        found = importlib.import_module(module)
        for name in names.split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError, ValueError) as error:
        raise Refused(f"{target} cannot be imported: {error}") from error
    return found


def argparse_parser(target: str) -> argparse.ArgumentParser:
    """The parser itself, or the one that a function returns or reads its command line with."""
    found = loaded(target)
    if callable(found) and not isinstance(found, argparse.ArgumentParser):

        def stop(self: argparse.ArgumentParser, *_: object, **__: object) -> None:
            raise Found(self)

        kept = argparse.ArgumentParser.parse_args, argparse.ArgumentParser.parse_known_args
        argparse.ArgumentParser.parse_args = argparse.ArgumentParser.parse_known_args = stop  # type: ignore[assignment,method-assign]
        try:
            found = found()
        except Found as caught:
            found = caught.parser
        finally:
            argparse.ArgumentParser.parse_args, argparse.ArgumentParser.parse_known_args = kept  # type: ignore[method-assign]
    if not isinstance(found, argparse.ArgumentParser):
        raise Refused(f"{target} gives no argparse.ArgumentParser")
    return found


def describe_argparse(target: str) -> Described:
    """A grammar as the plain dict that its TOML file holds."""
    parser = argparse_parser(target)
    if parser.prefix_chars != "-":
        raise Refused(f"its options start with one of {parser.prefix_chars!r}, not only with -")
    program = {"program": parser.prog, "positionals_first": True}
    commands = list(_argparse_commands(parser, ""))
    if len(commands) > 1:
        root = commands.pop(0)
        return {**program, "option": root.get("option", []), "command": commands}
    return {**program, "command": commands}


def _argparse_commands(parser: argparse.ArgumentParser, name: str, told: str = "") -> Iterator[Described]:
    options: list[Described] = []
    positionals: list[Described] = []
    below: list[tuple[str, argparse.ArgumentParser, str]] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {one.dest: one.help or "" for one in action._choices_actions}
            seen: set[int] = set()
            for word, sub in action.choices.items():
                if id(sub) not in seen:
                    seen.add(id(sub))
                    below.append((f"{name} {word}".strip(), sub, helps.get(word) or sub.description or ""))
        elif action.option_strings:
            options += _argparse_option(action)
        elif action.nargs != 0:
            positionals.append({"name": _name_of(action), **_argparse_value(action), "arity": _arity(action)})
    groups = [
        {"options": [_main(one.option_strings) for one in group._group_actions], "required": group.required}
        for group in parser._mutually_exclusive_groups
        if group._group_actions and all(one.option_strings for one in group._group_actions)
    ]
    command: Described = {"name": name, "help": _one_line(told or parser.description or "")}
    command |= {"option": options, "positional": positionals, "exclusive": groups}
    if below:
        command |= {"weight": 0.0, "runs": not any(_needs_command(action) for action in parser._actions)}
    yield command
    for path, sub, text in below:
        yield from _argparse_commands(sub, path, text)


def _needs_command(action: argparse.Action) -> bool:
    return isinstance(action, argparse._SubParsersAction) and action.required


def _argparse_option(action: argparse.Action) -> list[Described]:
    if isinstance(action, argparse.BooleanOptionalAction):
        return [
            {"name": name, "help": _one_line(action.help or "")}
            for name in action.option_strings
            if name.startswith("--")
        ]
    described = _names(list(action.option_strings)) | {"help": _one_line(action.help or "")}
    if action.nargs == 0:
        return [described | {"repeatable": isinstance(action, argparse._CountAction)}]
    repeatable = isinstance(action, argparse._AppendAction)
    more = {"arity": _arity(action), "required": action.required, "repeatable": repeatable}
    return [described | _argparse_value(action) | more]


def _arity(action: argparse.Action) -> str:
    if action.nargs not in ARITIES:
        raise Refused(f"{_name_of(action)} takes {action.nargs!r} values, and up to 3, ?, * or + can be declared")
    return ARITIES[action.nargs]


def _argparse_value(action: argparse.Action) -> Described:
    if action.choices is not None:
        return {"kind": "choice", "choices": [str(one) for one in action.choices]}
    if isinstance(action.type, argparse.FileType):
        return {"kind": "path"}
    return {"kind": KINDS.get(action.type, "text")}


def _name_of(action: argparse.Action) -> str:
    name = action.metavar if isinstance(action.metavar, str) else action.dest
    return name.strip("<>[]{}").replace(" ", "_") or action.dest


def _main(names: Any) -> str:
    return str(next((name for name in names if name.startswith("--")), names[0]))


def _names(names: list[str]) -> Described:
    main = _main(names)
    short = next((name for name in names if name != main and len(name) == 2), None)
    described: Described = {"name": main, "aliases": [name for name in names if name not in (main, short)]}
    return described if short is None else described | {"short": short}


def _one_line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def click_command(target: str) -> Any:
    """The click command; of a Typer application, the one it stands for."""
    import click

    found = loaded(target)
    if type(found).__module__.startswith("typer"):
        import typer.main

        found = typer.main.get_command(found)
    if not (isinstance(found, click.Command) or hasattr(found, "make_context")):
        raise Refused(f"{target} is no click command")
    return found


def describe_click(target: str) -> Described:
    """A grammar as the plain dict that its TOML file holds."""
    import click

    command = click_command(target)
    commands = list(_click_commands(command, "", click.Context(command)))
    program = {"program": command.name or "program", "positionals_first": True}
    if len(commands) > 1:
        root = commands.pop(0)
        return {**program, "option": root.get("option", []), "command": commands}
    return {**program, "command": commands}


def _click_commands(command: Any, name: str, context: Any) -> Iterator[Described]:
    told = _one_line(command.help or command.short_help or "")
    described: Described = {"name": name, "help": told.partition(". ")[0], "option": [], "positional": []}
    for parameter in command.get_params(context):
        if parameter.param_type_name == "argument":
            described["positional"].append(_click_argument(parameter))
        else:
            described["option"] += _click_option(parameter)
    if not hasattr(command, "list_commands"):
        yield described
        return
    yield described | {"weight": 0.0, "runs": bool(command.invoke_without_command)}
    for word in command.list_commands(context):
        sub = command.get_command(context, word)
        if sub is not None and not sub.hidden:
            yield from _click_commands(sub, f"{name} {word}".strip(), type(context)(sub, parent=context))


def _click_argument(parameter: Any) -> Described:
    if parameter.nargs == -1:
        arity = "+" if parameter.required else "*"
    else:
        arity = ARITIES.get(parameter.nargs, "") if parameter.required else "?"
    if not arity or (not parameter.required and parameter.nargs not in (1, -1)):
        raise Refused(f"{parameter.name} takes {parameter.nargs} values, which cannot be declared")
    return {"name": parameter.name, **_click_value(parameter), "arity": arity}


def _click_option(parameter: Any) -> list[Described]:
    described = _names(list(parameter.opts)) | {"help": _one_line(getattr(parameter, "help", None) or "")}
    if getattr(parameter, "is_flag", False) or getattr(parameter, "count", False):
        off = [{"name": name} for name in parameter.secondary_opts if name.startswith("--")]
        return [described | {"repeatable": bool(getattr(parameter, "count", False))}, *off]
    if parameter.nargs not in (1, 2, 3):
        raise Refused(f"{_main(parameter.opts)} takes {parameter.nargs} values, which cannot be declared")
    needed = bool(parameter.required and parameter.default is None)
    more = {"arity": str(parameter.nargs), "required": bool(parameter.required) or needed}
    return [described | _click_value(parameter) | more | {"repeatable": bool(parameter.multiple)}]


def _click_value(parameter: Any) -> Described:
    kind = parameter.type
    if hasattr(kind, "choices"):
        spelled = [one if isinstance(one, str) else getattr(one, "name", str(one)) for one in kind.choices]
        return {"kind": "choice", "choices": spelled}
    if getattr(kind, "min", None) is not None or getattr(kind, "max", None) is not None:
        return {"kind": "integer" if kind.name.startswith("int") else "number", "values": _inside(kind)}
    names = {"integer": "integer", "float": "number", "path": "path", "filename": "path", "file": "path"}
    if kind.name == "boolean":
        return {"kind": "choice", "choices": ["true", "false"]}
    return {"kind": names.get(kind.name, "text")}


def _inside(kind: Any) -> list[str]:
    """Some values of a range that may be open at an end."""
    least = kind.min if kind.min is not None else kind.max - 10
    most = kind.max if kind.max is not None else least + 10
    step = (most - least) / 4
    points = [least + step * number for number in (1, 2, 3)]
    whole = kind.name.startswith("int")
    values = [str(int(point)) if whole else f"{point:g}" for point in points]
    return [value for value in dict.fromkeys(values) if not value.startswith("-") and least < float(value) < most] or [
        f"{most:g}"
    ]


def verify_argparse(target: str, commands: list[list[str]]) -> list[list[Any]]:
    """Line number and reason for each command that the parser itself refuses."""
    parser = argparse_parser(target)
    _open_nothing(parser)
    refused: list[list[Any]] = []
    for number, words in enumerate(commands):
        told = io.StringIO()
        try:
            with contextlib.redirect_stderr(told), contextlib.redirect_stdout(io.StringIO()):
                parser.parse_args(words)
        except SystemExit as end:
            if end.code not in (0, None):
                refused.append([number, told.getvalue().strip().rpartition("error: ")[2] or "refused"])
    return refused


def _open_nothing(parser: argparse.ArgumentParser) -> None:
    for action in parser._actions:
        if isinstance(action.type, argparse.FileType):
            action.type = str
        if isinstance(action, argparse._SubParsersAction):
            for sub in action.choices.values():
                _open_nothing(sub)


def verify_click(target: str, commands: list[list[str]]) -> list[list[Any]]:
    """Line number and reason for each command that click itself refuses; no callback runs, no file has to exist."""
    import click

    command = click_command(target)
    refused: list[list[Any]] = []
    for number, words in enumerate(commands):
        try:
            with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
                _try_click(command, command.name, words, None)
        except click.exceptions.Exit as end:
            if end.exit_code:
                refused.append([number, "refused"])
        except click.ClickException as fault:
            refused.append([number, fault.format_message()])
        except click.Abort:
            refused.append([number, "asks for something that is missing"])
    return refused


def _try_click(command: Any, name: Any, words: list[str], parent: Any) -> None:
    import click

    for parameter in command.params:
        if isinstance(parameter.type, (click.Path, click.File)):
            parameter.type = click.STRING
        if not parameter.is_eager:
            parameter.callback = None
        if getattr(parameter, "prompt", None):
            parameter.prompt = None
    context = command.make_context(name, list(words), parent=parent)
    with context:
        if not hasattr(command, "list_commands"):
            return
        left = [*getattr(context, "_protected_args", []), *context.args]
        if left:
            found, sub, rest = command.resolve_command(context, left)
            _try_click(sub, found, rest, context)


def main(arguments: list[str]) -> None:
    """See above."""
    task, kind, target, out = arguments[:4]
    answer: Described = {}
    try:
        if task == "describe":
            answer["grammar"] = (describe_argparse if kind == "argparse" else describe_click)(target)
        else:
            commands = [json.loads(line) for line in Path(arguments[4]).read_text(encoding="utf-8").splitlines()]
            answer["refused"] = (verify_argparse if kind == "argparse" else verify_click)(target, commands)
    except Refused as reason:
        answer["reason"] = str(reason)
    Path(out).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
