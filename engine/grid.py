"""The grid of a sweep: values for some fields of a recipe, and every combination of them.

Pure: no recipe is read or judged here. Not here: what becomes of a point (`engine/queue`).
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import RecipeError

MAX_POINTS = 100
MAX_FIELDS = 6
MAX_NAME = 120
"""Letters of a point's name; a folder's may have 255 bytes."""


@dataclass(frozen=True, slots=True)
class Axis:
    """A field, as --set spells it, and the values that it takes in turn."""

    field: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """One combination: (field, value) of every axis."""

    values: tuple[tuple[str, str], ...]

    @property
    def overrides(self) -> list[str]:
        """As --set takes them."""
        return [f"{field}={value}" for field, value in self.values]

    @property
    def label(self) -> str:
        """For people: "r=8, learning_rate=1e-4"."""
        short = _short_names([field for field, _ in self.values])
        return ", ".join(f"{short[field]}={value}" for field, value in self.values)

    def name(self, stem: str) -> str:
        """What its run is called: stem, then field and value of each axis."""
        short = _short_names([field for field, _ in self.values])
        parts = [stem, *(f"{short[field]}-{value}" for field, value in self.values)]
        return "-".join(re.sub(r"[^a-z0-9]+", "-", part.lower()).strip("-") for part in parts)[:MAX_NAME].strip("-")


def parse_axis(text: str) -> Axis:
    """ "adapter.r=8,16,32" as an axis. Raises RecipeError."""
    field, separator, written = text.partition("=")
    field = field.strip()
    values = tuple(value.strip() for value in _split(written))
    if not separator or not field or not all(values):
        raise RecipeError(
            f"--grid {text!r} is not of the form section.key=value,value,…",
            means="Nothing was started.",
            remedy="For example: --grid adapter.r=8,16,32",
        )
    if twice := sorted({value for value in values if values.count(value) > 1}):
        raise RecipeError(
            f"--grid {field} names {', '.join(twice)} twice.",
            means="Nothing was started.",
            remedy="Give each value once; other seeds are values of training.seed.",
        )
    return Axis(field, values)


def points(axes: Sequence[Axis]) -> list[Point]:
    """Every combination, the last axis changing fastest. Raises RecipeError beyond the limits."""
    fields = [axis.field for axis in axes]
    if twice := sorted({field for field in fields if fields.count(field) > 1}):
        raise RecipeError(
            f"--grid names {', '.join(twice)} twice.",
            means="Nothing was started.",
            remedy="Give all values of a field at once: --grid adapter.r=8,16,32",
        )
    count = math.prod(len(axis.values) for axis in axes)
    if len(axes) > MAX_FIELDS or count > MAX_POINTS:
        raise RecipeError(
            f"The grid has {len(axes)} fields and {count:,} points; {MAX_FIELDS} and {MAX_POINTS} are the most.",
            means="Nothing was started: each point is a whole run.",
            remedy="Leave some values out, or sweep over one field first and over the next with its best value.",
        )
    return [
        Point(tuple(zip(fields, chosen, strict=True))) for chosen in itertools.product(*(axis.values for axis in axes))
    ]


def _split(text: str) -> list[str]:
    """At its commas, but not at those inside brackets or quotes: a value may be a list."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "[{":
            depth += 1
        elif letter in "]}":
            depth -= 1
        elif letter == "," and depth <= 0:
            parts.append("")
            continue
        parts[-1] += letter
    return parts


def _short_names(fields: Sequence[str]) -> dict[str, str]:
    """The last part of each field's name, or all of it where two fields end alike."""
    last = [field.rpartition(".")[2] for field in fields]
    return {field: name if last.count(name) == 1 else field for field, name in zip(fields, last, strict=True)}
