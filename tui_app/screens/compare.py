"""Runs side by side: their curves in one chart, what came of them, and in what their recipes differ.

Not here: the figures and the differences (`tui_app/runs/comparison`), the chart (`tui_app/chart`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from textual.app import ComposeResult
from textual.containers import Horizontal

from engine.run_dir import RunDir
from tui_app.chart import CHART_KEYS, ChartView, Curve, compare_lines
from tui_app.chart.compare import MAX_CURVES
from tui_app.chart.plot import LEAST_HEIGHT
from tui_app.drawing import Line, line
from tui_app.glyphs import UNICODE, Glyphs
from tui_app.keys import Key, bindings
from tui_app.runs.comparison import Side
from tui_app.runs.comparison_table import difference_lines, facts_lines, pairing_lines
from tui_app.runs.paired_answers import AnswerBook
from tui_app.screens.page import Page
from tui_app.screens.showing import show
from tui_app.widgets.crumbs import Crumbs
from tui_app.widgets.footer import KeyFooter
from tui_app.widgets.line_view import LineView
from tui_app.widgets.pages import Pages

if TYPE_CHECKING:
    from tui_app.looks import Looks

TICK_SECONDS = 1.0
SLICE_SECONDS = 0.05
PAUSE_SECONDS = 0.02
WIDE = 120
IN_FOOTER = ("log", "smooth")

KEYS = (
    Key("x", "by", "steps/tokens", "What the curves are drawn over: steps, or real tokens so far.", footer=True),
    Key("up,down", "nothing", "scroll", "Scroll what is below the chart.", shown="↑↓", footer=True),
    *(
        Key(key.keys, f"chart('{key.action}')", key.label, key.help, shown=key.shown, footer=key.action in IN_FOOTER)
        for key in CHART_KEYS
    ),
    Key("w", "swap", "swap", "The next run comes first: the others are told row by row against it.", footer=True),
    Key("escape,backspace", "back", "back", "Back to the page before.", shown="Esc", footer=True),
    Key("q", "leave", "leave", "Leave finetui. Runs go on by themselves."),
)  # fmt: skip


class ComparePage(Page[None]):
    """Two runs or more; they are read anew while they go on."""

    KEYS: ClassVar = KEYS
    BINDINGS: ClassVar = bindings(key for key in KEYS if key.action != "nothing")
    TOPIC: ClassVar = "Runs side by side"
    GLOSSARY: ClassVar = (
        "interval: where the score of the model lies with 95 % certainty, given how many rows were asked. Of two "
        "scores one is called better only where their intervals do not meet.\n"
        "tokens: real tokens of the rows, padding not counted. Over them, runs of different batch sizes compare.\n"
        "row by row: the tuned models on the test rows that both answered, paired; p says how often chance alone parts "
        "them so far.\n"
        "peak allocated: most memory that tensors took at once, as measured."
    )
    DEFAULT_CSS = """
    ComparePage #chart { height: 1fr; margin: 0 1; }
    ComparePage #below { height: 1fr; border-top: solid $panel; }
    ComparePage #told { margin-left: 1; }
    ComparePage #differences { display: none; margin-left: 2; }
    ComparePage.-wide #differences { display: block; }
    """

    def __init__(self, runs: Sequence[RunDir]) -> None:
        super().__init__()
        self.sides = [Side(run) for run in runs]
        self._answers = AnswerBook()
        self.view = ChartView()
        self.by: Literal["steps", "tokens"] = "steps"
        self._is_reading = False
        self._curves: dict[Path, tuple[tuple[int, int, int], Curve]] = {}

    def compose(self) -> ComposeResult:
        yield Crumbs("finetui", "runs", self._title)
        yield LineView(id="chart")
        with Horizontal(id="below"):
            yield Pages(self._told, id="told")
            yield Pages(self._differences, id="differences")
        yield KeyFooter(self.KEYS)

    def on_mount(self) -> None:
        self.query_one("#told").focus()
        if not self.glyphs.is_unicode:
            self.query_one("#below").styles.border_top = ("ascii", self.app.theme_variables["panel"])
        self.set_interval(TICK_SECONDS, self._tick)
        self.call_after_refresh(self._read)

    def on_resize(self) -> None:
        self.call_after_refresh(self._show)

    @property
    def glyphs(self) -> Glyphs:
        return getattr(self.app, "glyphs", UNICODE)

    @property
    def _title(self) -> str:
        return " | ".join(side.name for side in self.sides) if len(self.sides) < 4 else f"{len(self.sides)} runs"

    def _tick(self) -> None:
        if self.is_current and not self._is_reading:
            self._read()

    def _read(self) -> None:
        """A slice of what is new; the next slice follows once keys had their turn."""
        more = [side.catch_up(SLICE_SECONDS) for side in self.sides]
        self._is_reading = any(more)
        self._show()
        if self._is_reading:
            self.set_timer(PAUSE_SECONDS, self._read)

    def _show(self) -> None:
        if not self.is_mounted or not self.size.width:
            return
        chart = self.query_one("#chart", LineView)
        chart.show(self._chart(chart.size.width, chart.size.height))
        for pages in self.query(Pages):
            pages.make_anew()

    def _chart(self, width: int, height: int) -> list[Line]:
        room = max(min(MAX_CURVES, height - LEAST_HEIGHT - 1), 1)
        curves = [self._curve(side) for side in self.sides[:room]]
        if not any(curve.steps for curve in curves):
            waiting = min(side.loading for side in self.sides) < 1.0
            told = "reading the runs" if waiting else "No run has trained a step yet: there is no curve to draw."
            return [line(""), line("  ", (told, "dim"))]
        return compare_lines(curves, self.view, width, height, self.glyphs, by=self.by)

    def _curve(self, side: Side) -> Curve:
        """The run's curve; the one drawn last, with all that was worked out for it, while nothing was added."""
        trace, known = side.trace, self._curves.get(side.run.path)
        size = (len(trace), len(trace.evals), trace.num_rewrites)
        if known is None or known[0] != size:
            curve = Curve(side.name, list(trace.steps), list(trace.losses), list(trace.evals), list(trace.num_tokens))
            known = self._curves[side.run.path] = (size, curve)
        return known[1]

    def _told(self, width: int) -> list[Line]:
        """Below the chart: the facts, and under them the differences where there is no room beside."""
        told = [line(("What came of them", "title")), *facts_lines(self.sides, width - 1, self.glyphs)]
        if pairings := self._answers.pairings([side.run for side in self.sides]):
            told += [line(""), line(("Row by row", "title")), *pairing_lines(pairings, width - 1)]
        if self.size.width < WIDE:
            told += [line(""), *self._differences(width)]
        return told

    def _differences(self, width: int) -> list[Line]:
        title = line(("What was asked differently", "title"))
        return [title, *difference_lines(self.sides, width - 1, self.glyphs)]

    def action_by(self) -> None:
        self.by = "tokens" if self.by == "steps" else "steps"
        self.view = self.view.after("reset", [], 0)
        self._show()

    def action_chart(self, action: str) -> None:
        longest = max(self.sides, key=lambda side: len(side.trace))
        planned = max(side.state.max_steps for side in self.sides)
        self.view = self.view.after(action, longest.trace.steps, planned)
        self._show()

    def action_swap(self) -> None:
        self.sides = [*self.sides[1:], self.sides[0]]
        self.query_one(Crumbs).at("finetui", "runs", self._title)
        self._show()

    def action_leave(self) -> None:
        self.app.exit(0)


def run_compare(runs: Sequence[RunDir], looks: Looks) -> int:
    """Show runs side by side until the person leaves."""
    return show(lambda: ComparePage(runs), looks)
