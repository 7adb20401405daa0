"""Every scored row with the answers of two variants: those that got better, worse, stayed wrong, and all.

Read from the run's answer files while somebody looks, also while rows are still being scored. Not here: reading
(`tui_app/runs/answers`) and drawing (`tui_app/runs/example_lines`).
"""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.widgets import Input

from tui_app.drawing import Line, line, literal
from tui_app.glyphs import UNICODE, Glyphs
from tui_app.keys import Key, bindings
from tui_app.runs.answers import KINDS, Pair, Source, sources_of
from tui_app.runs.example_lines import detail_lines, empty_lines, kinds_line, list_line
from tui_app.runs.watch import RunWatch
from tui_app.screens.page import Page
from tui_app.widgets.crumbs import Crumbs
from tui_app.widgets.footer import KeyFooter
from tui_app.widgets.line_view import LineView
from tui_app.widgets.pages import Pages
from tui_app.widgets.plain_input import PlainInput

TICK_SECONDS = 1.0
SLICE_SECONDS = 0.03
PAUSE_SECONDS = 0.01

KEYS = (
    Key("right,tab", "kind(1)", "kind", f"The next kind of rows: {', '.join(KINDS)}.", shown="→", footer=True),
    Key("left,shift+tab", "kind(-1)", "kind before", "The kind of rows before.", shown="←"),
    Key("slash", "search", "search", "Show rows with these words in request, expected text or an answer.", shown="/",
        footer=True, opens_field=True),
    Key("b", "turn(0)", "other left", "Another variant on the left.", footer=True),
    Key("v", "turn(1)", "other right", "Another variant on the right.", footer=True),
    Key("d", "dataset", "other rows", "The next set of rows that was scored: the test split, then rows of your own."),
    Key("y", "copy", "copy", "Copy the row with both answers to the terminal's clipboard.", footer=True),
    Key("up,k", "move(-1)", "up", "To the row above.", shown="↑ k"),
    Key("down,j", "move(1)", "down", "To the row below.", shown="↓ j"),
    Key("home,g", "move(-9999999)", "first", "To the first row.", shown="Home g"),
    Key("end,G", "move(9999999)", "last", "To the last row.", shown="End G"),
    Key("pageup", "page(-1)", "page up", "A screenful of rows up.", shown="PgUp"),
    Key("pagedown", "page(1)", "page down", "A screenful of rows down.", shown="PgDn"),
    Key("space", "scroll(5)", "text down", "Scroll a long answer down.", shown="Space"),
    Key("backspace", "scroll(-5)", "text up", "Scroll a long answer up.", shown="⌫"),
    Key("escape", "back", "back", "Drop the search, then back to the run.", shown="Esc", footer=True),
    Key("q", "leave", "leave", "Leave finetui. Runs go on by themselves."),
)  # fmt: skip


