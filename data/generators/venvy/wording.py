"""How people ask for venvy's commands. Which commands there are to ask for lives in `commands`.

A wording is a line in which `[a|b|]` stands for one of its alternatives and `<value>` for the option's value, copied
letter by letter. A wording that starts with "?" is a question, the others are requests that polite words may precede.
A request names its command by one core and one phrase for each further option, in the command's own order; no two
options and no two commands share words, so that a reader can always tell which command is meant.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

VENVS = "[venvs|environments|virtual environments]"
VENV = "[venv|environment|virtual environment]"

REQUEST_LEADS = (
    *("", "please ", "can you ", "could you ", "I want to ", "I need to ", "I'd like to ", "help me ", "hey, "),
    "would you ",
)
QUESTION_LEADS = ("", "hey, ", "quick question: ", "just checking: ", "tell me, ")
_ASKING = ("can you ", "could you ", "would you ")

# A core by the option it speaks for; "" is the positional argument, None the command without either.
CORES: dict[str, dict[str | None, tuple[str, ...]]] = {
    "register": {
        None: (
            f"[register|track|add] the {VENV} [here|in this folder|in this directory|in the current directory]",
            f"[register|track|add] [this folder's|this project's|this directory's] {VENV}",
        ),
        "": (
            f"[register|track|add] the {VENV} [at|in] <value>",
            "[register|track|add] <value>",
            "[register|track] <value> [with|in] venvy",
        ),
    },
    "ls": {
        None: (
            f"[list|show|display] [my|all|all my|the registered|my registered] {VENVS}",
            f"[get|print] a list of [my|all|the registered] {VENVS}",
            f"?[what|which] {VENVS} do I have",
        ),
    },
    "current": {
        None: (
            f"[show|print|display|get] [the current|the active|my current|my active|the currently active] {VENV}",
            f"?[what|which] {VENV} [is active|is currently active|am I using|am I in|is activated] [now|right now|]",
        ),
    },
    "cleanup": {
        None: (
            f"[clean up|remove|delete|get rid of] [unused|my unused|all unused|stale|my stale] {VENVS}",
            f"[do|run] a cleanup of [unused|my unused|stale] {VENVS}",
        ),
        "--days": (
            f"[clean up|remove|delete|get rid of] {VENVS} [unused for|not used for|not used in|idle for] <value> days",
            f"[clean up|remove|delete] [all|my] {VENVS} that have been [unused|idle] for <value> days",
        ),
    },
    "scan": {
        None: (
            f"[scan|search] [this folder|this directory|the current folder|the current directory] for {VENVS}",
            f"[find|look for|discover] {VENVS} [in|under] [this folder|this directory|the current directory]",
        ),
        "--home": (
            f"[scan|search] my home [folder|directory] for {VENVS}",
            f"[find|look for|discover] {VENVS} [in|under] my home [folder|directory]",
        ),
        "--path": (
            f"[scan|search] <value> for {VENVS}",
            f"[find|look for|discover] {VENVS} [in|under] <value>",
        ),
    },
    "stats": {
        None: (
            f"[show|print|display|get] [statistics|the statistics|stats|the stats] [about|for|on] [my|all] {VENVS}",
            f"[sum up|summarize] [my|all my] {VENVS} in numbers",
            f"?how many {VENVS} do I have [in total|registered|]",
        ),
    },
    "shell-hook": {
        None: (
            "[print|show|generate|get|create] the [shell hook|hook for my shell|tracking hook for my shell]",
            "[set up|turn on|enable] [automatic|auto] [venv|environment] tracking [in|for] my shell",
        ),
        "--shell": (
            "[print|show|generate|get|create] the [<value> hook|<value> shell hook|shell hook for <value>]",
            "[set up|turn on|enable] [automatic|auto] [venv|environment] tracking [in|for] <value>",
        ),
    },
}

# A phrase by option, or by option and value where each value has words of its own.
PHRASES = {
    "--project": "for the project [|at |in ]<value>",
    "--name": "[as|under the name|and call it|and name it] <value>",
    "--sort name": "[sorted by name|ordered by name|by name|in alphabetical order]",
    "--sort recent": "[sorted by recent use|ordered by recent use|by recent use|most recently used first]",
    "--sort size": "[sorted by size|ordered by size|by size|largest first]",
    "--sort project": "[sorted by project|ordered by project|by project]",
    "--format table": "[as a table|in a table|in table format]",
    "--format simple": "[as a simple list|in simple format|in the simple format]",
    "--hide-missing": "[without missing ones|and hide missing ones|but hide missing ones|hiding missing ones]",
    "--json": "[as JSON|in JSON|in JSON format|as JSON output]",
    "--dry-run": "[as a dry run|in a dry run|but only as a dry run|but only show what would be removed]",
    "--force": "[without asking|without confirmation|without a prompt|and skip the confirmation|and do not ask]",
    "--depth": "[to a depth of <value>|with a depth of <value>|with depth <value>|at most <value> levels deep]",
}

_ALTERNATIVES = re.compile(r"\[([^\]]*)\]")


@dataclass(frozen=True, slots=True)
class Wordings:
    """Every way to ask for one command, numbered from 0, without being written out."""

    patterns: tuple[tuple[str, str, str], ...]

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(_ways(pattern) for _, pattern, _ in self.patterns)

    def text(self, number: int) -> str:
        """The wording of that number, 0 up to `count`."""
        for lead, pattern, end in self.patterns:
            ways = _ways(pattern)
            if number < ways:
                return " ".join(f"{lead}{_way(pattern, number)}{end}".split()).replace(" ?", "?")
            number -= ways
        raise ValueError(f"there are only {self.count} wordings")


def wordings(command: str, options: Sequence[tuple[str, str | None]]) -> Wordings:
    """The wordings of a command with options and their values in canonical order ("" is the positional argument)."""
    cores = CORES[command]
    spoken = next((option for option, _ in options if option in cores), None)
    values = dict(options)
    phrases = [_phrase(option, value) for option, value in options if option != spoken]
    patterns: list[tuple[str, str, str]] = []
    for core in cores[spoken]:
        pattern = " ".join([core.removeprefix("?").replace("<value>", values.get(spoken or "") or ""), *phrases])
        if core.startswith("?"):
            patterns += [(lead, pattern, "?") for lead in QUESTION_LEADS]
            continue
        for lead, tail in product(REQUEST_LEADS, ("", " please")):
            if not (tail and "please" in lead):
                patterns.append((lead, pattern, tail + ("?" if lead in _ASKING else "")))
    return Wordings(tuple(patterns))


def _phrase(option: str, value: str | None) -> str:
    own = PHRASES.get(f"{option} {value}")
    return own if own is not None else PHRASES[option].replace("<value>", value or "")


def _ways(pattern: str) -> int:
    ways = 1
    for choice in _ALTERNATIVES.findall(pattern):
        ways *= len(choice.split("|"))
    return ways


def _way(pattern: str, number: int) -> str:
    """The pattern with the alternatives chosen that `number` stands for, read as digits of mixed base."""

    def chosen(match: re.Match[str]) -> str:
        nonlocal number
        alternatives = match[1].split("|")
        number, digit = divmod(number, len(alternatives))
        return alternatives[digit]

    return _ALTERNATIVES.sub(chosen, pattern)
