"""Well-known datasets of the hub by what they are for. One TOML file here is one use case, found by being here.

    title, good_for, gets_worse, usual_rows     of the use case, in sentences
    keywords                                    other words under which one may look for it
    [settings]                                  recipe fields that suit it, as a beginning
    [[datasets]]                                one dataset each: the fields of `Entry`

`facts_checked` says which facts were read where and which were not. What is not known is left out. Not here: keeping
a dataset for offline use (`saving`), and downloading (`data.hub`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from importlib.resources import files
from typing import Any

from data.errors import DataError
from data.nearest import nearest

TEMPLATE = "template"
"""In place of a format's name: the entry has a template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One dataset: what has to be known to load it, and what to expect of it.

    `rows` are those of its subset and split; `download_bytes` those of every split of the subset, which is what a
    download takes. None: not known. `files` are examples of the hub's file names that hold the rows, `other_files` of
    some beside them; `file_columns` are the columns in them, `columns` the names that `format` wants (new = old).
    """

    id: str
    title: str
    use_case: str
    licence: str
    format: str
    language: str
    good_for: str
    gets_worse: str
    facts_checked: str
    file_columns: tuple[str, ...]
    files: tuple[str, ...]
    other_files: tuple[str, ...] = ()
    subset: str | None = None
    split: str | None = None
    rows: int | None = None
    download_bytes: int | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    template: str | None = None
    gated: bool = False

    def recipe_fields(self) -> dict[str, Any]:
        """The fields of a recipe's [data] that load it besides `dataset`, without those at their defaults."""
        named: dict[str, Any] = {"subset": self.subset, "split": self.split}
        if self.format == TEMPLATE:
            named["template"] = self.template
        else:
            named |= {"format": self.format, "columns": dict(self.columns)}
        return {name: value for name, value in named.items() if value}

    def to_json(self) -> dict[str, Any]:
        """Plain dict, every field."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCase:
    """What one wants a model for. `settings` are recipe fields by their dotted name."""

    name: str
    title: str
    good_for: str
    gets_worse: str
    usual_rows: str
    settings: Mapping[str, Any]
    entries: tuple[Entry, ...]
    keywords: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain dict, its datasets inside."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return (
            values
            | {"settings": dict(self.settings), "keywords": list(self.keywords)}
            | {"entries": [entry.to_json() for entry in self.entries]}
        )


@cache
def use_cases() -> tuple[UseCase, ...]:
    """Every use case, by name."""
    found = (each for each in files(__name__).iterdir() if each.name.endswith(".toml"))
    return tuple(
        _use_case(each.name.removesuffix(".toml"), tomllib.loads(each.read_text(encoding="utf-8")))
        for each in sorted(found, key=lambda each: each.name)
    )


def entries() -> tuple[Entry, ...]:
    """Every dataset, use case by use case."""
    return tuple(entry for each in use_cases() for entry in each.entries)


def entry_of(dataset: str) -> Entry | None:
    """The entry that a recipe's `data.dataset` names ("owner/name" or "hub:owner/name"); None where there is none."""
    wanted = dataset.removeprefix("hub:")
    return next((entry for entry in entries() if entry.id == wanted), None)


def named(name: str) -> UseCase | Entry:
    """A use case by its name or a dataset by its id, upper and lower case alike. Raises DataError naming near ones."""
    known: dict[str, UseCase | Entry] = {each.name: each for each in use_cases()}
    known |= {entry.id.casefold(): entry for entry in entries()}
    found = known.get(name.removeprefix("hub:").casefold())
    if found is not None:
        return found
    short = {entry.id.partition("/")[2].casefold(): entry.id for entry in entries()}
    words = {word: each.name for each in use_cases() for word in each.keywords}
    spelled_like, word = nearest(name, known), name.casefold()
    worded = [word] if word in words else [] if spelled_like else nearest(name, words)[:1]
    near = _once(
        [
            *(words[each] for each in worded),
            *(() if worded else spelled_like),
            *(short[each] for each in nearest(name, short)),
        ]
    )
    meant = f"Perhaps {' or '.join(near[:2])} is meant. " if near else ""
    raise DataError(
        f"The catalog has no {name!r}.",
        means="It holds use cases and well-known datasets; any other dataset of the hub can be named all the same.",
        remedy=f"{meant}Use cases: {', '.join(each.name for each in use_cases())}. See all: finetui data catalog",
    )


def _once(names: Iterable[str]) -> list[str]:
    """Ids in their own spelling, each once."""
    spelled = {entry.id.casefold(): entry.id for entry in entries()}
    return list(dict.fromkeys(spelled.get(name.casefold(), name) for name in names))


def _use_case(name: str, values: dict[str, Any]) -> UseCase:
    found = tuple(_entry(name, each) for each in values.pop("datasets"))
    return UseCase(name=name, entries=found, keywords=tuple(values.pop("keywords", ())), **values)


def _entry(use_case: str, values: dict[str, Any]) -> Entry:
    tuples = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return Entry(use_case=use_case, **{**values, **tuples})
