"""What a person can do to a run from the live view: pause, continue, checkpoint, stop, resume; and why not, where not.

Not here: how commands travel (`engine/control`, `tui_app/runs/watch`), and everything that only looks (`live`).
"""

from __future__ import annotations

from textual import work

from engine.errors import FinetuiError
from engine.launcher import Launched, launch
from tui_app.runs.phases import LATE_PHASES, is_over, phase_of
from tui_app.runs.view import RunView
from tui_app.runs.watch import RunWatch
from tui_app.screens.dialog import Confirm
from tui_app.screens.fault import FaultDialog
from tui_app.screens.live_keys import STEERING
from tui_app.screens.page import Page

STOP_TEXT = """A checkpoint of the present step is written first, so nothing is lost; R goes on from it later.
To leave the run alone and only close this view, press q instead.
A second S ends the run at once, without that checkpoint."""
STOP_LATE_TEXT = """What is being scored or made right now is given up. Answers so far, artifacts that are in place
and the trained result stay. To leave it going on and only close this view, press q instead."""


class SteeringPage(Page[None]):
    """A page about one run, with the actions of `live_keys.STEERING`."""

    def __init__(self, viewer: RunWatch) -> None:
        super().__init__()
        self.viewer = viewer
        self.supervisor_exit: int | None = None
        """How the supervisor ended that this page started, None while it works or where there is none."""
        self._view: RunView | None = None
        self._launched: Launched | None = None

    @property
    def view(self) -> RunView:
        """The run as it was last painted."""
        if self._view is None:
            self._view = self.viewer.view()
        return self._view

    def paint(self) -> None:
        """Draw the run as it is now."""
        raise NotImplementedError

    def reap(self) -> None:
        """A supervisor that this page started is a child of this process, and stays a zombie until it is asked for."""
        if self._launched is not None and self.supervisor_exit is None:
            self.supervisor_exit = self._launched.poll()

    def refused(self) -> dict[str, str]:
        """Why a steering key does nothing at the moment."""
        view = self.view
        steering = [key.action for key in STEERING]
        if view.is_readonly:
            return dict.fromkeys(steering, "this view is read-only")
        if is_over(view):
            refused = dict.fromkeys(steering, f"the run is over ({phase_of(view).word.lower()})")
            if view.state.phase != "finished":
                del refused["resume"]
            return refused
        refused = {"resume": "the run is going on"}
        if view.state.phase not in ("training", "paused"):
            refused |= dict.fromkeys(("pause", "save"), f"nothing is being trained ({view.state.phase})")
        return refused

    def _send(self, command: str) -> None:
        try:
            sent = self.viewer.send(command)
        except FinetuiError as fault:
            self.app.push_screen(FaultDialog.of(fault, log=str(self.viewer.run.log)))
            return
        if sent.command == "abort":
            self.app.notify("ending the run at once", markup=False, severity="warning")
        self.paint()

    def action_pause(self) -> None:
        if self.may("pause"):
            self._send("continue" if self.viewer.is_pausing else "pause")

    def action_save(self) -> None:
        if self.may("save"):
            self._send("save")

    def action_stop(self) -> None:
        if not self.may("stop"):
            return
        if self.viewer.is_stopping:
            self._send("stop")
            return
        text = STOP_LATE_TEXT if self.view.state.phase in LATE_PHASES else STOP_TEXT
        question = Confirm(f"Stop {self.viewer.run.name}?", text, yes="Stop the run", no="Let it go on")
        self.app.push_screen(question, self._stop_if)

    def _stop_if(self, is_wanted: bool | None) -> None:
        if is_wanted:
            self._send("stop")

    def action_resume(self) -> None:
        if self.may("resume"):
            self.app.notify("starting the run's supervisor again", markup=False)
            self._resume()

    @work(thread=True, exclusive=True, group="resume")
    def _resume(self) -> None:
        try:
            self.supervisor_exit = None
            self._launched = launch(self.viewer.run, resumed=True)
        except FinetuiError as fault:
            self.app.call_from_thread(self.app.push_screen, FaultDialog.of(fault, log=str(self.viewer.run.log)))
