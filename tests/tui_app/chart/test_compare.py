"""Two runs in one chart."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tui_app.chart import ChartView, Curve, compare_lines
from tui_app.chart.view import ACTIONS
from tui_app.drawing import plain_text, width_of
from tui_app.glyphs import ASCII, UNICODE


def falling(label: str, num_steps: int, *, tokens: int = 100, floor: float = 0.5) -> Curve:
    steps = range(1, num_steps + 1)
    losses = [floor + 2 / step for step in steps]
    evals = [(step, losses[step - 1] + 0.1) for step in steps if step % 50 == 0]
    return Curve(label, steps, losses, evals, [tokens] * num_steps)


def test_both_curves_stand_on_one_axis_in_roles_of_their_own() -> None:
    lines = compare_lines([falling("first", 200), falling("second", 100, floor=1.0)], ChartView(), 110, 20)
    roles = {span.role for each in lines for span in each}
    assert {"curve-ema", "curve-other"} <= roles
    text = plain_text(lines)
    assert "◆" in text
    assert "◇" in text
    assert "first    loss 0.5100" in text
    assert "100 steps" in text


def test_without_colour_and_braille_the_curves_still_differ() -> None:
    text = plain_text(compare_lines([falling("a", 200), falling("b", 200, floor=1.5)], ChartView(), 80, 20, ASCII))
    assert all(sign in text for sign in "oxEF")


def test_by_tokens_the_axis_ends_at_the_most_tokens() -> None:
    curves = [falling("a", 200, tokens=100), falling("b", 100, tokens=1000)]
    lines = plain_text(compare_lines(curves, ChartView(), 110, 20, by="tokens")).split("\n")
    assert lines[-4].split()[-1] == "100k"
    assert "20k tokens" in lines[-3]


def test_a_curve_without_tokens_is_not_compared_by_tokens() -> None:
    with pytest.raises(ValueError, match="without the tokens"):
        compare_lines([Curve("a", [1], [2.0])], ChartView(), 80, 20, by="tokens")


def test_the_cursor_reads_both_curves_at_one_step() -> None:
    curves = [falling("a", 200), falling("b", 100, floor=1.0)]
    text = plain_text(compare_lines(curves, ChartView(cursor=40, smoothing=0.0), 100, 20))
    assert "loss 0.5500 @40" in text
    assert "loss 1.050 @40" in text


def test_as_a_table_each_run_has_a_column() -> None:
    lines = plain_text(compare_lines([falling("a", 3), falling("b", 2)], ChartView(as_table=True), 80, 12)).split("\n")
    assert lines[0].split() == ["step", "a", "b"]
    assert [row.split()[0] for row in lines[1:4]] == ["3", "2", "1"]
    assert lines[1].split()[-1] == "-"


def test_a_label_from_a_user_is_drawn_literally() -> None:
    text = plain_text(compare_lines([falling("[x]\x1b[31m\u202e", 9)], ChartView(), 80, 12))
    assert r"[x]\x1b[31m\u202e" in text


def test_nothing_to_compare_is_said() -> None:
    assert "no steps" in plain_text(compare_lines([Curve("a", [], [])], ChartView(), 80, 12))
    assert "no finite loss" in plain_text(compare_lines([Curve("a", [1], [math.nan])], ChartView(), 80, 12))


curves = st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=40).map(
    lambda values: Curve("r", range(1, len(values) + 1), values, list(enumerate(values[::7], 1)), [7] * len(values))
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(curves, max_size=5),
    st.lists(st.sampled_from(ACTIONS), max_size=5),
    st.integers(0, 120),
    st.integers(0, 40),
    st.sampled_from(["steps", "tokens"]),
)
def test_any_curves_are_drawn_inside_their_place(
    drawn: list[Curve], actions: list[str], width: int, height: int, by: str
) -> None:
    view = ChartView()
    for action in actions:
        view = view.after(action, range(1, 41), 40)
    for glyphs in (UNICODE, ASCII):
        lines = compare_lines(drawn, view, width, height, glyphs, by=by)  # type: ignore[arg-type]
        assert len(lines) <= height
        assert all(width_of(each) <= width for each in lines)
        assert glyphs.is_unicode or plain_text(lines).isascii()
