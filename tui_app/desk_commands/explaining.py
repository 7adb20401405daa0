"""What `finetui explain` knows: words, and everything that has a sentence of its own where it is defined.

Fields, sections, rungs, metrics, checks and settings are looked up where they live, so that nothing is said twice.
Not here: how it is printed (`explain`), and the words themselves (`words`, `tui_app.steps.glossary`).
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tui_app.desk_commands.words import WORDS
from tui_app.steps.glossary import GLOSSARY

KINDS = ("word", "field", "section", "rung", "metric", "check", "setting")


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that is explained. `fields`: of the recipe, that belong to it. `default`: of a field, in TOML."""

    kind: str
    name: str
    text: str
    fields: tuple[str, ...] = ()
    default: str = ""


@cache
def words() -> tuple[Entry, ...]:
    """The glossary, in alphabetical order."""
    found = [Entry("word", word, text) for word, text in WORDS.items()]
    found += [Entry("word", word, text, fields) for word, (text, fields) in GLOSSARY.items()]
    return tuple(sorted(found, key=lambda entry: entry.name.casefold()))


@cache
def everything() -> tuple[Entry, ...]:
    """Words first, then what explains itself."""
    return (*words(), *_fields(), *_rungs(), *_metrics(), *_checks(), *_settings())


def explained(term: str) -> list[Entry]:
    """What a term means; of one that is no name, the entries whose names hold it, or else whose texts do."""
    wanted = _plain(term)
    if not wanted:
        return []
    entries = everything()
    for matches in (
        [entry for entry in entries if wanted in (_plain(entry.name), *_parts(entry))],
        [entry for entry in words() if re.search(rf"\b{re.escape(wanted)}", _plain(entry.name))],
        [entry for entry in entries if re.search(rf"\b{re.escape(wanted)}", _plain(entry.name))],
        [entry for entry in words() if re.search(rf"\b{re.escape(wanted)}\b", _plain(entry.text))],
    ):
        if matches:
            return matches
    return []


def names() -> list[str]:
    """Everything that can be asked for."""
    return [entry.name for entry in everything()]


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def _parts(entry: Entry) -> Iterable[str]:
    """Other names: a field without its section, the words of "full, LoRA, QLoRA", "rank" of "LoRA rank (r)"."""
    if entry.kind in ("field", "setting"):
        return (_plain(entry.name.rpartition(".")[2]),)
    if entry.kind == "word":
        return (_plain(part) for part in re.split(r",| and |[()]", entry.name))
    return ()


def _fields() -> list[Entry]:
    from pydantic import BaseModel

    from engine.recipe import Recipe

    found = []
    for name, info in Recipe.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            section = info.annotation
            inside = tuple(f"{name}.{key}" for key in section.model_fields)
            found.append(Entry("section", name, (section.__doc__ or "").strip(), inside))
            found += [_field(f"{name}.{key}", each) for key, each in section.model_fields.items()]
        else:
            found.append(_field(name, info))
    return sorted(found, key=lambda entry: KINDS.index(entry.kind))


def _field(name: str, info: object) -> Entry:
    from pydantic.fields import FieldInfo

    assert isinstance(info, FieldInfo)
    if info.is_required():
        default = "none: every recipe names it"
    else:
        value = info.get_default(call_default_factory=True, validated_data={})
        default = "unset" if value is None else _toml(value)
    related = tuple(word for word, (_, fields) in GLOSSARY.items() if name in fields)
    return Entry("field", name, info.description or "", related, default)


def _toml(value: object) -> str:
    import tomli_w

    return tomli_w.dumps({"x": value}).removeprefix("x = ").strip() if not isinstance(value, dict) else "{}"


def _settings() -> list[Entry]:
    from engine.own_defaults import SETTINGS

    return [Entry("setting", each.key, each.sentence, (), _toml(each.default)) for each in SETTINGS.values()]


def _rungs() -> list[Entry]:
    from engine.ladder import COSTLY, FREE

    told = {False: "Free: what is learned stays the same.", True: "Costly: taken only if ladder.costly names it."}
    return [
        Entry("rung", rung.name, f"{rung.cost[:1].upper()}{rung.cost[1:]}. {told[rung.changes_objective]}")
        for rung in (*FREE, *COSTLY)
    ]


def _metrics() -> list[Entry]:
    """By the first paragraph of each module's page, read without running it."""
    from engine.recipe_sections import METRICS

    found = []
    for name in METRICS:
        spec = importlib.util.find_spec(f"engine.evaluation.metrics.{name}")
        assert spec is not None
        assert spec.origin is not None
        page = ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))) or ""
        found.append(Entry("metric", name, page.partition("\n\n")[0].replace("\n", " "), ("evaluation.metrics",)))
    return found


def _checks() -> list[Entry]:
    from data.checks import all_checks

    return [
        Entry("check", name, ". ".join(part.rstrip(".") for part in (check.TITLE, check.MEANS) if part) + ".")
        for name, check in all_checks().items()
    ]
