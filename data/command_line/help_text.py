"""What a program prints for --help -> the options, arguments and commands it declares there.

Reads the layouts of GNU programs, argparse, click and Typer, cobra, clap, and git's usage:

    -n, --lines=NUM   print NUM lines          usage: tool [-h] [--sort {a,b}] file [file ...]
    -o FILE, --output FILE                     Usage: tool [OPTIONS] SRC... DEST
        --color[=WHEN]                         Available Commands:
    -s, --sort [name|age]                        add       Add a remote

A help text says less than a parser knows: a grammar read from one is a start to be looked over. What is no option,
argument or command line of one of these layouts is passed over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

_NAME = r"--?[A-Za-z0-9?@#][\w.:-]*"
# One name and what follows it: --sort, --[no-]force, --color[=WHEN], -o FILE, --sort {a,b}, --name string
_SPELLED = re.compile(
    r"(?P<name>--\[no-\][\w-]+|" + _NAME + r")"
    r"(?P<value>\[=?[^\]]*\]|=\S+|"
    r"[ ](?:<[^>]+>(?:\.\.\.)?|\{[^}]*\}|\[[^\]]+\](?:\.\.\.)?|\"[^\"]*\"|[^\s,-][^\s,]*))?"
)
_OPTION_LINE = re.compile(r"^\s{1,12}(?=-)(?P<spelled>\S.*?)(?:\s{2,}|\t+|:\s*$|$)(?P<told>.*)$")
_COMMAND_LINE = re.compile(r"^\s{1,8}(?P<name>[a-z0-9][\w.:-]*)(?:, [\w-]+)*\*?(?:\s{2,}|\t+)(?P<told>\S.*)$")
_BOX = str.maketrans(dict.fromkeys("│╭╮╰╯─┃", " "))
_USAGE = re.compile(r"^\s*usage:\s*(?P<rest>.*)$", re.IGNORECASE)
_POSSIBLE = re.compile(
    r"\[possible values: ([^\]]+)\]|\(one of:? ([^)]+)\)|"
    r"\b(?:can be|is one of):? ((?:[\w-]+, )+[\w-]+(?:,? or [\w-]+)?)"
)
_NUMBERS = (
    "int",
    "integer",
    "num",
    "number",
    "n",
    "count",
    "uint",
    "int32",
    "uint32",
    "int64",
    "integer range",
    "size",
    "port",
    "seconds",
)
_FLOATS = ("float", "float32", "float64", "double")
_PATHS = ("file", "path", "dir", "directory", "filename", "folder", "pathspec")
# In cobra's help a word after the name is a type; any other lower-case word begins the description.
_TYPES = {
    *_NUMBERS,
    *_FLOATS,
    *_PATHS,
    "string",
    "strings",
    "stringarray",
    "duration",
    "bool",
    "text",
    "ints",
    "stringtostring",
}

_ARGUMENT_LINE = re.compile(
    r"^\s{1,8}(?:\* +)?\[?<?(?P<name>[A-Za-z][\w.:-]*?)>?\]?(?:\.\.\.)?(?:\s{2,}|\t+|$)(?P<told>.*)$"
)
# What a description says of the kind where the name says nothing.
_TOLD_INTEGER = re.compile(
    r"(?<!phone )\bnumber of\b|\bhow many\b|\b(?:an|as) integer\b|\bwhole number\b|\bin (?:milli)?seconds\b|"
    r"[(\[]default[:=]?\s*\d+[)\]]",
    re.IGNORECASE,
)
_TOLD_NUMBER = re.compile(r"[(\[]default[:=]?\s*\d*\.\d+[)\]]", re.IGNORECASE)
_OPTIONS_IN_USAGE = re.compile(r"[\[<]+(?:options?|flags?)[\]>]+(?:\.\.\.)?|\bOPTIONS?\b|\[--\]", re.IGNORECASE)
_BRACKETED_OPTION = re.compile(r"\[-[^\[\]]*\]|(?<=-)\[[^\[\]]*\]|(?<==)\[[^\[\]]*\]")
_ARGUMENT = re.compile(r"(\[)?<?([A-Za-z](?:[\w.:-]*\w)?(?: [\w-]+(?=>))?)>?\]?((?: ?\.\.\.)?)\]?")


@dataclass(slots=True)
class HelpPage:
    """What one page declares, in the shape of a grammar's TOML file. `is_unclear`: its arguments could not be told.

    `arguments` are the descriptions of arguments by name, as the page spells it.
    """

    told: str = ""
    options: list[dict[str, Any]] = field(default_factory=list)
    positionals: list[dict[str, Any]] = field(default_factory=list)
    commands: dict[str, str] = field(default_factory=dict)
    arguments: dict[str, str] = field(default_factory=dict)
    is_argparse: bool = False
    is_unclear: bool = False
    has_usage: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing was recognised."""
        return not (self.options or self.positionals or self.commands)


