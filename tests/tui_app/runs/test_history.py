"""The rows of the history: what they tell, also of damaged and hostile folders, and how they are read and ordered."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.event_log import read_events
from engine.events import RunFinished, RunStopped
from engine.run_dir import RunDir
from engine.run_state import fold_all
from tests.tui_app.live_runs import RECORDED
from tests.tui_app.written_runs import HOSTILE, SAMPLE, started, written
from tui_app.drawing import plain_text
from tui_app.runs.history import SORTS, History, RunRow, matches, row_of, summary_of
from tui_app.runs.history_table import columns_for, detail_lines, header_line, row_line

ORDERS = ("newest", "loss", "score", "memory")
NOW = 1_800_000_000.0


@pytest.fixture
def root(own_machine: Path) -> Path:
    return own_machine / "runs"


@pytest.mark.parametrize(
    ("name", "phase"), [("finished", "finished"), ("stopped", "stopped"), ("failed", "failed"), ("died", "died")]
)
def test_a_recorded_run_is_told_in_a_row(name: str, phase: str) -> None:
    row = row_of(RunDir(RECORDED / name))
    assert row.phase == phase
    assert row.recipe
    assert row.host == "gpu-box"
    assert not row.damage


def test_the_row_of_a_finished_run_tells_scores_peak_and_time() -> None:
    run = RunDir(RECORDED / "finished")
    state, row = fold_all(read_events(run.events)), row_of(run)
    assert state.last_step is not None
    assert (row.step, row.max_steps, row.loss) == (state.step, state.max_steps, state.last_step.loss)
    assert row.base is not None
    assert row.tuned is not None
    assert row.peak_bytes is not None
    assert row.seconds(NOW) == getattr(state.final, "seconds", None)


def test_a_long_run_is_read_from_its_ends_and_a_resume_in_the_middle_is_still_seen(root: Path) -> None:
    samples = [SAMPLE] * 400
    run = written(root, "long", *samples, RunStopped(kept="k", step=5), started(), *samples, steps=2_000)
    begun = time.process_time()
    state = summary_of(run)
    assert time.process_time() - begun < 0.5
    assert state.step == 2_000
    assert state.last_step is not None
    assert state.last_step.loss == 3.0 / 2_000
    assert not state.is_over


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (lambda run: run.supervisor.write_text("{"), "supervisor.json"),
        (lambda run: run.supervisor.write_text("{}"), "names no process"),
        (lambda run: run.event_file("supervisor").write_text("not an event\n"), "no event was ever written"),
        (lambda run: run.event_file("supervisor").unlink(), "no event was ever written"),
    ],
)
def test_a_damaged_run_is_shown_as_damaged_with_the_reason(
    root: Path, harm: Callable[[RunDir], object], why: str
) -> None:
    run = written(root, "broken")
    harm(run)
    row = row_of(run)
    assert row.phase == "damaged"
    assert why in row.damage


def test_rows_are_read_in_slices_those_on_the_screen_first(root: Path) -> None:
    runs = [written(root, "many", RunFinished(seconds=1.0)) for _ in range(12)]
    history = History(root)
    history.look()
    assert [row.phase for row in history.shown()] == [""] * 12
    assert history.read(0.0, first=[runs[3].path])
    assert list(history.rows) == [runs[3].path]
    while history.read(0.0):
        pass
    assert {row.phase for row in history.shown()} == {"finished"}


def test_a_run_that_is_deleted_or_new_is_noticed_and_others_are_not_read_again(root: Path) -> None:
    first, gone = written(root, "stays", RunFinished(seconds=1.0)), written(root, "goes", RunFinished(seconds=1.0))
    history = History(root)
    history.look()
    history.read(9.0)
    known = history.rows[first.path]
    shutil.rmtree(gone.path)
    written(root, "comes", RunFinished(seconds=1.0))
    history.look()
    history.read(9.0)
    assert {row.run.name for row in history.shown()} == {"stays-1", "comes-1"}
    assert history.rows[first.path] is known


def test_words_of_the_filter_are_looked_for_in_name_recipe_state_and_host() -> None:
    row = RunRow(run=RunDir(Path("/r/demo-1")), phase="failed", recipe="Summaries", host="gpu-box")
    assert all(matches(row, words) for words in ("", "demo", "FAIL", "summ", "gpu demo failed"))
    assert not matches(row, "demo finished")


def test_every_order_puts_runs_without_the_value_last() -> None:
    known = RunRow(run=RunDir(Path("/r/a")), phase="finished", loss=1.0, tuned=0.5, peak_bytes=1, updated_at=5.0)
    unknown = RunRow(run=RunDir(Path("/r/b")), phase="finished")
    assert all(min([unknown, known], key=SORTS[order]) is known for order in ORDERS)


@pytest.mark.parametrize(("phase", "short"), [("10:12:30, 5 s ago", "as of 10:12"), ("an unknown time", "as of ?")])
def test_a_copy_of_a_run_tells_which_moment_it_shows(phase: str, short: str) -> None:
    copied = RunRow(run=RunDir(Path("/r/demo-1")), phase=f"as of {phase}, on host gpu-box", host="gpu-box")
    assert f"  {short:<12}  " in plain_text([row_line(copied, 100, 0.0, pointed=False, marked=False)])
    assert copied.phase in plain_text(detail_lines(copied, 200, 0.0, is_long=True))


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 140, 200])
def test_a_row_takes_exactly_the_cells_of_its_columns_whatever_it_tells(width: int) -> None:
    row = RunRow(
        run=RunDir(Path("/r") / HOSTILE.replace("/", "")),
        phase="training",
        recipe=HOSTILE,
        host=HOSTILE,
        step=123_456,
        max_steps=1_000_000,
        loss=float("nan"),
        eval_loss=1e9,
        base=1.0,
        tuned=0.12345,
        peak_bytes=10**12,
        started_at=0.0,
        updated_at=1.0,
    )
    columns, *_ = columns_for(width)
    assert columns or width < 60
    for drawn in (row_line(row, width, NOW, pointed=True, marked=True), header_line(width)):
        text = "".join(span.text for span in drawn)
        assert text.isprintable()
        assert sum(2 if c == "宽" else 1 for c in text) <= width


def test_a_pipe_among_the_events_is_told_of_and_nobody_waits_for_its_writer(root: Path) -> None:
    run = written(root, "piped")
    os.mkfifo(run.event_file("pipe"))
    row = row_of(run)
    assert row.phase == "damaged"
    assert row.damage == "events/pipe.jsonl: it is no regular file"
