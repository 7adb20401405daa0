"""One Tab: which words may stand where the cursor is. Loads neither pydantic nor textual nor any command.

argcomplete takes the line apart as the shell does and quotes what is offered; the parsers it asks are made here from
what `described` keeps. Not here: the shells' scripts (`desk_commands/completion`).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from argcomplete.completers import BaseCompleter
from argcomplete.finders import CompletionFinder

from engine.run_dir import list_runs
from tui_app.completion.described import described

ENDINGS: Mapping[str, tuple[str, ...]] = {
    "recipe": (".toml",),
    "model": (".gguf",),
    "rows": (
        ".jsonl",
        ".json",
        ".csv",
        ".tsv",
        ".parquet",
        ".arrow",
        ".txt",
        ".gz",
        ".zst",
        ".bz2",
        ".xz",
        ".zip",
        ".tar",
    ),
    "file": ("",),
    "folder": (),
}
"""Of the files that a kind of word may be; folders are offered with each of them."""
ASKED = "_ARGCOMPLETE"
"""Set in the environment by the shell's script."""


def answer() -> None:
    """Tell the shell what may stand at the cursor, and end the process."""
    values = described()
    line = os.environ.get("COMP_LINE", "")
    Finder()(parser_for(values, line.split()), always_complete_options=False, default_completer=Nothing())


class Finder(CompletionFinder):
    """Options are offered once a hyphen is typed, or where nothing else may stand."""

    def collect_completions(
        self, active_parsers: list[argparse.ArgumentParser], parsed_args: argparse.Namespace, cword_prefix: str
    ) -> list[str]:
        found: list[str] = super().collect_completions(active_parsers, parsed_args, cword_prefix)
        if not found and not cword_prefix and not self._wants_value(active_parsers[-1]):
            self.always_complete_options = "long"
            found = super().collect_completions(active_parsers, parsed_args, cword_prefix)
        return found

    @staticmethod
    def _wants_value(parser: argparse.ArgumentParser) -> bool:
        return any(action.option_strings for action in getattr(parser, "active_actions", ()))


class Nothing(BaseCompleter):
    """For words that nobody can guess."""

    def __call__(self, **_: object) -> Iterable[str]:
        return ()


def parser_for(values: Mapping[str, Any], line: list[str]) -> argparse.ArgumentParser:
    """A parser that takes what the command of the line takes; of the other commands it knows the names."""
    named = next((word for word in line[1:] if word in values["commands"]["commands"]), "")
    tree = values["commands"]
    if named == "export" and (job := _job(values, line)):
        tree = {
            **tree,
            "commands": {**tree["commands"], "export": {**tree["commands"]["export"], **values["jobs"][job]}},
        }
    parser = argparse.ArgumentParser(prog="finetui", add_help=False)
    _fill(parser, tree, values["words"], named)
    return parser


def _job(values: Mapping[str, Any], line: list[str]) -> str:
    """The scheduler that an export names after --to; empty for none."""
    followed = [*line[1:], ""]
    kinds = [word.removeprefix("--to=") for word in line if word.startswith("--to=")]
    kinds += [after for word, after in zip(line, followed, strict=True) if word == "--to"]
    return next((kind for kind in kinds if kind in values["jobs"]), "")


def _fill(parser: argparse.ArgumentParser, tree: Mapping[str, Any], words: Mapping[str, Any], named: str = "") -> None:
    for each in tree["arguments"]:
        told: dict[str, Any] = {"help": each.get("help", argparse.SUPPRESS)}
        if each["nargs"] == 0:
            action = parser.add_argument(*each["options"], action="store_true", dest=each["name"], **told)
        elif each["options"]:
            action = parser.add_argument(*each["options"], dest=each["name"], nargs=each["nargs"], **told)
        else:
            action = parser.add_argument(each["name"], nargs=each["nargs"], **told)
        if each["nargs"] != 0:
            setattr(action, "completer", Words(each["kind"], words, tuple(each.get("choices", ()))))  # noqa: B010
    if tree["commands"]:
        commands = parser.add_subparsers()
        for name, inner in tree["commands"].items():
            made = commands.add_parser(name, help=inner["help"], add_help=False)
            if named in ("", name):
                _fill(made, inner, words)


@dataclass(frozen=True, slots=True)
class Words:
    """Offers the words of some kinds, or the few that an option takes."""

    kinds: str
    words: Mapping[str, Mapping[str, str]]
    choices: tuple[str, ...] = ()

    def __call__(self, prefix: str, parsed_args: argparse.Namespace, **_: object) -> Mapping[str, str]:
        """Word -> sentence, for those that begin with `prefix`."""
        if self.choices:
            return dict.fromkeys(self.choices, "")
        found: dict[str, str] = {}
        for kind in self.kinds.split():
            found |= self._of_kind(kind, prefix, parsed_args)
        return found

    def _of_kind(self, kind: str, prefix: str, parsed_args: argparse.Namespace) -> Mapping[str, str]:
        if kind == "run":
            return {run.name: "" for run in reversed(list_runs()) if run.name.isprintable()}  # the shell obeys escapes
        if kind == "field":
            return _assigned(self.words, prefix)
        if kind == "setting" and (key := getattr(parsed_args, "key", None)) in self.words["setting"]:
            return self.words.get(f"setting {key}", {})
        if kind == "setting":
            fields = self.words["field"] if prefix.startswith("recipe.") else {}
            return {**self.words["setting"], **{f"recipe.{name}": told for name, told in fields.items()}}
        if kind.endswith(","):
            before = prefix[: prefix.rfind(",") + 1]
            return {f"{before}{word}": told for word, told in self.words[kind.rstrip(",")].items()}
        found = dict(self.words.get(kind, {}))
        if kind in ENDINGS and not any(word.startswith(prefix) for word in found if prefix):
            found |= dict.fromkeys(files(prefix, ENDINGS[kind]), "")
        return found


def _assigned(words: Mapping[str, Mapping[str, str]], prefix: str) -> Mapping[str, str]:
    """`section.key=`, and behind it the values of a field that takes few."""
    name, is_assigned, text = prefix.partition("=")
    if not is_assigned:
        return {f"{field}=": told for field, told in words["field"].items()}
    before = text[: text.rfind(",") + 1]  # of a sweep's grid
    return {f"{name}={before}{value}": "" for value in words.get(f"field {name}", {})}


def files(prefix: str, endings: tuple[str, ...]) -> list[str]:
    """Files with one of the endings, and folders, that begin with the prefix as it was typed."""
    typed, begun = os.path.split(prefix)
    found = []
    try:
        with os.scandir(os.path.expanduser(typed) or ".") as entries:  # noqa: PTH111 - Path raises for an unknown ~user
            for entry in entries:
                is_hidden = entry.name.startswith(".") and not begun.startswith(".")
                if not is_hidden and entry.name.startswith(begun) and (entry.is_dir() or entry.name.endswith(endings)):
                    found.append(os.path.join(typed, entry.name) + ("/" if entry.is_dir() else ""))  # noqa: PTH118
    except OSError:
        return []
    return sorted(found)
