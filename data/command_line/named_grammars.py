"""A grammar by its name: the path of a TOML file, or generator:NAME for the program that a bundled generator knows."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from data import generators
from data.command_line.grammar import Grammar
from data.command_line.toml_file import read_grammar
from data.errors import DataError
from data.nearest import nearest

PREFIX = "generator:"


def is_bundled(name: str) -> bool:
    """Whether a name stands for a bundled program, not for a file."""
    return name.startswith(PREFIX)


def grammar_named(name: str) -> Grammar:
    """The grammar of that name. Raises DataError where it cannot be read, or there is none."""
    return bundled_grammar(name) if is_bundled(name) else read_grammar(Path(name).expanduser())


def bundled_grammar(name: str) -> Grammar:
    """The grammar behind generator:NAME. Raises DataError naming those there are."""
    known = [
        found.name
        for found in pkgutil.iter_modules(generators.__path__)
        if found.ispkg and (Path(generators.__path__[0]) / found.name / "grammar.py").exists()
    ]
    wanted = name.removeprefix(PREFIX)
    if wanted not in known:
        near = nearest(wanted, known)
        raise DataError(
            f"No bundled program is named {wanted!r}.",
            means="Which commands there are is known for these: " + ", ".join(known) + ".",
            remedy=f"Perhaps {PREFIX}{near[0]} is meant." if near else f"Name a TOML file, or {PREFIX}{known[0]}.",
        )
    grammar = importlib.import_module(f"data.generators.{wanted}.grammar").GRAMMAR
    assert isinstance(grammar, Grammar)
    return grammar
