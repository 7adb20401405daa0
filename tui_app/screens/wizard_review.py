"""The wizard's last page: everything that would be done, each value with its reason, before anything is spent.

Not here: the lines themselves (`tui_app/widgets/review_lines`), starting (`wizard`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Button
from textual.worker import get_current_worker

from engine.errors import FinetuiError
from tui_app.drawing import Line, line, literal, wrap
from tui_app.keys import Key, bindings
from tui_app.screens.wizard_desk import Desk, Seen
from tui_app.screens.wizard_dialogs import SaveDialog, TextPage
from tui_app.screens.wizard_model import fault_told
from tui_app.screens.wizard_page import StepPage
from tui_app.steps.draft import Draft
from tui_app.steps.schema import Step

KEYS = (
    Key("m", "why", "why so?", "Show what each term of the memory is.", footer=True),
    Key("c", "recipe", "recipe", "Show the recipe that would be written.", footer=True),
    Key("y", "command", "command", "Copy the shell command that starts the same run.", footer=True),
    Key("w", "save", "save recipe", "Write the recipe to a file.", footer=True),
    Key("g", "fix", "to the fault", "Go to the field of the first fault."),
)

AT_START = (
    "The run gets a folder and a process of its own and goes on when this window closes. Before step 1 the longest "
    "rows are tried once: too little memory shows there, and nothing is lost. The live view opens; q leaves it."
)
AT_START_SHORT = "Start opens the live view. The run is a process of its own: it goes on when this window closes."


class LeftError(Exception):
    """The page was left while the dry run was asked; nobody waits for its answer."""


class ReviewPage(StepPage):
    """Problems first; then memory, ladder, time, disk and every value."""

    KEYS: ClassVar = KEYS
    BINDINGS: ClassVar = bindings(KEYS)
    NEXT: ClassVar = "start run"
    ABOUT: ClassVar = AT_START_SHORT
    DEFAULT_CSS = """
    ReviewPage #actions { dock: bottom; height: 1; }
    ReviewPage #actions Button {
        margin-right: 2; min-width: 0; background: $background; color: $foreground; text-style: none;
    }
    ReviewPage #actions Button:focus { background: $background; text-style: bold reverse; }
    ReviewPage #below { margin-bottom: 1; }
    """

    def __init__(self, desk: Desk, step: Step) -> None:
        super().__init__(desk, step)
        self.shows_why = False
        self.sharpening = ""
        """What the background is doing for a better prediction, in words."""
        self._sharpened: Draft | None = None

    def compose(self) -> ComposeResult:
        yield from super().compose()
        with Horizontal(id="actions"):
            yield Button(Content("[ Start run ]"), id="start", compact=True)
            yield Button(Content("[ Save recipe ]"), id="save", compact=True)
            yield Button(Content("[ Copy command ]"), id="copy", compact=True)

    def first_focus(self) -> Widget | None:
        return next(iter(self.query("#start")), None)  # not there yet where the answer came before the page was made

    # --- a better prediction ----------------------------------------------------------------------------------

    def sync(self) -> None:
        super().sync()
        review = self.desk.review
        if review is None or not self.desk.is_current or self._sharpened == review.draft:
            return
        self._sharpened = review.draft
        if not review.is_sharp and review.outlook is not None:
            self._sharpen(review.draft)

    @work(thread=True, exclusive=True, group="sharpen", exit_on_error=False)
    def _sharpen(self, draft: Draft) -> None:
        """Count the rows and ask the dry run; the page stays as usable as before."""
        from tui_app.steps.review import sharpen

        worker, hardware = get_current_worker(), self.desk.surroundings.hardware
        assert hardware is not None

        def waited() -> None:
            if worker.is_cancelled or not self.is_mounted:
                raise LeftError

        def asked(number: int) -> None:
            waited()
            self.app.call_from_thread(self._say, f"an estimate; dry run {number} in the background sharpens it…")

        self.app.call_from_thread(self._say, "an estimate; the rows are counted in the background…")
        try:
            better = sharpen(draft, hardware, on_question=asked, on_wait=waited)
        except LeftError:
            return
        except FinetuiError as fault:  # the closed form stays, and says that it is one
            self.app.call_from_thread(self._say, f"an estimate; no dry run: {fault.happened}")
            return
        if not worker.is_cancelled:
            self.app.call_from_thread(self._say, "")
            self.app.call_from_thread(self._take, Seen(review=better))

    def _say(self, text: str) -> None:
        self.sharpening = text
        if self.is_mounted:
            self.below_view.redraw()

    def _take(self, seen: Seen) -> None:
        review = seen.review
        if self.is_mounted and review is not None and review.draft == self.desk.draft and review.outlook is not None:
            self.desk.take(seen)
            self.sync()

    # --- showing ----------------------------------------------------------------------------------------------

    def above(self, width: int) -> Sequence[Line]:
        """What keeps the run from starting, each with its field."""
        told: list[Line] = []
        for problem in self.problems():
            told += wrap(f"{self.glyphs.warning} {literal(problem)}", width, "bad", indent=2)
        if told:
            told += [line(("  g", "key"), " goes to the first field with a fault"), line("")]
        return told

    def problems(self) -> list[str]:
        """Everything that is known to keep the run from starting."""
        found = [str(each) for each in self.desk.draft.problems()]
        review = self.desk.review
        if not found and review is not None and self.desk.is_current:
            found += [each for each in (review.fault, review.obstacle) if each]
        return found

    def below(self, width: int) -> Sequence[Line]:
        review = self.desk.review
        if review is None or (review.outlook is None and not self.desk.is_current):
            return [line(("working out what it needs…", "dim"))]
        if review.fault:
            return fault_told(review.fault, width)
        from tui_app.widgets.review_lines import review_lines

        return review_lines(review, width, self.glyphs, shows_why=self.shows_why, sharpening=self.sharpening)

    def side(self, width: int) -> Sequence[Line]:
        """What is the same on a command line, and what comes after Enter."""
        review = self.desk.review
        if review is None or not review.command:
            return ()
        told = [line(("The same as a command", "title")), *wrap(literal(review.command), width, indent=2)]
        told += [line(("y", "key"), (" copies it", "dim")), line(""), line(("What happens at Start", "title"))]
        return [*told, *wrap(AT_START, width, "dim")]

    # --- doing ------------------------------------------------------------------------------------------------

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        does = {"start": self.finish, "save": self.action_save, "copy": self.action_command}
        does[event.button.id or "start"]()

    def finish(self) -> None:
        """Start, or go to what keeps it from starting."""
        if self.problems():
            self.action_fix()
        else:
            self.wizard.start()

    def action_why(self) -> None:
        self.shows_why = not self.shows_why
        self.below_view.redraw()
        self.below_view.refresh(layout=True)
        if self.shows_why:  # memory comes first in it
            self.call_after_refresh(self.scroll_to_widget, self.below_view, animate=False, top=True)

    def action_fix(self) -> None:
        """To the field of the first fault; what has no field is said."""
        faults = self.desk.draft.problems()
        review = self.desk.review
        if faults:
            self.app.call_later(self.wizard.go_to_fault, faults[0].field, str(faults[0]))
        elif review is not None and self.problems():
            field = "model.name_or_path" if review.model.fault else "data.dataset"
            self.app.call_later(self.wizard.go_to_fault, field, self.problems()[0])

    def action_recipe(self) -> None:
        if self.desk.draft.problems():
            self.action_fix()
        else:
            self.app.push_screen(TextPage("The recipe", self.desk.draft.recipe().to_toml()))

    def action_command(self) -> None:
        """Copy the command and show it: not every terminal lets programs copy."""
        from tui_app.steps.review import draft_command

        command = draft_command(self.desk.draft)
        self.app.copy_to_clipboard(command)
        title = "The command that starts the same run (copied, if this terminal lets programs copy)"
        self.app.push_screen(TextPage(title, command))

    def action_save(self) -> None:
        if self.desk.draft.problems():
            self.action_fix()
        else:
            self.app.push_screen(SaveDialog(self.desk.draft), self._saved)

    def _saved(self, path: Path | None) -> None:
        if path is not None:
            self.wizard.say(f"recipe written: {path}", "good")
