"""How recipes of earlier versions become recipes of this one: pure functions, one for each change of the layout.

A recipe that names an old `version` takes every migration since. One that names none may have been written for any, so
it takes them all: a migration therefore leaves alone what has the new layout already. The file itself is not changed.
Not here: plans and events, whose fields are only added (`plan`, `event_schema`), and folders of runs (`run_format`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.errors import RecipeError
from engine.run_format import UPGRADE

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Migration:
    """From one version of the layout to the next. `sentence` says what changed; `fields` are those that are gone."""

    sentence: str
    change: Callable[[Values], Values]
    fields: frozenset[str] = frozenset()


MIGRATIONS: tuple[Migration, ...] = ()
"""The first brings version 1 to version 2. Since version 1 fields were only added, each with a default."""
RECIPE_VERSION = 1 + len(MIGRATIONS)


def migrated(
    values: Mapping[str, Any], name: str = "The recipe", migrations: Sequence[Migration] = MIGRATIONS
) -> tuple[Values, tuple[str, ...]]:
    """A recipe's plain values in the layout of this version, and what was changed in them, in sentences.

    Raises RecipeError for one of a newer version. A `version` that is no number is left for the recipe to refuse.
    """
    written = values.get("version", 1)
    newest = 1 + len(migrations)
    if type(written) is not int or written < 1:
        return dict(values), ()
    if written > newest:
        raise RecipeError(
            f"{name} is of version {written}; this finetui knows recipes up to version {newest}.",
            means="It was written by a newer finetui. Nothing was started.",
            remedy=f"Upgrade: {UPGRADE}",
        )
    now, told = copy.deepcopy(dict(values)), []
    for migration in migrations[written - 1 :]:
        before = copy.deepcopy(now)
        now = migration.change(now)
        if now != before:
            told.append(migration.sentence)
    if "version" in now:
        now["version"] = newest
    return now, tuple(told)
