"""A grammar as a TOML file that people edit, and as the plain dict behind it.

program = "tool"
[[option]]                       # stands before the command
name = "--verbose"
[[command]]
name = "remote add"
phrases = ["add a remote [called|named] <name> at <url>"]
[[command.option]]
name = "--depth"
short = "-d"
kind = "integer"                 # flag, text, path, integer, number, choice
phrases = ["with a depth of <value>"]
[[command.positional]]
name = "url"
arity = "1"                      # 1, 2, 3, ?, *, +
values = ["https://example.com/a.git"]
[[command.exclusive]]
options = ["--a", "--b"]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from data.command_line.grammar import ARITIES, KINDS, Command, Exclusive, Grammar, Option, Positional
from data.errors import DataError
from data.nearest import listed, nearest

# Plural field of the dataclass -> its singular name in the file, and what stands there.
_TABLES: dict[type, dict[str, tuple[str, type]]] = {
    Grammar: {"commands": ("command", Command), "options": ("option", Option)},
    Command: {
        "options": ("option", Option),
        "positionals": ("positional", Positional),
        "exclusive": ("exclusive", Exclusive),
    },
}
_RENAMED: dict[type, dict[str, str]] = {Option: {"long": "name"}}
_ALLOWED = {"kind": KINDS, "arity": ARITIES}


def read_grammar(path: Path) -> Grammar:
    """The grammar in a file. Raises DataError with every fault at once."""
    import tomllib

    try:
        value = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"The grammar {path} cannot be read: {error.strerror or error}.",
            means="Without it nobody knows which commands there are.",
            remedy="Correct the path, or make one with --from-help PROGRAM --grammar-out FILE.",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(
            f"The grammar {path} is no TOML file: {error}.",
            means="Nothing of it was used.",
            remedy="Correct that place.",
        ) from error
    return from_dict(value, str(path))


def from_dict(value: Mapping[str, Any], where: str) -> Grammar:
    """The grammar in a plain dict. Raises DataError with every fault at once; `where` names the source."""
    faults: list[str] = []
    grammar = _made(Grammar, value, "", faults)
    if not faults:
        faults = grammar.problems()
    if faults:
        shown = [f"  {fault}" for fault in faults[:12]]
        more = [f"  and {len(faults) - 12} more"] if len(faults) > 12 else []
        raise DataError(
            f"The grammar {where} is not right.",
            means="\n".join(["What is wrong:", *shown, *more]),
            remedy="Correct these places and give the same command again.",
        )
    assert isinstance(grammar, Grammar)
    return grammar


def write_toml(grammar: Grammar) -> str:
    """The text of its file; what has its usual value is left out."""
    import tomli_w

    return tomli_w.dumps(to_dict(grammar))


def to_dict(value: Any) -> dict[str, Any]:
    """The opposite of `from_dict`."""
    tables, renamed = _TABLES.get(type(value), {}), _RENAMED.get(type(value), {})
    plain: dict[str, Any] = {}
    for each in fields(value):
        found = getattr(value, each.name)
        if each.default is not MISSING and found == each.default:
            continue
        if each.name in tables:
            plain[tables[each.name][0]] = [to_dict(one) for one in found]
        else:
            plain[renamed.get(each.name, each.name)] = list(found) if isinstance(found, tuple) else found
    return plain


def _made(kind: type, value: object, place: str, faults: list[str]) -> Any:
    """One dataclass out of its dict. What is wrong goes to `faults`; then the result is not to be used."""
    if not isinstance(value, Mapping):
        faults.append(f"{place or 'the file'}: is no table")
        return None
    tables, renamed = _TABLES.get(kind, {}), _RENAMED.get(kind, {})
    keys = {tables[each.name][0] if each.name in tables else renamed.get(each.name, each.name) for each in fields(kind)}
    for key in value:
        if key not in keys:
            near = nearest(str(key), keys)
            faults.append(f"{place}{key}: there is no such key" + (f"; perhaps {near[0]} is meant" if near else ""))
    given: dict[str, Any] = {}
    for each in fields(kind):
        key = tables[each.name][0] if each.name in tables else renamed.get(each.name, each.name)
        here = f"{place}{key}"
        if key not in value:
            if each.default is MISSING and each.name not in tables:
                faults.append(f"{here}: is missing")
            given[each.name] = () if each.default is MISSING else each.default
        elif each.name in tables:
            inner = value[key]
            if not isinstance(inner, list):
                faults.append(f"{here}: is written as [[{key}]]")
                continue
            made = [_made(tables[each.name][1], one, f"{here} {n}, ", faults) for n, one in enumerate(inner, start=1)]
            given[each.name] = tuple(made)
        else:
            given[each.name] = _plain(str(each.type), each.name, value[key], here, faults)
    return None if faults else kind(**given)


def _plain(wanted: str, name: str, value: object, place: str, faults: list[str]) -> Any:
    if name in _ALLOWED:
        if value not in _ALLOWED[name]:
            faults.append(f"{place}: is {value!r}, none of {listed(_ALLOWED[name])}")
        return value
    if wanted.startswith("tuple"):
        if not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
            faults.append(f"{place}: is no list of texts")
            return ()
        return tuple(value)
    kinds = {"bool": (bool, "true or false"), "float": ((int, float), "a number")}
    kind, told = kinds.get(wanted, (str, "text"))
    if not isinstance(value, kind) or (wanted == "float" and isinstance(value, bool)):  # type: ignore[arg-type]
        faults.append(f"{place}: is no {told}" if told == "text" else f"{place}: is not {told}")
    return value
