"""What every event type promises. Grows by itself: a new dataclass in engine/events.py is held to it unasked."""

from __future__ import annotations

import dataclasses
import re
import typing
from dataclasses import replace
from types import NoneType
from typing import Any

import pytest

from engine import events
from engine.event_log import MAX_LINE_BYTES, decode, encode
from engine.events import EVENT_TYPES, FINAL_EVENTS, Event, RunStarted, Stamped
from engine.run_state import RunState, fold
from tui_app.plain import ending, lines, result_table, status_lines

NASTY = 'quote " backslash \\ line\nbreak \x1b[31m\x00 [bold]x[/bold] 漢字 \udcff'


def sample(kind: Any, text: str) -> Any:
    """A value of a field's type, as nasty as the type allows."""
    options = typing.get_args(kind)
    if typing.get_origin(kind) is tuple:
        if options[-1] is Ellipsis:
            return (sample(options[0], text), sample(options[0], text + "2"))
        return tuple(sample(option, text) for option in options)
    if NoneType in options:
        return sample(options[0], text)
    return {str: text, int: 2**53, float: 0.1 + 0.2, bool: True}[kind]


def example(name: str, text: str = NASTY) -> Event:
    """An event of that type with every field given."""
    event_type = EVENT_TYPES[name]
    kinds = typing.get_type_hints(event_type)
    return event_type(**{field.name: sample(kinds[field.name], text) for field in dataclasses.fields(event_type)})


def smallest(name: str) -> Event:
    """An event of that type with only what it must have, numbers zero."""
    event_type = EVENT_TYPES[name]
    kinds = typing.get_type_hints(event_type)
    zeros: dict[Any, Any] = {str: "", int: 0, float: 0.0, bool: False}
    needed = [f.name for f in dataclasses.fields(event_type) if f.default is dataclasses.MISSING]
    empty = {name: () for name in needed if typing.get_origin(kinds[name]) is tuple}
    return event_type(**({name: zeros.get(kinds[name]) for name in needed} | empty))


def stamped(event: Event) -> Stamped:
    return Stamped(1763730000.1234, "attempt-1", 7, event)


def test_the_list_of_types_is_what_stands_in_the_module() -> None:
    here = {
        name
        for name, value in vars(events).items()
        if isinstance(value, type) and issubclass(value, Event) and value is not Event
    }
    assert set(EVENT_TYPES) == here
    assert all(EVENT_TYPES[name] is getattr(events, name) for name in here)
    assert set(FINAL_EVENTS) <= set(EVENT_TYPES.values())


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_an_event_survives_writing_and_reading_and_fits_its_line(name: str) -> None:
    for event in (example(name), smallest(name)):
        line = encode(stamped(event))
        assert line.count(b"\n") == 1
        assert line.endswith(b"\n")
        assert len(line) <= MAX_LINE_BYTES
        assert decode(line) == stamped(event)


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_an_event_is_a_frozen_fact_in_the_past_tense_with_units_in_its_names(name: str) -> None:
    event = example(name)
    assert re.search(r"(ed|Hit|Lost|Ready|Taken)$", name), "an event tells what happened"
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(event, dataclasses.fields(event)[0].name, None)
    for field in dataclasses.fields(event):
        assert not re.search(r"(^|_)(memory|duration|elapsed)$", field.name), f"{field.name} lacks its unit"


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_an_event_of_an_older_version_without_optional_fields_is_still_read(name: str) -> None:
    optional = {
        f.name: f.default for f in dataclasses.fields(EVENT_TYPES[name]) if f.default is not dataclasses.MISSING
    }
    line = encode(stamped(smallest(name)))
    read = decode(line)
    assert read is not None
    assert all(getattr(read.event, field) == value for field, value in optional.items())


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_the_fold_has_a_branch_for_the_event_and_tells_when_it_came(name: str) -> None:
    state = fold(RunState(), stamped(smallest(name)))
    assert state.updated_at == stamped(smallest(name)).time
    assert state.is_over == isinstance(smallest(name), FINAL_EVENTS)


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_after_any_event_a_supervisor_that_takes_charge_makes_the_run_go_on(name: str) -> None:
    state = fold(RunState(), stamped(example(name)))
    again = RunStarted(run="r-1", recipe="r", resumed=True, host="h", pid=1)
    resumed = fold(state, stamped(again))
    assert not resumed.is_over
    assert resumed.phase == "preparing"


@pytest.mark.parametrize("name", EVENT_TYPES)
@pytest.mark.parametrize("text", [NASTY, ""])
def test_whatever_an_event_holds_the_plain_screen_shows_it_literally(name: str, text: str) -> None:
    event = example(name, text)
    state = fold(RunState(run="r-1"), stamped(event))
    scored = replace(state, run="r-1")
    shown = lines(stamped(event), state) + status_lines(scored, "dead", "/runs/r-1")
    shown += ending(scored, "/runs/r-1", "/runs/r-1/log") + result_table(scored)
    for line in shown:
        assert all(c == "\n" or c.isprintable() for c in line), repr(line)
    if text and any("[bold]" in line for line in lines(stamped(event), state)):
        assert any("[bold]x[/bold]" in line for line in lines(stamped(event), state))
