"""The commands of a document, in its order, carried out as its reader types them.

A ```sh block is typed line by line: `finetui …` in this process, anything else by bash, except programs that are not of
this machine (`ELSEWHERE`). A comment on the line before a block says more about it, and is not seen by the reader:
  <!-- file: rows.csv -->     the block (of any language) is the content of this file
  <!-- exits: 5 -->           its last command ends with this exit code
  <!-- not run: REASON -->    only parsed: it needs a network, a card, a second host
Not here: what a document needs around it (a model in the hub's cache, rows), which is its test's.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
ELSEWHERE = ("git", "make", "source", "ssh", "sudo", "apt-get", "pip", "hf", "ollama", "nvidia-smi", "sbatch", "sky")
TWO_STEPS = (
    "training.max_steps=2",
    "training.per_device_train_batch_size=2",
    "data.generator_rows=60",
    "evaluation.max_rows=4",
)
"""What makes a bundled preset as short as a real run can be."""
BLOCK = re.compile(
    r"(?:^<!-- (?P<said>[^\n]*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


def documents() -> tuple[Path, ...]:
    """Every page that tells its reader to type something: those of the root (a CHANGELOG does not) and all of docs/."""
    root = (CHECKOUT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md"))
    return (*root, *sorted((CHECKOUT / "docs").rglob("*.md")))


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block and what the comment before it says (`said`, "" for none)."""

    language: str
    text: str
    said: str

    def said_of(self, key: str) -> str | None:
        """What stands behind `KEY:` in its comment; None if it does not begin so."""
        return self.said.removeprefix(f"{key}:").strip() if self.said.startswith(f"{key}:") else None

    @property
    def commands(self) -> tuple[str, ...]:
        """Its lines without comments and with continued ones joined; none of a block that is not `sh`."""
        if self.language != "sh":
            return ()
        lines = self.text.replace("\\\n", " ").splitlines()
        return tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))


def blocks(document: Path) -> tuple[Block, ...]:
    """Every fenced block of a Markdown file."""
    found = BLOCK.finditer(document.read_text(encoding="utf-8"))
    return tuple(Block(each["language"], each["text"], each["said"] or "") for each in found)


def finetui_words(command: str) -> list[str] | None:
    """The words behind `finetui` up to a pipe or redirection; None for another program."""
    typed = re.split(r"\s[|>]|\s&&|\s2>", re.sub(r"^\S*/finetui(?=\s|$)", "finetui", command))[0]
    words = shlex.split(typed, comments=True)
    return words[1:] if words[:1] == ["finetui"] else None


@dataclass(frozen=True, slots=True)
class Told:
    """One command line of finetui in a document. `not_run`: why a test only parses it, None where it is carried out."""

    document: Path
    words: tuple[str, ...]
    not_run: str | None


def told_commands(document: Path) -> tuple[Told, ...]:
    """Every command line of finetui that a document tells its reader to type."""
    return tuple(
        Told(document, tuple(words), block.said_of("not run"))
        for block in blocks(document)
        for command in block.commands
        if (words := finetui_words(command)) is not None
    )


def parse(words: Sequence[str]) -> None:
    """Parse a command by the program's own parsers. One that is wrong raises SystemExit, its parser's words printed."""
    from tui_app.cli import build_parser, with_command
    from tui_app.command_modules import COMMANDS, parser_of
    from tui_app.data_cli import data_parser

    given = with_command(list(words))
    if given[-1] in ("--help", "--version"):
        return  # these end the parser that understands them
    if given[0] == "data":
        data_parser().parse_args(given[1:])
    elif given[0] in COMMANDS:
        parser_of(given[0], given[1:]).parse_args(given[1:])
    else:
        build_parser().parse_args(given)


@dataclass(frozen=True, slots=True)
class Done:
    """One command that was carried out, its exit code and the code it should have ended with."""

    command: str
    code: int
    expected: int


def walk(
    document: Path,
    folder: Path,
    finetui: Callable[[Sequence[str]], int],
    *,
    added: Mapping[str, Sequence[str]] | None = None,
) -> Iterator[Done]:
    """Carry out a document in `folder`, which is the working folder of bash; that of `finetui` is its caller's.

    `added`: first words of a command of finetui -> what makes it short: `--set` values, or options (`--closed-form`).
    Of several that fit, the longest counts.
    """
    for block in blocks(document):
        if name := block.said_of("file"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(block.text, encoding="utf-8")
        if block.said_of("not run") is not None:
            continue
        for number, command in enumerate(block.commands, 1):
            code = _carried_out(command, folder, finetui, added or {})
            if code is not None:
                exits = block.said_of("exits") if number == len(block.commands) else None
                yield Done(command, code, int(exits or 0))


def _carried_out(
    command: str, folder: Path, finetui: Callable[[Sequence[str]], int], added: Mapping[str, Sequence[str]]
) -> int | None:
    """The exit code; None for a program that is not run here. Of a redirection the output's is obeyed; no pipe is."""
    words = finetui_words(command)
    if words is not None:
        fitting = [key for key in added if words[: len(key.split())] == key.split()]
        values = added[max(fitting, key=len)] if fitting else ()
        into = re.search(r"\s>\s*(\S+)", command.partition(" #")[0])
        with contextlib.ExitStack() as stack:
            if into:
                file = stack.enter_context((folder / into[1]).open("w", encoding="utf-8"))
                stack.enter_context(contextlib.redirect_stdout(file))
            return finetui([*words, *(word for each in values for word in _option(each))])
    if shlex.split(command, comments=True)[0] in ELSEWHERE:
        return None
    return subprocess.run(["bash", "-euc", command], cwd=folder, check=False).returncode


def _option(value: str) -> tuple[str, ...]:
    return (value,) if value.startswith("--") else ("--set", value)
