"""Words of a job's options, judged: numbers of cards, sizes, names. Pure.

Not here: what an engine does with them.
"""

from __future__ import annotations

import re

from engine.errors import RecipeError
from engine.jobs.job import refused
from engine.recipe import Recipe

NAME = re.compile(r"[A-Za-z0-9][\w.,:@/+-]*", re.ASCII)
GPUS = re.compile(r"(?:(?P<kind>[A-Za-z][\w.-]*):)?(?P<number>\d{1,4})|(?P<lone>[A-Za-z][\w.-]*)", re.ASCII)
SIZE = re.compile(r"(\d+)\s*([KMGT])(?:i?B)?", re.ASCII | re.IGNORECASE)


def plain_name(flag: str, text: str) -> str:
    """A name that stands in a job's file as it is. Raises RecipeError for one that would not."""
    if not NAME.fullmatch(text):
        raise refused(f"--{flag} {text!r} is no name of one.", "Use letters, digits and . , : @ / + - _ only.")
    return text


def number(flag: str, text: str, *, least: int, most: int) -> int:
    """A whole number within bounds. Raises RecipeError."""
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or not least <= int(text) <= most:
        raise refused(f"--{flag} {text!r} is no number between {least} and {most}.", f"For example: --{flag} {least}")
    return int(text)


def gpus_of(text: str) -> tuple[str, int]:
    """(kind or "", number) of `2`, `a100:2` or `a100`. Raises RecipeError."""
    found = GPUS.fullmatch(text)
    if found is None:
        raise refused(f"--gpus {text!r} is no number of cards.", "Write --gpus 1, --gpus a100:2, or --gpus 0 for none.")
    return found["kind"] or found["lone"] or "", int(found["number"] or 1)


def size_in_gib(flag: str, text: str) -> str:
    """A size with its unit, without the letters behind it: `64G`. Raises RecipeError."""
    found = SIZE.fullmatch(text)
    if found is None or int(found[1]) == 0:
        raise refused(f"--{flag} {text!r} is no size.", f"Write it with its unit: --{flag} 64G")
    return found[1] + found[2].upper()


def gpus_per_node(recipe: Recipe, given: str | None, *, uses_card: bool) -> tuple[str, int]:
    """(kind, number) of each host's cards: those asked for, else one for each process of the recipe.

    Raises RecipeError where the recipe would leave some idle or lacks some: how many processes train decides the
    effective batch size, so it is not changed unasked.
    """
    wanted = recipe.distributed.nproc_per_node
    if given is None:
        if wanted == "auto" and uses_card:
            raise refused(
                "The recipe takes every card there is (distributed.nproc_per_node), and a job asks for a number.",
                "Say how many: --gpus 4",
            )
        return "", (int(wanted) if wanted != "auto" else 1) if uses_card else 0
    kind, count = gpus_of(given)
    if count and wanted not in ("auto", count):
        raise _idle_cards(count, int(wanted))
    return kind, count


def _idle_cards(count: int, processes: int) -> RecipeError:
    return refused(
        f"--gpus asks for {count} cards on a host; the recipe trains with {processes} "
        f"process{'es' if processes > 1 else ''} there, one card each (distributed.nproc_per_node).",
        f"Add --set distributed.nproc_per_node={count}, or leave --gpus out.",
    )
