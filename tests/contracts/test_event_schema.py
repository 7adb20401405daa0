"""What is promised to programs that read events: the schema that is checked in, its page, and the page's reader."""

from __future__ import annotations

import copy
import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.event_log import encode
from engine.event_schema import breaks, event_schema
from engine.events import EVENT_TYPES, RunFinished, Stamped, StepLogged
from tests import events_page
from tests.contracts.test_events import example, smallest
from tests.documents import CHECKOUT
from tui_app.cli import main

RECORDED = sorted((CHECKOUT / "tests" / "recorded").glob("*/**/events"))
READER = CHECKOUT / "docs" / "examples" / "follow_run.py"
SCHEMA = event_schema()
MEND = "An event may only grow. Where it did: python -m tests.events_page"


def fits(value: Any, kind: Any) -> bool:
    """Whether a value is of a type of the schema: the few words that it uses."""
    if "anyOf" in kind:
        return any(fits(value, each) for each in kind["anyOf"])
    if "const" in kind or "enum" in kind:
        return value in kind.get("enum", [kind.get("const")])
    if kind["type"] == "object":
        return isinstance(value, dict) and all(
            key in value and fits(value[key], kind["properties"][key]) for key in kind["required"]
        )
    if kind["type"] == "array":
        kinds = kind.get("prefixItems") or [kind["items"]] * len(value)
        return isinstance(value, list) and len(value) == len(kinds) and all(map(fits, value, kinds))
    is_truth = isinstance(value, bool)
    types: dict[str, Any] = {"integer": int, "number": (int, float), "string": str, "boolean": bool, "null": type(None)}
    return isinstance(value, types[kind["type"]]) and is_truth == (kind["type"] == "boolean")


def misfits(line: dict[str, Any], schema: Any) -> list[str]:
    """Fields of a line that are missing or of another type than the schema says."""
    event = schema["$defs"][line["event"]]
    needed = [*schema["required"], *event["required"]]
    kinds = schema["properties"] | event["properties"]
    return [key for key in needed if key not in line] + [
        key for key, kind in kinds.items() if key in line and not fits(line[key], kind)
    ]


def test_no_event_breaks_what_was_promised() -> None:
    assert list(breaks(events_page.promised(), SCHEMA)) == [], MEND


def test_schema_and_page_are_those_of_the_events_as_they_are() -> None:
    now = events_page.schema_with_versions(events_page.promised())
    assert events_page.promised() == now, MEND
    text = events_page.PAGE.read_text()
    assert text == events_page.page(text, now), MEND


@pytest.mark.parametrize(
    ("place", "change", "told"),
    [
        (("StepLogged",), None, "StepLogged is gone"),
        (("StepLogged", "properties", "loss"), None, "StepLogged.loss is gone"),
        (("StepLogged", "properties", "step"), {"type": "string"}, "StepLogged.step is of another type"),
        (("StepLogged", "required"), ["event"], "StepLogged.epoch may be left out, and was always there"),
    ],
)
def test_what_is_removed_or_changed_is_told_with_its_name(place: tuple[str, ...], change: Any, told: str) -> None:
    now = copy.deepcopy(SCHEMA)
    inside = now["$defs"]
    for key in place[:-1]:
        inside = inside[key]
    if change is None:
        del inside[place[-1]]
    else:
        inside[place[-1]] = change
    assert told in "\n".join(breaks(SCHEMA, now))


def test_an_added_event_and_an_optional_field_break_nothing_and_one_that_must_be_there_does() -> None:
    now = copy.deepcopy(SCHEMA)
    now["$defs"]["New"] = now["$defs"]["RunFinished"]
    now["$defs"]["StepLogged"]["properties"]["watts"] = {"type": "number"}
    assert list(breaks(SCHEMA, now)) == []
    now["$defs"]["StepLogged"]["required"].append("watts")
    assert "StepLogged.watts must be there, and lines of earlier versions lack it" in next(iter(breaks(SCHEMA, now)))


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_every_event_that_is_written_fits_the_schema(name: str) -> None:
    for event in (example(name), smallest(name)):
        line = json.loads(encode(Stamped(1.5, "supervisor", 0, event)).decode(errors="surrogatepass"))
        assert misfits(line, SCHEMA) == []


def test_a_loss_that_is_no_number_fits_and_a_text_does_not() -> None:
    event = dataclasses.replace(example("StepLogged"), loss=float("nan"))  # type: ignore[call-arg]
    assert isinstance(event, StepLogged)
    line = json.loads(encode(Stamped(1.5, "attempt-1", 0, event)))
    assert misfits(line, SCHEMA) == []
    assert misfits(line | {"loss": "much", "step": True}, SCHEMA) == ["step", "loss"]


def test_every_recorded_event_fits_the_schema_and_is_in_a_file_that_the_page_names() -> None:
    num_lines = 0
    for path in (path for folder in RECORDED for path in folder.glob("*.jsonl")):
        for line in map(json.loads, path.read_text().splitlines()):
            kind = "attempt-N" if path.stem.startswith("attempt-") else path.stem
            assert misfits(line, SCHEMA) == [], f"{path}: {line}"
            assert kind in events_page.WRITERS[line["event"]], f"{path}: {line}"
            num_lines += 1
    assert num_lines > 600


def test_every_event_has_its_writers_on_the_page() -> None:
    assert set(events_page.WRITERS) == set(EVENT_TYPES)


def test_the_command_prints_what_is_checked_in_but_for_the_versions(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "--events"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert list(breaks(events_page.promised(), printed)) == list(breaks(printed, events_page.promised())) == []


@pytest.mark.parametrize(("name", "code"), [("finished", 0), ("resumed", 0), ("stopped", 7), ("failed", 9)])
def test_the_reader_of_the_page_follows_a_recorded_run_to_its_end(name: str, code: int) -> None:
    run = CHECKOUT / "tests" / "recorded" / "runs" / name
    done = subprocess.run([sys.executable, "-I", READER, run], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (code, "")
    steps = [line for line in done.stdout.splitlines() if line.startswith("step ")]
    assert done.stdout.splitlines()[-1].startswith("Run")
    assert bool(steps) == (name != "failed")


def test_the_reader_waits_for_a_line_to_be_whole_and_passes_over_what_it_does_not_know(tmp_path: Path) -> None:
    events = tmp_path / "events"
    events.mkdir()
    done = encode(Stamped(3.0, "supervisor", 1, RunFinished(seconds=1.0)))
    (events / "attempt-1.jsonl").write_bytes(
        b'{"v":1,"seq":0,"ti\n{"v":1,"seq":1,"time":2.0,"writer":"attempt-1","event":"FromTheFuture","x":1}\n'
    )
    file = (events / "supervisor.jsonl").open("wb", buffering=0)
    file.write(done[:20])
    with subprocess.Popen([sys.executable, "-I", READER, tmp_path], stdout=subprocess.PIPE, text=True) as reader:
        assert reader.poll() is None
        file.write(done[20:])
        assert reader.communicate(timeout=30)[0] == "RunFinished\n"
    file.close()
    assert reader.returncode == 0
