"""docs/events.md and docs/events.schema.json, made of the events themselves; `python -m tests.events_page` writes both.

An event or a field that is new gets the version of now as its `x-since`; those of before keep theirs. What breaks the
schema that was promised is not written: see `engine.event_schema.breaks`. Not here: the words around the table.
"""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Mapping
from typing import Any

from engine.event_schema import breaks, event_schema
from tests.documents import CHECKOUT

PAGE, SCHEMA = CHECKOUT / "docs" / "events.md", CHECKOUT / "docs" / "events.schema.json"
BEGIN, END = "<!-- table: made by python -m tests.events_page -->", "<!-- end of the table -->"
ATTEMPT, EVERYONE = ("attempt-N",), ("supervisor", "prepare", "attempt-N", "evaluate", "export")
RANKS = ("attempt-N-rank-R",)
WRITERS: Mapping[str, tuple[str, ...]] = {
    "RunStarted": ("supervisor",),
    "StageStarted": ("supervisor",),
    "StageFinished": ("supervisor",),
    "ModelReady": ("prepare",),
    "DataReady": ("prepare",),
    "AttemptStarted": ATTEMPT,
    "AttemptEnded": ("supervisor",),
    "ModelLoaded": ATTEMPT,
    "TrainingStarted": ATTEMPT,
    "StepLogged": ATTEMPT,
    "DeviceSampled": ("samples",),
    "LossSpiked": ATTEMPT,
    "EvalLogged": ATTEMPT,
    "CheckpointSaved": ATTEMPT,
    "CommandAcknowledged": ("supervisor", *ATTEMPT),
    "TrainingPaused": ATTEMPT,
    "TrainingContinued": ATTEMPT,
    "MemoryPredicted": ("supervisor",),
    "MemoryProbed": ATTEMPT,
    "MemoryMeasured": ATTEMPT,
    "OomHit": ("supervisor", *ATTEMPT),
    "RungTaken": ("supervisor",),
    "WeightsCarried": ATTEMPT,
    "RecipeSettled": ("supervisor",),
    "AdapterSaved": ATTEMPT,
    "TrainingEnded": (*ATTEMPT, *RANKS),
    "WarningRaised": EVERYONE,
    "RunFinished": ("supervisor",),
    "RunStopped": ("supervisor",),
    "RunFailed": ("supervisor",),
    "WorkerFailed": (*EVERYONE[1:], *RANKS),
    "EvaluationProgressed": ("evaluate",),
    "VariantScored": ("evaluate",),
    "VariantsCompared": ("evaluate",),
    "RequestStarted": ("supervisor",),
    "RequestFinished": ("supervisor",),
    "RequestFailed": ("supervisor",),
    "ExportProgressed": ("export",),
    "ArtifactExported": ("export",),
    "RankMeasured": (*ATTEMPT, *RANKS),
    "PeerLost": (*ATTEMPT, *RANKS),
}
"""Which event files hold an event; held against recorded runs."""
UNITS = {"bytes": "bytes", "seconds": "s", "percent": "%", "celsius": "°C", "watts": "W"}


def promised() -> dict[str, Any]:
    """The schema that was checked in."""
    return json.loads(SCHEMA.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def schema_with_versions(before: Mapping[str, Any] | None) -> dict[str, Any]:
    """The schema of now, each event with its `x-since`, and each field that came later with its own."""
    now, version = event_schema(), importlib.metadata.version("finetui")
    known = before["$defs"] if before else {}
    for name, event in now["$defs"].items():
        earlier = known.get(name, {})
        event["x-since"] = earlier.get("x-since", version)
        for field, kind in event["properties"].items():
            was = earlier.get("properties", {}).get(field)
            since = (
                event["x-since"] if not earlier else (was or {}).get("x-since", event["x-since"] if was else version)
            )
            if since != event["x-since"]:
                kind["x-since"] = since
    return now


def table(schema: Mapping[str, Any]) -> str:
    """A line for each event, by name."""
    rows = ["| event | in | fields | since |", "|---|---|---|---|"]
    for name, event in sorted(schema["$defs"].items()):
        own = {key: kind for key, kind in event["properties"].items() if key != "event"}
        fields = ", ".join(_field(key, kind, key in event["required"]) for key, kind in own.items())
        told = f" {escaped(event['description'])}" if event["description"] else ""
        rows.append(f"| **{name}**{told} | {', '.join(WRITERS[name])} | {fields} | {event['x-since']} |")
    return "\n".join(rows)


def escaped(text: str) -> str:
    return text.replace("<", "&lt;").replace("|", "\\|").replace("*", "\\*")


def page(text: str, schema: Mapping[str, Any]) -> str:
    """The page with its table made anew."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table(schema)}\n\n{END}{rest.partition(END)[2]}"


def _field(name: str, kind: Mapping[str, Any], is_always_there: bool) -> str:
    told = [_type(kind, UNITS.get(name.rpartition("_")[2], ""))]
    told += [] if is_always_there else ["optional"]
    told += [f"since {kind['x-since']}"] if "x-since" in kind else []
    return f"`{name}` ({', '.join(each for each in told if each)})"


def _type(kind: Mapping[str, Any], unit: str = "") -> str:
    if "anyOf" in kind:
        kinds = [_type(each, unit) for each in kind["anyOf"] if each.get("type") not in ("null", "object")]
        has_null = any(each.get("type") == "null" for each in kind["anyOf"])
        has_none = any(each.get("type") == "object" for each in kind["anyOf"])
        return " or ".join([*kinds, *(["nonfinite"] if has_none else []), *(["null"] if has_null else [])])
    if kind["type"] == "array":
        inner = kind.get("prefixItems")
        return f"list of {', '.join(map(_type, inner))}" if inner else f"list of {_inner(kind['items'])}"
    return unit or {"integer": "whole", "string": "text", "boolean": "true or false"}.get(kind["type"], kind["type"])


def _inner(kind: Mapping[str, Any]) -> str:
    inner = kind.get("prefixItems")
    return f"[{', '.join(map(_type, inner))}]" if inner else _type(kind)


def main() -> int:
    before = promised() if SCHEMA.exists() else None
    now = schema_with_versions(before)
    if before and (broken := list(breaks(before, now))):
        print("\n".join(["This breaks what docs/events.md promises to readers:", *broken]), file=sys.stderr)
        return 1
    SCHEMA.write_text(json.dumps(now, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), now), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
