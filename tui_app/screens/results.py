"""What can be done with a finished run from its page: rows, exports, scores, the report, chat; and why not, where not.

Asking starts a process of its own that the page then follows. Not here: the pages where something is chosen
(`examples`, `export_page`, `evaluate_page`), and steering a run that goes on (`live_steering`).
"""

from __future__ import annotations

from textual import work

from engine.errors import FinetuiError
from engine.requests import ask
from tui_app.drawing import literal
from tui_app.runs.offers import Asking
from tui_app.runs.phases import LATE_PHASES, is_over, phase_of
from tui_app.screens.fault import FaultDialog
from tui_app.screens.live_steering import SteeringPage


class ResultPage(SteeringPage):
    """A page about one run, with the actions of `tui_app.runs.later`."""

    def refused(self) -> dict[str, str]:
        view, state = self.view, self.view.state
        refused = super().refused()
        has_result = state.adapter is not None or state.finished is not None
        changes = ("export", "evaluate", "report")
        if not has_result:
            wanting = ("export", "evaluate", "chat")
            refused |= dict.fromkeys(wanting, "there is no trained result yet")
        elif not is_over(view):
            refused |= dict.fromkeys(("export", "evaluate"), f"the run is at work ({phase_of(view).word.lower()})")
        if not state.scores and state.phase not in LATE_PHASES:
            refused["examples"] = "no row was scored yet"
        if view.is_readonly:
            refused |= dict.fromkeys(changes, "this view is read-only")
        return refused

    def show_result(self) -> None:
        """Bring up what tells how far it is."""
        raise NotImplementedError

    def action_examples(self) -> None:
        if self.may("examples"):
            from tui_app.screens.examples import ExamplesPage

            self.app.push_screen(ExamplesPage(self.viewer))

    def action_export(self) -> None:
        if self.may("export"):
            from tui_app.screens.export_page import ExportPage

            self.app.push_screen(ExportPage(self.viewer), self._ask_for)

    def action_evaluate(self) -> None:
        if self.may("evaluate"):
            from tui_app.screens.evaluate_page import EvaluatePage

            self.app.push_screen(EvaluatePage(self.viewer), self._ask_for)

    def action_chat(self) -> None:
        if self.may("chat"):
            from tui_app.screens.chat import ChatPage

            self.app.push_screen(ChatPage(self.viewer.run))

    def action_report(self) -> None:
        if self.may("report"):
            self.app.notify("writing the report", markup=False)
            self._write_report()

    @work(thread=True, exclusive=True, group="report")
    def _write_report(self) -> None:
        from tui_app.result_commands.report import written

        try:
            files = written(self.viewer.run)
        except FinetuiError as fault:
            self.app.call_from_thread(self.app.push_screen, FaultDialog.of(fault, log=str(self.viewer.run.log)))
            return
        names = ", ".join(path.name for path in files if path.suffix in (".md", ".html"))
        text = literal(f"The report is written: {names} in {files[0].parent}")
        self.app.call_from_thread(self.app.notify, text, markup=False, timeout=10)

    def _ask_for(self, wanted: Asking | None) -> None:
        """Ask what a page was left with; None is nothing."""
        if wanted is not None:
            self.app.notify(f"asked for: {wanted.title}", markup=False)
            self.show_result()
            self._ask(wanted)

    @work(thread=True, exclusive=True, group="ask")
    def _ask(self, wanted: Asking) -> None:
        try:
            ask(self.viewer.run, wanted.stage, wanted.title, wanted.settings())
        except FinetuiError as fault:
            self.app.call_from_thread(self.app.push_screen, FaultDialog.of(fault, log=str(self.viewer.run.log)))
