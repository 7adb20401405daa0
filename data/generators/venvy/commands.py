"""The 154 commands that the rows ask for, in seven groups with fixed shares. How they are asked for: `wording`.

Values come from small closed sets, combined so that no name goes with one path only: what is learned is to copy
them. Options are written out, in the order in which venvy declares them; the positional argument comes first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from data.generators.venvy.grammar import PROGRAM

Options = tuple[tuple[str, str | None], ...]

# Percent of the rows.
SHARES = {"register": 25, "ls": 20, "current": 15, "cleanup": 15, "scan": 10, "stats": 10, "shell-hook": 5}

ENVIRONMENTS = (
    *(".venv", "venv", "env", "~/envs/api", "~/envs/web", "~/envs/ml", "~/envs/blog"),
    *("/opt/venvs/shop", "/opt/venvs/etl", "/srv/venvs/bot"),
)
NAMES = ("api", "web", "ml", "blog", "shop", "etl")
PROJECTS = ("~/projects/api", "~/projects/web", "~/code/blog", "~/code/shop", "/srv/apps/etl")
FOLDERS = ("~/projects", "~/code", "~/work", "~/src", "/opt", "/srv/apps")
DEPTHS = ("2", "4", "5", "6")
DAYS = ("7", "14", "30", "45", "60", "90", "120", "180")
SORTS = ("name", "recent", "size", "project")
SHELLS = ("bash", "zsh", "fish", "powershell")


@dataclass(frozen=True, slots=True)
class Command:
    """One command line; "" among the options is the positional argument, a flag has no value."""

    name: str
    options: Options

    @property
    def line(self) -> str:
        """As typed: "venvy cleanup --days 30 --dry-run"."""
        words = [word for option, value in self.options for word in (option, value) if word]
        return " ".join([PROGRAM, self.name, *words])

    @property
    def weight(self) -> int:
        """How often it is asked for against the others of its group: plain commands more than combinations."""
        return max(1, 3 - len(self.options))

    @property
    def confidence(self) -> str:
        """What the answer states: the more there is to get right, the lower."""
        return ("0.98", "0.95", "0.92", "0.90")[len(self.options)]


def commands_by_name() -> dict[str, list[Command]]:
    """Every command, grouped as in SHARES."""
    options: dict[str, Iterable[Options]] = {
        "register": _register(),
        "ls": _ls(),
        "current": [(), (("--json", None),)],
        "cleanup": _cleanup(),
        "scan": _scan(),
        "stats": [(), (("--json", None),)],
        "shell-hook": [(), *((("--shell", shell),) for shell in SHELLS)],
    }
    return {name: [Command(name, one) for one in options[name]] for name in SHARES}


def _register() -> list[Options]:
    def some(values: Sequence[str], number: int) -> str:
        return values[number % len(values)]

    places: list[Options] = [(("", environment),) for environment in ENVIRONMENTS]
    named: list[Options] = [
        (*place, ("--name", some(NAMES, n + step))) for n, place in enumerate(places[:9]) for step in (0, 2)
    ]
    with_project: list[Options] = [
        (*some_place, ("--project", some(PROJECTS, n))) for n, some_place in enumerate(places)
    ]
    with_both: list[Options] = [
        (*places[2 * n], ("--project", some(PROJECTS, n + 1)), ("--name", some(NAMES, n + 3))) for n in range(5)
    ]
    return [
        (),
        *places,
        *((("--name", name),) for name in NAMES),
        *named,
        *with_project,
        *with_both,
    ]


def _ls() -> list[Options]:
    sorts: list[Options] = [(), *((("--sort", key),) for key in SORTS)]
    formats: list[Options] = [(), (("--format", "table"),), (("--format", "simple"),)]
    hiding: list[Options] = [(), (("--hide-missing", None),)]
    shown = [(*sort, *form, *hide) for sort in sorts for form in formats for hide in hiding]
    return shown + [(*sort, *hide, ("--json", None)) for sort in sorts for hide in hiding]


def _cleanup() -> list[Options]:
    ages: list[Options] = [(), *((("--days", days),) for days in DAYS)]
    manners: list[Options] = [(), (("--dry-run", None),), (("--force", None),)]
    return [(*age, *manner) for age in ages for manner in manners]


def _scan() -> list[Options]:
    places: list[Options] = [(("--path", folder),) for folder in FOLDERS]
    depths: list[Options] = [(("--depth", depth),) for depth in DEPTHS]
    home: Options = (("--home", None),)
    deep = [(*place, *depths[(n + step) % len(depths)]) for n, place in enumerate(places) for step in (0, 1)]
    return [(), home, *((*home, *depth) for depth in depths), *places, *depths, *deep]
