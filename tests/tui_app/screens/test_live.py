"""The live view, driven by keys over real run folders."""

from __future__ import annotations

from dataclasses import replace

from textual.pilot import Pilot
from textual.widgets import Input

from engine import control
from engine.events import CommandAcknowledged, EvalLogged, RunFinished, StepLogged, TrainingPaused, WarningRaised
from tests.tui_app.live_driving import drive
from tests.tui_app.live_runs import append, recorded_run, running_run
from tests.tui_app.on_screen import sees, shown, until
from tui_app.drawing import plain_text
from tui_app.screens.dialog import Confirm
from tui_app.screens.fault import FaultDialog
from tui_app.screens.live import LiveScreen
from tui_app.screens.live_keys import KEYS
from tui_app.screens.runs import RunsPage
from tui_app.screens.wizard import WizardScreen
from tui_app.widgets.footer import KeyFooter
from tui_app.widgets.panel_view import PanelView


def test_new_events_reach_the_screen_by_themselves() -> None:
    run = running_run()

    async def test(pilot: Pilot[int], screen: LiveScreen) -> None:
        last = screen.view.state.last_step
        assert last is not None
        append(run, replace(last, step=17, loss=0.125), writer="attempt-1")
        await until(pilot, lambda: "17/40" in shown(pilot.app))
        append(run, EvalLogged(step=17, loss=0.5, num_rows=5, seconds=1.0), writer="attempt-1")
        await until(pilot, lambda: "eval loss 0.5000 at step 17" in shown(pilot.app))

    drive(run, test)


def test_pause_is_sent_accepted_and_done_and_p_then_continues() -> None:
    run = running_run()

    async def test(pilot: Pilot[int], _screen: LiveScreen) -> None:
        await pilot.press("p")
        await sees(pilot, "pause: sent")
        (claimed,) = control.claim(run)
        append(run, CommandAcknowledged(command_id=claimed.command_id, command="pause", status="accepted"))
        await until(pilot, lambda: "accepted" in shown(pilot.app))
        done = CommandAcknowledged(command_id=claimed.command_id, command="pause", status="done")
        append(run, TrainingPaused(step=16), done, writer="attempt-1")
        await until(pilot, lambda: "PAUSED" in shown(pilot.app))
        await pilot.press("p")
        assert [command.command for command in control.claim(run)] == ["continue"]

    drive(run, test)


def test_stop_asks_first_and_the_answer_at_hand_is_the_safe_one() -> None:
    run = running_run()

    async def test(pilot: Pilot[int], _screen: LiveScreen) -> None:
        await pilot.press("S")
        assert isinstance(pilot.app.screen, Confirm)
        await pilot.press("enter")
        assert control.claim(run) == []
        await pilot.press("S", "y")
        await pilot.pause()
        assert [command.command for command in control.claim(run)] == ["stop"]
        await pilot.press("S")  # no question any more: it said so
        assert [command.command for command in control.claim(run)] == ["abort"]

    drive(run, test)


def test_a_checkpoint_is_written_on_demand() -> None:
    run = running_run()

    async def test(pilot: Pilot[int], _screen: LiveScreen) -> None:
        await pilot.press("k")
        assert [command.command for command in control.claim(run)] == ["save"]

    drive(run, test)


def test_a_read_only_view_shows_all_and_changes_nothing() -> None:
    run = running_run()

    async def test(pilot: Pilot[int], screen: LiveScreen) -> None:
        await pilot.press("p", "k", "S", "R")
        assert pilot.app.screen is screen
        assert control.claim(run) == []
        await sees(pilot, "read-only")
        assert {screen.refused()[key.action] for key in KEYS if key.steers} == {"this view is read-only"}
        await pilot.press("5")
        assert screen.active == "log"

    drive(run, test, is_readonly=True)


def test_when_the_run_is_over_steering_is_grey_with_the_reason() -> None:
    async def test(pilot: Pilot[int], screen: LiveScreen) -> None:
        assert screen.refused()["stop"] == "the run is over (finished)"
        assert "resume" in screen.refused()
        await pilot.press("8")
        await sees(pilot, "95 % interval")
        text = shown(pilot.app)
        assert " more" in text.splitlines()[1]
        await pilot.press("end")
        await sees(pilot, "finetui replay")

    drive(recorded_run("finished"), test)


def test_a_run_that_died_says_what_is_kept_and_offers_to_resume() -> None:
    async def test(pilot: Pilot[int], screen: LiveScreen) -> None:
        await sees(pilot, "DIED", "R resume")
        assert "resume" not in screen.refused()

    drive(recorded_run("died"), test)


def test_resuming_what_cannot_be_resumed_is_told_in_a_dialog() -> None:
    run = recorded_run("died")
    run.lock.unlink(missing_ok=True)
    run.lock.mkdir()

    async def test(pilot: Pilot[int], _screen: LiveScreen) -> None:
        await pilot.press("R")
        await until(pilot, lambda: isinstance(pilot.app.screen, FaultDialog))
        await until(pilot, lambda: "What happened" in shown(pilot.app) and "What to do" in shown(pilot.app))
        await pilot.press("y", "escape")
        assert "could not write" in pilot.app.clipboard

    drive(run, test)


