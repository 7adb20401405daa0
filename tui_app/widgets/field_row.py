"""One field of a recipe in one row: its name, its value to be edited, what changed, and the fault below it.

Text is typed, yes/no and short choices turn with the space bar. Not here: whether a value is right; the page judges it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input

from tui_app.drawing import Line, fit_line, line, literal, wrap
from tui_app.glyphs import UNICODE
from tui_app.steps.schema import Choice, Kind, Question
from tui_app.widgets.drawn_view import DrawnView
from tui_app.widgets.plain_input import PlainInput

LABEL_WIDTH = 29
NUMBERS = {"integer": "+-_", "number": "+-_."}
"""Kinds of question that take no letters, with what they take besides digits; an exponent's e apart."""


class FieldInput(PlainInput):
    """A compact `Input`; up and down go to the neighbouring fields. What cannot belong to a number is a key."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "app.focus_next", "next field", show=False, priority=True),
        Binding("up", "app.focus_previous", "previous field", show=False, priority=True),
    ]

    def __init__(self, value: str, kind: Kind) -> None:
        super().__init__(value, compact=True, select_on_focus=True)
        self._kind = kind

    @property
    def takes_letters(self) -> bool:
        return self._kind not in NUMBERS

    def is_typed(self, character: str) -> bool:
        """Whether a character becomes text here; the page's key otherwise."""
        start, end = sorted(self.selection)
        if self.takes_letters:  # a question mark over a value that nobody has touched asks for help
            return character != "?" or bool(self.value[:start] + self.value[end:])
        if character in "eE":
            return self._kind == "number" and self.value[:start][-1:].isdigit() and "e" not in self.value.lower()
        return character.isdigit() or character in NUMBERS[self._kind]

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """Textual offers no binding whose key a field says that it takes."""
        return super().check_consume_key(key, character) and self.is_typed(character or "")

    async def _on_key(self, event: events.Key) -> None:
        if event.is_printable and event.character and not self.is_typed(event.character):
            await self.be_a_key(event)


class Turning(DrawnView, can_focus=True):
    """A value out of a few: space or right takes the next one, left the one before."""

    DEFAULT_CSS = "Turning { height: 1; }"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space,right", "turn(1)", "next value", show=False),
        Binding("left", "turn(-1)", "value before", show=False),
        Binding("enter", "enter", "accept", show=False),
        Binding("down", "app.focus_next", "next field", show=False),
        Binding("up", "app.focus_previous", "previous field", show=False),
    ]

    def __init__(self, values: Sequence[Choice], value: str) -> None:
        super().__init__()
        self.values, self.value = tuple(values), value

    def draw(self, width: int) -> Sequence[Line]:
        label = next((each.label for each in self.values if each.value == self.value), self.value)
        sign = "<>" if not getattr(self.app, "glyphs", UNICODE).is_unicode else "‹›"
        told = line((f"{sign[0]} {literal(label)} {sign[1]}", "strong" if self.has_focus else ""))
        return [fit_line(told, width)]

    def action_turn(self, by: int) -> None:
        possible = [each.value for each in self.values if not each.impossible]
        if not possible:
            return
        place = possible.index(self.value) if self.value in possible else -1
        self.value = possible[(place + by) % len(possible)]
        self.redraw()
        self._tell(goes_on=False)

    def action_enter(self) -> None:
        self._tell(goes_on=True)

    def _tell(self, *, goes_on: bool) -> None:
        row = next(each for each in self.ancestors if isinstance(each, FieldRow))
        row.post_message(FieldRow.Given(row, self.value, goes_on=goes_on))

    def on_click(self) -> None:
        self.action_turn(1)

    def on_focus(self) -> None:
        self.redraw()

    def on_blur(self) -> None:
        self.redraw()


