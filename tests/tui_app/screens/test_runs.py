"""The history of runs: what its rows tell, also of damaged and hostile folders, and what its keys do."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot

from engine.event_log import EventWriter, read_events
from engine.events import (
    DeviceSampled,
    Event,
    RunFailed,
    RunFinished,
    RunStarted,
    RunStopped,
    StageStarted,
    StepLogged,
    TrainingStarted,
)
from engine.liveness import announce
from engine.run_dir import RunDir
from engine.run_state import fold_all
from tui_app.app import FinetuiApp
from tui_app.glyphs import ASCII, UNICODE, Glyphs
from tui_app.run_rows import SORTS, History, RunRow, matches, row_of, summary_of
from tui_app.run_table import columns_for, header_line, row_line
from tui_app.screens.compare import ComparePage
from tui_app.screens.dialog import Confirm
from tui_app.screens.fault import FaultDialog
from tui_app.screens.live import LiveScreen
from tui_app.screens.runs import RunsPage
from tui_app.widgets.run_list import RunList

RECORDED = Path(__file__).parents[2] / "recorded" / "runs"
ORDERS = ("newest", "loss", "score", "memory")
NOW = 1_800_000_000.0
HOSTILE = "[bold]x[/] \x1b[31mred\x1b[0m \u202eright\r\n" + "宽" * 40
STEP = StepLogged(
    step=1,
    max_steps=9,
    epoch=0.1,
    loss=2.5,
    learning_rate=1e-4,
    grad_norm=1.0,
    num_tokens=100,
    step_seconds=0.5,
    rss_bytes=1 << 30,
)
SAMPLE = DeviceSampled(
    device="cpu", device_used_bytes=1, device_total_bytes=2, ram_used_bytes=1, ram_total_bytes=2, disk_free_bytes=1
)
FAILED = RunFailed(error="DataError", exit_code=3, happened="no rows", means="", remedy="")


def started(recipe: str = "a recipe") -> RunStarted:
    return RunStarted(run="r-1", recipe=recipe, resumed=False, host="gpu-box", pid=1)


def written(root: Path, name: str, *events: Event, steps: int = 0, recipe: str = "a recipe") -> RunDir:
    """A run whose supervisor told of its start and of `events`, and that trained so many steps."""
    run = RunDir.create(root, name)
    supervisor = EventWriter(run.event_file("supervisor"))
    supervisor.write(started(recipe))
    if steps:
        supervisor.write(StageStarted(stage="train"))
        attempt = EventWriter(run.event_file("attempt-1"))
        attempt.write(TrainingStarted(max_steps=9, num_rows=9, effective_batch_size=1, resumed_from_step=0))
        for step in range(1, steps + 1):
            attempt.write(replace(STEP, step=step, loss=3.0 / step))
        attempt.close()
    for event in events:
        supervisor.write(event)
    supervisor.close()
    return run


@pytest.fixture
def root(own_machine: Path) -> Path:
    return own_machine / "runs"


# -- rows, without a screen ----------------------------------------------------------------------------------------


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
    begun = time.perf_counter()
    state = summary_of(run)
    assert time.perf_counter() - begun < 0.5
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


# -- the page --------------------------------------------------------------------------------------------------------

Play = Callable[[Pilot[int], RunsPage], Awaitable[None]]


def words(pilot: Pilot[int]) -> str:
    return "\n".join(strip.text.rstrip() for strip in pilot.app.screen._compositor.render_strips())


async def until(pilot: Pilot[int], holds: Callable[[], bool]) -> None:
    """Let the app work until the condition holds; fails with what is on the screen."""
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, words(pilot)
        await pilot.pause()
        await asyncio.sleep(0.005)


def play(
    story: Play, *, size: tuple[int, int] = (100, 24), is_readonly: bool = False, glyphs: Glyphs = UNICODE
) -> None:
    async def run() -> None:
        page = RunsPage(is_readonly=is_readonly)
        app = FinetuiApp(lambda: page, glyphs=glyphs)
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: page.is_mounted and all(row.phase for row in page.listing.rows))
            await pilot.pause()
            await story(pilot, page)
        assert app.fault is None

    asyncio.run(run())


def test_the_empty_history_says_what_to_press() -> None:
    async def story(pilot: Pilot[int], page: RunsPage) -> None:
        assert "No runs yet" in words(pilot)
        assert "Press n for a new one" in words(pilot)
        await pilot.press("enter", "c", "d", "s", "R", "y")
        assert pilot.app.screen is page

    play(story)


def test_runs_are_listed_newest_first_and_the_filter_narrows_them_as_it_is_typed(root: Path) -> None:
    written(root, "older", RunFinished(seconds=1.0))
    written(root, "newer", FAILED, recipe="summaries")

    async def story(pilot: Pilot[int], page: RunsPage) -> None:
        assert words(pilot).index("newer-1") < words(pilot).index("older-1")
        await pilot.press("slash", *"failed")
        await until(pilot, lambda: "older-1" not in words(pilot))
        assert "newer-1" in words(pilot)
        await pilot.press("enter")
        assert page.listing.has_focus
        assert "filter: failed (1 match)" in words(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: "older-1" in words(pilot))
        await pilot.press("slash", *"zzz")
        await until(pilot, lambda: "No run matches 'zzz'" in words(pilot))
        await pilot.press("escape")
        await until(pilot, lambda: "older-1" in words(pilot))
        assert page.listing.has_focus

    play(story)


def test_enter_opens_the_run_and_escape_comes_back_to_the_same_row(root: Path) -> None:
    written(root, "first", RunFinished(seconds=1.0))
    written(root, "second", RunFinished(seconds=1.0))

    async def story(pilot: Pilot[int], page: RunsPage) -> None:
        await pilot.press("j", "enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, LiveScreen))
        assert pilot.app.screen.viewer.run.name == "first-1"
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is page)
        assert page.pointed is not None
        assert page.pointed.run.name == "first-1"

    play(story)


def test_two_marked_runs_are_compared_the_first_marked_on_the_left(root: Path) -> None:
    written(root, "first", RunFinished(seconds=1.0))
    written(root, "second", RunFinished(seconds=1.0))

    async def story(pilot: Pilot[int], page: RunsPage) -> None:
        await pilot.press("j", "c", "k", "c")
        await until(pilot, lambda: isinstance(pilot.app.screen, ComparePage))
        assert [side.run.name for side in pilot.app.screen.sides] == ["first-1", "second-1"]
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is page)
        assert page.listing.marked == []

    play(story)


def test_details_show_the_folder_and_y_copies_it(root: Path) -> None:
    run = written(root, "one", RunFinished(seconds=1.0))

    async def story(pilot: Pilot[int], _page: RunsPage) -> None:
        assert str(run.path) not in words(pilot)
        await pilot.press("d", "y")
        await until(pilot, lambda: "folder" in words(pilot))
        assert str(run.path) in words(pilot).replace("\n           ", "")
        assert pilot.app.clipboard == str(run.path)

    play(story, size=(140, 24))


def test_a_run_that_goes_on_is_told_anew_and_only_its_row_is_drawn(root: Path) -> None:
    written(root, "done", RunFinished(seconds=1.0))
    run = written(root, "going", steps=2)
    announce(run)

    async def story(pilot: Pilot[int], page: RunsPage) -> None:
        assert "2/9" in words(pilot)
        assert "1 going on" in words(pilot)
        before = page.listing.lines
        writer = EventWriter(run.event_file("attempt-1"))
        writer.write(replace(STEP, step=3))
        writer.close()
        await until(pilot, lambda: "3/9" in words(pilot))
        assert [old[2] for old in before] == [new[2] for new in page.listing.lines]

    play(story)


def test_resuming_asks_first_and_a_refusal_is_shown_with_what_to_do(root: Path) -> None:
    run = written(root, "halted", RunStopped(kept="step 1", step=1), steps=1)
    announce(run)  # somebody else took charge of it this moment

    async def story(pilot: Pilot[int], page: RunsPage) -> None:
        await pilot.press("R")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("enter")  # the safe answer has the focus
        await until(pilot, lambda: pilot.app.screen is page)
        await pilot.press("R")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("y")
        await until(pilot, lambda: isinstance(pilot.app.screen, FaultDialog))
        await until(pilot, lambda: "already has a supervisor" in words(pilot))

    play(story)


def test_a_read_only_history_starts_nothing(root: Path) -> None:
    written(root, "halted", RunStopped(kept="step 1", step=1))

    async def story(pilot: Pilot[int], page: RunsPage) -> None:
        await pilot.press("R", "n")
        assert pilot.app.screen is page

    play(story, is_readonly=True)


def test_a_damaged_run_cannot_be_opened_and_says_why(root: Path) -> None:
    run = written(root, "broken")
    run.supervisor.write_text("{")

    async def story(pilot: Pilot[int], page: RunsPage) -> None:
        assert "damaged" in words(pilot)
        assert "supervisor.json" in words(pilot)
        await pilot.press("enter", "c")
        assert pilot.app.screen is page
        assert page.listing.marked == []

    play(story)


def test_hostile_names_and_recipes_are_drawn_as_they_are_written(root: Path) -> None:
    run = written(root, "plain", RunFinished(seconds=1.0), recipe=HOSTILE)
    shutil.move(run.path, root / "[red]\x1b]0;owned\x07")

    async def story(pilot: Pilot[int], _page: RunsPage) -> None:
        await pilot.press("d")
        await until(pilot, lambda: "folder" in words(pilot))
        assert r"[red]\x1b]0;owned" in words(pilot)
        assert r"[bold]x[/] \x1b[31mred" in words(pilot)
        assert all(line.isprintable() for line in words(pilot).splitlines())

    play(story, size=(140, 30))


def test_the_mouse_points_opens_and_scrolls(root: Path) -> None:
    for _ in range(30):
        written(root, "many", RunFinished(seconds=1.0))

    async def story(pilot: Pilot[int], page: RunsPage) -> None:
        await pilot.click(RunList, offset=(5, 2))
        assert page.listing.pointed == 2
        await pilot.press("end")
        assert page.listing.top == 30 - page.listing.size.height
        await pilot.press("home")
        await pilot.click(RunList, offset=(5, 0))
        await until(pilot, lambda: isinstance(pilot.app.screen, LiveScreen))

    play(story)


def test_without_unicode_every_row_is_drawn_in_ascii(root: Path) -> None:
    shutil.copytree(RECORDED / "finished", root / ("a-long-name" * 5))
    shutil.copytree(RECORDED / "failed", root / "broken")
    (root / "broken" / "supervisor.json").write_text("{")

    async def story(pilot: Pilot[int], _page: RunsPage) -> None:
        for size in ((60, 18), (80, 24), (140, 40)):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda: "damaged" in words(pilot))
            assert all(row.isascii() for row in words(pilot).splitlines())

    play(story, glyphs=ASCII)
