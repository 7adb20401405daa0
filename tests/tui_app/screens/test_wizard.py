"""The wizard: Enter through all steps, going back, drafts, faults, sizes, hostile names, and a start that fails."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from engine.control import send
from engine.foreign_code import confirmed
from engine.liveness import liveness
from engine.run_dir import list_runs
from tests.tui_app.on_screen import rows_of, sees, shown, until
from tests.tui_app.wizard_play import DATA, DEMO, HARDWARE, METHOD, MODEL, REVIEW, known, play, row_named, typed
from tui_app.glyphs import ASCII
from tui_app.screens.dialog import Confirm
from tui_app.screens.fault import FaultDialog
from tui_app.screens.help import HelpPage
from tui_app.screens.live import LiveScreen
from tui_app.screens.trust_dialog import TrustDialog
from tui_app.screens.wizard import WizardScreen
from tui_app.screens.wizard_dialogs import SaveDialog, TextPage
from tui_app.steps import draft_file
from tui_app.steps.sequence import STEPS
from tui_app.widgets.choice_list import ChoiceList


def test_the_first_frame_is_there_before_the_machine_was_looked_at() -> None:
    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        wizard.workers.cancel_group(wizard, "look")
        await sees(pilot, "Hardware & preset", "Enter next")
        text = shown(pilot.app)
        assert "looking for cards" in text or wizard.desk.surroundings.hardware is not None

    play(script)


def test_enter_four_times_leads_to_a_review_of_the_preset_as_it_is_shipped() -> None:
    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        await pilot.press("enter", "enter", "enter", "enter")
        await until(pilot, lambda: wizard.place == REVIEW)
        await known(pilot, wizard)
        await sees(pilot, "Memory at the peak", "[ Start run ]", "Enter start run")
        assert wizard.done == {HARDWARE, MODEL, DATA, METHOD}
        assert wizard.desk.draft == DEMO
        saved = draft_file.saved_draft()
        assert saved is not None
        assert saved.draft == DEMO

    play(script)


def test_without_a_draft_it_opens_with_the_preset_that_suits_the_machine_best() -> None:
    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        await known(pilot, wizard)
        matches = wizard.desk.surroundings.matches
        assert matches
        assert wizard.desk.draft.base in [each.preset.name for each in matches if each.verdict == "fits"]
        listed = wizard.page.query(ChoiceList)[0]
        assert listed.chosen == wizard.desk.draft.base
        await sees(pilot, "RAM")

    play(script, draft=None)


def test_escape_on_the_first_step_asks_and_stays_by_default() -> None:
    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen is wizard)
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("y")

    app = play(script)
    assert app.return_value == 0
    saved = draft_file.saved_draft()
    assert saved is not None
    assert saved.draft == DEMO


def test_going_back_and_forth_keeps_every_answer() -> None:
    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        await pilot.press("4")
        await until(pilot, lambda: wizard.place == METHOD)
        await known(pilot, wizard)
        before = wizard.desk.review
        field = row_named(wizard, "adapter.r").field
        assert isinstance(field, Input)
        await typed(pilot, field, "64")
        await pilot.press("tab")
        assert wizard.desk.draft.typed("adapter.r") == "64"
        await known(pilot, wizard)
        after = wizard.desk.review
        assert before is not None and after is not None and before.outlook and after.outlook  # noqa: PT018 - narrows
        assert before.outlook.plan.memory and after.outlook.plan.memory  # noqa: PT018
        assert after.outlook.plan.memory.peak_bytes > before.outlook.plan.memory.peak_bytes
        await pilot.press("escape")
        await until(pilot, lambda: wizard.place == DATA)
        await pilot.press("escape")
        await until(pilot, lambda: wizard.place == MODEL)
        await pilot.press("4")
        await until(pilot, lambda: wizard.place == METHOD)
        assert row_named(wizard, "adapter.r").value == "64"
        assert row_named(wizard, "adapter.r").is_changed

    play(script)
    saved = draft_file.saved_draft()
    assert saved is not None
    assert saved.draft is not None
    assert saved.draft.typed("adapter.r") == "64"


def test_a_draft_of_earlier_is_offered_and_taken() -> None:
    earlier = DEMO.with_answer("adapter.r", "4")

    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await sees(pilot, "Go on with your draft of 10 min ago?")
        await pilot.press("enter")
        await until(pilot, lambda: wizard.place == METHOD)
        assert wizard.desk.draft == earlier
        await known(pilot, wizard)
        methods = next(each for each in wizard.page.query(ChoiceList) if each.question == "method")
        assert methods.pointed_choice is not None
        assert methods.pointed_choice.value == methods.chosen

    play(script, draft=None, saved=draft_file.Saved(earlier, 600.0, place=METHOD))


def test_a_draft_of_earlier_that_nobody_wants_is_left_alone() -> None:
    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        await until(pilot, lambda: isinstance(pilot.app.screen, Confirm))
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is wizard)
        assert wizard.desk.is_fresh

    play(script, draft=None, saved=draft_file.Saved(DEMO.with_answer("adapter.r", "4"), 600.0))


def says_what_is_hidden(wizard: WizardScreen, row: str) -> bool:
    """Whether the line above the footer tells that there is more to be seen exactly when there is."""
    hidden = wizard.page.max_scroll_y - wizard.page.scroll_offset.y
    return (hidden > 0) == ("more, PgDn" in row)


@pytest.mark.parametrize("size", [(60, 18), (80, 24), (140, 40)])
def test_every_page_shows_its_keys_and_where_one_is(size: tuple[int, int]) -> None:
    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        for place in range(len(STEPS)):
            await pilot.press(str(place + 1))
            await until(pilot, lambda place=place: wizard.place == place)  # type: ignore[misc]
            await known(pilot, wizard)
            rows = rows_of(pilot.app)
            assert STEPS[place].title in rows[0]
            assert "Enter" in rows[-1]
            assert "? help" in rows[-1]
            assert all(len(row) <= size[0] for row in rows)
            await until(pilot, lambda: says_what_is_hidden(wizard, rows_of(pilot.app)[-2]))
        await sees(pilot, "[ Start run ]")

    play(script, size=size)


def test_a_smaller_window_keeps_the_page_and_its_keys() -> None:
    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        await pilot.press("4")
        await known(pilot, wizard)
        for size in ((140, 40), (60, 18), (80, 24)):
            await pilot.resize_terminal(*size)
            await until(pilot, lambda: "Enter next" in rows_of(pilot.app)[-1])
            assert wizard.place == METHOD
            await sees(pilot, "Memory at the peak")

    play(script)


def test_without_unicode_nothing_but_ascii_is_drawn() -> None:
    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        for place in (HARDWARE, MODEL, METHOD, REVIEW):
            await pilot.press(str(place + 1))
            await until(pilot, lambda place=place: wizard.place == place)  # type: ignore[misc]
            await known(pilot, wizard)
            drawn = shown(pilot.app)
            assert drawn.isascii(), sorted({each for each in drawn if not each.isascii()})

    play(script, glyphs=ASCII)


def test_help_tells_what_the_focused_field_is() -> None:
    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        await pilot.press("4")
        await known(pilot, wizard)
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(pilot.app.screen, HelpPage))
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is wizard)
        row_named(wizard, "adapter.r").field.focus()
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(pilot.app.screen, HelpPage))

    play(script, size=(140, 60))


def test_the_review_shows_recipe_and_command_and_saves_without_replacing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text("precious")

    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        await pilot.press("5")
        await until(pilot, lambda: wizard.place == REVIEW)
        await known(pilot, wizard)
        await pilot.press("y")
        await until(pilot, lambda: isinstance(pilot.app.screen, TextPage))
        assert pilot.app.clipboard == "finetui replay demo-cpu"
        await sees(pilot, "finetui replay demo-cpu")
        await pilot.press("escape", "c")
        await until(pilot, lambda: "[model]" in shown(pilot.app))
        await pilot.press("escape", "w")
        await until(pilot, lambda: isinstance(pilot.app.screen, SaveDialog))
        field = pilot.app.screen.query_one(Input)
        await typed(pilot, field, "mine.toml")
        await pilot.press("enter")
        await pilot.pause()
        await sees(pilot, "is there already")
        await typed(pilot, field, "other.toml")
        await pilot.press("enter")
        await until(pilot, lambda: pilot.app.screen is wizard)

    play(script)
    assert (tmp_path / "mine.toml").read_text() == "precious"
    assert 'title = "Plain English' in (tmp_path / "other.toml").read_text()


def test_a_start_that_fails_says_why_and_keeps_the_draft(own_machine: Path) -> None:
    (own_machine / "runs").write_text("a file where runs should lie")

    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        await pilot.press("5")
        await until(pilot, lambda: wizard.place == REVIEW)
        await known(pilot, wizard)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, FaultDialog))
        await sees(pilot, "runs")
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is wizard)
        assert not wizard.is_starting

    play(script)
    saved = draft_file.saved_draft()
    assert saved is not None
    assert saved.draft == DEMO


def test_a_run_that_would_execute_foreign_code_starts_only_once_the_models_name_was_typed(own_machine: Path) -> None:
    (own_machine / "runs").write_text("a file where runs should lie")
    draft = DEMO.with_answer("evaluation.run_code", "true")

    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        await pilot.press("5")
        await until(pilot, lambda: wizard.place == REVIEW)
        await known(pilot, wizard)
        await pilot.press("enter")
        await sees(pilot, "evaluation.run_code", "bundled:smollm2-135m-instruct")
        await pilot.press("escape")
        await sees(pilot, "not started: nobody confirmed")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, TrustDialog))
        await pilot.press(*"yes", "enter")
        await sees(pilot, "That is not its name")
        assert confirmed()["answers"] == []
        await typed(pilot, pilot.app.screen.query_one(Input), "bundled:smollm2-135m-instruct")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, FaultDialog))
        assert confirmed()["answers"] == ["bundled:smollm2-135m-instruct"]
        await sees(pilot, "runs")

    play(script, draft=draft)


@pytest.mark.parametrize(("key", "code"), [("ctrl+c", 128 + signal.SIGINT), ("ctrl+q", 0)])
def test_ctrl_c_and_ctrl_q_leave_from_a_field_too_and_keep_the_draft(key: str, code: int) -> None:
    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        await pilot.press("4")
        await until(pilot, lambda: wizard.place == METHOD)
        await known(pilot, wizard)
        field = row_named(wizard, "adapter.r").field
        assert isinstance(field, Input)
        await typed(pilot, field, "64")
        await pilot.press(key)

    assert play(script).return_value == code
    saved = draft_file.saved_draft()
    assert saved is not None
    assert saved.draft is not None
    assert saved.draft.typed("adapter.r") == "64"


@pytest.mark.slow(seconds=22)
def test_enter_five_times_starts_a_run_whose_live_view_takes_the_wizards_place(own_machine: Path) -> None:
    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        await pilot.press("enter", "enter", "enter", "enter")
        await until(pilot, lambda: wizard.place == REVIEW)
        await known(pilot, wizard)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, LiveScreen))

    play(script)
    (run,) = list_runs(own_machine / "runs")
    assert run.name.startswith("demo-cpu")
    assert draft_file.saved_draft() is None
    send(run, "abort")
    deadline = time.monotonic() + 60
    while liveness(run) == "alive":
        assert time.monotonic() < deadline
        time.sleep(0.05)
