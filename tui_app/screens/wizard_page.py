"""One step of the wizard as a page: its questions as fields, with lines above and below that say what they lead to.

A step's own module subclasses `StepPage` and draws those lines. Not here: going from step to step (`wizard`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widget import Widget

from tui_app.drawing import Line, fit_line, line, literal, wrap
from tui_app.glyphs import UNICODE, Glyphs
from tui_app.keys import Key
from tui_app.screens.wizard_desk import Desk
from tui_app.steps.paths import Wanted
from tui_app.steps.schema import Choice, Question, Step
from tui_app.widgets.choice_list import ChoiceList
from tui_app.widgets.drawn_view import DrawnView
from tui_app.widgets.field_row import FieldRow
from tui_app.widgets.path_field import PathField

if TYPE_CHECKING:
    from tui_app.screens.wizard import WizardScreen


HIGH = 32
"""Rows of a screen with room to spare."""


def needed_by(step: Step, desk: Desk) -> frozenset[str]:
    """Advanced questions that the draft cannot do without an answer to."""
    return frozenset(each.name for each in step.questions if each.is_advanced and each.is_needed(desk.draft))


class AdvancedHeading(DrawnView):
    """The line over the advanced fields. While they are shown the keyboard can rest on it: no key is text there."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "app.focus_next", "next field", show=False),
        Binding("up", "app.focus_previous", "previous field", show=False),
    ]

    def __init__(self, draw: Callable[[int], Sequence[Line]], *, is_open: bool) -> None:
        super().__init__(draw, classes="heading", id="advanced")
        self.can_focus = is_open

    def on_focus(self) -> None:
        self.redraw()

    def on_blur(self) -> None:
        self.redraw()


