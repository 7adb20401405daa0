"""Rows for a command line: one request and its command at a time, in given shares, none of them made up.

    {"instruction": "list the pods in the namespace web", "input": "", "output": "kubectl get pods --namespace web"}

Every request stands once. Every command is parsed by the grammar again before it is given out.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from data.chance import allotted
from data.command_line.grammar import Command, Grammar, GrammarError
from data.command_line.parsing import parse
from data.command_line.sampling import Chosen, chosen, expected, line, words
from data.command_line.wording import request
from data.errors import DataError
from data.nearest import listed, nearest

NUM_MISSES = 200
"""Requests in a row that stood before, until a command counts as having no further wording."""
_WHOLE = 10**6
_BITS_PER_ROW, _NUM_HASHES = 24, 7


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows to make. `shares` of the rows by command, 0 to 1; the commands left share the rest by their weight."""

    num_rows: int
    seed: int = 42
    shares: Mapping[str, float] = field(default_factory=dict)
    typos: float = 0.0


@dataclass(frozen=True, slots=True)
class Share:
    """How many rows a command was to have, and has."""

    command: str
    target: int
    reached: int

    def to_json(self) -> dict[str, Any]:
        """Plain dict."""
        return {"command": self.command, "target": self.target, "reached": self.reached}


@dataclass(slots=True)
class Made:
    """What was made so far: rows by command, and commands that the grammar refuses, with the reasons of the first."""

    targets: dict[str, int] = field(default_factory=dict)
    reached: Counter[str] = field(default_factory=Counter)
    num_fabricated: int = 0
    reasons: list[str] = field(default_factory=list)

    def shares(self) -> list[Share]:
        """By command, in declared order; those that were to have no row and have none are left out."""
        return [
            Share(name, target, self.reached[name])
            for name, target in self.targets.items()
            if target or self.reached[name]
        ]


def made_rows(grammar: Grammar, wanted: Wanted, made: Made) -> Iterator[dict[str, Any]]:
    """The rows, one at a time; `made` is kept up to date. Raises DataError where there are not so many requests."""
    commands = [command for command in grammar.commands if command.runs]
    made.targets = targets(commands, wanted)
    left = dict(made.targets)
    chance = random.Random(wanted.seed)
    seen = _Seen(wanted.num_rows)
    exhausted: set[str] = set()
    by_name = {command.name: command for command in commands}
    num_left = wanted.num_rows
    while num_left:
        name = _drawn(left, chance)
        row = _new_row(grammar, by_name[name], wanted, seen, made, chance)
        if row is None:
            exhausted.add(name)
            _pass_on(left, exhausted, by_name, wanted, num_left)
            continue
        left[name] -= 1
        num_left -= 1
        made.reached[name] += 1
        yield row


def targets(commands: list[Command], wanted: Wanted) -> dict[str, int]:
    """Rows by command. Raises DataError for shares that cannot be."""
    by_name = {command.name: command for command in commands}
    for name, share in wanted.shares.items():
        if name not in by_name:
            near = nearest(name, by_name)
            raise DataError(
                f"There is no command {name!r} to have a share of {share:g}.",
                means=f"The grammar has {listed(by_name)}.",
                remedy=f"Perhaps {near[0]!r} is meant." if near else "Name one of these.",
            )
    given = sum(wanted.shares.values())
    rest = sum(command.weight for command in commands if command.name not in wanted.shares)
    if (
        wanted.num_rows < 1
        or any(not 0 <= share <= 1 for share in wanted.shares.values())
        or given > 1 + 1e-9
        or (given < 1 - 1e-9 and not rest)
    ):
        raise DataError(
            f"{wanted.num_rows} rows cannot be made with shares that add up to {given:g}.",
            means="Shares go from 0 to 1; together they are 1, or less where other commands take the rest.",
            remedy="Correct --rows and --share, or the weights in the grammar.",
        )
    parts = [
        wanted.shares[name] if name in wanted.shares else (1 - given) * command.weight / rest
        for name, command in by_name.items()
    ]
    whole = [round(max(0.0, part) * _WHOLE) for part in parts]
    return dict(zip(by_name, allotted(wanted.num_rows, whole), strict=True))


def _drawn(left: Mapping[str, int], chance: random.Random) -> str:
    """A command, each as likely as it has rows to come: the shares come out exactly, in an order of chance."""
    place = chance.random() * sum(left.values())
    for name, count in left.items():
        place -= count
        if place < 0:
            return name
    return next(name for name, count in left.items() if count)


def _pass_on(
    left: dict[str, int], exhausted: set[str], by_name: Mapping[str, Command], wanted: Wanted, num_left: int
) -> None:
    """Give what a command without further wordings still owes to the others, in proportion to what they have."""
    owed = sum(left[name] for name in exhausted)
    for name in exhausted:
        left[name] = 0
    others = [name for name in left if name not in exhausted and wanted.shares.get(name, by_name[name].weight) > 0]
    # A share that was asked for is kept as long as any other command can take the rest.
    others = [name for name in others if name not in wanted.shares] or others
    if not others:
        raise DataError(
            f"Only {wanted.num_rows - num_left} different requests can be made, not {wanted.num_rows}.",
            means="Every wording of every command has been used; the same request twice would teach nothing.",
            remedy="Ask for fewer --rows, or add phrases and values to the grammar.",
        )
    weights = [max(1, round(1000 * by_name[name].weight)) for name in others]
    for name, count in zip(others, allotted(owed, weights), strict=True):
        left[name] += count


def _new_row(
    grammar: Grammar, command: Command, wanted: Wanted, seen: _Seen, made: Made, chance: random.Random
) -> dict[str, Any] | None:
    """A row whose request is new; None where none was found."""
    for _ in range(NUM_MISSES):
        one = chosen(grammar, command, chance)
        text = request(grammar, one, chance, wanted.typos > 0 and chance.random() < wanted.typos)
        if not seen.add(" ".join(text.casefold().split())):
            continue
        written = line(words(grammar, one))
        reason = _fault(grammar, one, written)
        if reason is not None:
            made.num_fabricated += 1
            if len(made.reasons) < 5:
                made.reasons.append(f"{written}: {reason}")
        return {"instruction": text, "input": "", "output": written}
    return None


def _fault(grammar: Grammar, one: Chosen, written: str) -> str | None:
    """Why the program would not take the command as it is meant."""
    try:
        parsed = parse(grammar, written)
    except GrammarError as error:
        return str(error)
    positionals, options = expected(one)
    found = parsed.options if one.command.name else parsed.program_options
    if (parsed.command, dict(parsed.positionals), dict(found)) != (one.command.name, positionals, options):
        return "it is read as something else than is meant"
    return None


class _Seen:
    """Which texts stood before, in 3 bytes a row: a Bloom filter; one new text in 100,000 passes for an old one."""

    def __init__(self, num_rows: int) -> None:
        self._num_bits = max(1024, _BITS_PER_ROW * num_rows)
        self._bits = bytearray(self._num_bits // 8 + 1)

    def add(self, text: str) -> bool:
        """Whether it is new."""
        digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8 * _NUM_HASHES).digest()
        is_new = False
        for number in range(_NUM_HASHES):
            place, bit = divmod(int.from_bytes(digest[8 * number : 8 * number + 8], "big") % self._num_bits, 8)
            if not self._bits[place] >> bit & 1:
                self._bits[place] |= 1 << bit
                is_new = True
        return is_new
