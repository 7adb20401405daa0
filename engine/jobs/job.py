"""What every job is made from, and what becomes of it: values only.

Not here: the files of one engine (`slurm`, `skypilot`), what a recipe needs of a machine (`needs`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.errors import RecipeError
from engine.recipe import Recipe

RECIPE_FILE = "recipe.toml"
"""The job's recipe, beside the file that the scheduler reads."""
STOPPED = 7
"""Exit code of a run that was stopped and can be resumed."""


@dataclass(frozen=True, slots=True)
class JobOption:
    """One option of an engine: `finetui export … --to ENGINE --FLAG METAVAR`."""

    flag: str
    metavar: str
    help: str
    is_repeated: bool = False

    @property
    def key(self) -> str:
        """Its key in the settings."""
        return self.flag.replace("-", "_")


NODES = JobOption("nodes", "N", "hosts that train together (the recipe's nnodes)")


@dataclass(frozen=True, slots=True)
class Needs:
    """What a recipe takes of the machine that it runs on."""

    uses_card: bool
    ram_bytes: int | None
    """RAM of one host with some to spare; None where the model's size is not known here."""
    cards: tuple[str, ...] = ()
    """Keys of `engine.cards` of those that it is predicted to fit on; empty where that is not known."""


@dataclass(frozen=True, slots=True)
class Job:
    """A recipe that is to be carried out elsewhere. The recipe is complete, its local paths are absolute."""

    name: str
    folder: Path
    """Where the job's files will lie; absolute."""
    recipe: Recipe
    needs: Needs
    program: tuple[str, ...]
    """How finetui is called on this machine."""
    version: str
    run_root: Path
    """Where runs lie on this machine."""
    cards: str = ""
    """The card that was asked for by --device, as a key of `engine.cards`."""


@dataclass(frozen=True, slots=True)
class JobFiles:
    """The files of a job, by name; the words of the command that hands it over; and what one has to know."""

    files: Mapping[str, str]
    command: tuple[str, ...]
    notes: tuple[str, ...] = ()


Settings = Mapping[str, str | list[str] | None]
"""Option key -> its words; None where it was not given."""


@dataclass(frozen=True, slots=True)
class JobEngine:
    """One scheduler: its word after --to, one line about it, its options, and what makes the files."""

    name: str
    help: str
    options: tuple[JobOption, ...]
    make: Callable[[Job, Settings], JobFiles]


def refused(happened: str, remedy: str) -> RecipeError:
    """An option that cannot be applied."""
    return RecipeError(happened, means="No job was written.", remedy=remedy)
