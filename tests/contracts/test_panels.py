"""What every panel of a live run promises, over every recorded run, at many moments of it and in many sizes.

Panels and runs are found, not listed: a new one is held to this unasked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine import events as ev
from engine.event_log import read_events
from engine.events import Stamped
from engine.run_dir import RunDir
from engine.run_state import RunState, fold
from engine.run_trace import RunTrace
from tui_app.drawing import ROLES, plain_text, width_of
from tui_app.glyphs import ASCII, UNICODE
from tui_app.panels import all_panels
from tui_app.runs.log import told
from tui_app.runs.view import RunView, SentCommand
from tui_app.runs.watch import RunWatch

RUNS = sorted(path for path in (Path(__file__).parents[1] / "recorded" / "runs").iterdir() if path.is_dir())
SIZES = ((24, 6), (38, 10), (78, 20), (100, 24), (138, 38), (80, 1), (40, 2))
HOSTILE = "[red]x[/] \x1b[31mred\x1b]0;title\x07 \u202eevil\u2066 宽字符 \r\n\x9b2J tab\t" + "long " * 2_000
CLIPPED = HOSTILE + "…"
"""The characters of it that may be drawn, with the sign that an event puts where it cuts a text."""
MAX_MOMENTS = 6


def view_at(events: list[Stamped], *, liveness: str = "alive") -> RunView:
    """The view of a run after so many of its events, a second later."""
    state, trace, log = RunState(run="a-run"), RunTrace(), []
    for stamped in events:
        state = fold(state, stamped)
        trace.add(stamped)
        if not isinstance(stamped.event, ev.DeviceSampled):
            log += told(stamped, state)
    now = events[-1].time + 1 if events else 0.0
    return RunView(
        name="a-run", folder="/runs/a-run", state=state, trace=trace, now=now, liveness=liveness, log=tuple(log)
    )


def moments(events: list[Stamped]) -> Iterator[RunView]:
    """Before anything happened, at turning points, at the end, and as if it had died there."""
    yield view_at([])
    turns = [number for number, each in enumerate(events, 1) if not isinstance(each.event, ev.StepLogged)]
    for number in turns[:: max(len(turns) // MAX_MOMENTS, 1)]:
        yield view_at(events[:number])
    yield view_at(events[: len(events) // 2], liveness="dead")
    yield view_at(events[: len(events) // 2], liveness="unknown, on host elsewhere")


def whole_view(run: Path) -> RunView:
    """The view as a viewer gathers it: plan, rungs and log included."""
    viewer = RunWatch(RunDir(run))
    viewer.read_all()
    viewer.study()
    return viewer.view()


def check(name: str, view: RunView, users_text: str = "") -> None:
    for glyphs in (UNICODE, ASCII):
        seen = replace(view, glyphs=glyphs)
        panel = all_panels()[name]()
        for width, height in SIZES:
            drawn = panel.draw(seen, width, height)
            text = plain_text(drawn)
            assert text.strip(), f"blank at {width}x{height}"
            assert len(drawn) <= height
            assert max(width_of(each) for each in drawn) <= width, f"too wide at {width}x{height}:\n{text}"
            assert all(span.role in ("", *ROLES) for each in drawn for span in each)
            assert all(each.isprintable() or each == "\n" for each in text)
            if glyphs is ASCII:
                assert {each for each in text if ord(each) > 127} <= set(users_text)


def test_there_are_recorded_runs_and_panels() -> None:
    assert RUNS
    assert {"loss", "memory", "throughput", "ladder", "log", "events", "plan", "result"} <= set(all_panels())


@pytest.mark.parametrize("name", all_panels())
@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_a_panel_draws_every_moment_of_every_run_within_its_place(name: str, run: Path) -> None:
    events = read_events(run / "events")
    view = whole_view(run)
    users_text = "".join(str(each.event) for each in events) + "".join(each.text for each in view.log)
    check(name, view, users_text + str(view.plan))
    check(name, replace(view, is_readonly=True, loading=0.4, sent=(SentCommand("stop", "sent"),)), users_text)
    for each in moments(events):
        check(name, each, users_text)


def hostile_events() -> list[Stamped]:
    """A run in which every text is out to do harm, cut to what an event may hold."""
    text = ev.clip(HOSTILE)
    step = ev.StepLogged(
        step=1, max_steps=9, epoch=0.1, loss=float("nan"), learning_rate=0.0, grad_norm=None, num_tokens=0,
        step_seconds=0.0, rss_bytes=0,
    )  # fmt: skip
    score = ev.VariantScored(
        variant="tuned", title=text, metric=text, num_rows=3, num_correct=1, low=0.1, high=0.9, seconds=1.0,
        answers_file=text, groups=((text, 3, 1),), scores=((text, 0.1),),
    )  # fmt: skip
    told_events: list[ev.Event] = [
        ev.RunStarted(run=text, recipe=text, resumed=False, host=text, pid=1),
        ev.StageStarted(stage=text),
        ev.ModelReady(name=text, folder=text, num_files=1, num_bytes=1, notes=(text,)),
        ev.MemoryPredicted(
            plan_file=text, method=text, peak_bytes=5, static_bytes=1, needed_bytes=7, capacity_bytes=9,
            verdict=text, terms=((text, 3), ("weights", 2)), calibration=text,
        ),
        ev.AttemptStarted(attempt=1, plan_file=text, resumed_from_step=0),
        step,
        ev.OomHit(attempt=1, phase=text, step=1, message=text, cause=text),
        ev.RungTaken(
            rung=text, cost=text, changes_objective=True, plan_file=text, kept=text, why=text, before_bytes=3,
            after_bytes=2,
        ),
        ev.CommandAcknowledged(command_id=text, command=text, status=text, reason=text),
        ev.CheckpointSaved(step=1, path=text, num_bytes=1, seconds=1.0),
        ev.WarningRaised(text=text),
        score,
        replace(score, variant="base"),
        ev.AdapterSaved(path=text, num_bytes=1, sha256=text),
        ev.RecipeSettled(path=text, rungs=(text,)),
        ev.RunFailed(error=text, exit_code=1, happened=text, means=text, remedy=text),
    ]  # fmt: skip
    return [Stamped(1e9 + number, text, number, event) for number, event in enumerate(told_events)]


@pytest.mark.parametrize("name", all_panels())
def test_nothing_in_a_hostile_text_is_obeyed_and_the_layout_holds(name: str) -> None:
    events = hostile_events()
    for number in range(0, len(events) + 1, 4):
        view = replace(view_at(events[:number]), name=HOSTILE, folder=HOSTILE, problem=HOSTILE)
        check(name, view, CLIPPED)
    refused = (SentCommand("stop", "refused", HOSTILE),)
    check(name, replace(view_at(events[:3]), sent=refused, liveness=f"unknown, on host {HOSTILE}"), CLIPPED)
