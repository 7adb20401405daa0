"""Bundled generators of rows. Each package in this folder is one, found by being here; there is no list to add it to.

A generator is a package with NAME, TITLE (one line), DEFAULT_ROWS, `rows(num_rows, seed)` for training, and FORMS:
every kind of rows that it makes, by name, the one for files first. The same arguments give the same rows, whatever
the Python version and the hash seed: only `random.random()` is promised to stay. A generator whose rows can be
recomputed has `faults(rows)` too, which finds those that are not true.

Commands for any program are made in `data/command_line`: they need a grammar, so they are no generator by name.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Protocol, cast

from data.errors import DataError
from data.nearest import nearest

Form = Callable[[int, int], Iterator[dict[str, Any]]]
COMMANDS = "commands"
"""What `finetui data generate` calls the rows for any command line."""


class Generator(Protocol):
    """What every member of this folder offers."""

    NAME: str
    TITLE: str
    DEFAULT_ROWS: int
    FORMS: Mapping[str, Form]

    def rows(self, num_rows: int, seed: int) -> Iterator[dict[str, Any]]:
        """`num_rows` different rows. Raises DataError when it cannot make that many."""


@cache
def all_generators() -> dict[str, Generator]:
    """Every generator by name, in alphabetical order."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)
    modules = [cast(Generator, importlib.import_module(f"{__name__}.{name}")) for name in names]
    return {module.NAME: module for module in modules}


def generator_named(name: str) -> Generator:
    """The generator of that name. Raises DataError naming those there are."""
    if name.partition("?")[0] == COMMANDS:
        raise DataError(
            f"generator:{COMMANDS} cannot be a dataset by itself.",
            means="Rows for a command line need a grammar, and are looked through before they are trained on.",
            remedy="Write them to a file first, and name that: "
            f"finetui data generate {COMMANDS} --grammar tool.toml -o rows.jsonl",
        )
    found = all_generators().get(name)
    if found is None:
        near = nearest(name, all_generators())
        raise DataError(
            f"There is no bundled generator named {name!r}.",
            means="data.dataset starts with generator:, which stands for rows that finetui makes itself.",
            remedy=f"The generators are: {', '.join(all_generators())}"
            + (f"; perhaps {near[0]} is meant." if near else "."),
        )
    return found


def form_named(generator: Generator, name: str | None) -> Form:
    """One kind of rows that a generator makes; its first without a name. Raises DataError naming those there are."""
    if name is None:
        return next(iter(generator.FORMS.values()))
    found = generator.FORMS.get(name)
    if found is None:
        raise DataError(
            f"The generator {generator.NAME} makes no {name!r}.",
            means=f"It makes: {', '.join(generator.FORMS)}.",
            remedy=f"Give --as {' or '.join(generator.FORMS)}.",
        )
    return found
