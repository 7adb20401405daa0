"""The keys of a chart, as pure changes of what the user has set."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_app.chart import CHART_KEYS, ChartView
from tui_app.chart.view import ACTIONS, LEAST_SPAN
from tui_app.chart.window import Window, whole_span

STEPS = range(1, 401)


def after(*actions: str, start: ChartView | None = None, steps: range = STEPS, planned: int = 800) -> ChartView:
    view = start or ChartView()
    for action in actions:
        view = view.after(action, steps, planned)
    return view


def test_no_two_keys_of_the_chart_are_the_same() -> None:
    keys = [key for each in CHART_KEYS for key in each.keys.split(",")]
    assert len(set(keys)) == len(keys)
    assert len(set(ACTIONS)) == len(ACTIONS)


def test_log_evals_and_table_switch_on_and_off() -> None:
    on = after("log", "evals", "table")
    assert (on.is_log, on.evals_only, on.as_table) == (True, True, True)
    assert after("log", "evals", "table", start=on) == ChartView()


def test_smoothing_goes_round() -> None:
    assert [after(*["smooth"] * times).smoothing for times in range(4)] == [0.9, 0.98, 0.0, 0.9]


def test_the_whole_run_is_shown_until_the_user_zooms() -> None:
    assert ChartView().window(400, 800) == Window(0, 800)
    assert ChartView().window(400, 0) == Window(0, 512)


def test_a_zoomed_chart_follows_the_newest_step_by_quarters_of_its_window() -> None:
    view = after("zoom_in", "zoom_in")
    windows = [view.window(newest, 800) for newest in (10, 201, 249, 250, 251, 799, 800)]
    assert [window.stop for window in windows] == [200, 250, 250, 250, 300, 800, 800]
    assert {window.stop - window.start for window in windows} == {200}


def test_panning_stops_following_and_panning_back_to_the_newest_follows_again() -> None:
    panned = after("zoom_in", "zoom_in", "pan_left")
    assert not panned.follows
    assert panned.window(400, 800) == panned.window(700, 800) == Window(150, 350)
    assert after("pan_right", start=panned).follows


def test_panning_a_chart_that_shows_everything_changes_nothing() -> None:
    assert after("pan_left") == ChartView()


def test_zooming_out_ends_at_the_whole_run_and_in_at_a_few_steps() -> None:
    assert after("zoom_in", "zoom_out") == after("zoom_out") == ChartView()
    window = after(*["zoom_in"] * 30).window(400, 800)
    assert LEAST_SPAN <= window.stop - window.start < 2 * LEAST_SPAN


def test_zooming_goes_to_the_cursor() -> None:
    view = after("zoom_in", "zoom_in", start=ChartView(cursor=300))
    assert view.window(400, 800) == Window(200, 400)


def test_the_cursor_starts_at_the_newest_step_and_moves_by_logged_steps() -> None:
    logged = range(10, 401, 10)
    assert after("cursor_left", steps=logged).cursor == 400
    assert after("cursor_left", "cursor_left", "cursor_left", "cursor_right", steps=logged).cursor == 390
    assert after("leap_left", "leap_left", steps=logged).cursor == 360


def test_the_cursor_stays_on_the_run_and_takes_the_window_along() -> None:
    assert after(*["cursor_right"] * 3).cursor == 400
    assert after(*["leap_left"] * 30).cursor == 1
    view = after("zoom_in", "zoom_in", "zoom_in", *["cursor_left"] * 121)
    assert view.cursor == 280
    window = view.window(400, 800)
    assert window.start <= 280 <= window.stop
    assert not view.follows


def test_reset_shows_everything_again_and_keeps_scale_and_smoothing() -> None:
    view = after("log", "smooth", "zoom_in", "pan_left", "cursor_left", "reset")
    assert view == ChartView(is_log=True, smoothing=0.98)


def test_an_unknown_action_names_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no action of a chart; there are log, smooth"):
        after("explode")


@given(st.lists(st.sampled_from(ACTIONS), max_size=40), st.integers(0, 300), st.sampled_from([0, 100, 300, 5000]))
def test_whatever_is_pressed_the_window_lies_on_the_axis(actions: list[str], newest: int, planned: int) -> None:
    steps = range(1, newest + 1)
    view = after(*actions, steps=steps, planned=planned)
    window = view.window(newest, planned)
    assert 0 <= window.start < window.stop <= whole_span(newest, planned)
    assert view.cursor is None or view.cursor in steps