def read_help(text: str, program: str) -> HelpPage:
    """The declarations in a help text of `program` (with the command in front of --help: "git remote")."""
    page = HelpPage()
    plain = re.sub(r"\x1b\[[0-9;]*m|.\x08", "", text)
    boxes = {line.translate(_BOX) for line in plain.splitlines() if line.startswith(("╭", "┏"))}
    lines = plain.translate(_BOX).splitlines()
    title, usage, seen = "", None, set[str]()
    for number, line in enumerate(lines):
        found = _USAGE.match(line)
        if found and usage is None:
            usage, title, page.has_usage = found["rest"].strip(), "usage", True
        elif title == "usage" and usage and not line.strip():
            title = ""
        elif title == "usage" and line.strip() and line.startswith((" ", "\t")) and not line.lstrip().startswith("-"):
            usage = _longer(usage or "", line.strip(), program)
        elif line in boxes or (line.strip().endswith(":") and not line.lstrip().startswith("-") and _is_short(line)):
            title = line.strip(" :").lower()
        elif "command" in title and line.strip() and not line.startswith((" ", "\t")):
            continue  # git's groups of commands have lines of their own between them
        elif line.strip() and not line.startswith((" ", "\t")):
            title = "text"
            page.told = page.told or ("" if page.options or page.commands else line.strip())
        else:
            page.told = page.told or (
                line.strip() if title in ("", "usage") and not line.lstrip().startswith("-") else ""
            )
            _read_line(page, line, _following(lines, number), title, seen)
    page.is_argparse = "show this help message and exit" in text
    if not page.commands:
        page.positionals, page.is_unclear = _positionals(usage or "", program, page.arguments)
    return page


def _longer(usage: str, line: str, program: str) -> str:
    """The usage with its next line; further ways to call the program are left out."""
    is_another = bool(usage) and (line.startswith(("or:", "or ", f"{program.split()[0]} ")))
    return usage if is_another else f"{usage} {line}".strip()


def _is_short(line: str) -> bool:
    return len(line.split()) <= (10 if not line.startswith((" ", "\t")) else 4)


def _following(lines: list[str], number: int) -> str:
    """The next line where it goes on with the description of this one."""
    after = lines[number + 1] if number + 1 < len(lines) else ""
    return after.strip() if re.match(r"^(\s{10,}|\t)", after) and not after.lstrip().startswith("-") else ""


def _read_line(page: HelpPage, line: str, after: str, title: str, seen: set[str]) -> None:
    option = _OPTION_LINE.match(line)
    if option is not None and not re.match(r"^\s*-+\s", line):
        for one in _options(option["spelled"], option["told"].strip() or after, after):
            names = {one["name"], one.get("short", one["name"]), *one.get("aliases", ())}
            if not names & seen:
                seen |= names
                page.options.append(one)
        return
    command = _COMMAND_LINE.match(line)
    lists_commands = "command" in title or (title.startswith("positional") and line.startswith("    "))
    argument = _ARGUMENT_LINE.match(line)
    if argument is not None and "argument" in title:
        page.arguments.setdefault(argument["name"], argument["told"].strip() or after)
    if command is not None and lists_commands and command["name"] != "help":
        page.commands.setdefault(command["name"], command["told"].strip())


def _options(spelled: str, told: str, after: str) -> list[dict[str, Any]]:
    """The option of one line; two for --[no-]force. None where its names cannot be told."""
    found: list[tuple[str, str]] = []
    place = 0
    while match := _SPELLED.match(spelled, place):
        value = (match["value"] or "").strip()
        if value and match["value"].startswith(" ") and value.islower() and value.isalnum() and value not in _TYPES:
            return []
        found.append((match["name"], value))
        place = match.end()
        gap = re.compile(r"\s*[,/|]\s*|\s+(?=-)").match(spelled, place)
        if gap is None:
            break
        place = gap.end()
    if not found:
        return []
    names = [name for name, _ in found if "[no-]" not in name]
    both = [name for name, _ in found if "[no-]" in name]
    names += [name.replace("[no-]", "") for name in both]
    main = next((name for name in names if name.startswith("--")), names[0])
    short = next((name for name in names if name != main and len(name) == 2), None)
    aliases = [name for name in dict.fromkeys(names) if name not in (main, short)]
    value = next((value for _, value in found if value), "")
    described: dict[str, Any] = {"name": main, "aliases": aliases, "help": _sentence(told)}
    described |= _value(value, f"{told} {after}")
    if short is not None:
        described["short"] = short
    return [described, *({"name": name.replace("[no-]", "no-")} for name in both)]


