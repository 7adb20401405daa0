"""The wizard's keys where something is typed: what is text, what is a key, and that fast typing is kept in order."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from tests.tui_app.on_screen import sees, shown, until
from tests.tui_app.wizard_play import DATA, DEMO, METHOD, known, play, row_named, typed
from tui_app.screens.help import HelpPage
from tui_app.screens.wizard import WizardScreen
from tui_app.screens.wizard_data import DataPage
from tui_app.screens.wizard_page import AdvancedHeading
from tui_app.steps.draft import Draft
from tui_app.steps.sequence import STEPS
from tui_app.widgets.choice_list import ChoiceList
from tui_app.widgets.field_row import LABEL_WIDTH, FieldRow

OWN = Draft("own", (("model.name_or_path", "bundled:smollm2-135m-instruct"), ("data.dataset", "generator:arithmetic")))
MICRO_BATCH, ACCUMULATION = "training.per_device_train_batch_size", "training.gradient_accumulation_steps"


def test_advanced_fields_open_and_close_by_the_same_key_and_take_no_letter() -> None:
    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        await pilot.press("3")
        await until(pilot, lambda: wizard.place == DATA)
        await known(pilot, wizard)
        await pilot.press("e")
        await until(pilot, lambda: isinstance(wizard.focused, AdvancedHeading))
        await until(pilot, lambda: "System message" in shown(pilot.app))
        await pilot.press("e")
        await until(pilot, lambda: isinstance(wizard.focused, ChoiceList))
        assert not [row for row in wizard.page.query(FieldRow) if row.question.name == "data.system"]
        assert wizard.desk.draft == DEMO

    play(script)


def test_the_footer_names_no_key_that_would_be_typed() -> None:
    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        await pilot.press("3")
        await until(pilot, lambda: wizard.place == DATA)
        await known(pilot, wizard)
        await sees(pilot, "? help")
        await pilot.press("e")
        await until(pilot, lambda: isinstance(wizard.focused, AdvancedHeading))
        await typed(pilot, row_named(wizard, "data.system").query_one(Input), "You help")
        await until(pilot, lambda: "F1 help" in shown(pilot.app))
        assert "all fields" not in shown(pilot.app)
        assert "n next row" not in shown(pilot.app)
        await pilot.press("end", "question_mark")
        assert row_named(wizard, "data.system").value == "You help?"
        await pilot.press("ctrl+g")
        await until(pilot, lambda: isinstance(pilot.app.screen, HelpPage))

    play(script)


def test_what_is_no_number_is_a_key_in_a_field_for_numbers() -> None:
    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        await pilot.press("4")
        await until(pilot, lambda: wizard.place == METHOD)
        await known(pilot, wizard)
        rate = row_named(wizard, "training.learning_rate")
        rate.field.focus()
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(pilot.app.screen, HelpPage))
        await sees(pilot, "Learning rate")
        await pilot.press("escape")
        await until(pilot, lambda: pilot.app.screen is wizard)
        await pilot.press("end", "ctrl+u", *"2e-5")
        assert rate.value == "2e-5"
        await until(pilot, lambda: wizard.desk.draft.typed("training.learning_rate") == "2e-5")
        rank = row_named(wizard, "adapter.r")
        rank.field.focus()
        await pilot.press("x")
        assert rank.value == DEMO.value("adapter.r")
        await pilot.press("e")
        await until(pilot, lambda: isinstance(wizard.focused, AdvancedHeading))
        assert wizard.desk.draft.typed("adapter.r") is None

    play(script)


@pytest.mark.parametrize("draft", [OWN, DEMO])
def test_keys_that_come_in_one_burst_are_obeyed_in_order_and_set_their_own_field_only(draft: Draft) -> None:
    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        await pilot.press("4")
        await until(pilot, lambda: wizard.place == METHOD)
        row_named(wizard, MICRO_BATCH).field.focus()
        await pilot.pause()
        for key in ("backspace", "backspace", "2", "down", "down"):
            pilot.app.post_message(events.Key(key, key if len(key) == 1 else None))
        await until(pilot, lambda: wizard.desk.draft.typed(MICRO_BATCH) == "2")
        await known(pilot, wizard)
        await pilot.pause()
        assert {name for name, _ in wizard.desk.draft.answers} - {name for name, _ in draft.answers} == {MICRO_BATCH}
        row = row_named(wizard, ACCUMULATION)
        assert row.value == wizard.desk.draft.value(ACCUMULATION)
        assert row.note != "you"

    play(script, draft=draft)


def test_a_field_that_is_emptied_and_left_goes_back_to_what_it_was() -> None:
    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        await pilot.press("4")
        await until(pilot, lambda: wizard.place == METHOD)
        await known(pilot, wizard)
        row = row_named(wizard, MICRO_BATCH)
        before = row.value
        row.field.focus()
        await pilot.press("backspace", "down")
        await until(pilot, lambda: row.value == before)
        assert wizard.desk.draft.answers == OWN.answers

    play(script, draft=OWN)


def test_new_columns_take_the_old_fault_away_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [{"frage": f"wie {number}", "antwort": f"{number}."} for number in range(60)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        await pilot.press("3")
        await until(pilot, lambda: wizard.place == DATA)
        await until(pilot, lambda: "or name the format (f)" in " ".join(shown(pilot.app).split()))
        parts = [row for row in wizard.page.query(FieldRow) if row.question.name.startswith("column ")]
        parts[0].field.focus()
        await pilot.press("right")
        await until(pilot, lambda: "completion is still missing" in shown(pilot.app))
        await until(pilot, lambda: "none of the known" not in shown(pilot.app))
        await until(pilot, lambda: "The file has frage, antwort." in " ".join(shown(pilot.app).split()))
        parts[1].field.focus()
        await pilot.press("right", "right")
        await until(pilot, lambda: "reading the rows with the new columns" in shown(pilot.app))
        page = wizard.page
        assert isinstance(page, DataPage)
        await until(pilot, lambda: page.preview is not None)
        await until(pilot, lambda: "with the new columns" not in shown(pilot.app))

    play(script, draft=DEMO.with_answer("data.dataset", "rows.jsonl"))


def test_the_data_step_without_rows_says_where_they_are_chosen() -> None:
    async def script(pilot: Pilot[int], wizard: WizardScreen) -> None:
        await pilot.press("3")
        await until(pilot, lambda: wizard.place == DATA)
        await known(pilot, wizard)
        await sees(pilot, "Choose rows above.")
        assert "3 goes to" not in shown(pilot.app)

    play(script, draft=Draft("own"))


def test_labels_never_touch_their_values() -> None:
    labels = [question.label for step in STEPS for question in step.questions]
    assert max(map(len, labels)) + len("▸! ") < LABEL_WIDTH
