"""Bundled generators of rows. Each member of this folder is one, found by being here; there is no list to add it to.

A generator is a module with NAME, TITLE (one line), DEFAULT_ROWS and `rows(num_rows, seed)`: the same arguments give
the same rows, whatever the Python version and the hash seed.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache
from typing import Any, Protocol, cast

from data.errors import DataError
from data.nearest import nearest


class Generator(Protocol):
    """What every member of this folder offers."""

    NAME: str
    TITLE: str
    DEFAULT_ROWS: int

    def rows(self, num_rows: int, seed: int) -> Iterator[dict[str, Any]]:
        """`num_rows` different rows. Raises DataError when it cannot make that many."""


@cache
def all_generators() -> dict[str, Generator]:
    """Every generator by name, in alphabetical order."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    modules = [cast(Generator, importlib.import_module(f"{__name__}.{name}")) for name in names]
    return {module.NAME: module for module in modules}


def generator_named(name: str) -> Generator:
    """The generator of that name. Raises DataError naming those there are."""
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