class ExamplesPage(Page[None]):
    """`viewer` is the run's; it is asked for what was scored, and goes on being read here."""

    KEYS: ClassVar = KEYS
    BINDINGS: ClassVar = bindings(KEYS)
    TOPIC: ClassVar = "Scored rows"
    GLOSSARY: ClassVar = (
        "better: the left variant was wrong there, and the right one is right. worse is the other way round.\n"
        "compared: the part of the answer that the recipe's answer_pattern takes out; blanks do not count.\n"
        "marked words: words of an answer that the expected text does not have at that place."
    )
    AUTO_FOCUS = ""
    DEFAULT_CSS = """
    ExamplesPage #kinds, ExamplesPage #variants { height: 1; }
    ExamplesPage #list { height: 1fr; }
    ExamplesPage #row { height: 2fr; border-top: solid $panel; }
    ExamplesPage #words { display: none; dock: bottom; height: 1; border: none; padding: 0 1; background: $panel; }
    ExamplesPage.-searching #words { display: block; }
    ExamplesPage.-searching KeyFooter { display: none; }
    """

    def __init__(self, viewer: RunWatch, *, dataset: str = "test") -> None:
        super().__init__()
        self.viewer, self.dataset = viewer, dataset
        self.pair: Pair | None = None
        self.kind = ""
        """Empty until it is known which kind has rows."""
        self.rows: list[int] = []
        self.pointed = self.top = 0
        self._sources: list[Source] = []
        self._is_reading = False

    def compose(self) -> ComposeResult:
        yield Crumbs("finetui", self.viewer.run.name, "scored rows")
        yield LineView(id="variants")
        yield LineView(id="kinds")
        yield LineView(id="list")
        yield Pages(self._detail, id="row")
        yield KeyFooter(self.KEYS)
        yield PlainInput(
            placeholder="words of a request or an answer; Enter keeps, Esc drops", id="words", compact=True
        )

    @property
    def glyphs(self) -> Glyphs:
        return getattr(self.app, "glyphs", UNICODE)

    def on_mount(self) -> None:
        if not self.glyphs.is_unicode:
            self.query_one("#row").styles.border_top = ("ascii", self.app.theme_variables["panel"])
        self.query_one("#row").can_focus = False
        self.set_interval(TICK_SECONDS, self._tick)
        self.call_after_refresh(self._look)

    def on_resize(self) -> None:
        self.call_after_refresh(self.show_all)

    # Reading

    def _tick(self) -> None:
        if self.is_current and not self._is_reading:
            self.viewer.gather()
            self._look()

    def _look(self) -> None:
        """See which variants have answers; the first base against the tuned one, unless somebody chose others."""
        self._sources = sources_of(self.viewer.run, self.viewer.state, self.dataset)
        known = {each.variant: each for each in self._sources}
        if self.pair is None and len(self._sources) > 1:
            now = known.get("tuned") or self._sources[-1]
            scores = {score.variant: score.num_correct for score in self.viewer.state.scores}
            others = [each for each in self._sources if each is not now]
            bases = [each for each in others if each.variant.startswith("base")] or others
            self._take(max(bases, key=lambda each: scores.get(each.variant, -1)), now)
        elif self.pair is not None:
            before, now = (known.get(each.variant, each) for each in (self.pair.before, self.pair.now))
            if (before.path, now.path) != (self.pair.before.path, self.pair.now.path):
                self._take(before, now)
        self._read()

    def _take(self, before: Source, now: Source) -> None:
        words = self.pair.words if self.pair else ""
        self.pair = Pair(before, now)
        self.pair.search(words)

    def _read(self) -> None:
        """A slice of the files; the next slice follows once keys had their turn."""
        self._is_reading = self.pair is not None and self.pair.read(SLICE_SECONDS)
        if not self.is_mounted:
            return
        if not self.kind and self.pair is not None and not self._is_reading:
            counts = self.pair.counts()
            self.kind = next((name for name in ("better", "worse", "wrong") if counts[name]), "all")
        self.show_all()
        if self._is_reading:
            self.set_timer(PAUSE_SECONDS, self._read)

    # Showing

    def show_all(self) -> None:
        """Draw what is read so far; the pointer stays on its row."""
        if not self.is_mounted or not self.size.width:
            return
        here = self.rows[self.pointed] if self.pointed < len(self.rows) else None
        self.rows = self.pair.rows(self.kind or "all") if self.pair else []
        if here is not None and here in self.rows:
            self.pointed = self.rows.index(here)
        self.pointed = min(self.pointed, max(len(self.rows) - 1, 0))
        width = self.size.width
        counts = self.pair.counts() if self.pair else dict.fromkeys(KINDS, 0)
        words = self.pair.words if self.pair else ""
        self.query_one("#variants", LineView).show([self._variants_line()])
        self.query_one("#kinds", LineView).show([kinds_line(counts, self.kind, words, width, self.glyphs)])
        self._show_rows()

    def _show_rows(self) -> None:
        listing = self.query_one("#list", LineView)
        height, width = max(listing.size.height, 1), self.size.width
        self.top = min(max(self.top, self.pointed - height + 1), self.pointed, max(len(self.rows) - height, 0))
        if not self.rows or self.pair is None:
            words = self.pair.words if self.pair else ""
            total = len(self.pair.kinds) if self.pair else 0
            listing.show(empty_lines(self.kind or "all", words, num_rows=total, is_reading=self._is_reading))
        else:
            seen = list(enumerate(self.rows))[self.top : self.top + height]
            listing.show(
                [
                    list_line(self.pair.example(row), width, pointed=place == self.pointed, glyphs=self.glyphs)
                    for place, row in seen
                ]
            )
        self.query_one("#row", Pages).make_anew()

    def _variants_line(self) -> Line:
        if self.pair is None:
            return line(" ", ("rows are compared once two variants have answers", "dim"))
        pair = self.pair
        place = f"   row {self.pointed + 1:,} of {len(self.rows):,}" if self.rows else ""
        going = "" if pair.before.is_whole and pair.now.is_whole else "   (being scored)"
        left, right = literal(pair.before.title), literal(pair.now.title)
        rows = "" if self.dataset == "test" else f"   on {literal(self.dataset)}"
        both = line(" ", (left, "strong"), f" {self.glyphs.arrow} ", (right, "strong"))
        return (*both, *line((rows, "accent"), (place, "dim"), (going, "accent")))

    def _detail(self, width: int) -> list[Line]:
        if self.pair is None or not self.rows:
            return []
        example = self.pair.example(self.rows[self.pointed])
        if example is None:
            return [line(" ", ("this row cannot be read any more", "dim"))]
        return detail_lines(example, (self.pair.before.title, self.pair.now.title), width, self.glyphs)

    # What keys do

    def action_kind(self, by: int) -> None:
        names = list(KINDS)
        self.kind = names[(names.index(self.kind or "all") + by) % len(names)]
        self._to(0)

    def action_turn(self, side: int) -> None:
        """Another variant on one side; never the one that stands on the other."""
        if self.pair is None:
            return
        chosen = [self.pair.before, self.pair.now]
        names = [each.variant for each in self._sources]
        free = [name for name in names if name != chosen[1 - side].variant]
        if len(free) < 2:
            self.app.notify("Only two variants have answers: v in the run's view scores more.", markup=False, timeout=4)
            return
        here = free.index(chosen[side].variant) if chosen[side].variant in free else -1
        wanted = free[(here + 1) % len(free)]
        chosen[side] = next(each for each in self._sources if each.variant == wanted)
        self._take(chosen[0], chosen[1])
        self._read()

    def action_dataset(self) -> None:
        """The next set of rows with answers."""
        names = list(dict.fromkeys(score.dataset for score in self.viewer.state.scores))
        if len(names) < 2:
            told = "Only one set of rows was scored: finetui eval RUN --data ROWS scores others."
            self.app.notify(told, markup=False, timeout=4)
            return
        here = names.index(self.dataset) if self.dataset in names else -1
        self.dataset = names[(here + 1) % len(names)]
        self.pair, self.kind, self.rows = None, "", []
        self.pointed = self.top = 0
        self._look()

    def action_move(self, by: int) -> None:
        self._to(self.pointed + by)

    def action_page(self, pages: int) -> None:
        self._to(self.pointed + pages * max(self.query_one("#list", LineView).size.height - 1, 1))

    def _to(self, place: int) -> None:
        self.pointed = place = max(place, 0)
        self.query_one("#row", Pages).first = 0
        self.rows = self.pair.rows(self.kind or "all") if self.pair else []
        self.pointed = min(place, max(len(self.rows) - 1, 0))
        self.show_all()

    def action_scroll(self, rows: int) -> None:
        self.query_one("#row", Pages).action_scroll_by(rows)

    def on_mouse_scroll_down(self, _event: events.MouseScrollDown) -> None:
        self.action_move(3)

    def on_mouse_scroll_up(self, _event: events.MouseScrollUp) -> None:
        self.action_move(-3)

    def action_copy(self) -> None:
        example = self.pair.example(self.rows[self.pointed]) if self.pair and self.rows else None
        if example is None or self.pair is None:
            return
        titles = (self.pair.before.title, self.pair.now.title)
        told = [f"request: {example.request}", f"expected: {example.expected}"]
        told += [f"{title}: {answer}" for title, answer in zip(titles, example.answers, strict=True)]
        self.app.copy_to_clipboard("\n\n".join(told))
        self.app.notify("Copied, if this terminal lets programs copy (OSC 52).", markup=False, timeout=4)

    def action_back(self) -> None:
        if self.has_class("-searching") or (self.pair and self.pair.words):
            self.query_one("#words", Input).value = ""
            self._search("")
            self._end_typing()
        else:
            super().action_back()

    def action_leave(self) -> None:
        self.app.exit(0)

    # The search

    def action_search(self) -> None:
        self.add_class("-searching")
        self.set_focus(self.query_one("#words", Input))

    def check_action(self, action: str, _parameters: tuple[object, ...]) -> bool | None:
        """While words are typed the search's key is a letter of them."""
        return not (action == "search" and self.has_class("-searching"))

    def on_input_changed(self, event: Input.Changed) -> None:
        self._search(event.value)

    def on_input_submitted(self, _event: Input.Submitted) -> None:
        self._end_typing()

    def _search(self, words: str) -> None:
        if self.pair is not None and words.strip() != self.pair.words:
            self.pair.search(words)
            self.pointed = 0
            self._read()

    def _end_typing(self) -> None:
        self.remove_class("-searching")
        self.set_focus(None)
        self.show_all()
