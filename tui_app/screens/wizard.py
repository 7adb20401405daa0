"""The wizard: five steps from a machine to a run, one page each. Enter through all of them is a good run.

Lives here: going from step to step, keeping the draft, looking at the machine in the background. Not here: the steps'
pages (`wizard_hardware` … `wizard_review`), what is asked (`tui_app/steps`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import work
from textual.screen import Screen
from textual.worker import get_current_worker

from engine.errors import FinetuiError, RunDirError
from tui_app.looks import Looks
from tui_app.runs.history_table import age
from tui_app.screens.dialog import Confirm
from tui_app.screens.fault import FaultDialog
from tui_app.screens.showing import show
from tui_app.screens.wizard_desk import Desk, Seen, look
from tui_app.screens.wizard_frame import WizardFrame
from tui_app.screens.wizard_page import AdvancedHeading, StepPage, needed_by
from tui_app.screens.wizard_pages import page_for
from tui_app.steps import draft_file
from tui_app.steps.answering import SAFE_START, refreshed
from tui_app.steps.draft import METHOD, Draft
from tui_app.steps.methods import METHOD_FIELDS
from tui_app.steps.sequence import STEPS, step_of
from tui_app.steps.surroundings import Surroundings, parts
from tui_app.widgets.choice_list import ChoiceList
from tui_app.widgets.column_mapping import ColumnMapping
from tui_app.widgets.field_row import FieldRow
from tui_app.widgets.path_field import PathField

if TYPE_CHECKING:
    from engine.run_dir import RunDir


def run_wizard(draft: Draft | None, looks: Looks) -> int:
    """Show the wizard until the person leaves it, or the run that was started. A fault of the screen is raised.

    Without a draft the one of an earlier visit is offered; if there is none, what suits the machine.
    """
    screen = WizardScreen(draft, saved=draft_file.saved_draft() if draft is None else None)
    return show(lambda: screen, looks, run=lambda: screen.run)


def live_view(run: RunDir) -> Screen[Any]:
    """What takes the wizard's place."""
    from tui_app.screens.live import LiveScreen

    return LiveScreen(run)