def _value(spelled: str, told: str) -> dict[str, Any]:
    """Kind, choices and arity from what stands behind an option's name."""
    if not spelled or spelled.lower() in ("bool", "=false", "=true"):
        return {"kind": "flag"}
    arity = "?" if spelled.startswith("[=") or (spelled.startswith("[<") and spelled.endswith("]")) else "1"
    name = spelled.strip("=")
    if arity == "?":
        name = name[1:-1].strip("=")
    choices = _choices(name, told)
    if choices:
        return {"kind": "choice", "choices": choices, "arity": arity}
    word = name.strip("<>[](){}.\"' ").lower()
    return {"kind": _kind(word, told), "arity": arity}


def _kind(word: str, told: str) -> str:
    """By the word that stands for the value, or by the description where that says nothing."""
    if word in _NUMBERS or word.startswith("num"):
        return "integer"
    if word in _FLOATS:
        return "number"
    if word in _PATHS or word.endswith(("file", "path", "dir")):
        return "path"
    if word not in _TYPES and _TOLD_NUMBER.search(told):
        return "number"
    return "integer" if word not in _TYPES and _TOLD_INTEGER.search(told) else "text"


def _choices(spelled: str, told: str) -> list[str]:
    inner = spelled.strip("<>[](){}")
    for separator in ("|", ","):
        parts = [part.strip("'\" ") for part in inner.split(separator)]
        if len(parts) > 1 and all(re.fullmatch(r"[\w.:+/-]+", part) and part[0] != "-" for part in parts):
            return list(dict.fromkeys(parts))
    found = _POSSIBLE.search(told)
    if found is None:
        return []
    listed = next(group for group in found.groups() if group)
    parts = [part.strip("'\"`, ") for part in re.split(r",\s*(?:or\s+)?|\s+or\s+|\|", listed)]
    return list(dict.fromkeys(part for part in parts if re.fullmatch(r"[\w][\w.:+/-]*", part)))


def _sentence(told: str) -> str:
    return " ".join(re.sub(r"\[(?:default|required|possible)[^\]]*\]|\(default[^)]*\)", "", told).split())[:200]


def _positionals(usage: str, program: str, arguments: dict[str, str]) -> tuple[list[dict[str, Any]], bool]:
    """The arguments in a usage line (FILE, [FILE], FILE..., [FILE ...], <file>), and whether it says more than that."""
    text = _OPTIONS_IN_USAGE.sub(" ", f" {usage}")
    while "[-" in text and (shorter := _BRACKETED_OPTION.sub(" ", text)) != text:
        text = shorter
    last = program.split()[-1].rpartition("/")[2]
    found_name = re.search(rf"(?<![\w-]){re.escape(last)}(?![\w-])", text)
    rest = re.sub(r"(?<=\s)--?[\w-]+(?:[= ]<[^>]*>)?", " ", text[found_name.end() :] if found_name else text)
    if re.search(r"[|(){}=]|\[\W*:", rest):
        return [], True
    found: dict[str, dict[str, Any]] = {}
    for match in _ARGUMENT.finditer(rest):
        name = re.sub(r"\W+", "_", match[2]).strip("_")
        if name.lower() in ("command", "commands", "args", "subcommand"):
            return [], name.lower() == "args"
        if name in found:
            found[name]["arity"] = "+" if found[name]["arity"] == "1" else "*"
        else:
            told = arguments.get(match[2], "") or arguments.get(match[2].lower(), "")
            first = re.sub(r"^\[\S+\]\s+", "", told).partition(" ")[0]  # Typer: "name  [NAME]  INTEGER  what it is"
            typed = first.lower() if first.isupper() and first.lower() in _TYPES else name.lower()
            kind = _kind(typed, told)
            found[name] = {"name": name, "kind": kind, "arity": _arity(bool(match[1]), bool(match[3]))}
    num_endless = sum(one["arity"] in "*+" for one in found.values())
    return ([], True) if num_endless > 1 else (list(found.values()), False)


def _arity(optional: bool, many: bool) -> str:
    return ("*" if many else "?") if optional else ("+" if many else "1")
