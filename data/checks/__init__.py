"""The checks of rows. Each module here is one, found by being here; there is no list to add it to.

A check is a module with
  TITLE        what it finds, as the start of a sentence: "Control characters"
  LEVEL        "error", "warning" or "info"
  MEANS        a sentence: why it hurts training
  IS_DROPPABLE whether leaving the rows out that it names mends it (`finetui data convert --drop NAME`)
  EXAMPLE      rows of prompt and completion in which it finds something
  start(setup) the check at work, a `looking.Looking`
and, where a text can be mended without losing anything,
  repaired(text) the mended text (`finetui data convert --clean NAME`)
  mends(kinds)   whether that helps against what was found
Its name is the module's, with a hyphen for an underscore. Not here: what checks are made of (`looking`).
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Protocol, cast

from data.findings import Level
from data.looking import Looking, Setup
from data.rows import Row


class Check(Protocol):
    """What every module in this folder offers."""

    TITLE: str
    LEVEL: Level
    MEANS: str
    IS_DROPPABLE: bool
    EXAMPLE: tuple[Row, ...]

    def start(self, setup: Setup) -> Looking:
        """The check, ready for the first rows."""


@cache
def all_checks() -> dict[str, Check]:
    """Every check by name, in alphabetical order."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return {name.replace("_", "-"): cast(Check, importlib.import_module(f"{__name__}.{name}")) for name in names}
