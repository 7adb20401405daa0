"""One command line -> its parts, the way click and getopt read it. Nothing is looked up in the file system.

Options may stand among the positional arguments, a value may be glued on (--days=30, -d30), flags may share a word
(-vq), and after "--" nothing is an option. Abbreviated options are not taken: not every program takes them.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from data.command_line.grammar import (
    INFORMING,
    Command,
    Grammar,
    GrammarError,
    Option,
    Positional,
    fits,
    num_values,
)

Value = str | int | float | bool | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parsed:
    """A command taken apart. Options go by their names; a flag's value is True, that of several values a tuple."""

    command: str
    positionals: Mapping[str, tuple[str, ...]]
    options: Mapping[str, Value]
    program_options: Mapping[str, Value]

    @property
    def positional(self) -> str | None:
        """The first value that is known by its place, if there is one."""
        return next((values[0] for values in self.positionals.values() if values), None)


def parse(grammar: Grammar, text: str) -> Parsed:
    """Take a command line apart. Raises GrammarError when the declared program would not accept it."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise GrammarError(f"not a shell command: {error}") from error
    return parse_words(grammar, words)


def parse_words(grammar: Grammar, words: Sequence[str]) -> Parsed:
    """As `parse`, from the words that a shell would pass on."""
    start = grammar.program.split()
    if list(words[: len(start)]) != start:
        raise GrammarError(f"does not start with {grammar.program}")
    below = _children(grammar, "")
    root = grammar.command("")
    own = grammar.options + (root.options if root else ())
    program_options, rest = _options(list(words[len(start) :]), own, stop_at_word=bool(below))
    node, name, options, left = root, "", dict[str, Value](), rest
    while below and left and left[0] in below:
        name = f"{name} {left[0]}".strip()
        node, below = grammar.command(name), _children(grammar, name)
        options, left = _options(left[1:], node.options if node else (), stop_at_word=bool(below))
    informs = bool((options.keys() | program_options.keys()) & set(INFORMING))
    if node is None or not node.runs or (left and below and not node.positionals):
        if informs and not left:
            return Parsed(name, {}, options, program_options)
        if left:
            raise GrammarError(f"there is no command {f'{name} {left[0]}'.strip()!r}")
        raise GrammarError("no command is named" if not name else f"{name} needs a command after it")
    if below:  # it stopped at the first word, which is no command: options may follow it
        more, left = _options(left, node.options if name else own, stop_at_word=False)
        options, program_options = (options | more, program_options) if name else (options, program_options | more)
    if informs:
        return Parsed(name, {}, options, program_options)
    given = options if name else {**program_options}
    _check_together(node, given)
    return Parsed(name, _placed(node, left), options, program_options)


def _children(grammar: Grammar, name: str) -> set[str]:
    """The words that may follow a command, or the program."""
    depth, path = len(name.split()), name.split()
    return {
        words[depth]
        for words in (command.name.split() for command in grammar.commands)
        if len(words) > depth and words[:depth] == path
    }


def _check_together(command: Command, given: Mapping[str, Value]) -> None:
    for option in command.options:
        if option.required and option.long not in given:
            raise GrammarError(f"{option.long} is missing")
    for group in command.exclusive:
        found = [name for name in group.options if name in given]
        if len(found) > 1:
            raise GrammarError(f"{' and '.join(found)} exclude each other")
        if group.required and not found:
            raise GrammarError(f"one of {', '.join(group.options)} is missing")


def _placed(command: Command, words: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The words by positional argument: each takes as many as it may, less what the later ones need."""
    placed: dict[str, tuple[str, ...]] = {}
    left = list(words)
    for number, positional in enumerate(command.positionals):
        needed = sum(num_values(later.arity)[0] for later in command.positionals[number + 1 :])
        least, most = num_values(positional.arity)
        taken = left[: max(least, min(most, len(left) - needed))]
        if len(taken) < least:
            raise GrammarError(f"{command.name or 'the program'} needs {positional.name}")
        left = left[len(taken) :]
        _check_values(positional, taken)
        if taken:
            placed[positional.name] = tuple(taken)
    if left:
        raise GrammarError(f"{command.name or 'the program'} takes no argument {left[-1]!r}")
    return placed


def _check_values(positional: Positional, values: Sequence[str]) -> None:
    for value in values:
        reason = fits(positional.kind, positional.choices, value)
        if reason is not None:
            raise GrammarError(f"{positional.name} {reason}")


def _options(
    words: list[str], declared: tuple[Option, ...], *, stop_at_word: bool
) -> tuple[dict[str, Value], list[str]]:
    """The options at their names, and the words that are none (from the first one on, if `stop_at_word`)."""
    by_name = {name: option for option in declared for name in option.names}
    values: dict[str, Value] = {}
    plain: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            return values, plain + left
        if not word.startswith("-") or word == "-":
            plain.append(word)
            if stop_at_word:
                return values, plain + left
            continue
        for option, glued in _named_in(word, by_name):
            taken = _taken(option, glued, left)
            if option.repeatable and option.kind != "flag":
                before = values.get(option.long)
                values[option.long] = (*(before if isinstance(before, tuple) else ()), *taken)
            else:
                values[option.long] = _value(option, taken)
    return values, plain


def _named_in(word: str, by_name: Mapping[str, Option]) -> list[tuple[Option, str | None]]:
    """The options in one word with the value glued to them: --days=30, -d30, or several flags as in -vq."""
    name, equals, value = word.partition("=")
    if word.startswith("--") or (len(name) > 2 and name in by_name):
        if name not in by_name:
            raise GrammarError(f"there is no option {name}")
        return [(by_name[name], value if equals else None)]
    found: list[tuple[Option, str | None]] = []
    for position, letter in enumerate(word[1:], start=2):
        option = by_name.get(f"-{letter}")
        if option is None:
            raise GrammarError(f"there is no option -{letter}")
        if option.kind != "flag":
            return [*found, (option, word[position:] or None)]
        found.append((option, None))
    return found


def _taken(option: Option, glued: str | None, left: list[str]) -> tuple[str, ...]:
    """What follows an option: glued to it, or the next words of `left`, which are then taken from there."""
    if option.kind == "flag":
        if glued is not None:
            raise GrammarError(f"{option.long} takes no value")
        return ()
    least, most = num_values(option.arity)
    taken = [] if glued is None else [glued]
    while glued is None and len(taken) < most and left and option.arity != "?":
        # How many there are is told by where the next option starts; a value that must be there may look like one.
        if len(taken) >= least and left[0].startswith("-"):
            break
        taken.append(left.pop(0))
    if len(taken) < least:
        raise GrammarError(f"{option.long} needs a value" if least == 1 else f"{option.long} needs {least} values")
    for value in taken:
        reason = fits(option.kind, option.choices, value)
        if reason is not None:
            raise GrammarError(f"{option.long} {reason}")
    return tuple(taken)


def _value(option: Option, taken: tuple[str, ...]) -> Value:
    if option.kind == "flag" or (option.arity == "?" and not taken):
        return True
    if option.arity not in ("1", "?"):
        return taken
    if option.kind == "integer":
        return int(taken[0])
    return float(taken[0]) if option.kind == "number" else taken[0]
