"""JSON Schema of the lines in `events/*.jsonl`, derived from the dataclasses of the events, and what breaks it.

`finetui schema --events` prints it; `docs/events.schema.json` is the one that was promised last. Not here: how lines
are written and read (`event_log`), and the values that a reader of ours lets in (`event_values`).
"""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from engine.event_log import MAX_LINE_BYTES, VERSION
from engine.event_values import LARGEST_WHOLE, MAY_DIVERGE
from engine.events import EVENT_TYPES, Event

TITLE = "One line of a run's events: a JSON object with one of these events"
DIVERGED = {"type": "object", "properties": {"nonfinite": {"enum": ["nan", "inf", "-inf"]}}, "required": ["nonfinite"]}
"""What stands in the place of a number that is none: JSON has no NaN and no infinity."""
WHOLE = {"type": "integer", "minimum": -LARGEST_WHOLE, "maximum": LARGEST_WHOLE}
HEAD: Mapping[str, dict[str, Any]] = {
    "v": {"const": VERSION, "description": "Layout of the line."},
    "seq": {"type": "integer", "minimum": 0, "description": "Counts the lines of this file, from 0."},
    "time": {"type": "number", "minimum": 0, "description": "Unix seconds; within a file never less than before."},
    "writer": {"type": "string", "description": "Name of the file without .jsonl."},
}
"""What stands on every line besides the event."""


def event_schema() -> dict[str, Any]:
    """The schema of a line. Fields and events that it does not name are allowed: readers pass over them."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": TITLE,
        "description": f"At most {MAX_LINE_BYTES} bytes a line, newline included.",
        "type": "object",
        "properties": dict(HEAD),
        "required": list(HEAD),
        "oneOf": [{"$ref": f"#/$defs/{name}"} for name in sorted(EVENT_TYPES)],
        "$defs": {name: _schema_of(EVENT_TYPES[name]) for name in sorted(EVENT_TYPES)},
    }


def breaks(promised: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What a reader of the promised schema would stumble over in lines of the present one, each in a sentence.

    An event or an optional field that was added is none of it.
    """
    before, after = ({**each["$defs"], "Line": each} for each in (promised, now))
    for name, event in before.items():
        if name not in after:
            yield f"{name} is gone"
            continue
        fields, present = event["properties"], after[name]["properties"]
        for field, kind in fields.items():
            if field not in present:
                yield f"{name}.{field} is gone"
            elif bare(kind) != bare(present[field]):
                yield f"{name}.{field} is of another type: {bare(present[field])}, was {bare(kind)}"
            elif field in event["required"] and field not in after[name]["required"]:
                yield f"{name}.{field} may be left out, and was always there"
        for field in sorted(set(after[name]["required"]) - set(event["required"])):
            yield f"{name}.{field} must be there, and lines of earlier versions lack it: give it a default"


def bare(kind: Mapping[str, Any]) -> dict[str, Any]:
    """The type of a field without its words."""
    return {key: value for key, value in kind.items() if key not in ("description", "default", "x-since")}


def _schema_of(event_type: type[Event]) -> dict[str, Any]:
    hints = typing.get_type_hints(event_type)
    properties: dict[str, Any] = {"event": {"const": event_type.__name__}}
    required = list(properties)
    for each in dataclasses.fields(event_type):
        properties[each.name] = _kind(hints[each.name], may_diverge=each.name in MAY_DIVERGE)
        if each.default is dataclasses.MISSING:  # one with a default came later: lines of earlier versions lack it
            required.append(each.name)
    return {"description": sentence_of(event_type), "type": "object", "properties": properties, "required": required}


def sentence_of(event_type: type[Event]) -> str:
    """What an event says of itself, on one line; "" for one that its name and fields tell."""
    told = event_type.__doc__ or ""
    is_made = told.startswith(f"{event_type.__name__}(")  # by dataclass, where nothing is written
    return "" if is_made else " ".join(inspect.cleandoc(told).split())


def _kind(annotation: Any, *, may_diverge: bool = False) -> dict[str, Any]:
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is types.UnionType:
        [wanted] = [part for part in parts if part is not types.NoneType]
        inner = _kind(wanted, may_diverge=may_diverge)
        return {"anyOf": [*(inner["anyOf"] if set(inner) == {"anyOf"} else [inner]), {"type": "null"}]}
    if origin is tuple and parts[-1] is Ellipsis:
        return {"type": "array", "items": _kind(parts[0])}
    if origin is tuple:
        size = len(parts)
        return {"type": "array", "prefixItems": list(map(_kind, parts)), "minItems": size, "maxItems": size}
    if annotation is float and may_diverge:
        return {"anyOf": [{"type": "number"}, DIVERGED]}
    kinds: dict[Any, dict[str, Any]] = {
        float: {"type": "number"},
        int: WHOLE,
        str: {"type": "string"},
        bool: {"type": "boolean"},
    }
    return dict(kinds[annotation])