class StepPage(VerticalScroll, can_focus=False):
    """Made anew each time a step is gone to: it shows the draft as it is."""

    DEFAULT_CSS = """
    StepPage { width: 1fr; height: 1fr; padding: 0 1; scrollbar-size: 0 0; }
    StepPage .heading { height: 1; margin-top: 1; }
    StepPage .fault { height: auto; margin-left: 2; }
    StepPage FieldRow.-after-list { margin-top: 1; }
    """
    KEYS: ClassVar[tuple[Key, ...]] = ()
    """Keys that only this step has; their actions are methods of the page."""
    NEXT: ClassVar[str] = "next"
    ABOUT: ClassVar[str] = ""
    """What stands at the foot while the keyboard is in no field; empty: what the step decides."""
    MOST_CHOICES: ClassVar[int] = 7
    COMPLETES: ClassVar[Wanted] = "any"
    ALWAYS: ClassVar[tuple[str, ...]] = ()
    """Advanced fields that stand on this page all the same, in one row each."""

    def __init__(self, desk: Desk, step: Step) -> None:
        super().__init__(id=f"step-{step.name}")
        self.desk, self.step = desk, step
        self.above_view = DrawnView(self.above, id="above")
        self.below_view = DrawnView(self.below, id="below")
        self.fields: dict[str, list[Widget]] = {}
        self.needed = needed_by(step, desk)

    @property
    def wizard(self) -> WizardScreen:
        """The screen that this page is part of."""
        from tui_app.screens.wizard import WizardScreen

        assert isinstance(self.screen, WizardScreen)
        return self.screen

    def finish(self) -> None:
        """Enter on the last page."""

    @property
    def glyphs(self) -> Glyphs:
        return getattr(self.app, "glyphs", UNICODE)

    def above(self, width: int) -> Sequence[Line]:
        """Lines over the fields."""
        return wrap(literal(self.step.why), width, "dim")

    def below(self, width: int) -> Sequence[Line]:  # noqa: ARG002 - for steps that draw something
        """Lines under the fields."""
        return ()

    def compose(self) -> ComposeResult:
        yield self.above_view
        for question in self.questions(is_advanced=False):
            yield from self.field_of(question)
        yield self.below_view
        yield from self.advanced_part()

    def advanced_part(self) -> Iterator[Widget]:
        """The line that tells of hidden fields, and these where they are shown."""
        yield AdvancedHeading(self._advanced_heading, is_open=self.desk.shows_advanced)
        if self.desk.shows_advanced:
            for question in self.questions(is_advanced=True):
                yield from self.field_of(question)

    def questions(self, *, is_advanced: bool) -> list[Question]:
        """Those that stand on the page, or those that `e` shows. What the draft needs stands there anyway."""
        hidden = [
            each for each in self.step.questions if each.is_advanced and each.name not in (*self.needed, *self.ALWAYS)
        ]
        return hidden if is_advanced else [each for each in self.step.questions if each not in hidden]

    def _advanced_heading(self, width: int) -> list[Line]:
        hidden = [each for each in self.questions(is_advanced=True) if each.applies(self.desk.draft)]
        if not hidden:
            return []
        changed = sum(self.desk.draft.typed(each.name) is not None for each in hidden)
        note = f" ({changed} set by you)" if changed else ""
        if self.desk.shows_advanced:
            is_here = self.query_one(AdvancedHeading).has_focus
            pointer = f"{self.glyphs.pointer} " if is_here else ""
            return [line((pointer, "key"), (f"Advanced{note}", "title"), ("   e", "key"), (" hides them", "dim"))]
        what = f"{len(hidden)} advanced field{'s' if len(hidden) > 1 else ''}{note}"
        return [fit_line(line(("e", "key"), (f" shows {what}", "dim")), width)]

    def field_of(self, question: Question) -> Iterator[Widget]:
        """The widgets of one question: a heading where it needs one, and what is filled in."""
        made: list[Widget] = []
        is_main = not question.is_advanced
        if is_main and question.kind in ("path", "choice"):
            made.append(DrawnView(lambda width: self.heading(question, width), classes="heading"))
            made.append(ChoiceList(question.name, tells=question.kind == "choice", most=self.most_choices))
        if is_main and question.kind == "path":
            made.append(PathField(question.name, self.COMPLETES, placeholder="a path, or owner/name on the hub"))
        if not made:
            row = FieldRow(question, self.desk.shown(question.name), self._choices(question))
            has_rows = any(isinstance(each[0], FieldRow) for each in self.fields.values())
            row.set_class(bool(self.fields) and not has_rows and self._stands_always(question), "-after-list")
            made.append(row)
        if not isinstance(made[-1], FieldRow):
            made.append(DrawnView(lambda width: self._fault_lines(question, width), classes="fault"))
        self.fields[question.name] = made
        for each in made:
            each.display = question.applies(self.desk.draft)
        yield from made

    @property
    def most_choices(self) -> int:
        """Of a list that are seen at once: twice as many where the screen is high."""
        return self.MOST_CHOICES * (2 if self.app.size.height >= HIGH else 1)

    def _stands_always(self, question: Question) -> bool:
        return any(each.name == question.name for each in self.questions(is_advanced=False))

    def _choices(self, question: Question) -> Sequence[Choice]:
        """Those that were worked out for the draft, or what is known without looking at anything."""
        found = self.desk.choices(question.name)
        return found or (question.choices(self.desk.draft, self.desk.surroundings) if question.is_advanced else ())

    def choices_of(self, question: Question) -> Sequence[Choice]:
        """The choices of a list, as they are shown."""
        return self.desk.choices(question.name)

    def heading(self, question: Question, width: int) -> list[Line]:
        """The line over a list."""
        return [fit_line(line((literal(question.label), "title")), width)]

    def _fault_lines(self, question: Question, width: int) -> list[Line]:
        return wrap(literal(self.desk.fault(question.name)), width, "bad")

    def on_mount(self) -> None:
        self.sync()

    def first_focus(self) -> Widget | None:
        """Where the keyboard is when the page opens: on something that takes no letters, so that keys work."""
        shown = [each for each in self.query(ChoiceList) if each.display]
        return shown[0] if shown else next((each for each in self.query("*") if each.focusable and each.display), None)

    def sync(self) -> None:
        """Show the draft, the choices and the faults as they are now."""
        for question in self.step.questions:
            widgets = self.fields.get(question.name, ())
            applies = question.applies(self.desk.draft)
            for each in widgets:
                each.display = applies
                self._sync_widget(question, each)
        for view in self.query(DrawnView):
            if not isinstance(view, ChoiceList):
                view.redraw()
                view.refresh(layout=True)

    def _sync_widget(self, question: Question, widget: Widget) -> None:
        name, desk = question.name, self.desk
        if isinstance(widget, ChoiceList):
            widget.offer(self.choices_of(question), desk.draft.value(name))
        elif isinstance(widget, PathField):
            if not widget.input.has_focus:
                widget.put(desk.shown(name))
        elif isinstance(widget, FieldRow):
            reason = desk.draft.reason(name)
            is_changed = reason != "default" and not reason.startswith("preset ")
            widget.offer(desk.choices(name))
            widget.put(desk.shown(name), note=reason, is_changed=is_changed)
            widget.blame(desk.fault(name))

    def focused_question(self) -> Question | None:
        """The question that the keyboard is in."""
        focused = self.screen.focused
        for question in self.step.questions:
            for each in self.fields.get(question.name, ()):
                if focused is not None and (focused is each or each in focused.ancestors):
                    return question
        return None

    def first_fault(self) -> str:
        """What keeps the person from going on, with the keyboard moved there; empty for nothing."""
        for question in self.step.questions:
            if question.applies(self.desk.draft) and (fault := self.desk.fault(question.name)):
                self.focus_on(question.name)
                return f"{question.label}: {fault}"
        return ""

    def focus_on(self, name: str) -> None:
        """Move the keyboard into a question's field."""
        for each in reversed(self.fields.get(name, ())):
            if isinstance(each, FieldRow):
                each.field.focus()
                return
            if isinstance(each, PathField):
                each.input.focus()
                return
            if isinstance(each, ChoiceList):
                each.focus()
                return

    def side(self, width: int) -> Sequence[Line]:  # noqa: ARG002 - for steps that draw something
        """What stands beside the page where there is room."""
        return ()