def test_a_resumed_run_is_watched_on_in_the_same_view() -> None:
    run = recorded_run("died")
    run.recipe.unlink()  # so that its supervisor ends at once

    async def test(pilot: Pilot[int], screen: LiveScreen) -> None:
        await pilot.press("R")
        await until(pilot, lambda: "FAILED" in shown(pilot.app))
        await sees(pilot, "recipe.toml")
        await until(pilot, lambda: screen.supervisor_exit is not None)

    drive(run, test)


def test_a_filter_leaves_only_the_lines_that_hold_it_and_escape_ends_it() -> None:
    async def test(pilot: Pilot[int], screen: LiveScreen) -> None:
        await pilot.press("slash", *"eval loss")
        assert screen.query_one("#filter", Input).has_focus
        rows = screen.query_one("#main", PanelView).lines
        assert rows
        assert all("eval loss" in plain_text([row]) for row in rows)
        await pilot.press("enter")
        assert screen.log_panel.wanted == "eval loss"
        await pilot.press("p")
        assert len(control.claim(screen.viewer.run)) == 1  # a key again, no letter of the filter
        await pilot.press("escape")
        assert screen.log_panel.wanted == ""

    drive(running_run(), test)


def test_a_scrolled_log_stands_still_counts_what_is_new_and_end_follows_again() -> None:
    run = running_run()

    async def test(pilot: Pilot[int], screen: LiveScreen) -> None:
        await pilot.press("5", "z", "pageup")
        before = screen.query_one("#main", PanelView).lines[1:]
        append(run, WarningRaised(text="one more"), WarningRaised(text="and another"))
        await until(pilot, lambda: "2 new, End" in shown(pilot.app))
        assert screen.query_one("#main", PanelView).lines[1:] == before
        await pilot.press("end")
        await sees(pilot, "and another")

    drive(run, test)


def test_y_copies_the_panel_and_says_so() -> None:
    async def test(pilot: Pilot[int], screen: LiveScreen) -> None:
        await pilot.press("5", "y")
        assert "step 16  loss" in pilot.app.clipboard
        await pilot.press("4", "y")
        assert "halve micro batch" in pilot.app.clipboard
        assert screen.active == "ladder"

    drive(running_run(), test)


def test_chart_keys_reach_the_chart() -> None:
    async def test(pilot: Pilot[int], screen: LiveScreen) -> None:
        await pilot.press("t")
        await until(pilot, lambda: "y linear" not in shown(pilot.app))
        await pilot.press("t", "l")
        await sees(pilot, "y log")
        assert getattr(screen.panels["loss"], "chart").is_log  # noqa: B009 - a panel is only known as a protocol

    drive(running_run(), test)


def test_history_and_the_wizard_open_over_the_view_and_escape_comes_back() -> None:
    async def test(pilot: Pilot[int], screen: LiveScreen) -> None:
        await pilot.press("h")
        await until(pilot, lambda: isinstance(pilot.app.screen, RunsPage))
        await until(pilot, lambda: "going" in shown(pilot.app))
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is screen)
        await pilot.press("n")
        await until(pilot, lambda: isinstance(pilot.app.screen, WizardScreen))

    drive(running_run(), test)


def test_leaving_a_run_that_goes_on_says_how_to_come_back() -> None:
    async def test(pilot: Pilot[int], _screen: LiveScreen) -> None:
        await pilot.press("q")

    app = drive(running_run(), test)
    assert app.return_value == 0
    assert app.farewell[0].startswith("detached; run going goes on. Watch it: ")
    assert app.farewell[0].endswith(" attach going")


def test_leaving_a_finished_run_gives_its_exit_code_and_its_last_words() -> None:
    async def test(pilot: Pilot[int], _screen: LiveScreen) -> None:
        await pilot.press("q")

    app = drive(recorded_run("failed"), test)
    assert app.return_value == 5
    assert app.farewell[0].endswith("failed.")
    assert drive(recorded_run("finished"), test).return_value == 0
    assert drive(recorded_run("died"), test).return_value == 6


def test_two_live_views_of_one_run_show_the_same() -> None:
    run = running_run()
    texts: list[str] = []

    async def test(pilot: Pilot[int], _screen: LiveScreen) -> None:
        await pilot.press("5")
        texts.append(shown(pilot.app).split("tok/s")[0])

    drive(run, test)
    drive(run, test)
    assert texts[0] == texts[1]


def test_the_end_of_the_run_is_told_and_the_keys_change() -> None:
    run = running_run(until=lambda each: isinstance(each.event, RunFinished))

    async def test(pilot: Pilot[int], screen: LiveScreen) -> None:
        append(run, RunFinished(seconds=12.0))
        await until(pilot, lambda: "FINISHED" in shown(pilot.app))
        await sees(pilot, "q leave")
        text = shown(pilot.app)
        assert "p pause" not in text
        assert screen.query_one(KeyFooter).lines

    drive(run, test)


def test_a_step_without_a_number_for_a_loss_is_shown() -> None:
    run = running_run()

    async def test(pilot: Pilot[int], screen: LiveScreen) -> None:
        last = screen.view.state.last_step
        assert isinstance(last, StepLogged)
        append(run, replace(last, step=17, loss=float("nan")), writer="attempt-1")
        await until(pilot, lambda: "17/40" in shown(pilot.app))

    drive(run, test)