class WizardScreen(WizardFrame):
    """Ends the app with 0 when it is left; after Start, the live view takes its place."""

    def __init__(
        self,
        draft: Draft | None = None,
        *,
        saved: draft_file.Saved | None = None,
        after_start: Callable[[RunDir], Screen[Any]] | None = None,
    ) -> None:
        """`draft` to begin with, None for whatever suits the machine; `saved` is one from earlier, to be offered.

        `after_start` makes the screen that takes the wizard's place once its run has started: the live view.
        """
        super().__init__(Desk(draft or Draft(SAFE_START), is_fresh=draft is None))
        self._saved = saved
        self.is_starting = False
        self._not_kept = ""
        self.run: RunDir | None = None
        """The run that was started."""
        self.after_start = after_start or live_view

    async def on_mount(self) -> None:
        await self._show(0)
        self.call_after_refresh(self.look_again)
        if self._saved is not None and self._saved.draft is not None:
            self._offer(self._saved.draft, self._saved.age_seconds, self._saved.place)
        elif self._saved is not None and self._saved.note:
            self.app.notify(self._saved.note, markup=False, severity="warning")

    def _offer(self, draft: Draft, age_seconds: float, place: int) -> None:
        """Ask whether to go on with a draft of earlier; leaving it alone keeps it until a step is taken."""
        model = draft.typed("model.name_or_path") or f"preset {draft.base}"
        title = f"Go on with your draft of {age(age_seconds)} ago?"
        question = Confirm(title, f"Model: {model}", yes="Go on with it", no="Start anew", is_harmless=True)
        self.app.push_screen(question, lambda is_wanted: self._take(draft, place) if is_wanted else None)

    def _take(self, draft: Draft, place: int) -> None:
        """Go on with a draft at the step that was left."""
        self.desk.draft, self.desk.is_fresh = refreshed(draft, self.desk.surroundings), False
        place = min(place, len(STEPS) - 1)
        self.done |= set(range(place))
        self.call_later(self._show, place)

    async def _show(self, place: int) -> None:
        """Put the page of a step in the middle."""
        self.place, self.notice = place, ("", "")
        for old in self.query(StepPage):
            await old.remove()
        page = page_for(STEPS[place])(self.desk, STEPS[place])
        await self.query_one("#middle").mount(page, before="#side")
        for moved in ("scroll_y", "virtual_size", "container_size"):
            self.watch(page, moved, self._page_moved, init=False)
        self._focus_first()
        self.frame_changed()
        self.look_soon()

    def _page_moved(self) -> None:
        """How much of the page is hidden is known once it is laid out."""
        self.call_after_refresh(self.foot_changed)

    def _focus_first(self) -> None:
        target = self.page.first_focus()
        if target is not None:
            target.focus()

    # --- what is seen of the machine -------------------------------------------------------------------------

    def look_again(self) -> None:
        """Read the machine anew, then the draft against it."""
        self.desk.surroundings = Surroundings.unknown()
        self.desk.seen = Seen()
        self.page.sync()
        self._look()

    def look_soon(self) -> None:
        """Work out the choices and the costs of the draft as it is now."""
        if self.desk.surroundings.is_complete:
            self._look()

    @work(thread=True, exclusive=True, group="look")
    def _look(self) -> None:
        worker = get_current_worker()
        around = self.desk.surroundings
        for part in () if around.is_complete else parts(Path.cwd()):
            around = part(around)
            if worker.is_cancelled:
                return
            self.app.call_from_thread(self._machine_seen, around)
        for seen in look(self.desk.draft, around, STEPS[self.place]):
            if worker.is_cancelled:
                return
            self.app.call_from_thread(self._draft_seen, seen)

    def _machine_seen(self, around: Surroundings) -> None:
        self.desk.arrived(around)
        if not self.query(StepPage):
            return
        self.page.sync()
        self.frame_changed()

    def _draft_seen(self, seen: Seen) -> None:
        self.desk.take(seen)
        if not self.query(StepPage):  # between two pages; the next one shows it
            return
        self.page.sync()
        if needed_by(self.page.step, self.desk) - self.page.needed:
            self.call_later(self._show, self.place)
        elif self.focused is None:
            self._focus_first()
        self.frame_changed()

    # --- answers ---------------------------------------------------------------------------------------------

    def give(self, name: str, text: str) -> str:
        """Take an answer, or show what is wrong with it; the fault."""
        before = self.desk.draft
        fault = self.desk.give(name, text)
        if self.desk.draft != before:
            self.done.add(self.place)
            self.look_soon()
        self.notice = (fault, "bad") if fault else ("", "")
        self.page.sync()
        self.frame_changed()
        return fault

    def on_choice_list_chosen(self, event: ChoiceList.Chosen) -> None:
        fault = self.give(event.list.question, event.choice.value)
        if event.goes_on and not fault:
            self.call_later(self.action_next)

    def on_choice_list_refused(self, event: ChoiceList.Refused) -> None:
        self.say(f"{event.choice.label} cannot be chosen here: {event.choice.impossible}", "warn")

    def on_choice_list_passed(self, _event: ChoiceList.Passed) -> None:
        self.call_later(self.action_next)

    def on_choice_list_looked(self, _event: ChoiceList.Looked) -> None:
        self.frame_changed()

    def on_path_field_entered(self, event: PathField.Entered) -> None:
        fault = self.give(event.field.question, event.text.strip())
        if event.goes_on and not fault:
            self.call_later(self.action_next)

    def on_field_row_edited(self, event: FieldRow.Edited) -> None:
        """While typing, good values count at once; faults and an emptied field wait until the field is left."""
        name = event.row.question.name
        is_late = event.text != event.row.value
        if event.text.strip() and not is_late and not self.desk.draft.problem(name, event.text):
            self.give(name, event.text)

    def on_field_row_given(self, event: FieldRow.Given) -> None:
        fault = self.give(event.row.question.name, event.text)
        if event.goes_on and not fault:
            self.call_later(self.action_next)

    def on_column_mapping_passed(self, _event: ColumnMapping.Passed) -> None:
        self.call_later(self.action_next)

    # --- going -----------------------------------------------------------------------------------------------

    async def action_next(self) -> None:
        """To the next step, or to the first field with a fault."""
        if fault := self.page.first_fault():
            self.say(fault, "bad")
            return
        self.done.add(self.place)
        self.desk.is_fresh = False
        self.keep(min(self.place + 1, len(STEPS) - 1))
        if self.place + 1 < len(STEPS):
            await self._show(self.place + 1)
        else:
            self.page.finish()

    def action_back(self) -> None:
        if self.place:
            self.keep(self.place - 1)
            self.call_later(self._show, self.place - 1)
        else:
            self.action_leave()

    async def action_go(self, place: int) -> None:
        if place != self.place:
            self.keep(place)
            await self._show(place)

    async def go_to_field(self, step: int, name: str) -> None:
        """Open the step with the keyboard in one of its fields."""
        question = next(each for each in STEPS[step].questions if each.name == name)
        self.desk.shows_advanced = self.desk.shows_advanced or question.is_advanced
        await self._show(step)
        self.page.focus_on(name)

    async def action_advanced(self) -> None:
        self.desk.shows_advanced = not self.desk.shows_advanced
        await self._show(self.place)
        heading = self.page.query_one(AdvancedHeading)
        if self.desk.shows_advanced and self.page.questions(is_advanced=True):
            heading.focus(scroll_visible=False)
            self.page.call_after_refresh(self.page.scroll_to_widget, heading, animate=False, top=True)

    def action_scroll(self, pages: int) -> None:
        page = self.page
        page.scroll_relative(y=pages * max(page.size.height - 2, 1), animate=False)

    def action_leave(self) -> None:
        text = "What you filled in is kept and offered the next time."
        self.app.push_screen(Confirm("Leave the wizard?", text, yes="Leave", no="Stay"), self._left)

    def _left(self, is_sure: bool | None) -> None:
        if is_sure:
            self.keep()
            self.app.exit(0)

    def action_forget(self) -> None:
        text = "What you filled in is thrown away."
        self.app.push_screen(Confirm("Leave and forget the draft?", text, yes="Forget it", no="Stay"), self._forgotten)

    def _forgotten(self, is_sure: bool | None) -> None:
        if is_sure:
            draft_file.drop()
            self.app.exit(0)

    def keep(self, place: int | None = None) -> None:
        """Save the draft so that it can be gone on with, at `place`: where one is."""
        if self.desk.is_fresh:
            return
        try:
            draft_file.save(self.desk.draft, self.place if place is None else place)
        except RunDirError as fault:
            if fault.happened != self._not_kept:  # said once, not at every step
                self.app.notify(f"{fault.happened} {fault.means}", markup=False, severity="warning")
            self._not_kept = fault.happened

    # --- starting --------------------------------------------------------------------------------------------

    async def go_to_fault(self, field: str, told: str) -> None:
        """Open the step whose field has a fault; that of a field which no step has is said only."""
        name = METHOD if field in METHOD_FIELDS else field
        place = STEPS.index(step_of(name))
        if any(each.name == name for each in STEPS[place].questions):
            await self.go_to_field(place, name)
        self.say(told, "bad")

    def start(self) -> None:
        """Make the run and hand it over to its supervisor; the live view takes the wizard's place."""
        if self.is_starting:
            return
        from engine.foreign_code import unconfirmed
        from tui_app.screens.trust_dialog import TrustDialog

        recipe = self.desk.draft.recipe()
        try:
            asked = unconfirmed(recipe)
        except FinetuiError as fault:
            self._not_started(fault)
            return
        if asked:
            self.app.push_screen(TrustDialog(recipe.model.name_or_path, asked), self._trusted)
        else:
            self._begin()

    def _trusted(self, is_confirmed: bool | None) -> None:
        if is_confirmed:
            self._begin()
        else:
            self.say("not started: nobody confirmed the code that it would run", "bad")

    def _begin(self) -> None:
        self.is_starting = True
        self.say("starting: making the run's folder, waiting for its supervisor…")
        self._start()

    @work(thread=True, exclusive=True, group="start")
    def _start(self) -> None:
        from tui_app.steps.starting import start

        told: list[str] = []
        try:
            run = start(self.desk.draft, told.append)
        except FinetuiError as fault:
            self.app.call_from_thread(self._not_started, fault)
            return
        self.app.call_from_thread(self._started, run, told)

    def _not_started(self, fault: FinetuiError) -> None:
        self.is_starting = False
        self.keep()
        self.say("not started; the draft is kept", "bad")
        self.app.push_screen(FaultDialog.of(fault))

    def _started(self, run: RunDir, told: list[str]) -> None:
        for note in told:
            self.app.notify(note, markup=False)
        self.run = run
        self.app.switch_screen(self.after_start(run))