class FieldRow(Vertical):
    """A question of kind text, integer, number, yes_no, or choice with few choices."""

    DEFAULT_CSS = """
    FieldRow { height: auto; }
    FieldRow > Horizontal { height: 1; }
    FieldRow > Horizontal > .label { width: 29; height: 1; }
    FieldRow > Horizontal > FieldInput { width: 22; }
    FieldRow > Horizontal > Turning { width: 22; }
    FieldRow > Horizontal > .note { width: 1fr; height: 1; margin-left: 1; }
    FieldRow > .fault { height: auto; margin-left: 4; }
    """

    class Edited(Message):
        """The text changed; it is not accepted yet."""

        def __init__(self, sender: FieldRow, text: str) -> None:
            super().__init__()
            self.row, self.text = sender, text

    class Given(Message):
        """A value was given: by Enter (`goes_on`), by leaving the field, or by turning it."""

        def __init__(self, sender: FieldRow, text: str, *, goes_on: bool) -> None:
            super().__init__()
            self.row, self.text, self.goes_on = sender, text, goes_on

    def __init__(self, question: Question, value: str, choices: Sequence[Choice] = ()) -> None:
        super().__init__()
        self.question = question
        self.note, self.fault = "", ""
        self.is_changed = False
        self._shown = value
        """What was put into the field last; another text there was typed."""
        self.field: Widget
        if question.kind == "yes_no" and not choices:
            choices = (Choice("true", "yes"), Choice("false", "no"))
        if choices or question.kind == "choice":
            self.field = Turning(choices, value)
        else:
            self.field = FieldInput(value, question.kind)
        self._label = DrawnView(self._label_lines, classes="label")
        self._note = DrawnView(self._note_lines, classes="note")
        self._fault = DrawnView(self._fault_lines, classes="fault")

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield self._label
            yield self.field
            yield self._note
        yield self._fault

    @property
    def value(self) -> str:
        return self.field.value if isinstance(self.field, Input | Turning) else ""

    def put(self, value: str, *, note: str = "", is_changed: bool = False) -> None:
        """Show another value and the note beside it (its reason, what it was before)."""
        if isinstance(self.field, Input):
            is_being_typed = self.field.has_focus and self.field.value != self._shown
            self._shown = value
            if not is_being_typed and self.field.value != value:
                with self.field.prevent(Input.Changed):
                    self.field.value = value
                if self.field.has_focus:
                    self.field.select_all()
        elif isinstance(self.field, Turning) and self.field.value != value:
            self.field.value = value
            self.field.redraw()
        self.note, self.is_changed = note, is_changed
        self._label.redraw()
        self._note.redraw()

    def offer(self, choices: Sequence[Choice]) -> None:
        """Turn through these from now on."""
        if isinstance(self.field, Turning) and choices:
            self.field.values = tuple(choices)

    def blame(self, fault: str) -> None:
        """Show a fault under the field; an empty one takes it away."""
        if fault != self.fault:
            self.fault = fault
            self._fault.redraw()
            self._fault.refresh(layout=True)
            self._label.redraw()

    def _label_lines(self, width: int) -> list[Line]:
        mark = "!" if self.fault else "*" if self.is_changed else " "
        role = "bad" if self.fault else "accent" if self.is_changed else ""
        is_here = self.field.has_focus
        pointer = getattr(self.app, "glyphs", UNICODE).pointer if is_here else " "
        label = (literal(self.question.label), "strong" if is_here else "")
        return [fit_line(line((pointer, "key"), (f"{mark} ", role), label), width - 1)]  # type: ignore[arg-type]

    def _note_lines(self, width: int) -> list[Line]:
        return [fit_line(line((literal(self.note), "dim")), width)]

    def _fault_lines(self, width: int) -> list[Line]:
        return wrap(literal(self.fault), width, "bad")

    def on_input_changed(self, event: Input.Changed) -> None:
        """What a person types; the text that the field was made with, or that is another by now, is no edit."""
        event.stop()
        if event.value == self.value and (self.field.has_focus or event.value != self._shown):
            self.post_message(self.Edited(self, event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.post_message(self.Given(self, event.value, goes_on=True))

    def on_input_blurred(self, event: Input.Blurred) -> None:
        """Passing a field by gives nothing: what it shows may be behind by then."""
        event.stop()
        if event.value != self._shown or self.fault:
            self.post_message(self.Given(self, event.value, goes_on=False))

    def on_descendant_focus(self, _event: events.DescendantFocus) -> None:
        self._label.redraw()

    def on_descendant_blur(self, _event: events.DescendantBlur) -> None:
        self._label.redraw()
