"""What a reader takes from a line for an event, whatever somebody wrote there."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.event_log import decode
from engine.events import EVENT_TYPES, StepLogged
from engine.run_state import RunState, fold
from engine.run_trace import RunTrace

RECORDED = Path(__file__).parents[1] / "recorded" / "runs"
LINES = {
    json.loads(line)["event"]: json.loads(line)
    for path in sorted(RECORDED.glob("*/events/*.jsonl"))
    for line in path.read_text(encoding="utf-8").splitlines()
}
"""A real line of every event that a recorded run has."""
HOSTILE = ('"x"', "null", "-1", "1e400", "NaN", "1" + "0" * 30, "1" + "0" * 400, "[]", "[[1]]", "{}", "true", "1.5")
STEP = LINES["StepLogged"]


def with_value(line: dict[str, object], name: str, written: str) -> bytes:
    return json.dumps(line | {name: "@"}).replace('"@"', written).encode()


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("loss", '"x"'),
        ("loss", "null"),
        ("step", "null"),
        ("step", "1.5"),
        ("step", "true"),
        ("num_tokens", "1" + "0" * 30),
        ("step_seconds", "1e400"),
        ("step_seconds", '{"nonfinite": "nan"}'),
        ("time", "1e300"),
        ("time", "-1"),
        ("time", "NaN"),
    ],
)
def test_a_step_with_a_value_that_no_step_has_is_a_bad_line(name: str, written: str) -> None:
    with pytest.raises(ValueError, match=r"wrong one|no time"):
        decode(with_value(STEP, name, written))


def test_a_loss_that_diverged_and_a_whole_number_for_a_real_one_are_read() -> None:
    diverged = decode(with_value(STEP, "loss", '{"nonfinite": "nan"}'))
    whole = decode(with_value(STEP, "loss", "2"))
    assert diverged is not None
    assert whole is not None
    assert isinstance(diverged.event, StepLogged)
    assert isinstance(whole.event, StepLogged)
    assert math.isnan(diverged.event.loss)
    assert whole.event.loss == 2.0


@given(st.data())
def test_whatever_value_a_line_holds_the_rest_of_the_run_is_read_and_added_up(data: st.DataObject) -> None:
    line = LINES[data.draw(st.sampled_from(sorted(LINES)))]
    name = data.draw(st.sampled_from(sorted(set(line) - {"v"})))
    try:
        stamped = decode(with_value(line, name, data.draw(st.sampled_from(HOSTILE))))
    except ValueError:
        return
    if stamped is not None:
        fold(RunState(), stamped)
        RunTrace().add(stamped)


def test_every_event_that_there_is_can_be_checked() -> None:
    for name in EVENT_TYPES:
        with pytest.raises(ValueError, match="lacks a field"):
            decode(json.dumps({"v": 1, "seq": 1, "time": 1.0, "writer": "w", "event": name, "nothing": 1}).encode())
