"""Dots become the braille characters that hold them, and signs in ASCII."""

from __future__ import annotations

from tui_app.chart.axes import settled
from tui_app.chart.buckets import Buckets
from tui_app.chart.canvas import Canvas, Pen
from tui_app.chart.plot import AxisMark, Plot, Point, Stroke, plot_lines
from tui_app.chart.window import Window
from tui_app.drawing import Line, Span, plain_text
from tui_app.glyphs import ASCII, UNICODE

RAW = Pen("curve-raw", "*", 0)
AVERAGE = Pen("curve-ema", "o", 1)


def drawn(canvas: Canvas) -> list[str]:
    return plain_text(canvas.line(row) for row in range(canvas.height)).split("\n")


def test_each_dot_has_its_place_in_a_braille_cell() -> None:
    seen = []
    for column in range(2):
        for row in range(4):
            canvas = Canvas(1, 1, is_unicode=True)
            canvas.vertical(column, row, row, RAW)
            seen += drawn(canvas)
    assert seen == ["⠁", "⠂", "⠄", "⡀", "⠈", "⠐", "⠠", "⢀"]


def test_a_vertical_run_fills_the_dots_from_top_to_bottom_over_cells() -> None:
    canvas = Canvas(1, 3, is_unicode=True)
    canvas.vertical(0, 2, 9, RAW)
    assert drawn(canvas) == ["⡄", "⡇", "⠃"]


def test_a_line_through_two_corners_leaves_no_gap() -> None:
    canvas = Canvas(4, 2, is_unicode=True)
    canvas.trace([(0, 0), (7, 7)], RAW)
    assert drawn(canvas) == ["⠑⢄", "  ⠑⢄"]


def test_in_ascii_a_cell_is_one_dot() -> None:
    canvas = Canvas(4, 3, is_unicode=False)
    canvas.trace([(0, 0), (3, 2)], RAW)
    canvas.vertical(3, 0, 1, AVERAGE)
    assert drawn(canvas) == ["*  o", " **o", "   *"]


def test_the_average_wins_a_cell_over_the_band_whichever_is_drawn_first() -> None:
    for order in ((RAW, AVERAGE), (AVERAGE, RAW)):
        canvas = Canvas(1, 1, is_unicode=True)
        for pen in order:
            canvas.vertical(0 if pen is RAW else 1, 0, 3 if pen is RAW else 0, pen)
        assert canvas.line(0) == (Span("⠈", "curve-ema"),)


def test_two_curves_of_one_level_unite_their_dots() -> None:
    canvas = Canvas(1, 1, is_unicode=True)
    canvas.vertical(0, 0, 0, Pen("curve-ema", "o", 1))
    canvas.vertical(1, 3, 3, Pen("curve-other", "x", 1))
    assert canvas.line(0) == (Span("⢁", "curve-other"),)


def test_blanks_have_no_role_and_none_stand_at_the_end() -> None:
    canvas = Canvas(6, 1, is_unicode=False)
    canvas.vertical(1, 0, 0, RAW)
    canvas.vertical(3, 0, 0, RAW)
    assert canvas.line(0) == (Span(" "), Span("*", "curve-raw"), Span(" "), Span("*", "curve-raw"))


def small_plot(**more: object) -> Plot:
    window = Window(0, 8)
    buckets = Buckets(window, 8)
    for step, value in ((1, 4.0), (2, 3.0), (4, 1.0), (6, 1.0)):
        buckets.append(step, value, value)
    axis = settled(None, 0.0, 4.0, is_log=False, max_ticks=3)
    return Plot(window=window, axis=axis, strokes=(Stroke(buckets, RAW, is_band=True),), **more)  # type: ignore[arg-type]


def test_a_small_plot_in_ascii_is_drawn_to_the_letter() -> None:
    lines = plot_lines(
        small_plot(
            points=(Point(4, 2.0, "E", "curve-eval"),),
            marks=(AxisMark(2, "c", "dim"), AxisMark(4, "c", "dim"), AxisMark(4, "!", "bad"), AxisMark(9, "X", "bad")),
            cursor=7.0,
        ),
        15,
        7,
        ASCII,
    )
    assert plain_text(lines).split("\n") == [
        "     4+ *     |",
        "      |  *    |",
        "     2+   *E  |",
        "      |    ***|",
        "     0+       |",
        "      +--c-!---",
        "       0      8",
    ]


def test_a_cursor_does_not_cover_the_curve() -> None:
    lines = plot_lines(small_plot(cursor=4.0), 15, 7, ASCII)
    column = [text.ljust(15)[11] for text in plain_text(lines).split("\n")[:5]]
    assert column == ["|", "|", "|", "*", "|"]


def test_a_stretch_without_numbers_is_a_gap_in_the_curve() -> None:
    def plotted(values: list[float]) -> list[Line]:
        buckets = Buckets(Window(0, 8), 8)
        for step, value in enumerate(values):
            buckets.append(step, value, value)
        axis = settled(None, 0.0, 4.0, is_log=False, max_ticks=2)
        strokes = (Stroke(buckets, RAW, is_band=True), Stroke(buckets, AVERAGE))
        return plot_lines(Plot(window=Window(0, 8), axis=axis, strokes=strokes), 15, 4, ASCII)

    nan = float("nan")
    assert plain_text(plotted([2, 2, nan, nan, nan, 2, 2])).split("\n")[1][7:] == "oo   oo"


def test_an_average_far_off_the_axis_is_no_line_along_its_edge() -> None:
    buckets = Buckets(Window(0, 8), 8)
    for step in range(8):
        buckets.append(step, 2.0, 1e27 if step > 3 else 2.0)
    axis = settled(None, 0.0, 4.0, is_log=False, max_ticks=2)
    plot = Plot(window=Window(0, 8), axis=axis, strokes=(Stroke(buckets, AVERAGE),))
    assert [text[7:] for text in plain_text(plot_lines(plot, 15, 4, ASCII)).split("\n")[:3]] == ["", "oooo", ""]


def test_the_same_plot_gives_the_same_lines() -> None:
    assert plot_lines(small_plot(), 60, 12, UNICODE) == plot_lines(small_plot(), 60, 12, UNICODE)
